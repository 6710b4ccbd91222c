"""The view: an index as it was at one moment, which the server keeps as long as it is renewed."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from shelfwise.query import VECTOR
from shelfwise.server import one_line

KEEP_ALIVE = "1h"
BULKY = [VECTOR, "shelfwise.similar"]


class View:
    """An index as it is now, whatever is written into it afterwards. Close it.

    :raises ServerError: the server did not answer, or refused.
    """

    def __init__(self, server: Elasticsearch, index: str) -> None:
        self._server, self.index = server, index
        with one_line(f"looking at index {index}"):
            self._id = str(server.open_point_in_time(index=index, keep_alive=KEEP_ALIVE)["id"])

    def documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those that there are of these, by id, without what is bulky.

        :raises ServerError: also where the view is lost, as after a restart of the server.
        """
        with one_line(f"looking at index {self.index} as it was (run the same command again)"):
            answer = self._server.search(
                pit={"id": self._id, "keep_alive": KEEP_ALIVE},
                size=len(ids),
                query={"ids": {"values": list(ids)}},
                source_excludes=BULKY,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
        return {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"]}

    def renew(self) -> None:
        """Have it kept for longer; that it is lost is found out when it is needed."""
        with suppress(ApiError, TransportError):
            self._server.search(pit={"id": self._id, "keep_alive": KEEP_ALIVE}, size=0, track_total_hits=False)

    def close(self) -> None:
        """Let go of it."""
        with suppress(ApiError, TransportError):
            self._server.close_point_in_time(id=self._id)
