"""The offline commands. torch and its like are loaded by the commands that need them, not by this module."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import click
import numpy as np

from shelfwise.bundle import Bundle
from shelfwise.console import REJECTED, alias_option, bundle_option, emit, url_option
from shelfwise.errors import UsageError
from shelfwise.filing import given_leaves
from shelfwise_indexer.catalogue import CatalogueError, Row
from shelfwise_indexer.enrich import most_probable
from shelfwise_indexer.folders import check_writable
from shelfwise_indexer.good_rows import GoodRows

WINDOW = 2048  # products read, encoded and written together
_ELSEWHERE = "name a file in a folder with room"


@click.command()
@click.argument("file", default="-")
@bundle_option
def classify(file: str, bundle: Path) -> None:
    """Predict the categories of products (a file or standard input).

    \b
    shelfwise classify catalogue.jsonl --bundle bundle
    echo '{"id": "1", "title": "steel travel mug 400 ml"}' | shelfwise classify --bundle bundle
    """
    from shelfwise_indexer.document_encoder import DocumentEncoder

    model, rows = Bundle.load(bundle), _Rows(file)
    encoder = DocumentEncoder(model, "f32")
    for window in rows.windows():
        encoded = encoder.encode([model.text(row.product) for row in window])
        for row, probabilities in zip(window, encoded.probabilities, strict=True):
            candidates = [
                {"category": list(leaf), "probability": round(probability, 6)}
                for leaf, probability in most_probable(model.taxonomy, probabilities)
            ]
            several = {}
            if model.multi_label:
                leaves = given_leaves(model.taxonomy, probabilities, model.label_thresholds)
                several = {"categories": [list(leaf) for leaf in leaves]}
            emit(
                {
                    "id": row.product.id,
                    "category": candidates[0]["category"],
                    "confidence": candidates[0]["probability"],
                    "candidates": candidates,
                }
                | several
            )
    rows.exit()


@click.command()
@click.argument("file", default="-")
@bundle_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A .npy file: one float32 array [products, dimension]; stdout then says each product's row in it.",
)
@click.option(
    "--as", "kind", type=click.Choice(["document", "query"]), default="document", show_default=True, help="The prompt."
)
def encode(file: str, bundle: Path, out: Path | None, kind: str) -> None:
    """Vectors of products (a file or standard input), in input order.

    With --as query the titles are read as queries. Lines that are rejected have no row in the array of --out: there a
    line on stdout is the `id` of a product and its `row`, from 0.

    \b
    shelfwise encode catalogue.jsonl --bundle bundle --out vectors.npy > rows.jsonl
    echo '{"id": "q1", "title": "travel mug"}' | shelfwise encode --bundle bundle --as query
    """
    if out is not None:
        check_writable(out, _ELSEWHERE)
    from shelfwise_indexer.document_encoder import DocumentEncoder

    model, rows = Bundle.load(bundle), _Rows(file)
    run = model.encoder.encode_queries if kind == "query" else DocumentEncoder(model, "f32").encode
    ids, parts = [], []
    for window in rows.windows():
        vectors = run([model.text(row.product) for row in window]).vectors
        if out is not None:
            ids += [row.id for row in window]
            parts.append(vectors)
            continue
        for row, vector in zip(window, vectors, strict=True):
            emit({"id": row.id, "vector": vector.tolist()})
    if out is not None:
        try:
            with out.open("wb") as target:
                np.save(target, np.concatenate(parts), allow_pickle=False)
        except OSError as error:
            raise UsageError(f"{out} cannot be written ({error.strerror}): {_ELSEWHERE}") from None
        for place, id_ in enumerate(ids):
            emit({"id": id_, "row": place})
    rows.exit()


@click.command()
@click.argument("catalogue", default="-")
@click.option("--bundle", type=click.Path(path_type=Path), help="Compare by its vectors, too.")
@click.option("--cosine", type=click.FloatRange(0, 1, min_open=True), default=0.97, show_default=True, help="At least.")
def duplicates(catalogue: str, bundle: Path | None, cosine: float) -> None:
    """Groups of products that are probably one product listed twice, for a person to look at.

    By text or by title, and with --bundle by vectors. What is declared a variant (`variant_of`) is no duplicate.
    Vectors are compared each with each: a hundred thousand products take minutes, a million hours.

    \b
    shelfwise duplicates catalogue.jsonl
    shelfwise duplicates catalogue.jsonl --bundle bundle --cosine 0.98
    """
    from shelfwise_indexer.document_encoder import DocumentEncoder
    from shelfwise_indexer.duplicate_report import find

    model, rows = Bundle.load(bundle) if bundle else None, _Rows(catalogue)
    encoder = DocumentEncoder(model, "f32") if model else None
    products, parts = [], []
    for window in rows.windows():
        products += [row.product for row in window]
        if model and encoder:
            parts.append(encoder.encode([model.text(row.product) for row in window]).vectors)
    vectors = np.concatenate(parts) if model else None
    found = find(products, vectors, cosine)
    for group in found:
        emit(group.to_json())
    several = sum(len(group.products) for group in found)
    groups = "1 group" if len(found) == 1 else f"{len(found)} groups"
    click.echo(f"{len(products)} products: {several} of them in {groups} of near duplicates", err=True)
    rows.exit()


@click.command()
@click.argument("catalogue")
@bundle_option
@alias_option
@url_option
@click.option(
    "--dead-letters", type=click.Path(path_type=Path), help="Default: CATALOGUE.ALIAS.dead-letters.jsonl, here."
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16", "int8"]),
    default="auto",
    show_default=True,
    help="Arithmetic of the model; auto: the fastest here that finds the same.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where the model runs; auto: the GPUs that torch can use, else the processor.",
)
@click.option(
    "--merge",
    type=click.IntRange(min=1),
    metavar="SEGMENTS",
    help="Merge each shard down to so many before it goes live. Default: as the server likes.",
)
@click.option("--gate", metavar="FILE", help="Judgements, or figures.json of `evaluate search`: must not get worse.")
@click.option("--gate-queries", metavar="FILE", help="The queries of --gate, where it holds TREC qrels.")
@click.option("--live-bundle", type=click.Path(path_type=Path), help="For --gate: the live index's, if it is another.")
@click.option("--allow-shrink", is_flag=True, help="Go live although more than half of what is live would be gone.")
def index(
    catalogue: str,
    bundle: Path,
    alias: str,
    url: str | None,
    dead_letters: Path | None,
    precision: Literal["auto", "f32", "bf16", "int8"],
    device: Literal["auto", "cpu", "gpu"],
    merge: int | None,
    gate: str | None,
    gate_queries: str | None,
    live_bundle: Path | None,
    allow_shrink: bool,
) -> None:
    """Enrich CATALOGUE, fill a new index, check it, and move ALIAS to it.

    CATALOGUE replaces what is live; what it lacks is gone, which is said, and of 1,000 products or more not more than
    half unless --allow-shrink is given. Rejected lines go to a dead-letter file: mend `record` there and index that
    file, and its products join those that are live. With --gate, ALIAS is not moved when searches of the judged queries
    got significantly worse; status 1 then, and the index is kept. How a CSV is read: see train --help.

    \b
    shelfwise index catalogue.jsonl --bundle bundle --alias products
    shelfwise index catalogue.products.dead-letters.jsonl --bundle bundle --alias products
    shelfwise index catalogue.jsonl --bundle new-bundle --alias products --gate proof/figures.json
    """
    if gate is None and (gate_queries or live_bundle):
        alone = "--gate-queries" if gate_queries else "--live-bundle"
        raise UsageError(f"{alone} is of --gate: give --gate FILE with it, or nothing checks what goes live")
    from shelfwise_indexer.gate import Gate, GateFailed
    from shelfwise_indexer.ingest import index as index_catalogue

    passing = None
    if gate is not None:
        passing = Gate.read(gate, gate_queries, Bundle.load(live_bundle) if live_bundle else None)
        for bad in (*passing.judgements.bad_queries, *passing.judgements.rejected):
            click.echo(str(bad), err=True)
    try:
        done = index_catalogue(
            catalogue,
            bundle,
            alias,
            url,
            dead_letters=dead_letters,
            gate=passing,
            precision=precision,
            merge=merge,
            device=device,
            allow_shrink=allow_shrink,
        )
    except GateFailed as failed:
        emit(failed.to_json())
        click.echo(f"gate: {failed}", err=True)
        sys.exit(REJECTED)
    emit(done.to_json())
    if done.rejected:
        click.echo(f"{done.rejected} rejected: see {done.dead_letters}", err=True)
        sys.exit(REJECTED)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("bundles"), help="Folder for the demo's bundle.")
@url_option
def demo(work: Path, url: str | None) -> None:
    """Train, index and search the demo catalogue, and show what comes of it.

    \b
    shelfwise demo
    """
    from shelfwise_indexer.demo import run

    run(work, url)


class _Rows:
    """Products of a file in windows; bad lines are said on stderr, and remembered for the exit status."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._good = GoodRows(file)

    def windows(self) -> Iterator[list[Row]]:
        """The good lines, WINDOW at a time.

        :raises CatalogueError: the file cannot be read, or every line was rejected.
        """
        good, some = iter(self._good), False
        while window := list(islice(good, WINDOW)):
            some = True
            yield window
        if not some:
            rejected = len(self._good.rejected)
            raise CatalogueError(f"{self._file}: all {rejected} lines were rejected: expected products, one a line")

    def exit(self) -> None:
        if rejected := len(self._good.rejected):
            click.echo(f"{rejected} lines were rejected, the others are done", err=True)
            sys.exit(REJECTED)
