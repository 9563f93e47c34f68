"""The table of languages: code, script, name, family, resource class, other codes, and the paper's subsets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

PIVOT = "eng"
TABLE = Path(__file__).with_name("languages.tsv")


@dataclass(frozen=True)
class Language:
    """One language. ``code`` is ISO 639-3; results and data files are named by it."""

    code: str
    script: str = "Zyyy"
    """ISO 15924; ``Zyyy`` where nobody said."""
    name: str = ""
    family: str = "unknown"
    resource_class: str = "unknown"
    """By sentences in Glot500-c: ``high`` over 5 M, ``mid`` over 500 K, ``low`` below."""
    short: str = ""
    """The two-letter (Wikipedia) code, which names files in PAN-X and XTREME folders; where it is a macro-language's
    (``zh``) it is among the ``aliases`` too."""
    aliases: tuple[str, ...] = ()
    """Macro-language codes whose data may stand for it; used only where the user asks (``--aliases``)."""
    papers: tuple[str, ...] = ()
    """The tasks whose published mean includes it."""


_ADDED: dict[str, Language] = {}


@cache
def _shipped() -> dict[str, Language]:
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    found = {}
    for code, script, name, family, resource_class, short, aliases, papers in rows:
        found[code] = Language(
            code, script, name, family, resource_class, short, tuple(aliases.split()), tuple(papers.split())
        )
    return found


def languages() -> dict[str, Language]:
    """The shipped 22 languages and those added by :func:`add_language`, by code."""
    return _shipped() | _ADDED


def add_language(language: Language) -> None:
    """Add a language, or replace one of the table (a user's ``--with FILE`` calls this)."""
    _ADDED[language.code] = language


def language(code: str) -> Language:
    """The language of a code; a code that is not in the table gives a bare :class:`Language`."""
    known = languages()
    return known[code] if code in known else replace(Language(code), name=code)


def normalise(code: str) -> str:
    """``tur_Latn`` or ``tur`` as ``tur``."""
    return code.strip().partition("_")[0]


def paper_languages(task: str) -> tuple[str, ...]:
    """The codes of the 22 languages that the published mean of ``task`` includes."""
    return tuple(code for code, row in _shipped().items() if task in row.papers)
