"""Compression: the exported model once more in eight-bit integers, kept only if it finds what the exact one finds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import openvino as ov
from pydantic import Field

from shelfwise.bundle import Bundle, content_hash
from shelfwise.compressed import FILES, MODEL, entry
from shelfwise.encoder import Encoded, Encoder, Integers
from shelfwise.messages import tell
from shelfwise.precision import BOUNDS, compare
from shelfwise.product import Product
from shelfwise_indexer.evaluate import score
from shelfwise_indexer.neighbours import recall
from shelfwise_indexer.quantization import CompressionError, quantize

MOST_F1_LOST = 0.005
LEAST_RECALL = 0.95
NEIGHBOURS = 10
LEAST_CHECKED = 300  # products; held back first, then of the training part


@dataclass(frozen=True, slots=True)
class CompressSettings:
    """Whether a compressed model is made, and from how much its scales come."""

    int8: Annotated[bool, Field(description="Also make an eight-bit model, for a faster `index`.")] = True
    calibration_texts: Annotated[int, Field(ge=1, description="Training texts that its scales come from.")] = 300


@dataclass(frozen=True, slots=True)
class Loss:
    """What the compressed model loses against the exact one, on the same products."""

    products: int
    held_back: int
    """So many of them were not trained on."""
    weighted_f1: float
    """Its own, mean over the levels."""
    weighted_f1_lost: float
    recall_at_10: float
    """Share of the exact vectors' ten nearest others that are among its own ten nearest."""
    least_cosine: float
    mean_cosine: float
    agreement: float
    """Share of the products with the same most probable leaf."""

    @property
    def reason(self) -> str | None:
        """Why it is refused; None: it is not."""
        too_much = []
        if self.weighted_f1_lost > MOST_F1_LOST:
            too_much.append(
                f"it loses {self.weighted_f1_lost:.4f} of weighted F1 ({self.weighted_f1:.4f} left), "
                f"at most {MOST_F1_LOST} is allowed"
            )
        if self.recall_at_10 < LEAST_RECALL:
            too_much.append(
                f"it finds {self.recall_at_10:.4f} of the {NEIGHBOURS} nearest products that f32 finds, "
                f"at least {LEAST_RECALL} is wanted"
            )
        return " and ".join(too_much) or None


def compress(
    bundle: Bundle,
    train: Sequence[Product],
    held_back: Sequence[Product],
    exact: Encoded,
    settings: CompressSettings,
    seed: int,
) -> dict[str, Any]:
    """Write FILES into the bundle's folder and measure them; they are removed again if they lose too much.

    Where the whole trunk in integers loses too much, it is tried once more with a part spared (see `quantize`).

    :param exact: the held-back products as the exact model encodes them.
    :returns: what `bundle.json` says under `compressed`, for kept and refused models alike.
    """
    if not settings.int8:
        return {}
    drawn = _drawn(train, seed)
    batches = _batches(bundle, drawn, settings)
    tell("compressing the model to eight-bit integers")
    more = drawn[: max(0, LEAST_CHECKED - len(held_back))]
    found: dict[str, Any] = {}
    reason: str | None = None
    for spared in (False, True):
        _remove(bundle)
        try:
            _write(bundle, batches, spared)
        except CompressionError as error:
            reason = str(error)
            break
        loss = measure_loss(bundle, spared, held_back, more, exact)
        found, reason = {"spared": spared, **asdict(loss)}, loss.reason
        if reason is None:
            tell(
                f"int8 finds {loss.recall_at_10:.4f} of the {NEIGHBOURS} nearest products and loses "
                f"{loss.weighted_f1_lost:.4f} of weighted F1"
            )
            return {"int8": {"kept": True, "hash": content_hash(bundle.path, {}, FILES), **found}}
    return _refused(bundle, reason, found)


def compress_again(bundle: Bundle, train: Sequence[Product], settings: CompressSettings, seed: int) -> dict[str, Any]:
    """Write FILES anew after the bundle's head has learnt more, as `compress` found it best; they are removed again if
    the share of products that it puts into the same leaf as f32 is below that of BOUNDS.

    The trunk is the same, so that the recall stands, and F1 stands as nothing is held back any more. What the model
    remembers is new, and the likeness to it is in integers, so it is compared with the exact one once more, on
    LEAST_CHECKED products at most; where there are enough, its scales come from others.

    :returns: what `bundle.json` says under `compressed`, with `again`: the comparison, None if it cannot be made.
    """
    before = entry(bundle)
    if not before.get("kept"):
        return {"int8": dict(before)} if before else {}
    drawn, spared = _drawn(train, seed), bool(before["spared"])
    _remove(bundle)
    try:
        _write(bundle, _batches(bundle, drawn, settings), spared)
    except CompressionError as error:
        return _refused(bundle, str(error), {**before, "again": None})
    texts = [bundle.text(product) for product in drawn[-LEAST_CHECKED:]]
    fast = Encoder(_with_int8(bundle, spared), "int8").encode_documents(texts)
    found = compare(bundle.encoder.encode_documents(texts), fast)
    again = {"products": len(texts), **asdict(found)}
    if found.agreement < (least := BOUNDS["int8"].agreement):
        reason = (
            f"after it learnt the held-back products, it puts {found.agreement:.1%} of {len(texts)} products into the "
            f"same leaf as f32, at least {least:.0%} is wanted"
        )
        return _refused(bundle, reason, {**before, "again": again})
    return {"int8": {**before, "hash": content_hash(bundle.path, {}, FILES), "again": again}}


def _refused(bundle: Bundle, reason: str | None, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the model; its entry says why, beside what was measured."""
    _remove(bundle)
    tell(f"no int8 model: {reason}")
    rest = {name: value for name, value in measured.items() if name != "hash"}
    return {"int8": {**rest, "kept": False, "reason": reason}}


def measure_loss(
    bundle: Bundle, spared: bool, held_back: Sequence[Product], more: Sequence[Product], exact: Encoded
) -> Loss:
    """Run the compressed model on the held-back products, and on more where those are few.

    :param exact: the held-back products as the exact model encodes them.
    """
    if more:
        other = bundle.encoder.encode_documents([bundle.text(product) for product in more])
        exact = Encoded(
            np.concatenate([exact.vectors, other.vectors]), np.concatenate([exact.probabilities, other.probabilities])
        )
    products = [*held_back, *more]
    fast = Encoder(_with_int8(bundle, spared), "int8").encode_documents([bundle.text(product) for product in products])
    truths = [product.categories for product in products]

    def weighted_f1(encoded: Encoded) -> float:
        return score(bundle.taxonomy, encoded.probabilities, truths, bundle.multi_label).mean_weighted_f1

    f1 = weighted_f1(fast)
    found = compare(exact, fast)
    return Loss(
        products=len(products),
        held_back=len(held_back),
        weighted_f1=round(f1, 4),
        weighted_f1_lost=round(weighted_f1(exact) - f1, 4),
        recall_at_10=round(recall(fast.vectors, exact.vectors, NEIGHBOURS), 4),
        least_cosine=found.least_cosine,
        mean_cosine=found.mean_cosine,
        agreement=found.agreement,
    )


def _drawn(train: Sequence[Product], seed: int) -> list[Product]:
    return [train[place] for place in np.random.default_rng(seed).permutation(len(train))]


def _batches(bundle: Bundle, drawn: Sequence[Product], settings: CompressSettings) -> list[dict[str, Integers]]:
    texts = [bundle.text(product) for product in drawn[: settings.calibration_texts]]
    return list(bundle.encoder.document_inputs(texts))


def _write(bundle: Bundle, batches: Sequence[dict[str, Integers]], spared: bool) -> None:
    ov.save_model(quantize(bundle, batches, spared), str(bundle.path / MODEL), compress_to_fp16=False)


def _remove(bundle: Bundle) -> None:
    for name in FILES:
        (bundle.path / name).unlink(missing_ok=True)


def _with_int8(bundle: Bundle, spared: bool) -> Bundle:
    """The bundle as if its compressed model were kept."""
    kept = {"kept": True, "spared": spared, "hash": content_hash(bundle.path, {}, FILES)}
    return Bundle(bundle.path, {**bundle.info, "compressed": {"int8": kept}}, bundle.taxonomy)
