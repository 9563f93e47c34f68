"""What a tokenizer makes of text, per language (fertility, unknown rate), and saving it with that record."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperofa.base.files import made_by, named_inputs, new_directory
from hyperofa.errors import InputError
from hyperofa.vocab.change import changed_share, whole_text
from hyperofa.vocab.learning.sampling import sample_lines
from hyperofa_eval.base.console import print_json, table
from hyperofa_eval.base.files import write_json
from hyperofa_eval.base.hub import check_name
from hyperofa_eval.text import tokenizer as tokenizers
from hyperofa_eval.text.tokenizer import drops_unknown

log = logging.getLogger(__name__)

MARKER = "training.json"
"""Not ``tokenizer.json``: a model's directory holds one too, and must not be replaced by a tokenizer."""


def load_tokenizer(source: Any) -> Any:
    """The fast tokenizer of a hub id or directory (see :mod:`hyperofa.base.hub`), as the harness loads it.

    A tokenizer that is loaded already is checked and given back.

    Raises:
        DataMissingError: there is none.
        InputError: it cannot be read, is not a fast tokenizer, would cut text otherwise than its SentencePiece file, or fails
            on characters that it lacks.
    """
    name, tokenizer = name_of(source), source
    if isinstance(source, str | Path):
        check_name(str(source))
        tokenizer = tokenizers.load_tokenizer(str(source))
    if not getattr(tokenizer, "is_fast", False):
        raise InputError("not a fast tokenizer (no tokenizer.json can be made of it)", where=name)
    if drops_unknown(tokenizer):
        log.warning("%s: characters that the tokenizer lacks leave no token: it has no unknown token", name)
    return tokenizer


def name_of(source: Any) -> str:
    """What a tokenizer is called: its hub id or directory, or the one that a loaded one came from."""
    return str(source if isinstance(source, str | Path) else getattr(source, "name_or_path", "") or "tokenizer")


def source_lines(files: Mapping[str, Sequence[Path]], seed: int) -> dict[str, list[str]]:
    """A sample of the text of each of the source's own languages, to measure what extending changes there.

    Raises:
        InputError: a language has no text.
    """
    samples = {language: sample_lines(paths, seed) for language, paths in sorted(files.items())}
    for language, lines in samples.items():
        if not lines:
            where = f"{language}: {', '.join(map(str, files[language]))}"
            raise InputError("no words in the text", where=where, todo="give text, or leave it out")
    return samples


def source_changes(source: Any, grown: Any, texts: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """What extending changes for lines of the source's own languages.

    Returns language to ``before`` and ``after`` (see :func:`fertility`) and ``changed``: lines, words, and the share of
    each that is cut differently.
    """
    return {
        language: {
            "before": fertility(source, lines),
            "after": fertility(grown, lines),
            "changed": changed_share(source, grown, lines),
        }
        for language, lines in texts.items()
    }


def fertility(tokenizer: Any, lines: Sequence[str]) -> dict[str, float]:
    """Tokens per word, characters (without spaces) per token and the share of unknown tokens in ``lines``."""
    ids = [token_id for row in whole_text(tokenizer).ids(lines) for token_id in row]
    words = sum(len(line.split()) for line in lines)
    characters = sum(len(word) for line in lines for word in line.split())
    unknown = 0 if tokenizer.unk_token is None else ids.count(tokenizer.unk_token_id)
    return {
        "lines": len(lines),
        "words": words,
        "tokens_per_word": len(ids) / max(words, 1),
        "characters_per_token": characters / max(len(ids), 1),
        "unknown": unknown / max(len(ids), 1),
    }


def save_tokenizer(
    out: Path,
    tokenizer: Any,
    command: str,
    files: Mapping[str, Sequence[Path]],
    settings: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Write the tokenizer's directory atomically, with ``training.json``: the ``record``, and what made it.

    ``files`` are the text files under the names that the record has for them: a language, or ``source-text/LANG``.
    """
    inputs: dict[str, Path] = {}
    for name, paths in files.items():
        inputs |= named_inputs(name, paths)
    with new_directory(out, MARKER) as folder:
        tokenizer.save_pretrained(str(folder))
        write_json(folder / MARKER, {**record, "made_by": made_by(command, inputs, settings)})


def print_record(out: Path, record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print fertility per language, a column for each tokenizer and figure, and what fewer entries would save; or all as JSON."""
    if as_json:
        print_json({"out": str(out), **record})
        return
    names = ("tokens_per_word", "characters_per_token", "unknown")
    heads = {"tokens_per_word": "tokens/word", "characters_per_token": "characters/token", "unknown": "unknown %"}
    which, changes = list(record["fertility"]), record.get("source_text", {})
    columns = [f"{heads[name]} {one}" if len(which) > 1 else heads[name] for name in names for one in which]
    rows: dict[str, Mapping[str, Any]] = {
        language: {one: record["fertility"][one][language] for one in which} for language in record["text"]
    }
    rows |= {f"{language} (source's own)": change for language, change in changes.items()}
    cells = [
        [name, *(row[one][key] * (100 if key == "unknown" else 1) for key in names for one in which)]
        for name, row in rows.items()
    ]
    if changes:
        columns += ["lines cut differently %", "words cut differently %"]
        for row, line in zip(rows.values(), cells, strict=True):
            changed = row.get("changed")
            line += [100 * changed[f"changed_{what}_share"] if changed else "" for what in ("lines", "words")]
    of = f" of {record['source_entries']:,}" if "source_entries" in record else ""
    table(f"{record['entries']:,}{of} entries → {out}", ["language", *columns], cells)
    if sizes := record.get("saved"):
        languages = list(sizes[0]["languages"])
        points = [
            [size["new"], 100 * size["mean"], *(100 * size["languages"][name] for name in languages), _mark(size)]
            for size in sizes
        ]
        table("tokens saved %, by number of new entries", ["new entries", "mean", *languages, ""], points)


def _mark(size: Mapping[str, Any]) -> str:
    return "taken" if size["taken"] else ""
