"""What two lines of text have to share to count as the same."""

from __future__ import annotations

import unicodedata


def near_key(text: str) -> str:
    """A text without case, punctuation, digits and spacing: two texts with one key count as the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if unicodedata.category(c)[0] in "LM" else " " for c in folded).split())


def line_key(text: str) -> str:
    """A text without case, punctuation, digits and all spacing, so that tokenised test sets are recognised too."""
    return near_key(text).replace(" ", "")


def has_letters(text: str) -> bool:
    """Whether a text holds any letter of any script."""
    return any(character.isalpha() for character in text)
