"""Settings of a search as saved figures carry them, so that a later run measures the same search."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from shelfwise.errors import ShelfwiseError
from shelfwise.query_weights import QueryWeights
from shelfwise.search_settings import SearchSettings
from shelfwise.synonyms import Synonyms
from shelfwise_indexer.catalogue import CatalogueError, file_hash

# The reranker is left out: it is a row of its own in every evaluation.
APART = ("query_weights", "synonyms", "rerank", "reranker")
PLAIN = tuple(one.name for one in fields(SearchSettings) if one.name not in APART)


class StrangeSynonyms(ShelfwiseError):
    """The file of synonyms is not what it was."""


def kept(settings: SearchSettings) -> dict[str, Any]:
    """What `settings_of` reads."""
    file = settings.synonyms.path.absolute() if settings.synonyms else None
    return {
        **{name: getattr(settings, name) for name in PLAIN},
        "query_weights": asdict(settings.query_weights),
        "synonyms": {"file": str(file), "sha256": _hash(file)} if file else None,
    }


def settings_of(content: Mapping[str, Any]) -> SearchSettings:
    """The settings that `kept` wrote.

    :raises StrangeSynonyms: their file is gone or was changed.
    :raises KeyError, TypeError: it wrote something else.
    """
    synonyms = content["synonyms"]
    if synonyms and _hash(Path(synonyms["file"])) != synonyms["sha256"]:
        raise StrangeSynonyms(f"{synonyms['file']} is gone or was changed")
    return SearchSettings(
        **{name: content[name] for name in PLAIN},
        query_weights=QueryWeights(**content["query_weights"]),
        synonyms=Synonyms(synonyms["file"]) if synonyms else None,
    )


def _hash(file: Path) -> str | None:
    try:
        return file_hash(file)
    except CatalogueError:
        return None
