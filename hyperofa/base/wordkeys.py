"""Keys of word vectors: ``lang:word``, where a mark such as ``$`` may stand for a word boundary (ColexNet+)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[_-][A-Za-z0-9]{2,8})*")


@dataclass(frozen=True)
class KeyScheme:
    """How the keys of a vector file are read.

    ``separator`` stands between language and word (None: keys are bare words), ``default_language`` is the language
    of a bare key (None: a bare key is malformed), ``boundary`` is the mark that stands for a space (None: there is
    none).
    """

    separator: str | None = ":"
    default_language: str | None = "eng"
    boundary: str | None = "$"

    def parse(self, key: str) -> tuple[str, str] | None:
        """``(language, word)`` with boundary marks kept, or None for a malformed key.

        Malformed: two separators (``a:b:c``), a prefix that is no language code, an empty word, a lone boundary, a
        control or line-breaking character, a bare key where no default language is set.
        """
        language, word = self.default_language, key
        if self.separator is not None and self.separator in key:
            language, _, word = key.partition(self.separator)
            if self.separator in word or not is_language(language):
                return None
        if language is None or not (word.isprintable() or _printable(word)) or word != word.strip():
            return None
        if not word or (self.boundary is not None and word[0] == self.boundary and not word.strip(self.boundary + " ")):
            return None
        return language, word

    def spoken(self, word: str) -> tuple[str, bool]:
        """The text of ``word`` and whether it starts at a word boundary: ``$dog$`` gives ``("dog", True)``.

        Marks inside the word become single spaces; a trailing mark says nothing about the tokens before it and is
        dropped.
        """
        if self.boundary is None or self.boundary not in word:
            return word, False
        return " ".join(word.replace(self.boundary, " ").split()), word.startswith(self.boundary)


STORED = KeyScheme()
"""The scheme of keys in a store: ``lang:word``; what a store's ``meta.json`` says about boundaries overrides ``$``."""


@lru_cache(maxsize=4096)
def is_language(code: str) -> bool:
    """Whether ``code`` looks like a language code: ``eng``, ``eng_Latn``, ``zh-Hant``."""
    return _LANGUAGE.fullmatch(code) is not None


def language_codes(words: Iterable[str]) -> list[str]:
    """Language codes that spaces or commas separate, as they are typed on the command line."""
    return " ".join(words).replace(",", " ").split()


def language_for(code: str, there: Collection[str]) -> str | None:
    """Which of the codes that are ``there`` is meant by ``code``: the same, or its bare code where only that is there.

    ``aze_Latn`` may be served by ``aze``; ``aze`` is never served by ``aze_Latn``, nor one script by another.
    """
    bare = code.partition("_")[0]
    return next((each for each in (code, bare) if each in there), None)


def _printable(word: str) -> bool:
    # str.isprintable refuses joiners and soft marks (category Cf) that Persian, Indic and Khmer words need.
    return all(c.isprintable() or c in "\u200c\u200d\u200b\u00ad" for c in word)
