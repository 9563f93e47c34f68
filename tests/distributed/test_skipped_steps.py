"""A gradient or loss that is not finite: the step is counted and left out on every rank, and too many in a row end the run."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

STEPS = 12
slow = pytest.mark.slow


def poisoned(model: Path, out: Path, row: int | None) -> Path:
    """A copy of the decoder whose input row of one token is NaN, so that every batch with that token is; None: all rows."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, out)
    weights = load_file(out / "model.safetensors")
    weights["model.embed_tokens.weight"][slice(None) if row is None else row] = math.nan
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


@pytest.fixture(scope="session")
def bad(home, tmp_path_factory) -> tuple[Path, set[int]]:
    """A model with one bad row, and the steps (counted from 1) that meet it; in some of them only one of two ranks does."""
    from hyperofa.corpus.batches import Batches
    from hyperofa.corpus.packed import PackedCorpus

    batches = Batches(PackedCorpus.open(home / "corpus"), global_batch=8, seed=0, masking=None)
    met: dict[int, set[tuple[int, int]]] = {}
    for step in range(STEPS):
        for rank in (0, 1):
            for batch in batches.for_rank(step, rank, 2, 4):
                for token in batch.inputs["input_ids"].unique().tolist():
                    met.setdefault(token, set()).add((step + 1, rank))
    steps = {token: {step for step, _ in where} for token, where in met.items()}
    lonely = {token for token, where in met.items() if len(where) < 2 * len(steps[token])}
    token = min((token for token in lonely if len(steps[token]) > 3), key=lambda token: len(steps[token]))
    assert len(steps[token]) < STEPS - 2
    return poisoned(home / "decoder", tmp_path_factory.mktemp("bad") / "decoder", token), steps[token]


def states(run: Path) -> dict[int, dict[str, bytes]]:
    """Weights and moments of every committed step, by name."""
    from hyperofa.train.checkpoint.manifest import committed, read_manifest, step_of
    from hyperofa.train.checkpoint.unsharded import KINDS, read_shards

    found = {}
    for folder in committed(run):
        state = read_shards(folder, read_manifest(folder).files)
        found[step_of(folder)] = {
            f"{name}/{kind}": state.read(name, kind).numpy().tobytes() for name in state.names for kind in KINDS
        }
    return found


CASES = [(1, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16"), (2, "fp16"), (3, "fp16")]


@pytest.mark.parametrize(("stage", "precision"), [(2, "fp32"), *(pytest.param(*case, marks=slow) for case in CASES)])
def test_a_skipped_step_changes_nothing_on_any_rank(trainer, home, bad, stage, precision):
    import torch

    from tests.distributed.conftest import train_plainly

    if precision == "fp16" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        pytest.skip("DeepSpeed refuses fp16 on this processor")
    model, skipped = bad
    settings = {"zero_stage": stage, "precision": precision, "clip": 0.5, "max_skipped": STEPS, "keep": STEPS}
    run = trainer(save_every=1, stop_at=STEPS, **settings).train("run", model=str(model))
    rows = run.rows()
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    found = {row["step"] for row in rows if row["skipped"]}
    assert found >= skipped
    if precision != "fp16":  # whose loss scale has to be found first
        assert found == skipped
    assert {row["step"] for row in rows if "loss" not in row} == skipped
    for step in sorted(found):
        assert f"step {step} skipped: its gradient was not finite" in run.output
    after = states(run.run)
    for step in range(2, STEPS + 1):
        assert (after[step] == after[step - 1]) == (step in found), step
    if precision == "fp32":
        plain = train_plainly(model, home / "corpus", clip=0.5)[:STEPS]
        kept = [step for step in range(1, STEPS + 1) if step not in skipped]
        assert [rows[step - 1]["loss"] for step in kept] == pytest.approx([plain[step - 1] for step in kept], abs=1e-5)


@pytest.mark.parametrize("stage", [pytest.param(1, marks=slow), 3])
def test_too_many_in_a_row_end_the_run(trainer, home, tmp_path, stage):
    model = poisoned(home / "decoder", tmp_path / "all", None)
    broken = trainer(zero_stage=stage, max_skipped=3).train("broken", code=1, model=str(model))
    assert "3 steps in a row without a finite gradient, the last of them 3" in " ".join(broken.output.split())
    assert "Traceback" not in broken.output
    assert [row["skipped"] for row in broken.rows()] == [1, 1, 1]


@slow
def test_a_precision_that_the_device_has_not_is_refused_in_one_line(trainer):
    import torch

    if torch.ops.mkldnn._is_mkldnn_fp16_supported():
        pytest.skip("this processor has fp16")
    refused = trainer(precision="fp16").train("refused", code=2)
    lines = [line for line in refused.output.splitlines() if "error" in line]
    assert len(lines) == 1
    assert "this cpu device has no fp16; set precision to fp32 or bf16" in lines[0]
    assert not refused.run.exists()
