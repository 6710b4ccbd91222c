"""What the README tells people to type works, in its order, on a small catalogue."""

import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

pytestmark = [pytest.mark.es, pytest.mark.model]

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, elasticsearch_url):
    """A folder with `catalogue.jsonl`: the README's own product and the demo's kitchen, in English."""
    folder = tmp_path_factory.mktemp("shop")
    [example] = blocks("json")
    products = [orjson.loads(example.replace("\n", " "))]
    for line in (ROOT / "demo" / "catalogue.jsonl").read_bytes().splitlines():
        product = orjson.loads(line)
        path = product.get("category")
        if path and path[0] == "Kitchen & Home" and product["language"] == "en":
            products.append(product | {"category": ["Kitchen", path[2]]})
    (folder / "catalogue.jsonl").write_bytes(b"\n".join(orjson.dumps(product) for product in products))
    return folder


@pytest.fixture(scope="module")
def environment(shop, elasticsearch_url):
    return os.environ | {
        "ELASTICSEARCH_URL": elasticsearch_url,
        "XDG_CACHE_HOME": str(shop / "cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def commands(shop, environment, client):
    """Every shell line of the README after the first block's `train`, run in order: command and what it printed."""
    client.indices.delete(index="products-*", ignore_unavailable=True, expand_wildcards="open")
    ran = []
    for command in "".join(blocks("bash")).splitlines():
        done = subprocess.run(["bash", "-c", command], cwd=shop, env=environment, capture_output=True, check=False)
        ran.append((command, done))
    yield ran
    client.indices.delete(index="products-*", ignore_unavailable=True, expand_wildcards="open")


def test_every_command_of_the_readme_ends_well_and_prints_json(commands):
    assert len(commands) == 9
    for command, done in commands:
        assert done.returncode == 0, (command, done.stderr.decode()[-2000:])
        assert [orjson.loads(line) for line in done.stdout.splitlines()], command


def test_the_readmes_search_and_similar_find_kettles(commands):
    found = {command.split()[1]: done.stdout for command, done in commands if command.startswith("shelfwise s")}
    first = orjson.loads(found["search"].splitlines()[0])
    assert first["category"] == ["Kitchen", "Kettles"]
    assert orjson.loads(found["similar"].splitlines()[0])["category"] == ["Kitchen", "Kettles"]


def test_the_readmes_second_index_run_carries_everything_over(commands):
    runs = [orjson.loads(done.stdout) for command, done in commands if command.startswith("shelfwise index")]
    assert [(run["indexed"] > 0, run["unchanged"] > 0) for run in runs] == [(True, False), (False, True)]


def test_the_readmes_python_runs(shop, environment, commands):
    [program] = blocks("python")
    program = program.replace('train("catalogue.jsonl", "bundle")\n', "")  # the commands have just trained it
    shown = program + "\nprint(hits[0].category, more[0].category, vectors.shape)"
    done = subprocess.run(
        [sys.executable, "-c", shown], cwd=shop, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "('Kitchen', 'Kettles') ('Kitchen', 'Kettles') (1, 384)\n"


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150
