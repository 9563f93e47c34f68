"""The trained model as a model directory: weights, and the tokenizer and provenance of the model it came from."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperofa.base.files import new_directory, versions
from hyperofa.base.hub import local_folder
from hyperofa.base.sentence_modules import carry_sentence_modules
from hyperofa.errors import DataMissingError, HyperofaError
from hyperofa.init.provenance import FILE as PROVENANCE
from hyperofa_eval.base.files import read_json, write_json
from hyperofa_eval.base.hub import is_hub_id
from hyperofa_eval.text.tokenizer import has_vocabulary, load_tokenizer

FINAL = "final"
FINAL_MARKER = "train.json"
_WRITTEN = ("init.json", PROVENANCE)
_WEIGHTS = (
    "model*.safetensors*",
    "pytorch_model*",
    "*.bin",
    "*.h5",
    "*.msgpack",
    "*.onnx*",
    "*.ot",
    "onnx",
    "openvino",
    "config.json",
    "generation_config.json",
)

log = logging.getLogger(__name__)


def write_final(
    out: Path,
    source: str | None,
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
        source: directory or hub id of the model it came from; None leaves out what would be copied from there.
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
        if source is not None and (problem := _copy_companions(source, folder)):
            log.warning("%s: %s", source, problem)
        if not has_vocabulary(folder):
            what = "no tokenizer is there to be written beside the model"
            if tokenizer_needed:
                raise DataMissingError(what, where=source, todo="put the model's tokenizer files there")
            log.warning("%s: %s", source or out, what)
        write_json(folder / FINAL_MARKER, {"run_id": run_id, "step": step, **facts, "versions": versions()})
        _write_card(folder, step, dense=bool(facts.get("dense")))
    return out


def _write_card(folder: Path, step: int, *, dense: bool) -> None:
    """The model card anew, where ``hyperofa init`` wrote one: what was copied is of the model before training."""
    if not (folder / "init.json").is_file():
        return
    from hyperofa.init.quality.card import write_card

    try:
        write_card(folder, {**read_json(folder / "init.json"), "trained_steps": step, "dense": dense})
    except (HyperofaError, KeyError, TypeError, AttributeError) as error:  # of an earlier version, or damaged
        log.warning("no new model card: init.json cannot be used (%s)", error)


def _copy_companions(source: str, folder: Path) -> str | None:
    """Copy what a model has beside weights and config: tokenizer, provenance, the modules of sentence-transformers.

    Returns what went wrong, if anything.
    """
    try:
        if is_hub_id(source):
            _fetch_companions(source, folder)
        else:
            shutil.copytree(source, folder, ignore=_not_to_copy(Path(source), folder), dirs_exist_ok=True)
        carry_sentence_modules(source, folder)
    except (HyperofaError, OSError, ValueError, KeyError) as error:
        return f"cannot copy all that belongs to it ({(str(error).splitlines() or [type(error).__name__])[0]})"
    return None


def _fetch_companions(source: str, folder: Path) -> None:
    """The tokenizer of a hub id, which training has loaded from there before, and what ``hyperofa init`` wrote of it."""
    load_tokenizer(source).save_pretrained(folder)
    place = local_folder(source, _WRITTEN)
    for name in _WRITTEN:
        if (place / name).is_file():
            shutil.copyfile(place / name, folder / name)


def _not_to_copy(source: Path, folder: Path) -> Callable[[str, list[str]], set[str]]:
    """Files of the source model not to copy: weights and configs, whose trained form the folder holds already."""
    weights = shutil.ignore_patterns(*_WEIGHTS, ".*", FINAL_MARKER)
    return lambda path, names: (
        weights(path, names) | {name for name in names if (folder / Path(path).relative_to(source) / name).is_file()}
    )
