"""Converted backbones: weights that came in another form, kept as folders that sentence-transformers reads."""

import fcntl
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers.utils.logging as transformers_logging
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from shelfwise_indexer.folders import made

# A folder is renamed into place whole; these tell one that somebody has since taken files out of.
EXPECTED = (
    "README.md",
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def once(folder: Path, say: str, write: Callable[[Path], None]) -> Path:
    """The folder, written if it is not there yet or not whole any more.

    It appears whole or not at all; of two processes that want it, one writes and the other waits.

    :param say: a line for stderr, before it is written.
    :param write: writes it where it is told to.
    :raises UsageError: it lies where nothing may be written.
    """
    if _complete(folder):
        return folder
    made(folder.parent, "set XDG_CACHE_HOME to a folder you may write")
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system gives it back when the process dies
        if not _complete(folder):
            sys.stderr.write(f"{say}\n")
            partial = folder.parent / f".{folder.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)  # of a conversion that was killed
            write(partial)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
    return folder


def bert(config: BertConfig, weight: Callable[[str, torch.Size], Tensor]) -> BertModel:
    """A BERT of these weights, float32, each asked for by the name that transformers gives it.

    The pooler, which sentence embeddings do not use, is zero.
    """
    with torch.device("meta"):  # no time spent on random weights
        model = BertModel(config)
    state = {
        name: torch.zeros(empty.shape) if name.startswith("pooler.") else weight(name, empty.shape)
        for name, empty in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    return model


def save(
    folder: Path,
    trunk: BertModel,
    tokenizer: PreTrainedTokenizerFast,
    pooling: str,
    prompts: Mapping[str, str],
    readme: str,
) -> None:
    """Write a sentence transformer of a BERT: its embedding is pooled as `pooling` says, then L2-normalised."""
    # Written twice: sentence-transformers builds its first module from a folder only, and knows best what it saves.
    parts = folder / "trunk"
    with _no_progress_bars():
        tokenizer.save_pretrained(parts)
        trunk.save_pretrained(parts)
        modules = [
            Transformer(str(parts), max_seq_length=trunk.config.max_position_embeddings),
            Pooling(trunk.config.hidden_size, pooling_mode=pooling),
            Normalize(),
        ]
        model = SentenceTransformer(modules=modules, prompts=dict(prompts), device="cpu")
        model.save(str(folder), create_model_card=False)
    shutil.rmtree(parts)
    (folder / "README.md").write_text(readme, encoding="utf-8")


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in EXPECTED)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
