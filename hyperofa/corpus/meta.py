"""``corpus.json``: what a corpus holds, how it is sampled, and the fingerprint of everything that training reads of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.base.files import inside
from hyperofa.base.sentence_modules import Pooling
from hyperofa.corpus.order import check_sampling
from hyperofa.corpus.settings import LENGTHS
from hyperofa.errors import InputError
from hyperofa_eval.base.files import read_json
from hyperofa_eval.settings.config import build_config

MARKER = "corpus.json"
TOKENS = "tokens.safetensors"
TARGETS = "targets.safetensors"
FORMAT = 2
AGAIN = "prepare the corpus again"
"""What to do about a corpus that cannot be read."""


@dataclass(frozen=True)
class Language:
    """What one language of a corpus holds."""

    name: str  # code, such as ``swh_Latn``
    file: str  # below the corpus directory
    sequences: int
    documents: int
    tokens: int  # special ones included, padding not
    unknown: int  # tokens that are the unknown token
    characters: int
    skipped: int  # empty documents
    sha256: str  # of the file
    typed_special: int = 0  # special tokens that are typed in the text
    own: int = 0  # sentences whose target is the source's vector of themselves (of a corpus of sentences)


@dataclass(frozen=True)
class TokenizerRecord:
    """The tokenizer that made a corpus."""

    name: str
    sha256: str
    size: int
    pad_id: int
    mask_id: int | None
    table_sha256: str  # of the file that says which tokens are special and which continue a word


@dataclass(frozen=True)
class Sampling:
    """Shares of the languages: proportional to ``weight * sequences^(1 / temperature)``, but for those that are replayed."""

    weights: tuple[float, ...]
    temperature: float
    replay: tuple[float, ...] = ()  # share of the tokens that a language makes up, 0 for one that is not replayed


@dataclass(frozen=True)
class Targets:
    """What the sentences of a corpus learn: vectors of a source model."""

    dim: int
    source: str  # the model's name
    source_sha256: str  # of its body
    pooling: Pooling
    normalised: bool  # vectors are scaled to length 1
    prompt: str  # what stands before every sentence, under both tokenizers
    known: tuple[str, ...]  # languages whose sentences' own vectors are targets too
    sha256: str  # of the file with the mean target and the variance

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"targets of {self.dim} numbers")


@dataclass(frozen=True)
class CorpusMeta:
    """The contents of ``corpus.json``."""

    format: int
    length: int
    fingerprint: str
    tokenizer: TokenizerRecord
    sampling: Sampling
    languages: tuple[Language, ...]
    made_by: dict[str, Any]
    targets: Targets | None = None  # None: packed text

    def __post_init__(self) -> None:
        if self.length not in LENGTHS:
            raise ValueError(f"a length of {self.length} is not {LENGTHS}")
        if not self.languages or len(self.sampling.weights) != len(self.languages):
            raise ValueError(f"{len(self.languages)} languages, but {len(self.sampling.weights)} sampling weights")
        if any(language.sequences < 1 for language in self.languages):
            raise ValueError("a language has no sequence")
        if self.sampling.replay and any(language.tokens < 1 for language in self.languages):
            raise ValueError("a language has no tokens")
        if not 0 <= (self.tokenizer.mask_id or 0) < self.tokenizer.size:
            raise ValueError(f"mask_id {self.tokenizer.mask_id} of {self.tokenizer.size} tokens")
        check_sampling(self.sampling.weights, self.sampling.temperature, self.sampling.replay)


def read_meta(directory: Path) -> tuple[dict[str, Any], CorpusMeta]:
    """``corpus.json`` as it is written and as it is meant.

    Raises:
        DataMissingError: there is none.
        InputError: it is of another format, damaged, changed by hand, or names a file outside its folder.
    """
    path = directory / MARKER
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError("not the description of a corpus", where=path, todo=AGAIN)
    if value.get("format") != FORMAT:
        raise InputError(f"corpus format {value.get('format')!r} is not {FORMAT}", where=path, todo=AGAIN)
    try:
        meta = build_config(CorpusMeta, value, path)
    except InputError as error:
        raise InputError(str(error), todo=AGAIN) from None
    for language in meta.languages:
        inside(directory, language.file)
    if meta.fingerprint != fingerprint_of(value):
        raise InputError("it was changed after it was written (its fingerprint is another)", where=path, todo=AGAIN)
    return value, meta


def fingerprint_of(meta: Mapping[str, Any]) -> str:
    """SHA-256 over what decides a run's batches: sequences, their length, tokenizer, table of tokens, and sampling."""
    deciding: dict[str, Any] = {
        "length": meta["length"],
        "tokenizer": {key: meta["tokenizer"][key] for key in ("sha256", "size", "pad_id", "mask_id", "table_sha256")},
        "sampling": meta["sampling"],
        "languages": [[language["name"], language["sequences"], language["sha256"]] for language in meta["languages"]],
    }
    if targets := meta.get("targets"):
        deciding["targets"] = {key: targets[key] for key in ("dim", "pooling", "normalised", "sha256")}
    if meta["sampling"].get("replay"):  # a share of tokens depends on how full the sequences are
        deciding["tokens"] = [language["tokens"] for language in meta["languages"]]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
