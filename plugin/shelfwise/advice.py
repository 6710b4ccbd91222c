"""Advice: plain sentences on what was found, what is missing and what would make it faster; and a table of it."""

from collections.abc import Iterator, Mapping
from typing import Any

GIB = 1 << 30
TRAINING_BYTES = 4 * GIB  # a small BERT, its optimiser and a catalogue of some ten thousand products
HEAP_FULL = 0.85
DISK_LOW = 0.15  # the server's default low watermark: from here on it puts no new shards there


def advise(found: Mapping[str, Any]) -> Iterator[str]:
    """What follows from the findings of `doctor.diagnose`, the most urgent first."""
    yield from _of_runtime(found["runtime"], found["bundle"])
    yield from _of_server(found["server"])
    yield from _of_machine(found["machine"], found["install"])


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """A line a finding, for people."""
    machine, server, bundle = found["machine"], found["server"], found["bundle"] or {}
    gpu = ", ".join(str(one["name"]) for one in machine["gpus"]["devices"])
    limit = machine["memory_limit_bytes"]
    rows = {
        "processor": machine["processor"] or "unknown",
        "cores": f"{machine['cores']:g} of {machine['cores_of_machine']}",
        "instructions": " ".join(machine["instruction_sets"]) or "unknown",
        "memory": _size(machine["memory_bytes"]) + (f", limited to {_size(limit)}" if limit else ""),
        "GPU": gpu or "none that training and indexing could use",
        "cache": f"{machine['cache']}, {_size(machine['cache_free_bytes'])} free",
        "runtime": f"OpenVINO {found['runtime']['openvino'] or 'does not run'}",
        "install": "light" if found["install"]["missing"] else "with the indexer",
        "server": f"{server['url']}, {'not reached' if not server['reachable'] else _server(server)}",
    }
    for node in server.get("nodes") or []:
        heap = f"heap {_size(node['heap_used_bytes'])} of {_size(node['heap_bytes'])}"
        rows[f"node {node['name'][:24]}"] = f"{heap}, disk {_size(node['disk_free_bytes'])} free"
    if precision := bundle.get("precision"):
        for kind, speed in precision["texts_per_second"].items():
            rows[kind] = f"{speed:,.0f} texts/s" + (" (recommended)" if kind == precision["recommended"] else "")
    width = max(map(len, rows))
    yield from (f"{name:<{width}}  {value}" for name, value in rows.items())


def _of_runtime(runtime: Mapping[str, Any], bundle: Mapping[str, Any] | None) -> Iterator[str]:
    if runtime["problem"]:
        yield f"OpenVINO does not run here ({runtime['problem']}): no model can, until it is installed again."
        return
    if bundle is None:
        yield "Give --bundle to measure how fast a bundle runs here, and whether bf16 is worth it."
        return
    if bundle["problem"]:
        yield f"The bundle cannot be used: {bundle['problem']}."
        return
    precision = bundle["precision"]
    best = precision["recommended"]
    if best != "f32":
        yield (
            f"{_compared(best, precision)}: `shelfwise index` uses {best} for catalogues of some size; queries are "
            "computed in f32, which is quicker for one short text."
        )
    elif others := "; ".join(_compared(kind, precision) for kind in precision["compared"]):
        yield f"shelfwise computes with f32, as no other way is clearly faster and finds the same: {others}."
    if "BF16" not in runtime["capabilities"]:
        yield "This processor has no bf16: one with AMX or AVX-512 BF16 computes, and above all trains, faster."
    yield from _of_int8(bundle["compressed"].get("int8"))


def _compared(kind: str, precision: Mapping[str, Any]) -> str:
    found = precision["compared"][kind]
    return (
        f"{kind} is {found['speed_up']:.1f} times as fast as f32 here, the mean cosine of its vectors with f32's is "
        f"{found['mean_cosine']:.4f} and {found['agreement']:.1%} of the texts get the same category"
    )


def _of_int8(entry: Mapping[str, Any] | None) -> Iterator[str]:
    if entry is None:
        yield "The bundle has no int8 model: `shelfwise train` makes one where int8 of [compress] is true."
    elif not entry["kept"]:
        yield f"The bundle has no int8 model: {entry['reason']}."
    else:
        yield (
            f"When the int8 model was made it lost {entry['weighted_f1_lost']:.4f} of weighted F1, and of the ten "
            f"nearest products by f32 it found {entry['recall_at_10']:.1%}, on {entry['products']} products."
        )


def _of_server(server: Mapping[str, Any]) -> Iterator[str]:
    if not server["reachable"]:
        yield f"No server: {server['problem']}. Training, classify and encode work without one."
        return
    if server["problem"]:
        yield f"This login may not ask the server everything: {server['problem']}."
    if server["status"] == "red":
        yield "The cluster's health is red: some indices cannot be searched; look at GET _cluster/allocation/explain."
    for node in server["nodes"] or []:
        if node["heap_used_bytes"] > HEAP_FULL * node["heap_bytes"]:
            yield f"Node {node['name']} has used most of its heap: more heap, or another node, makes it faster."
        if node["disk_free_bytes"] < DISK_LOW * node["disk_bytes"]:
            yield (
                f"Node {node['name']} has {_size(node['disk_free_bytes'])} of its disk left: below 15 % the server "
                "puts no new index there, below 5 % it takes no more writes."
            )


def _of_machine(machine: Mapping[str, Any], install: Mapping[str, Any]) -> Iterator[str]:
    cores, of = machine["cores"], machine["cores_of_machine"]
    if cores < of:
        yield f"This process may use {cores:g} of {of} cores: encoding gets faster with every further one."
    if machine["instruction_sets"] and not {"avx2", "neon"} & {*machine["instruction_sets"]}:
        yield "This processor has neither AVX2 nor NEON: encoding is several times slower than on one that has."
    if install["missing"]:
        yield (
            f"This is the light install (no {', '.join(install['missing'])}): training and indexing need "
            "pip install 'shelfwise[indexer]'."
        )
    elif not machine["gpus"]["devices"]:
        yield "torch finds no GPU: training takes minutes to hours on these cores; searching and indexing need none."
    memory = min(size for size in (machine["memory_limit_bytes"], machine["memory_bytes"], 1 << 62) if size)
    if memory < TRAINING_BYTES:
        yield f"This process may use {_size(memory)} of memory: enough to search; training wants 4 GiB or more."


def _server(server: Mapping[str, Any]) -> str:
    return (
        f"Elasticsearch {server['version']}, licence {server['licence'] or 'unknown'}, {server['status'] or 'unknown'}"
    )


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / GIB:.1f} GiB"
