"""Settings of a run, and checkpoint folders made of a few bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperofa.train import checkpoint
from hyperofa.train.checkpoint import FORMAT, NORMS, Manifest
from hyperofa.train.config import TrainConfig

MODEL = "shards/mp_rank_00_model_states.pt"
OPTIMIZER = [f"shards/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1)]
SHARDS = (MODEL, *OPTIMIZER)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., TrainConfig]:
    """A valid config with the given settings replaced; its model and corpus folders exist."""

    def make(**changes: Any) -> TrainConfig:
        (tmp_path / "model").mkdir(exist_ok=True)
        if not (tmp_path / "model" / "config.json").exists():
            (tmp_path / "model" / "config.json").write_text("{}")
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / "corpus.json").write_text("{}")
        values: dict[str, Any] = {
            "model": str(tmp_path / "model"),
            "corpus": tmp_path / "corpus",
            "run": tmp_path / "run",
            "steps": 100,
            "global_batch_size": 32,
        }
        return TrainConfig(**{**values, **changes})

    return make


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Commit a checkpoint with three files, the way the ranks of a run do."""

    def write(step: int, run: Path = tmp_path / "run", run_id: str = "ours") -> Path:
        final = checkpoint.step_folder(run, step)
        temporary = final.with_name(f"{final.name}.tmp")
        (temporary / "shards").mkdir(parents=True)
        for name in SHARDS:
            (temporary / name).write_bytes(f"{name} of step {step}".encode() * 50)
        files = checkpoint.hash_and_sync(temporary, checkpoint.files_below(temporary))
        manifest = Manifest(FORMAT, run_id, step, 2, 2, "fp32", "data", dict.fromkeys(NORMS, 1.0), files)
        checkpoint.commit(temporary, final, manifest)
        return final

    return write
