"""The reranking: the first products of an order are read once more, each beside the query, and change places.

Only they do: which products are first, and all that comes behind them, is as fusion, stock and variants have it. They
are always those of the first window, so that a product's place depends neither on k nor on where a page begins.
"""

from collections.abc import Sequence

from shelfwise.encoder import Floats
from shelfwise.fusion import min_max
from shelfwise.order import Order
from shelfwise.ranking import Candidate, Reranked
from shelfwise.reranker import Reranker


def rerank(order: Order, query: str, reranker: Reranker, count: int) -> None:
    """Put the first `count` products of an order by the reranker's score; what is out of stock last is not read."""
    first = order.first(count)
    # Each query for itself: batches of several would round a score differently from one call to the next.
    scores = reranker.score([(query, reranker.text(candidate.found)) for candidate in first])
    order.rearrange(reordered(first, scores, reranker.blend))


def reordered(candidates: Sequence[Candidate], scores: Floats, blend: float) -> list[Candidate]:
    """Best first, by `blend` x the reranker's score + (1 - blend) x the score so far, each stretched to [0, 1].

    Products with the query's exact words stay before the others; ties keep the order they had.

    :param candidates: best first.
    :param scores: the reranker's, float32 [n].
    """
    if not candidates:
        return []
    given = {
        "reranker": {one.id: score for one, score in zip(candidates, scores.tolist(), strict=True)},
        "fused": {one.id: one.score for one in candidates},
    }
    blended = {one.id: one.score for one in min_max(given, {"reranker": blend, "fused": 1.0 - blend})}
    reread = [
        one._replace(reranked=Reranked(rank, given["reranker"][one.id], blended[one.id]))
        for rank, one in enumerate(candidates, start=1)
    ]
    keys = [(not one.exact, -blended[one.id], rank) for rank, one in enumerate(reread)]
    return [reread[place] for _, _, place in sorted(keys)]
