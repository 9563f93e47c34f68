"""The trained model as a model directory: weights, and the tokenizer and provenance of the model it came from."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperofa.errors import DataMissingError
from hyperofa.files import new_directory, versions, write_json

FINAL = "final"
FINAL_MARKER = "train.json"
PROVENANCE = "provenance.safetensors"
"""What ``hyperofa init`` says of every token's row."""
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_WEIGHTS = (
    "model*.safetensors*",
    "pytorch_model*",
    "*.bin",
    "*.h5",
    "*.msgpack",
    "config.json",
    "generation_config.json",
)

log = logging.getLogger(__name__)


def write_final(
    out: Path,
    source: str,
    run_id: str,
    step: int,
    save_model: Callable[[Path], Any],
    facts: dict[str, Any],
    *,
    tokenizer_needed: bool = False,
) -> Path:
    """Write a trained model as a model directory, with the tokenizer and provenance files of the one it came from.

    Args:
        out: the new directory.
        source: directory or hub id of the model it came from.
        run_id: of the run.
        step: after which it was taken.
        save_model: writes weights and config into a folder.
        facts: for its ``train.json``.
        tokenizer_needed: refuse to write a model without one; a finished training keeps its weights all the same.

    Raises:
        DataMissingError: no tokenizer can be had, and one is needed.
    """
    with new_directory(out, FINAL_MARKER) as folder:
        save_model(folder)
        if Path(source).is_dir():
            shutil.copytree(source, folder, ignore=_already_there(folder), dirs_exist_ok=True)
        elif problem := _fetch_tokenizer(source, folder):
            log.warning("%s: %s", source, problem)
        if not any(any(folder.glob(pattern)) for pattern in _TOKENIZERS):
            what = "no tokenizer is there to be written beside the model"
            if tokenizer_needed:
                raise DataMissingError(what, where=source, todo="put the model's tokenizer files there")
            log.warning("%s: %s", source, what)
        write_json(folder / FINAL_MARKER, {"run_id": run_id, "step": step, **facts, "versions": versions()})
    return out


def _fetch_tokenizer(source: str, folder: Path) -> str | None:
    """Save the tokenizer of a hub id, which training has loaded from there before; returns what went wrong, if anything."""
    from transformers import AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(source, trust_remote_code=False).save_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        return f"cannot load its tokenizer ({(str(error).splitlines() or [type(error).__name__])[0]})"
    return None


def _already_there(folder: Path) -> Callable[[str, list[str]], set[str]]:
    """Files of the source model not to copy: weights and configs, whose trained form the folder holds already."""
    weights = shutil.ignore_patterns(*_WEIGHTS, ".*", FINAL_MARKER)
    return lambda path, names: weights(path, names) | {name for name in names if (folder / name).exists()}
