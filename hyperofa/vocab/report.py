"""What a tokenizer makes of text, per language (fertility, unknown rate), and saving it with that record."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hyperofa.console import print_json, table
from hyperofa.errors import DataMissingError, InputError
from hyperofa.files import made_by, named_inputs, new_directory, write_json
from hyperofa.hub import only_a_path
from hyperofa.textfiles import read_lines
from hyperofa.vocab.checks import check_unknown

MARKER = "training.json"
"""Not ``tokenizer.json``: a model's directory holds one too, and must not be replaced by a tokenizer."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
)
"""Files of which a directory with a tokenizer holds one."""
SAMPLE_LINES = 2_000
"""Lines per language on which fertility is counted, from the start of its files."""

Fertility = dict[str, dict[str, float]]
"""Language to ``tokens_per_word``, ``characters_per_token``, ``unknown`` (share of tokens) and ``words``."""


def load_tokenizer(source: str, *, bare_ids: bool = True) -> Any:
    """The fast tokenizer of a hub id or directory; what can only be a path is never asked for at the hub.

    ``bare_ids`` False takes a name without a slash for a directory too (the hub has few of them, and a mistyped directory
    is not worth minutes of asking there).

    Raises:
        DataMissingError: there is none, or it cannot be read.
        InputError: it is not a fast tokenizer, or fails on characters that it lacks.
    """
    from transformers import AutoTokenizer

    path = Path(source)
    if path.is_dir():
        if not any((path / name).is_file() for name in TOKENIZER_FILES):
            todo = "name a directory that holds a tokenizer"
            raise DataMissingError("no tokenizer.json in the directory", where=source, todo=todo)
    elif only_a_path(source) or (not bare_ids and "/" not in source):
        raise DataMissingError(
            "no such directory", where=source, todo="name a tokenizer's directory, or a hub's OWNER/NAME"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever a damaged file leads to
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        raise DataMissingError(f"cannot load the tokenizer ({reason})", where=source) from error
    if not tokenizer.is_fast:
        raise InputError("not a fast tokenizer (no tokenizer.json can be made of it)", where=source)
    check_unknown(tokenizer, source)
    return tokenizer


def text_fertility(tokenizer: Any, files: Mapping[str, Sequence[Path]]) -> Fertility:
    """Fertility per language on the first :data:`SAMPLE_LINES` lines of its files.

    Words are what spaces separate; where a script has none, ``characters_per_token`` is the figure to compare.
    """
    found: Fertility = {}
    for language, paths in sorted(files.items()):
        lines = list(islice((line for path in paths for line in read_lines(path) if line.strip()), SAMPLE_LINES))
        found[language] = fertility(tokenizer, lines)
    return found


def fertility(tokenizer: Any, lines: Sequence[str]) -> dict[str, float]:
    """Tokens per word, characters (without spaces) per token and the share of unknown tokens in ``lines``."""
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.no_truncation()  # some tokenizers cut or pad on their own, as sentence-transformers' do
    backend.no_padding()
    encoded = backend.encode_batch_fast(list(lines), add_special_tokens=False)
    ids = [token_id for item in encoded for token_id in item.ids]
    words = sum(len(line.split()) for line in lines)
    characters = sum(len(word) for line in lines for word in line.split())
    unknown = 0 if tokenizer.unk_token is None else ids.count(tokenizer.unk_token_id)
    return {
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
    report: Mapping[str, Fertility],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write the tokenizer's directory atomically, with ``training.json``: what made it, its fertility, and ``more``."""
    inputs: dict[str, Path] = {}
    for language, paths in files.items():
        inputs |= named_inputs(language, paths)
    with new_directory(out, MARKER) as folder:
        tokenizer.save_pretrained(str(folder))
        record = {"entries": len(tokenizer), "fertility": dict(report), "made_by": made_by(command, inputs, settings)}
        record |= more or {}
        write_json(folder / MARKER, record)


def print_fertility(
    out: Path, size: int, report: Mapping[str, Fertility], *, as_json: bool, more: Mapping[str, Any] | None = None
) -> None:
    """Print fertility per language, one group of columns for each tokenizer in ``report``; as JSON, ``more`` too."""
    if as_json:
        print_json({"out": str(out), "entries": size, "fertility": dict(report), **(more or {})})
        return
    names = ("tokens_per_word", "characters_per_token", "unknown")
    heads = {"tokens_per_word": "tokens/word", "characters_per_token": "characters/token", "unknown": "unknown %"}
    several = len(report) > 1
    columns = [f"{heads[name]} {which}" if several else heads[name] for name in names for which in report]
    languages = list(next(iter(report.values())))
    rows = [
        [
            language,
            *(report[which][language][name] * (100 if name == "unknown" else 1) for name in names for which in report),
        ]
        for language in languages
    ]
    table(f"{size:,} entries → {out}", ["language", *columns], rows)
