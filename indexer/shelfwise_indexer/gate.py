"""The gate: a search that got significantly worse on its judged queries does not go live."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from shelfwise.bundle import Bundle
from shelfwise.errors import ShelfwiseError, UsageError
from shelfwise.live_index import LiveIndex
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings
from shelfwise_indexer.ablation import SHOWN, in_mode
from shelfwise_indexer.judgements import JudgedQuery, JudgementError, Judgements, read_judgements
from shelfwise_indexer.kept_settings import StrangeSynonyms, settings_of
from shelfwise_indexer.search_evaluation import SearchEvaluation, evaluate_search
from shelfwise_indexer.significance import Difference, paired

DEPTH = 10
LEAST_QUERIES = 5  # judged in both: of fewer the bootstrap's interval says nothing


@dataclass(frozen=True, slots=True)
class Saved:
    """What an earlier evaluation left in `figures.json`."""

    file: str
    k: int
    judgements: Judgements
    ndcg: Mapping[str, Mapping[str, float]]
    """System to query id to nDCG."""
    settings: SearchSettings = field(default_factory=SearchSettings)
    """Of the search that was measured."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a search compares with the one it would replace, on the queries whose judgements both share."""

    system: str
    against: str
    k: int
    difference: Difference

    @property
    def passed(self) -> bool:
        """Not significantly worse: the interval reaches zero, or lies above it."""
        return not self.difference.worse

    def to_json(self) -> dict[str, Any]:
        """The line on stdout."""
        return {"gate": self.against, "system": self.system, "passed": self.passed, **self.difference.to_json()}

    def __str__(self) -> str:
        one = self.difference
        return (
            f"nDCG@{self.k} of {self.system} is {one.mean:+.4f} ({one.low:+.4f} to {one.high:+.4f}) against "
            f"{self.against} on {one.queries} queries: {'passed' if self.passed else 'significantly worse'}"
        )


class GateFailed(ShelfwiseError):
    """A new index is significantly worse than what is live; it was not made live.

    :param index: its name; it was kept.
    """

    def __init__(self, verdict: Verdict, alias: str, index: str) -> None:
        self.verdict, self.alias, self.index = verdict, alias, index
        super().__init__(
            f"{verdict}. Alias {alias} was not moved and index {index} was kept: run the same without --gate to make "
            "it live all the same, or delete it"
        )

    def to_json(self) -> dict[str, Any]:
        """The line on stdout."""
        return {"alias": self.alias, "index": self.index, "swapped": False, **self.verdict.to_json()}


@dataclass(frozen=True, slots=True)
class Gate:
    """What a new index has to pass before it goes live: saved figures, or a comparison with the live index.

    :param judgements: that both are measured on; those of the saved figures, if there are any.
    :param live_bundle: of the live index, if it is not the new one's.
    """

    judgements: Judgements
    saved: Saved | None = None
    live_bundle: Bundle | None = None

    @property
    def settings(self) -> SearchSettings:
        """Of the search that the new index is measured by: those of the saved figures, or the defaults."""
        return self.saved.settings if self.saved else SearchSettings()

    @classmethod
    def read(cls, file: str, queries: str | None = None, live_bundle: Bundle | None = None) -> "Gate":
        """The gate in a file: `figures.json` of `evaluate search --out`, or judgements.

        :raises JudgementError: it is neither, or too few queries in it could be used.
        """
        saved = read_figures(file)
        judgements = saved.judgements if saved else read_judgements(file, queries)
        _check_enough(sum(any(query.grades.values()) for query in judgements.queries), file)
        return cls(judgements, saved, live_bundle)

    def opponent(
        self, search: Callable[[Bundle], ProductSearch], live: LiveIndex, bundle: Bundle
    ) -> ProductSearch | None:
        """The live search, unless figures were saved; asked before anything is encoded.

        :param search: over the live alias, with a bundle.
        :param bundle: of the new index.
        :raises UsageError: the live index was written with another bundle, which was not given.
        """
        if self.saved is not None:
            return None
        theirs = self.live_bundle or bundle
        if live.meta.get("bundle") != theirs.version:
            raise UsageError(
                f"--gate compares with the live index {live.name}, which was written with bundle "
                f"{live.meta.get('bundle')}, not with {theirs.version}: give that bundle's folder with --live-bundle, "
                "or as --gate the figures.json that `shelfwise evaluate search --out` saved with it"
            )
        return search(theirs)

    def check(self, new: ProductSearch, live: ProductSearch | None, name: str) -> Verdict | None:
        """Measure the new index, and the live one unless its figures were saved; None: there is none to compare with.

        :param name: of the live index, for the verdict.
        """
        if self.saved is not None:
            return compare(_measured(new, self.judgements, self.saved.k), self.saved, SHOWN)
        if live is None:
            return None
        theirs = _measured(live, self.judgements, DEPTH).systems[SHOWN].ndcg
        ours = _measured(new, self.judgements, DEPTH).systems[SHOWN].ndcg
        return Verdict(SHOWN, f"the live index {name}", DEPTH, paired(ours, theirs))


def read_figures(file: str) -> Saved | None:
    """What `evaluate search --out` saved as `figures.json`; None: the file holds something else.

    :raises JudgementError: the file cannot be read, or was saved in another format.
    """
    try:
        content = orjson.loads(Path(file).read_bytes())
        if not isinstance(content, dict) or "systems" not in content:
            return None
    except OSError as error:
        raise JudgementError(f"{file} cannot be read ({error.strerror}): check the path") from None
    except orjson.JSONDecodeError:
        return None
    try:
        if content["format"] != 1:
            raise ValueError
        judged = Judgements.from_json(content["judgements"]["queries"])
        ndcg = {name: dict(line["ndcg_of"]) for name, line in content["systems"].items()}
        told = content.get("settings")  # earlier versions told nothing
        return Saved(file, int(content["k"]), judged, ndcg, settings_of(told) if told else SearchSettings())
    except StrangeSynonyms as error:
        raise JudgementError(f"{file} was measured with other synonyms: {error}: save figures anew") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise JudgementError(
            f"{file}: expected figures as `shelfwise evaluate search --out` saves them (format 1): save them anew"
        ) from None


def compare(evaluation: SearchEvaluation, saved: Saved, system: str) -> Verdict:
    """One system of this evaluation against the same one in saved figures, on the queries judged alike in both.

    :raises JudgementError: the figures lack the system, measured other depths, or share too few queries with these.
    """
    alike = comparable(evaluation.queries, evaluation.k, saved, system)
    ours, theirs = evaluation.systems[system].ndcg, saved.ndcg[system]
    difference = paired({id_: ours[id_] for id_ in alike}, {id_: theirs[id_] for id_ in alike})
    return Verdict(system, saved.file, saved.k, difference)


def comparable(queries: Sequence[JudgedQuery], k: int, saved: Saved, system: str) -> set[str]:
    """Ids of the queries on which a system, measured to a depth of k, can be compared with saved figures.

    :raises JudgementError: as `compare`, which need not be measured for first.
    """
    if system not in saved.ndcg:
        raise JudgementError(f"{saved.file} has no figures of {system}: it has {', '.join(saved.ndcg)}; save them anew")
    if saved.k != k:
        raise JudgementError(f"{saved.file} holds nDCG@{saved.k}, this run measures nDCG@{k}: give -k {saved.k}")
    before = {query.id: (query.text, dict(query.grades)) for query in saved.judgements.queries}
    alike = {query.id for query in queries if before.get(query.id) == (query.text, dict(query.grades))}
    alike &= saved.ndcg[system].keys()
    if not alike:
        raise JudgementError(f"{saved.file} shares no query, judged alike, with these judgements: save figures anew")
    _check_enough(len(alike), saved.file)
    return alike


def _check_enough(queries: int, file: str) -> None:
    if queries < LEAST_QUERIES:
        raise JudgementError(
            f"a gate needs at least {LEAST_QUERIES} queries that are judged alike in both and have a relevant product, "
            f"{file} gives {queries}: judge more, or leave out --gate"
        )


def _measured(searcher: ProductSearch, judgements: Judgements, k: int) -> SearchEvaluation:
    return evaluate_search({SHOWN: in_mode(searcher, "hybrid")}, judgements, 0, k)
