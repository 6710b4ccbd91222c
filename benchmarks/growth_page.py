"""The growth as pictures on one page that needs nothing but itself, and as a table in Markdown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shelfwise_indexer.charts import Axis, Curve, curve_chart, logarithmic_axis
from shelfwise_indexer.page import note, pictures, table
from shelfwise_indexer.page import page as whole_page

MIB = 1 << 20
Figures = Mapping[str, Any]

COLUMNS: dict[str, Callable[[Figures], str]] = {
    "products": lambda one: f"{one['products']:,}",
    "time of index": lambda one: f"{one['seconds']:,.0f} s",
    "products/s": lambda one: f"{one['docs_per_second']:,.0f}",
    "peak memory": lambda one: f"{one['peak_rss_bytes'] / MIB:,.0f} MiB",
    "index on disk": lambda one: f"{one['index_bytes'] / MIB:,.0f} MiB",
    "bytes a product": lambda one: f"{one['index_bytes'] / one['products']:,.0f}",
    "hybrid p50": lambda one: f"{one['hybrid']['p50_ms']:.1f} ms",
    "hybrid p95": lambda one: f"{one['hybrid']['p95_ms']:.1f} ms",
    "kNN recall@10": lambda one: f"{one['knn_recall@10']:.3f}",
}
CURVES: dict[str, dict[str, Callable[[Figures], float]]] = {
    "time of shelfwise index, seconds": {"whole": lambda one: one["seconds"]},
    "most memory of shelfwise index, MiB": {"memory": lambda one: one["peak_rss_bytes"] / MIB},
    "index on disk, MiB": {"index": lambda one: one["index_bytes"] / MIB},
    "hybrid search, milliseconds": {
        "p50": lambda one: one["hybrid"]["p50_ms"],
        "p95": lambda one: one["hybrid"]["p95_ms"],
    },
}


def markdown(sizes: Sequence[Figures]) -> str:
    """A row a size."""
    lines = [" | ".join(COLUMNS), "|".join("---:" for _ in COLUMNS)]
    lines += [" | ".join(cell(one) for cell in COLUMNS.values()) for one in sizes]
    return "\n".join(f"| {line} |" for line in lines)


def page(figures: Figures) -> str:
    """The table, and each of the curves against the number of products, both axes logarithmic."""
    sizes = figures["sizes"]
    x = logarithmic_axis("products", [one["products"] for one in sizes])
    charts = [(caption, _chart(sizes, x, caption, curves)) for caption, curves in CURVES.items()]
    stages = {name for one in sizes for name, seconds in one["stages"].items() if seconds}
    charts.append(("stages, seconds", _chart(sizes, x, "seconds", {name: _stage(name) for name in sorted(stages)})))
    what = (
        f"Synthetic products put together out of {figures['catalogue']}; bundle {figures['bundle']}, Elasticsearch "
        f"{figures['server']}, {figures['machine']['cores']} cores for client and server together."
    )
    rows = [[cell(one) for cell in COLUMNS.values()] for one in sizes]
    return whole_page("How it grows", note(what), table(list(COLUMNS), rows), pictures(charts))


def _stage(name: str) -> Callable[[Figures], float]:
    return lambda one: one["stages"].get(name, 0.0)


def _chart(sizes: Sequence[Figures], x: Axis, label: str, curves: Mapping[str, Callable[[Figures], float]]) -> str:
    drawn = [
        Curve(name, [(one["products"], value(one)) for one in sizes if value(one) > 0])
        for name, value in curves.items()
    ]
    y = logarithmic_axis(label, [point[1] for curve in drawn for point in curve.points] or [1.0])
    return curve_chart(drawn, x, y)
