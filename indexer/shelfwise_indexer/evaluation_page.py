"""The page of an evaluation: one file that shows a shop, on its own queries, what got better and what got worse."""

from collections.abc import Mapping, Sequence
from html import escape

from shelfwise_indexer.evaluation_pictures import bars_with_intervals, wins_and_losses
from shelfwise_indexer.judgements import JudgedQuery
from shelfwise_indexer.page import document
from shelfwise_indexer.search_evaluation import Answer, SearchEvaluation
from shelfwise_indexer.significance import paired

SHOWN_QUERIES = 25  # greatest losses, and as many wins, with their hits
SHOWN_HITS = 5
STYLE = """
body { font: 15px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #23272e; max-width: 1060px;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
svg { width: 100%; height: auto; } table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid #e6e8ec; text-align: right; vertical-align: top; }
th:first-child, td:first-child, td.hits, th.hits { text-align: left; } td.hits { width: 36%; }
ol { margin: 0; padding-left: 1.3rem; } li.judged { font-weight: 600; } li.unjudged { color: #7a808b; }
th, td { overflow-wrap: normal; } td:first-child, td.hits { min-width: 9ch; overflow-wrap: anywhere; }
td.change { white-space: nowrap; }
@media (max-width: 700px) { table { display: block; overflow-x: auto; } td.hits { min-width: 24ch; } }
.better { color: #1a7f4b; } .worse { color: #b3372f; } .small { color: #5d6470; font-size: .87rem; }
"""


def page(
    evaluation: SearchEvaluation,
    baseline: str,
    shown: str,
    about: Mapping[str, str],
    steps: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> str:
    """The whole page: no script, nothing loaded from anywhere, every text of shop and shoppers escaped.

    :param baseline: the system that the others are compared with.
    :param shown: the system whose wins and losses are told query by query.
    :param about: what was measured, where and when: name to value.
    :param steps: pairs of systems, new and old, whose difference is told; those that were measured.
    :param notes: what must be known to read the figures.
    """
    facts = " · ".join(f"{escape(name)} {escape(value)}" for name, value in about.items())
    # Rounded as the table has them: rounded in one step, a mean may show another third decimal.
    means = {name: round(system.mean_ndcg, 4) for name, system in evaluation.systems.items()}
    k = evaluation.k
    sections = [
        f"<h1>Search, measured on {len(evaluation.queries)} queries</h1>",
        f'<p class="small">{facts}</p>',
        *(f"<p>{escape(note)}</p>" for note in notes),
        f"<h2>nDCG@{k} of each system</h2>",
        bars_with_intervals(means, evaluation.against(baseline), baseline),
        f'<p class="small">nDCG@{k} with gain 2<sup>grade</sup> − 1. The interval is a paired bootstrap over the '
        "queries: where it lies clear of zero, other queries of this kind would very likely show the same.</p>",
        _steps(evaluation, steps),
        _measures(evaluation),
        _judging(evaluation),
    ]
    if shown != baseline:
        sections += _query_by_query(evaluation, baseline, shown)
    return document("Search, measured", STYLE, "".join(sections))


def _steps(evaluation: SearchEvaluation, steps: Sequence[tuple[str, str]]) -> str:
    systems, rows = evaluation.systems, []
    for new, old in steps:
        if new in systems and old in systems:
            one = paired(systems[new].ndcg, systems[old].ndcg)
            way = "better" if one.better else "worse" if one.worse else "same"
            rows.append(
                f"<tr><td>{escape(new)} minus {escape(old)}</td>"
                f'<td class="{way}">{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})</td><td>{one.queries}</td></tr>'
            )
    if not rows:
        return ""
    head = "<tr><th>what each part adds</th><th>nDCG (95 % interval)</th><th>queries</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _measures(evaluation: SearchEvaluation) -> str:
    k = evaluation.k
    rows = []
    for line in evaluation.to_json():
        shares = [line[name] for name in (f"ndcg@{k}", f"recall@{k}", "mrr")]
        cells = [
            *(f"{share:.3f}" for share in shares),
            f"{line['zero_results']:.1%}",
            f"{line['coverage']:.1%}",
            "–" if line["diversity"] is None else f"{line['diversity']:.2f}",
            f"{line['unjudged']:,} of {line['hits']:,}",
            f"{line['latency_ms']['p50']:.0f} / {line['latency_ms']['p95']:.0f} ms",
        ]
        rows.append(f"<tr><td>{escape(line['system'])}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    names = (
        f"nDCG@{k}",
        f"recall@{k}",
        "MRR",
        "no results",
        "coverage",
        "diversity",
        "unjudged hits",
        "latency p50 / p95",
    )
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><tr><th>system</th>{head}</tr>{''.join(rows)}</table>"


def _judging(evaluation: SearchEvaluation) -> str:
    left_out = len(evaluation.judgements.queries) - len(evaluation.queries)
    said = [
        "Unjudged hits count as irrelevant: a system that finds products nobody has looked at yet looks worse than it "
        "is.",
        f"Recall and MRR count products of grade {evaluation.relevant} and above.",
        f"Coverage is the share of the catalogue's {evaluation.products:,} products that was shown for any query; "
        "diversity is 1 minus the mean cosine of two hits of one query.",
    ]
    if left_out:
        said.append(f"{left_out} queries have no relevant product and are left out.")
    return f'<p class="small">{" ".join(said)}</p>'


def _query_by_query(evaluation: SearchEvaluation, baseline: str, shown: str) -> list[str]:
    old, new = evaluation.systems[baseline].answers, evaluation.systems[shown].answers
    change = {query.id: new[query.id].ndcg - old[query.id].ndcg for query in evaluation.queries}
    ordered = sorted(evaluation.queries, key=lambda query: (change[query.id], query.id))
    lost = [query for query in ordered if change[query.id] < 0][:SHOWN_QUERIES]
    won = [query for query in reversed(ordered) if change[query.id] > 0][:SHOWN_QUERIES]
    parts = [
        f"<h2>{escape(shown)} against {escape(baseline)}, query by query</h2>",
        wins_and_losses(list(change.values()), shown, baseline),
    ]
    for title, queries in (("losses", lost), ("wins", won)):
        if queries:
            rows = "".join(_row(query, old[query.id], new[query.id]) for query in queries)
            parts.append(
                f"<h2>Greatest {title}</h2><table><tr><th>query</th><th>nDCG</th>"
                f'<th class="hits">{escape(baseline)}</th><th class="hits">{escape(shown)}</th></tr>{rows}</table>'
            )
    parts.append('<p class="small">Bold: judged relevant, with its grade. Grey: not judged.</p>')
    return parts


def _row(query: JudgedQuery, old: Answer, new: Answer) -> str:
    way = "better" if new.ndcg > old.ndcg else "worse"
    change = f'{old.ndcg:.2f} → {new.ndcg:.2f}<br><span class="{way}">{new.ndcg - old.ndcg:+.2f}</span>'
    return (
        f'<tr><td>{escape(query.text)}</td><td class="change">{change}</td>'
        f'<td class="hits">{_hits(query, old.hits)}</td><td class="hits">{_hits(query, new.hits)}</td></tr>'
    )


def _hits(query: JudgedQuery, hits: Sequence[tuple[str, str]]) -> str:
    if not hits:
        return '<span class="small">no result</span>'
    items = []
    for id_, title in hits[:SHOWN_HITS]:
        grade = query.grades.get(id_)
        kind = "unjudged" if grade is None else "judged" if grade else "irrelevant"
        mark = f" ({grade})" if grade is not None else ""
        items.append(f'<li class="{kind}">{escape(title or id_)}{mark}</li>')
    return f"<ol>{''.join(items)}</ol>"
