"""What the README tells people to type works, in its order, on a small catalogue."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import orjson
import pytest

from conftest import delete_indices

pytestmark = [pytest.mark.es, pytest.mark.model]

ROOT = Path(__file__).parents[1]
ALIAS = f"readme-{uuid.uuid4().hex[:8]}"  # whoever's server it is, nothing of theirs is touched
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, elasticsearch_url):
    """A folder with `catalogue.jsonl`, the README's own product and the demo's kitchen in English, and `test.jsonl`."""
    folder = tmp_path_factory.mktemp("shop")
    [example] = blocks("json")
    products = [orjson.loads(example.replace("\n", " "))]
    for line in (ROOT / "demo" / "catalogue.jsonl").read_bytes().splitlines():
        product = orjson.loads(line)
        path = product.get("category")
        if path and path[0] == "Kitchen & Home" and product["language"] == "en":
            products.append(product | {"category": ["Kitchen", path[2]]})
    (folder / "catalogue.jsonl").write_bytes(b"\n".join(orjson.dumps(product) for product in products))
    (folder / "test.jsonl").write_bytes(b"\n".join(orjson.dumps(product) for product in products[:20]))
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
    """Every shell line of the README, run in order on an alias of this run: command and what it printed."""
    ran = []
    for command in "".join(blocks("bash")).splitlines():
        own = command.replace("products", ALIAS)
        done = subprocess.run(["bash", "-c", own], cwd=shop, env=environment, capture_output=True, check=False)
        ran.append((command, done))
    yield ran
    delete_indices(client, ALIAS)


def test_every_command_of_the_readme_ends_well_and_prints_json(commands):
    assert len(commands) == 12
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
    [program] = (block.replace('"products"', f'"{ALIAS}"') for block in blocks("python"))
    program = program.replace('train("catalogue.jsonl", "bundle")\n', "")  # the commands have just trained it
    shown = program + "\nprint(hits[0].category, more[0].category, vectors.shape)"
    done = subprocess.run(
        [sys.executable, "-c", shown], cwd=shop, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "('Kitchen', 'Kettles') ('Kitchen', 'Kettles') (1, 384)\n"


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150
