"""The report page: what it shows, and that a shop's text can do nothing in it."""

import re
from functools import partial
from html.parser import HTMLParser

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from hand_bundle import write_hand_bundle
from shelfwise.bundle import content_version
from shelfwise.errors import ShelfwiseError
from shelfwise.filing import Filing
from shelfwise.product import Product
from shelfwise.taxonomy import Taxonomy
from shelfwise_indexer.catalogue import file_hash
from shelfwise_indexer.charts import Axis, Curve, axis_around, curve_chart, logarithmic_axis
from shelfwise_indexer.cli_evaluate import evaluate
from shelfwise_indexer.evaluate import Epoch
from shelfwise_indexer.report import report_page, write_report_page
from shelfwise_indexer.report_data import ReportData
from shelfwise_indexer.trained_on import NOTHING, write_trained_on
from test_cli import runner_here

MUGS, KETTLES, CASES = ("厨房", "杯子"), ("厨房", "水壶"), ("Phones", "Cases & <Covers>")
TAXONOMY = Taxonomy.of([MUGS, KETTLES, CASES])
ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def data(**changed) -> ReportData:
    """Four right and one confident error, its title an attack."""
    given = {
        "title": "bundle abc",
        "ids": ["1", "2", "3", "4", "<5>"],
        "texts": ["红色马克杯", "red mug", "steel kettle", "phone case", ATTACK],
        "paths": [[MUGS], [MUGS], [KETTLES], [CASES], [KETTLES]],
        "filing": Filing(TAXONOMY, 0.5),
    }
    of = {leaf: number for number, leaf in enumerate(TAXONOMY.leaves)}
    guesses = [(MUGS, 0.9), (MUGS, 0.6), (KETTLES, 0.8), (CASES, 0.7), (CASES, 0.94)]
    probabilities = np.zeros((5, 3), dtype=np.float32)
    for row, (leaf, confidence) in enumerate(guesses):
        probabilities[row] = (1 - confidence) / 2
        probabilities[row, of[leaf]] = confidence
    return ReportData(**(given | {"probabilities": probabilities} | changed))


class Page(HTMLParser):
    """What a browser would make of the page: its elements, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown = ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.shown += data


def test_a_title_that_is_an_attack_is_shown_as_text():
    page = Page(report_page(data(title=f"bundle {ATTACK}")))
    assert ATTACK in page.shown
    assert [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "a", "link")] == []
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_the_page_asks_for_nothing_from_elsewhere_and_forbids_it():
    content = report_page(data())
    page = Page(content)
    assert not any(name in ("src", "href", "srcset", "action") for _, attributes in page.tags for name in attributes)
    assert "url(" not in content
    assert "@import" not in content
    [policy] = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'")
    assert "script-src 'sha256-" in policy


def test_every_part_is_there_with_chinese_as_it_is():
    page = Page(report_page(data(texts=["红色马克杯"] * 5)))
    parts = ("Levels", "Worst pairs", "Classes", "Errors, most confident first", "Suspected label errors")
    for text in (*parts, "红色马克杯", "厨房 > 杯子", "Phones > Cases & <Covers>"):
        assert text in page.shown
    assert sum(tag == "svg" for tag, _ in page.tags) >= 2
    assert "Training loss" not in page.shown


def test_the_worst_pair_is_shown_with_its_product():
    page = Page(report_page(data()))
    row = page.shown.partition("Worst pairs")[2].partition("Classes")[0]
    assert "厨房 > 水壶" in row
    assert "(<5>)" in row


def test_figures_are_those_worked_out_by_hand():
    made = data()
    # five bins of one product: |.9 - 1|, |.6 - 1|, |.8 - 1|, |.7 - 1|, |.94 - 0|
    assert made.calibration_error == pytest.approx((0.1 + 0.4 + 0.2 + 0.3 + 0.94) / 5)
    assert (made.accepted.coverage, made.accepted.precision) == (1.0, 0.8)
    shown = made.to_json()
    assert shown["levels"][1]["accuracy"] == 0.8
    assert (shown["ece"], shown["accepted"]) == (0.388, {"coverage": 1.0, "precision": 0.8})


def test_a_leaf_may_have_a_threshold_of_its_own():
    by_leaf = np.array([1.0 if leaf == CASES else 0.7 for leaf in TAXONOMY.leaves], dtype=np.float32)
    made = data(filing=Filing(TAXONOMY, 0.5, by_leaf))
    assert (made.accepted.coverage, made.accepted.precision) == (0.4, 1.0)


def test_of_several_categories_all_are_measured_not_the_best_alone():
    half = np.full(3, 0.5, dtype=np.float32)
    probabilities = np.full((5, 3), 0.1, dtype=np.float32)
    probabilities[:, TAXONOMY.leaf_number[MUGS]], probabilities[:, TAXONOMY.leaf_number[CASES]] = 0.9, 0.6
    several = {"paths": [[MUGS, CASES]] * 4 + [[MUGS]], "probabilities": probabilities}
    one_each = data(**several)
    none_further, further = (
        data(**several, filing=Filing(TAXONOMY, 0.5, label_thresholds=half, further_threshold=least))
        for least in (1.0, 0.5)
    )
    assert "sets" not in one_each.to_json()
    assert "All categories" not in report_page(one_each)
    # ten are given, nine of them right, of nine; the best of each product is 5 of the 9
    found = {"micro_f1": round(2 * 9 / 19, 4), "exact_match": 0.8}
    assert none_further.to_json()["sets"] == {**found, "accepted_share": round(5 / 9, 4)}
    assert further.to_json()["sets"] == {**found, "accepted_share": 1.0}
    assert none_further.accepted.coverage == none_further.accepted.precision == 1.0
    pages = [Page(report_page(one)).shown for one in (none_further, further)]
    for page, share in zip(pages, ("55.6%", "100.0%"), strict=True):
        assert f"{share}of all true categories accepted without a person" in page
        assert "best category accepted without a person" in page
        assert "0.947micro F1 of the sets" in page
    assert ["No category beside a product's best is accepted" in page for page in pages] == [True, False]


def test_of_nothing_accepted_no_share_is_claimed_to_be_right():
    made = data(filing=Filing(TAXONOMY, 1.0))
    assert made.to_json()["accepted"] == {"coverage": 0.0, "precision": None}
    assert "0.0%accepted without a person–of those right" in Page(report_page(made)).shown


def test_learning_curves_baselines_and_preparation_are_shown_where_they_are_known():
    level = {"level": 2, "accuracy": 0.5, "weighted_f1": 0.4, "macro_f1": 0.3, "classes": 3}
    made = data(
        epochs=[Epoch(1, 2.0, 0.5), Epoch(2, 1.0, 0.6)],
        baselines={
            "split": {"held_back": 5},
            "rows": [{"name": "keyword rules", "mean_weighted_f1": 0.4, "levels": [level], "seconds": 1.0}],
        },
        preparation={"markup": {"fields": 3, "examples": [{"before": ATTACK, "after": ""}]}},
    )
    page = Page(report_page(made))
    for part in ("Training loss", "Held-back F1", "keyword rules", "this classifier", "markup", "The same 5 held-back"):
        assert part in page.shown
    assert sum(tag == "script" for tag, _ in page.tags) == 1


def test_nothing_to_measure_on_gives_a_page_that_says_so(tmp_path):
    empty = data(ids=[], texts=[], paths=[], probabilities=np.empty((0, 3), np.float32))
    written = write_report_page(tmp_path / "new" / "report", empty)
    assert written == tmp_path / "new" / "report" / "index.html"
    assert "no held-back product" in written.read_text("utf-8")


def test_a_product_of_a_category_that_is_not_learnt_is_an_error_and_no_suspect():
    made = data(paths=[[MUGS], [MUGS], [KETTLES], [CASES], [("New", "Thing")]])
    assert 4 not in [suspect.row for suspect in made.suspects]
    assert "New > Thing" in Page(report_page(made)).shown


def test_broken_characters_do_not_break_the_page(tmp_path):
    made = data(texts=["half \ud800 pair", "bell \x07", "nul \x00", "x" * 10_000, ""])
    content = write_report_page(tmp_path, made).read_text("utf-8")
    assert "\x00" not in content
    assert "x" * 200 not in content


def test_three_hundred_classes_fit_on_a_page_of_a_megabyte():
    leaves = [("Root", f"Class {number}") for number in range(300)]
    taxonomy = Taxonomy.of(leaves)
    paths = [[leaf] for leaf in leaves for _ in range(10)]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(300), len(paths)).astype(np.float32)
    texts = [f"product {row}" for row in range(len(paths))]
    made = ReportData("wide", Filing(taxonomy, 0.5), texts, texts, paths, probabilities)
    assert len(report_page(made)) < 1_000_000


def test_a_logarithmic_axis_has_powers_of_ten_at_like_distances():
    axis = logarithmic_axis("n", [1_000, 1_000_000])
    assert axis.ticks() == [1_000, 10_000, 100_000, 1_000_000]
    shares = [axis.share(value) for value in axis.ticks()]
    assert np.diff(shares) == pytest.approx([np.diff(shares)[0]] * 3)
    assert 0 < shares[0] < shares[-1] < 1
    assert logarithmic_axis("n", [12, 60]).ticks() == [10, 20, 50]
    assert logarithmic_axis("n", [1014, 1217]).ticks() == [800, 1_000, 1_200, 1_400, 1_600]


def test_what_is_counted_has_whole_ticks():
    assert axis_around("epoch", [1, 2, 3, 4], whole=True).ticks() == [1, 2, 3, 4]
    assert axis_around("epoch", [1, 60], whole=True).ticks() == [0, 10, 20, 30, 40, 50, 60]


def test_a_chart_puts_points_where_they_belong():
    svg = curve_chart([Curve("a<b", [(0, 0), (1, 1)])], Axis("x"), Axis("y"))
    [points] = re.findall(r'points="([^"]*)"', svg)
    assert points == "64.0,254.0 426.0,14.0"  # left and floor, right and top of the plot
    assert "a&lt;b" in svg
    assert Axis("x", 2, 2).share(2) == 0.5


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("x"), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Axis("epoch", 0.85, 4.15), [1, 1.5, 2, 2.5, 3, 3.5, 4]),
        (Axis("risk", 0, 0.13), [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12]),
    ],
)
def test_ticks_are_round_values_within_the_axis(axis, ticks):
    assert axis.ticks() == ticks


@pytest.mark.model
def test_the_command_measures_a_bundle_on_a_labelled_catalogue(tmp_path):
    words = {"kettle": (1, 0), "mug": (0, 1)}
    write_hand_bundle(tmp_path / "bundle", words, [("Kitchen", "Kettles"), ("Kitchen", "Mugs")], threshold=0.6)
    rows = [(1, "steel kettle", "Kettles"), (2, "mug", "Mugs"), (3, "big mug", "Mugs"), (4, "blue mug", "Kettles")]
    lines = [{"id": id_, "title": title, "category": ["Kitchen", leaf]} for id_, title, leaf in rows]
    lines.append({"id": 5, "title": "no category"})
    (tmp_path / "labelled.jsonl").write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    ran = runner_here(tmp_path)("evaluate", "classifier", "labelled.jsonl", "--bundle", "bundle", "--out", "page")
    [printed] = ran.lines
    assert (printed["products"], printed["levels"][1]["accuracy"]) == (4, 0.75)
    assert printed["report"] == "page/index.html"
    assert "blue mug" in (tmp_path / "page" / "index.html").read_text("utf-8")


@pytest.mark.model
@pytest.mark.parametrize(("further", "share"), [(1.0, 0.5), (0.6, 1.0)])
def test_the_command_measures_the_sets_of_a_bundle_of_several_categories(tmp_path, further, share):
    words = {"mug": (1, 0), "gift": (0, 1)}
    made = write_hand_bundle(tmp_path / "bundle", words, [("Gifts",), ("Mugs",)], 0.4, [0.4, 0.4])
    info = {**made.info, "further_threshold": further}
    info["version"] = content_version(made.path, info)
    (made.path / "bundle.json").write_bytes(orjson.dumps(info))
    line = {"id": 1, "title": "gift mug", "categories": [["Mugs"], ["Gifts"]]}
    (tmp_path / "labelled.jsonl").write_bytes(orjson.dumps(line))
    ran = runner_here(tmp_path)("evaluate", "classifier", "labelled.jsonl", "--bundle", "bundle", "--out", "page")
    [printed] = ran.lines
    assert printed["sets"] == {"micro_f1": 1.0, "exact_match": 1.0, "accepted_share": share}
    assert (ran.err.count("no category beside a product's best is accepted without a person") == 1) == (further == 1)


def test_a_page_says_when_its_products_set_what_is_accepted():
    epochs = [Epoch(1, 2.0, 0.5), Epoch(2, 1.0, 0.6)]
    said = ["set when training stopped" in report_page(data(epochs=shown)) for shown in ((), epochs)]
    assert said == [False, True]


def test_a_page_says_when_the_model_has_learnt_its_products_since():
    shown = report_page(data(epochs=[Epoch(1, 2.0, 0.5)], learnt_since=True))
    assert "from before the model learnt these products too" in shown
    assert "was not trained on these products" not in shown


@pytest.mark.model
def test_categories_that_the_bundle_lacks_are_said_and_counted(tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", {"mug": (1, 0), "kettle": (0, 1)}, [("Mugs",), ("Kettles",)])
    paths = [["Mugs"], ["Cups"], ["Tea", "Cups"], ["Cups"]]
    lines = [{"id": str(number), "title": "mug", "category": path} for number, path in enumerate(paths)]
    (tmp_path / "new.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    ran = runner_here(tmp_path)("evaluate", "classifier", "new.jsonl", "--bundle", "bundle", "--out", "page")
    assert (
        f"3 products of new.jsonl are in categories that bundle {bundle.version} does not predict and count as wrong"
        in ran.err
    )
    assert [line["unknown_categories"] for line in ran.lines] == [2]
    shown = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert "2 categories of these products are none that the bundle predicts" in shown
    assert "3 products are in no other and count as wrong" in shown


@pytest.mark.model
def test_a_catalogue_that_set_the_thresholds_is_said_to_be_kind(tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", {"mug": (1, 0), "kettle": (0, 1)}, [("Mugs",), ("Kettles",)])
    catalogue = tmp_path / "held.jsonl"
    catalogue.write_bytes(orjson.dumps({"id": "1", "title": "mug", "category": ["Mugs"]}))
    info = {**bundle.info, "data": {"sha256": "0", "validation": file_hash(catalogue)}}
    (tmp_path / "bundle" / "bundle.json").write_bytes(orjson.dumps(info))
    run = partial(runner_here(tmp_path), "evaluate", "classifier", "held.jsonl", "--bundle", "bundle", "--out", "page")
    assert f"held.jsonl set temperature and thresholds of bundle {bundle.version}" in run().err


@pytest.mark.model
def test_products_that_the_bundle_was_trained_on_are_said_to_prove_nothing(tmp_path):
    bundle = write_hand_bundle(tmp_path / "bundle", {"mug": (1, 0), "kettle": (0, 1)}, [("Mugs",), ("Kettles",)])
    catalogue = tmp_path / "seen.jsonl"
    catalogue.write_bytes(orjson.dumps({"id": "1", "title": "mug", "category": ["Mugs"]}))
    run = partial(runner_here(tmp_path), "evaluate", "classifier", "seen.jsonl", "--bundle", "bundle", "--out", "page")
    assert [line["trained_on"] for line in run().lines] == [False]
    info = {**bundle.info, "data": {"sha256": file_hash(catalogue)}}
    (tmp_path / "bundle" / "bundle.json").write_bytes(orjson.dumps(info))
    ran = run()
    assert [line["trained_on"] for line in ran.lines] == [True]
    assert f"bundle {bundle.version} was trained on seen.jsonl" in ran.err
    assert "These products were trained on" in (tmp_path / "page" / "index.html").read_text("utf-8")


@pytest.mark.model
@pytest.mark.parametrize(("learnt", "known"), [([], 0), (["1"], 1), (["1", "3"], 2), (["1", "2", "3"], 3)])
def test_products_that_were_trained_on_are_known_by_their_ids_in_whatever_file(tmp_path, learnt, known):
    bundle = write_hand_bundle(tmp_path / "bundle", {"mug": (1, 0), "kettle": (0, 1)}, [("Mugs",), ("Kettles",)])
    (tmp_path / "bundle" / "checkpoint").mkdir()
    products = [Product(id_, "mug") for id_ in learnt]
    write_trained_on(tmp_path / "bundle", products[:1], NOTHING, in_the_end=products[1:])
    lines = [{"id": id_, "title": "mug", "category": ["Mugs"]} for id_ in ("1", "2", "3")]
    (tmp_path / "excerpt.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    ran = runner_here(tmp_path)("evaluate", "classifier", "excerpt.jsonl", "--bundle", "bundle", "--out", "page")
    [printed] = ran.lines
    assert (printed["trained_on"], printed["trained_on_products"]) == (known == 3, known)
    some = f"bundle {bundle.version} was trained on {known} of the 3 products of excerpt.jsonl"
    assert (some in ran.err) == (known in (1, 2))
    page = (tmp_path / "page" / "index.html").read_text("utf-8")
    assert (f"{known} of these 3 products were trained on" in page) == (known in (1, 2))
    assert ("These products were trained on" in page) == (known == 3)


@pytest.mark.model
def test_a_bundle_that_does_not_say_what_it_learnt_gives_no_number(tmp_path):
    write_hand_bundle(tmp_path / "bundle", {"mug": (1, 0), "kettle": (0, 1)}, [("Mugs",), ("Kettles",)])
    (tmp_path / "c.jsonl").write_bytes(orjson.dumps({"id": "1", "title": "mug", "category": ["Mugs"]}))
    ran = runner_here(tmp_path)("evaluate", "classifier", "c.jsonl", "--bundle", "bundle", "--out", "page")
    assert [(line["trained_on"], line["trained_on_products"]) for line in ran.lines] == [(False, None)]


@pytest.mark.model
def test_products_deeper_than_the_bundles_taxonomy_count_as_wrong(tmp_path):
    write_hand_bundle(tmp_path / "bundle", {"mug": (0, 1), "kettle": (1, 0)}, [("Mugs",), ("Kettles",)])
    lines = [{"id": "1", "title": "mug", "category": ["Mugs", "Tall"]}, {"id": "2", "title": "mug", "category": "Mugs"}]
    (tmp_path / "deep.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    ran = runner_here(tmp_path)("evaluate", "classifier", "deep.jsonl", "--bundle", "bundle", "--out", "page")
    [printed] = ran.lines
    assert printed["levels"][0]["accuracy"] == 0.5
    assert "Mugs &gt; Tall" in (tmp_path / "page" / "index.html").read_text("utf-8")


@pytest.mark.model
@pytest.mark.parametrize(
    ("catalogue", "baselines", "refusal"),
    [
        ('{"id": 1, "title": "mug"}', None, "no product carries a category"),
        ('{"id": 1, "title": "mug", "category": ["A"]}', "{", "cannot be read"),
        ('{"id": 1, "title": "mug", "category": ["A"]}', "[1]", "has no rows"),
    ],
)
def test_what_cannot_be_measured_or_compared_is_refused(tmp_path, catalogue, baselines, refusal):
    write_hand_bundle(tmp_path / "bundle", {"mug": (1.0,)}, [("A",)])
    (tmp_path / "labelled.jsonl").write_text(catalogue)
    arguments = ["classifier", str(tmp_path / "labelled.jsonl"), "--bundle", str(tmp_path / "bundle")]
    if baselines is not None:
        (tmp_path / "rows.json").write_text(baselines)
        arguments += ["--baselines", str(tmp_path / "rows.json")]
    ran = CliRunner().invoke(evaluate, [*arguments, "--out", str(tmp_path / "page")])
    assert isinstance(ran.exception, ShelfwiseError)
    assert refusal in str(ran.exception)
    assert not (tmp_path / "page").exists()
