import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from shelfwise.hit import Hit
from shelfwise_indexer.evaluation_page import page
from shelfwise_indexer.evaluation_pictures import bars_with_intervals, wins_and_losses
from shelfwise_indexer.judgements import Judgements
from shelfwise_indexer.search_evaluation import evaluate_search
from shelfwise_indexer.significance import Difference

EVIL = "<script>alert('x')</script> & \"quotes\" <img src=http://evil.example/x>"
JUDGEMENTS = Judgements.from_json(
    [
        {"id": "q1", "query": EVIL, "category": None, "grades": {"a": 3}},
        {"id": "q2", "query": "水壶", "category": None, "grades": {"b": 1}},
        {"id": "q3", "query": "mug", "category": None, "grades": {"c": 2}},
        {"id": "q4", "query": "nothing", "category": None, "grades": {"c": 0}},
    ]
)

STEPS = ((f"hybrid {EVIL}", "BM25"), ("not measured", "BM25"))


def system(**answers):
    def search(query, k):
        return [
            Hit(id_, 1.0, f"{id_} {EVIL}", (), (), None, None, None, None, None, None, {})
            for id_ in answers.get(query.id, "")
        ]

    return search


@pytest.fixture(scope="module")
def shown():
    systems = {"BM25": system(q1="a", q2="x"), f"hybrid {EVIL}": system(q1="ya", q2="b", q3="c")}
    return page(
        evaluate_search(systems, JUDGEMENTS, 10), "BM25", f"hybrid {EVIL}", {"alias": EVIL}, STEPS, [f"note {EVIL}"]
    )


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(shown):
    tags = _Tags()
    tags.feed(shown)
    assert tags.open == []
    assert not {"script", "img", "link", "iframe"} & set(tags.seen)
    assert not {"src", "href", "onload", "onerror"} & {name for name, _ in tags.attributes}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in tags.attributes


def test_every_text_of_shop_and_shoppers_is_escaped(shown):
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;quotes&quot;" in shown
    assert "<p>note &lt;script&gt;" in shown


def test_the_page_says_wins_losses_unjudged_hits_and_queries_left_out(shown):
    assert "wins 2, loses 1, equals 0 of 3 queries" in shown
    assert "<td>1 of 2</td>" in shown  # BM25 showed a and x, of which nobody judged x
    assert "1 queries have no relevant product and are left out." in shown
    assert "0.00 → 1.00" in shown
    assert '<span class="small">no result</span>' in shown
    assert "水壶" in shown
    # Of three queries one was right before, at rank 1, and comes second now; the other two are won.
    assert '<td class="same">+0.544 (-0.369 to +1.000)</td><td>3</td>' in shown
    assert "not measured" not in shown
    assert shown.index("Greatest losses") < shown.index("Greatest wins")


def test_a_baseline_alone_has_no_wins_and_losses():
    shown = page(evaluate_search({"BM25": system(q1="a")}, JUDGEMENTS, 10), "BM25", "BM25", {})
    assert "Greatest" not in shown


def test_an_interval_is_drawn_where_its_numbers_are():
    picture = bars_with_intervals({"a": 0.5, "b": 0.6}, {"b": Difference(9, 0.1, 0.05, 0.2)}, "a")
    [low_to_high] = re.findall(
        r'x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)" y2="[\d.]+" stroke="#1a7f4b" stroke-width="3"', picture
    )
    zero = float(re.search(r'x1="([\d.]+)"[^>]*stroke-dasharray', picture)[1])
    low, high = map(float, low_to_high)
    assert (high - zero) == pytest.approx(4 * (low - zero), abs=0.5)
    assert high == pytest.approx(910, abs=0.5)  # the widest bound reaches the edge


def test_losses_hang_below_the_line_and_wins_stand_on_it():
    picture = wins_and_losses([-0.5, 1.0, 0.0], "new", "old")
    boxes = [
        tuple(map(float, box))
        for box in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', picture)
    ]
    (_, top, tall), (_, _, none), (_, middle, short) = boxes
    assert top + tall == pytest.approx(middle)
    assert (none, short) == (0.0, pytest.approx(tall / 2, abs=0.01))


def test_the_picture_and_the_table_show_a_mean_with_the_same_decimals():
    evaluation = evaluate_search({"BM25": system(q1="a")}, JUDGEMENTS, 10)
    # A mean of .95747, rounded to four digits and then to three, is .958 and not .957.
    result = evaluation.systems["BM25"]
    answers = {id_: replace(answer, ndcg=0.95747) for id_, answer in result.answers.items()}
    shown = page(replace(evaluation, systems={"BM25": replace(result, answers=answers)}), "BM25", "BM25", {})
    assert ">0.958</text>" in shown
    assert ">0.958</td>" in shown
