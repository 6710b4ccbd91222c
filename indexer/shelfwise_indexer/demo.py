"""The demo: the whole way of a small catalogue, shown on the terminal, on a real server."""

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shelfwise import local
from shelfwise.bundle import Bundle
from shelfwise.errors import InvalidBundle
from shelfwise.hit import Hit
from shelfwise.product import plain
from shelfwise.recommend import SimilarProducts
from shelfwise.search import ProductSearch
from shelfwise.search_settings import SearchSettings
from shelfwise.server import connect
from shelfwise_indexer.catalogue import file_hash
from shelfwise_indexer.evaluate import ndcg
from shelfwise_indexer.fit import FitSettings
from shelfwise_indexer.ingest import index
from shelfwise_indexer.settings import TrainSettings, uncompressed
from shelfwise_indexer.training import train

ALIAS = "shelfwise-demo"
# Its catalogue is too small for `index` to use a compressed model.
SETTINGS = uncompressed(TrainSettings(backbone="multilingual", fit=FitSettings(epochs=8)))
SHOWN = ("use", "synonym", "language", "typo")  # kinds of queries shown, the most telling one of each
DEPTH = 10
GRADES = {3: "[green]●●●[/]", 2: "[green]●●[/]", 1: "[yellow]●[/]", 0: "[dim]–[/]"}


@dataclass(frozen=True, slots=True)
class Query:
    """One query of the demo, its kind, its category if it has one, and the graded products."""

    text: str
    kind: str
    category: tuple[str, ...]
    grades: dict[str, int]


def run(work: Path, url: str | None) -> None:
    """Everything that `make demo` shows; leaves the server running and says what to try on it."""
    screen = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    folder = demo_folder()
    url = url or os.environ.get("ELASTICSEARCH_URL") or local.start().url
    with closing(connect(url)) as client:  # whoever cannot be talked to is known before anything is trained
        bundle = _bundle(work / "demo", folder / "catalogue.jsonl", screen)
        done = index(folder / "catalogue.jsonl", bundle, ALIAS, client=client)
        screen.print(
            f"\n{done.read} products read: {done.indexed} encoded and indexed, {done.unchanged} carried over, "
            f"{done.rejected} rejected, in {done.seconds:.0f} s, into {done.index}"
        )
        searcher, recommender = ProductSearch(client, ALIAS, bundle), SimilarProducts(client, ALIAS)
        queries = read_queries(folder)
        # Whoever judged the products looked neither at stock nor at which are variants.
        judged = SearchSettings(collapse_variants=False, out_of_stock_last=False)
        _show_queries(screen, ProductSearch(client, ALIAS, bundle, judged), queries)
        _show_filtered(screen, searcher)
        _show_similar(screen, searcher, recommender)
    _show_scores(screen, bundle)
    _show_next(screen, _without_login(url), work / "demo")


def demo_folder() -> Path:
    """Where the demo's files are: in the wheel beside this module, in a checkout at its root."""
    inside = Path(str(files("shelfwise_indexer"))) / "demo_files"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "demo"


def read_queries(folder: Path) -> list[Query]:
    """The demo's queries with their judgements (TREC qrels: query, 0, product, grade)."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (folder / "judgements.qrels").read_text("utf-8").splitlines():
        query, _, product, grade = line.split()
        grades[query][product] = int(grade)
    rows = map(orjson.loads, (folder / "queries.jsonl").read_bytes().splitlines())
    return [Query(row["query"], row["kind"], tuple(row.get("category") or ()), grades[row["id"]]) for row in rows]


def _bundle(folder: Path, catalogue: Path, screen: Console) -> Bundle:
    """The demo's bundle, trained unless it is there already, of this catalogue and these settings."""
    try:
        bundle = Bundle.load(folder)
        settings = orjson.loads(orjson.dumps(SETTINGS))
        if bundle.info["data"]["sha256"] == file_hash(catalogue) and bundle.info["settings"] == settings:
            screen.print(f"using {folder}, trained on this catalogue before (delete the folder to train again)")
            return bundle
    except InvalidBundle:
        pass
    train(catalogue, folder, settings=SETTINGS)
    return Bundle.load(folder)


def _show_queries(screen: Console, searcher: ProductSearch, queries: Sequence[Query]) -> None:
    texts = [query.text for query in queries]
    words = searcher.search_many(texts, DEPTH, mode="lexical")
    both = searcher.search_many(texts, DEPTH)
    scored = [
        (ndcg([hit.id for hit in left], query.grades), ndcg([hit.id for hit in right], query.grades))
        for query, left, right in zip(queries, words, both, strict=True)
    ]
    for kind in SHOWN:
        of_kind = [place for place, query in enumerate(queries) if query.kind == kind]
        place = max(of_kind, key=lambda at: scored[at][1] - scored[at][0])
        _side_by_side(screen, queries[place], words[place], both[place])
    table = Table(title="nDCG@10 of the demo's 40 queries (few, and judged by the project itself)", min_width=72)
    for name in ("kind", "queries", "plain BM25", "shelfwise"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind in (*dict.fromkeys(query.kind for query in queries), "all"):
        chosen = [pair for query, pair in zip(queries, scored, strict=True) if kind in (query.kind, "all")]
        mean = np.mean(chosen, axis=0)
        table.add_row(kind, str(len(chosen)), f"{mean[0]:.3f}", f"{mean[1]:.3f}", end_section=False)
    screen.print(table)


def _side_by_side(screen: Console, query: Query, words: Sequence[Hit], both: Sequence[Hit]) -> None:
    table = Table(title=f"[bold]{escape(query.text)}[/]  ({query.kind})", show_lines=False, expand=True)
    table.add_column("plain BM25", ratio=1, no_wrap=True)
    table.add_column("", width=3)
    table.add_column("shelfwise", ratio=1, no_wrap=True)
    table.add_column("", width=3)
    for rank in range(5):
        row = []
        for hits in (words, both):
            hit = hits[rank] if rank < len(hits) else None
            row += [escape(plain(hit.title)) if hit else "", GRADES[query.grades.get(hit.id, 0)] if hit else ""]
        table.add_row(*row)
    screen.print(table)


def _hits_table(screen: Console, title: str, hits: Sequence[Hit], within: str = "") -> None:
    table = Table(title=title, expand=True)
    table.add_column("title", ratio=3, no_wrap=True)
    table.add_column("category", ratio=2, no_wrap=True)
    table.add_column("price", justify="right")
    table.add_column("score", justify="right")
    for hit in hits:
        price = "" if hit.price is None else f"{hit.price:.2f}"
        category = next((path for path in hit.categories if path[0] == within), hit.category)
        table.add_row(escape(plain(hit.title)), escape(" > ".join(category)), price, f"{hit.score:.3f}")
    screen.print(table)


def _show_filtered(screen: Console, searcher: ProductSearch) -> None:
    query, category = "something to sleep in on a mountain", "Sports & Outdoor"
    hits = searcher.search(query, 5, category=category, filters=["price=..200"], mode="semantic")
    _hits_table(screen, f"semantic search for [bold]{query}[/] within {category}, up to 200", hits, category)


def _show_similar(screen: Console, searcher: ProductSearch, recommender: SimilarProducts) -> None:
    [product] = searcher.search("tarnholt tk-1700", 1)
    hits = recommender.similar(product.id, 5)
    _hits_table(screen, f"similar to [bold]{escape(plain(product.title))}[/] ({product.id})", hits)


def _show_scores(screen: Console, bundle: Bundle) -> None:
    metrics = bundle.info["metrics"]
    table = Table(title=f"the classifier on {metrics['products']} products that were held back")
    for name in ("level", "classes", "accuracy", "weighted F1", "macro F1"):
        table.add_column(name, justify="right")
    for level in metrics["levels"]:
        figures = (f"{level[name]:.3f}" for name in ("accuracy", "weighted_f1", "macro_f1"))
        table.add_row(str(level["level"]), str(level["classes"]), *figures)
    screen.print(table)


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _show_next(screen: Console, url: str, folder: Path) -> None:
    where = "" if os.environ.get("ELASTICSEARCH_URL") else f"export ELASTICSEARCH_URL={url}\n"
    if clients := os.environ.get("PYTHONPATH"):  # the client of an older server, see the Makefile
        where += f"export PYTHONPATH={clients}\n"
    screen.print(
        f"\nThe server runs on at {url}. To try next:\n\n{where}"
        f'.venv/bin/shelfwise search "something to keep coffee hot" --alias {ALIAS} --bundle {folder} --table\n'
        f'.venv/bin/shelfwise search "猫" --alias {ALIAS} --bundle {folder} --category "Pets" --table\n'
        f"""echo '{{"id": "1", "title": "steel mug for the car 400ml"}}' | """
        f".venv/bin/shelfwise classify --bundle {folder}\n"
        f".venv/bin/shelfwise status {ALIAS}\n"
        ".venv/bin/shelfwise local stop",
        soft_wrap=True,
        markup=False,
    )
