"""The breadcrumb: a shop's own category field, in whatever shape its software left it, becomes words to read."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

# Levels that every shop has and that say nothing about a product, case folded.
_SAYS_NOTHING = re.compile(
    r"all|(?:all )?(?:catalogu?e?s?|categor(?:y|ies)|collections?|products?)|default|home ?(?:page)?|index|market|n/a|"
    r"none|null|root|shop(?: all)?|store|uncategori[sz]ed|yes|首页|主页|全部|(?:全部|所有)?(?:分类|商品|产品)"
)
_DUMP = re.compile(r"\b\w+(?:\.\w+){2,}@[0-9a-f]+\b.*", re.DOTALL)  # a Java object that was printed by mistake
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)  # a placeholder that nobody filled
_TAG = re.compile(r"<[^<>]*>")
_ESCAPED = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:https?:)?//[^\s/|]*|\bwww\.[^\s/|]+", re.IGNORECASE)
_QUERY = re.compile(r"[?#][^\s|]*")
_EXTENSION = re.compile(r"\.(?:aspx?|html?|jsp|php)$", re.IGNORECASE)
_BETWEEN_ENTRIES = re.compile(r"\|")
_BETWEEN_LEVELS = re.compile(r"[>»›→\ufffd\r\n\t]+|\s/+\s|/(?!\s*[a-z]\b)|::|,(?=[^\W\d])|\s[-–—]\s")
_BETWEEN_SEGMENTS = re.compile(r"/+")
_BETWEEN_SLUG_WORDS = re.compile(r"[-_+.\s]+")
_LOOKS_LIKE_ONE = re.compile(r"://|^/[^\s/]|^www\.|[>»›→|]|^home\s*/\s", re.IGNORECASE)
_WORD = re.compile(r"\w")
_IDEOGRAPH = re.compile(r"[\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff]")


def breadcrumb_words(text: str) -> str:
    """The words of a breadcrumb, each once, in order; empty when it says nothing ("All Products", a bare host).

    "Home > Mugs > Travel Mugs" is "Mugs Travel"; of an address only the path is read, without its ids, and the hyphens
    of its slugs part words: "http://shop.example/travel-mugs/c/000001/" is "travel mugs". Entries of a list are parted
    by "|". Meant for fields of this kind only: prose would lose its repeated words.
    """
    words: dict[str, str] = {}
    for entry in _BETWEEN_ENTRIES.split(_without_debris(text)):
        for level in _levels(entry.strip()):
            if not _SAYS_NOTHING.fullmatch(" ".join(level).casefold()):
                for word in level:
                    words.setdefault(word.casefold().strip(",;:"), word.strip(",;:"))
    return " ".join(words.values())


def is_breadcrumb(text: str) -> bool:
    """Whether a text is a path of category names or an address, and no prose."""
    return _LOOKS_LIKE_ONE.search(text) is not None


def _without_debris(text: str) -> str:
    if " " not in text and _ESCAPED.search(text):
        text = unquote(text, errors="replace")
    return _TAG.sub(" ", _TEMPLATE.sub(" ", _DUMP.sub(" ", text)))


def _levels(entry: str) -> Iterator[list[str]]:
    if _ADDRESS.match(entry) or (entry.startswith("/") and " " not in entry):
        path = _QUERY.sub("", _ADDRESS.sub("", entry))
        for segment in _BETWEEN_SEGMENTS.split(path):
            words = _BETWEEN_SLUG_WORDS.split(_EXTENSION.sub("", segment))
            yield [word for word in words if not _is_id(word)]
    else:
        for level in _BETWEEN_LEVELS.split(entry):
            yield [word for word in level.split() if _WORD.search(word)]


def _is_id(word: str) -> bool:
    """Whether a part of an address counts products or pages, and names nothing: "c", "000001", "B1894712"."""
    if _IDEOGRAPH.search(word):
        return False
    return len(word) < 2 or word.isdigit() or sum(character.isdigit() for character in word) > 2
