"""The bulk request: again after a while where the server was too busy, in halves where it was too big."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk

from shelfwise.blocks import explained
from shelfwise.errors import ServerError
from shelfwise.server import one_line, reason_of

CHUNK_DOCUMENTS = 512  # a segment's quarter
CHUNK_BYTES = 8 << 20
WAITS = (1, 2, 4, 8, 16, 30)  # seconds, before what the server was too busy for is sent again
TOO_BIG, BUSY = 413, 429
FORBIDDEN = (401, 403)  # says nothing of the document: the login lacks a privilege
TOO_BIG_ALONE = (
    "it is too big for a request (413): shorten it, or raise the limit of the server or of the proxy before it "
    "(nginx: client_max_body_size)"
)


def refusals(client: Elasticsearch, doing: str, actions: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Send actions; the server's answer to each that it refused for good.

    What was too big a request, for the server or a proxy before it, is sent again in halves.

    :param doing: what is being done; it begins every message.
    :raises ServerError: the server cannot be reached, stayed too busy, forbids it, or the index has a block.
    """
    actions = list(actions)
    too_big: set[str] = set()
    left = actions
    for wait in (*WAITS, None):
        busy = set()
        for answer in _answers(client, doing, left):
            if answer["status"] == TOO_BIG:
                too_big.add(answer["_id"])
            elif answer["status"] == BUSY and wait is not None:
                busy.add(answer["_id"])
            else:
                yield _of_the_document(answer, doing)
        left = [action for action in left if action["_id"] in busy]
        if not left or wait is None:
            break
        time.sleep(wait)
    again = [action for action in actions if action["_id"] in too_big]
    if len(actions) == 1 and again:
        yield {"_id": again[0]["_id"], "status": TOO_BIG, "error": TOO_BIG_ALONE}
        return
    for half in (again[: len(again) // 2], again[len(again) // 2 :]):
        if half:
            yield from refusals(client, doing, half)


def _answers(client: Elasticsearch, doing: str, actions: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Send actions once; the server's answer to each that it refused.

    :raises ServerError: the server cannot be reached, or the index has a block, for which no wait is long enough.
    """
    with one_line(f"{doing} (run the same command again to go on)"):
        for accepted, item in streaming_bulk(
            client.options(request_timeout=120),
            actions,
            chunk_size=CHUNK_DOCUMENTS,
            max_chunk_bytes=CHUNK_BYTES,
            raise_on_error=False,
            ignore_status=(TOO_BIG, BUSY),  # of the whole request: an answer to each of its actions
        ):
            if accepted:
                continue
            [answer] = item.values()
            if blocked := explained(reason_of(answer)):
                raise ServerError(f"{doing}: {blocked}, then run the same command again to go on")
            yield answer


def _of_the_document(answer: dict[str, Any], doing: str) -> dict[str, Any]:
    """An answer that is about its document.

    :raises ServerError: it is about something else.
    """
    if answer["status"] == BUSY or answer["status"] >= 500:
        raise ServerError(f"{doing}: the server is too busy ({reason_of(answer)}): run the same command again to go on")
    if answer["status"] in FORBIDDEN:
        raise ServerError(
            f"{doing}: the server forbids it ({answer['status']}: {reason_of(answer)}): see to the login's privileges, "
            "then run the same command again to go on"
        )
    return answer
