"""Settings of a run, and checkpoint folders made of a few bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperofa.corpus.meta import FORMAT as FORMAT_OF_CORPUS
from hyperofa.corpus.meta import fingerprint_of
from hyperofa.train.checkpoint import manifest as checkpoint
from hyperofa.train.checkpoint.manifest import FORMAT, NORMS, Manifest
from hyperofa.train.checkpoint.rundir import resolve_paths
from hyperofa.train.config import TrainConfig
from hyperofa_eval.settings.config import save_config

MODEL = "shards/mp_rank_00_model_states.pt"
OPTIMIZER = [f"shards/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1)]
SHARDS = (MODEL, *OPTIMIZER)


def corpus_meta(length: int = 512) -> dict[str, Any]:
    """The description of a corpus of one sequence."""
    language = {"name": "eng_Latn", "file": "data/eng_Latn.arrow", "sha256": "", "sequences": 1}
    language |= dict.fromkeys(("documents", "tokens", "unknown", "characters", "skipped"), 0)
    meta: dict[str, Any] = {
        "format": FORMAT_OF_CORPUS,
        "length": length,
        "tokenizer": {"name": "t", "sha256": "", "size": 9, "pad_id": 0, "mask_id": 1, "table_sha256": ""},
        "sampling": {"weights": [1.0], "temperature": 1.0},
        "languages": [language],
        "made_by": {},
    }
    return {**meta, "fingerprint": fingerprint_of(meta)}


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., TrainConfig]:
    """A valid config with the given settings replaced; its model and corpus folders exist."""

    def make(**changes: Any) -> TrainConfig:
        (tmp_path / "model").mkdir(exist_ok=True)
        if not (tmp_path / "model" / "config.json").exists():
            (tmp_path / "model" / "config.json").write_text("{}")
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / "corpus.json").write_text(json.dumps(corpus_meta()))
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


@pytest.fixture
def config_file(settings: Callable[..., TrainConfig], tmp_path: Path) -> Path:
    """The same settings as a file."""
    save_config(settings(), tmp_path / "run.yaml")
    return tmp_path / "run.yaml"


def begin_run(config: TrainConfig, run: Path, run_id: str = "ours") -> None:
    """Write what a run directory holds after its first step."""
    save_config(resolve_paths(config), run / "config.yaml")
    (run / "run.json").write_text(json.dumps({"run_id": run_id}))
    (run / "metrics.jsonl").write_text('{"step": 1}\n')
