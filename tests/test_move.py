"""What else stands for the live index moves with its alias, on a real server."""

import pytest

from hand_index import CATALOGUE
from shelfwise.index import create_index, finish, rollback, swap
from shelfwise.live_index import live
from shelfwise.trial import on_trial
from test_index import BUNDLE, made_live, swap_overtaken

pytestmark = pytest.mark.es
IN_STOCK = {"term": {"in_stock": True}}


def aliases(client, name):
    return client.indices.get_alias(index=name)[name]["aliases"]


def test_other_aliases_and_the_options_of_all_go_along_and_come_back(client, alias, capsys):
    first = made_live(client, alias)
    given = {
        alias: {"filter": IN_STOCK, "is_write_index": True},
        f"{alias}-write": {"index_routing": "1", "search_routing": "1,2"},
        f"{alias}-hidden": {"is_hidden": True},
    }
    client.indices.update_aliases(actions=[{"add": {"index": first, "alias": n, **o}} for n, o in given.items()])
    second = made_live(client, alias)
    assert (aliases(client, first), aliases(client, second)) == ({}, given)
    said = f"other aliases of index {first} were moved to {second}, too: {alias}-hidden, {alias}-write\n"
    assert capsys.readouterr().err == said
    rollback(client, alias)
    assert (aliases(client, first), aliases(client, second)) == (given, {})


def test_of_an_alias_of_several_indices_only_the_part_of_the_live_one_moves(client, alias):
    first = made_live(client, alias)
    other = made_live(client, f"{alias}-other")
    client.indices.update_aliases(actions=[{"add": {"indices": [first, other], "alias": f"{alias}-all"}}])
    second = made_live(client, alias)
    assert set(client.indices.get_alias(name=f"{alias}-all")) == {second, other}


def test_the_alias_of_a_trial_that_was_killed_does_not_go_along(client, alias):
    first = made_live(client, alias)
    trial = on_trial(client, alias, first)
    name = trial.__enter__()
    second = made_live(client, alias)
    assert (set(aliases(client, first)), set(aliases(client, second))) == ({name}, {alias})
    trial.__exit__(None, None, None)


def test_when_the_alias_was_moved_meanwhile_no_other_moves_either(client, alias, monkeypatch):
    first = made_live(client, alias)
    client.indices.put_alias(index=first, name=f"{alias}-write")
    slow, fast = create_index(client, alias, BUNDLE, CATALOGUE), create_index(client, alias, BUNDLE, CATALOGUE)
    finish(client, slow)
    swap_overtaken(client, alias, slow, fast, monkeypatch)
    assert (set(aliases(client, fast)), aliases(client, slow)) == ({alias, f"{alias}-write"}, {})


def test_a_new_index_that_keeps_the_alias_of_a_template_is_deleted(client, alias, template, monkeypatch):
    first = made_live(client, alias)
    template(alias)

    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(client.indices, "update_aliases", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create_index(client, alias, BUNDLE, CATALOGUE)
    assert list(client.indices.get(index=f"{alias}-*")) == [first]


@pytest.fixture
def template(client, alias):
    """An index template of the shop, which gives every index of the alias the alias and another one."""

    def put(*names):
        given = {"aliases": {name: {} for name in names}}
        client.indices.put_index_template(name=alias, index_patterns=[f"{alias}-*"], template=given)

    yield put
    client.indices.delete_index_template(name=alias)


def test_what_a_template_gives_a_new_index_of_the_live_ones_aliases_it_gets_when_it_goes_live(
    client, alias, template, capsys
):
    template(alias, f"{alias}-all")
    first = create_index(client, alias, BUNDLE, CATALOGUE)
    assert set(aliases(client, first)) == {f"{alias}-all"}
    finish(client, first)
    swap(client, alias, first)
    capsys.readouterr()
    second = create_index(client, alias, BUNDLE, CATALOGUE)
    assert aliases(client, second) == {}
    assert live(client, alias).name == first
    said = capsys.readouterr().err
    assert f"gave the new index {second} aliases of the live one, which were taken away: {alias}, {alias}-all;" in said
    assert "take them out of the template" in said
    finish(client, second)
    swap(client, alias, second)
    assert (set(aliases(client, second)), aliases(client, first)) == ({alias, f"{alias}-all"}, {})
