"""``data fetch``: copies a hub data set (or a local one that ``datasets`` reads) into the layout the harness reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hyperofa_eval.console import LOG
from hyperofa_eval.errors import DataMissingError, InputError
from hyperofa_eval.files import check_target, read_manifest, sha256_file, write_json, write_text
from hyperofa_eval.languages import PIVOT, language

MANIFEST = "manifest.json"
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
    names = {code: _configuration(config, code) for code in codes}
    import datasets

    datasets.disable_progress_bars()
    written: list[Path] = []
    for code in codes:
        name = names[code]
        try:
            found = datasets.load_dataset(source, name, revision=revision)
        except (OSError, ValueError, RuntimeError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataMissingError(f"cannot load {name or 'it'} ({line})", where=source) from None
        target = _target(code, config)
        files = [
            path for split, rows in _splits(found, code).items() for path in _write(corpus, target, split, rows, out)
        ]
        if not files:
            had = ", ".join(map(str, found))
            LOG.warning("%s: nothing for %s in its splits (%s)", source, code, had)
        written += files
    if not written:
        raise DataMissingError(f"no split to write for {', '.join(codes)}", where=source, todo="see data fetch --help")
    hashes = {path.relative_to(out).as_posix(): sha256_file(path) for path in written}
    write_json(out / MANIFEST, {"schema": 1, "files": {**old, **hashes}})
    LOG.info("%s: %d files written below %s", source, len(written), out)
    return written


def _configuration(config: str | None, code: str) -> str | None:
    if config is None:
        return None
    try:
        return config.format(L=code, s=language(code).short or code)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise InputError(
            "its braces are neither {L} (the code) nor {s} (the two-letter code)", where=f"--config {config!r}"
        ) from None


def _target(code: str, config: str | None) -> str:
    """The code whose files are written: where the configuration is a macro-language's (``zh``), its own code (``zho``)."""
    row = language(code)
    if config is None or "{s" not in config or row.short not in row.aliases:
        return code
    LOG.warning(
        "%s is the code of %s, written as such; it stands for %s with --aliases", row.short, row.aliases[0], code
    )
    return row.aliases[0]


def _splits(found: Any, code: str) -> dict[str, Any]:
    """Rows by train, dev and test. Where a language has a validation set alone, that is its test set."""
    names = {"validation": "dev", "dev": "dev", "train": "train", "test": "test"}
    splits = {names[str(split)]: rows for split, rows in found.items() if str(split) in names}
    if "test" not in splits and "dev" in splits and code != PIVOT:
        LOG.warning("%s has no test split; its validation split is written as one", code)
        splits["test"] = splits.pop("dev")
    return splits


def _write(corpus: str, code: str, name: str, rows: Any, out: Path) -> Iterator[Path]:
    if corpus == "tatoeba":
        if name == "test":
            yield from _pairs(code, rows, out)
        return
    if name != "test" and code != PIVOT:
        return  # only English is trained on
    tokens, tags = _column(rows, TOKEN_COLUMNS), _column(rows, TAG_COLUMNS[corpus])
    label = _labels(rows, tags)
    blocks = []
    for row in rows:
        pairs = [(token, label(tag)) for token, tag in zip(row[tokens], row[tags], strict=True)]
        # Universal Dependencies lists a contraction beside its words, without a tag of its own.
        lines = [f"{token}\t{tag}" for token, tag in pairs if tag != "_"]
        blocks += ["\n".join(lines)] if lines else []
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
