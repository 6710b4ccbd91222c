"""The text: what the model reads of a product, which fields, in which order, and how much of each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from shelfwise.errors import UsageError

if TYPE_CHECKING:
    from shelfwise.product import Product

_BUDGET = re.compile(r"^(?P<name>.+):(?P<tokens>[0-9]+)$")


@dataclass(frozen=True, slots=True)
class TextField:
    """A field or attribute that is read, and at most how many tokens of it (None: what the others leave)."""

    name: str
    tokens: int | None = None

    @classmethod
    def parse(cls, text: str) -> "TextField":
        """`description` or `description:40`.

        :raises UsageError: no name, or a budget of no tokens.
        """
        found = _BUDGET.match(text.strip())
        field = cls(found["name"], int(found["tokens"])) if found else cls(text.strip())
        if not field.name or field.tokens == 0:
            raise UsageError(f"text_fields: {text!r}: expected a name, or a name and its tokens such as description:40")
        return field


def field_names(specifications: Sequence[str]) -> tuple[str, ...]:
    """The names in `("title", "description:40")`."""
    return tuple(TextField.parse(one).name for one in specifications)


class TextRecipe:
    """Makes the text of a product out of its fields.

    The first field is read whole, because it is the title. Where the others do not all fit, each gets the same share,
    and what a short one leaves goes to the longer ones (max-min fairness), so that a long description does not push
    out the two words of a shop's own category behind it.

    :param tokenizer: the model's; its truncation and padding stay as they are. It is copied when fields have to be
        cut for the first time, and not before: a multilingual one takes a quarter of a gigabyte.
    :param max_tokens: of the whole text, special ones and prompt included.
    """

    def __init__(self, fields: Sequence[str], tokenizer: Tokenizer, max_tokens: int, prompt: str = "") -> None:
        self.fields = tuple(TextField.parse(one) for one in fields)
        self._given, self._max_tokens, self._prompt = tokenizer, max_tokens, prompt
        self._limited = any(field.tokens for field in self.fields)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        own = Tokenizer.from_str(self._given.to_str())
        own.no_truncation()
        own.no_padding()
        return own

    @cached_property
    def _room(self) -> int:
        special = self._tokenizer.num_special_tokens_to_add(False)
        prompted = len(self._tokenizer.encode(self._prompt, add_special_tokens=False).ids) if self._prompt else 0
        return max(self._max_tokens - special - prompted, 1)

    def text(self, product: "Product") -> str:
        """The fields in order with a space between, cut so that each gets its share of the tokens."""
        parts = [(field, words) for field in self.fields if (words := product.words(field.name))]
        if len(parts) < 3 and not self._limited:
            return " ".join(words for _, words in parts)  # the model cuts the end, and only the last can be there
        ends = [
            [end for _, end in encoding.offsets]
            for encoding in self._tokenizer.encode_batch([words for _, words in parts], add_special_tokens=False)
        ]
        wanted = [min(len(its), field.tokens or len(its)) for its, (field, _) in zip(ends, parts, strict=True)]
        given = [*wanted[:1], *fair_shares(wanted[1:], max(self._room - sum(wanted[:1]), 0))]
        cut = (
            words if tokens == len(its) else words[: its[tokens - 1]] if tokens else ""
            for tokens, its, (_, words) in zip(given, ends, parts, strict=True)
        )
        return " ".join(words for words in cut if words)


def fair_shares(wanted: Sequence[int], room: int) -> list[int]:
    """Max-min fair shares of `room`: nobody gets more than it wants, or more than one that lacks some."""
    given = [0] * len(wanted)
    for left, place in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        given[place] = min(wanted[place], room // (len(wanted) - left))
        room -= given[place]
    return given
