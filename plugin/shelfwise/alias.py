"""The alias as a searcher sees it: always one whole index, known to fit, asked many questions in one request."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

from elasticsearch import Elasticsearch

from shelfwise.bundle import Bundle
from shelfwise.errors import IncompatibleIndex, ServerError, UsageError
from shelfwise.live_index import LiveIndex, check_compatible, live
from shelfwise.server import SERIALIZERS, Json, one_line, reason_of, whole

RECHECK_SECONDS = 2.0
SEARCHES_PER_REQUEST = 64

Answer = TypeVar("Answer")


class GoneError(ServerError):
    """The index that was being searched was deleted."""


class LiveAlias:
    """Follows an alias through swaps.

    The alias is resolved to its index, checked, and that index is searched by name: whatever moves the alias, one
    search sees one index, and vectors of two bundles never meet. It is resolved again after `recheck` seconds, and at
    once when the index was deleted. Several threads may share it: one asks, the others go on with the index known.

    :param bundle: whose vectors will be sent; None: none will, any index that shelfwise made is fine.
    :raises UsageError: there is no such alias.
    :raises IncompatibleIndex: its index does not belong with the bundle, at construction or after a swap.
    :raises ServerError: the server does not say, and no index is known that is still there.
    """

    def __init__(
        self, client: Elasticsearch, alias: str, bundle: Bundle | None, recheck: float = RECHECK_SECONDS
    ) -> None:
        self._client = client
        self._alias = alias
        self._bundle = bundle
        self._recheck = recheck
        self._lock = threading.Lock()
        self._index: LiveIndex | None = None
        self._checked_at = 0.0
        self.index()

    def index(self) -> LiveIndex:
        """The live index, as of `recheck` seconds ago; of longer ago while the server is asked, or fails to say."""
        known = self._index
        if known is None:
            with self._lock:
                return self._resolved()
        if self._is_fresh() or not self._lock.acquire(blocking=False):
            return known
        try:
            return self._resolved()
        finally:
            self._lock.release()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._checked_at < self._recheck

    def _resolved(self) -> LiveIndex:
        """Ask the server, unless another thread just did; whoever calls it holds the lock."""
        if self._index is not None and self._is_fresh():
            return self._index
        try:
            found = live(self._client, self._alias)
            if self._bundle is not None:
                check_compatible(found, self._bundle)
        except ServerError:
            if self._index is None:
                raise
            found = self._index
        except (IncompatibleIndex, UsageError):
            self._index = None  # so that the next call asks again
            raise
        self._index, self._checked_at = found, time.monotonic()
        return found

    def _forget(self, index: LiveIndex) -> None:
        with self._lock:
            if self._index is not None and self._index.name == index.name:
                self._index = None

    def over(self, operation: Callable[[LiveIndex], Answer]) -> Answer:
        """Run all requests of one operation over one index; when it was deleted meanwhile, once more over the next."""
        index = self.index()
        try:
            return operation(index)
        except GoneError:
            self._forget(index)
            return operation(self.index())

    def ask(self, index: LiveIndex, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """One answer a body, in order, in as few `_msearch` as SEARCHES_PER_REQUEST allows.

        :raises ServerError: any one of them failed, in whole or in a shard: a part is never passed off as all.
        """
        answers: list[Mapping[str, Any]] = []
        for start in range(0, len(bodies), SEARCHES_PER_REQUEST):
            part = bodies[start : start + SEARCHES_PER_REQUEST]
            searches = [line for body in part for line in ({"preference": preference(body)}, body)]
            with one_line(f"searching index {index.name}"):
                responses = self._client.msearch(index=index.name, searches=searches).body["responses"]
            answers.extend(_whole(response, index) for response in responses)
        return answers


def preference(body: Mapping[str, Any]) -> str:
    """Which copies of the shards answer: the same ones for all windows of a query, so that its pages fit together.

    Copies differ for a moment after a refresh, and for good in what is deleted but not yet merged away, which scores
    count. Of a body counts what is looked for, not how much of it.
    """
    sought = body.get("query")
    if "knn" in body:
        sought = [body["knn"][name] for name in ("field", "query_vector", "filter")]
    return blake2b(SERIALIZERS[Json.mimetype].dumps(sought), digest_size=8).hexdigest()


def _whole(response: Mapping[str, Any], index: LiveIndex) -> Mapping[str, Any]:
    doing = f"searching index {index.name}"
    if response.get("status") == 404 and "error" in response:
        raise GoneError(f"{doing}: the server answered 404: {reason_of(response)}")
    return whole(response, doing)
