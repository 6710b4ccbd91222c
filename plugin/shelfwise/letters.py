"""Letters: what belongs to a word. Python's \\w leaves out combining marks, which vowels of Devanagari or Thai are."""

import unicodedata
from itertools import chain

# Where marks are, but for the variation selectors, which say how an emoji is drawn.
_BLOCKS = (range(0x300, 0x3100), range(0xA66F, 0xAC00), range(0xFB1E, 0xFB1F), range(0xFE20, 0xFE30))
_BEYOND = range(0x10A00, 0x12000)  # scripts of the supplementary plane
_MARKS = "".join(mark for mark in map(chr, chain(*_BLOCKS, _BEYOND)) if unicodedata.category(mark) in ("Mn", "Mc"))
LETTERS = rf"\w{_MARKS}"  # as a class of a regular expression has them
IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff"  # the same of Chinese, written without spaces: words are told by characters


def word_pattern(besides: str = "") -> str:
    """The regular expression of a word: letters and digits side by side, with their marks.

    :param besides: what is left out, as a class has it.
    """
    letter = rf"[^\W_{besides}]"
    return f"{letter}+(?:[{_MARKS}]+{letter}*)*"
