"""``data fetch``: copies a hub data set (or a local one that ``datasets`` reads) into the layout the harness reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hyperofa_eval.base.errors import DataMissingError, InputError, first_line
from hyperofa_eval.base.files import MANIFEST, check_target, read_manifest, sha256_file, write_json, write_text
from hyperofa_eval.data.readers import SCHEME_OF
from hyperofa_eval.data.writable import Kept
from hyperofa_eval.languages import PIVOT, bare, is_pivot, language

log = logging.getLogger(__name__)

CODE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]+)*")
"""What may name a folder: never a path."""
TOKEN_COLUMNS = ("tokens", "words", "form")
TAG_COLUMNS = {"ner": ("ner_tags", "tags", "labels"), "pos": ("upos", "pos_tags", "tags")}
PAIR_COLUMNS = (("sentence1", "sentence2"), ("source_sentence", "target_sentence"))


def fetch(
    corpus: str, source: str, codes: Sequence[str], out: Path, *, config: str | None = None, revision: str | None = None
) -> list[Path]:
    """Download ``source`` and write it below ``out``; returns the files, whose hashes go to ``manifest.json``.

    ``config`` names the configuration of one language, with ``{L}`` for its code and ``{s}`` for its two-letter code
    (``{s}`` for WikiANN). For pairs the column of English is the second of ``sentence1``/``sentence2``.

    Raises:
        DataMissingError: the hub does not have it, or cannot be reached.
        InputError: its columns are none the harness knows, or ``config`` or ``out`` cannot be used.
    """
    check_target(out)
    old = read_manifest(out / MANIFEST) if (out / MANIFEST).is_file() else {}
    codes = list(dict.fromkeys(codes))
    for code in codes:
        if not CODE.fullmatch(code):
            todo = "write one such as tur or tur_Latn"
            raise InputError(f"{code!r} is no language code", where="--languages", todo=todo)
    names = {code: _configuration(config, code) for code in codes}
    import datasets

    datasets.disable_progress_bars()
    texts: dict[Path, str] = {}
    for code, name in names.items():
        try:
            dataset = datasets.load_dataset(source, name, revision=revision)
        except (OSError, ValueError, RuntimeError) as error:
            raise DataMissingError(f"cannot load {name or 'it'} ({first_line(error)})", where=source) from None
        target = _target(code, config)
        files: dict[Path, str] = {}
        for split, rows in _splits(dataset, code).items():
            files.update(_texts(corpus, target, split, rows, out))
        if not files:
            log.warning("%s: nothing for %s in its splits (%s)", source, code, ", ".join(map(str, dataset)))
        texts |= files
    if not texts:
        raise DataMissingError(f"no split to write for {', '.join(codes)}", where=source, todo="see data fetch --help")
    for path, text in texts.items():
        write_text(path, text)
    hashes = {path.relative_to(out).as_posix(): sha256_file(path) for path in texts}
    write_json(out / MANIFEST, {"schema": 1, "files": {**old, **hashes}})
    log.info("%s: %d files written below %s", source, len(texts), out)
    return list(texts)


def _configuration(config: str | None, code: str) -> str | None:
    if config is None:
        return None
    try:
        return config.format(L=code, s=language(code).short or bare(code))
    except (KeyError, IndexError, ValueError, AttributeError):
        what = "its braces are neither {L} (the code) nor {s} (the two-letter code)"
        raise InputError(what, where=f"--config {config!r}") from None


def _target(code: str, config: str | None) -> str:
    """The code whose files are written: where the configuration is a macro-language's (``zh``), its own code (``zho``)."""
    row = language(code)
    if config is None or "{s" not in config or row.short not in row.aliases:
        return code
    alias = row.aliases[0]
    log.warning("%s is the code of %s, written as such; it stands for %s with --aliases", row.short, alias, code)
    return alias


def _splits(dataset: Any, code: str) -> dict[str, Any]:
    """Rows by train, dev and test. Where a language has a validation set alone, that is its test set."""
    names = {"validation": "dev", "dev": "dev", "train": "train", "test": "test"}
    splits = {names[str(split)]: rows for split, rows in dataset.items() if str(split) in names}
    if "test" not in splits and "dev" in splits and not is_pivot(code):
        log.warning("%s has no test split; its validation split is written as one", code)
        splits["test"] = splits.pop("dev")
    return splits


def _texts(corpus: str, code: str, name: str, rows: Any, out: Path) -> Iterator[tuple[Path, str]]:
    """The files of one split, and what is to be written to each."""
    if corpus == "tatoeba":
        if name == "test":
            yield from _pairs(code, rows, out)
        return
    if name != "test" and not is_pivot(code):
        return  # only English is trained on
    path = out / corpus / code / f"{name}.tsv"
    tokens, tags = _column(rows, TOKEN_COLUMNS), _column(rows, TAG_COLUMNS[corpus])
    label = _labels(rows, tags)
    kept = Kept(path.relative_to(out).as_posix(), "sentences")
    blocks = [
        "\n".join(f"{token}\t{tag}" for token, tag in sentence)
        for row in rows
        if (sentence := kept.sentence(row[tokens], row[tags], label, SCHEME_OF[corpus]))
    ]
    kept.report(len(blocks))
    yield path, "\n\n".join(blocks) + "\n"


def _pairs(code: str, rows: Any, out: Path) -> Iterator[tuple[Path, str]]:
    for other, english in PAIR_COLUMNS:
        if {other, english} <= set(rows.column_names):
            kept = Kept(f"tatoeba/{code}-eng", "pairs")
            pairs = [pair for both in zip(rows[other], rows[english], strict=True) if (pair := kept.pair(*both))]
            kept.report(len(pairs))
            for side, suffix in enumerate((code, PIVOT)):
                yield out / "tatoeba" / f"{code}-eng.{suffix}", "".join(pair[side] + "\n" for pair in pairs)
            return
    raise InputError(f"columns {', '.join(rows.column_names)}, none of {PAIR_COLUMNS}", where="data fetch")


def _column(rows: Any, names: Sequence[str]) -> str:
    if column := next((name for name in names if name in rows.column_names), None):
        return column
    raise InputError(f"columns {', '.join(rows.column_names)}, none of {', '.join(names)}", where="data fetch")


def _labels(rows: Any, column: str) -> Callable[[Any], str]:
    """What names a tag: the data set's list of names, where it has one."""
    feature: Any = getattr(rows.features[column], "feature", None)
    names = getattr(feature, "names", None)
    if names is None:
        return str
    return lambda tag: str(names[tag]) if isinstance(tag, int) and 0 <= tag < len(names) else str(tag)
