"""Turning a foreign vector file into a store: which keys are kept, under which name, and what was left out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hyperofa.base.files import check_output, made_by
from hyperofa.base.wordkeys import KeyScheme
from hyperofa.errors import InputError
from hyperofa.vectors.readers.gensim import arrays_beside
from hyperofa.vectors.readers.rows import Faults
from hyperofa.vectors.readers.sniffing import reader_for
from hyperofa.vectors.settings import ImportSettings
from hyperofa.vectors.store import MARKER, new_store
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.settings.config import recorded

log = logging.getLogger(__name__)


@dataclass
class ImportSummary:
    """What an import kept (``languages``: words in each) and left out.

    ``malformed`` keys are not of the scheme, ``duplicates`` come a second time, ``unwanted`` are in a language that
    was not asked for; ``bad_rows`` counts skipped rows by what was wrong with them.
    """

    format: str
    languages: dict[str, int] = field(default_factory=dict)
    malformed: int = 0
    duplicates: int = 0
    unwanted: int = 0
    bad_rows: dict[str, int] = field(default_factory=dict)


def import_file(path: Path, out: Path, config: ImportSettings) -> ImportSummary:
    """Write the vectors of ``path`` as a store at ``out``, streaming: the file need not fit into memory.

    ``path`` is a gensim ``.wv``, word2vec text or binary, fastText ``.vec`` or ``.bin``, or plain text; text also as ``.gz``,
    ``.xz``. Stored keys are ``lang:word``, boundary marks kept.

    Raises:
        DataMissingError: a file is not there.
        InputError: a bad row, a damaged file, a pickle that asks for more than vectors, or no word left.
    """
    check_output(out, MARKER)
    name, read = reader_for(path, config.format)
    faults = Faults(path, skip=config.skip_bad)
    rows = read(path, faults)
    summary, seen, meta = ImportSummary(name, bad_rows=faults.counts), set[str](), dict[str, Any]()
    with (
        new_store(out, rows.dim, meta, dtype=config.dtype) as writer,
        progress_bar("importing vectors", None) as advance,
    ):
        for words, vectors in rows.blocks:
            fit = _fitting(words, vectors, writer.dtype, faults)
            keys = _keys([words[row] for row in fit], config, seen, summary)
            writer.append([key for key in keys if key], vectors[fit[[bool(key) for key in keys]]])
            advance(len(words))
        if not writer.count:
            raise InputError("no word left", where=path, todo=_why(summary))
        if absent := sorted(set(config.languages or ()).difference(summary.languages)):
            log.warning("%s: no word of %s", path, ", ".join(absent))
        meta |= {"boundary": config.boundary, "languages": summary.languages}
        meta["left_out"] = {
            what: getattr(summary, what) for what in ("malformed", "duplicates", "unwanted", "bad_rows")
        }
        inputs = {"file": path} | (arrays_beside(path) if name == "gensim" else {})
        meta["made_by"] = made_by("vectors import", inputs, recorded(config) | {"format": name})
    return summary


def _fitting(words: list[str], vectors: np.ndarray, dtype: np.dtype[Any], faults: Faults) -> np.ndarray:
    """The rows whose values ``dtype`` can hold (float16 ends at 65,504); the others are bad rows."""
    fits = np.abs(vectors).max(axis=1, initial=0.0) <= float(np.finfo(dtype).max)
    for row in np.flatnonzero(~fits):
        faults.bad(f"values too large for {dtype.name}", f"word {words[row][:40]!r}")
    return np.flatnonzero(fits)


def _keys(words: list[str], config: ImportSettings, seen: set[str], summary: ImportSummary) -> list[str]:
    """The key ``lang:word`` that each word is stored under, empty where it is left out; ``seen`` are those stored before."""
    scheme = KeyScheme(config.separator, config.default_language, config.boundary)
    stored = KeyScheme(boundary=config.boundary)
    keys = []
    for word in words:
        parsed = scheme.parse(word)
        key = "" if parsed is None else ":".join(parsed)
        if parsed is None or stored.parse(key) != parsed:
            summary.malformed += 1
            key = ""
        elif config.languages is not None and parsed[0] not in config.languages:
            summary.unwanted += 1
            key = ""
        elif key in seen:
            summary.duplicates += 1
            key = ""
        else:
            seen.add(key)
            summary.languages[parsed[0]] = summary.languages.get(parsed[0], 0) + 1
        keys.append(key)
    return keys


def _why(summary: ImportSummary) -> str:
    if summary.unwanted:
        return "check the languages asked for"
    if summary.bad_rows:
        return f"every row is bad: {', '.join(summary.bad_rows)}"
    return "check the separator and the default language" if summary.malformed else "the file holds no vectors"
