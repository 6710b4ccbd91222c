"""The gate, both ways: what is not significantly worse goes live, what is does not."""

import orjson
import pytest

from hand_bundle import write_hand_bundle
from shelfwise.errors import UsageError
from shelfwise.hit import Hit
from shelfwise.live_index import live
from shelfwise.query_weights import QueryWeights
from shelfwise.search_settings import SearchSettings
from shelfwise.synonyms import Synonyms
from shelfwise_indexer.ablation import SHOWN
from shelfwise_indexer.gate import Gate, GateFailed, Saved, compare, read_figures
from shelfwise_indexer.ingest import index
from shelfwise_indexer.judgements import JudgementError, Judgements
from shelfwise_indexer.kept_settings import kept
from shelfwise_indexer.search_evaluation import evaluate_search
from test_cli import lines_of, runner

NAMES = ("kettle", "mug", "tent", "lamp", "rope", "wok", "vase", "fork")
# Each word its own direction, so that a word finds the product of its name first.
WORDS = {name: [float(place == at) for at in range(len(NAMES))] for place, name in enumerate(NAMES)}
GOOD = [{"id": f"p{place}", "title": name} for place, name in enumerate(NAMES)]
BAD = [record | {"title": NAMES[place - 1]} for place, record in enumerate(GOOD)]
QUERIES = [{"query": name, "id": f"p{place}", "grade": 3} for place, name in enumerate(NAMES)]


def judged(*grades):
    return Judgements.from_json(
        [{"id": f"q{n}", "query": f"word {n}", "category": None, "grades": {"a": g}} for n, g in enumerate(grades)]
    )


def hit(id_):
    return Hit(id_, 1.0, id_, (), (), None, None, None, None, None, None, {})


def measured(judgements, right, k=10):
    """The search shown finds `a` for these query ids."""
    return evaluate_search({SHOWN: lambda query, k: [hit("a")] if query.id in right else []}, judgements, 0, k)


def saved(judgements, right, k=10):
    return Saved("old.json", k, judgements, {SHOWN: measured(judgements, right).systems[SHOWN].ndcg})


def test_a_loss_on_most_queries_does_not_pass_and_one_that_may_be_chance_does():
    judgements = judged(1, 1, 1, 1, 1, 1)
    every = {f"q{n}" for n in range(6)}
    failed = compare(measured(judgements, set()), saved(judgements, every), SHOWN)
    assert not failed.passed
    assert failed.difference.mean == -1.0
    assert "is -1.0000 (-1.0000 to -1.0000) against old.json on 6 queries: significantly worse" in str(failed)
    for right in (every - {"q3"}, every):
        assert compare(measured(judgements, right), saved(judgements, every), SHOWN).passed
    assert compare(measured(judgements, every), saved(judgements, set()), SHOWN).passed


def test_only_queries_judged_alike_are_compared():
    both = {f"q{n}" for n in range(7)} - {"q1"}
    verdict = compare(measured(judged(1, 2, *[1] * 4), both), saved(judged(*[1] * 7), both), SHOWN)
    assert (verdict.difference.queries, verdict.passed) == (5, True)
    with pytest.raises(JudgementError, match="shares no query"):
        compare(measured(judged(2), set()), saved(judged(1), {"q0"}), SHOWN)


def test_so_few_queries_that_any_loss_would_be_significant_are_refused(tmp_path):
    with pytest.raises(JudgementError, match=r"at least 5 queries .* old\.json gives 4: judge more"):
        compare(measured(judged(*[1] * 4), set()), saved(judged(*[1] * 4), {"q0"}), SHOWN)
    (tmp_path / "judged.jsonl").write_text(lines_of([*QUERIES[:4], QUERIES[4] | {"grade": 0}]))
    with pytest.raises(JudgementError, match=r"judged\.jsonl gives 4"):
        Gate.read(str(tmp_path / "judged.jsonl"))


def test_figures_of_another_depth_or_system_are_refused():
    with pytest.raises(JudgementError, match=r"holds nDCG@5, this run measures nDCG@10: give -k 5"):
        compare(measured(judged(1), set()), saved(judged(1), {"q0"}, k=5), SHOWN)
    with pytest.raises(JudgementError, match=r"old\.json has no figures of .*: it has BM25"):
        compare(measured(judged(1), set()), Saved("old.json", 10, judged(1), {"BM25": {"q0": 1.0}}), SHOWN)


def test_figures_read_back_and_other_files_are_told_apart(tmp_path):
    path = tmp_path / "figures.json"
    path.write_bytes(orjson.dumps(measured(judged(1, 2), {"q0"}).figures()))
    read = read_figures(str(path))
    assert read.ndcg == {SHOWN: {"q0": 1.0, "q1": 0.0}}
    assert read.judgements.sha256 == judged(1, 2).sha256
    for content in (b"q1 0 a 3\n", b'{"query": "x", "id": "a", "grade": 1}\n', b"[]", b"\x1f\x8b\x00"):
        path.write_bytes(content)
        assert read_figures(str(path)) is None
    path.write_bytes(b'{"systems": {}, "format": 2}')
    with pytest.raises(JudgementError, match="save them anew"):
        read_figures(str(path))
    with pytest.raises(JudgementError, match="cannot be read"):
        read_figures(str(tmp_path / "none"))


def test_a_new_index_is_measured_by_the_settings_that_the_figures_were_measured_with(tmp_path):
    (tmp_path / "synonyms.txt").write_text("tv, television\n")
    settings = SearchSettings(
        query_weights=QueryWeights(bias=0.25), collapse_variants=False, synonyms=Synonyms(tmp_path / "synonyms.txt")
    )
    path = tmp_path / "figures.json"
    figures = measured(judged(*[1] * 5), {"q0"}).figures()
    path.write_bytes(orjson.dumps(figures | {"settings": kept(settings)}))
    read = Gate.read(str(path)).settings
    assert (read.query_weights, read.collapse_variants) == (QueryWeights(bias=0.25), False)
    assert read.synonyms is not None
    assert "television" in read.synonyms.readings("tv")
    path.write_bytes(orjson.dumps(figures))  # as an earlier version saved them
    assert Gate.read(str(path)).settings == SearchSettings()
    path.write_bytes(orjson.dumps(figures | {"settings": kept(settings)}))
    (tmp_path / "synonyms.txt").write_text("tv, telly\n")
    with pytest.raises(JudgementError, match=r"synonyms\.txt is gone or was changed: save figures anew"):
        Gate.read(str(path))


@pytest.fixture
def model(tmp_path):
    return write_hand_bundle(tmp_path / "bundle", WORDS, [("Things",)])


@pytest.fixture
def shop(tmp_path, monkeypatch, client, alias, model):
    """The good catalogue, live; `good.jsonl`, `bad.jsonl` and `judged.jsonl` beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, records in (("good", GOOD), ("bad", BAD), ("judged", QUERIES)):
        (tmp_path / f"{name}.jsonl").write_text(lines_of(records))
    index("good.jsonl", model, alias, client=client)
    return alias


@pytest.mark.es
def test_a_worse_catalogue_is_not_made_live_and_the_same_run_without_the_gate_makes_it_so(shop, client, model):
    before = live(client, shop).name
    with pytest.raises(GateFailed, match=r"was not moved and index .* was kept") as failed:
        index("bad.jsonl", model, shop, client=client, gate=Gate.read("judged.jsonl"))
    assert live(client, shop).name == before
    assert failed.value.verdict.difference.mean < -0.3
    kept = failed.value.index
    assert client.count(index=kept)["count"] == len(NAMES)
    assert client.indices.get_alias(name=f"{shop}-trial*").body == {}
    assert index("bad.jsonl", model, shop, client=client).index == kept
    assert live(client, shop).name == kept


@pytest.mark.es
def test_a_catalogue_as_good_or_better_goes_live(shop, client, model):
    gate = Gate.read("judged.jsonl")
    assert index("bad.jsonl", model, shop, client=client).index == live(client, shop).name
    assert index("good.jsonl", model, shop, client=client, gate=gate).index == live(client, shop).name
    same = index("good.jsonl", model, shop, client=client, gate=gate)
    assert same.index == live(client, shop).name
    assert client.indices.get_alias(name=f"{shop}-trial*").body == {}


@pytest.mark.es
def test_a_first_index_has_nothing_to_be_worse_than(shop, client, model, alias, capsys):
    first = f"{alias}-first"
    done = index("bad.jsonl", model, first, client=client, gate=Gate.read("judged.jsonl"))
    assert live(client, first).name == done.index
    assert "no live index to compare with" in capsys.readouterr().err


@pytest.mark.es
def test_the_live_index_is_searched_with_its_own_bundle(shop, client, model, tmp_path):
    new = write_hand_bundle(tmp_path / "new", WORDS | {"more": [1.0] * len(NAMES)}, [("Things",)])
    before = live(client, shop).name
    with pytest.raises(UsageError, match="--live-bundle"):
        index("good.jsonl", new, shop, client=client, gate=Gate.read("judged.jsonl"))
    with pytest.raises(GateFailed):
        index("bad.jsonl", new, shop, client=client, gate=Gate.read("judged.jsonl", live_bundle=model))
    assert live(client, shop).name == before
    index("good.jsonl", new, shop, client=client, gate=Gate.read("judged.jsonl", live_bundle=model))
    assert live(client, shop).meta["bundle"] == new.version


@pytest.mark.es
def test_the_command_line_saves_figures_and_holds_later_runs_to_them(shop, client, elasticsearch_url, tmp_path):
    shelfwise = runner(tmp_path)
    where = ["--alias", shop, "--bundle", "bundle", "--url", elasticsearch_url]
    measured = ["--judgements", "judged.jsonl", "--all-variants", "--out", "proof"]
    assert shelfwise("evaluate", "search", *where, *measured).status == 0
    settings = orjson.loads((tmp_path / "proof" / "figures.json").read_bytes())["settings"]
    assert (settings["collapse_variants"], settings["out_of_stock_last"]) == (False, True)
    same = shelfwise("evaluate", "search", *where, "--gate", "proof/figures.json")
    assert (same.status, same.lines[-1]["passed"], same.lines[-1]["queries"]) == (0, True, len(NAMES))

    before = live(client, shop).name
    failed = shelfwise("index", "bad.jsonl", *where, "--gate", "proof/figures.json")
    assert failed.status == 1, failed.err
    [line] = failed.lines
    assert (line["swapped"], line["passed"], line["alias"]) == (False, False, shop)
    assert f"Alias {shop} was not moved and index {line['index']} was kept" in failed.err
    assert live(client, shop).name == before

    assert shelfwise("index", "bad.jsonl", *where).lines[0]["index"] == line["index"]
    worse = shelfwise("evaluate", "search", *where, "--gate", "proof/figures.json")
    assert (worse.status, worse.lines[-1]["passed"]) == (1, False)
    better = shelfwise("index", "good.jsonl", *where, "--gate", "proof/figures.json")
    assert better.status == 0, better.err
