"""The wheel, as a search engineer installs it: without the indexer's heavy part, away from the clone."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hand_bundle import write_hand_bundle
from hand_index import document, fill

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "sentence_transformers", "faiss", "sklearn", "pyarrow", "rich")
KETTLES, CASES = ("Home", "Kettles"), ("Phones", "Cases")
WORDS = {"case": (0, 1), "kettle": (1, 0), "boiler": (1, 0)}


@pytest.fixture(scope="module")
def uv():
    own = ROOT / ".uv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        pytest.fail(f"no uv to build the wheel with: `make setup` puts one at {own}, `pip install uv` on the PATH")

    def run(*arguments):
        done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, timeout=540, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def wheel(uv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", folder, ROOT)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def light(uv, wheel, tmp_path_factory):
    """The programs of an empty environment into which the wheel was installed without extras."""
    environment = tmp_path_factory.mktemp("light") / "venv"
    uv("venv", "--quiet", "--python", sys.executable, environment)
    uv("pip", "install", "--quiet", "--python", environment / "bin" / "python", wheel)
    outer = {name: value for name, value in os.environ.items() if not name.startswith("ELASTICSEARCH_")}

    def run(program, *arguments, given=""):
        done = subprocess.run(
            [environment / "bin" / program, *map(str, arguments)],
            input=given,
            capture_output=True,
            text=True,
            cwd=environment.parent,
            env=outer | {"XDG_CACHE_HOME": str(environment.parent / "cache")},
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_hand_bundle(tmp_path_factory.mktemp("packaging") / "bundle", WORDS, [KETTLES, CASES])


def test_the_wheel_carries_what_runs_without_the_clone(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    carried = {f"shelfwise/mappings/{path.name}" for path in (ROOT / "mappings").glob("*.json")}
    carried |= {f"shelfwise_indexer/demo_files/{path.name}" for path in (ROOT / "demo").iterdir() if path.is_file()}
    assert {"shelfwise/mappings/products.json", "shelfwise_indexer/demo_files/catalogue.jsonl"} <= carried
    assert carried <= names
    assert {"shelfwise/py.typed", "shelfwise_indexer/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_carries_every_room_and_nothing_else(wheel):
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    rooms = {
        path.relative_to(root).as_posix() for root in (ROOT / "plugin", ROOT / "indexer") for path in root.rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == rooms
    assert {name.split("/")[0] for name in names} == {"shelfwise", "shelfwise_indexer"}


def test_what_is_carried_is_what_is_in_the_clone(wheel):
    with zipfile.ZipFile(wheel) as content:
        mapping = content.read("shelfwise/mappings/products.json")
    assert mapping == (ROOT / "mappings" / "products.json").read_bytes()


def test_the_light_install_has_none_of_the_heavy_packages(light):
    program = f"import importlib.util as u; print(*(n for n in {HEAVY} if u.find_spec(n)))"
    assert light("python", "-c", program).stdout.split() == []


def test_the_light_install_is_what_runs_and_not_the_clone(light):
    where = light("python", "-c", "import shelfwise, sys; print(shelfwise.__file__); print(sys.prefix)").stdout.split()
    assert where[0].startswith(where[1])


def test_the_light_install_finds_its_mapping(light):
    program = "from shelfwise.mapping import index_body; print(index_body(2, {})['mappings']['dynamic'])"
    assert light("python", "-c", program).stdout.strip() == "strict"


def test_the_light_install_classifies_and_encodes(light, bundle):
    given = '{"id": "1", "title": "steel kettle"}\n{"id": "2", "title": "phone case"}\n'
    ran = light("shelfwise", "classify", "--bundle", bundle.path, given=given)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [json.loads(line)["category"] for line in ran.stdout.splitlines()] == [list(KETTLES), list(CASES)]
    ran = light("shelfwise", "encode", "--bundle", bundle.path, given=given)
    assert json.loads(ran.stdout.splitlines()[1])["vector"] == pytest.approx([0, 1], abs=2e-3)


def test_the_light_install_says_what_it_has_and_what_it_lacks(light, bundle):
    ran = light("shelfwise", "doctor", "--bundle", bundle.path, "--url", "http://127.0.0.1:1")
    assert ran.returncode == 0
    found = json.loads(ran.stdout)
    assert "torch" in found["install"]["missing"]
    assert found["machine"]["gpus"] == {"torch": None, "devices": []}
    assert found["bundle"]["precision"]["texts_per_second"]["f32"] > 0
    assert "pip install 'shelfwise[indexer]'" in ran.stderr


def test_the_light_install_shows_its_help(light):
    ran = light("shelfwise", "--help")
    assert ran.returncode == 0
    assert "train" in ran.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        "train catalogue.jsonl --out model",
        "index catalogue.jsonl --bundle {} --alias products --url http://127.0.0.1:1",
        "demo --url http://127.0.0.1:1",
        "backbone english --out minilm",
    ],
)
def test_what_needs_the_heavy_part_names_the_extra(light, bundle, arguments):
    ran = light("shelfwise", *arguments.format(bundle.path).split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert "pip install 'shelfwise[indexer]'" in ran.stderr


@pytest.mark.es
def test_the_light_install_searches_and_recommends(light, bundle, client, alias, elasticsearch_url):
    records = [
        {"id": "k1", "title": "Steel kettle", "category": KETTLES},
        {"id": "k2", "title": "Glass kettle", "category": KETTLES},
        {"id": "c1", "title": "Phone case", "category": CASES},
    ]
    index = fill(client, alias, bundle, [document(bundle, record) for record in records])
    at = ["--alias", alias, "--url", elasticsearch_url]
    found = light("shelfwise", "search", "glass boiler", "--bundle", bundle.path, "--category", "Home", *at)
    assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == ["k2", "k1"], found.stderr
    similar = light("shelfwise", "similar", "k1", "-k", "1", *at)
    assert [json.loads(line)["id"] for line in similar.stdout.splitlines()] == ["k2"], similar.stderr
    status = light("shelfwise", "status", alias, "--url", elasticsearch_url)
    assert json.loads(status.stdout)["index"] == index, status.stderr
