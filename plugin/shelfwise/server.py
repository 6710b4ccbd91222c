"""The server: reach an Elasticsearch, know its version, and say in one line what it refused."""

import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from elastic_transport import ConnectionError as NothingListening
from elastic_transport import ConnectionTimeout, SerializationError, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError
from elasticsearch.serializer import JsonSerializer, NdjsonSerializer, OrjsonSerializer

from shelfwise.blocks import explained
from shelfwise.connection import Connection, ForeignAnswer
from shelfwise.errors import ServerError, UsageError

DEFAULT_URL = "http://localhost:9200"
LEAST_VERSION = (8, 19)
PACKED_FROM = (9, 3)
FLAT_FROM = (9, 4)
REQUEST_TIMEOUT = 30.0  # seconds
CONNECTIONS = 32  # kept to a node: so many threads search at once, a further one waits for a free connection
DEFAULT_PORTS = {"http": 9200, "https": 443}
NO_REASON = "no reason given"
LOGIN_HINT = "set ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"


class Json(OrjsonSerializer):
    """JSON by orjson, several times as fast; what that refuses (half a surrogate pair), by the standard library."""

    def json_dumps(self, data: Any) -> bytes:
        """See `OrjsonSerializer`."""
        try:
            return super().json_dumps(data)
        except TypeError:
            return JsonSerializer.json_dumps(self, data)

    def json_loads(self, data: bytes) -> Any:
        """See `OrjsonSerializer`."""
        try:
            return super().json_loads(data)
        except ValueError:
            return JsonSerializer.json_loads(self, data)


class Lines(Json, NdjsonSerializer):
    """Lines of `Json`: what `_msearch` and `_bulk` are sent."""

    mimetype = NdjsonSerializer.mimetype


SERIALIZERS = {Json.mimetype: Json(), Lines.mimetype: Lines()}


def connect(url: str | None = None, env: Mapping[str, str] | None = None) -> Elasticsearch:
    """A client of a server that was asked who it is: an Elasticsearch of at least 8.19 that this client can talk to.

    Who asks: the `user:password@` of the URL, else ELASTICSEARCH_API_KEY, else ELASTICSEARCH_USERNAME and
    ELASTICSEARCH_PASSWORD. None of them is ever part of a message.

    A process that is forked afterwards may go on using the client, over connections of its own (see `Connection`; a
    client that was made without `connect` shares its parent's and gets answers that are meant for others).

    :param url: default: ELASTICSEARCH_URL, then `http://localhost:9200`. Without a port: 9200, with https 443.
    :param env: default: this process's environment.
    :raises UsageError: the URL is not one, or a user name came without its password.
    :raises ServerError: nothing listens, it is no Elasticsearch, its version does not fit, or it wants a login.
    """
    env = os.environ if env is None else env
    parts, where = _parts(_wanted(url, env)), address(url, env)
    login = _login(parts, env)
    try:
        client = Elasticsearch(
            where,
            request_timeout=REQUEST_TIMEOUT,
            connections_per_node=CONNECTIONS,
            node_class=Connection,
            serializers=SERIALIZERS,
            **login,
        )
    except ValueError:
        raise UsageError(f"{where} names no server: expected a URL such as {DEFAULT_URL}") from None
    version = _greeted(client, where)
    if version < LEAST_VERSION:
        raise ServerError(
            f"{where} is Elasticsearch {_dotted(version)}, shelfwise needs {_dotted(LEAST_VERSION)} or later: "
            "upgrade it, or start one here with `shelfwise local start`"
        )
    return client


def address(url: str | None, env: Mapping[str, str]) -> str:
    """Where `connect` goes, with its port and without any login, to be shown.

    :raises UsageError: the URL is not one.
    """
    parts = _parts(_wanted(url, env))
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or DEFAULT_PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def takes_packed_vectors(client: Elasticsearch) -> bool:
    """Whether a vector may be sent as base64 of big-endian float32, which the server reads twice as fast as a list."""
    return _numbers(server_version(client)) >= PACKED_FROM


def takes_flat_threshold(client: Elasticsearch) -> bool:
    """Whether a mapping may say up to which size a segment has no graph of its vectors."""
    return _numbers(server_version(client)) >= FLAT_FROM


def server_version(client: Elasticsearch) -> str:
    """The server's version, such as `9.4.3`.

    :raises ServerError: the server does not say.
    """
    with one_line("asking for the server's version"):
        return str(client.info()["version"]["number"])


@contextmanager
def one_line(doing: str) -> Iterator[None]:
    """Whatever the client raises inside becomes a `ServerError` of one line.

    :param doing: what was being asked, such as `creating index products-…`; it begins the message.
    :raises ServerError: the server did not answer, or refused; the client's own exception is its cause.
    """
    try:
        yield
    except ApiError as error:
        raise ServerError(f"{doing}: {refusal(error)}") from error
    except ForeignAnswer as error:
        raise ServerError(f"{doing}: {_first_line(error.message)}: check the URL, and the proxy before it") from error
    except ConnectionTimeout as error:
        raise ServerError(f"{doing}: no answer in time; is the server overloaded? Try again") from error
    except TransportError as error:
        raise ServerError(f"{doing}: the server cannot be reached ({_first_line(error.message)})") from error


def refusal(error: ApiError) -> str:
    """Why the server refused, in one line: its status, and the innermost reason it gives; of a block, what to do."""
    if error.meta.status == 401:
        return f"the server wants a login, or another one (401): {LOGIN_HINT}"
    if blocked := explained(reason_of(error.body)):
        return blocked
    reason = _first_line(reason_of(error.body))
    if error.meta.status == 403:
        return f"the server forbids it (403): {reason}; this login lacks the privilege"
    return f"the server answered {error.meta.status}: {reason}"


def whole(response: Mapping[str, Any], doing: str) -> Mapping[str, Any]:
    """One response of `_msearch`, if it is whole: a part is never passed off as all.

    :param doing: what was being asked; it begins the message.
    :raises ServerError: the search failed, in whole or in a shard, or ran out of time.
    """
    if "error" in response:
        reason = reason_of(response)
        said = explained(reason) or f"the server answered {response.get('status')}: {reason}"
        raise ServerError(f"{doing}: {said}")
    shards = response["_shards"]
    if shards["failed"]:
        reason = reason_of({"failed_shards": shards.get("failures")})
        raise ServerError(f"{doing}: {shards['failed']} of {shards['total']} shards failed: {reason}")
    if response["timed_out"]:
        raise ServerError(f"{doing}: the server ran out of time; is it overloaded? Try again")
    return response


def reason_of(body: Any) -> str:
    """The innermost type and reason of an error that the server sent."""
    cause = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(cause, Mapping):
        return str(cause or NO_REASON)
    inner = cause.get("root_cause") or [cause]
    deepest: Mapping[str, Any] = inner[0] if isinstance(inner[0], Mapping) else cause
    for failed in (cause.get("failed_shards") or [])[:1]:
        deepest = failed.get("reason") or deepest
    while isinstance(deepest.get("caused_by"), Mapping):
        deepest = deepest["caused_by"]
    return f"{deepest.get('type') or 'error'}: {deepest.get('reason') or NO_REASON}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split("."))


def _wanted(url: str | None, env: Mapping[str, str]) -> str:
    return (url or env.get("ELASTICSEARCH_URL") or "").strip() or DEFAULT_URL


def _parts(url: str) -> SplitResult:
    says = "the server's URL must look like http://localhost:9200 or https://search.example.com"
    try:
        parts = urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS:
            raise UsageError(f"{says}: it does not begin with http:// or https://")
        if "@" in parts.path + parts.query + parts.fragment:  # the rest of a login that was cut short
            raise UsageError("the server's URL: in its password / ? and # are written as %2F %3F and %23")
        if parts.hostname and (parts.port is None or parts.port > 0):
            return parts
    except ValueError:
        pass
    raise UsageError(says)


def _login(parts: SplitResult, env: Mapping[str, str]) -> dict[str, Any]:
    if parts.username:
        return _basic(unquote(parts.username), unquote(parts.password or ""))
    if key := env.get("ELASTICSEARCH_API_KEY", "").strip():
        if not (key.isascii() and key.isprintable()):
            raise UsageError("ELASTICSEARCH_API_KEY must be printable ASCII on one line: set it anew")
        return {"api_key": key}
    name, password = env.get("ELASTICSEARCH_USERNAME"), env.get("ELASTICSEARCH_PASSWORD")
    if bool(name) != bool(password):
        raise UsageError("ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD go together, only one of them is set")
    return _basic(name, password or "") if name else {}


def _basic(name: str, password: str) -> dict[str, str]:
    """HTTP Basic in UTF-8, as the server reads it: of name and password apart the client takes ASCII only."""
    return {"basic_auth": b64encode(f"{name}:{password}".encode()).decode("ascii")}


def _greeted(client: Elasticsearch, address: str) -> tuple[int, ...]:
    no_elasticsearch = ServerError(f"{address} answers, but is not an Elasticsearch: check the URL")
    try:
        return _numbers(str(client.info()["version"]["number"]))
    except ApiError as error:
        if "media_type_header_exception" in str(error.body):
            raise ServerError(
                f"{address} is an Elasticsearch older than the installed client: "
                'pip install "elasticsearch>=8.19,<9", which works with 8.19 and 9.x servers'
            ) from error
        if error.meta.status in (401, 403, 429) or error.meta.status >= 500:
            raise ServerError(f"{address}: {refusal(error)}") from error
        raise no_elasticsearch from error
    except (ForeignAnswer, UnsupportedProductError, SerializationError, KeyError, TypeError, ValueError) as error:
        raise no_elasticsearch from error
    except ConnectionTimeout as error:
        raise ServerError(f"{address} did not answer within {REQUEST_TIMEOUT:g} seconds") from error
    except NothingListening as error:
        raise ServerError(
            f"nothing answers at {address} ({_first_line(error.message)}): start one with `shelfwise local start`, "
            "or point ELASTICSEARCH_URL at yours"
        ) from error


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _first_line(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if len(line) <= 300 else line[:297] + "..."
