"""One process of ``accelerate launch … -m hyperofa.init.hypernet.worker FOLDER``; see :mod:`.launch`, which starts it."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import psutil
from safetensors.torch import save_file
from scipy.sparse import csr_matrix

from hyperofa.init.hypernet.fit import FitData, fit
from hyperofa.init.hypernet.sets import WordSets
from hyperofa.init.hypernet.settings import FitConfig, NetworkConfig
from hyperofa.init.hypernet.team import AcceleratedTeam
from hyperofa_eval.base.cpu import speed_up_cpu
from hyperofa_eval.base.files import read_json, write_json
from hyperofa_eval.base.guard import explain

ARRAYS = ("starts", "indices", "shares", "targets", "groups", "vectors")
TASK, ERROR, NETWORK = "task.json", "error-{rank}.json", "network.safetensors"
REPORT, EPOCHS = "report.json", "epochs.json"


def main(folder: Path) -> int:
    """Fit what ``folder`` describes; the first process leaves the network, the report and its progress there."""
    speed_up_cpu()
    task = read_json(folder / TASK)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    words = csr_matrix((arrays["shares"], arrays["indices"], arrays["starts"]))
    config = FitConfig(**task["config"])
    team = AcceleratedTeam(config.device)

    def after_epoch(epochs: int) -> None:
        if team.rank == 0:
            write_json(folder / EPOCHS, {"epochs": epochs})
        if not psutil.pid_exists(task["pid"]):  # whoever asked was killed: nobody waits for this
            os._exit(1)

    try:
        sets = WordSets(words, np.arange(words.shape[0]), limit=task["limit"])
        network, report = fit(
            FitData(sets, np.array(arrays["targets"]), np.array(arrays["groups"]), arrays["vectors"]),
            NetworkConfig(**task["network"]),
            config,
            seed=task["seed"],
            checkpoint=Path(task["checkpoint"]) if task["checkpoint"] else None,
            team=team,
            after_epoch=after_epoch,
        )
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        # Each process writes: the first to end may take the others with it.
        write_json(folder / ERROR.format(rank=team.rank), {"line": failure.line, "exit_code": failure.exit_code})
        return failure.exit_code
    if team.rank == 0:
        tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(tensors, folder / NETWORK)
        write_json(folder / REPORT, dataclasses.asdict(report))
    team.leave()
    return 0


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # unloading torch would at times abort on one of gloo's threads, after all is written
