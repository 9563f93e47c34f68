"""Which model a run began with: a hash of all files of it that decide what the run computes."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hyperofa.base.hub import local_folder
from hyperofa.init.provenance import FILE as PROVENANCE
from hyperofa_eval.base.files import read_json, sha256_file
from hyperofa_eval.text.tokenizer import VOCABULARIES

KEY = "model_fingerprint"
"""Where ``run.json`` holds it."""
DECIDING = (
    "config.json",
    "model*.safetensors",
    "model*.safetensors.index.json",
    PROVENANCE,
    *VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)
"""Weights, config, tokenizer, and which rows are new. What only tells how the model was made is not among them."""


def fingerprint_model(model: str) -> str:
    """SHA-256 over the names and contents of a model's deciding files; of a hub id, those of its present revision.

    All bytes are read, once a launch and by one process, which loads them anyway afterwards: a gigabyte a second or so,
    for each of the files that the weights are split into.

    Raises:
        DataMissingError: the model is a hub id that can not be reached.
    """
    folder = local_folder(model, DECIDING)
    files = sorted({file for pattern in DECIDING for file in folder.glob(pattern) if file.is_file()})
    with ThreadPoolExecutor() as pool:
        lines = [f"{file.name}\0{digest}\n" for file, digest in zip(files, pool.map(sha256_file, files), strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def recorded(run_file: Path) -> str | None:
    """The fingerprint in a run's ``run.json``; None in that of a run begun before there was one."""
    value = read_json(run_file) if run_file.is_file() else None
    fingerprint = value.get(KEY) if isinstance(value, dict) else None
    return fingerprint if isinstance(fingerprint, str) else None


def is_still(run_file: Path, model: str) -> bool:
    """Whether ``model`` is what its run began with, as far as the run knows."""
    known = recorded(run_file)
    return known is None or known == fingerprint_model(model)
