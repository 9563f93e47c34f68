"""The same numbers however the global batch is cut, and in every precision and with offload the same bits on resume."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
OFFLOAD = Path(__file__).parents[2] / "ds_configs" / "zero3_offload.json"


@pytest.mark.parametrize("model", ["encoder", "decoder"])
@pytest.mark.parametrize("micro_batch_size", [1, 4])
def test_one_by_four_equals_four_by_one(trainer, plain_losses, model, micro_batch_size):
    run = trainer(model).train("cut", micro_batch_size=micro_batch_size)
    assert run.facts()["accumulation"] == 4 // micro_batch_size
    assert run.losses() == pytest.approx(plain_losses(model), abs=1e-5)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_rank_without_a_masked_token(trainer, plain_losses, stage):
    run = trainer(zero_stage=stage).train("sparse", mask_rate=0.01)
    targets = [row["masked_tokens"] for row in run.rows()]
    assert min(targets) <= 1, "no step in which a rank had nothing to score"
    assert run.losses() == pytest.approx(plain_losses("encoder", 0.01), abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{"precision": "bf16", "zero_stage": 1}, {"precision": "bf16", "zero_stage": 3}, {"ds_config": str(OFFLOAD)}],
    ids=["bf16-1", "bf16-3", "offload"],
)
def test_resumes_to_the_bit(trainer, settings):
    runs = trainer(**settings)
    straight = runs.train("straight")
    runs.train("halves", stop_at=17)
    halves = runs.train("halves")
    assert straight.losses() == halves.losses()
    assert straight.same_weights(halves)
    assert straight.losses()[-1] < straight.losses()[0]


def test_a_phase_moves_only_what_it_names(trainer, home):
    from safetensors.torch import load_file

    run = trainer().train("phase", phase="embeddings", phase_steps=40)
    before, after = load_file(home / "encoder" / "model.safetensors"), run.weights()
    changed = {name for name in after if not after[name].equal(before[name])}
    assert changed
    assert all("word_embeddings" in name or "predictions" in name for name in changed), changed
    assert not any("transform" in name for name in changed)


def test_gradient_checkpointing_changes_nothing(trainer, plain_losses):
    run = trainer("decoder").train("checkpointing", gradient_checkpointing=True)
    assert run.losses() == pytest.approx(plain_losses("decoder"), abs=1e-5)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_what_a_phase_holds_still_is_not_clipped_by(trainer, plain_losses, stage):
    settings = {"clip": 0.05, "phase": "embeddings", "phase_steps": 20}
    run = trainer(zero_stage=stage).train("phase", **settings)
    assert run.losses() == pytest.approx(plain_losses("encoder", **settings), abs=1e-5)


@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++"))), reason="no C++ compiler, which torch's compiler needs on a CPU"
)
@pytest.mark.parametrize("model", ["encoder", "decoder"])
def test_compiling_changes_nothing(trainer, plain_losses, model):
    run = trainer(model).train("compiled", compile=True)
    assert run.losses() == pytest.approx(plain_losses(model), abs=1e-4)
