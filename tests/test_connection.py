"""The connection: what is not Elasticsearch's answer is none, and processes share none."""

import http.client
import multiprocessing
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise.alias import LiveAlias
from shelfwise.errors import ServerError
from shelfwise.live_index import described, find, rewrite_meta
from shelfwise.query import lexical
from shelfwise.recommend import SimilarProducts
from shelfwise.search import ProductSearch
from shelfwise.server import connect, one_line

PAGE = b"<html><h1>Please log in</h1></html>"
FOREIGN = [
    (200, "text/html", PAGE),
    (200, "application/json", b'{"login": "needed"}'),
    (302, "text/html", PAGE),
    (404, "text/html", PAGE),
]
NAMES = ["kettle", "case", "phone", "mug", "lamp", "shoe", "pen", "tea"]


class Gateway(ThreadingHTTPServer):
    """A proxy before a real server, which answers itself once `answer` is set."""

    def __init__(self, url):
        self.to, self.answer = urlsplit(url).netloc, None
        super().__init__(("127.0.0.1", 0), Passing)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def passed(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.server.answer:
            status, kind, content = self.server.answer
            headers = {"content-type": kind}
        else:
            upstream = http.client.HTTPConnection(self.server.to)
            upstream.request(self.command, self.path, body, dict(self.headers))
            response = upstream.getresponse()
            status, headers, content = response.status, dict(response.getheaders()), response.read()
            upstream.close()
        self.send_response(status)
        for name in ("content-type", "x-elastic-product"):
            if given := {key.lower(): value for key, value in headers.items()}.get(name):
                self.send_header(name, given)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = passed  # noqa: N815

    def log_message(self, *args):
        pass


@pytest.fixture
def gateway(elasticsearch_url):
    with Gateway(elasticsearch_url) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        yield gateway
        gateway.shutdown()


@pytest.fixture
def shop(client, alias, tmp_path):
    """A live alias of one product a name, and the bundle."""
    words = {name: [float(place == number) for place in range(len(NAMES))] for number, name in enumerate(NAMES)}
    bundle = write_hand_bundle(tmp_path / "bundle", words)
    fill(client, alias, bundle, [document(bundle, {"id": f"{name}-1", "title": name}) for name in NAMES])
    return bundle


@contextmanager
def refused():
    with pytest.raises(ServerError, match=r"not Elasticsearch \(status \d+, .*\): check the URL, and the proxy") as why:
        yield
    assert "\n" not in str(why.value)


@pytest.mark.es
@pytest.mark.parametrize("answer", FOREIGN)
def test_a_page_that_is_not_elasticsearchs_is_no_answer(gateway, shop, alias, answer):
    client = connect(gateway.url, {})
    searched = LiveAlias(client, alias, shop, recheck=1000)
    search, similar = ProductSearch(client, alias, shop, recheck=1000), SimilarProducts(client, alias, recheck=0)
    assert [hit.id for hit in search.search("kettle", 1)] == ["kettle-1"]
    gateway.answer = answer
    for asks in (
        lambda: search.search("kettle", 1),
        lambda: similar.similar("kettle-1", 1),
        lambda: searched.ask(searched.index(), [lexical("kettle", 1)]),
        lambda: find(client, alias),
        lambda: described(client, "products-1"),
        lambda: rewrite_meta(client, "products-1", {}),
    ):
        with refused():
            asks()
    with pytest.raises(ServerError, match="is not an Elasticsearch: check the URL"):
        connect(gateway.url, {})
    gateway.answer = None
    assert [hit.id for hit in search.search("kettle", 1)] == ["kettle-1"]


@pytest.mark.es
def test_what_the_server_does_not_find_is_still_its_answer(gateway):
    assert find(connect(gateway.url, {}), "test-none") is None


@pytest.mark.es
@pytest.mark.parametrize("status", [401, 403, 413, 502])
def test_other_refusals_say_what_they_are(gateway, status):
    client = connect(gateway.url, {}).options(max_retries=0)
    gateway.answer = (status, "text/html", PAGE)
    with pytest.raises(ServerError, match=str(status)), one_line("looking"):
        client.indices.get(index="x")


def _searches(search, first, gate, answers):
    gate.wait(30)
    asked = [NAMES[(first + step) % len(NAMES)] for step in range(40)]
    try:
        answers.put([(name, [hit.id for hit in search.search(name, 1, mode="lexical")]) for name in asked])
    except BaseException as error:
        answers.put(repr(error))
        raise


@pytest.mark.es
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes cannot be forked here")
def test_forked_processes_do_not_read_each_others_answers(elasticsearch_url, shop, alias):
    client = connect(elasticsearch_url, {})
    search = ProductSearch(client.options(request_timeout=10), alias, shop)
    search.search("kettle", 1, mode="lexical")  # leaves a connection open
    fork = multiprocessing.get_context("fork")
    gate, answers = fork.Barrier(4), fork.Queue()
    children = [fork.Process(target=_searches, args=(search, 2 * n, gate, answers)) for n in range(4)]
    for child in children:
        child.start()
    try:
        given = [answers.get(timeout=60) for _ in children]
    finally:
        for child in children:
            child.join(10)
            child.kill()
    assert given == [[(name, [f"{name}-1"]) for name, _ in one] for one in given]
    assert [hit.id for hit in search.search("mug", 1, mode="lexical")] == ["mug-1"]
