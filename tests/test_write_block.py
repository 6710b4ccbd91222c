"""The write block, and other blocks of an index that a run replaces, on a real server."""

import pytest
from elasticsearch import ApiError

from hand_index import CATALOGUE
from shelfwise import write_block
from shelfwise.clone import clone_index
from shelfwise.errors import ServerError
from shelfwise.live_index import live
from shelfwise.write_block import blocked, blocks, prepare
from test_index import BUNDLE, made_live

pytestmark = pytest.mark.es


def put_block(client, name, setting, value=True):
    client.indices.put_settings(index=name, settings={f"index.blocks.{setting}": value})


@pytest.fixture
def name(client, alias):
    name = made_live(client, alias)
    yield name
    for setting in ("read_only", "read_only_allow_delete", "metadata"):
        put_block(client, name, setting, None)


def test_in_between_nothing_is_written_and_afterwards_it_is(client, name):
    with blocked(client, name):
        assert blocks(client, name) == ["index.blocks.write"]
        with pytest.raises(ApiError, match="blocked"):
            client.index(index=name, id="a", document={"id": "a"})
    assert blocks(client, name) == []
    client.index(index=name, id="a", document={"id": "a"})


def test_a_block_that_somebody_else_set_stays_and_is_said(client, alias, name, capsys):
    put_block(client, name, "write")
    with blocked(client, name):
        pass
    clone = clone_index(client, live(client, alias), alias, BUNDLE, CATALOGUE)
    prepare(client, live(client, alias))
    assert (blocks(client, name), blocks(client, clone)) == (["index.blocks.write"], [])
    assert "cloning" not in live(client, alias).meta
    assert capsys.readouterr().err == (
        f"index {name} has the block index.blocks.write: it keeps it, and the next index takes writes\n"
    )


def test_a_block_of_somebody_else_that_is_gone_at_once_is_not_set_again(client, name, monkeypatch):
    monkeypatch.setattr(write_block, "blocks", lambda *_: ["index.blocks.write"])
    with blocked(client, name):
        pass
    assert blocks(client, name) == []


def test_what_went_wrong_first_is_what_is_said(client, name):
    put_block(client, name, "read_only")
    message = f"^writing _meta of index {name}: index {name} has the block index.blocks.read_only: "
    with pytest.raises(ServerError, match=message), blocked(client, name):
        pass
    put_block(client, name, "read_only", None)
    with pytest.raises(ValueError, match="first"), blocked(client, name):
        put_block(client, name, "read_only")
        raise ValueError("first")


@pytest.mark.parametrize("setting", ["read_only", "read_only_allow_delete"])
def test_an_index_that_cannot_be_replaced_is_refused_with_what_to_do(client, alias, name, setting):
    put_block(client, name, setting)
    with pytest.raises(ServerError, match=f"^index {name} has the block index.blocks.{setting}.*run the same command"):
        prepare(client, live(client, alias))


def test_an_index_whose_metadata_is_blocked_is_said_to_be(client, alias, name):
    put_block(client, name, "metadata")
    with pytest.raises(ServerError, match=f"looking for alias {alias}: index {name} has the block index.blocks.meta"):
        live(client, alias)


def test_a_clone_of_an_index_at_flood_stage_does_not_inherit_its_block(client, alias, name):
    put_block(client, name, "read_only_allow_delete")
    clone = clone_index(client, live(client, alias), alias, BUNDLE, CATALOGUE)
    assert blocks(client, clone) == []
