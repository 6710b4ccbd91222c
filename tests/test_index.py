import socket
import threading
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import elasticsearch
import numpy as np
import pytest
from elasticsearch import BadRequestError

from hand_index import CATALOGUE
from shelfwise.errors import IncompatibleIndex, ServerError, UsageError
from shelfwise.index import (
    FILLING,
    after_filling,
    create_index,
    finish,
    rollback,
    status,
    superseded,
    swap,
    unfinished,
    written_since_live,
)
from shelfwise.live_index import check_alias, check_compatible, live, rewrite_meta
from shelfwise.mapping import index_body, index_settings, mapping_hash
from shelfwise.query import semantic
from shelfwise.server import _login, _parts, connect, server_version, takes_flat_threshold
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer import bulk

TAXONOMY = Taxonomy.of([("A",)])
BUNDLE = SimpleNamespace(path=Path("model"), version="aaaaaaaa1111", dimension=2, taxonomy=TAXONOMY)
OTHER = SimpleNamespace(path=Path("other"), version="bbbbbbbb2222", dimension=2, taxonomy=TAXONOMY)
WIDER = SimpleNamespace(path=Path("wider"), version="cccccccc3333", dimension=3, taxonomy=TAXONOMY)
RUN = "0123456789abcdef"


def swap_overtaken(client, alias, slow, fast, monkeypatch):
    """A swap that another one is ahead of, just before the alias moves; it is refused."""
    put_mapping = client.indices.put_mapping

    def overtaken(**given):
        monkeypatch.undo()
        swap(client, alias, fast)
        return put_mapping(**given)

    monkeypatch.setattr(client.indices, "put_mapping", overtaken)
    with pytest.raises(ServerError, match=f"moving alias {alias} to index {slow}"):
        swap(client, alias, slow)


def made_live(client, alias, bundle=BUNDLE, catalogue=CATALOGUE):
    name = create_index(client, alias, bundle, catalogue)
    finish(client, name)
    swap(client, alias, name)
    return name


def test_the_body_is_the_file_with_dimension_and_meta_filled_in():
    body = index_body(384, {"schema": 1})
    assert body["mappings"]["_meta"] == {"shelfwise": {"schema": 1}}
    assert body["mappings"]["dynamic"] == "strict"
    assert body["mappings"]["properties"]["shelfwise"]["dynamic"] == "strict"
    assert body["mappings"]["properties"]["shelfwise"]["properties"]["vector"] == {
        "type": "dense_vector",
        "dims": 384,
        "index": True,
        "similarity": "dot_product",
        "index_options": {"type": "int8_hnsw", "m": 16, "ef_construction": 100, "flat_index_threshold": 1100},
    }
    assert body["settings"]["index"] == index_settings()


def test_a_server_that_knows_no_threshold_is_not_told_one():
    vector = index_body(384, {}, flat_threshold=False)["mappings"]["properties"]["shelfwise"]["properties"]["vector"]
    assert vector["index_options"] == {"type": "int8_hnsw", "m": 16, "ef_construction": 100}


@pytest.mark.parametrize("dimension", [0, -1, 4097])
def test_a_dimension_that_the_server_does_not_take_is_refused(dimension):
    with pytest.raises(UsageError, match="1 to 4096 dimensions"):
        index_body(dimension, {})


@pytest.mark.parametrize(
    "alias", ["", "Products", "pro ducts", "products*", "a,b", "_all", "-a", "..", "a/b", "x" * 151, "a:b"]
)
def test_a_name_that_could_mean_several_indices_or_none_is_no_alias(alias):
    with pytest.raises(UsageError, match="cannot be an alias"):
        check_alias(alias)


@pytest.mark.parametrize("alias", ["products", "products-en", "shop.v2", "9", "商品"])
def test_names_that_the_server_takes_are_aliases(alias):
    check_alias(alias)


@pytest.mark.es
def test_a_new_index_has_the_meta_of_the_contract_and_fills_without_refresh(client, alias):
    name = create_index(client, alias, BUNDLE, CATALOGUE, RUN)
    stamp, bundle = name.removeprefix(f"{alias}-").split("-")
    assert (len(stamp), stamp.isdigit(), bundle) == (14, True, "aaaaaaaa")
    made = client.indices.get(index=name)[name]
    meta = made["mappings"]["_meta"]["shelfwise"]
    assert meta.pop("created_at")
    assert meta.pop("mapping") == mapping_hash()
    assert meta == {
        "schema": 1,
        "alias": alias,
        "bundle": "aaaaaaaa1111",
        "dimension": 2,
        "similarity": "dot_product",
        "taxonomy": TAXONOMY.hash,
        "catalogue": CATALOGUE,
        "run": RUN,
        "state": "filling",
        "previous": None,
    }
    assert made["settings"]["index"]["refresh_interval"] == "-1"
    assert made["settings"]["index"]["number_of_replicas"] == "0"


@pytest.mark.es
def test_a_segment_of_thousands_has_no_graph_where_the_server_can_do_without_and_finds_the_nearest(client, alias):
    vectors = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    name = create_index(client, alias, SimpleNamespace(**vars(BUNDLE) | {"dimension": 16}), CATALOGUE)
    documents = [{"id": str(row), "shelfwise": {"vector": vector.tolist()}} for row, vector in enumerate(vectors)]
    assert bulk.send(client, name, documents) == {}
    finish(client, name)
    [mapping] = client.indices.get_mapping(index=name).body.values()
    options = mapping["mappings"]["properties"]["shelfwise"]["properties"]["vector"]["index_options"]
    knows = takes_flat_threshold(client)
    assert options.get("flat_index_threshold") == (1100 if knows else None)
    if knows:
        of_vectors = client.indices.stats(index=name, metric="dense_vector")["_all"]["primaries"]["dense_vector"]
        assert of_vectors["off_heap"]["total_veq_size_bytes"] > 0
        assert not of_vectors["off_heap"].get("total_vex_size_bytes")
    found = client.search(index=name, body=semantic(vectors[0].tolist(), 50))["hits"]["hits"]
    nearest = np.argsort(-(vectors @ vectors[0]), kind="stable")[:50]
    assert [hit["_id"] for hit in found] == [str(row) for row in nearest]


@pytest.mark.es
def test_finish_gives_the_index_its_own_settings_back_and_shows_its_documents(client, alias):
    name = create_index(client, alias, BUNDLE, CATALOGUE)
    client.index(index=name, id="a", document={"id": "a", "title": "kettle", "shelfwise": {"vector": [0.6, 0.8]}})
    finish(client, name, segments=1)
    settings = client.indices.get_settings(index=name)[name]["settings"]["index"]
    assert settings["refresh_interval"] == "1s"
    assert settings["auto_expand_replicas"] == "0-1"
    assert client.count(index=name)["count"] == 1


@pytest.mark.es
def test_a_setting_that_was_taken_out_of_the_file_is_the_servers_default_after_filling(client, alias, monkeypatch):
    own = {key: value for key, value in index_settings().items() if key not in FILLING}
    monkeypatch.setattr("shelfwise.index.index_settings", lambda: own)
    name = create_index(client, alias, BUNDLE, CATALOGUE)
    finish(client, name)
    settings = client.indices.get_settings(index=name)[name]["settings"]["index"]
    assert settings["number_of_replicas"] == "1"
    assert not settings.keys() & {"refresh_interval", "auto_expand_replicas"}


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        ({"auto_expand_replicas": "0-1"}, {"refresh_interval": None, "auto_expand_replicas": "0-1"}),
        (
            {"refresh_interval": "5s", "number_of_replicas": 2},
            {"refresh_interval": "5s", "auto_expand_replicas": None, "number_of_replicas": 2},
        ),
        (
            {"auto_expand_replicas": False},
            {"refresh_interval": None, "auto_expand_replicas": False, "number_of_replicas": None},
        ),
    ],
)
def test_the_number_of_replicas_is_not_set_where_the_server_chooses_it(own, sent):
    assert after_filling(own) == sent


def segments(client, name):
    return client.indices.stats(index=name, metric="segments")["_all"]["primaries"]["segments"]["count"]


@pytest.mark.es
def test_finish_merges_as_far_as_it_is_told(client, alias):
    name = create_index(client, alias, BUNDLE, CATALOGUE)
    for number in range(3):
        client.index(index=name, document={"id": str(number), "title": "kettle"}, refresh=True)
    assert finish(client, name)
    assert segments(client, name) == 3
    assert finish(client, name, segments=1)
    assert segments(client, name) == 1


@pytest.mark.es
def test_an_index_that_is_not_merged_in_time_is_ready_all_the_same(client, alias, monkeypatch):
    name = create_index(client, alias, BUNDLE, CATALOGUE)
    client.index(index=name, document={"id": "a", "title": "kettle"})
    monkeypatch.setattr("shelfwise.index.MERGE_TIMEOUT", 1e-6)
    assert not finish(client, name, segments=1)
    assert client.count(index=name)["count"] == 1


@pytest.mark.es
@pytest.mark.parametrize("document", [{"titel": "x"}, {"shelfwise": {"vektor": 1}}])
def test_a_field_that_the_mapping_does_not_name_is_refused(client, alias, document):
    name = create_index(client, alias, BUNDLE, CATALOGUE)
    with pytest.raises(BadRequestError, match="strict_dynamic_mapping_exception"):
        client.index(index=name, document=document)


@pytest.mark.es
@pytest.mark.parametrize("vector", [[0.6, 0.8, 0.0], [3.0, 4.0], [0.0, 0.0]])
def test_a_vector_of_another_dimension_or_length_is_refused(client, alias, vector):
    name = create_index(client, alias, BUNDLE, CATALOGUE)
    with pytest.raises(BadRequestError):
        client.index(index=name, document={"id": "a", "shelfwise": {"vector": vector}})


@pytest.mark.es
def test_the_fields_of_the_product_contract_are_taken(client, alias):
    name = create_index(client, alias, BUNDLE, CATALOGUE)
    document = {
        "id": "a",
        "title": "<b>Kettle</b>",
        "description": "水壶",
        "brand": "Ånna",
        "price": 9.99,
        "category": ["A > B"],
        "variant_of": "b",
        "in_stock": True,
        "popularity": 3,
        "language": "en",
        "image_url": "https://example.com/a.jpg",
        "created_at": "2026-01-02",
        "updated_at": "2026-01-02T03:04:05.678901+00:00",
        "attributes": {"color": ["red", "blue"], "size": {"height": 3}, "long": "x" * 40_000},
        "shelfwise": {
            "category": ["A > B"],
            "ancestors": ["A", "A > B"],
            "confidence": 0.5,
            "status": "review",
            "candidates": [{"category": "A > B", "probability": 0.5}],
            "vector": [0.6, 0.8],
            "similar": [{"id": "c", "score": 0.9}],
            "text_hash": "0" * 64,
            "bundle": "aaaaaaaa1111",
            "enriched_at": "2026-01-02T03:04:05.678901+00:00",
            "group": "b",
        },
    }
    client.index(index=name, id="a", document=document, refresh=True)
    for query in (
        {"match": {"title.english": "kettles"}},
        {"match": {"description.cjk": "水壶"}},
        {"term": {"brand.folded": "anna"}},
        {"term": {"attributes.color": "blue"}},
        {"term": {"attributes.size.height": "3"}},
        {"range": {"price": {"lte": 10}}},
    ):
        assert client.count(index=name, query=query)["count"] == 1, query
    assert client.count(index=name, query={"match": {"title": "b"}})["count"] == 0


@pytest.mark.es
def test_a_partial_update_of_the_price_keeps_the_vector(client, alias):
    name = made_live(client, alias)
    document = {"id": "a", "title": "kettle", "price": 2.0, "shelfwise": {"vector": [0.6, 0.8], "group": "a"}}
    client.index(index=name, id="a", document=document, refresh=True)
    client.update(index=name, id="a", doc={"price": 1.0}, refresh=True)
    found = client.search(index=name, query={"term": {"price": 1.0}}, fields=["shelfwise.vector"])["hits"]["hits"]
    assert found[0]["fields"]["shelfwise.vector"] == pytest.approx([0.6, 0.8], abs=1e-6)
    knn = {"field": "shelfwise.vector", "query_vector": [0.6, 0.8], "k": 1, "num_candidates": 10}
    assert client.search(index=name, knn=knn)["hits"]["hits"][0]["_score"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.es
def test_an_alias_moves_to_the_new_index_and_back(client, alias):
    first = made_live(client, alias)
    second = made_live(client, alias, OTHER)
    assert live(client, alias).name == second
    assert live(client, alias).meta["previous"] == first
    assert live(client, alias).meta["state"] == "complete"
    assert list(client.indices.get_alias(name=alias)) == [second]
    assert rollback(client, alias) == first
    assert list(client.indices.get_alias(name=alias)) == [first]
    with pytest.raises(UsageError, match=f"nothing to go back to: {first} replaced none"):
        rollback(client, alias)


@pytest.mark.es
def test_what_was_written_since_an_index_went_live_is_counted_and_named(client, alias):
    made_live(client, alias)
    second = made_live(client, alias, OTHER)
    assert written_since_live(client, live(client, alias)) == (0, [])
    client.index(index=alias, id="a", document={"id": "a", "title": "kettle"})
    client.index(index=alias, id="b", document={"id": "b", "title": "mug"})
    left = live(client, alias)
    rollback(client, alias)
    assert (left.name, written_since_live(client, left)) == (second, (2, ["a", "b"]))
    client.indices.delete(index=second)
    assert written_since_live(client, left) is None


@pytest.mark.es
def test_a_rollback_to_a_deleted_index_is_refused_and_changes_nothing(client, alias):
    first, second = made_live(client, alias), made_live(client, alias, OTHER)
    client.indices.delete(index=first)
    with pytest.raises(UsageError, match=f"cannot go back to {first}: that index was deleted"):
        rollback(client, alias)
    assert live(client, alias).name == second


@pytest.mark.es
def test_no_reader_ever_sees_the_alias_on_none_or_two_indices_during_swaps(client, alias):
    made_live(client, alias)
    done = threading.Event()

    def watch():
        seen = []
        while not done.is_set():
            seen.append(len(client.indices.get_alias(name=alias)))
        return seen

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            for _ in range(5):
                made_live(client, alias)
        finally:
            done.set()
        assert set(watching.result()) == {1}


@pytest.mark.es
def test_an_index_of_another_alias_is_not_swapped_in(client, alias):
    foreign = create_index(client, f"{alias}-other", BUNDLE, CATALOGUE)
    with pytest.raises(IncompatibleIndex, match=f"was made for alias {alias}-other, not for {alias}"):
        swap(client, alias, foreign)


@pytest.mark.es
def test_two_indices_made_in_the_same_second_have_two_names(client, alias):
    names = {create_index(client, alias, BUNDLE, CATALOGUE) for _ in range(3)}
    assert len(names) == 3


@pytest.mark.es
def test_an_alias_that_does_not_exist_is_answered_with_the_command_that_makes_it(client, alias):
    with pytest.raises(UsageError, match=f"there is no alias {alias}: `shelfwise index CATALOGUE --bundle BUNDLE"):
        live(client, alias)


@pytest.mark.es
def test_an_alias_that_is_a_plain_index_is_refused_before_anything_is_made(client, alias):
    client.indices.create(index=alias)
    for attempt in (lambda: live(client, alias), lambda: create_index(client, alias, BUNDLE, CATALOGUE)):
        with pytest.raises(IncompatibleIndex, match=f"{alias} is a plain index, not an alias: choose another --alias"):
            attempt()
    assert list(client.indices.get(index=f"{alias}*")) == [alias]


@pytest.mark.es
def test_an_alias_of_several_indices_is_refused(client, alias):
    for number in (1, 2):
        client.indices.create(index=f"{alias}-{number}", aliases={alias: {}})
    with pytest.raises(IncompatibleIndex, match=f"stands for 2 indices \\({alias}-1, {alias}-2\\)"):
        live(client, alias)


@pytest.mark.es
@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "was not made by shelfwise"),
        (
            {"shelfwise": {"schema": 2}},
            "has schema 2, this shelfwise knows 1: pip install --upgrade shelfwise, or index into another alias",
        ),
        ({"shelfwise": {}}, "has schema None"),
    ],
)
def test_an_index_that_this_version_does_not_know_is_refused(client, alias, meta, message):
    client.indices.create(index=f"{alias}-1", aliases={alias: {}}, mappings={"_meta": meta})
    with pytest.raises(IncompatibleIndex, match=message):
        live(client, alias)


@pytest.mark.es
def test_another_bundle_is_refused_with_what_to_do(client, alias):
    name = made_live(client, alias)
    found = live(client, alias)
    check_compatible(found, BUNDLE)
    with pytest.raises(IncompatibleIndex) as refused:
        check_compatible(found, OTHER)
    assert str(refused.value) == (
        f"bundle other is version bbbbbbbb2222, index {name} was written with aaaaaaaa1111: "
        "re-index with this bundle, or point --bundle, in Python Bundle.load, at the one in its _meta (aaaaaaaa1111)"
    )
    with pytest.raises(IncompatibleIndex) as refused:
        check_compatible(found, WIDER)
    assert str(refused.value) == (
        f"bundle wider was trained for 3 dimensions, index {name} has 2: "
        "re-index with this bundle, or point --bundle, in Python Bundle.load, at the one in its _meta (aaaaaaaa1111)"
    )


@pytest.mark.es
def test_a_killed_run_finds_its_index_again_and_only_its_own(client, alias):
    assert unfinished(client, alias, BUNDLE, CATALOGUE, RUN) is None
    made_live(client, alias)
    create_index(client, alias, BUNDLE, CATALOGUE, RUN)
    left = create_index(client, alias, BUNDLE, CATALOGUE, RUN)
    create_index(client, alias, BUNDLE, CATALOGUE)
    create_index(client, alias, BUNDLE, CATALOGUE, "fedcba9876543210")
    assert unfinished(client, alias, BUNDLE, CATALOGUE, RUN) == left
    assert unfinished(client, alias, OTHER, CATALOGUE, RUN) is None
    assert unfinished(client, alias, BUNDLE, "d" * 64, RUN) is None


@pytest.mark.es
def test_an_index_that_a_killed_run_left_with_another_mapping_is_not_gone_on_with(client, alias, monkeypatch):
    left = create_index(client, alias, BUNDLE, CATALOGUE, RUN)
    assert unfinished(client, alias, BUNDLE, CATALOGUE, RUN) == left
    monkeypatch.setattr("shelfwise.index.mapping_hash", lambda: "edited")
    assert unfinished(client, alias, BUNDLE, CATALOGUE, RUN) is None


def interrupted_before_the_move(client, alias, name, monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(client.indices, "update_aliases", interrupted)
        with pytest.raises(KeyboardInterrupt):
            swap(client, alias, name)


@pytest.mark.es
def test_an_index_that_was_about_to_go_live_is_filled_further(client, alias, monkeypatch):
    left = create_index(client, alias, BUNDLE, CATALOGUE, RUN)
    client.index(index=left, id="a", document={"id": "a", "title": "kettle"})
    finish(client, left)
    for _ in range(2):
        interrupted_before_the_move(client, alias, left, monkeypatch)
        assert unfinished(client, alias, BUNDLE, CATALOGUE, RUN) == left
        assert status_of(client, left) == "filling"
        client.index(index=left, id="b", document={"id": "b", "title": "mug"})
        assert unfinished(client, alias, BUNDLE, CATALOGUE, RUN) == left
    swap(client, alias, left)
    assert (live(client, alias).name, live(client, alias).meta["state"]) == (left, "complete")


def status_of(client, name):
    return client.indices.get_mapping(index=name)[name]["mappings"]["_meta"]["shelfwise"]["state"]


@pytest.mark.es
def test_an_index_that_was_live_and_written_into_is_not_filled_further(client, alias):
    made_live(client, alias)
    second = create_index(client, alias, BUNDLE, CATALOGUE, RUN)
    finish(client, second)
    swap(client, alias, second)
    client.index(index=alias, id="a", document={"id": "a", "title": "kettle"})
    rollback(client, alias)
    assert unfinished(client, alias, BUNDLE, CATALOGUE, RUN) is None


@pytest.mark.es
def test_superseded_indices_are_those_older_than_the_one_before_the_live(client, alias):
    first, second, third = (made_live(client, alias) for _ in range(3))
    assert superseded(client, alias) == [first]
    rollback(client, alias)
    assert superseded(client, alias) == []
    assert live(client, alias).name == second
    assert third in status(client, alias)["others"]


@pytest.mark.es
def test_what_is_live_is_never_superseded(client, alias):
    for second in (2, 1):  # of a machine whose clock is a little behind
        rewrite_meta(client, made_live(client, alias), {"created_at": f"2026-03-01T00:00:0{second}+00:00"})
    assert superseded(client, alias) == []


@pytest.mark.es
def test_status_says_what_is_live(client, alias):
    first = made_live(client, alias)
    second = made_live(client, alias)
    for id_, enriched in (
        ("a", {"status": "accepted", "vector": [0.6, 0.8]}),
        ("b", {"status": "review", "vector": [0.8, 0.6]}),
        ("c", {}),
    ):
        client.index(index=second, id=id_, document={"id": id_, "title": "x", "shelfwise": enriched}, refresh=True)
    said = status(client, alias)
    assert said.pop("created_at")
    assert said == {
        "alias": alias,
        "index": second,
        "bundle": "aaaaaaaa1111",
        "dimension": 2,
        "similarity": "dot_product",
        "taxonomy": TAXONOMY.hash,
        "catalogue": CATALOGUE,
        "schema": 1,
        "state": "complete",
        "products": 3,
        "vectors": 2,
        "by_status": {"accepted": 1, "review": 1, "none": 1},
        "previous": first,
        "blocks": [],
        "others": [first],
        "filling": [],
        "server": server_version(client),
        "client": ".".join(map(str, elasticsearch.__version__)),
    }


@pytest.mark.es
def test_status_names_blocks_of_what_is_live_and_indices_that_are_being_filled_or_were_left(client, alias):
    name = made_live(client, alias)
    rewrite_meta(client, name, {"cloning": name})
    client.indices.add_block(index=name, block="write")
    filling, clone = create_index(client, alias, BUNDLE, CATALOGUE), f"{name}-clone"
    client.indices.clone(index=name, target=clone)  # as it is when a run is killed that has just begun it
    said = status(client, alias)
    assert said["blocks"] == ["index.blocks.write"]
    assert said["filling"] == sorted([filling, clone])


@pytest.mark.es
def test_a_run_that_lost_the_race_for_the_alias_moves_nothing(client, alias, monkeypatch):
    first = made_live(client, alias)
    slow, fast = create_index(client, alias, BUNDLE, CATALOGUE), create_index(client, alias, BUNDLE, CATALOGUE)
    swap_overtaken(client, alias, slow, fast, monkeypatch)
    assert live(client, alias).name == fast
    assert live(client, alias).meta["previous"] == first


@pytest.mark.es
def test_connect_takes_the_url_from_the_environment(elasticsearch_url):
    assert server_version(connect(env={"ELASTICSEARCH_URL": elasticsearch_url})).count(".") == 2


def test_nothing_listening_is_one_line_with_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(ServerError) as refused:
        connect(f"http://ann:s3cret@127.0.0.1:{port}", {})
    assert str(refused.value).startswith(f"nothing answers at http://127.0.0.1:{port} (")
    assert "`shelfwise local start`" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("status_code", "content", "product", "message"),
    [
        (200, b"<html>hello</html>", None, "is not an Elasticsearch: check the URL"),
        (404, b"nothing here", None, "is not an Elasticsearch: check the URL"),
        (
            200,
            b'{"version": {"number": "8.18.1"}}',
            "Elasticsearch",
            "is Elasticsearch 8.18.1, shelfwise needs 8.19 or later",
        ),
        (200, b'{"version": {"number": "2.11.0"}}', None, "is not an Elasticsearch"),
        (
            401,
            b'{"error": {"type": "security_exception"}}',
            "Elasticsearch",
            "wants a login, or another one \\(401\\): set ELASTICSEARCH_API_KEY",
        ),
        (403, b'{"error": {"type": "security_exception", "reason": "no"}}', "Elasticsearch", "forbids it \\(403\\)"),
        (
            400,
            b'{"error": {"type": "media_type_header_exception", "reason": "Invalid media-type value"}, "status": 400}',
            "Elasticsearch",
            'older than the installed client: pip install "elasticsearch>=8.19,<9"',
        ),
    ],
)
def test_a_server_that_does_not_fit_is_one_line_with_what_to_do(status_code, content, product, message):
    """No Elasticsearch here can be too old or foreign, so a socket that answers as one would stands in for those."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status_code)
            self.send_header("Content-Type", "application/json" if content[:1] == b"{" else "text/html")
            if product:
                self.send_header("X-Elastic-Product", product)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(ServerError, match=message) as refused:
                connect(f"http://ann:s3cret@127.0.0.1:{server.server_port}", {})
        finally:
            server.shutdown()
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["localhost:9200", "ftp://x", "http://", "http://x:99999", "http://a:s3cret@", "x"])
def test_a_url_that_is_none_is_refused_without_showing_it(url):
    with pytest.raises(UsageError, match="must look like http://localhost:9200") as refused:
        connect(url, {})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "env"),
    [
        ("http://127.0.0.1:1", {"ELASTICSEARCH_USERNAME": "jörg", "ELASTICSEARCH_PASSWORD": "Schlüssel 1"}),
        ("http://j%C3%B6rg:Schl%C3%BCssel%201@127.0.0.1:1", {}),
    ],
)
def test_a_login_of_any_letters_is_sent_in_utf_8(url, env):
    with elasticsearch.Elasticsearch("http://127.0.0.1:1", **_login(_parts(url), env)) as client:
        sent = client._headers["authorization"].removeprefix("Basic ")
    assert b64decode(sent).decode() == "jörg:Schlüssel 1"


def test_a_key_loses_the_line_end_of_its_file_and_one_of_two_lines_is_refused():
    assert _login(_parts("http://x"), {"ELASTICSEARCH_API_KEY": "a2V5\r\n"}) == {"api_key": "a2V5"}
    with pytest.raises(UsageError, match="must be printable ASCII on one line") as refused:
        connect(None, {"ELASTICSEARCH_API_KEY": "s3cret\nmore"})
    assert "s3cret" not in str(refused.value)


def test_a_user_name_without_its_password_is_refused():
    with pytest.raises(UsageError, match="go together"):
        connect(None, {"ELASTICSEARCH_USERNAME": "ann"})
