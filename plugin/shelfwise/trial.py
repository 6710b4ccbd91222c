"""The trial: an index that is not live yet is searched as it would be, by an alias of its own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from elasticsearch import Elasticsearch

from shelfwise.server import one_line


@contextmanager
def on_trial(client: Elasticsearch, alias: str, name: str) -> Iterator[str]:
    """Another alias for an index that is not live yet, so that it is searched as it would be; removed afterwards."""
    trial = f"{_prefix(alias)}{name.removeprefix(alias)}"
    with one_line(f"putting index {name} on trial"):
        client.indices.put_alias(index=name, name=trial)
    try:
        yield trial
    finally:
        with one_line(f"ending the trial of index {name}"):
            client.indices.delete_alias(index=name, name=trial)


def is_trial(name: str, alias: str) -> bool:
    """Whether an alias is that of a trial, which a run that was killed left."""
    return re.fullmatch(rf"{re.escape(_prefix(alias))}-\d{{14}}-\w+", name) is not None


def _prefix(alias: str) -> str:
    return f"{alias[:100]}-trial"
