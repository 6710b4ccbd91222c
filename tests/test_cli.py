import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from conftest import delete_indices
from hand_bundle import add_hand_int8, write_hand_bundle
from shelfwise.bundle import Bundle, content_version
from shelfwise.cli import Commands, main
from shelfwise.doctor import bundle_found
from shelfwise.live_index import live
from shelfwise.processor import has_bf16
from test_good_rows import cut_off

SHELFWISE = Path(sys.executable).parent / "shelfwise"
NOWHERE = "http://127.0.0.1:1"
SECRET = "tHe-SeCrEt-ThAt-Is-NoNsEnSe"
COMMANDS = [
    "backbone",
    "classify",
    "compact",
    "cross-validate",
    "demo",
    "doctor",
    "duplicates",
    "encode",
    "evaluate",
    "evaluate baselines",
    "evaluate classifier",
    "evaluate fusion",
    "evaluate recommend",
    "evaluate search",
    "evaluate similar",
    "events",
    "events learn",
    "index",
    "local",
    "local start",
    "local status",
    "local stop",
    "recommend",
    "rerank",
    "rerank export",
    "rerank train",
    "rollback",
    "search",
    "similar",
    "status",
    "taxonomy",
    "taxonomy migrate",
    "train",
    "tune",
]
HIT = {"id", "score", "title", "category", "categories", "brand", "price", "in_stock", "variant_of"}

KETTLES, CASES = ["Home", "Kitchen", "Kettles"], ["Electronics", "Phones", "Cases"]
# Two meanings: boiling water, protecting a phone. Leaves are in alphabetical order: Cases is the first.
WORDS = {"case": (1, 0), "cover": (1, 0), "phone": (0.96, 0.28), "kettle": (0, 1), "boiler": (0, 1), "壶": (0, 1)}
WORDS |= dict.fromkeys(("travel", "new"), (1e-3, 1e-3))  # known, and as good as nothing
CATALOGUE = [
    {"id": "k1", "title": "Steel kettle", "brand": "Sony", "price": 30, "category": KETTLES},
    {"id": "k2", "title": "Glass kettle", "brand": "LG", "price": 15.5, "category": KETTLES, "color": "clear"},
    {"id": "k3", "title": "不锈钢壶", "price": 20, "category": KETTLES, "in_stock": False},
    {"id": "c1", "title": "Leather phone case", "brand": "Sony", "price": 9, "category": CASES, "color": "red"},
    {"id": "c2", "title": "Leather phone cover", "price": 5, "category": CASES, "variant_of": "c1"},
    {"id": "c3", "title": "Silicone case", "price": 7, "category": CASES},
    {"id": "u1", "title": "Travel kettle"},
]


@dataclass(frozen=True)
class Ran:
    """What one run of the program gave."""

    status: int
    out: str
    err: str

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def ids(self):
        return [line["id"] for line in self.lines]


def runner(folder):
    """Runs the real program in a folder, away from this machine's cache, servers and logins."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("ELASTICSEARCH_")}

    def run(*arguments, given="", **env):
        done = subprocess.run(
            [SHELFWISE, *map(str, arguments)],
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            cwd=folder,
            env=outer | {"XDG_CACHE_HOME": str(folder / "cache")} | env,
            timeout=120,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ran.err, ran.err
        assert "Traceback" not in ran.out
        return ran

    return run


def runner_here(folder):
    """The same within this process, for commands whose libraries take longer to load than they take to run."""

    def run(*arguments):
        with pytest.MonkeyPatch.context() as outer:
            outer.chdir(folder)
            outer.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            for name in [name for name in os.environ if name.startswith("ELASTICSEARCH_")]:
                outer.delenv(name)
            done = CliRunner().invoke(main, [*map(str, arguments)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    return run


def lines_of(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def refused_in_one_line(ran, *parts):
    """Nothing on stdout, status 2, and one line on stderr that holds the parts."""
    assert (ran.status, ran.out) == (2, ""), ran
    assert ran.err.startswith("shelfwise: ")
    assert ran.err.count("\n") == 1
    for part in parts:
        assert part in ran.err
    return True


@pytest.fixture
def shelfwise(tmp_path):
    return runner(tmp_path)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("cli") / "bundle", WORDS, [tuple(KETTLES), tuple(CASES)])


@pytest.fixture(scope="module")
def model(bundle):
    """The bundle's folder, as the command line has it."""
    return str(bundle.path)


class TestDuplicates:
    GIVEN = "\n".join(
        [
            '{"id": "1", "title": "Phone case", "category": ["Phones", "Cases"]}',
            "{",
            '{"id": "2", "title": "phone  case!"}',
            '{"id": "3", "title": "壶"}',
        ]
    )

    @pytest.mark.parametrize("options", [(), ("--cosine", "0.999")])
    def test_a_line_a_group_and_on_after_a_broken_line(self, shelfwise, model, options):
        ran = shelfwise("duplicates", *options, *(("--bundle", model) if options else ()), given=self.GIVEN)
        assert ran.status == 1
        [group] = ran.lines
        assert [(one["id"], one["categories"]) for one in group["products"]] == [
            ("1", [["Phones", "Cases"]]),
            ("2", []),
        ]
        assert group["by"] == ["text", "title", *(["vector"] if options else [])]
        assert "3 products: 2 of them in 1 group of near duplicates" in ran.err
        assert "line 2" in ran.err


class TestClassify:
    GIVEN = lines_of([{"id": "b", "title": "Phone case"}, {"id": 7, "title": "Kettle"}, {"id": "a", "title": "壶"}])

    def test_a_line_is_as_the_contract_has_it(self, shelfwise, model):
        ran = shelfwise("classify", "--bundle", model, given=self.GIVEN)
        assert (ran.status, ran.err) == (0, "")
        for line in ran.lines:
            assert line.keys() == {"id", "category", "confidence", "candidates"}
            assert [one.keys() for one in line["candidates"]] == [{"category", "probability"}] * 2
            assert line["category"] == line["candidates"][0]["category"]
            assert line["confidence"] == line["candidates"][0]["probability"]
            assert sum(one["probability"] for one in line["candidates"]) == pytest.approx(1, abs=1e-5)

    def test_products_come_out_in_the_order_they_went_in(self, shelfwise, model):
        lines = shelfwise("classify", "--bundle", model, given=self.GIVEN).lines
        assert [(line["id"], line["category"]) for line in lines] == [("b", CASES), ("7", KETTLES), ("a", KETTLES)]

    def test_a_file_standard_input_and_a_dash_are_the_same(self, shelfwise, model, tmp_path):
        (tmp_path / "products.jsonl").write_text(self.GIVEN)
        from_file = shelfwise("classify", "--bundle", model, "products.jsonl")
        assert len(from_file.lines) == 3
        assert from_file.out == shelfwise("classify", "--bundle", model, "-", given=self.GIVEN).out
        assert from_file.out == shelfwise("classify", "--bundle", model, given=self.GIVEN).out

    def test_five_candidates_of_many_leaves_best_first(self, shelfwise, tmp_path):
        wide = write_hand_bundle(tmp_path / "wide", {"kettle": (0.8, 0.6, 0)}, [("Home", leaf) for leaf in "abcdefg"])
        [line] = shelfwise("classify", "--bundle", wide.path, given='{"id": "1", "title": "kettle"}').lines
        probabilities = [one["probability"] for one in line["candidates"]]
        assert [one["category"][-1] for one in line["candidates"]] == ["a", "b", "c", "d", "e"]
        assert probabilities == sorted(probabilities, reverse=True)

    def test_bad_lines_are_named_and_the_others_are_done(self, shelfwise, model):
        given = b'{"id": "1", "title": "Kettle"}\n{nope\n\n{"id": "2"}\n{"id": "3", "title": "caf\xff"}\n' + (
            b'{"id": "1", "title": "Case"}\n{"id": "4", "title": "Case"}\n{"title": "Case"}\n'
        )
        ran = shelfwise("classify", "--bundle", model, given=given)
        assert (ran.status, ran.ids) == (1, ["1", "4"])
        for part in ("line 2: not JSON", "line 4: product 2: title", "line 5: not UTF-8", "line 6: product 1: dup"):
            assert part in ran.err
        assert "line 8: id is missing" in ran.err
        assert ran.err.splitlines()[-1] == "5 lines were rejected, the others are done"

    @pytest.mark.parametrize("command", ["classify", "encode --out vectors.npy", "duplicates"])
    def test_where_every_line_is_bad_nothing_could_be_done(self, shelfwise, model, tmp_path, command):
        ran = shelfwise(*command.split(), "--bundle", model, given='{nope\n\n{"id": "2"}\n')
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.splitlines()[-1] == "shelfwise: -: all 2 lines were rejected: expected products, one a line"
        assert not (tmp_path / "vectors.npy").exists()

    def test_csv_is_read_by_its_extension(self, shelfwise, model, tmp_path):
        (tmp_path / "products.csv").write_text("id,title\n1,Kettle\n2,Phone case\n")
        ran = shelfwise("classify", "--bundle", model, "products.csv")
        assert [line["category"] for line in ran.lines] == [KETTLES, CASES]

    def test_an_empty_input_is_refused(self, shelfwise, model):
        assert refused_in_one_line(shelfwise("classify", "--bundle", model), "the catalogue is empty")

    def test_a_catalogue_that_is_cut_off_is_refused(self, shelfwise, model, tmp_path):
        ran = shelfwise("classify", "--bundle", model, str(cut_off(tmp_path)))
        assert refused_in_one_line(ran, "half.jsonl.gz, line")

    def test_a_file_that_is_not_there_is_named(self, shelfwise, model):
        assert refused_in_one_line(shelfwise("classify", "--bundle", model, "none.jsonl"), "none.jsonl", "no such file")

    def test_a_bundle_that_is_not_there_is_named_with_what_makes_one(self, shelfwise):
        ran = shelfwise("classify", "--bundle", "no-model", given=self.GIVEN)
        assert refused_in_one_line(ran, "no-model", "shelfwise train CATALOGUE --out no-model")

    def test_a_changed_bundle_is_refused(self, shelfwise, model, tmp_path):
        changed = shutil.copytree(model, tmp_path / "changed")
        with (changed / "model.bin").open("ab") as file:
            file.write(b"\0")
        assert refused_in_one_line(shelfwise("classify", "--bundle", changed, given=self.GIVEN), "was changed")

    def test_a_reader_that_stops_early_is_no_error(self, model, tmp_path):
        (tmp_path / "many.jsonl").write_text(lines_of({"id": n, "title": "Kettle"} for n in range(4000)))
        piped = subprocess.run(
            ["bash", "-c", '"$0" classify --bundle "$1" many.jsonl | head -1', SHELFWISE, model],
            capture_output=True,
            cwd=tmp_path,
            timeout=120,
            check=True,
        )
        assert orjson.loads(piped.stdout)["id"] == "0"
        assert piped.stderr == b""

    def test_standard_output_on_a_full_disk_is_said_in_one_line(self, model, tmp_path):
        (tmp_path / "many.jsonl").write_text(lines_of({"id": n, "title": "Kettle"} for n in range(3)))
        full = subprocess.run(
            ["bash", "-c", '"$0" classify --bundle "$1" many.jsonl > /dev/full', SHELFWISE, model],
            capture_output=True,
            cwd=tmp_path,
            timeout=120,
            check=False,
        )
        said = b"shelfwise: standard output cannot be written (No space left on device): send it elsewhere\n"
        assert (full.returncode, full.stderr) == (2, said)


class TestTune:
    def test_settings_that_cannot_be_written_are_refused_before_a_trial(self, tmp_path):
        (tmp_path / "c.jsonl").write_text(lines_of(CATALOGUE))
        ran = runner_here(tmp_path)("tune", "c.jsonl", "--work", "trials", "--out", "none/train.toml")
        assert refused_in_one_line(ran, "none/train.toml cannot be written", "name a file in a folder you may write")
        assert not (tmp_path / "trials").exists()


class TestPipes:
    @pytest.mark.parametrize("command", ["evaluate classifier", "train"])
    def test_a_pipe_where_a_file_is_read_twice_is_refused_and_not_waited_for(self, model, tmp_path, command):
        os.mkfifo(tmp_path / "pipe.jsonl")
        options = ["--bundle", model] if command != "train" else []
        ran = runner_here(tmp_path)(*command.split(), "pipe.jsonl", *options, "--out", "out")
        assert refused_in_one_line(ran, "pipe.jsonl: a file is needed here, as it is read twice")


class TestEncode:
    GIVEN = lines_of([{"id": "b", "title": "Phone case"}, {"id": "a", "title": "Kettle"}, {"id": "c", "title": "壶"}])

    def test_lines_and_the_array_hold_the_same_float32_vectors_in_input_order(self, shelfwise, model, tmp_path):
        ran = shelfwise("encode", "--bundle", model, given=self.GIVEN)
        written = shelfwise("encode", "--bundle", model, "--out", "vectors.npy", given=self.GIVEN)
        assert (ran.status, written.status) == (0, 0)
        assert written.lines == [{"id": "b", "row": 0}, {"id": "a", "row": 1}, {"id": "c", "row": 2}]
        assert [set(line) for line in ran.lines] == [{"id", "vector"}] * 3
        assert ran.ids == ["b", "a", "c"]
        array = np.load(tmp_path / "vectors.npy", allow_pickle=False)
        assert (array.dtype, array.shape) == (np.float32, (3, 2))
        assert np.array_equal(array, np.array([line["vector"] for line in ran.lines], dtype=np.float32))
        assert array[1:] == pytest.approx(np.array([[0, 1], [0, 1]]), abs=1e-5)

    def test_a_query_is_read_behind_its_own_prompt(self, shelfwise, bundle, tmp_path):
        folder = shutil.copytree(bundle.path, tmp_path / "prompted")
        info = {**bundle.info, "prompts": {"query": "case ", "document": "kettle "}}
        info["version"] = content_version(folder, info)
        (folder / "bundle.json").write_bytes(orjson.dumps(info))
        unknown = '{"id": "1", "title": "zzz"}'
        [document] = shelfwise("encode", "--bundle", folder, given=unknown).lines
        [query] = shelfwise("encode", "--bundle", folder, "--as", "query", given=unknown).lines
        assert document["vector"] == pytest.approx([0, 1], abs=2e-3)
        assert query["vector"] == pytest.approx([1, 0], abs=2e-3)

    def test_bad_lines_have_no_row_in_the_array(self, shelfwise, model, tmp_path):
        ran = shelfwise("encode", "--bundle", model, "--out", "vectors.npy", given="{\n" + self.GIVEN)
        assert (ran.status, ran.lines[0]) == (1, {"id": "b", "row": 0})
        assert "line 1: not JSON" in ran.err
        assert len(np.load(tmp_path / "vectors.npy")) == 3

    @pytest.mark.parametrize("out", ["none/vectors.npy", "."])
    def test_an_array_that_cannot_be_written_is_named_before_a_line_is_read(self, shelfwise, model, out):
        ran = shelfwise("encode", "--bundle", model, "--out", out, given="{\n" + self.GIVEN)
        assert refused_in_one_line(ran, f"{out} cannot be written")


class TestTaxonomyMigrate:
    CHANGES = lines_of([{"change": "renamed", "from": "Home > Kitchen", "to": "Home > Cooking"}])

    def test_a_bundle_and_a_catalogue_follow(self, shelfwise, model, tmp_path):
        (tmp_path / "changes.jsonl").write_text(self.CHANGES)
        (tmp_path / "catalogue.jsonl").write_text(lines_of(CATALOGUE) + "{\n")
        arguments = ["taxonomy", "migrate", "changes.jsonl", "--bundle", model, "--out", "next"]
        arguments += ["--catalogue", "catalogue.jsonl", "--catalogue-out", "next.jsonl"]
        ran = shelfwise(*arguments)
        assert ran.status == 1
        assert "line 8: not JSON" in ran.err
        [line] = ran.lines
        assert (line["bundle"], line["changes"], line["leaves"], line["index"]) == ("next", 1, 2, None)
        catalogue = {"out": "next.jsonl", "read": 8, "written": 7, "changed": 3, "undecided": 0, "rejected": 1}
        assert catalogue.items() <= line["catalogue"].items()
        classified = shelfwise("classify", "--bundle", "next", given='{"id": "1", "title": "kettle"}').lines
        assert classified[0]["category"] == ["Home", "Cooking", "Kettles"]
        assert shelfwise(*arguments).lines == [line]

    def test_a_change_that_cannot_be_made_is_refused_before_anything_is_written(self, shelfwise, model, tmp_path):
        (tmp_path / "changes.jsonl").write_text(self.CHANGES.replace("Home > Kitchen", "Home > Kitchn"))
        ran = shelfwise("taxonomy", "migrate", "changes.jsonl", "--bundle", model, "--out", "next")
        assert refused_in_one_line(ran, "there is no category 'Home > Kitchn'", "'Home > Kitchen'")
        assert not (tmp_path / "next").exists()

    @pytest.mark.es
    @pytest.mark.parametrize("source", ["Home > Kitchen", "Home > Attic"])
    def test_a_catalogue_is_replaced_in_place_and_a_killed_run_goes_on(
        self, client, elasticsearch_url, model, alias, tmp_path, monkeypatch, source
    ):
        run = runner_here(tmp_path)
        indexed(run, elasticsearch_url, model, alias, folder=tmp_path)
        changes = [{"change": "renamed", "from": source, "to": "Home > Cooking"}]
        (tmp_path / "changes.jsonl").write_text(lines_of(changes))
        odd = {"id": "o1", "title": "kettle", "category": "Home > Attic"}
        (tmp_path / "c.jsonl").write_text(lines_of([*CATALOGUE, odd]))
        arguments = ["taxonomy", "migrate", "changes.jsonl", "--bundle", model, "--out", "next"]
        arguments += ["--catalogue", "c.jsonl", "--catalogue-out", "c.jsonl"]
        arguments += ["--alias", alias, "--url", elasticsearch_url]

        def killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("shelfwise_indexer.index_migration.migrate_index", killed)
            assert run(*arguments).status != 0
        assert "Cooking" in (tmp_path / "c.jsonl").read_text()
        for _ in range(2):
            ran = run(*arguments)
            assert (ran.status, ran.lines[0]["catalogue"]["changed"]) == (0, 0), ran
        assert live(client, alias).meta["bundle"] == ran.lines[0]["version"]

    @pytest.mark.es
    def test_with_an_index_of_another_bundle_the_catalogue_stays_as_it_is(
        self, elasticsearch_url, model, alias, tmp_path
    ):
        run = runner_here(tmp_path)
        indexed(run, elasticsearch_url, model, alias, folder=tmp_path)
        other = write_hand_bundle(tmp_path / "other", WORDS | {"pot": (1, 1)}, [tuple(KETTLES), tuple(CASES)])
        (tmp_path / "changes.jsonl").write_text(self.CHANGES)
        (tmp_path / "c.jsonl").write_text(lines_of(CATALOGUE))
        arguments = ["taxonomy", "migrate", "changes.jsonl", "--bundle", other.path, "--out", "next"]
        arguments += ["--catalogue", "c.jsonl", "--catalogue-out", "c.jsonl"]
        ran = run(*arguments, "--alias", alias, "--url", elasticsearch_url)
        assert refused_in_one_line(ran, "give --bundle the one in its _meta")
        assert (tmp_path / "c.jsonl").read_text() == lines_of(CATALOGUE)
        assert not (tmp_path / "next").exists()
        arguments[4] = model
        assert run(*arguments, "--alias", alias, "--url", elasticsearch_url).status == 0

    def test_a_catalogue_on_standard_input_is_refused_before_anything_is_written(self, shelfwise, model, tmp_path):
        (tmp_path / "changes.jsonl").write_text(self.CHANGES)
        arguments = ["--bundle", model, "--out", "next", "--catalogue", "-", "--catalogue-out", "next.jsonl"]
        ran = shelfwise("taxonomy", "migrate", "changes.jsonl", *arguments, given=lines_of(CATALOGUE))
        assert refused_in_one_line(ran, "-: a file is needed here, as it is read twice")
        assert [one.name for one in tmp_path.iterdir()] == ["changes.jsonl"]

    def test_a_change_into_a_category_that_the_catalogue_has_is_refused_at_first(self, shelfwise, model, tmp_path):
        (tmp_path / "changes.jsonl").write_text(self.CHANGES)
        (tmp_path / "c.jsonl").write_text(lines_of([{"id": "1", "title": "pot", "category": "Home > Cooking"}]))
        arguments = ["--bundle", model, "--out", "next", "--catalogue", "c.jsonl", "--catalogue-out", "c.jsonl"]
        ran = shelfwise("taxonomy", "migrate", "changes.jsonl", *arguments)
        assert refused_in_one_line(ran, "Home > Cooking is there already")

    def test_a_catalogue_goes_with_the_file_to_write(self, shelfwise, model, tmp_path):
        (tmp_path / "changes.jsonl").write_text(self.CHANGES)
        arguments = ["--bundle", model, "--out", "next", "--catalogue", "changes.jsonl"]
        assert refused_in_one_line(shelfwise("taxonomy", "migrate", "changes.jsonl", *arguments), "go together")


class TestDoctor:
    def test_without_a_server_the_report_says_so_and_ends_well(self, shelfwise):
        ran = shelfwise("doctor", "--url", NOWHERE)
        assert ran.status == 0
        [line] = ran.lines
        assert line.keys() == {"machine", "runtime", "install", "server", "bundle", "advice"}
        assert line["machine"]["cores"] > 0
        assert line["runtime"]["problem"] is None
        assert (line["server"]["url"], line["server"]["reachable"]) == (NOWHERE, False)
        assert any("No server: nothing answers at" in advice for advice in line["advice"])
        assert "not reached" in ran.err
        assert line["advice"][-1] in ran.err

    def test_a_bundle_is_measured_in_each_precision_that_it_has(self, shelfwise, bundle, tmp_path):
        shutil.copytree(bundle.path, tmp_path / "copy")
        add_hand_int8(Bundle.load(tmp_path / "copy"))
        ran = shelfwise("doctor", "--bundle", "copy", "--url", NOWHERE)
        [line] = ran.lines
        assert (line["bundle"]["version"], line["bundle"]["leaves"]) == (bundle.version, 2)
        precision = line["bundle"]["precision"]
        assert precision["texts_per_second"].keys() == {"f32", "int8"} | ({"bf16"} if has_bf16() else set())
        assert min(precision["texts_per_second"].values()) > 0
        assert precision["compared"]["int8"]["mean_cosine"] == pytest.approx(1, abs=1e-5)
        assert precision["recommended"] in ("f32", "bf16", "int8")
        assert "\nint8 " in ran.err

    def test_a_bundle_whose_int8_model_was_changed_cannot_be_used(self, bundle, tmp_path):
        copy = add_hand_int8(Bundle.load(shutil.copytree(bundle.path, tmp_path / "copy")))
        changed = copy.path / "model-int8.bin"
        changed.write_bytes(changed.read_bytes() + b" ")
        assert "was changed since it was measured" in bundle_found(copy.path, runs=True)["problem"]

    def test_int8_of_a_bundle_without_it_is_refused_before_a_server_is_asked(self, shelfwise, model, tmp_path):
        (tmp_path / "catalogue.jsonl").write_text(lines_of(CATALOGUE))
        arguments = ["catalogue.jsonl", "--bundle", model, "--alias", "none", "--precision", "int8", "--url", NOWHERE]
        assert refused_in_one_line(shelfwise("index", *arguments), "no int8 model", "`shelfwise train` makes one")

    def test_a_bundle_that_cannot_be_used_is_in_the_report_and_the_status(self, shelfwise):
        ran = shelfwise("doctor", "--bundle", "none", "--url", NOWHERE)
        assert ran.status == 2
        [line] = ran.lines
        assert "none is not a bundle" in line["bundle"]["problem"]

    def test_an_address_that_is_none_is_refused(self, shelfwise):
        assert refused_in_one_line(shelfwise("doctor", "--url", "search.example"), "the server's URL must look like")

    def test_no_login_is_ever_shown(self, shelfwise):
        logins = {"ELASTICSEARCH_API_KEY": SECRET, "ELASTICSEARCH_PASSWORD": SECRET, "ELASTICSEARCH_USERNAME": "me"}
        for url in (NOWHERE, NOWHERE.replace("://", f"://me:{SECRET}@")):
            ran = shelfwise("doctor", ELASTICSEARCH_URL=url, **logins)
            assert SECRET not in ran.out + ran.err
            assert ran.lines[0]["server"]["url"] == NOWHERE

    @pytest.mark.es
    def test_a_server_is_described(self, shelfwise, elasticsearch_url):
        login = elasticsearch_url.replace("://", f"://me:{SECRET}@")
        ran = shelfwise("doctor", ELASTICSEARCH_URL=login)
        found = ran.lines[0]["server"]
        assert (found["url"], found["reachable"], found["problem"]) == (elasticsearch_url, True, None)
        assert (found["licence"], found["status"]) == ("basic", "green")
        assert found["version"] in ran.err
        for node in found["nodes"]:
            assert 0 < node["heap_used_bytes"] < node["heap_bytes"]
            assert 0 < node["disk_free_bytes"] < node["disk_bytes"]
        assert SECRET not in ran.out + ran.err


class TestBackbone:
    def test_the_folder_is_told_with_its_licence(self, tmp_path):
        ran = runner_here(tmp_path)("backbone", "english", "--out", "minilm")
        assert ran.status == 0
        assert ran.lines == [{"folder": "minilm", "name": "all-MiniLM-L6-v2", "licence": "Apache-2.0", "prompts": {}}]
        assert "licence Apache-2.0" in ran.err
        assert "shelfwise train CATALOGUE --backbone minilm" in ran.err

    def test_a_folder_that_holds_something_is_refused(self, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "notes").touch()
        ran = runner_here(tmp_path)("backbone", "english", "--out", "mine")
        assert refused_in_one_line(ran, "mine is there and is not an empty folder", "nothing was changed")


class TestUsage:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_shows_a_command_to_copy(self, shelfwise, command):
        ran = shelfwise(*command.split(), "--help")
        assert (ran.status, ran.err) == (0, "")
        assert any(line.strip().startswith(f"shelfwise {command}") for line in ran.out.splitlines()[1:])

    def test_the_commands_above_are_all_there_are(self, shelfwise):
        listed = shelfwise("--help").out.partition("Commands:")[2]
        assert [line.split()[0] for line in listed.splitlines() if line.strip()] == [
            name for name in COMMANDS if " " not in name
        ]

    @pytest.mark.parametrize(
        "arguments",
        [
            "frobnicate",
            "search kettle --bundle b",
            "search kettle --alias products",
            "search kettle --alias products --bundle b -k many",
            "search kettle --alias products --bundle b --mode best",
            "search kettle --alias products --bundle b --frobnicate",
            "search --alias products --bundle b",
            "search kettle --queries q.jsonl --alias products --bundle b",
            "search --queries q.jsonl --facets --alias products --bundle b",
            "search kettle --sort colour --alias products --bundle b",
            "similar --alias products",
            "status",
            "index --bundle b --alias products",
            "index catalogue.jsonl --alias products",
            "classify",
            "train catalogue.jsonl",
            "train catalogue.jsonl --out b --epochs 0",
            "train catalogue.jsonl --out b --dimension 0",
            "train catalogue.jsonl --out b --layers 3",
            "train catalogue.jsonl --out b --distil t --from t",
            "train catalogue.jsonl --out b --distil t --backbone english",
            "train catalogue.jsonl --out b --distil t --encoder english",
            "compact catalogue.jsonl --bundle b --out s",
            "compact catalogue.jsonl --bundle b --out s --dimension 0",
            "rerank export",
            "rerank export MODEL",
            "rerank train judged.jsonl --out r",
            "rerank train judged.jsonl --catalogue catalogue.jsonl --out r --blend 2",
            "local start --version 7.0.0",
            "local start --port 70000",
        ],
    )
    def test_a_command_that_cannot_be_is_refused_with_status_2(self, shelfwise, arguments):
        ran = shelfwise(*arguments.split())
        assert (ran.status, ran.out) == (2, "")
        assert ran.err

    @pytest.mark.parametrize("option", ["--gate-queries", "--live-bundle"])
    def test_what_only_a_gate_reads_goes_with_one(self, shelfwise, option):
        ran = shelfwise(
            "index", "catalogue.jsonl", "--bundle", "b", "--alias", "products", option, "f", "--url", NOWHERE
        )
        assert refused_in_one_line(ran, f"{option} is of --gate")

    @pytest.mark.parametrize(
        "command", ["train c.jsonl --out b", "rerank train j --catalogue c --out r", "evaluate baselines c.jsonl"]
    )
    def test_a_seed_that_numpy_does_not_take_is_refused(self, shelfwise, command):
        ran = shelfwise(*command.split(), "--seed", str(2**32))
        assert (ran.status, ran.out) == (2, "")
        assert "4294967296 is not in the range 0<=x<=4294967295" in ran.err

    def test_a_backbone_beside_a_bundle_to_go_on_from_is_refused(self, shelfwise):
        ran = shelfwise("train", "catalogue.jsonl", "--out", "b", "--from", "t", "--backbone", "english")
        assert refused_in_one_line(ran, "--backbone goes without --from")

    def test_without_a_command_there_is_help_and_status_2(self, shelfwise):
        ran = shelfwise()
        assert ran.status == 2
        assert "shelfwise local start" in ran.out + ran.err

    def test_the_version_is_that_of_the_package(self, shelfwise):
        assert shelfwise("--version").out.strip().count(".") == 2

    @pytest.mark.parametrize("verb", ["status", "stop"])
    def test_a_local_server_that_does_not_run_has_no_address(self, shelfwise, verb):
        with tempfile.TemporaryDirectory(prefix="shelfwise-tests-") as data:  # where other accounts may enter
            Path(data).chmod(0o755)
            ran = shelfwise("local", verb, "--data", data)
        assert (ran.status, ran.lines) == (0, [{"url": None, "version": None, "pid": None}])

    def test_importing_shelfwise_loads_nothing_heavy(self):
        program = "import sys, shelfwise, shelfwise.cli; print(*sys.modules, sep='\\n')"
        loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        modules = {name.split(".")[0] for name in loaded.split()}
        assert "shelfwise" in modules
        assert not modules & {"torch", "openvino", "elasticsearch", "transformers", "faiss", "shelfwise_indexer"}

    @pytest.mark.parametrize(
        ("module", "heavy"),
        [("cli", {"torch", "transformers", "sklearn", "faiss"}), ("ingest", {"torch", "transformers"})],
    )
    def test_offline_commands_wait_for_no_torch_before_they_run_and_indexing_for_none_at_all(self, module, heavy):
        program = f"import sys, shelfwise_indexer.{module}; print(*sys.modules, sep='\\n')"
        loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert not {name.split(".")[0] for name in loaded.split()} & heavy


class TestServerThatIsNotThere:
    @pytest.mark.parametrize(
        "arguments",
        [
            "search kettle --alias products --bundle {}",
            "similar k1 --alias products",
            "status products",
            "rollback products",
            "index catalogue.jsonl --alias products --bundle {}",
        ],
    )
    def test_it_is_one_line_that_says_what_to_do(self, shelfwise, model, tmp_path, arguments):
        (tmp_path / "catalogue.jsonl").write_text(lines_of(CATALOGUE))
        ran = shelfwise(*arguments.format(model).split(), "--url", NOWHERE)
        assert refused_in_one_line(ran, f"nothing answers at {NOWHERE}", "shelfwise local start", "ELASTICSEARCH_URL")

    def test_the_environment_names_the_server_too(self, shelfwise):
        assert refused_in_one_line(shelfwise("status", "products", ELASTICSEARCH_URL=NOWHERE), NOWHERE)

    def test_a_login_in_the_command_line_is_refused(self, shelfwise):
        ran = shelfwise("status", "products", "--url", "https://me:s3cret@search.example.com/es")
        assert (ran.status, ran.out) == (2, "")
        assert "ELASTICSEARCH_API_KEY" in ran.err
        assert "s3cret" not in ran.err

    @pytest.mark.parametrize("login", [f"me:{SECRET}@", f"http://me:{SECRET}@", f"http://me:1/{SECRET}@"])
    def test_a_login_on_the_command_line_is_told_where_it_belongs(self, shelfwise, login):
        ran = shelfwise("status", "products", "--url", f"{login}127.0.0.1:1")
        assert (ran.status, "set ELASTICSEARCH_USERNAME and" in " ".join(ran.err.split())) == (2, True)
        assert SECRET not in ran.err

    def test_a_url_that_is_none_is_refused(self, shelfwise):
        assert refused_in_one_line(shelfwise("status", "products", "--url", "localhost"), "http://localhost:9200")

    @pytest.mark.parametrize(
        ("url", "env"),
        [
            (NOWHERE, {"ELASTICSEARCH_API_KEY": SECRET}),
            (NOWHERE, {"ELASTICSEARCH_API_KEY": f"{SECRET}\nsecond line: 秘密"}),
            (NOWHERE, {"ELASTICSEARCH_USERNAME": "me", "ELASTICSEARCH_PASSWORD": SECRET}),
            (NOWHERE, {"ELASTICSEARCH_PASSWORD": SECRET}),
            (f"http://me:{SECRET}@127.0.0.1:1", {}),
            (f"http://me:{SECRET}@127.0.0.1:none", {}),
            (f"me:{SECRET}@127.0.0.1:1", {}),
            (f"me:12/{SECRET}@127.0.0.1:1", {}),
        ],
    )
    def test_no_secret_is_ever_printed(self, shelfwise, url, env):
        ran = shelfwise("status", "products", "--url", url, **env)
        assert ran.status == 2
        assert ran.err
        assert SECRET.lower() not in (ran.out + ran.err).lower()


def indexed(run, url, model, alias, records=CATALOGUE, name="catalogue.jsonl", folder=None):
    """Write a catalogue and run `index` over it."""
    (folder / name).write_text(records if isinstance(records, str) else lines_of(records))
    return run("index", name, "--bundle", model, "--alias", alias, "--url", url)


@pytest.fixture(scope="module")
def shop(client, elasticsearch_url, model, tmp_path_factory):
    """The program over an alias that it has filled, for tests that only read: run("search", …)."""
    folder, alias = tmp_path_factory.mktemp("shop"), f"test-cli-{uuid.uuid4().hex[:12]}"
    run = runner(folder)
    done = indexed(run, elasticsearch_url, model, alias, folder=folder)
    assert done.status == 0, done.err

    def ask(command, *arguments, **more):
        needs_bundle = ["--bundle", model] if command == "search" else []
        return run(command, *arguments, "--alias", alias, *needs_bundle, "--url", elasticsearch_url, **more)

    yield ask
    delete_indices(client, alias)


@pytest.mark.es
class TestSearch:
    def test_a_hit_has_the_keys_of_the_contract(self, shop):
        ran = shop("search", "steel kettle", "-k", "1")
        assert (ran.status, ran.err) == (0, "")
        [hit] = ran.lines
        assert hit.keys() >= HIT
        assert list(hit)[:4] == ["id", "score", "title", "category"]
        assert (hit["id"], hit["title"], hit["category"], hit["price"]) == ("k1", "Steel kettle", KETTLES, 30.0)

    def test_k_is_how_many(self, shop):
        assert [len(shop("search", "kettle", "-k", k).lines) for k in (1, 3)] == [1, 3]

    def test_a_category_finds_all_below_it_and_nothing_else(self, shop):
        assert set(shop("search", "case", "--category", "Electronics", "--all-variants").ids) == {"c1", "c2", "c3"}
        assert set(shop("search", "case", "--category", "Home > Kitchen").ids) == {"k1", "k2", "k3", "u1"}

    def test_a_predicted_category_is_found_too(self, shop):
        [hit] = [hit for hit in shop("search", "travel kettle", "--category", "Home").lines if hit["id"] == "u1"]
        assert (hit["category"], hit["status"]) == (KETTLES, "accepted")

    def test_filters_add_up(self, shop):
        assert set(shop("search", "kettle", "--filter", "brand=sony").ids) == {"k1", "c1"}
        assert shop("search", "kettle", "--filter", "brand=Sony", "--filter", "price=..10").ids == ["c1"]
        assert shop("search", "kettle", "--filter", "color=clear").ids == ["k2"]

    def test_modes_search_by_words_by_meaning_or_both(self, shop):
        assert shop("search", "boiler", "--mode", "lexical").out == ""
        assert set(shop("search", "boiler", "--mode", "semantic", "-k", "3").ids) == {"k1", "k2", "u1"}
        assert set(shop("search", "boiler", "--mode", "hybrid", "-k", "3").ids) == {"k1", "k2", "u1"}

    def test_many_queries_give_a_line_each_in_their_order(self, shop):
        given = lines_of([{"query": "phone case"}, {"query": "glass kettle", "id": 9}])
        ran = shop("search", "--queries", "-", "-k", "2", given=given)
        assert [line.keys() for line in ran.lines] == [{"query", "hits"}] * 2
        assert [line["query"] for line in ran.lines] == ["phone case", "glass kettle"]
        assert [line["hits"][0]["id"] for line in ran.lines] == ["c1", "k2"]
        assert [len(line["hits"]) for line in ran.lines] == [2, 2]

    def test_many_queries_find_what_one_by_one_finds(self, shop, tmp_path):
        (tmp_path / "queries.jsonl").write_text(lines_of([{"query": "kettle"}, {"query": "leather cover"}]))
        options = ["--filter", "price=..20", "--category", "Electronics"]
        together = shop("search", "--queries", tmp_path / "queries.jsonl", *options).lines
        assert [line["hits"] for line in together] == [
            shop("search", query, *options).lines for query in ("kettle", "leather cover")
        ]

    @pytest.mark.parametrize("line", ["kettle", '{"query": 7}', '{"query": " "}'])
    def test_a_line_that_is_no_query_is_named_and_the_others_are_answered(self, shop, line):
        given = '{"query": "kettle"}\n' + line + '\n\n{"query": "phone case"}\n'
        ran = shop("search", "--queries", "-", given=given)
        assert [answer["query"] for answer in ran.lines] == ["kettle", "phone case"]
        assert ran.status == 1
        assert ran.err.startswith("-, line 2: ")
        assert ran.err.count("\n") == 1

    def test_lines_none_of_which_is_a_query_are_refused(self, shop):
        ran = shop("search", "--queries", "-", given="kettle\n")
        assert (ran.status, ran.out) == (2, "")
        assert ran.err == '-, line 1: expected an object such as {"query": "kettle"}\n'

    def test_queries_that_are_not_there_are_named(self, shop):
        assert refused_in_one_line(shop("search", "--queries", "none.jsonl"), "none.jsonl cannot be read")

    def test_a_table_is_for_people(self, shop):
        out = shop("search", "steel kettle", "--table", "-k", "2").out
        assert len(out.splitlines()) == 2
        assert out.split()[0] == "1"
        assert "Steel kettle" in out
        assert "30.00" in out
        assert "{" not in out
        more = shop("search", "steel kettle", "--table", "-k", "2", "--explain", "--highlight").out.splitlines()
        assert [line[:5].strip() for line in more] == ["1", "", "", "2", "", ""]
        assert more[1].startswith("     title: <em>Steel</em> <em>kettle</em>")
        assert "lexical: rank 1, score " in more[2]
        many = shop("search", "--queries", "-", "--table", "-k", "7", given='{"query": "壶"}\n').out
        assert "壶\n" in many
        assert "(out of stock)" in many

    def test_facets_are_a_last_line_and_an_explanation_is_in_each_hit(self, shop):
        *hits, page = shop("search", "steel kettle", "-k", "2", "--facets", "--explain", "--highlight").lines
        assert (hits[0]["id"], len(hits)) == ("k1", 2)
        assert hits[0]["explanation"]["words"] == ["kettle", "steel"]
        assert hits[0]["explanation"]["retrievers"]["lexical"]["rank"] == 1
        assert "<em>" in hits[0]["highlight"]["title"]
        assert page["facets"]["categories"][0]["path"] == ["Home"]
        assert (page["total"], page["next"]) == (3, 2)

    def test_what_was_searched_for_instead_is_said_on_stderr(self, shop):
        ran = shop(
            "search", "steel ketle", "--filter", "brand=LG", "--filter", "color=red", "--relax", "--fusion", "rank"
        )
        assert ran.ids == ["k2"]
        assert ran.err.splitlines() == [
            "nothing was left: the filter on color was left out",
            "no product has 'ketle': 'kettle' was looked for as well",
        ]

    def test_synonyms_and_learnt_weights_are_files_and_a_broken_one_is_named(self, shop, tmp_path):
        synonyms, fusion = tmp_path / "synonyms.txt", tmp_path / "fusion.json"
        synonyms.write_text("teapot => kettle")
        fusion.write_text('{"bias": 2.0, "digits": 0.0, "length": 0.0}')
        files = ["--synonyms", synonyms, "--fusion", fusion]
        assert "k1" in shop("search", "steel teapot", "--mode", "lexical", *files).ids
        synonyms.write_text("teapot, kettle\nteapot")
        assert refused_in_one_line(shop("search", "teapot", *files), "synonyms.txt, line 2", '"tv, television"')
        synonyms.write_text("")
        fusion.write_text("{}")
        assert refused_in_one_line(shop("search", "teapot", *files), "fusion.json", '"bias"')

    def test_a_wrong_category_names_the_closest(self, shop):
        ran = shop("search", "kettle", "--category", "Home > Kitchn > Ketles")
        assert refused_in_one_line(ran, "Home > Kitchn > Ketles", "Home > Kitchen > Kettles")

    @pytest.mark.parametrize(
        ("options", "part"),
        [
            (["-k", "0"], "0"),
            (["-k", "-1"], "-1"),
            (["--filter", "brand"], "FIELD=VALUE"),
            (["--filter", "price=cheap"], "price"),
            (["--filter", "colour=red"], "color"),
            (["--category", " > "], "category"),
        ],
    )
    def test_what_cannot_be_searched_for_is_said_in_one_line(self, shop, options, part):
        assert refused_in_one_line(shop("search", "kettle", *options), part)

    def test_an_empty_query_is_refused(self, shop):
        assert refused_in_one_line(shop("search", "  "), "query")

    def test_the_vectors_of_another_bundle_never_meet_those_of_the_index(
        self, client, shelfwise, elasticsearch_url, alias, model, tmp_path
    ):
        indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path)
        other = write_hand_bundle(tmp_path / "other", WORDS | {"cover": (0, 1)}, [tuple(KETTLES), tuple(CASES)])
        ran = shelfwise("search", "kettle", "--alias", alias, "--bundle", other.path, "--url", elasticsearch_url)
        assert refused_in_one_line(
            ran, other.version, "re-index with this bundle, or point --bundle, in Python Bundle.load"
        )

    def test_an_unknown_alias_is_named_with_what_makes_it(self, shelfwise, model, elasticsearch_url):
        ran = shelfwise("search", "kettle", "--alias", "test-none", "--bundle", model, "--url", elasticsearch_url)
        assert refused_in_one_line(ran, "test-none", "shelfwise index CATALOGUE")


@pytest.mark.es
class TestSimilar:
    def test_the_same_category_first_and_nothing_out_of_stock(self, shop):
        ran = shop("similar", "k1", "-k", "3")
        assert (ran.status, ran.err) == (0, "")
        assert set(ran.ids[:2]) == {"k2", "u1"}
        assert "k3" not in ran.ids
        assert all(hit.keys() >= HIT for hit in ran.lines)

    def test_neither_the_product_nor_its_variants(self, shop):
        assert shop("similar", "c1", "-k", "1").ids == ["c3"]
        assert not {"c1", "c2"} & set(shop("similar", "c2").ids)

    def test_a_table_is_for_people(self, shop):
        row, reason = shop("similar", "c1", "-k", "1", "--table").out.splitlines()
        assert "Silicone case" in row
        assert reason.startswith("     same category")

    def test_an_unknown_id_is_named(self, shop):
        assert refused_in_one_line(shop("similar", "nope"), "'nope'")


@pytest.mark.es
class TestIndex:
    KEYS = ("read", "indexed", "unchanged", "rejected", "index", "seconds", "docs_per_second")

    def test_index_status_index_again_and_rollback(self, shelfwise, elasticsearch_url, model, alias, tmp_path):
        def ask(*arguments):
            ran = shelfwise(*arguments, "--url", elasticsearch_url)
            assert ran.status == 0, ran.err
            [line] = ran.lines
            return line

        first = indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path)
        assert first.status == 0, first.err
        [done] = first.lines
        assert tuple(done) == (*self.KEYS, "written", "gone", "dead_letters")
        assert {name: done[name] for name in self.KEYS[:4]} == {
            "read": 7,
            "indexed": 7,
            "unchanged": 0,
            "rejected": 0,
        }
        assert done["index"].startswith(f"{alias}-")
        assert done["dead_letters"] is None

        live = ask("status", alias)
        assert (live["alias"], live["index"], live["products"], live["vectors"]) == (alias, done["index"], 7, 7)
        assert (live["by_status"], live["previous"]) == ({"accepted": 7}, None)
        assert {"bundle", "dimension", "server", "client", "schema"} <= live.keys()

        changed = [record | {"price": 99} if record["id"] == "k1" else record for record in CATALOGUE[:-1]]
        changed.append({"id": "n1", "title": "New case"})
        [again] = indexed(shelfwise, elasticsearch_url, model, alias, changed, folder=tmp_path).lines
        assert (again["read"], again["indexed"], again["unchanged"], again["rejected"]) == (7, 1, 6, 0)
        assert again["index"] != done["index"]
        assert ask("status", alias)["previous"] == done["index"]
        search = ["search", "steel kettle", "-k", "1", "--alias", alias, "--bundle", model]
        assert ask(*search)["price"] == 99.0

        back = ask("rollback", alias)
        assert (back["alias"], back["index"], back["left"]) == (alias, done["index"], again["index"])
        assert back["written_since"] == 0
        assert ask("status", alias)["index"] == done["index"]
        assert ask(*search)["price"] == 30.0

    def test_rollback_names_what_was_written_since(self, client, shelfwise, elasticsearch_url, model, alias, tmp_path):
        for _ in range(2):
            [done] = indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path).lines
        client.update(index=alias, id="k1", doc={"price": 7})
        ran = shelfwise("rollback", alias, "--url", elasticsearch_url)
        assert (ran.status, ran.lines[0]["written_since"]) == (0, 1)
        assert f"1 products were written into {done['index']} since it went live; " in ran.err
        assert ran.err.endswith("\nk1\n")

    def test_rollback_of_a_first_index_has_nowhere_to_go(self, shelfwise, elasticsearch_url, model, alias, tmp_path):
        indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path)
        assert refused_in_one_line(
            shelfwise("rollback", alias, "--url", elasticsearch_url), alias, "nothing to go back"
        )

    def test_rejected_lines_are_named_and_in_the_dead_letters(
        self, client, shelfwise, elasticsearch_url, model, alias, tmp_path
    ):
        records = lines_of(CATALOGUE[:2]) + "{nope\n" + lines_of([{"id": "x", "title": "Kettle", "price": "cheap"}])
        ran = indexed(shelfwise, elasticsearch_url, model, alias, records, folder=tmp_path)
        assert ran.status == 1
        [done] = ran.lines
        assert (done["read"], done["indexed"], done["rejected"]) == (4, 2, 2)
        assert "catalogue.jsonl, line 3: not JSON" in ran.err
        assert "catalogue.jsonl, line 4: product x: price must be a number" in ran.err
        letters = [json.loads(line) for line in (tmp_path / done["dead_letters"]).read_text().splitlines()]
        assert [(letter["line"], letter["id"]) for letter in letters] == [(3, None), (4, "x")]
        assert all(letter["reason"] for letter in letters)
        assert client.count(index=alias)["count"] == 2

    def test_most_of_a_thousand_live_products_go_only_where_that_is_allowed(
        self, shelfwise, elasticsearch_url, model, alias, tmp_path
    ):
        records = [{"id": f"k{n:04}", "title": "Steel kettle"} for n in range(1_000)]
        [first] = indexed(shelfwise, elasticsearch_url, model, alias, records, folder=tmp_path).lines
        ran = indexed(shelfwise, elasticsearch_url, model, alias, records[:499], folder=tmp_path)
        assert (ran.status, ran.out) == (2, "")
        assert "501 of the 1,000 products of index" in ran.err
        assert shelfwise("status", alias, "--url", elasticsearch_url).lines[0]["index"] == first["index"]
        given = ["catalogue.jsonl", "--bundle", model, "--alias", alias, "--url", elasticsearch_url]
        ran = shelfwise("index", *given, "--allow-shrink")
        assert (ran.status, ran.lines[0]["gone"]) == (0, 501)
        assert "and 481 more products" in ran.err

    def test_a_category_that_the_bundle_does_not_know_is_said_and_kept(
        self, shelfwise, elasticsearch_url, model, alias, tmp_path
    ):
        records = [*CATALOGUE, {"id": "w", "title": "Wok", "category": "Home > Kitchen > Woks"}]
        ran = indexed(shelfwise, elasticsearch_url, model, alias, records, folder=tmp_path)
        assert (ran.status, ran.lines[0]["indexed"]) == (0, 8)
        assert "line 8: product w: category Home > Kitchen > Woks is not in the bundle's taxonomy" in ran.err
        search = ["search", "wok", "--category", "Home > Kitchen > Woks", "--alias", alias, "--bundle", model]
        assert shelfwise(*search, "--url", elasticsearch_url).ids == ["w"]

    def test_a_catalogue_of_which_nothing_is_left_moves_no_alias(
        self, shelfwise, elasticsearch_url, model, alias, tmp_path
    ):
        [done] = indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path).lines
        for records in ("", "{nope\n"):
            ran = indexed(shelfwise, elasticsearch_url, model, alias, records, "bad.jsonl", tmp_path)
            assert (ran.status, ran.out) == (2, "")
            assert "bad.jsonl" in ran.err
        [live] = shelfwise("status", alias, "--url", elasticsearch_url).lines
        assert (live["index"], live["products"]) == (done["index"], 7)

    @pytest.mark.parametrize("title", ["Travel kettle", "Travel kettle, mended"])
    def test_what_a_person_corrected_survives_the_next_run(
        self, client, shelfwise, elasticsearch_url, model, alias, tmp_path, title
    ):
        indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path)
        nodes = ["Electronics", "Electronics > Phones", "Electronics > Phones > Cases"]
        decision = {"status": "corrected", "category": nodes[-1:], "ancestors": nodes}
        client.update(index=alias, id="u1", doc={"shelfwise": decision}, refresh=True)
        records = [*CATALOGUE[:-1], CATALOGUE[-1] | {"title": title}]
        indexed(shelfwise, elasticsearch_url, model, alias, records, folder=tmp_path)
        kept = client.get(index=alias, id="u1")["_source"]
        assert kept["title"] == title
        assert {name: kept["shelfwise"][name] for name in decision} == decision

    def test_what_a_person_corrected_survives_although_the_vector_was_lost(
        self, client, shelfwise, elasticsearch_url, model, alias, tmp_path
    ):
        indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path)
        left = {"status": "corrected", "category": ["Home > Woks"], "ancestors": ["Home", "Home > Woks"]}
        product = {"id": "u1", "title": "Travel kettle", "shelfwise": left}
        client.index(index=alias, id="u1", document=product, refresh=True)
        [again] = indexed(shelfwise, elasticsearch_url, model, alias, folder=tmp_path).lines
        assert (again["indexed"], again["unchanged"]) == (1, 6)
        kept = client.get(index=alias, id="u1")["_source"]["shelfwise"]
        assert {name: kept[name] for name in left} == left
        assert shelfwise("status", alias, "--url", elasticsearch_url).lines[0]["vectors"] == 7

    def test_an_alias_that_is_a_plain_index_is_left_alone(
        self, client, shelfwise, elasticsearch_url, model, alias, tmp_path
    ):
        client.index(index=alias, id="theirs", document={"title": "Kettle"}, refresh=True)
        (tmp_path / "catalogue.jsonl").write_text(lines_of(CATALOGUE))
        for command in (
            ["index", "catalogue.jsonl", "--bundle", model, "--alias", alias],
            ["search", "kettle", "--bundle", model, "--alias", alias],
            ["similar", "k1", "--alias", alias],
            ["status", alias],
            ["rollback", alias],
        ):
            ran = shelfwise(*command, "--url", elasticsearch_url)
            assert refused_in_one_line(ran, f"{alias} is a plain index, not an alias: choose another --alias")
        assert client.count(index=alias)["count"] == 1

    def test_a_secret_is_not_printed_by_commands_that_reach_the_server(
        self, shelfwise, elasticsearch_url, model, tmp_path
    ):
        (tmp_path / "catalogue.jsonl").write_text("{nope\n")
        for command in (
            ["status", "test-none"],
            ["similar", "k1", "--alias", "test-none"],
            ["index", "catalogue.jsonl", "--bundle", model, "--alias", "test-none"],
        ):
            ran = shelfwise(*command, "--url", elasticsearch_url, ELASTICSEARCH_API_KEY=SECRET)
            assert ran.status == 2
            assert ran.err
            assert SECRET not in ran.out + ran.err


def test_a_full_disk_is_said_in_one_line_wherever_it_is_met():
    group = Commands("shelfwise")

    @group.command()
    def fill():
        Path("/dev/full").write_text("a letter")

    done = CliRunner().invoke(group, ["fill"])
    assert (done.exit_code, done.stderr) == (
        2,
        "shelfwise: No space left on device: make room, and call the same again\n",
    )
