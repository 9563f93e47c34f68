"""What a tokenizer should not learn from: absurdly long words, repeats, addresses, encoded data, damaged characters."""

from __future__ import annotations

import re

SHORT = 30
"""Characters of a word that is always kept, unless a character of it is damaged."""
LONGEST = 100
"""Characters without a space in scripts that write spaces; no script without spaces has such a limit."""

# Controls, surrogates, the replacement character.
_DAMAGED = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd-\uffff"
# Everything below Thai, and the later blocks of scripts that write spaces (Georgian to Tagalog, Mongolian, Limbu, Latin
# and Greek extended, symbols, Hangul, presentation forms, emoji). All others are taken to write none.
_SPACED = (
    "\x00-\u0dff\u10a0-\u177f\u1800-\u194f\u1d00-\u2e7f\ua640-\ua69f\ua700-\ua82f\ua960-\ua97f"
    "\uab00-\uf8ff\ufb00-\ufe1f\ufe70-\ufeff\ufffd-\uffff\U0001f000-\U0001faff"
)
_SUSPECT = re.compile(rf"\S{{{SHORT + 1},}}|[{_DAMAGED}]")
_WORD = re.compile(r"\S+")
# Stretches of one kind. Ethiopic wordspace and the zero-width space stand between words too.
_STRETCH = re.compile(rf"[\u1361\u200b]+|(?:(?![\u1361\u200b])[{_SPACED}])+|[^{_SPACED}]+")
_WRITES_SPACES = re.compile(f"[{_SPACED}]")
_DAMAGE = re.compile(f"[{_DAMAGED}]")
_REPEAT = re.compile(r"(.)\1{32,999}|(..)\2{16,999}|(...)\3{10,999}|(....)\4{8,999}", re.DOTALL)
_CUT = re.compile(f"[{_DAMAGED}]+|{_REPEAT.pattern}", re.DOTALL)
_ADDRESS = re.compile(r"://|^\W*www\.|[\w.-]@[\w-]+\.\w|(?:%[0-9A-F]{2}){2}|^\W*(?:[\w-]+\.)+[a-z]{2,}/", re.IGNORECASE)
_HEXADECIMAL = re.compile(r"\W*(?=[A-Fa-f-]*\d)[0-9A-Fa-f-]+\W*", re.ASCII)
_ENCODED = re.compile(r"\W*[A-Za-z0-9+/=_-]+\W*", re.ASCII)
_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[a-z0-9])|(?<=[0-9])(?=[A-Za-z])")
# Changes of case or to a digit per character: about 0.6 in base64; camelCase has as many, but few digits.
_CHANGES = 0.4
_DIGITS = 1 / 16
_CAPITALS = 0.35  # base64 has a share of 0.4 of capitals, and of small letters; camelCase far fewer capitals
_FEW = 6  # different characters: DNA, rules, binary numbers
_GROUP = "[0-9A-Fa-f]{2}(?:[0-9A-Fa-f]{2})?"
# Eight groups of a hex dump, among them one with a letter and one with a digit, so that a row of years is none.
_DUMP = re.compile(rf"\b(?=[0-9 ]*[A-Fa-f])(?=[A-Fa-f ]*[0-9])(?:{_GROUP} {{1,2}}){{7,}}{_GROUP}\b")


def without_junk(text: str) -> tuple[str, int]:
    """``text`` without what no tokenizer should learn from, and from how many stretches something was left out.

    Words of up to :data:`SHORT` characters are kept. Of longer ones go: more than :data:`LONGEST` characters without a
    space, repeats of one to four characters, strings of few different characters (DNA) or mostly of digits, addresses,
    hashes and base64; and rows of a hex dump. In scripts without spaces, where a whole paragraph is one word, only the
    repeats go, and what is written in another script is judged by itself. Words with control characters or U+FFFD go too.
    """
    text, left_out = _DUMP.subn(" ", text)
    if _SUSPECT.search(text) is None:
        return text, left_out

    def clean(match: re.Match[str]) -> str:
        nonlocal left_out
        word = match[0]
        if _SUSPECT.search(word) is None:
            return word
        stretches = []
        for stretch in _STRETCH.findall(word):
            rest = stretch
            if _WRITES_SPACES.match(stretch):
                rest = " " if _is_junk(stretch) else stretch
            elif _may_repeat(stretch) or _DAMAGE.search(stretch):
                rest = _CUT.sub(" ", stretch)
            left_out += rest != stretch
            stretches.append(rest)
        return "".join(stretches)

    return _WORD.sub(clean, text), left_out


def _is_junk(stretch: str) -> bool:
    """Whether characters without a space between them, in a script that writes spaces, are no word."""
    if _DAMAGE.search(stretch) or len(stretch) > LONGEST:
        return True
    if len(stretch) <= SHORT:
        return False
    if len(set(stretch)) <= _FEW or 2 * sum(map(str.isdigit, stretch)) >= len(stretch):
        return True
    return bool(_ADDRESS.search(stretch) or _REPEAT.search(stretch)) or _is_encoded(stretch)


def _may_repeat(text: str) -> bool:
    """Whether 12 characters equal those one to four places on, as they do wherever :data:`_REPEAT` fits; the quick question.

    A repeat has 33 characters or more, so it holds one of every 16th place with 12 + 4 characters from there.
    """
    places = range(0, len(text) - 12, 16)
    return any(text[place : place + 12] in text[place + 1 : place + 16] for place in places)


def _is_encoded(stretch: str) -> bool:
    """Whether a stretch is hexadecimal, or looks like base64: ASCII whose case and digits change all the time."""
    if _HEXADECIMAL.fullmatch(stretch):
        return True
    if not _ENCODED.fullmatch(stretch):
        return False
    capitals, small, digits = (sum(map(kind, stretch)) for kind in (str.isupper, str.islower, str.isdigit))
    if digits < _DIGITS * len(stretch) and min(capitals, small) < _CAPITALS * len(stretch):
        return False
    return len(_CHANGE.findall(stretch)) >= _CHANGES * len(stretch)
