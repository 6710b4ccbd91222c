"""The move: in one atomic call an alias, and what else stands for the live index, come to stand for another one."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch

from shelfwise.messages import tell
from shelfwise.server import one_line
from shelfwise.trial import is_trial

Options = Mapping[str, Any]  # of an alias: filter, routing, is_write_index


def move(client: Elasticsearch, alias: str, old: str | None, new: str) -> None:
    """Let an alias, and the other aliases of the index that it stands for, stand for another one, as they are.

    Of an alias that stands for further indices, only its part on the old one moves. The others are said.

    :param old: the index that it stands for; None: it stands for none.
    :raises ServerError: it does not stand for that one any more, and nothing was changed; or the server refused.
    """
    held = {} if old is None else aliases_of(client, old)
    moved = {alias: held.get(alias, {})} | {name: held[name] for name in held if not is_trial(name, alias)}
    actions: list[dict[str, Any]] = []
    for name, options in moved.items():
        if old is not None:
            # must_exist: when another run moved the alias since we looked, nothing happens and the server says so.
            actions.append({"remove": {"index": old, "alias": name, "must_exist": name == alias}})
        actions.append({"add": {"index": new, "alias": name, **options}})
    with one_line(f"moving alias {alias} to index {new}"):
        client.indices.update_aliases(actions=actions)
    if others := sorted(moved.keys() - {alias}):
        tell(f"other aliases of index {old} were moved to {new}, too: {', '.join(others)}")


def take_away(client: Elasticsearch, name: str, live: str | None, alias: str) -> None:
    """Take away from a new index what an index template gave it and the live one has, and the alias.

    Else each of them would stand for two indices while one is filled: no search would be answered, no write taken.

    :param live: the index that the alias stands for; None: there is none.
    :raises ServerError: the server refused; the new index is deleted.
    """
    try:
        given = aliases_of(client, name)
        moved_later = {alias, *aliases_of(client, live)} if given and live is not None else {alias}
        if taken := sorted(given.keys() & moved_later):
            with one_line(f"taking aliases away from index {name}"):
                client.indices.update_aliases(actions=[{"remove": {"index": name, "aliases": taken}}])
    except BaseException:
        with suppress(ApiError, TransportError):  # what went wrong first is what there is to say
            client.indices.delete(index=name, ignore_unavailable=True)
        raise
    if taken:
        tell(
            f"an index template gave the new index {name} aliases of the live one, which were taken away: "
            f"{', '.join(taken)}; take them out of the template, else searches fail for that moment every time"
        )


def aliases_of(client: Elasticsearch, index: str) -> dict[str, Options]:
    """The aliases of an index, with their options."""
    with one_line(f"reading the aliases of index {index}"):
        found: dict[str, Options] = client.indices.get_alias(index=index).body[index]["aliases"]
    return found
