"""The input embeddings of any model of transformers, without the rest of it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModel

from hyperofa.base.hub import local_folder
from hyperofa.base.rows import RowTable
from hyperofa.errors import DataMissingError, InputError
from hyperofa.model.families import is_factorized
from hyperofa.model.pretrained import load_source, read_config

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def read_embeddings(model: str) -> RowTable:
    """The input embeddings (V, D) of a model (a directory, or a hub id) of any family, in the dtype that they are stored in.

    Only the tensor is read; on the hub, only the file that holds it is fetched.

    Raises:
        DataMissingError: there is no such model, or no safetensors weights with its embeddings.
        InputError: transformers knows no such model, or its embeddings are no matrix.
    """
    config = read_config(model)
    if is_factorized(config):
        return RowTable(load_source(model).input_embeddings)
    with torch.device("meta"):  # the name of the tensor is wanted, not weights
        try:
            empty = AutoModel.from_config(config)
            weight = empty.get_input_embeddings().weight
        except (ValueError, AttributeError, NotImplementedError) as error:
            line = str(error).strip().splitlines()[0][:200]
            raise InputError(f"cannot tell where its embeddings are ({line})", where=model) from error
    name = next(name for name, parameter in empty.named_parameters() if parameter is weight)
    todo = "name a directory with config.json and model.safetensors"
    try:
        for file in _files(model, name):
            with safe_open(file, framework="pt") as tensors:
                keys = tensors.keys()
                if held := [key for key in keys if _is(key, name)]:
                    found = tensors.get_tensor(min(held, key=len))
                    if found.ndim != 2 or not found.is_floating_point():
                        raise InputError(f"its embeddings are of shape {tuple(found.shape)}", where=model)
                    return RowTable(found)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataMissingError(f"cannot load the embeddings ({error})", where=model, todo=todo) from error
    raise DataMissingError(f"no tensor {name} in its safetensors weights", where=model, todo=todo)


def _is(key: str, name: str) -> bool:
    """Whether a tensor is the one called ``name`` in the bare model: checkpoints put a prefix before it, or leave one out."""
    return key == name or key.endswith(f".{name}") or name.endswith(f".{key}")


def _files(model: str, name: str) -> list[Path]:
    """The files of a model's weights in which the tensor may be."""
    folder = local_folder(model, ["config.json", _INDEX])
    if (folder / _INDEX).is_file():
        shards = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"]
        names = sorted({file for key, file in shards.items() if _is(key, name)})
    else:
        names = [_WHOLE]
    folder = local_folder(model, names)
    return [folder / file for file in names if (folder / file).is_file()]
