"""Classes of characters that decide which pieces may be joined: letters by script, digits, signs, spaces."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache

DIGIT, SIGN, SPACE, CONTROL = "digit", "sign", "space", "control"
JOINER = "joiner"
"""Marks, joiners and modifier letters: they go with whatever stands before them."""
TAIL, OPEN = "tail", "open"
"""The end of a character whose first bytes are missing; the first bytes of one that may be of any script."""

# Japanese mixes three scripts in one word; SentencePiece takes them for one as well.
_SCRIPTS = dict.fromkeys(("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "HAN")
_SCRIPTS |= {"MICRO": "GREEK", "FEMININE": "LATIN", "MASCULINE": "LATIN"}
_CONTINUATION = range(0x80, 0xC0)
_MOST = 4096  # code points that the first bytes of a character may stand for, else nothing is said of it


@cache
def character_class(character: str) -> str:
    """``letter:SCRIPT``, or one of the constants of this module; number signs such as ``²`` and ``Ⅷ`` are digits."""
    if character in "▁ ":
        return SPACE
    category = unicodedata.category(character)
    if category[0] == "L":
        words = unicodedata.name(character, "OTHER").split()
        script = words[1] if words[0] in {"FULLWIDTH", "HALFWIDTH"} and len(words) > 1 else words[0]
        return JOINER if script == "MODIFIER" else f"letter:{_SCRIPTS.get(script, script)}"
    if category[0] == "M" or category == "Cf":
        return JOINER
    if category == "Zs":
        return SPACE
    return {"N": DIGIT, "P": SIGN, "S": SIGN}.get(category[0], CONTROL)


def text_units(text: str) -> list[tuple[str, str]]:
    """The characters of ``text`` with their classes."""
    return [(character_class(character), character) for character in text]


def byte_units(raw: bytes) -> list[tuple[str, str]] | None:
    """The characters of UTF-8 ``raw`` with their classes, those cut at its two ends included; None if it is not UTF-8.

    The first bytes of a character have the class of the letters that it may become, or :data:`OPEN`. Bytes without a first
    one are :data:`TAIL`.
    """
    start = next((i for i, byte in enumerate(raw) if byte not in _CONTINUATION), len(raw))
    if start > 3:
        return None
    end = _complete(raw)
    try:
        text = raw[start:end].decode("utf-8") if end > start else ""
    except UnicodeDecodeError:
        return None
    tail = [(TAIL, "")] if start else []
    lead = [(_lead_class(raw[end:]), "\ufffd")] if end >= start and end < len(raw) else []
    return [*tail, *text_units(text), *lead]


def _complete(raw: bytes) -> int:
    """Where the last character of ``raw`` starts if bytes of it are missing, else the length."""
    for back in range(1, min(3, len(raw)) + 1):
        byte = raw[-back]
        if byte in _CONTINUATION:
            continue
        length = 2 if 0xC2 <= byte < 0xE0 else 3 if 0xE0 <= byte < 0xF0 else 4 if 0xF0 <= byte < 0xF5 else 1
        return len(raw) - back if length > back else len(raw)
    return len(raw)


@cache
def _lead_class(lead: bytes) -> str:
    """The script of most letters that start with these bytes."""
    first, *rest = lead
    missing = (2 if first < 0xE0 else 3 if first < 0xF0 else 4) - len(lead)
    low = first & (0x1F if first < 0xE0 else 0x0F if first < 0xF0 else 0x07)
    for byte in rest:
        low = low << 6 | byte & 0x3F
    low, size = low << 6 * missing, 1 << 6 * missing
    if size > _MOST:
        return OPEN
    shortest = 0x800 if 0xE0 <= first < 0xF0 else 0x10000 if first >= 0xF0 else 0x80
    points = [point for point in range(max(low, shortest), low + size) if not 0xD800 <= point < 0xE000]
    classes = Counter(character_class(chr(point)) for point in points)
    letters = {name: count for name, count in classes.items() if name.startswith("letter:")}
    best = max(sorted(letters), key=lambda name: letters[name], default=OPEN)
    return best if 2 * letters.get(best, 0) > sum(letters.values()) else OPEN
