"""The lexical head: a linear classifier on a text's words and pairs of words, beside the one on its embedding.

An embedding knows what words mean and blurs which ones they are; a brand, a unit or a model number that decides a
category is plain to a bag of words. So each leaf also gets a linear support vector machine over TF-IDF of the
backbone's own tokens and pairs of tokens, hashed into buckets (Weinberger et al., "Feature Hashing for Large Scale
Multitask Learning", ICML 2009), whose decision is added to the leaf's logit: a product of experts. So does each node
above the leaves, and its decision is added to the leaves below where that helps: the many products of "Beverages" teach
more about the word "juice" than the few of one leaf. All of it is linear in the same words, and one matrix in the end.
How much each counts is learnt on the held-back part. It is computed in the exported graph from the same tokens that the
trunk reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from tqdm import tqdm

from shelfwise.encoder import batches_by_length, padded
from shelfwise_indexer.memory import remembered

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
LEAST_BUCKETS, MOST_BUCKETS = 1 << 13, 1 << 16
TOLERANCE = 1e-3  # of liblinear
BALANCE = 0.5  # 0: every product weighs the same; 1: every leaf, as liblinear's "balanced"
START = 2.0  # the weight before held-back products say


@dataclass(frozen=True, slots=True)
class LexicalSettings:
    """How large the lexical head is, and how much of the training part it is fitted to."""

    weights: Annotated[
        int, Field(ge=0, description="About so many numbers, but at least 8,192 for each category; 0: no such head.")
    ] = 2_100_000
    products: Annotated[int, Field(ge=1, description="Training products that it is fitted to, at most.")] = 50_000


class LexicalHead(nn.Module):
    """Decisions of linear classifiers on hashed words and pairs of words, times a weight, to be added to logits."""

    def __init__(self, buckets: int, leaves: int, vocabulary: int) -> None:
        super().__init__()
        drawn = torch.randint(buckets, (3, vocabulary), generator=torch.Generator().manual_seed(0))
        self.register_buffer("hashes", drawn.int())  # of a word; of a pair's first and second word, to be added
        self.register_buffer("coefficients", torch.zeros(buckets, leaves))
        self.register_buffer("intercept", torch.zeros(leaves))
        self.register_buffer("rarity", torch.ones(buckets))  # inverse document frequency
        self.register_buffer("weight", torch.tensor(START))
        self.views: Sequence[int] = ()
        """Of the training texts, those that it was fitted to; not kept with it."""
        self.of_ancestors = 0.0
        """How much of what the nodes above say is in each leaf's decision, whose own counts 1; not kept with it."""
        self.lift = 0.0
        """What was added to every decision, see `weighing.centre`; not kept apart."""

    def lift_by(self, lift: float) -> None:
        """Add to the decision of every leaf; in place."""
        self.lift += lift
        cast(Tensor, self.intercept).add_(lift)

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> "LexicalHead":
        """The head whose `state_dict` this is."""
        buckets, leaves = state["coefficients"].shape
        head = cls(buckets, leaves, state["hashes"].shape[1])
        head.load_state_dict(dict(state))
        return head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Int [n, length] twice to float [n, leaves]."""
        return cast(Tensor, self.weight) * self.decisions(input_ids, attention_mask)

    def decisions(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Signed distances from each leaf's boundary, float [n, leaves]."""
        coefficients, rarity = cast(Tensor, self.coefficients), cast(Tensor, self.rarity)
        bucket, frequency, count = self.terms(input_ids, attention_mask)
        value = frequency * rarity[bucket]
        length = (value * value / count).sum(-1, keepdim=True).sqrt()
        value = value / count / length.clamp_min(1e-9)
        return (value.unsqueeze(1) @ coefficients[bucket]).squeeze(1) + cast(Tensor, self.intercept)

    def terms(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a text consists of: its words, then its pairs of neighbouring words.

        :returns: three tensors [n, 2 × length]: the bucket of each, int; the sublinear frequency of that bucket in
            the text, 1 + log(count), 0 for padding; and the count, float.
        """
        buckets = len(cast(Tensor, self.coefficients))
        word, first, second = cast(Tensor, self.hashes).long().unbind()
        pair = first[input_ids] + second[input_ids.roll(-1, 1)]
        pair = torch.where(pair < buckets, pair, pair - buckets)
        bucket = torch.cat([word[input_ids], pair], dim=1)
        last = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device) == input_ids.shape[1]
        followed = attention_mask.roll(-1, 1) * ~last
        there = torch.cat([attention_mask, followed], dim=1).float()
        same = (bucket.unsqueeze(2) == bucket.unsqueeze(1)).float()
        count = (same * there.unsqueeze(1)).sum(-1).clamp_min(1.0)
        return bucket, there * (1 + count.log()), count


def ways_to_read(views: int) -> list[tuple[int, ...]]:
    """The views that a lexical head may be fitted to: the first, in which texts are whole, alone or with the barest.

    The last is the barest, which is how queries and poor listings look. It teaches a machine much where a long
    description drowns the title, and misleads it where what is missing, a brand, says most.
    """
    return [(0,)] if views < 2 else [(0,), (0, views - 1)]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Linear classifiers on words: of the leaves themselves, and of what lies above them."""

    own: LexicalHead
    above: LexicalHead | None
    """For each leaf the sum of its ancestors' classifiers; None where nothing lies above the leaves."""

    def joined(self, of_ancestors: float) -> LexicalHead:
        """One head that decides as both together, the ancestors' times `of_ancestors`; `own`, in place."""
        if self.above is not None and of_ancestors > 0:
            for name in ("coefficients", "intercept"):
                cast(Tensor, getattr(self.own, name)).add_(getattr(self.above, name), alpha=of_ancestors)
            self.own.of_ancestors = of_ancestors
        return self.own

    def to(self, device: torch.device) -> "Fitted":
        """On a device, to decide there."""
        for head in (self.own, self.above):
            if head is not None:
                head.to(device).eval()
        return self


def fit_lexical(
    tokens: Sequence[Sequence[Sequence[int]]],
    labels: Floats,
    vocabulary: int,
    settings: LexicalSettings,
    seed: int,
    views: Sequence[int],
    levels: Sequence[Integers] = (),
) -> Fitted | None:
    """Heads fitted to some views of the texts of a training part; None where the settings want none.

    :param tokens: [views][n][length] token ids, each below `vocabulary`.
    :param labels: float32 [n, leaves], as shares.
    :param levels: of each level above the leaves, the number of each leaf's node, int64 [leaves].
    """
    leaves = labels.shape[1]
    if settings.weights == 0:
        return None
    buckets = min(max(settings.weights // leaves, LEAST_BUCKETS), MOST_BUCKETS)
    own = LexicalHead(buckets, leaves, vocabulary)
    own.views = views
    rows, _ = remembered(labels, settings.products, seed)
    texts = [tokens[view][row] for view in views for row in rows]
    features = _frequencies(own, texts)
    document_frequency = np.bincount(features.indices, minlength=buckets)
    rarity = np.log((1 + len(texts)) / (1 + document_frequency)) + 1
    features = normalize(features.multiply(rarity).tocsr(), copy=False)
    cast(Tensor, own.rarity).copy_(torch.from_numpy(rarity))
    filed = np.tile(labels[rows] > 0, (len(views), 1))
    count = leaves + sum(int(nodes.max()) + 1 for nodes in levels)
    with tqdm(total=count, desc="words", unit="category", delay=2) as bar:
        _fit_machines(own, np.arange(leaves), features, filed, seed, bar)
        if not levels:
            return Fitted(own, None)
        above = LexicalHead(buckets, leaves, vocabulary)
        cast(Tensor, above.rarity).copy_(cast(Tensor, own.rarity))
        for nodes in levels:
            _fit_machines(above, nodes, features, filed, seed, bar)
    return Fitted(own, above)


def _fit_machines(
    head: LexicalHead, nodes: Integers, features: csr_matrix, filed: npt.NDArray[np.bool_], seed: int, bar: "tqdm[Any]"
) -> None:
    """Fit a classifier for each node of a level, and add it to those of the leaves below; in place.

    :param nodes: the number of each leaf's node, int64 [leaves].
    :param filed: bool [texts, leaves].
    """
    coefficients, intercept = cast(Tensor, head.coefficients), cast(Tensor, head.intercept)
    count = int(nodes.max()) + 1
    for node in range(count):
        below = np.flatnonzero(nodes == node)
        inside, leaves = filed[:, below].any(axis=1), torch.from_numpy(below)
        bar.update()
        if inside.all() or not inside.any():
            intercept[leaves] += 1.0 if inside.all() else -1.0
            continue
        # What is inside weighs more the rarer it is, what is outside always the same.
        heavier = {True: (len(filed) / (count * inside.sum())) ** BALANCE, False: 1.0}
        machine = LinearSVC(class_weight=heavier, tol=TOLERANCE, random_state=seed).fit(features, inside)
        coefficients[:, leaves] += torch.from_numpy(machine.coef_[0]).float().unsqueeze(1)
        intercept[leaves] += float(machine.intercept_[0])


def _frequencies(head: LexicalHead, texts: Sequence[Sequence[int]]) -> csr_matrix:
    """Sublinear frequencies, float64 [texts, buckets]."""
    rows, columns, values = [], [], []
    for batch in batches_by_length([len(ids) for ids in texts]):
        ids = padded([texts[place] for place in batch], 0)
        mask = padded([[1] * len(texts[place]) for place in batch], 0)
        bucket, frequency, count = (part.numpy() for part in head.terms(torch.from_numpy(ids), torch.from_numpy(mask)))
        there = frequency > 0
        rows.append(np.broadcast_to(batch[:, np.newaxis], bucket.shape)[there])
        columns.append(bucket[there])
        values.append((frequency / count)[there])
    together = (np.concatenate(values).astype(np.float64), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(
        together, shape=(len(texts), len(cast(Tensor, head.coefficients)))
    )  # what stands in one place is summed
