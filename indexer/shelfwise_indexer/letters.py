"""Letters: what belongs to a word. Python's \\w leaves out combining marks, which vowels of Devanagari or Thai are."""

import unicodedata

_LAST = 0x1FFFF  # no script lies above
_VARIATIONS = frozenset(map(chr, range(0xFE00, 0xFE10)))  # how an emoji is drawn
_MARKS = "".join(
    mark
    for mark in map(chr, range(0x300, _LAST + 1))
    if unicodedata.category(mark) in ("Mn", "Mc") and mark not in _VARIATIONS
)
LETTERS = rf"\w{_MARKS}"  # as a class of a regular expression has them
