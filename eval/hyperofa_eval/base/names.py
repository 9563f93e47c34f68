"""Names that are not known: the nearest one, if it is near, and the list of those that are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHORT = 300  # characters of a list that is printed whole
_FIRST = 8  # names of a longer one


def advice(name: str, known: Iterable[str]) -> str:
    """What to do about a ``name`` that is not among ``known``: the near name, if there is one, and what is known.

    A long list is left out where a name is near, and else cut.
    """
    choices = sorted(known)
    near = nearest(name, choices)
    listed = ", ".join(choices)
    if len(listed) > _SHORT:
        listed = "" if near else f"{', '.join(choices[:_FIRST])} and {len(choices) - _FIRST} more"
    parts = [f"did you mean {near!r}?" if near else "", f"known: {listed}" if listed else ""]
    return " ".join(part for part in parts if part)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that ``name`` may be a slip of: one letter off, or two and more in long names; None if there is none.

    Letters left out, put in, changed, or swapped with the next one count; upper and lower case are the same.
    """
    word = name.casefold()
    limit = max(1, len(word.rpartition(".")[2]) // 4)  # of a key such as train.settings.steps, what comes last
    close = {choice: slips(word, choice.casefold()) for choice in choices}
    least = min(close.values(), default=limit + 1)
    if least > limit:
        return None
    best = [choice for choice, count in close.items() if count == least]
    return (difflib.get_close_matches(name, best, n=1, cutoff=0.0) or best)[0]


def slips(a: str, b: str) -> int:
    """The number of single slips of the keyboard between two words (restricted Damerau-Levenshtein distance)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        now = [i]
        for j, y in enumerate(b, start=1):
            count = min(row[j] + 1, now[j - 1] + 1, row[j - 1] + (x != y))
            if i > 1 and j > 1 and (x, a[i - 2]) == (b[j - 2], y):
                count = min(count, before[j - 2] + 1)
            now.append(count)
        before, row = row, now
    return row[-1]
