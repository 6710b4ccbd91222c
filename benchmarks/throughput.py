"""How fast a catalogue becomes an index, beside what people write by hand, in one run.

    python benchmarks/throughput.py --catalogue products.jsonl.gz --bundle BUNDLE [--products 4096] [--runs 5]
        [--alias shelfwise-throughput] [--url URL] [--out FILE]

By hand: sentence-transformers `encode` (batches of 32) and then a `transformers` text-classification pipeline (batches
of 32) over the same trunk, both fp32, then `helpers.bulk` with vectors as lists of floats, default client, into an
index of the same mapping and settings (no refresh, no replicas meanwhile), but for `flat_index_threshold`, which the
server chooses there. Shelfwise: what `shelfwise index` does; `first` chooses the precision, too, as the first run of a
bundle on a machine has to. The runtime alone: the same model in the same precision on the same texts, each once,
tokenised and batched before the clock starts, as many batches at once. Each group is run in turn, so that what else the
machine does meets all; medians.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from elasticsearch import Elasticsearch, helpers
from openvino import AsyncInferQueue

from by_hand import by_hand, pair
from figures import machine, tell
from shelfwise import Bundle, connect
from shelfwise.bulk_encoder import side_by_side
from shelfwise.encoder import Precision
from shelfwise.index import FILLING, create_index
from shelfwise.live_index import live
from shelfwise.mapping import index_body
from shelfwise.server import address
from shelfwise_indexer import bulk, index
from shelfwise_indexer.catalogue import Row, read
from shelfwise_indexer.document_encoder import DocumentEncoder


def runtime_alone(bundle: Bundle, precision: Precision, texts: list[str]) -> Callable[[], None]:
    queue = AsyncInferQueue(side_by_side(bundle, precision))
    batches = list(bundle.encoder.document_inputs(list(dict.fromkeys(texts))))

    def run() -> None:
        for inputs in batches:
            queue.start_async(inputs)  # without what shelfwise does around it
        queue.wait_all()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--products", type=int, default=4096)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--alias", default="shelfwise-throughput")
    parser.add_argument("--url")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bundle = Bundle.load(options.bundle)
    rows: list[Row] = [row for row in read(options.catalogue) if isinstance(row, Row)][: options.products]
    texts = [bundle.text(row.product) for row in rows]
    known = Path(tempfile.mkdtemp())
    slowly, encoder = by_hand(bundle), DocumentEncoder(bundle, choices=known)
    encoder.encode(texts[:1000])  # chooses the precision
    alone = runtime_alone(bundle, encoder.precision, texts)
    client = connect(options.url)
    plain = Elasticsearch(address(options.url, os.environ), request_timeout=120)
    vectors = bundle.encoder.encode_documents(texts).vectors
    numbers = count()  # of the indices made by hand
    sources = [
        {"id": row.product.id, "title": row.product.title, "shelfwise": {"bundle": bundle.version}} for row in rows
    ]

    def forget() -> None:
        made = list(client.indices.get(index=f"{options.alias}-*", features=["aliases"]))
        if made:
            client.indices.delete(index=",".join(made))

    def documents(vectors: np.ndarray, shape: Callable[[np.ndarray], Any]) -> Iterator[dict[str, Any]]:
        for source, vector in zip(sources, vectors, strict=True):
            yield source | {"shelfwise": source["shelfwise"] | {"vector": shape(vector)}}

    def by_helpers(vectors: np.ndarray) -> None:
        name = f"{options.alias}-by-hand-{next(numbers)}"
        body = index_body(bundle.dimension, {}, flat_threshold=False)
        client.indices.create(index=name, settings=body["settings"]["index"] | FILLING, mappings=body["mappings"])
        sent = documents(vectors, np.ndarray.tolist)
        helpers.bulk(plain, ({"_index": name, "_id": one["id"], "_source": one} for one in sent))
        client.indices.refresh(index=name)

    def by_shelfwise(vectors: np.ndarray) -> None:
        name = create_index(client, options.alias, bundle, "benchmark")
        bulk.send(client, name, list(documents(vectors, bulk.packed)))
        client.indices.refresh(index=name)

    with tempfile.TemporaryDirectory() as scratch:
        part = Path(scratch, "part.jsonl")
        with part.open("wb") as file:
            for row in rows:
                file.write(orjson.dumps(row.record) + b"\n")

        def whole(chosen: bool) -> None:
            forget()
            cache = Path(tempfile.mkdtemp(dir=scratch))
            if chosen:
                shutil.copytree(known, cache / "shelfwise" / "precision")
            os.environ["XDG_CACHE_HOME"] = str(cache)
            index(
                part,
                Bundle.load(options.bundle),
                options.alias,
                client=client,
                dead_letters=Path(scratch, "dead.jsonl"),
            )

        figures = {
            "benchmark": "throughput",
            "catalogue": options.catalogue.parent.name,
            "products": len(rows),
            "runs": options.runs,
            "machine": machine(),
            "bundle": bundle.version,
            "server": client.info()["version"]["number"],
            "encode_and_classify": pair(
                len(rows),
                options.runs,
                by_hand=lambda: slowly(texts),
                f32=lambda: bundle.encoder.encode_documents(texts),
                runtime_alone=alone,
                shelfwise=lambda: encoder.encode(texts),
            ),
            "fill": pair(
                len(rows),
                options.runs,
                by_hand=lambda: by_helpers(vectors),
                shelfwise=lambda: by_shelfwise(vectors),
            ),
            "whole": pair(
                len(rows),
                options.runs,
                by_hand=lambda: by_helpers(slowly(texts)),
                first=lambda: whole(chosen=False),
                shelfwise=lambda: whole(chosen=True),
            ),
        }
        figures["documents"] = client.count(index=live(client, options.alias).name)["count"]
    forget()
    shutil.rmtree(known)
    encoding = figures["encode_and_classify"]
    encoding["of_the_runtime_alone"] = round(
        encoding["shelfwise"]["docs_per_second"] / encoding["runtime_alone"]["docs_per_second"], 3
    )
    encoding["precision"] = encoder.precision
    tell(figures, options.out)


if __name__ == "__main__":
    main()
