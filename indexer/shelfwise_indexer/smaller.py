"""A smaller bundle: what it lost against the one that it was made of, in figures for people."""

from collections.abc import Mapping
from typing import Any

LOSSES = ("embedding", "distilled_from")  # what `bundle.json` says of it


def losses_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a `bundle.json` says of losses; empty of a bundle that is not smaller than others."""
    return {name: info[name] for name in LOSSES if name in info}


def figures_of(losses: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of a page, each with what it is."""
    shown: list[tuple[str, str]] = []
    if student := losses.get("distilled_from"):
        parameters = student["parameters"]
        shown += [
            ("layers, of the teacher's", f"{student['layers']} of {student['teacher_layers']}"),
            (
                "million parameters before the head",
                f"{parameters / 1e6:.1f} of {student['teacher_parameters'] / 1e6:.1f}",
            ),
        ]
        if student["products"]:
            shown += [
                (
                    "mean weighted F1",
                    f"{student['weighted_f1']:.3f}, the teacher's {student['teacher_weighted_f1']:.3f}",
                ),
                ("of the teacher's ten nearest found", _share(student["recall_at_10"])),
            ]
    if cut := losses.get("embedding"):
        shown.append(("numbers of an embedding", f"{cut['dimension']} of {cut['full']}"))
        if cut["products"]:
            shown.append(("ten nearest found after the cut", _share(cut["recall_at_10"])))
    return shown


def _share(found: float | None) -> str:
    return "too few products" if found is None else f"{found:.1%}"
