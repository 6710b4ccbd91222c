"""Person by person: of two systems, whom the new one serves better and whom worse, with what each was recommended."""

from collections.abc import Sequence
from html import escape

from shelfwise_indexer.evaluation_pictures import wins_and_losses
from shelfwise_indexer.held_out import HeldOut
from shelfwise_indexer.recommend_evaluation import RecommendEvaluation

SHOWN_PEOPLE = 15  # greatest losses, and as many wins, with their hits
SHOWN_HITS = 5
SHOWN_HISTORY = 5  # newest products


def person_by_person(evaluation: RecommendEvaluation, old: str, new: str) -> list[str]:
    """The picture of all differences in nDCG, and the greatest ones with histories and hits; parts of a page."""
    ndcg = evaluation.measures[0]
    before, after = evaluation.systems[old].measures[ndcg], evaluation.systems[new].measures[ndcg]
    change = {person.user: after[person.user] - before[person.user] for person in evaluation.people}
    ordered = sorted(evaluation.people, key=lambda person: (change[person.user], person.next))
    lost = [person for person in ordered if change[person.user] < 0][:SHOWN_PEOPLE]
    won = [person for person in reversed(ordered) if change[person.user] > 0][:SHOWN_PEOPLE]
    parts = [wins_and_losses(list(change.values()), new, old, "people")]
    for title, people in (("losses", lost), ("wins", won)):
        if people:
            rows = "".join(_row(evaluation, person, old, new) for person in people)
            parts.append(
                f'<h2>Greatest {title}</h2><table><tr><th class="hits">history, newest first; then</th><th>nDCG</th>'
                f'<th class="hits">{escape(old)}</th><th class="hits">{escape(new)}</th></tr>{rows}</table>'
            )
    parts.append('<p class="small">Bold: what the person went on to.</p>')
    return parts


def _row(evaluation: RecommendEvaluation, person: HeldOut, old: str, new: str) -> str:
    ndcg = evaluation.measures[0]
    before, after = (evaluation.systems[name].measures[ndcg][person.user] for name in (old, new))
    way = "better" if after > before else "worse"
    newest = [evaluation.titles.get(event.product) or event.product for event in person.history[::-1]][:SHOWN_HISTORY]
    history = "".join(f"<li>{escape(title)}</li>" for title in newest)
    target = escape(evaluation.titles.get(person.next) or person.next)
    return (
        f'<tr><td class="hits"><ul>{history}</ul><b>→ {target}</b></td>'
        f'<td class="change">{before:.2f} → {after:.2f}<br><span class="{way}">{after - before:+.2f}</span></td>'
        + "".join(
            f'<td class="hits">{_hits(evaluation, person, evaluation.systems[name].given[person.user].hits)}</td>'
            for name in (old, new)
        )
        + "</tr>"
    )


def _hits(evaluation: RecommendEvaluation, person: HeldOut, hits: Sequence[str]) -> str:
    if not hits:
        return '<span class="small">no hit</span>'
    items = []
    for id_ in hits[:SHOWN_HITS]:
        kind = "judged" if id_ == person.next else "other"
        items.append(f'<li class="{kind}">{escape(evaluation.titles.get(id_) or id_)}</li>')
    return f"<ol>{''.join(items)}</ol>"
