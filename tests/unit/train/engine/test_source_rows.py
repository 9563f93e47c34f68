"""Rows of the source at a rate of their own, and late in a run, beside optimizers that hold nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hyperofa.model.phases import RowMask
from hyperofa.train.config import TrainConfig
from hyperofa.train.engine.source_rows import SharedUpdates

ROWS, WIDTH, PADDING = 7, 3, 2
OLD = torch.tensor([True, True, False, True, False, False, True])


def config(**settings: Any) -> TrainConfig:
    sizes = {"steps": 60, "warmup_steps": 4, "global_batch_size": 8, "micro_batch_size": 4}
    return TrainConfig(model="m", corpus="c", run="r", **{**sizes, **settings})


def gradients(steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(ROWS * WIDTH, generator=generator) * (1 + step) for step in range(steps)]


def sharded(flat: torch.nn.Parameter, taken: int, count: int) -> SimpleNamespace:
    """What a ZeRO-2 optimizer tells of a flat tensor: a bias of two elements, then ``count`` of the matrix from ``taken`` on."""
    place = SimpleNamespace
    bias, matrix = torch.zeros(2), torch.zeros(0)
    bias._hp_mapping = place(hp_fragment_address=place(start=0, numel=2), lp_fragment_address=place(start=0))  # type: ignore[attr-defined]
    matrix._hp_mapping = place(  # type: ignore[attr-defined]
        hp_fragment_address=place(start=2, numel=count), lp_fragment_address=place(start=taken)
    )
    names = {bias: "bias", matrix: "matrix"}
    return place(param_names=names, bit16_groups=[[bias, matrix]], single_partition_of_fp32_groups=[flat])


def moved(settings: TrainConfig, start: torch.Tensor, taken: int, masks: dict[str, dict[str, RowMask]]) -> torch.Tensor:
    """The flat tensor of a rank that holds the matrix from element ``taken`` on, after all steps."""
    share = start.numel() - taken
    flat = torch.nn.Parameter(torch.cat([torch.ones(2), start.reshape(-1)[taken:], torch.zeros(PADDING)]))
    optimizer = torch.optim.AdamW([flat], betas=settings.betas, eps=1e-12, weight_decay=0.0)
    updates = SharedUpdates(sharded(flat, taken, share), optimizer, 0, masks)
    held = OLD.repeat_interleave(WIDTH)[taken:]
    for step, gradient in enumerate(gradients(settings.steps)):
        seen = gradient[taken:].clone()
        if settings.phase_of(step) == "all_but_old_rows":
            seen[held] = 0.0
        flat.grad = torch.cat([torch.full((2,), 0.5), seen, torch.zeros(PADDING)])
        optimizer.param_groups[0]["lr"] = settings.part_rate("embeddings", step)
        updates.shares = settings.shares(step)
        optimizer.step()
    return flat.detach()


def alone(settings: TrainConfig, start: torch.Tensor, part: str, *, after: int = 0) -> torch.Tensor:
    """All rows after the steps from ``after`` on, as AdamW moves them with nothing shared."""
    rows = torch.nn.Parameter(start.reshape(-1).clone())
    optimizer = torch.optim.AdamW([rows], betas=settings.betas, eps=1e-12, weight_decay=0.0)
    rates = {"embeddings": settings.learning_rates.get("embeddings", settings.learning_rate)}
    peak = settings.learning_rates.get("old_rows", rates["embeddings"]) if part == "old_rows" else rates["embeddings"]
    for step, gradient in list(enumerate(gradients(settings.steps)))[after:]:
        rows.grad = gradient
        optimizer.param_groups[0]["lr"] = settings.rate(step) * peak / settings.learning_rate
        optimizer.step()
    return rows.detach()


@pytest.mark.parametrize("taken", [0, 4])
@pytest.mark.parametrize(
    ("settings", "after"),
    [
        ({"learning_rates": {"embeddings": 3e-3, "old_rows": 2e-4}}, 0),
        ({"learning_rates": {"old_rows": 1e-6}}, 0),
        ({"phase": "all_but_old_rows", "phase_steps": 25}, 25),
        ({"phase": "all_but_old_rows", "phase_steps": 25, "betas": (0.0, 0.95)}, 25),
        ({"phase": "all_but_old_rows", "phase_steps": 1, "learning_rates": {"embeddings": 3e-3, "old_rows": 2e-4}}, 1),
    ],
)
def test_rows_of_the_source_move_as_under_an_optimizer_of_their_own(taken: int, settings: Any, after: int) -> None:
    cut = config(**settings)
    start = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1))
    old = OLD.repeat_interleave(WIDTH)
    found = moved(cut, start, taken, {"old_rows": {"matrix": RowMask(OLD, WIDTH)}})
    want = torch.where(old, alone(cut, start, "old_rows", after=after), alone(cut, start, "embeddings"))
    assert torch.allclose(found[2 : 2 + ROWS * WIDTH - taken], want[taken:], rtol=0, atol=1e-6)
    assert not torch.allclose(found[2 : 2 + ROWS * WIDTH - taken], alone(cut, start, "embeddings")[taken:], atol=1e-4)
    assert found[-PADDING:].eq(0).all()


def test_a_stretch_of_rows_is_that_of_the_whole_mask() -> None:
    whole = OLD.repeat_interleave(WIDTH)
    for start in range(len(whole)):
        for count in range(1, len(whole) + PADDING - start + 1):
            assert RowMask(OLD, WIDTH).stretch(start, count).equal(whole[start : start + count])


def test_without_shares_every_bit_is_adamws() -> None:
    plain = config()
    start = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1))
    masks = {"old_rows": {"matrix": RowMask(OLD, WIDTH)}}
    assert not any(plain.shares(step) for step in range(plain.steps))
    assert moved(plain, start, 0, masks)[2:-PADDING].equal(alone(plain, start, "embeddings"))


def test_primitives_join_after_a_phase_but_keep_their_rate() -> None:
    cut = config(phase="new_rows", phase_steps=10, learning_rates={"old_rows": 1e-5, "embeddings": 1e-3})
    assert not cut.shares(9).keys() - {"old_rows"}
    assert cut.shares(10)["old_rows"] == pytest.approx(cut.shares(10)["primitives"] / 100)
