"""The lexical head: words and pairs of words decide beside the embedding, as a plain TF-IDF machine would."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from shelfwise_indexer.calibrate import fit_temperature
from shelfwise_indexer.lexical import (
    START,
    LexicalHead,
    LexicalSettings,
    fit_lexical,
    ways_to_read,
)
from shelfwise_indexer.weighing import MULTIPLES, HeldBackDecisions, centre, choose

pytestmark = pytest.mark.model

VOCABULARY = 50
RNG = np.random.default_rng(0)
# Three categories, each with words of its own among common ones.
TEXTS = [[*RNG.integers(0, 10, 4), *RNG.integers(10 + 10 * (row % 3), 20 + 10 * (row % 3), 3)] for row in range(90)]
LABELS = np.eye(3, dtype=np.float32)[np.arange(90) % 3]


ABOVE = [np.array([0, 0, 1])]  # the first two categories lie below one node, the third below another


def both(texts=(TEXTS,), labels=LABELS, levels=(), **settings):
    return fit_lexical(texts, labels, VOCABULARY, LexicalSettings(**settings), 0, ways_to_read(len(texts))[-1], levels)


def fitted(texts=(TEXTS,), labels=LABELS, **settings):
    return both(texts, labels, **settings).own


def padded(texts):
    length = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (length - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (length - len(text)) for text in texts])
    return ids, mask


def slow_terms(head, text):
    """Hashed counts of a text, the plain way."""
    word, first, second = head.hashes.tolist()
    buckets = len(head.coefficients)
    pairs = [(first[a] + second[b]) % buckets for a, b in itertools.pairwise(text)]
    return Counter([word[token] for token in text] + pairs)


def slow_matrix(head, texts, rarity):
    matrix = np.zeros((len(texts), len(head.coefficients)))
    for row, text in enumerate(texts):
        for bucket, count in slow_terms(head, text).items():
            matrix[row, bucket] = (1 + np.log(count)) * rarity[bucket]
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def test_decisions_are_those_of_a_plain_machine_on_tf_idf():
    head = fitted(weights=1)
    present = np.array(
        [[bucket in slow_terms(head, text) for bucket in range(len(head.coefficients))] for text in TEXTS]
    )
    rarity = np.log((1 + len(TEXTS)) / (1 + present.sum(axis=0))) + 1
    matrix = slow_matrix(head, TEXTS, rarity)
    machine = LinearSVC(tol=1e-6, random_state=0).fit(matrix, LABELS.argmax(1))  # of equal categories none is heavier
    unseen = [[3, 12, 12, 17, 4], [25], [31, 32, 33, 31, 32, 33, 5, 2]]
    wanted = machine.decision_function(slow_matrix(head, unseen, rarity))
    assert head.decisions(*padded(unseen)).numpy() == pytest.approx(wanted, abs=0.02)
    assert wanted.argmax(1).tolist() == [0, 1, 2]


def test_a_text_decides_the_same_in_any_company():
    head = fitted()
    alone = head.decisions(*padded(TEXTS[:1]))
    together = head.decisions(*padded([TEXTS[0], TEXTS[1] * 4]))
    torch.testing.assert_close(together[:1], alone)


def test_the_barest_view_counts_too():
    bare = [text[-1:] for text in TEXTS]
    middle = [[49] for _ in TEXTS]
    head = fitted(texts=(TEXTS, middle, bare))
    assert (head.decisions(*padded(bare)).argmax(1).numpy() == LABELS.argmax(1)).all()
    torch.testing.assert_close(head.coefficients, fitted(texts=(TEXTS, bare)).coefficients)


def test_several_labels_and_products_without_any():
    labels = LABELS.copy()
    labels[0] = [0.5, 0.5, 0]
    labels[3] = 0
    head = fitted(labels=labels)
    assert torch.isfinite(head.coefficients).all()
    assert (head.decisions(*padded([TEXTS[0]])) > -1).sum() >= 1


def test_a_category_without_products_is_never_decided_for():
    labels = np.hstack([LABELS, np.zeros((90, 1), np.float32)])
    head = fitted(labels=labels)
    assert not head.coefficients[:, 3].any()
    assert (head.decisions(*padded(TEXTS))[:, 3] <= -1).all()


def test_none_where_none_is_wanted_and_the_state_is_all_there_is():
    assert both(weights=0) is None
    head = fitted()
    again = LexicalHead.of_state(head.state_dict())
    torch.testing.assert_close(again(*padded(TEXTS)), head(*padded(TEXTS)))


def held_back(rows=270):
    labels = torch.tensor(np.tile(LABELS, (3, 1)))[:rows]
    generator = torch.Generator().manual_seed(0)
    return labels, 4 * labels - 2, torch.randn(rows, 3, generator=generator)


def test_whole_texts_alone_or_with_the_barest():
    assert ways_to_read(1) == [(0,)]
    assert ways_to_read(4) == [(0,), (0, 3)]


@pytest.mark.parametrize("right", [True, False])
def test_held_back_products_say_how_much_it_counts(right):
    labels, known, noise = held_back()
    logits, decisions = (noise, known) if right else (known, noise)
    head = choose([both()], logits, [HeldBackDecisions(decisions, None)], labels)
    assert head.weight > 10 if right else head.weight < 0.5


def test_the_head_that_gets_most_right_is_chosen():
    labels, known, noise = held_back()
    heads, said = (
        [both(), both(), both()],
        [HeldBackDecisions(part, None) for part in (noise, known / 4 + noise, noise)],
    )
    assert choose(heads, noise, said, labels) is heads[1].own


def test_of_the_multiples_the_one_that_gets_most_right_is_taken():
    """A few products of which the decisions are badly wrong make the weights of the least cross-entropy cautious."""
    labels, known, noise = held_back()
    logits, decisions = 3 * noise, known / 2
    decisions[:12] = -4 * known[:12]
    head = choose([both()], logits, [HeldBackDecisions(decisions, None)], labels)

    def right(weight):
        return int((labels.gather(1, (logits + weight * decisions).argmax(1, keepdim=True)) > 0).sum())

    tried = [factor * float(head.weight) for factor in MULTIPLES] + [
        float(head.weight) / factor for factor in MULTIPLES
    ]
    assert right(float(head.weight)) >= max(right(weight) for weight in tried if weight <= float(head.weight))
    assert right(float(head.weight)) > right(float(head.weight) / 2)


def test_with_several_categories_the_weight_is_that_of_the_least_cross_entropy():
    labels, known, noise = held_back()
    logits, decisions = 3 * noise + known / 2, known / 2
    decisions[:12] = -4 * known[:12]
    head = choose([both()], logits, [HeldBackDecisions(decisions, None)], labels, multi_label=True)

    def loss(weight):
        """Of the best scale: the temperature is set afterwards."""
        sums = logits + weight * decisions
        return min(float(torch.nn.functional.cross_entropy(s * sums, labels)) for s in torch.linspace(0.01, 3, 300))

    at = float(head.weight)
    assert loss(at) <= min(loss(at / 1.5), loss(at * 1.5)) + 1e-3
    assert choose([both()], logits, [HeldBackDecisions(decisions, None)], labels).weight > at


def test_decisions_are_lifted_to_where_a_sigmoid_is_as_sure_as_it_is_right():
    labels, known, _ = held_back()
    wrong = torch.arange(len(labels)) % 5 == 0
    decisions = torch.where(wrong[:, None], known.roll(1, 1), known) / 4 - 3  # right four times in five, all below 0
    head = fitted()
    before = head.decisions(*padded(TEXTS))
    centre(head, float(head.weight) * decisions, labels)
    assert head.lift > 0
    torch.testing.assert_close(head.decisions(*padded(TEXTS)), before + head.lift)
    lifted = float(head.weight) * (decisions + head.lift)
    temperature = fit_temperature(lifted.numpy(), labels.numpy(), multi_label=True)
    assert (lifted.max(1).values / temperature).sigmoid().mean() == pytest.approx(0.8, abs=2e-3)


def test_where_every_best_leaf_is_right_the_lift_stays_within_reason():
    labels, known, _ = held_back()
    head = fitted()
    logits = float(head.weight) * (known / 2 - 3)
    centre(head, logits, labels)
    lifted = logits + float(head.weight) * head.lift
    assert head.lift > 0
    assert (lifted[labels > 0] > 0).all()
    assert (lifted[labels == 0] < 1e-5).all()


def test_a_second_category_is_lifted_with_the_first():
    labels = held_back()[0]
    both_right = torch.maximum(labels, labels.roll(1, 1))  # two of three leaves
    logits = torch.where(labels > 0, -1.0, torch.where(both_right > 0, -2.0, -6.0))
    head = fitted()
    centre(head, logits, both_right)
    lifted = logits + float(head.weight) * head.lift
    assert (lifted[both_right > 0] > 0).all()
    assert (lifted[both_right == 0] < 1e-5).all()


def test_the_products_of_a_small_shop_lift_too():
    labels, known, _ = held_back(20)
    head = fitted()
    centre(head, float(head.weight) * (known / 2 - 3), labels)
    assert head.lift > 0


def test_where_words_do_not_count_or_too_few_products_say_nothing_is_lifted():
    labels, known, _ = held_back()
    for weight, rows in ((0.0, 270), (2.0, 19)):
        head = fitted()
        head.weight.fill_(weight)
        centre(head, known[:rows] - 3, labels[:rows])
        assert head.lift == 0


def test_too_few_held_back_products_change_nothing():
    labels, known, noise = held_back(90)
    heads, said = (
        [both(levels=ABOVE), both(levels=ABOVE)],
        [HeldBackDecisions(known, known), HeldBackDecisions(noise, known)],
    )
    assert choose(heads, noise, said, labels, ABOVE) is heads[1].own
    assert heads[1].own.weight == START
    assert heads[1].own.of_ancestors == 0


def test_what_lies_above_decides_as_a_machine_on_the_nodes_themselves():
    nodes = LABELS @ np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    of_nodes = both(labels=nodes).own
    found = both(levels=ABOVE)
    torch.testing.assert_close(found.own.coefficients, both().own.coefficients)
    torch.testing.assert_close(
        found.above.decisions(*padded(TEXTS)), of_nodes.decisions(*padded(TEXTS))[:, ABOVE[0]], atol=1e-5, rtol=1e-5
    )


def test_levels_above_add_up_and_the_joined_head_decides_as_both():
    levels = [np.array([0, 0, 0]), *ABOVE]
    found = both(levels=levels)
    one, other = both(levels=levels[:1]).above, both(levels=ABOVE).above
    torch.testing.assert_close(found.above.coefficients, one.coefficients + other.coefficients)
    own, above = (head.decisions(*padded(TEXTS)) for head in (found.own, found.above))
    joined = found.joined(0.5)
    torch.testing.assert_close(joined.decisions(*padded(TEXTS)), own + 0.5 * above, atol=1e-5, rtol=1e-5)
    assert joined.of_ancestors == 0.5


@pytest.mark.parametrize("helps", [True, False])
def test_what_lies_above_counts_where_it_gets_more_right(helps):
    labels, known, noise = held_back()
    nodes = known[:, [0, 0, 2]] + known[:, [1, 1, 2]]
    own = known / 3 + torch.randn(noise.shape, generator=torch.Generator().manual_seed(1))
    above = nodes if helps else 3 * torch.randn(nodes.shape, generator=torch.Generator().manual_seed(2))
    before, found = both().own.coefficients, both(levels=ABOVE)
    head = choose([found], noise, [HeldBackDecisions(own, above)], labels, ABOVE)
    assert head is found.own
    if helps:
        assert head.of_ancestors > 0.1
        assert not torch.equal(head.coefficients, before)
    else:
        assert head.of_ancestors < 0.1


def test_a_product_counts_once_a_level():
    """Of two heads that get as many leaves right, the one whose mistakes stay below the right node."""
    labels, known, _ = held_back()
    other_node, same_node = known.clone(), known.clone()
    first = (labels[:, 0] > 0).nonzero().squeeze(1)[:40]
    other_node[first] = torch.tensor([-2.0, -2.0, 2.0])
    same_node[first] = torch.tensor([-2.0, 2.0, -2.0])
    silent = torch.zeros_like(known)
    said = [HeldBackDecisions(other_node, None), HeldBackDecisions(same_node, None)]
    for order in (said, said[::-1]):
        heads = [both(), both()]
        assert choose(heads, silent, order, labels, ABOVE) is heads[0 if order[0] is said[1] else 1].own
