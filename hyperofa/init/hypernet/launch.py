"""Fitting a hypernetwork over several processes: what to fit goes to a folder, ``accelerate launch`` fits it, we read it back."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from hyperofa.base.processes import last_error, run_command
from hyperofa.errors import EXIT_USAGE, HyperofaError, InputError
from hyperofa.init.hypernet import worker
from hyperofa.init.hypernet.fit import FitData, FitReport, fit, start_network
from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.files import read_json, write_json

_BLOCK = 1 << 16


def fit_in_processes(
    data: FitData, network: NetworkConfig, config: FitConfig, *, seed: int, checkpoint: Path | None = None
) -> tuple[nn.Module, FitReport]:
    """:func:`hyperofa.init.hypernet.fit.fit` by ``config.processes`` processes of this machine, on a GPU each if there are any.

    Batches, their order and the loss are those of one process, so its result is too, up to rounding and dropout's draws.

    Raises:
        HyperofaError: there are fewer GPUs than processes, the loss became NaN, or a process died; its log's error is named.
        InputError: a process refused its input.
    """
    if config.processes == 1:
        return fit(data, network, config, seed=seed, checkpoint=checkpoint)
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    if not on_cpu and config.processes > torch.cuda.device_count():
        what = f"{config.processes} processes but {torch.cuda.device_count()} GPUs"
        raise HyperofaError(what, where="hypernetwork", todo="lower processes, or set device=cpu")
    parent = checkpoint.parent if checkpoint else None
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fit-", dir=parent))
    try:
        _write(folder, data)
        settings = dataclasses.asdict(config) | {"device": "cpu" if on_cpu else "auto"}
        task = {"network": dataclasses.asdict(network), "config": settings, "seed": seed, "limit": data.sets.limit}
        where = None if checkpoint is None else str(checkpoint.resolve())
        write_json(folder / worker.TASK, task | {"checkpoint": where, "pid": os.getpid()})
        _run(folder, config, on_cpu)
        model = start_network(data, network, seed)
        model.load_state_dict(load_file(folder / worker.NETWORK))
        return model, FitReport(**read_json(folder / worker.REPORT))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, data: FitData) -> None:
    """The arrays of the task as ``.npy``, with only those word vectors that a token has, numbered anew."""
    sets, targets, groups, vectors = data
    used, indices = np.unique(sets.indices, return_inverse=True)
    small = (sets.starts, indices.astype(np.int64), sets.shares, np.asarray(targets), np.asarray(groups))
    for name, array in zip(worker.ARRAYS, small, strict=False):
        np.save(folder / f"{name}.npy", array)
    kind = np.asarray(vectors[used[:1]]).dtype
    shape = (len(used), vectors.shape[1])
    with (folder / "vectors.npy").open("wb") as file:  # not memory-mapped: a full disk would then kill the process
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(file, header)
        for start in range(0, len(used), _BLOCK):
            file.write(np.ascontiguousarray(vectors[used[start : start + _BLOCK]], dtype=kind).data)


def _run(folder: Path, config: FitConfig, on_cpu: bool) -> None:
    command = ["accelerate", "launch", "--num_processes", str(config.processes), "--num_machines", "1"]
    # "--multi_gpu" means several processes, on CPUs too: "--cpu" would start one and ignore --num_processes.
    command += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", worker.__name__, str(folder)]
    threads = max(1, torch.get_num_threads() // config.processes)
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    if on_cpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    log = folder / "log"
    with progress_bar(f"fitting in {config.processes} processes", config.epochs) as advance:
        done = 0

        def tick(seconds: float) -> signal.Signals | None:
            nonlocal done
            if (folder / worker.EPOCHS).is_file():
                epochs = int(read_json(folder / worker.EPOCHS)["epochs"])
                advance(epochs - done)
                done = epochs
            return None

        finished = run_command(command, log, environment, tick)
    errors = sorted(folder.glob(worker.ERROR.format(rank="*")))
    if errors:  # what the lowest rank said; the others say the same
        first = read_json(errors[0])
        raise (InputError if first["exit_code"] == EXIT_USAGE else HyperofaError)(first["line"])
    if finished.code:
        raise HyperofaError(f"a process ended with code {finished.code}: {last_error(log)}", where="hypernetwork")
