"""The character map: SentencePiece's precompiled normalisation, a double-array trie over the replaced texts."""

import struct
from collections import deque
from collections.abc import Mapping
from typing import Any


def precompiled(replacements: Mapping[str, str]) -> bytes:
    """SentencePiece's compiled character map, which one lookup per character applies.

    A double-array trie in the layout of https://github.com/s-yata/darts-clone over the UTF-8 bytes of what is replaced,
    its length in bytes before it, the replacements behind it, each ended by a zero byte.
    """
    texts, places = bytearray(), {"": 0}
    texts.append(0)
    root: dict[int, Any] = {}
    for source, target in replacements.items():
        if target not in places:
            places[target] = len(texts)
            texts += target.encode() + b"\0"
        node = root
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[0] = places[target]
    units = _double_array(root)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(texts)


def _double_array(root: Mapping[int, Any]) -> list[int]:
    """A trie of nested mappings, byte to child and 0 to value, as units.

    The child of the node at unit `i` for byte `b` is at `base ^ b`, where `i ^ base` stands in bits 10 and up of unit
    `i`; its lowest 8 bits are the byte that leads to it, bit 8 says that a value is at `base`, bit 31 marks a value.
    """
    units = {0: 0}
    bases: set[int] = set()
    first = 1
    waiting = deque([(0, root)])
    while waiting:
        here, children = waiting.popleft()
        base = first
        while base in bases or any(base ^ byte in units for byte in children):
            base += 1
        bases.add(base)
        first = max(first, base - 256)  # what is left free further back is hardly worth looking for
        units[here] |= (here ^ base) << 10
        for byte, child in children.items():
            if byte == 0:
                units[here] |= 1 << 8
                units[base] = child | 1 << 31
            else:
                units[base ^ byte] = byte
                waiting.append((base ^ byte, child))
    # A reader looks at `base ^ byte` for any byte whatever: the last block of 256 has to be there in full.
    return [units.get(index, 0) for index in range((max(bases) | 255) + 1)]
