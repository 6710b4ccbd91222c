"""How time, memory, index size, latency and recall grow with the catalogue: 10 k, 100 k, 1 M synthetic products.

    python benchmarks/grow.py --catalogue products.jsonl.gz --bundle BUNDLE --out growth.json [--work DIR]
        [--sizes 10000,100000,1000000] [--queries 200] [--sample 100] [--alias shelfwise-growth] [--url URL]

Each size: products put together out of the catalogue's (`synthetic.py`), `shelfwise index` as a process of its own with
an empty cache, its seconds and most memory, the index on disk, seconds of a hybrid search for ten products, one after
another, and recall@10 of the approximate kNN against an exact comparison by the server. The index is deleted then.
--out is written after each size, and a second call with the same settings measures only what it lacks. Beside it comes
a page of pictures, and on stderr a table in Markdown and what 100 M products would need (`needs.py`).
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from elasticsearch import Elasticsearch

import growth_page
import measured
import needs
import synthetic
from figures import machine
from shelfwise import Bundle, ProductSearch, connect
from shelfwise.live_index import live
from shelfwise.query import brute_force, semantic
from shelfwise.server import server_version
from shelfwise_indexer.catalogue import Row, file_hash, read

K = 10
WARM_UP = 20  # queries
SERVER_BYTES = 8_000  # a product, beside its vector; a merge writes an index once more before it deletes the old
CLIENT_BYTES = 3_000
COMMAND = (sys.executable, "-c", "from shelfwise.cli import main; main()")
SEED = 0


def settings(options: argparse.Namespace, bundle: Bundle, client: Elasticsearch) -> dict[str, Any]:
    """What has to be the same for figures to stand beside each other."""
    return {
        "benchmark": "grow",
        "catalogue": options.catalogue.name,
        "catalogue_sha256": file_hash(options.catalogue),
        "bundle": bundle.version,
        "dimension": bundle.dimension,
        "leaves": len(bundle.taxonomy.leaves),
        "server": server_version(client),
        "machine": machine(),
        "seed": SEED,
        "queries": options.queries,
        "sample": options.sample,
    }


def earlier(out: Path, now: dict[str, Any]) -> list[dict[str, Any]]:
    """The sizes that were measured before with the same settings."""
    if not out.exists():
        return []
    held = orjson.loads(out.read_bytes())
    if differ := [name for name in now if held.get(name) != now[name]]:
        sys.exit(f"{out} was measured with another {', '.join(differ)}: name another file with --out, or delete it")
    return list(held["sizes"])


def room(work: Path, client: Elasticsearch) -> dict[str, int]:
    """Bytes that may be filled, of the work folder and of each node; the same disk twice where both are on it."""
    free = {"the work folder": shutil.disk_usage(work).free}
    for node in client.nodes.stats(metric="fs")["nodes"].values():
        disk = node["fs"]["total"]
        # Below the low watermark, 15 % free by default, the server puts no new index there.
        free[f"node {node['name']}"] = disk["available_in_bytes"] - int(0.15 * disk["total_in_bytes"])
    return free


def check_room(free: Mapping[str, int], size: int, dimension: int) -> None:
    """Stop before a size that a disk would not hold, as if each had to hold what client and server write together."""
    wanted = size * (CLIENT_BYTES + SERVER_BYTES + (2 * 4 + 2 * 5) * dimension)
    for name, bytes_free in free.items():
        if bytes_free < wanted:
            sys.exit(
                f"{size:,} products need about {wanted / 1e9:.1f} GB on {name}, which has {bytes_free / 1e9:.1f} GB to "
                "spare: free some space, or leave this size out of --sizes"
            )


def queries(catalogue: Path, count: int) -> list[str]:
    """Two or three words that follow each other in a title of the catalogue, as a shopper may type them."""
    rng = random.Random(SEED)  # noqa: S311
    titles = [row.product.title.lower().split() for row in read(catalogue) if isinstance(row, Row)]
    texts: dict[str, None] = {}
    for words in rng.choices(titles, k=20 * count):
        length = rng.choice((2, 3))
        start = rng.randrange(max(1, len(words) - length + 1))
        texts[" ".join(words[start : start + length])] = None
        if len(texts) == count:
            break
    return list(texts)


def latencies(search: ProductSearch, texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds of one hybrid search after another, the encoding of the query among them."""
    for text in texts[:WARM_UP]:
        search.search(f"{text} {text}", K)  # not the query itself: its vector would be remembered
    taken = []
    for text in texts:
        begun = time.perf_counter()
        search.search(text, K)
        taken.append(1000 * (time.perf_counter() - begun))
    return {f"p{share}_ms": round(float(np.percentile(taken, share)), 2) for share in (50, 95)}


def recall(client: Elasticsearch, name: str, vectors: np.ndarray) -> float:
    """Share of the ten best of all that approximate kNN finds; what ties with the tenth is as right as the tenth."""
    patient, found = client.options(request_timeout=300), 0
    for vector in vectors.tolist():
        true = patient.search(index=name, **brute_force(vector, K))["hits"]["hits"]
        least = true[-1]["_score"] - 1e-6
        near = client.search(index=name, **semantic(vector, K))["hits"]["hits"]
        found += sum(hit["_score"] >= least for hit in near)
    return round(found / (K * len(vectors)), 4)


def forget(client: Elasticsearch, alias: str) -> None:
    """Delete every index that the benchmark made."""
    for name in client.indices.get(index=f"{alias}-*", features=["aliases"]):
        client.indices.delete(index=name)


def grow(options: argparse.Namespace, size: int, bundle: Bundle, client: Elasticsearch) -> dict[str, Any]:
    """Everything that is measured of one size."""
    with tempfile.TemporaryDirectory(dir=options.work, prefix="shelfwise-growth-") as folder:
        check_room(room(Path(folder), client), size, bundle.dimension)
        catalogue = Path(folder, "catalogue.jsonl.gz")
        distinct = synthetic.write(catalogue, options.catalogue, size, SEED)
        command = [*COMMAND, "index", str(catalogue), "--bundle", str(options.bundle.resolve())]
        command += ["--alias", options.alias, *(["--url", options.url] if options.url else [])]
        ran = measured.run(command, cwd=folder, env=os.environ | {"XDG_CACHE_HOME": str(Path(folder, "cache"))})
        catalogue_bytes = catalogue.stat().st_size
    if ran.status not in (0, 1):
        sys.exit(f"`shelfwise index` of {size:,} products ended with {ran.status}:\n{ran.stderr[-3000:]}")
    done = orjson.loads(ran.stdout)
    name = live(client, options.alias).name
    store = client.indices.stats(index=name, metric=["store", "segments", "dense_vector"])["indices"][name]["primaries"]
    off_heap = store["dense_vector"].get("off_heap", {})
    texts = queries(options.catalogue, options.queries)
    figures = {
        "products": size,
        "distinct_titles": round(distinct, 4),
        "catalogue_bytes": catalogue_bytes,
        "indexed": done["indexed"],
        "rejected": done["rejected"],
        "seconds": round(ran.seconds, 1),
        "docs_per_second": round(size / ran.seconds, 1),
        "processor_seconds": round(ran.processor_seconds, 1),
        "stages": ran.stages,
        "peak_rss_bytes": ran.peak_rss_bytes,
        "index_bytes": store["store"]["size_in_bytes"],
        "segments": store["segments"]["count"],
        # What should be in the file cache, as the server counts it (9.1 and later): quantised vectors, graph.
        "off_heap_bytes": {name: off_heap.get(f"total_{name}_size_bytes") for name in ("veq", "vex")},
        "hybrid": latencies(ProductSearch(client, options.alias, bundle), texts),
        "knn_recall@10": recall(client, name, bundle.encoder.encode_queries(texts[: options.sample]).vectors),
    }
    forget(client, options.alias)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--sample", type=int, default=100, help="queries that the recall is measured on")
    parser.add_argument("--alias", default="shelfwise-growth")
    parser.add_argument("--url")
    parser.add_argument("--work", type=Path, help="folder for catalogue and spool; default: the system's temporary one")
    options = parser.parse_args()
    bundle, client = Bundle.load(options.bundle), connect(options.url)
    figures = settings(options, bundle, client)
    sizes = earlier(options.out, figures)
    measured_before = {one["products"] for one in sizes}
    for size in sorted({int(text) for text in options.sizes.split(",")} - measured_before):
        forget(client, options.alias)
        try:
            sizes.append(grow(options, size, bundle, client))
        finally:
            forget(client, options.alias)
        sizes.sort(key=lambda one: int(one["products"]))
        draft = options.out.with_suffix(".partial")
        draft.write_bytes(orjson.dumps(figures | {"sizes": sizes}, option=orjson.OPT_INDENT_2) + b"\n")
        draft.replace(options.out)
        options.out.with_suffix(".html").write_text(growth_page.page(figures | {"sizes": sizes}), encoding="utf-8")
        sys.stderr.write(growth_page.markdown(sizes[-1:]) + "\n")
    sys.stderr.write(f"{growth_page.markdown(sizes)}\n\n{needs.markdown(needs.needs(figures | {'sizes': sizes}))}\n")


if __name__ == "__main__":
    main()
