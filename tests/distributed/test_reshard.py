"""Another world size or ZeRO stage: the run goes on with the same losses."""

from __future__ import annotations

import pytest

slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("model", "stage", "ranks", "new_stage", "new_ranks"),
    [
        ("encoder", 2, 2, 3, 1),
        ("encoder", 3, 2, 2, 2),
        pytest.param("encoder", 2, 2, 2, 1, marks=slow),
        pytest.param("encoder", 1, 1, 1, 2, marks=slow),
        pytest.param("encoder", 2, 2, 2, 4, marks=slow),
        pytest.param("encoder", 3, 2, 3, 4, marks=slow),
        pytest.param("decoder", 2, 2, 3, 2, marks=slow),
        pytest.param("decoder", 3, 1, 1, 2, marks=slow),
    ],
)
def test_goes_on_elsewhere(trainer, plain_losses, model, stage, ranks, new_stage, new_ranks):
    runs = trainer(model)
    runs.train("run", stop_at=6, zero_stage=stage, ranks=ranks)
    moved = runs.train("run", stop_at=14, zero_stage=new_stage, ranks=new_ranks)
    assert "taking it apart anew" in moved.output
    assert f"ZeRO-{new_stage} on {new_ranks}" in moved.output
    assert moved.losses() == pytest.approx(plain_losses(model)[:14], abs=1e-5)
