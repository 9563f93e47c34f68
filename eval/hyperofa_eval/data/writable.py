"""What of a data set can be written in the harness's layout so that a run reads it again; the rest is counted and said."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.data.readers import SCHEMES, UNTAGGED

log = logging.getLogger(__name__)

UNWRITABLE = {"\t": "a tab", "\n": "a line end", "\r": "a line end", "\0": "a NUL", "\ufeff": "a byte-order mark"}
"""Characters that a line of a text file cannot hold in a token."""


class Kept:
    """Passes on what can be written to one file, and counts why the rest cannot.

    ``name`` is the file as messages call it, ``things`` what it holds (sentences or pairs).
    """

    def __init__(self, name: str, things: str) -> None:
        self.name, self.things = name, things
        self._reasons: Counter[str] = Counter()
        self._untagged = 0

    def sentence(self, tokens: Any, tags: Any, label: Callable[[Any], str], scheme: str) -> list[tuple[str, str]]:
        """Tokens with the names of their tags; empty where the sentence has to be left out.

        Tokens without a tag (``_``) are left out alone: a contraction stands beside its words, which have tags.
        """
        if not isinstance(tokens, list | tuple) or not isinstance(tags, list | tuple) or len(tokens) != len(tags):
            return self._drop("not a tag for every token")
        pairs = []
        for token, tag in zip(tokens, map(label, tags), strict=True):
            if tag == UNTAGGED:
                self._untagged += 1
                continue
            reason = self._reason(token) or self._reason(tag)
            if not reason and not SCHEMES[scheme].fullmatch(tag):
                reason = f"a tag outside {scheme}, such as {tag[:40]!r}"
            if reason:
                return self._drop(reason)
            pairs.append((token.strip(" "), tag))
        return pairs or self._drop("no token with a tag")

    def pair(self, other: Any, english: Any) -> tuple[str, str] | None:
        """Both sides with single spaces, None where one has no text."""
        sides = [" ".join(side.split()) if isinstance(side, str) else "" for side in (other, english)]
        if reason := next(filter(None, map(self._reason, sides)), ""):
            self._drop(reason.replace("a token", "a side"))
            return None
        return sides[0], sides[1]

    def report(self, written: int) -> None:
        """Say what was left out.

        Raises:
            InputError: nothing was kept.
        """
        reasons = ", ".join(f"{reason} ({count})" for reason, count in self._shown())
        dropped = self._reasons.total()
        if not written:
            what = f"none of the {dropped} {self.things} can be written" + (f": {reasons}" if reasons else "")
            raise InputError(what, where=self.name, todo="name another data set or configuration")
        if dropped:
            log.warning("%s: %d of %d %s left out: %s", self.name, dropped, dropped + written, self.things, reasons)
        if self._untagged:
            log.info("%s: %d tokens without a tag (%s) left out", self.name, self._untagged, UNTAGGED)

    def _shown(self) -> list[tuple[str, int]]:
        """Each reason once: of tags outside the scheme, the most frequent is the example."""
        grouped: dict[str, list[Any]] = {}
        for reason, count in self._reasons.most_common():
            grouped.setdefault(reason.partition(", ")[0], [reason, 0])[1] += count
        return [(reason, count) for reason, count in grouped.values()]

    def _drop(self, reason: str) -> list[tuple[str, str]]:
        self._reasons[reason] += 1
        return []

    def _reason(self, token: Any) -> str:
        """Why a token cannot be written; empty where it can."""
        if not isinstance(token, str) or not token.strip(" "):
            return "a token without text"
        for character, what in UNWRITABLE.items():
            if character in token:
                return f"{what} in a token"
        if any("\ud800" <= character <= "\udfff" for character in token):
            return "half of a surrogate pair in a token"
        return ""
