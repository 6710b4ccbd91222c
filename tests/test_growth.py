"""What the growth benchmark is made of: its products, its pictures, what it measures of a process."""

import sys
from pathlib import Path

import pytest

from shelfwise.product import parse_product
from shelfwise_indexer.catalogue import Row, read

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "demo" / "catalogue.jsonl"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def real():
    return [row.product for row in read(DEMO) if isinstance(row, Row)]


def some(count, **more):
    import synthetic

    return list(synthetic.products(DEMO, count, **more))


def test_products_are_put_together_from_words_of_their_category(real):
    import re

    words = {}
    for product in real:
        words.setdefault(product.categories, set()).update(product.title.split())
    for record in some(300):
        product = parse_product(record)
        for word in product.title.split():
            assert word in words[product.categories] or re.search(r"\d", word)


def test_they_are_many_in_the_same_categories_at_like_lengths_and_rarely_the_same(real):
    made = [parse_product(record) for record in some(3_000)]
    assert len({product.id for product in made}) == 3_000
    assert len({product.title for product in made}) > 0.95 * 3_000
    assert {product.categories for product in made} == {product.categories for product in real}
    lengths = [sum(len(product.title.split()) for product in all_) / len(all_) for all_ in (real, made)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.1)


def test_the_same_seed_gives_the_same_products_and_a_longer_run_begins_as_a_shorter_one():
    assert some(50) == some(80)[:50]
    assert some(50, seed=1) != some(50)


def test_a_written_catalogue_is_read_without_a_rejected_line(tmp_path):
    import synthetic

    assert 0.9 < synthetic.write(tmp_path / "c.jsonl.gz", DEMO, 200) <= 1
    rows = list(read(tmp_path / "c.jsonl.gz"))
    assert all(isinstance(row, Row) for row in rows)
    assert [row.product.id for row in rows] == [record["id"] for record in some(200)]


def test_a_command_is_measured_by_itself():
    import measured

    large = bytearray(300 << 20)  # of this process: not the command's
    code = "import sys; held = bytearray(50 << 20); print(len(held)); sys.exit(3)"
    ran = measured.run([sys.executable, "-c", code])
    assert (ran.status, ran.stdout) == (3, f"{50 << 20}\n")
    assert 50 << 20 < ran.peak_rss_bytes < 120 << 20 < len(large)


def test_the_stages_are_timed_by_their_progress_bars():
    import measured

    code = (
        "import sys, time\n"
        "for at in range(3):\n"
        "    sys.stderr.write(f'\\rencode: {at}product [00:0{at}, 4product/s]'); time.sleep(0.3)\n"
        "sys.stderr.write('\\nneighbours:   0%|          | 0/9 [00:00<?, ?product/s]\\nsaid: 3 things\\n')\n"
    )
    ran = measured.run([sys.executable, "-c", code])
    assert ran.stages == {"encode": pytest.approx(0.6, abs=0.3), "neighbours": pytest.approx(0, abs=0.2)}
    assert ran.stderr.endswith("said: 3 things\n")


def test_the_page_has_a_picture_of_each_and_the_table_a_row_a_size():
    import growth_page

    sizes = [
        {
            "products": size,
            "seconds": size / 500,
            "docs_per_second": 500.0,
            "stages": {"encode": size / 900, "neighbours": 0.0},
            "peak_rss_bytes": 700 << 20,
            "index_bytes": 2800 * size,
            "hybrid": {"p50_ms": 10.0, "p95_ms": 12.5},
            "knn_recall@10": 0.987,
        }
        for size in (10_000, 100_000, 1_000_000)
    ]
    machine = {"cores": 2}
    page = growth_page.page({"sizes": sizes, "catalogue": "<c>", "bundle": "b", "server": "9.4.3", "machine": machine})
    assert page.count("<svg") == 5
    assert "<c>" not in page
    assert ">100,000</text>" in page
    rows = growth_page.markdown(sizes).splitlines()
    assert len(rows) == 5
    assert len({row.count("|") for row in rows}) == 1
    assert rows[-1].startswith("| 1,000,000 | 2,000 s | 500 | 700 MiB | 2,670 MiB | 2,800 | 10.0 ms")


def test_a_size_for_which_there_is_no_room_stops_before_it_begins():
    import grow

    free = {"the work folder": 50_000_000_000, "node n": 12_500_000_000}
    grow.check_room(free, 100_000, 384)
    with pytest.raises(
        SystemExit, match=r"1,000,000 products need about 17\.9 GB on node n, which has 12\.5 GB to spare"
    ):
        grow.check_room(free, 1_000_000, 384)


def test_what_a_hundred_million_products_need_is_as_the_servers_documentation_counts_it():
    import needs

    largest = {"products": 1_000_000, "index_bytes": 2_800_000_000, "stages": {"encode": 504.0}}
    smaller = {"products": 10_000, "index_bytes": 1, "stages": {}}
    assert needs.needs({"dimension": 384, "sizes": [largest, smaller]}) == {
        "memory for vectors, int8_hnsw": "45 GB",  # 100 M * (384 + 4 + 4 * 16)
        "memory for vectors, int4_hnsw": "26 GB",
        "memory for vectors, bbq_hnsw": "13 GB",
        "index on disk": "280 GB",
        "shards": "10",
        "encode, on this machine": "14.0 h",
    }
    assert needs.markdown({"shards": "10"}).splitlines()[-1] == "| shards | 10 |"
