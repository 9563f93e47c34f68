"""The table of languages: code, script, name, family, resource class, other codes, and the paper's subsets."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

PIVOT = "eng"
PIVOTS = (PIVOT, f"{PIVOT}_Latn")
"""What English may be called where languages are asked for; its files are always named by the first."""
SCRIPT = re.compile(r"[A-Z][a-z]{3}")
TABLE = Path(__file__).with_name("languages.tsv")


@dataclass(frozen=True)
class Language:
    """One language. ``code`` is ISO 639-3, alone or with a script (``aze_Latn``); results and data files are named by it."""

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
    table = {}
    for code, script, name, family, resource_class, short, aliases, papers in rows:
        several = tuple(aliases.split()), tuple(papers.split())
        table[code] = Language(code, script, name, family, resource_class, short, *several)
    return table


def languages() -> dict[str, Language]:
    """The shipped 22 languages and those added by :func:`add_language`, by code."""
    return _shipped() | _ADDED


def add_language(language: Language) -> None:
    """Add a language, or replace one of the table (a user's ``--with FILE`` calls this)."""
    _ADDED[language.code] = language


def language(code: str) -> Language:
    """The language of a code.

    A code with a script (``aze_Latn``) that is not in the table is the language of its bare code in that script; one that
    is not in the table either way gives a bare :class:`Language`.
    """
    known = languages()
    if code in known:
        return known[code]
    bare, mark, further = code.partition("_")
    row = replace(known.get(bare, Language(bare)), code=code)
    name = f"{row.name} ({further})" if row.name and mark else row.name or code
    return replace(row, name=name, script=further if SCRIPT.fullmatch(further) else row.script)


def bare(code: str) -> str:
    """The code without what follows its underscore: ``aze_Latn`` as ``aze``."""
    return code.partition("_")[0]


def is_known(code: str) -> bool:
    """Whether the table has the language, whichever script (or other mark) the code names."""
    return code in languages() or bare(code) in languages()


def is_pivot(code: str) -> bool:
    """Whether this is English, by its bare code or with its script."""
    return code in PIVOTS


def paper_languages(task: str) -> tuple[str, ...]:
    """The codes of the 22 languages that the published mean of ``task`` includes."""
    return tuple(code for code, row in _shipped().items() if task in row.papers)
