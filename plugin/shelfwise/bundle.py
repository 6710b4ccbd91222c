"""The bundle: a trained model on disk, with all that is needed to run it, compare it and refuse it."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from shelfwise.errors import InvalidBundle, InvalidTaxonomy, ShelfwiseError
from shelfwise.once import Once
from shelfwise.taxonomy import Taxonomy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import openvino as ov
    from tokenizers import Tokenizer

    from shelfwise.encoder import Encoder, Floats
    from shelfwise.product import Product
    from shelfwise.text import TextRecipe

FORMAT = 1
MODEL_FILES = ("model.xml", "model.bin", "tokenizer.json", "taxonomy.json")
_HASH_BLOCK = 1 << 22
# What changes a vector or a probability, and so belongs to the version beside the files.
VERSIONED_SETTINGS = (
    "format",
    "dimension",
    "max_tokens",
    "pad_token_id",
    "text_fields",
    "prompts",
    "temperature",
    "threshold",
)
OPTIONAL_SETTINGS = ("thresholds", "label_thresholds", "further_threshold", "logit_leaves")  # versioned where they are


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle folder.

    `info` is `bundle.json`: version, backbone and its licence, dimension, token limit, prompts, taxonomy hash,
    temperature, threshold, metrics, data hash, library versions.
    """

    path: Path
    info: Mapping[str, Any]
    taxonomy: Taxonomy

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Bundle":
        """Read a bundle folder and check that its files are those that its version was computed from.

        :raises InvalidBundle: not a bundle, a file missing, unreadable or changed, or written by a newer shelfwise.
        """
        folder = Path(path)
        try:
            info = orjson.loads((folder / "bundle.json").read_bytes())
            taxonomy = Taxonomy.from_json(orjson.loads((folder / "taxonomy.json").read_bytes()))
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise InvalidBundle(
                f"{folder} is not a bundle: {missing} is missing; `shelfwise train CATALOGUE --out {folder}` makes one"
            ) from None
        except NotADirectoryError:
            raise InvalidBundle(f"{folder} is not a bundle: expected a folder") from None
        except OSError as error:
            raise InvalidBundle(unreadable(folder, error)) from None
        except (orjson.JSONDecodeError, InvalidTaxonomy) as error:
            raise InvalidBundle(f"{folder} is damaged ({error}): copy it again or train it again") from None
        if not isinstance(info, dict) or (missing_keys := {"version", *VERSIONED_SETTINGS} - info.keys()):
            lacking = sorted(missing_keys) if isinstance(info, dict) else "everything"
            raise InvalidBundle(f"{folder}/bundle.json lacks {lacking}: copy the bundle again or train it again")
        if info["format"] != FORMAT:
            raise InvalidBundle(
                f"{folder} has bundle format {info['format']}, this shelfwise reads {FORMAT}: "
                "train it again or install the shelfwise that wrote it"
            )
        bundle = cls(folder, info, taxonomy)
        if (found := content_version(folder, info)) != bundle.version:
            raise InvalidBundle(
                f"{folder} was changed since it was trained (its files hash to {found}, bundle.json says "
                f"{bundle.version}): vectors would not match any index; copy the bundle again or train it again"
            )
        return bundle

    def __getstate__(self) -> dict[str, Any]:
        """What a copy has, in another process too: it loads a model of its own."""
        return {name: vars(self)[name] for name in ("path", "info", "taxonomy")}

    @property
    def version(self) -> str:
        """Content hash, 12 hex digits: equal versions give equal vectors and categories."""
        return str(self.info["version"])

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.info["dimension"])

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read, special ones included; the rest is cut off."""
        return int(self.info["max_tokens"])

    @property
    def text_fields(self) -> tuple[str, ...]:
        """Product fields that make the text, in order, some with a budget of tokens (`description:40`)."""
        return tuple(self.info["text_fields"])

    def text(self, product: "Product") -> str:
        """What the model reads of a product; see `TextRecipe`."""
        return self._recipe.text(product)

    @Once
    def _recipe(self) -> "TextRecipe":
        from shelfwise.text import TextRecipe

        return TextRecipe(self.text_fields, self.tokenizer, self.max_tokens, self.info["prompts"].get("document", ""))

    @Once
    def tokenizer(self) -> "Tokenizer":
        """The model's, which cuts at `max_tokens`; loaded once, for texts and for the encoders of all precisions."""
        try:
            tokenizer = tokenizer_of(self.path)
        finally:
            self.check_in_place()
        tokenizer.enable_truncation(self.max_tokens)
        tokenizer.no_padding()
        return tokenizer

    @Once
    def network(self) -> "ov.Model":
        """The model, read once and whole, for the encoders of all precisions; its file may change then."""
        from shelfwise.encoder import network

        try:
            return network(self.path)
        finally:
            self.check_in_place()

    def check_in_place(self) -> None:
        """Check, once a file was read late, that the folder still holds this bundle; one being made is not checked.

        :raises InvalidBundle: another bundle took its place.
        """
        if "version" not in self.info:
            return
        try:
            found = orjson.loads((self.path / "bundle.json").read_bytes()).get("version")
        except (OSError, orjson.JSONDecodeError, AttributeError):
            found = None
        if found != self.version:
            raise InvalidBundle(
                f"{self.path} was replaced since it was loaded (expected version {self.version}, found {found}): "
                "load it again"
            )

    @property
    def threshold(self) -> float:
        """Least probability at which a node is sure enough to file a product in review under it."""
        return float(self.info["threshold"])

    @property
    def thresholds(self) -> "Floats | None":
        """float32 [leaves]: how certain a predicted leaf must be to be accepted; bundles by hand may leave it out."""
        return _floats(self.info.get("thresholds"))

    @property
    def label_thresholds(self) -> "Floats | None":
        """float32 [leaves]: the probabilities from which a product gets a further category; None: one category each."""
        return _floats(self.info.get("label_thresholds"))

    @property
    def further_threshold(self) -> float:
        """Where a product may be in several categories: the probability from which one beside the best needs no person.

        1: none ever is accepted; 0: every one that a product is given, in bundles that were not measured so.
        """
        return float(self.info.get("further_threshold", 0.0))

    @property
    def multi_label(self) -> bool:
        """Whether a product may be in several categories, so that probabilities do not sum to 1."""
        return "label_thresholds" in self.info

    @property
    def logit_leaves(self) -> "npt.NDArray[np.int64] | None":
        """int64 [logits]: the leaf whose probability each of the model's outputs is part of; None: one each, in order.

        A bundle whose taxonomy was changed after training has it; the model itself is the one that was trained.
        """
        import numpy as np

        leaves = self.info.get("logit_leaves")
        return None if leaves is None else np.asarray(leaves, dtype=np.int64)

    @Once
    def encoder(self) -> "Encoder":
        """The model, loaded at first use, once, however many threads ask for it."""
        from shelfwise.encoder import Encoder

        return Encoder(self)


def tokenizer_of(folder: Path, damaged: type[ShelfwiseError] = InvalidBundle) -> "Tokenizer":
    """A folder's tokenizer.

    :param damaged: what is raised where it cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        raise damaged(f"{folder}: tokenizer.json cannot be read ({error}): copy the folder again") from error


def _floats(values: Sequence[float] | None) -> "Floats | None":
    import numpy as np

    return None if values is None else np.asarray(values, dtype=np.float32)


def content_version(folder: Path, info: Mapping[str, Any]) -> str:
    """Hash of the files that make vectors and categories, and of the settings that change them; 12 hex digits.

    :raises InvalidBundle: one of the files is missing or cannot be read.
    """
    settings = {name: info[name] for name in (*VERSIONED_SETTINGS, *OPTIONAL_SETTINGS) if name in info}
    try:
        return content_hash(folder, settings, MODEL_FILES)
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise InvalidBundle(f"{folder} is incomplete: {missing} is missing; copy it again or train it again") from None
    except OSError as error:
        raise InvalidBundle(unreadable(folder, error)) from None


def unreadable(folder: Path, error: OSError) -> str:
    """What to say of a file of a folder that is there and cannot be read."""
    name = Path(error.filename).name if error.filename else "a file"
    return f"{folder}: {name} cannot be read ({error.strerror}): make it a file that this user may read"


def content_hash(folder: Path, settings: Mapping[str, Any], files: Sequence[str]) -> str:
    """Hash of settings and of files in a folder, 12 hex digits.

    :raises OSError: one of the files is missing or cannot be read.
    """
    digest = hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS))
    for name in files:
        with (folder / name).open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    return digest.hexdigest()[:12]
