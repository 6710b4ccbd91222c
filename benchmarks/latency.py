"""How long a hybrid search takes, beside the parts that it cannot do without, and how many a second there are.

    python benchmarks/latency.py --bundle BUNDLE --queries judgements.jsonl.gz (--alias ALIAS | --catalogue FILE)
        [--url URL] [--runs 5] [--seconds 60] [--clients 8] [--out FILE]

With --alias the catalogue is there already (`shelfwise index`); with --catalogue it is indexed under an alias of its
own, which is deleted afterwards. One request at a time: each query in turn, `runs` times, each time

- `parts`: encoding it, and then each body that its search sends as one `_search` by a bare client (the default
  elasticsearch-py, bodies as dictionaries): the sum of encoding and the slowest of them; and all of them as one bare
  `_msearch`;
- `by_hand`: the same with the bodies as one writes them by hand, which ask for `_source` instead of doc values;
- `search`: the whole `ProductSearch.search` of a query that the encoder has to read (`first_sight`: by a new searcher,
  which has not met the query's misspelt words either; `cold`: words are known; `warm`: the query too).

Under load: `clients` threads for `seconds` each, in turns of a fifth: a bare client sending one `_msearch` of lines
that were put together before, as the search sends them and as `by_hand`; `warm`: whole searches, of queries that the
encoder knows; `cold`: it reads each of them. Threads are enough while `cores_of_client` (processor seconds a second, of
this process) is below 1: nobody waits for Python's lock.
"""

import argparse
import itertools
import os
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from elasticsearch import ApiError, Elasticsearch, TransportError

from figures import machine, rows, tell
from shelfwise import Bundle, ProductSearch, ShelfwiseError, connect, encoder
from shelfwise.alias import LiveAlias
from shelfwise.live_index import live
from shelfwise.query import SHOWN
from shelfwise.server import address
from shelfwise_indexer import index

TURNS = 5
AIMS = {"search_over_parts": 1.2, "p95_over_p50": 3.0, "searches_over_bare": 0.8}
Bodies = Sequence[dict[str, Any]]


@contextmanager
def nothing_remembered(bundle: Bundle) -> Iterator[None]:
    """The encoder reads each query, whether it had it before or not."""
    before, encoder.REMEMBERED = encoder.REMEMBERED, 0
    bundle.encoder.encode_queries([])  # forgets what is too many
    try:
        yield
    finally:
        encoder.REMEMBERED = before


def sent_by(search: Callable[[], Any]) -> list[Bodies]:
    """The bodies of each request that a search sends."""
    requests: list[Bodies] = []
    really = LiveAlias.ask

    def ask(self: LiveAlias, index: Any, bodies: Any) -> Any:
        if bodies:
            requests.append(bodies)
        return really(self, index, bodies)

    LiveAlias.ask = ask  # type: ignore[method-assign]
    try:
        search()
    finally:
        LiveAlias.ask = really  # type: ignore[method-assign]
    return requests


def by_hand(bodies: Bodies) -> Bodies:
    """The same searches, whose hits are read from whole documents."""
    doc_values = ("stored_fields", "docvalue_fields")
    return [
        {name: value for name, value in body.items() if name not in doc_values}
        | ({"_source": SHOWN} if "docvalue_fields" in body else {})
        for body in bodies
    ]


def milliseconds(doing: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    doing()
    return (time.perf_counter() - begun) * 1e3


def shown(taken: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(taken, [50, 95])
    return {"p50_ms": round(p50, 2), "p95_ms": round(p95, 2)}


def one_at_a_time(
    client: Elasticsearch, bare: Elasticsearch, alias: str, bundle: Bundle, queries: Sequence[str], runs: int
) -> tuple[dict[str, Any], list[Bodies]]:
    """The figures, and the bodies of each query's search."""
    searcher = ProductSearch(client, alias, bundle)
    name = live(client, alias).name
    requests = {"first_sight": [sent_by(lambda text=text: searcher.search(text)) for text in queries]}
    requests["known"] = [sent_by(lambda text=text: searcher.search(text)) for text in queries]
    bodies = [sent[0] for sent in requests["known"]]
    taken: dict[str, list[float]] = defaultdict(list)
    for run in range(runs):
        new = ProductSearch(client, alias, bundle)
        for place, text in enumerate(queries):

            def parts(kind: str, sent: Bodies, text: str = text) -> None:
                with nothing_remembered(bundle):
                    encode = milliseconds(lambda: bundle.encoder.encode_queries([text]))
                singles = [milliseconds(lambda body=body: bare.search(index=name, **body)) for body in sent]
                lines = [line for body in sent for line in ({}, body)]
                taken[f"{kind}.encode"].append(encode)
                taken[f"{kind}.slowest_search"].append(max(singles))
                taken[f"{kind}.encode_and_slowest"].append(encode + max(singles))
                taken[f"{kind}.one_msearch"].append(milliseconds(lambda: bare.msearch(index=name, searches=lines)))

            def first_sight(text: str = text, new: ProductSearch = new) -> None:
                with nothing_remembered(bundle):
                    taken["first_sight"].append(milliseconds(lambda: new.search(text)))

            def cold(text: str = text) -> None:
                with nothing_remembered(bundle):
                    taken["cold"].append(milliseconds(lambda: searcher.search(text)))

            def warm(text: str = text) -> None:
                bundle.encoder.encode_queries([text])
                taken["warm"].append(milliseconds(lambda: searcher.search(text)))

            # Whoever comes first finds the server's caches cold: each in its turn.
            lean = partial(parts, "parts", bodies[place])
            written = partial(parts, "by_hand", by_hand(bodies[place]))
            steps = [lean, first_sight, written, cold, warm]
            for step in steps[(run + place) % len(steps) :] + steps[: (run + place) % len(steps)]:
                step()
    return summed_up(taken, requests, bodies), bodies


def summed_up(
    taken: dict[str, list[float]], requests: dict[str, list[list[Bodies]]], bodies: Sequence[Bodies]
) -> dict[str, Any]:
    """The figures of `one_at_a_time`, from the milliseconds of each part and the requests of each search."""
    measured = ("encode", "slowest_search", "encode_and_slowest", "one_msearch")
    figures: dict[str, Any] = {
        "parts": {part: shown(taken[f"parts.{part}"]) for part in measured},
        "by_hand": {part: shown(taken[f"by_hand.{part}"]) for part in measured},
        "search": {},
        "requests_of_a_search": {
            kind: dict(sorted(Counter(map(len, sent)).items())) for kind, sent in requests.items()
        },
        "request_bytes": int(np.median([len(lines_of(one)) for one in bodies])),
    }
    limit, hand = (figures[kind]["encode_and_slowest"] for kind in ("parts", "by_hand"))
    for kind in ("first_sight", "cold", "warm"):
        own = shown(taken[kind])
        figures["search"][kind] = own | {
            "p50_over_parts": round(own["p50_ms"] / limit["p50_ms"], 3),
            "p95_over_parts": round(own["p95_ms"] / limit["p95_ms"], 3),
            "p50_over_by_hand": round(own["p50_ms"] / hand["p50_ms"], 3),
            "p95_over_by_hand": round(own["p95_ms"] / hand["p95_ms"], 3),
            "p95_over_p50": round(own["p95_ms"] / own["p50_ms"], 2),
        }
    return figures


def lines_of(bodies: Bodies) -> bytes:
    """The bodies as `_msearch` is sent them."""
    return b"".join(b"{}\n" + orjson.dumps(body) + b"\n" for body in bodies)


def under_load(doing: Callable[[int], Any], clients: int, seconds: float, first: int) -> dict[str, Any]:
    """What `clients` threads get done, each the next number whenever it is ready, and what it cost this process."""
    taken: list[float] = []
    errors: Counter[str] = Counter()
    numbers = itertools.count(first)
    end = time.perf_counter() + seconds

    def work() -> None:
        while time.perf_counter() < end:
            try:
                taken.append(milliseconds(lambda: doing(next(numbers))))
            except (ShelfwiseError, ApiError, TransportError) as error:
                errors[f"{type(error).__name__}: {error}"[:200]] += 1

    threads = [threading.Thread(target=work) for _ in range(clients)]
    begun, used = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.perf_counter() - begun
    return {"taken": taken, "errors": errors, "seconds": passed, "cpu": time.process_time() - used}


def loads(
    kinds: dict[str, Callable[[int], Any]], bundle: Bundle, queries: Sequence[str], clients: int, seconds: float
) -> dict[str, Any]:
    """Each kind for `seconds`, in turns, so that what else the machine does meets all of them."""
    turns: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for turn in range(TURNS):
        for kind, doing in kinds.items():
            with nothing_remembered(bundle) if kind == "cold" else nullcontext():
                if kind == "warm":
                    bundle.encoder.encode_queries(queries)
                turns[kind].append(under_load(doing, clients, seconds / TURNS, first=turn * 7919))
    figures: dict[str, Any] = {"clients": clients, "seconds_each": seconds, "clients_are": "threads"}
    for kind, given in turns.items():
        passed = sum(turn["seconds"] for turn in given)
        taken = [one for turn in given for one in turn["taken"]]
        figures[kind] = shown(taken) | {
            "per_second": round(len(taken) / passed, 1),
            "errors": dict(sum((turn["errors"] for turn in given), Counter())),
            "cores_of_client": round(sum(turn["cpu"] for turn in given) / passed, 2),
        }
    for kind in turns.keys() - {"bare", "bare_by_hand"}:
        for bare in ("bare", "bare_by_hand"):
            figures[kind][f"over_{bare}"] = round(figures[kind]["per_second"] / figures[bare]["per_second"], 3)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--alias")
    where.add_argument("--catalogue", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--url")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    bundle = Bundle.load(options.bundle)
    queries = list(dict.fromkeys(row["query"] for row in rows(options.queries)))
    client = connect(options.url)
    bare = Elasticsearch(address(options.url, os.environ), request_timeout=30)
    alias = options.alias or f"shelfwise-latency-{uuid.uuid4().hex[:8]}"
    try:
        if options.catalogue:
            dead = Path(f"{options.catalogue.name}.dead-letters.jsonl")
            index(options.catalogue, bundle, alias, client=client, dead_letters=dead)
        figures = measured(client, bare, alias, bundle, queries, options)
    finally:
        if options.catalogue:
            for name in client.indices.get(index=f"{alias}-*", features=["aliases"]):
                client.indices.delete(index=name)
    tell(figures, options.out)


def measured(
    client: Elasticsearch,
    bare: Elasticsearch,
    alias: str,
    bundle: Bundle,
    queries: Sequence[str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    single, bodies = one_at_a_time(client, bare, alias, bundle, queries, options.runs)
    name = live(client, alias).name
    searcher = ProductSearch(client, alias, bundle)
    lines = [lines_of(one).decode().splitlines() for one in bodies]
    lines_by_hand = [lines_of(by_hand(one)).decode().splitlines() for one in bodies]

    def search(number: int) -> None:
        searcher.search(queries[number % len(queries)])

    def msearch(number: int, lines: Sequence[list[str]] = lines) -> None:
        for response in bare.msearch(index=name, searches=lines[number % len(lines)])["responses"]:
            if response["status"] != 200 or response["_shards"]["failed"]:
                raise ShelfwiseError(f"a search was refused: {response}")

    return {
        "benchmark": "latency",
        "products": client.count(index=name)["count"],
        "queries": len(queries),
        "runs": options.runs,
        "machine": machine(),
        "bundle": bundle.version,
        "server": client.info()["version"]["number"],
        "aims": AIMS,
        "one_at_a_time": single,
        "load": loads(
            {"bare": msearch, "bare_by_hand": partial(msearch, lines=lines_by_hand), "warm": search, "cold": search},
            bundle,
            queries,
            options.clients,
            options.seconds,
        ),
    }


if __name__ == "__main__":
    main()
