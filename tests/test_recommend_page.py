import numpy as np
import pytest

from shelfwise.history import Event
from shelfwise.hit import Hit
from shelfwise_indexer.held_out import HeldOut
from shelfwise_indexer.indexed import IndexedCatalogue
from shelfwise_indexer.next_item import NextItem
from shelfwise_indexer.recommend_evaluation import Given, evaluate_recommend
from shelfwise_indexer.recommend_page import recommend_page
from test_evaluation_page import EVIL, _Tags

IDS = "abcd"
HITS = tuple(Hit(id_, 0.0, f"{id_} {EVIL}", (), (), None, None, None, None, None, None, {}) for id_ in IDS)
CATALOGUE = IndexedCatalogue(HITS, tuple(IDS), np.eye(4, dtype=np.float32))
PEOPLE = [
    HeldOut("anna@mail.example", (Event("a"), Event("d")), "b"),
    HeldOut("bert", (Event("a"),), "c"),
    HeldOut("cleo", (Event("b"), Event("d")), "d"),
]


def measured(skipped=None, **lists):
    """Ids that each system gave to each of the people."""
    systems = {
        name: {person.user: Given(tuple(ids), 0.01) for person, ids in zip(PEOPLE, given, strict=True)}
        for name, given in lists.items()
    }
    evaluation = evaluate_recommend(systems, PEOPLE, CATALOGUE, 4, 2)
    return NextItem(evaluation, 9, 0, 7, skipped or {}, 0, 0)


@pytest.fixture(scope="module")
def shown():
    found = measured({"too short": 4}, popularity=["ca", "c", ""], blend=["bc", "ac", ""])
    return recommend_page(found, "popularity", "blend", {"alias": EVIL})


def test_the_page_is_whole_and_loads_nothing(shown):
    tags = _Tags()
    tags.feed(shown.replace("<polyline ", "<line "))
    assert tags.open == []
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in tags.attributes


def test_every_text_of_the_shop_is_escaped_and_nobody_is_named(shown):
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;alert" in shown
    assert not any(person.user in shown for person in PEOPLE)


def test_the_page_says_wins_losses_who_was_skipped_and_what_the_blend_adds(shown):
    assert "wins 1, loses 1, equals 1 of 3 people" in shown
    assert "<h2>blend against popularity, the strongest of the others, person by person</h2>" in shown
    assert "4 users did nothing with another product before" in shown
    assert "1 of these people went on to what they had bought before" in shown
    assert "<td>blend minus popularity</td>" in shown
    assert "<td>0.667 ± 0.333</td>" in shown  # recall@2 of the blend: 1, 1, 0
    assert "<th>fewer than 2 hits</th><th>no hit</th>" in shown
    assert "<td>33.3%</td><td>33.3%</td>" in shown  # of the blend: one has none, all others have two
    assert '<span class="small">no hit</span>' not in shown  # who got nothing of both is no win and no loss
    assert shown.index("Greatest losses") < shown.index("Greatest wins")
    assert '<li class="judged">b ' in shown


def test_recall_rises_with_the_number_of_hits(shown):
    curve = shown.split("Recall by the number of hits")[1]
    [popular, blend] = [
        [float(point.split(",")[1]) for point in line.split('"')[0].split()] for line in curve.split('points="')[1:]
    ]
    assert popular[0] == popular[1] == blend[0]  # 1 of 3; smaller is higher up
    assert blend[1] < blend[0]


def test_nothing_found_and_nobody_skipped_is_a_page_too():
    shown = recommend_page(measured(popularity=["", "", ""], blend=["", "", ""]), "popularity", "blend", {})
    assert "Nobody was skipped." in shown
    assert "Greatest" not in shown
