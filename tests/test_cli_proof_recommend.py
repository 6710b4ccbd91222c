"""`shelfwise evaluate recommend` on a small shop of its own, on the real server."""

import json
import uuid
from math import cos, radians, sin

import orjson
import pytest

from conftest import delete_indices
from hand_bundle import write_hand_bundle
from hand_index import document, fill
from shelfwise.errors import UsageError
from shelfwise.event_model import EventModel
from shelfwise.recommender import Recommender
from shelfwise_indexer import recommend_ablation
from shelfwise_indexer.events import read_histories
from shelfwise_indexer.held_out import folds, hold_out
from shelfwise_indexer.learn_events import learn
from shelfwise_indexer.next_item import measure
from shelfwise_indexer.recommend_evaluation import asked
from test_cli import NOWHERE, lines_of, refused_in_one_line, runner

pytestmark = pytest.mark.es

KETTLES, CUPS = ("Kettles",), ("Cups",)
ROWS = ["popularity", "co-occurrence", "content of the last product", "content of the history", "blend"]
# Kettles lie at 0 to 20 degrees, cups at 90 to 70: content goes from kettle to kettle, people from kettle to cup.
DEGREES = {"k1": 0, "k2": 10, "k3": 20, "c1": 90, "c2": 80, "c3": 70}
EVENTS = [{"user": f"u{number}", "history": ["k1", "c1"]} for number in range(8)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("model"), {"kettle": (1.0, 0.0)}, [CUPS, KETTLES])


def product(model, id_, **given):
    direction = radians(DEGREES.get(id_, 45))
    record = {"id": id_, "title": f"<b>word{id_}", "category": KETTLES if id_[0] == "k" else CUPS, **given}
    return document(model, record, vector=[cos(direction), sin(direction)])


@pytest.fixture(scope="module")
def shop(client, model):
    name = f"test-{uuid.uuid4().hex[:12]}"
    out = product(model, "x1", in_stock=False)
    fill(client, name, model, [*(product(model, id_) for id_ in DEGREES), out])
    yield name
    delete_indices(client, name)


@pytest.fixture
def evaluated(tmp_path, elasticsearch_url, model, shop):
    """Runs `evaluate recommend` on the shop with a log of this test's own."""

    def run(events, *more, url=elasticsearch_url, alias=shop):
        content = events if isinstance(events, str) else lines_of(events)
        (tmp_path / "events.jsonl").write_text(content)
        where = ["--alias", alias, "--bundle", model.path, "--url", url]
        return runner(tmp_path)("evaluate", "recommend", "events.jsonl", *where, *more)

    return run


def by_system(ran):
    return {line["system"]: line for line in ran.lines}


def of_the_shop(client, shop):
    return sorted(client.indices.get(index=f"{shop}*"))


def test_a_line_a_row_says_what_each_signal_is_worth(evaluated):
    ran = evaluated(EVENTS, "-k", "1", "--folds", "2")
    assert ran.status == 0, ran.err
    lines = by_system(ran)
    assert list(lines) == ROWS
    # Everybody goes from k1 to c1: people say so, and no content does.
    assert lines["co-occurrence"]["recall@1"] == lines["blend"]["recall@1"] == 1.0
    assert lines["content of the history"]["recall@1"] == lines["content of the last product"]["recall@1"] == 0.0
    assert lines["popularity"]["recall@1"] == 1.0  # k1 is as popular, but everybody has it
    assert lines["blend"]["users"] == 8
    assert lines["blend"]["standard_error"] == {"ndcg@1": 0.0, "recall@1": 0.0, "mrr": 0.0}
    assert lines["blend"]["minus"]["content of the history"]["mrr"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert list(lines["blend"]["minus"]) == ROWS[:-1]
    assert lines["blend"]["coverage"] == pytest.approx(1 / 7, abs=1e-4)
    assert lines["blend"]["diversity"] is None
    assert lines["blend"]["short"] == 0.0
    assert lines["blend"]["latency_ms"]["p95"] >= lines["blend"]["latency_ms"]["p50"] > 0
    assert "8 lines read, 0 rejected; 8 users: 8 measured, 0 not in the sample, 0 skipped" in ran.err
    assert "\nblend " in ran.err


def test_what_one_person_does_teaches_nothing_of_the_same_person(evaluated):
    """Only u0 goes from k1 to c3: who learnt from that would find it, and be found out."""
    ran = evaluated([{"user": "u0", "history": ["k1", "c3"]}, *EVENTS[1:]], "-k", "1", "--folds", "8")
    assert by_system(ran)["co-occurrence"]["recall@1"] == pytest.approx(7 / 8, abs=1e-4)
    assert by_system(ran)["blend"]["recall@1"] == pytest.approx(7 / 8, abs=1e-4)


def test_people_with_too_few_hits_are_counted(evaluated):
    ran = evaluated(EVENTS, "-k", "5")
    # Of k1, of whom only c1 is learnt and what the look-alikes lent: fewer than five; content has all five others.
    assert by_system(ran)["popularity"]["short"] == 1.0
    assert by_system(ran)["content of the history"]["short"] == 0.0
    assert by_system(ran)["content of the history"]["diversity"] > 0


def test_it_is_what_a_shop_gets_that_learnt_from_the_other_people(client, elasticsearch_url, model, shop, tmp_path):
    """The slow twin: each fold's model published as the shop's own, and the recommender asked as a shop asks it."""
    pairs = [("k1", "c1"), ("k2", "c2"), ("k1", "c2"), ("c3", "k3"), ("k3", "c1"), ("k1", "k2")]
    events = [{"user": f"u{number}", "history": ["c3", *pair]} for number, pair in enumerate(pairs * 2)]
    (tmp_path / "events.jsonl").write_text(lines_of(events))
    measured = measure(client, tmp_path / "events.jsonl", shop, model, k=3, folds=3)
    histories = read_histories(tmp_path / "events.jsonl").by_user
    people = hold_out(histories, DEGREES).people
    found = {}
    try:
        for part in folds(people, 3):
            others = [line for line in events if line["user"] not in {person.user for person in part}]
            (tmp_path / "others.jsonl").write_text(lines_of(others))
            learn(tmp_path / "others.jsonl", shop, elasticsearch_url)
            for person in part:
                found[person.user] = tuple(hit.id for hit in Recommender(client, shop).recommend(person.history, 3))
    finally:
        delete_indices(client, f"{shop}-events")
    assert {user: one.hits for user, one in measured.evaluation.systems["blend"].given.items()} == found


def test_the_shops_own_event_model_is_untouched_and_nothing_is_left(
    client, elasticsearch_url, evaluated, shop, tmp_path, model, monkeypatch
):
    (tmp_path / "own.jsonl").write_text(lines_of([{"user": "a", "history": ["k2", "k3"]}]))
    learn(tmp_path / "own.jsonl", shop, elasticsearch_url)
    try:
        before = of_the_shop(client, shop)
        evaluated(EVENTS)
        assert of_the_shop(client, shop) == before
        assert EventModel(client, shop).learnt(["k2"])["k2"].users == 1

        def failing(*given):
            if len(of_the_shop(client, shop)) > len(before):  # once a model of the others' histories is there
                raise UsageError("enough")
            return asked(*given)

        monkeypatch.setattr(recommend_ablation, "asked", failing)
        with pytest.raises(UsageError, match="enough"):
            measure(client, tmp_path / "events.jsonl", shop)
        assert of_the_shop(client, shop) == before
    finally:
        delete_indices(client, f"{shop}-events")


def test_the_figures_and_the_page_are_written(evaluated, tmp_path):
    more = [{"user": f"v{number}", "history": ["k2", "c2"]} for number in range(4)]
    more.append({"user": "w", "history": ["k1", "k3"]})  # to which nobody else went: content finds it, others do not
    files = ["--out", "to/figures.json", "--page", "to/page.html"]
    ran = evaluated([*EVENTS, *more, {"user": "s", "history": ["k1"]}], *files)
    assert ran.status == 0, ran.err
    figures = orjson.loads((tmp_path / "to" / "figures.json").read_bytes())
    assert figures["systems"] == by_system(ran)
    assert (figures["users"], figures["measured"], figures["skipped"]) == (14, 13, {"too short": 1})
    assert (figures["k"], figures["folds"], figures["products"], figures["repeats"]) == (10, 5, 7, 0)
    assert figures["about"]["Elasticsearch"]
    page = (tmp_path / "to" / "page.html").read_text("utf-8")
    assert page.count("<svg") == 4
    assert "Recommendations, measured on 13 people" in page
    assert "1 users did nothing with another product before" in page
    assert " of 13 people" in page
    assert "<b>→ &lt;b&gt;wordk3" in page
    assert "v0" not in page  # nobody is named
    assert "<b>word" not in page
    assert "<script" not in page


def test_what_could_not_be_written_is_refused_before_anything_is_measured(evaluated, tmp_path):
    (tmp_path / "mine").write_text("mine")
    for option in ("--out", "--page"):
        ran = evaluated(EVENTS, option, "mine/figures", url=NOWHERE)
        assert refused_in_one_line(ran, "mine is there and is not a folder")
        ran = evaluated(EVENTS, option, tmp_path, url=NOWHERE)
        assert refused_in_one_line(ran, "cannot be written (Is a directory)")


def test_a_table_is_for_people(evaluated):
    ran = evaluated(EVENTS, "-k", "1", "--table")
    assert [line.split("  ")[0] for line in ran.out.splitlines()] == ROWS
    assert "recall@1 1.000 ± 0.000  MRR 1.000 ± 0.000  nDCG@1 1.000 ± 0.000" in ran.out


def test_events_line_by_line_are_measured_as_their_history_is(evaluated):
    one_by_one = [
        {"user": line["user"], "product": id_, "time": 1000 * (place + 1), "kind": kind}
        for line in EVENTS
        for place, (id_, kind) in reversed(list(enumerate(zip(line["history"], ("view", "purchase"), strict=True))))
    ]
    ran = evaluated(one_by_one, "-k", "1")
    assert by_system(ran)["blend"]["recall@1"] == 1.0
    assert "16 lines read, 0 rejected; 8 users: 8 measured" in ran.err


def test_a_log_that_tells_everything_twice_is_measured_as_if_it_told_it_once(evaluated, tmp_path):
    once = by_system(evaluated(EVENTS, "-k", "2"))
    ran = evaluated(EVENTS + EVENTS, "-k", "2", "--out", "figures.json")
    assert ran.status == 0, ran.err
    assert [line["recall@2"] for line in ran.lines] == [line["recall@2"] for line in once.values()]
    assert "8 lines tell again what was told before, and count once" in ran.err
    figures = orjson.loads((tmp_path / "figures.json").read_bytes())
    assert (figures["read"], figures["repeated"], figures["repeats"]) == (16, 8, 0)


def test_a_sample_is_measured_and_the_others_still_teach(evaluated):
    ran = evaluated(EVENTS, "-k", "1", "--sample", "2")
    assert by_system(ran)["blend"]["users"] == 2
    assert by_system(ran)["co-occurrence"]["recall@1"] == 1.0
    assert "8 users: 2 measured, 6 not in the sample, 0 skipped" in ran.err


def test_who_cannot_be_measured_is_counted_and_said(evaluated):
    ran = evaluated(
        [
            *EVENTS,
            {"user": "short", "history": ["k1"]},
            {"user": "gone", "history": ["k1", "old-1"]},
            {"user": "empty", "history": ["k1", "x1"]},
            {"user": "new", "history": ["old-1", "k1"]},
            {"user": "viewer", "history": [{"product": "k1", "kind": "view"}]},
        ]
    )
    assert ran.status == 0
    assert "13 users: 8 measured, 0 not in the sample, 5 skipped" in ran.err
    assert "1 users skipped who did nothing with another product before" in ran.err
    assert "1 users skipped who went on to a product that the index does not have" in ran.err
    assert "1 users skipped who went on to a product that is out of stock now" in ran.err
    assert "1 users skipped who did before nothing with a product that the index has" in ran.err
    assert "1 users skipped who bought nothing" in ran.err
    assert "events.jsonl: product old-1 is not in index" in ran.err
    assert by_system(ran)["blend"]["users"] == 8


def test_broken_lines_are_named_and_the_rest_is_measured(evaluated):
    broken = lines_of(EVENTS) + '{nope\n{"user": "a"}\n{"user": "a", "product": "k1", "kind": "liked"}\n'
    ran = evaluated(broken)
    assert ran.status == 1
    assert "events.jsonl, line 9: not JSON" in ran.err
    assert "events.jsonl, line 10: expected an object with user and product" in ran.err
    assert "events.jsonl, line 11: kind must be one of view, cart, purchase" in ran.err
    assert "11 lines read, 3 rejected; 8 users: 8 measured" in ran.err
    assert by_system(ran)["blend"]["users"] == 8


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ("", ["events.jsonl: the event log is empty"]),
        ("\n\n", ["events.jsonl: the event log is empty"]),
        (EVENTS[:1], ["1 of 1 users can be measured, at least 2 are needed (there are no others)"]),
        (
            [{"user": f"u{number}", "history": ["k1"]} for number in range(3)],
            ["0 of 3 users can be measured", "3 users skipped who did nothing with another product before"],
        ),
    ],
)
def test_a_log_of_which_nothing_can_be_measured_is_refused(client, shop, evaluated, events, parts):
    before = of_the_shop(client, shop)
    assert refused_in_one_line(evaluated(events), *parts)
    assert of_the_shop(client, shop) == before


def test_a_log_of_unknown_products_says_which_and_that_nothing_can_be_measured(evaluated):
    ran = evaluated([{"user": f"u{number}", "history": ["zz1", "zz2"]} for number in range(3)])
    assert (ran.status, ran.out) == (2, "")
    assert "product zz1 is not in index" in ran.err
    assert "0 of 3 users can be measured" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("options", [["-k", "0"], ["-k", "-1"], ["--folds", "1"], ["--sample", "0"], ["-k", "many"]])
def test_what_cannot_be_measured_is_a_wrong_usage(evaluated, options):
    ran = evaluated(EVENTS, *options)
    assert (ran.status, ran.out) == (2, "")
    assert f"Invalid value for '{options[0]}': " in ran.err


def test_no_hits_cannot_be_asked_for_from_python_either(client, shop, tmp_path):
    (tmp_path / "events.jsonl").write_text(lines_of(EVENTS))
    with pytest.raises(UsageError, match="0"):
        measure(client, tmp_path / "events.jsonl", shop, k=0)


def test_files_aliases_servers_and_other_bundles_are_one_line(evaluated, tmp_path, shop, elasticsearch_url):
    other = write_hand_bundle(tmp_path / "other", {"cup": (1.0, 0.0)}, [CUPS, KETTLES])
    ran = runner(tmp_path)
    where = ["--alias", shop, "--url", elasticsearch_url]
    evaluated(EVENTS)
    assert refused_in_one_line(ran("evaluate", "recommend", "none.jsonl", *where), "none.jsonl", "no such file")
    assert refused_in_one_line(evaluated(EVENTS, alias="test-none"), "test-none")
    assert refused_in_one_line(evaluated(EVENTS, url=NOWHERE), "nothing answers")
    with_other = ran("evaluate", "recommend", "events.jsonl", *where, "--bundle", other.path)
    assert refused_in_one_line(with_other, other.version)


def test_standard_input_is_a_log_too(shop, tmp_path, elasticsearch_url):
    given = "".join(json.dumps(line) + "\n" for line in EVENTS)
    where = ["--alias", shop, "--url", elasticsearch_url]
    ran = runner(tmp_path)("evaluate", "recommend", "-", *where, "-k", "1", given=given)
    assert by_system(ran)["blend"]["recall@1"] == 1.0
