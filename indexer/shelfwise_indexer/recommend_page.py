"""The page of an evaluation of recommendations: one file that shows which signal finds what people bought next."""

from collections.abc import Mapping
from html import escape

from shelfwise_indexer.charts import Axis, Curve, curve_chart
from shelfwise_indexer.evaluation_page import STYLE
from shelfwise_indexer.evaluation_pictures import bars_with_intervals
from shelfwise_indexer.held_out import MEANING
from shelfwise_indexer.next_item import NextItem
from shelfwise_indexer.page import document
from shelfwise_indexer.person_by_person import person_by_person
from shelfwise_indexer.recommend_evaluation import RecommendEvaluation, SystemResult

_CHARTS = """
table.measures td { white-space: nowrap; }
svg.curves { max-width: 640px; } svg.curves text { font-size: 12px; } .grid { stroke: #e6e8ec; }
.dashed { stroke: #c3c7cf; stroke-dasharray: 4 4; }
"""


def recommend_page(measured: NextItem, baseline: str, shown: str, about: Mapping[str, str]) -> str:
    """The whole page: no script, nothing loaded from anywhere, every text of the shop escaped, no user named.

    :param baseline: the system that the others are compared with.
    :param shown: the system that people get; what it adds to each other one is told.
    :param about: what was measured, where and when: name to value.
    """
    evaluation = measured.evaluation
    ndcg, recall, _ = evaluation.measures
    facts = " · ".join(f"{escape(name)} {escape(value)}" for name, value in about.items())
    sections = [
        f"<h1>Recommendations, measured on {len(evaluation.people)} people</h1>",
        f'<p class="small">{facts}</p>',
        f'<p class="small">{_how(measured)}</p>',
    ]
    for measure in (recall, ndcg):
        means = {name: round(system.mean(measure), 4) for name, system in evaluation.systems.items()}
        against = {name: evaluation.minus(name, baseline, measure) for name in means if name != baseline}
        sections += [
            f"<h2>{evaluation.named[measure]} of each system</h2>",
            bars_with_intervals(means, against, baseline, "people"),
        ]
    sections += [
        '<p class="small">The interval is a paired bootstrap over the people: where it lies clear of zero, other '
        "people of this kind would very likely show the same.</p>",
        f"<h2>Recall by the number of hits</h2>{_curves(evaluation)}",
        _added(evaluation, shown),
        _measures(evaluation),
    ]
    rival = max((name for name in evaluation.systems if name != shown), key=lambda n: evaluation.systems[n].mean(ndcg))
    sections.append(f"<h2>{escape(shown)} against {escape(rival)}, the strongest of the others, person by person</h2>")
    sections += person_by_person(evaluation, rival, shown)
    return document("Recommendations, measured", STYLE + _CHARTS, "".join(sections))


def _how(measured: NextItem) -> str:
    skipped = [f"{count:,} users {MEANING[reason]}" for reason, count in measured.skipped.items()]
    said = [
        "Each person's last product is hidden and the history before it is given; found means that very product. What "
        "the same people went on to was learnt from the others only.",
        f"{measured.repeats:,} of these people went on to what they had bought before.",
        f"Skipped: {'; '.join(skipped)}." if skipped else "Nobody was skipped.",
    ]
    if measured.not_sampled:
        said.append(f"{measured.not_sampled:,} further people were not in the sample.")
    return " ".join(said)


def _curves(evaluation: RecommendEvaluation) -> str:
    curves = [
        Curve(name, [(float(rank), _found_by(system, rank)) for rank in range(1, evaluation.k + 1)])
        for name, system in evaluation.systems.items()
    ]
    most = max(curve.points[-1][1] for curve in curves) * 1.4 or 1.0  # room above for the names
    chart = curve_chart(curves, Axis("hits", 1.0, float(max(evaluation.k, 2))), Axis("recall", 0.0, most))
    return chart.replace("<svg ", '<svg class="curves" ', 1)


def _found_by(system: SystemResult, rank: int) -> float:
    """Share of people whose next product is among so many first hits."""
    found = [reciprocal > 0 and 1 / reciprocal <= rank + 1e-6 for reciprocal in system.measures["mrr"].values()]
    return sum(found) / len(found)


def _added(evaluation: RecommendEvaluation, shown: str) -> str:
    rows = []
    for old in evaluation.systems:
        if old != shown:
            cells = []
            for measure in evaluation.named:
                one = evaluation.minus(shown, old, measure)
                way = "better" if one.better else "worse" if one.worse else "same"
                cells.append(f'<td class="{way}">{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})</td>')
            rows.append(f"<tr><td>{escape(shown)} minus {escape(old)}</td>{''.join(cells)}</tr>")
    names = "".join(f"<th>{name} (95 % interval)</th>" for name in evaluation.named.values())
    return f"<table><tr><th>what the {escape(shown)} adds</th>{names}</tr>{''.join(rows)}</table>" if rows else ""


def _measures(evaluation: RecommendEvaluation) -> str:
    rows = []
    for line in evaluation.to_json():
        cells = [
            *(f"{line[measure]:.3f} ± {line['standard_error'][measure]:.3f}" for measure in evaluation.named),
            f"{line['coverage']:.1%}",
            "–" if line["diversity"] is None else f"{line['diversity']:.2f}",
            f"{line['short']:.1%}",
            f"{line['zero_results']:.1%}",
            f"{line['latency_ms']['p50']:.0f} / {line['latency_ms']['p95']:.0f} ms",
        ]
        rows.append(f"<tr><td>{escape(line['system'])}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    names = (
        *evaluation.named.values(),
        "coverage",
        "diversity",
        f"fewer than {evaluation.k} hits",
        "no hit",
        "latency p50 / p95",
    )
    head = "".join(f"<th>{name}</th>" for name in names)
    said = (
        f"± is the standard error of the mean. Coverage is the share of the catalogue's {evaluation.products:,} "
        "products that was recommended to anybody; diversity is 1 minus the mean cosine of two hits of one list."
    )
    return f'<table class="measures"><tr><th>system</th>{head}</tr>{"".join(rows)}</table><p class="small">{said}</p>'
