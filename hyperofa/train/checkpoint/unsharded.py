"""The unsharded training state: read from the shards of any world size and ZeRO stage, or from a portable copy.

DeepSpeed's own universal checkpoints cannot go from stage 2 to stage 3, are pickled, and give every parameter group the
settings of the first (so biases and embeddings would decay). Here each parameter is put together by itself from the
verified shards, lazily, and the portable copy is plain safetensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from hyperofa.base.files import inside
from hyperofa.errors import InputError
from hyperofa.train.checkpoint.manifest import UNSHARDED_INDEX
from hyperofa_eval.base.files import read_json, write_json

KINDS = ("fp32", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of a parameter: its float32 value and the two moments."""
FILE_BYTES = 4 << 30


@dataclass(frozen=True)
class UnshardedState:
    """Everything AdamW needs to go on, by parameter name.

    Attributes:
        names: of all parameters, tied ones once.
        adam_step: updates that AdamW has made (skipped steps are not among them).
        read: ``read(name, kind)`` gives a flat float32 tensor on the CPU; ``kind`` is one of :data:`KINDS`.
    """

    names: tuple[str, ...]
    adam_step: float
    read: Callable[[str, str], Tensor]


def read_shards(folder: Path, names: Iterable[str]) -> UnshardedState:
    """The state in a checkpoint folder of DeepSpeed shards (ZeRO-1, 2 or 3, one data-parallel dimension).

    Unpickles the files called ``names`` (below ``folder``) and no others: those of a manifest that was verified. The
    files are memory-mapped, so that reading one parameter at a time needs no more memory than that.

    Raises:
        InputError: the shards are not what this version of DeepSpeed writes.
    """
    paths = [folder / name for name in sorted(names)]
    optimizer_files = [path for path in paths if path.name.endswith("_optim_states.pt")]
    optimizer_files.sort(key=lambda path: int(path.name.split("zero_pp_rank_")[1].split("_")[0]))
    model_files = [path for path in paths if path.name.endswith("model_states.pt")]
    if not optimizer_files or not model_files:
        raise InputError("no DeepSpeed shards", where=folder)
    ranks = [_load(path)["optimizer_state_dict"] for path in optimizer_files]
    shapes = _load(model_files[0])["param_shapes"]
    try:
        pieces, adam_step = (_pieces_of_stage_3 if "fp32_flat_groups" in ranks[0] else _pieces)(ranks, shapes)
    except (KeyError, IndexError) as error:
        raise InputError(f"not the layout of this DeepSpeed version ({error!r})", where=folder) from error
    sizes = {name: math.prod(shape) for group in shapes for name, shape in group.items()}

    def read(name: str, kind: str) -> Tensor:
        value = torch.cat([piece(kind) for piece in pieces[name]])[: sizes[name]]
        if value.numel() != sizes[name]:
            raise InputError(f"{name} has {value.numel():,} of {sizes[name]:,} elements", where=folder)
        return value.float()

    return UnshardedState(tuple(sizes), adam_step, read)


def write_unsharded(folder: Path, state: UnshardedState) -> list[str]:
    """Write a state as safetensors files of at most some gigabytes, with an index; returns the names of the files."""
    where: dict[str, str] = {}
    part: dict[str, Tensor] = {}
    files: list[str] = []

    def flush() -> None:
        if part:
            files.append(f"whole-{len(files) + 1:05d}.safetensors")
            save_file(part, folder / files[-1])
            where.update(dict.fromkeys(part, files[-1]))
            part.clear()

    for name in state.names:
        for kind in KINDS:
            part[f"{kind}/{name}"] = state.read(name, kind).clone()
        if sum(tensor.nbytes for tensor in part.values()) >= FILE_BYTES:
            flush()
    flush()
    write_json(folder / UNSHARDED_INDEX, {"adam_step": state.adam_step, "names": list(state.names), "files": where})
    return [UNSHARDED_INDEX, *files]


def read_unsharded(folder: Path) -> UnshardedState:
    """The state that :func:`write_unsharded` wrote."""
    index = read_json(folder / UNSHARDED_INDEX)
    for name in index["files"].values():
        inside(folder, name)

    def read(name: str, kind: str) -> Tensor:
        key = f"{kind}/{name}"
        with safe_open(folder / index["files"][key], framework="pt") as handle:
            tensor: Tensor = handle.get_tensor(key)
        return tensor

    return UnshardedState(tuple(index["names"]), float(index["adam_step"]), read)


_Pieces = dict[str, list[Callable[[str], "Tensor"]]]


def _pieces(ranks: Sequence[Any], shapes: Iterable[Any]) -> tuple[_Pieces, float]:
    """Stages 1 and 2: each rank's flat partition of a group, and which stretch of it belongs to which parameter."""
    pieces: _Pieces = {name: [] for group in shapes for name in group}
    for rank in ranks:
        for number, stretches in enumerate(rank["param_slice_mappings"]):
            moments = rank["base_optimizer_state"]["state"][number]
            flat = {"fp32": rank["single_partition_of_fp32_groups"][number], **moments}
            for name, stretch in stretches.items():
                pieces[name].append(_slice(flat, stretch.start, stretch.numel))
    return pieces, float(ranks[0]["base_optimizer_state"]["state"][0]["step"])


def _pieces_of_stage_3(ranks: Sequence[Any], shapes: Sequence[Any]) -> tuple[_Pieces, float]:
    """Stage 3: each rank's flat group holds an equal share, the last one padded, of every parameter in turn."""
    pieces: _Pieces = {name: [] for group in shapes for name in group}
    for rank in ranks:
        for number, group in enumerate(shapes):
            moments = rank["optimizer_state_dict"]["state"][number]
            flat = {"fp32": rank["fp32_flat_groups"][number], **moments}
            start = 0
            for name, shape in group.items():
                share = math.ceil(math.prod(shape) / len(ranks))
                pieces[name].append(_slice(flat, start, share))
                start += share
    return pieces, float(ranks[0]["optimizer_state_dict"]["state"][0]["step"])


def _slice(flat: dict[str, Any], start: int, count: int) -> Callable[[str], Tensor]:
    return lambda kind: flat[kind].detach()[start : start + count]


def _load(path: Path) -> Any:
    # weights_only=False, for DeepSpeed pickles its shards, with objects of its own in them (loss scaler, addresses of fragments,
    # stage) that change with its version. It is no stranger's pickle: read_shards opens files of a verified manifest alone.
    return torch.load(path, map_location="cpu", mmap=True, weights_only=False)  # its hash is in our manifest
