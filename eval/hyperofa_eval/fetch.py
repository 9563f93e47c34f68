"""``data fetch``: copies a hub data set (or a local one that ``datasets`` reads) into the layout the harness reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hyperofa_eval.console import LOG
from hyperofa_eval.errors import DataMissingError, InputError
from hyperofa_eval.files import read_json, sha256_file, write_json, write_text
from hyperofa_eval.languages import PIVOT, language

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
        InputError: its columns are none the harness knows.
    """
    import datasets

    datasets.disable_progress_bars()
    written: list[Path] = []
    for code in codes:
        name = None if config is None else config.format(L=code, s=language(code).short or code)
        try:
            found = datasets.load_dataset(source, name, revision=revision)
        except (OSError, ValueError, RuntimeError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataMissingError(f"cannot load {name or 'it'} ({line})", where=source) from None
        for split, rows in found.items():
            written += _write(corpus, code, str(split), rows, out)
    if not written:
        raise DataMissingError("no train, validation or test split", where=source)
    old = read_json(out / "manifest.json")["files"] if (out / "manifest.json").is_file() else {}
    hashes = {path.relative_to(out).as_posix(): sha256_file(path) for path in written}
    write_json(out / "manifest.json", {"schema": 1, "files": {**old, **hashes}})
    LOG.info("%s: %d files written below %s", source, len(written), out)
    return written


def _write(corpus: str, code: str, split: str, rows: Any, out: Path) -> Iterator[Path]:
    name = {"validation": "dev", "dev": "dev", "train": "train", "test": "test"}.get(split)
    if name is None:
        return
    if corpus == "tatoeba":
        if name == "test":
            yield from _pairs(code, rows, out)
        return
    if name != "test" and code != PIVOT:
        return  # only English is trained on
    tokens, tags = _column(rows, TOKEN_COLUMNS), _column(rows, TAG_COLUMNS[corpus])
    label = _labels(rows, tags)
    blocks = [
        "\n".join(f"{token}\t{label(tag)}" for token, tag in zip(row[tokens], row[tags], strict=True)) for row in rows
    ]
    path = out / corpus / code / f"{name}.tsv"
    write_text(path, "\n\n".join(blocks) + "\n")
    yield path


def _pairs(code: str, rows: Any, out: Path) -> Iterator[Path]:
    for other, english in PAIR_COLUMNS:
        if {other, english} <= set(rows.column_names):
            for suffix, column in ((code, other), (PIVOT, english)):
                path = out / "tatoeba" / f"{code}-eng.{suffix}"
                write_text(path, "".join(" ".join(str(line).split()) + "\n" for line in rows[column]))
                yield path
            return
    raise InputError(f"columns {', '.join(rows.column_names)}, none of {PAIR_COLUMNS}", where="data fetch")


def _column(rows: Any, names: Sequence[str]) -> str:
    for name in names:
        if name in rows.column_names:
            return name
    raise InputError(f"columns {', '.join(rows.column_names)}, none of {', '.join(names)}", where="data fetch")


def _labels(rows: Any, column: str) -> Callable[[Any], str]:
    feature: Any = getattr(rows.features[column], "feature", None)
    if hasattr(feature, "int2str"):
        return lambda tag: str(feature.int2str(tag))
    return str
