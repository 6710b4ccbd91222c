"""The search for a service on an event loop: the same search, in a bounded number of threads."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from shelfwise.errors import UsageError
from shelfwise.hit import Hit
from shelfwise.page import Page
from shelfwise.search import ProductSearch

AT_ONCE = 8  # of `server.CONNECTIONS`

Found = TypeVar("Found")


class AsyncProductSearch:
    """A `ProductSearch` to be awaited: the event loop stays free while the server and the encoder work.

    Both work without Python's lock, so threads lose nothing against an asynchronous client, and there is one search,
    not two. A call that is cancelled while it waits is never begun; one that has begun ends unheard.

        async with AsyncProductSearch(ProductSearch(client, "products", bundle)) as searcher:
            hits = await searcher.search("travel mug", k=5)

    docs/service.md says what else a service needs to know: warming up, forks, another bundle.

    :param at_once: searches that run at the same time; further ones wait in the order they came.
    """

    def __init__(self, searcher: ProductSearch, at_once: int = AT_ONCE) -> None:
        self._searcher = searcher
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="shelfwise-search")
        self._closed = False

    async def search(self, query: str, k: int = 10, *args: Any, **options: Any) -> list[Hit]:
        """See `ProductSearch.search`, whose arguments these are."""
        return await self._run(lambda: self._searcher.search(query, k, *args, **options))

    async def search_many(self, queries: Sequence[str], k: int = 10, *args: Any, **options: Any) -> list[list[Hit]]:
        """See `ProductSearch.search_many`, whose arguments these are."""
        return await self._run(lambda: self._searcher.search_many(queries, k, *args, **options))

    async def page(self, query: str, k: int = 10, *args: Any, **options: Any) -> Page:
        """See `ProductSearch.page`, whose arguments these are."""
        return await self._run(lambda: self._searcher.page(query, k, *args, **options))

    async def close(self) -> None:
        """Cancel what waits, and wait for what runs. The client stays open: it is its owner's."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def __aenter__(self) -> "AsyncProductSearch":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, search: Callable[[], Found]) -> Found:
        if self._closed:
            raise UsageError("this search was closed: make another AsyncProductSearch")
        return await asyncio.get_running_loop().run_in_executor(self._threads, search)
