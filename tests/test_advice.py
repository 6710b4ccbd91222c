"""Advice that follows from findings."""

from copy import deepcopy

import pytest

from shelfwise.advice import GIB, advise, table

MACHINE = {
    "processor": "AMD EPYC",
    "cores_of_machine": 8,
    "cores": 8.0,
    "instruction_sets": ["avx2", "avx512"],
    "memory_bytes": 16 * GIB,
    "memory_available_bytes": 8 * GIB,
    "memory_limit_bytes": None,
    "gpus": {"torch": "2.9.0", "devices": [{"name": "H100", "memory_bytes": 80 * GIB}]},
    "cache": "/cache",
    "cache_free_bytes": 9 * GIB,
}
NODE = {"name": "n", "heap_bytes": 100, "heap_used_bytes": 50, "disk_bytes": 100 * GIB, "disk_free_bytes": 50 * GIB}
PRECISION = {
    "texts_per_second": {"f32": 1000.0, "bf16": 2000.0},
    "compared": {"bf16": {"speed_up": 2.0, "mean_cosine": 0.9999, "agreement": 1.0}},
    "recommended": "bf16",
}
INT8 = {"kept": True, "weighted_f1_lost": 0.001, "recall_at_10": 0.96, "products": 3000}
FOUND = {
    "machine": MACHINE,
    "runtime": {"openvino": "2026.1", "capabilities": ["BF16", "FP32"], "problem": None},
    "install": {"missing": []},
    "server": {
        "url": "http://localhost:9200", "reachable": True, "problem": None, "version": "9.4.3", "licence": "basic",
        "status": "green", "nodes": [NODE],
    },
    "bundle": {"problem": None, "precision": PRECISION, "compressed": {"int8": INT8}},
}  # fmt: skip


def found(*path, value):
    """The findings above with one of them another."""
    changed = deepcopy(FOUND)
    part = changed
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    return changed


def test_a_machine_that_lacks_nothing_only_hears_of_the_precision():
    speed, loss = advise(FOUND)
    assert speed.startswith(
        "bf16 is 2.0 times as fast as f32 here, the mean cosine of its vectors with f32's is 0.9999"
    )
    assert "lost 0.0010 of weighted F1, and of the ten nearest products by f32 it found 96.0%, on 3000 products" in loss


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("runtime", "problem"), "no CPU plug-in", "OpenVINO does not run here (no CPU plug-in)"),
        (("bundle",), None, "Give --bundle"),
        (("bundle", "problem"), "b is not a bundle", "The bundle cannot be used: b is not a bundle"),
        (("bundle", "precision", "recommended"), "f32", "and finds the same: bf16 is 2.0 times"),
        (("bundle", "compressed"), {}, "has no int8 model: `shelfwise train` makes one"),
        (("bundle", "compressed"), {"int8": {"kept": False, "reason": "it is bad"}}, "no int8 model: it is bad."),
        (("server", "problem"), "the server forbids it (403)", "may not ask the server everything"),
        (("server", "status"), "red", "health is red"),
        (("server", "nodes"), [NODE | {"heap_used_bytes": 90}], "Node n has used most of its heap"),
        (("server", "nodes"), [NODE | {"disk_free_bytes": 9 * GIB}], "Node n has 9.0 GiB of its disk left"),
        (("server", "nodes"), None, "bf16"),
        (("machine", "cores"), 1.5, "may use 1.5 of 8 cores"),
        (("machine", "instruction_sets"), ["vnni"], "neither AVX2 nor NEON"),
        (("machine", "gpus", "devices"), [], "torch finds no GPU"),
        (("machine", "memory_limit_bytes"), GIB, "may use 1.0 GiB of memory"),
        (("machine", "memory_bytes"), None, "bf16"),
        (("install", "missing"), ["torch"], "the light install (no torch)"),
    ],
)
def test_each_finding_has_its_sentence(path, value, words):
    changed = found(*path, value=value)
    advice = list(advise(changed))
    assert any(words in sentence for sentence in advice)
    assert all(sentence.endswith(".") for sentence in advice)
    assert list(table(changed))


def without_bf16(compared):
    changed = found("runtime", "capabilities", value=["FP32", "INT8"])
    changed["bundle"]["precision"] = {"texts_per_second": {"f32": 1.0}, "compared": compared, "recommended": "f32"}
    return list(advise(changed))


def test_a_processor_without_bf16_is_not_told_to_use_it():
    [lacking, _] = without_bf16({})
    assert lacking.startswith("This processor has no bf16: ")


def test_what_such_a_processor_was_measured_with_is_said_too():
    [measured, lacking, _] = without_bf16({"int8": {"speed_up": 1.1, "mean_cosine": 0.97, "agreement": 0.9}})
    assert "as no other way is clearly faster and finds the same: int8 is 1.1 times" in measured
    assert lacking.startswith("This processor has no bf16: ")


def test_without_a_server_the_table_and_the_advice_say_so():
    server = {"url": "http://localhost:9200", "reachable": False, "problem": "nothing answers"}
    changed = found("server", value=server)
    assert "No server: nothing answers. Training, classify and encode work without one." in list(advise(changed))
    assert "server        http://localhost:9200, not reached" in list(table(changed))


def test_the_table_has_a_line_a_finding():
    lines = list(table(FOUND))
    assert "cores         8 of 8" in lines
    assert "node n        heap 0.0 GiB of 0.0 GiB, disk 50.0 GiB free" in lines
    assert lines[-1] == "bf16          2,000 texts/s (recommended)"
