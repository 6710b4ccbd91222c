"""How fast texts are encoded and classified on a GPU, and that they come out as on the processor.

    python benchmarks/gpu.py --catalogue products.jsonl.gz --bundle BUNDLE [--products 20000] [--runs 5] [--out FILE]

By hand: sentence-transformers `encode` (batches of 32) and then a `transformers` text-classification pipeline (batches
of 32), both fp32 and on the GPU. The processor: what `index --device cpu` uses. Each is run in turn; medians.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from by_hand import by_hand, pair
from figures import machine, tell
from shelfwise import Bundle
from shelfwise.precision import compare
from shelfwise_indexer.catalogue import Row, read
from shelfwise_indexer.document_encoder import DocumentEncoder
from shelfwise_indexer.gpu_encoder import GpuEncoder, devices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--products", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch finds no GPU here")
    bundle = Bundle.load(options.bundle)
    rows = [row for row in read(options.catalogue) if isinstance(row, Row)][: options.products]
    texts = list(dict.fromkeys(bundle.text(row.product) for row in rows))
    slowly, processor = by_hand(bundle, "cuda:0"), DocumentEncoder(bundle, device="cpu")
    exact, halved = GpuEncoder(bundle, "f32", devices()), GpuEncoder(bundle, "bf16", devices())
    expected = bundle.encoder.encode_documents(texts)
    found = {name: compare(expected, one.encode_documents(texts)) for name, one in (("f32", exact), ("bf16", halved))}
    processor.encode(texts[:1000])  # measures which precision pays
    slowly(texts[:256])
    rates = pair(
        len(texts),
        options.runs,
        by_hand=lambda: slowly(texts),
        processor=lambda: processor.encode(texts),
        f32=lambda: exact.encode_documents(texts),
        bf16=lambda: halved.encode_documents(texts),
    )
    figures = {
        "benchmark": "gpu",
        "catalogue": options.catalogue.parent.name,
        "texts": len(texts),
        "runs": options.runs,
        "machine": machine(gpu=torch.cuda.get_device_name(0), torch=torch.__version__),
        "bundle": bundle.version,
        "encode_and_classify": rates,
        "processor_precision": processor.precision,
        "against_the_exported_model": {name: asdict(one) for name, one in found.items()},
    }
    tell(figures, options.out)


if __name__ == "__main__":
    main()
