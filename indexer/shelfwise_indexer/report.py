"""The report: what a training knows about its classifier, on one page that a merchandiser can read."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from shelfwise.taxonomy import path_text
from shelfwise_indexer import page
from shelfwise_indexer.charts import Axis, Curve, axis_around, bar, curve_chart
from shelfwise_indexer.encoder_retrieval import MEANING
from shelfwise_indexer.evaluate import Epoch
from shelfwise_indexer.mistakes import class_scores, confusions
from shelfwise_indexer.reliability import reliability, risk_coverage
from shelfwise_indexer.report_data import ONLY_THE_BEST, ReportData
from shelfwise_indexer.smaller import figures_of

PAIRS, PAIR_EXAMPLES, ERRORS, SUSPECTS = 30, 3, 100, 100
CURVE_POINTS = 300
TRAINED_ON = "These products were trained on: the figures say nothing about new ones."
_SET = (
    "set when training stopped, the temperature and what is accepted: the figures are slightly optimistic. For "
    "others, evaluate it on a catalogue that took no part."
)
SET_BY = f"The model was not trained on these products, but they {_SET}"
LEARNT_SINCE = f"The figures are from before the model learnt these products too. They {_SET}"
LEAST_COVERAGE = 0.05  # from which the risk curve sets its scale


def write_report_page(folder: Path, data: ReportData) -> Path:
    """Write `index.html` into the folder, which is made where it is not there, and give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "index.html"
    file.write_text(report_page(data), encoding="utf-8")
    return file


def report_page(data: ReportData) -> str:
    """The whole page as HTML that asks for nothing from elsewhere. Texts of the shop are shown, never interpreted."""
    if not data.paths:
        return page.page(data.title, page.note("There was no held-back product to measure on."), *_preparation(data))
    return page.page(
        data.title,
        *_standing(data),
        _overview(data),
        *_sets(data),
        *_losses(data),
        *_encoder(data),
        _levels(data),
        *_baselines(data),
        _curves(data),
        _pairs(data),
        _classes(data),
        _errors(data),
        _suspects(data),
        *_preparation(data),
    )


def _standing(data: ReportData) -> Iterator[str]:
    """What the products that are measured on had to do with the training, and which the classifier cannot get right."""
    if data.unknown_categories:
        never = sum(not any(path in data.taxonomy.leaf_number for path in paths) for paths in data.paths)
        yield page.note(
            f"{data.unknown_categories:,} categories of these products are none that the bundle predicts: {never:,} "
            "products are in no other and count as wrong at the leaves."
        )
    if data.trained_on:
        yield page.note(TRAINED_ON)
    elif data.known:
        yield page.note(f"{data.known:,} of these {len(data.ids):,} products were trained on: the figures flatter.")
    elif data.epochs:
        yield page.note(LEARNT_SINCE if data.learnt_since else SET_BY)


def _overview(data: ReportData) -> str:
    leaf, precision = data.scores.levels[-1], data.accepted.precision
    best = "best category " if data.scores.sets else ""
    return page.figures(
        [
            ("products measured on", f"{data.scores.products:,}"),
            ("categories", f"{len(data.taxonomy.leaves):,}"),
            ("mean weighted F1", f"{data.scores.mean_weighted_f1:.3f}"),
            ("leaf accuracy", f"{leaf.accuracy:.3f}"),
            ("calibration error (ECE)", f"{data.calibration_error:.3f}"),
            (f"{best}accepted without a person", f"{data.accepted.coverage:.1%}"),
            ("of those right", "–" if precision is None else f"{precision:.1%}"),
        ]
    )


def _sets(data: ReportData) -> Iterator[str]:
    """Where a product may be in several categories: all of them, beside the best alone, of which the rest is."""
    if data.scores.sets is None:
        return
    yield page.section(
        "All categories of a product",
        page.note(
            "The figures above and the tables below are about the most probable category, which is right if the "
            "product stands under it. These are about all that a product is given."
        ),
        page.figures(
            [
                ("micro F1 of the sets", f"{data.scores.sets.micro_f1:.3f}"),
                ("exactly the right set", f"{data.scores.sets.exact_match:.1%}"),
                ("of all true categories accepted without a person", f"{data.scores.sets.accepted_share:.1%}"),
            ]
        ),
        *([] if data.filing.accepts_further else [page.note(f"{ONLY_THE_BEST[0].upper()}{ONLY_THE_BEST[1:]}.")]),
    )


def _losses(data: ReportData) -> Iterator[str]:
    if data.losses:
        yield page.section(
            "Smaller than what it was made of",
            page.note("Measured on products held back, against what it was made of, before the cut or by the teacher."),
            page.figures(figures_of(data.losses)),
        )


def _encoder(data: ReportData) -> Iterator[str]:
    if not data.encoder:
        return
    before, after = (data.encoder["held_back"][when] for when in ("before", "after"))
    used = sum(count["used"] for count in data.encoder["pairs"].values())
    rows = [(what, before[name], after[name]) for name, what in MEANING.items() if after[name] is not None]
    yield page.section(
        "A separate encoder",
        page.note(
            f"Search reads {data.encoder['name']}, fitted on {used:,} pairs of the training part. "
            f"Measured on {after['products']:,} held-back products, each compared with all the others."
        ),
        page.table(["Finds", "Before", "After"], rows),
    )


def _levels(data: ReportData) -> str:
    rows = [
        (one.level, one.classes, one.accuracy, one.weighted_f1, one.macro_f1, page.Markup(bar(one.weighted_f1)))
        for one in data.scores.levels
    ]
    heads = ["Level", "Classes", "Accuracy", "Weighted F1", "Macro F1", ""]
    return page.section(
        "Levels",
        page.note("Level 1 are the roots. A product in several categories counts as right in any of them."),
        page.table(heads, rows),
    )


def _baselines(data: ReportData) -> Iterator[str]:
    others = data.baselines.get("rows", [])
    if not others:
        return
    measured = [(row["name"], row["mean_weighted_f1"], row["levels"][-1]) for row in others]
    own = data.scores.to_json()
    if not any(name.startswith("bundle ") for name, *_ in measured):
        measured.append(("this classifier", own["mean_weighted_f1"], own["levels"][-1]))
    measured.sort(key=lambda row: -row[1])
    place = next(at for at, (name, *_) in enumerate(measured) if name.startswith(("bundle ", "this classifier")))
    rows = [
        (name, float(mean), float(leaf["accuracy"]), float(leaf["macro_f1"]), page.Markup(bar(mean)))
        for name, mean, leaf in measured
    ]
    heads = ["Classifier", "Mean weighted F1", "Leaf accuracy", "Leaf macro F1", ""]
    held_back = data.baselines.get("split", {}).get("held_back")
    yield page.section(
        "Beside the baselines",
        page.note(
            f"The same {held_back:,} held-back products, the same metrics."
            if held_back == data.scores.products
            else f"The baselines were measured on {held_back} products, this classifier on {data.scores.products}: "
            "compare only where these are the same."
        ),
        page.table(heads, rows, own=place),
    )


def _curves(data: ReportData) -> str:
    bins = reliability(data.leaves.confidence, data.leaves.correct)
    diagram = curve_chart(
        [Curve("reliability", [(one.confidence, one.accuracy) for one in bins])],
        Axis("confidence"),
        Axis("share that is right"),
        diagonal=True,
    )
    coverage, risk = risk_coverage(data.certain, data.leaves.correct)
    shown = np.unique(np.linspace(0, len(coverage) - 1, CURVE_POINTS).astype(np.int64))
    # One confident error among the first few products would set the scale for all of the others.
    worst = max(0.05, float(risk[coverage >= LEAST_COVERAGE].max()))
    trade = curve_chart(
        [Curve("risk", [(float(coverage[at]), float(risk[at])) for at in shown])],
        Axis("coverage: share accepted without a person"),
        Axis("risk: share of those that is wrong", 0.0, worst),
        mark=None if data.accepted.precision is None else (data.accepted.coverage, 1 - data.accepted.precision),
    )
    charts = [
        (f"Reliability, {len(bins)} bins of equal mass, ECE {data.calibration_error:.3f}", diagram),
        ("Risk and coverage; the circle is what the bundle accepts", trade),
    ]
    if data.epochs:
        charts += _learning(data.epochs)
    return page.section(
        "Confidence" + (" and learning" if data.epochs else ""),
        page.note("On the dashed diagonal a confidence means what it says: of ten products at .9, nine are right."),
        page.pictures(charts),
    )


def _learning(epochs: Sequence[Epoch]) -> list[tuple[str, str]]:
    x = axis_around("epoch", [one.epoch for one in epochs], whole=True)
    loss = axis_around("training loss", [one.loss for one in epochs])
    f1 = axis_around("held-back mean weighted F1", [one.held_back_f1 for one in epochs])
    return [
        ("Training loss", curve_chart([Curve("loss", [(one.epoch, one.loss) for one in epochs])], x, loss)),
        ("Held-back F1", curve_chart([Curve("F1", [(one.epoch, one.held_back_f1) for one in epochs])], x, f1)),
    ]


def _pairs(data: ReportData) -> str:
    rows = [
        (
            path_text(pair.truth),
            path_text(pair.guess),
            len(pair.rows),
            pair.share,
            page.bullets([f"{data.texts[row][:100]} ({data.ids[row]})" for row in pair.rows[:PAIR_EXAMPLES]]),
        )
        for pair in confusions(data.leaves)[:PAIRS]
    ]
    heads = ["Is filed under", "Taken for", "Products", "Share of the first", "Most confident examples"]
    return page.section("Worst pairs", page.table(heads, rows, sortable=True))


def _classes(data: ReportData) -> str:
    parts = []
    for level in range(data.taxonomy.depth, 0, -1):
        made = data.at_level(level)
        rows = [
            (path_text(one.path), one.products, one.predicted, one.precision, one.recall, one.f1)
            for one in class_scores(made)
        ]
        heads = ["Category", "Products", "Predicted", "Precision", "Recall", "F1"]
        parts.append(page.folded(f"Level {level}: {len(rows)} classes", page.table(heads, rows, sortable=True)))
    return page.section("Classes", page.note("A click on a head sorts by its column."), *parts)


def _errors(data: ReportData) -> str:
    made = data.leaves
    wrong = sorted(np.flatnonzero(~made.correct).tolist(), key=lambda row: -made.confidence[row])
    rows = [
        (
            float(made.confidence[row]),
            data.ids[row],
            data.texts[row],
            path_text(made.truths[row]),
            path_text(made.guesses[row]),
        )
        for row in wrong[:ERRORS]
    ]
    heads = ["Confidence", "Id", "Text", "Is filed under", "Predicted"]
    return page.section(
        "Errors, most confident first",
        page.note(f"{len(wrong):,} of {len(made.truths):,} products; the first {len(rows)} are shown."),
        page.table(heads, rows, sortable=True),
    )


def _suspects(data: ReportData) -> str:
    made = data.leaves
    rows = [
        (
            one.label_probability,
            data.ids[one.row],
            data.texts[one.row],
            path_text(made.truths[one.row]),
            path_text(made.guesses[one.row]),
        )
        for one in data.suspects[:SUSPECTS]
    ]
    heads = ["Probability of its category", "Id", "Text", "Is filed under", "Looks like"]
    return page.section(
        "Suspected label errors",
        page.note(
            f"{len(data.suspects):,} products whose own category confident learning doubts; the first {len(rows)} "
            "are shown. Some are the classifier's errors: a person decides."
        ),
        page.table(heads, rows, sortable=True),
    )


def _preparation(data: ReportData) -> Iterator[str]:
    if data.preparation:
        parts = [page.folded(str(name), _shown(content)) for name, content in data.preparation.items()]
        yield page.section("Preparation", page.note("What each stage found before training."), *parts)


def _shown(content: object) -> str:
    """Any JSON as nested lists; of a long list the beginning."""
    if isinstance(content, Mapping):
        parts = (f"<li>{page.text(name)}: {_shown(value)}</li>" for name, value in content.items())
        return f"<ul>{''.join(parts)}</ul>"
    if isinstance(content, (list, tuple)):
        if all(isinstance(one, str) for one in content):
            return page.text(", ".join(content))
        more = f"<li>and {len(content) - 10} more</li>" if len(content) > 10 else ""
        return f"<ul>{''.join(f'<li>{_shown(one)}</li>' for one in content[:10])}{more}</ul>"
    return page.text(content)
