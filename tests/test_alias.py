import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise import alias as module
from shelfwise.alias import LiveAlias, preference
from shelfwise.errors import IncompatibleIndex, ServerError
from shelfwise.query import any_of, lexical, nodes, semantic

pytestmark = pytest.mark.es

THREADS = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("bundle"), {"kettle": (1, 0)})


@pytest.fixture
def index(client, alias, bundle):
    return fill(client, alias, bundle, [document(bundle, {"id": "k1", "title": "kettle"})])


@pytest.fixture
def overloaded(monkeypatch):
    """While it is, looking at the alias fails, as of a server that answers 503."""
    state = {"is": False, "asked": 0}
    really = module.live

    def live(client, alias):
        state["asked"] += 1
        if state["is"]:
            raise ServerError("looking for alias: the server answered 503")
        return really(client, alias)

    monkeypatch.setattr(module, "live", live)
    return state


def count(live_alias):
    def ask(index):
        return live_alias.ask(index, [any_of({"exists": {"field": "id"}})])[0]["hits"]["total"]["value"]

    return live_alias.over(ask)


def test_while_one_thread_waits_for_the_server_the_others_go_on_with_the_index_known(
    client, alias, index, bundle, monkeypatch
):
    searched = LiveAlias(client, alias, bundle, recheck=0)
    waiting, answer, really = threading.Semaphore(0), threading.Event(), module.live

    def hanging(client, alias):
        waiting.release()
        assert answer.wait(30)
        return really(client, alias)

    monkeypatch.setattr(module, "live", hanging)
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(searched.index)
        assert waiting.acquire(timeout=30)
        try:
            others = [threads.submit(searched.index) for _ in range(THREADS - 1)]
            assert [other.result(10).name for other in others] == [index] * (THREADS - 1)
            assert not first.done()
            assert not waiting.acquire(blocking=False)
        finally:
            answer.set()
        assert first.result(30).name == index


def test_a_server_that_fails_to_say_is_searched_on_and_asked_again_later(client, alias, index, bundle, overloaded):
    searched = LiveAlias(client, alias, bundle, recheck=0)
    overloaded["is"] = True
    assert (searched.index().name, count(searched)) == (index, 1)
    newer = fill(client, alias, bundle, [document(bundle, {"id": "k2", "title": "kettle"})])
    overloaded["is"] = False
    assert searched.index().name == newer


def test_a_failure_to_say_counts_until_the_next_recheck(client, alias, index, bundle, monkeypatch, overloaded):
    searched = LiveAlias(client, alias, bundle, recheck=100)
    overloaded["is"] = True
    now, asked_before = time.monotonic(), overloaded["asked"]
    for later, asked in ((99, 0), (101, 1), (199, 1), (202, 2)):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda later=later: now + later))
        assert searched.index().name == index
        assert overloaded["asked"] - asked_before == asked


def test_without_an_index_known_a_failure_is_raised(client, alias, index, bundle, overloaded):
    overloaded["is"] = True
    with pytest.raises(ServerError, match="503"):
        LiveAlias(client, alias, bundle)


def test_once_the_index_is_gone_a_failure_is_raised_until_the_server_says_what_came(
    client, alias, index, bundle, overloaded
):
    searched = LiveAlias(client, alias, bundle, recheck=3600)
    fill(client, alias, bundle, [document(bundle, {"id": "k2", "title": "kettle"})])
    client.indices.delete(index=index)
    overloaded["is"] = True
    with pytest.raises(ServerError, match="503"):
        count(searched)
    overloaded["is"] = False
    assert count(searched) == 1


def test_an_alias_of_another_bundle_is_refused_each_time_until_it_fits_again(client, alias, index, bundle, tmp_path):
    searched = LiveAlias(client, alias, bundle, recheck=0)
    other = write_hand_bundle(tmp_path, {"kettle": (0, 1)})
    fill(client, alias, other, [document(other, {"id": "k1", "title": "kettle"})])
    for _ in range(2):
        with pytest.raises(IncompatibleIndex):
            searched.index()
    again = fill(client, alias, bundle, [document(bundle, {"id": "k1", "title": "kettle"})])
    assert searched.index().name == again


def test_a_larger_window_of_one_query_is_asked_of_the_same_copies_and_another_query_of_its_own():
    brand = [{"term": {"brand": {"value": "Sony"}}}]
    for window in (
        lambda k, **given: lexical("kettle", k, **given),
        lambda k, **given: semantic([0.6, 0.8], k, **given),
    ):
        assert preference(window(100)) == preference(window(1000)) != preference(window(100, filters=brand))
    queries = [lexical("kettle", 1), lexical("kettles", 1), lexical("half \ud83d", 1), semantic([0.8, 0.6], 1), nodes()]
    assert len({preference(body) for body in queries}) == len(queries)
    assert not any(preference(body).startswith("_") for body in queries)
