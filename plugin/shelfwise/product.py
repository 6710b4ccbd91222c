"""The product: what a catalogue line must hold, and its fields as text."""

import math
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from html import unescape
from numbers import Real
from typing import Any

from shelfwise.breadcrumb import breadcrumb_words, is_breadcrumb
from shelfwise.errors import InvalidProduct
from shelfwise.taxonomy import SEPARATOR, Path, written_path

CONTRACT_FIELDS = (
    "id",
    "title",
    "description",
    "brand",
    "price",
    "category",
    "categories",
    "variant_of",
    "in_stock",
    "popularity",
    "language",
    "image_url",
    "created_at",
    "updated_at",
    "attributes",
)
MAX_ID_BYTES = 512  # Elasticsearch's limit for _id
TEXT_FIELDS = ("title", "description", "brand")  # of the contract, those that hold words
DEFAULT_TEXT_FIELDS = ("title", "description")
BASIC_DATE = 8  # digits of a date without hyphens
EXACT_BELOW = 2**53  # a float from here on may stand for another whole number

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# What is left out with all that it holds, and its end.
_ENCLOSED = (
    (re.compile(r"<!--.*?-->", re.DOTALL), re.compile("-->")),
    (
        re.compile(r"<(?:script|style)\b.*?</(?:script|style)>", re.DOTALL | re.IGNORECASE),
        re.compile(r"</(?:script|style)>", re.IGNORECASE),
    ),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SPACE = re.compile(r"\s+")
# ＵＳＢ３ is USB3. Brackets and signs stay as wide as they are: <新品> would be taken for markup.
_WIDE = {0xFEE0 + ord(narrow): narrow for narrow in string.ascii_letters + string.digits}


@dataclass(frozen=True, slots=True)
class Product:
    """One product of a catalogue, as the contract has it; what the contract does not name is in `attributes`."""

    id: str
    title: str
    description: str | None = None
    brand: str | None = None
    price: float | None = None
    categories: tuple[Path, ...] = ()
    variant_of: str | None = None
    in_stock: bool | None = None
    popularity: float | None = None
    language: str | None = None
    image_url: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def text(self, fields: Sequence[str] = DEFAULT_TEXT_FIELDS) -> str:
        """The named fields in order as one text, markup removed, a space between: what splits and baselines read.

        It is uncut; what the model reads of it within its budgets of tokens is `Bundle.text`.

        :param fields: contract fields or names of attributes; absent ones are passed over.
        """
        return " ".join(words for name in fields if (words := self.words(name)))

    def words(self, name: str) -> str:
        """One contract field or attribute as readable text; empty when it is absent.

        Of an attribute that is a breadcrumb or an address ("Home > Mugs", "https://shop.example/mugs/c/12") the words.
        """
        if name in CONTRACT_FIELDS:
            return plain(_joined(getattr(self, name, None)))
        words = plain(_joined(self.attributes.get(name)))
        return breadcrumb_words(words) if is_breadcrumb(words) else words


def _joined(value: object) -> str:
    """The words of a value; of a list or an object those of all that it holds, of an object with its keys."""
    if isinstance(value, (list, tuple)):
        return " ".join(words for part in value if (words := _joined(part)))
    if isinstance(value, Mapping):
        return " ".join(f"{name} {words}" for name, part in value.items() if (words := _joined(part)))
    return "" if value is None else str(value)


def plain(text: str) -> str:
    """Text without broken encodings ("cafÃ©" is "café" again), wide letters, markup, entities, control characters and
    runs of space.

    Training, indexing and searching all read texts through this function, so that they see the same.
    """
    text = repaired(text)
    if "<" in text:
        text = _without_markup(text)
    if "&" in text:
        text = unescape(text)
    return _SPACE.sub(" ", _CONTROL.sub(" ", text)).strip()


def _without_markup(text: str) -> str:
    for enclosed, end in _ENCLOSED:
        # Up to the last end only: beyond it, each beginning would be followed to the end of the text in vain.
        last = max((found.end() for found in end.finditer(text)), default=0)
        text = enclosed.sub(" ", text[:last]) + text[last:]
    return _TAG.sub(" ", text)


def repaired(text: str) -> str:
    """Text whose encoding was broken on the way ("cafÃ©"), mended, wide letters and digits as plain ones."""
    if text.isascii():
        return text
    import ftfy  # here, because most texts do without it

    return ftfy.fix_encoding(text).translate(_WIDE)


def parse_product(record: Mapping[str, Any]) -> Product:
    """Check one catalogue record against the contract.

    :raises InvalidProduct: a field is missing or of a wrong type; the message names field, value and expectation.
    """
    if not isinstance(record, Mapping):
        raise InvalidProduct(f"expected an object with at least id and title, got {shown(record)}")
    id_ = _id(record, "id")
    if id_ is None:
        raise InvalidProduct("id is missing: every product needs a unique id")
    title = _text(record, "title")
    if title is None or not plain(title):
        raise InvalidProduct(f"product {id_}: title is missing or empty: every product needs one")
    attributes = {name: value for name, value in record.items() if name not in CONTRACT_FIELDS and value is not None}
    given = record.get("attributes")
    if isinstance(given, Mapping):
        attributes = {**given, **attributes}
    elif given is not None:
        raise InvalidProduct(f"product {id_}: attributes must be an object, got {shown(given)}")
    try:
        return Product(
            id=id_,
            title=title,
            description=_text(record, "description"),
            brand=_text(record, "brand"),
            price=_number(record, "price", least=0.0),
            categories=_categories(record),
            variant_of=_id(record, "variant_of"),
            in_stock=_boolean(record, "in_stock"),
            popularity=_number(record, "popularity", least=0.0),
            language=_text(record, "language"),
            image_url=_text(record, "image_url"),
            created_at=_moment(record, "created_at"),
            updated_at=_moment(record, "updated_at"),
            attributes=attributes,
        )
    except InvalidProduct as error:
        raise InvalidProduct(f"product {id_}: {error}") from None


def shown(value: object) -> str:
    """What was given, for a message; of something long the beginning."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_number(value: object) -> bool:
    """Whether it is a real number, which Python takes true and false for as well."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _id(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    id_ = id_text(value)
    if id_ is None:
        raise InvalidProduct(f"{name} must be a string or a whole number, got {shown(value)}")
    if len(id_.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise InvalidProduct(f"{name} is longer than {MAX_ID_BYTES} bytes (the server's limit): {shown(id_)}")
    return id_


def id_text(value: object) -> str | None:
    """An id as text, without white space around it, given as text or as a whole number, be it a float (1.0).

    None: it is neither.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_BELOW:
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) and not _broken(value) else None


def _text(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or isinstance(value, str):
        if isinstance(value, str) and _broken(value):
            raise InvalidProduct(f"{name} holds half of a surrogate pair, which is not text: {shown(value)}")
        return value or None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise InvalidProduct(f"{name} must be text, got {shown(value)}")


def _broken(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _number(record: Mapping[str, Any], name: str, least: float) -> float | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or "_" in str(value):  # Python takes 1_299 for a number
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidProduct(f"{name} must be a number, got {shown(value)}") from None
    if not math.isfinite(number) or number < least:
        raise InvalidProduct(f"{name} must be a finite number of at least {least:g}, got {shown(value)}")
    return number


def _boolean(record: Mapping[str, Any], name: str) -> bool | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}
    answer = known.get(str(value).strip().lower())
    if answer is None:
        raise InvalidProduct(f"{name} must be true or false, got {shown(value)}")
    return answer


def _moment(record: Mapping[str, Any], name: str) -> str | None:
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    try:
        return iso_moment(str(value)).isoformat()
    except ValueError:
        raise InvalidProduct(f"{name} must be a moment as ISO 8601 has it, got {shown(value)}") from None


def iso_moment(text: str) -> datetime:
    """A moment as ISO 8601 has it.

    :raises ValueError: it is none. Digits alone are none but as a date: seconds or milliseconds since 1970, of which
        `fromisoformat` would make a moment of another century.
    """
    if text.isdecimal() and len(text) != BASIC_DATE:
        raise ValueError
    return datetime.fromisoformat(text)


def _categories(record: Mapping[str, Any]) -> tuple[Path, ...]:
    single, several = record.get("category"), record.get("categories")
    paths: list[object] = []
    if isinstance(single, (list, tuple)) and any(
        isinstance(name, str) and SEPARATOR.strip() in name for name in single
    ):
        raise InvalidProduct(
            f"category {shown(single)}: a list is the names of one path, root first, and a name must not hold "
            f"{SEPARATOR.strip()!r}: write several paths into categories, such as "
            f'"categories": ["A > B", "C"], or one as "category": ["A", "B"]'
        )
    if single not in (None, "", [], ()):
        nested = isinstance(single, (list, tuple)) and isinstance(single[0], (list, tuple))
        paths.extend(single if nested and isinstance(single, (list, tuple)) else [single])
    if several not in (None, ""):
        if not isinstance(several, (list, tuple)):
            raise InvalidProduct(f"categories must be a list of paths, got {shown(several)}")
        paths.extend(several)
    return tuple(dict.fromkeys(_path(path) for path in paths))


def _path(value: object) -> Path:
    try:
        return written_path(value)
    except ValueError as error:
        raise InvalidProduct(f"category {shown(value)}: {error}") from None
