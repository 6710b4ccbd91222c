import asyncio
import threading
import time
import uuid

import pytest

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import add, document, fill
from shelfwise import AsyncProductSearch, ProductSearch, ShelfwiseError
from shelfwise.alias import LiveAlias
from shelfwise.errors import UsageError

CASES, KETTLES = ("Electronics", "Cases"), ("Home", "Kettles")
WORDS = {"case": (1, 0), "kettle": (0, 1), "boiler": (0.2, 0.9), "gift": (0.7, 0.7)}
PRODUCTS = [
    {"id": "k1", "title": "Steel kettle", "price": 30, "category": KETTLES},
    {"id": "k2", "title": "Glass kettle", "price": 15, "category": KETTLES},
    {"id": "c1", "title": "Phone case", "price": 9, "category": CASES},
]
QUERIES = ["kettle", "case", "gift", "boiler", "kettel", "glass", "phone kettle", "steel gift"]

pytestmark = pytest.mark.es


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), WORDS, [CASES, KETTLES])


@pytest.fixture(scope="module")
def shop(client, bundle):
    name = f"test-async-{uuid.uuid4().hex[:12]}"
    fill(client, name, bundle, [document(bundle, record) for record in PRODUCTS])
    yield ProductSearch(client, name, bundle)
    delete_indices(client, name)


@pytest.fixture
def slow(monkeypatch):
    """Requests take a tenth of a second longer; the most that were under way together."""
    lock, running, most = threading.Lock(), 0, [0]
    really = LiveAlias.ask

    def ask(self, index, bodies):
        nonlocal running
        with lock:
            running += 1
            most[0] = max(most[0], running)
        time.sleep(0.1)
        try:
            return really(self, index, bodies)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(LiveAlias, "ask", ask)
    return most


def test_eight_searches_at_once_find_what_they_find_one_by_one(shop):
    async def together():
        async with AsyncProductSearch(shop) as searcher:
            found = await asyncio.gather(*(searcher.search(query, k=3) for query in QUERIES))
            many = await searcher.search_many(QUERIES, k=3)
            page = await searcher.page("kettle", facets=True)
        return found, many, page

    found, many, page = asyncio.run(together())
    assert found == many == [shop.search(query, k=3) for query in QUERIES]
    assert page == shop.page("kettle", facets=True)


def test_what_no_run_has_enriched_is_found_behind_the_others(client, shop, alias, bundle):
    add(client, fill(client, alias, bundle, [document(bundle, PRODUCTS[0])]), [{"id": "raw", "title": "Box"}])

    async def found():
        async with AsyncProductSearch(ProductSearch(client, alias, bundle)) as searcher:
            return await searcher.page("gift", filters=["id=raw"], relax=True), await searcher.search("gift")

    page, hits = asyncio.run(found())
    assert ([hit.id for hit in page.hits], page.relaxed) == (["raw"], ())
    assert [hit.id for hit in hits] == ["k1", "raw"]


def test_the_event_loop_is_free_meanwhile_and_so_many_run_at_once(shop, slow):
    async def together():
        async with AsyncProductSearch(shop, at_once=2) as searcher:
            searches = asyncio.gather(*(searcher.search(query) for query in QUERIES[:4]))
            ticks = 0
            while not searches.done():
                await asyncio.sleep(0.01)
                ticks += 1
            return ticks

    assert asyncio.run(together()) > 5
    assert slow == [2]


def test_a_cancelled_search_leaves_the_others_alone(shop, slow):
    async def some():
        async with AsyncProductSearch(shop, at_once=1) as searcher:
            runs, waits, last = (asyncio.create_task(searcher.search(query)) for query in QUERIES[:3])
            await asyncio.sleep(0.05)
            runs.cancel()
            waits.cancel()
            return await asyncio.gather(runs, waits, last, return_exceptions=True)

    runs, waits, last = asyncio.run(some())
    assert isinstance(runs, asyncio.CancelledError)
    assert isinstance(waits, asyncio.CancelledError)
    assert last == shop.search(QUERIES[2])


def test_closing_cancels_what_waits_and_ends_what_runs(shop, slow):
    async def closed():
        searcher = AsyncProductSearch(shop, at_once=1)
        runs, waits = (asyncio.create_task(searcher.search(query)) for query in QUERIES[:2])
        await asyncio.sleep(0.05)
        await searcher.close()
        with pytest.raises(UsageError, match="was closed"):
            await searcher.search("kettle")
        return await asyncio.gather(runs, waits, return_exceptions=True)

    runs, waits = asyncio.run(closed())
    assert [hit.id for hit in runs] == [hit.id for hit in shop.search(QUERIES[0])]
    assert isinstance(waits, asyncio.CancelledError)
    assert not [one for one in threading.enumerate() if one.name.startswith("shelfwise-search")]


def test_an_error_is_that_of_the_search(shop):
    async def wrong():
        async with AsyncProductSearch(shop) as searcher:
            await searcher.search("kettle", k=0)

    with pytest.raises(ShelfwiseError, match="k must be"):
        asyncio.run(wrong())
