"""What we use of DeepSpeed's insides: all there in the installed version, and done without, with a warning, where it is not."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hyperofa.errors import HyperofaError
from hyperofa.train.checkpoint.unsharded import UnshardedState
from hyperofa.train.engine.engine import Engine
from hyperofa.train.engine.internals import CLIPPING, LAYOUT, LOSS_SCALER, Use, is_usable

REAL = """
import sys
from pathlib import Path
import torch
from hyperofa.train.config import TrainConfig
from hyperofa.train.engine.dsconfig import deepspeed_config
from hyperofa.train.engine.environment import compile_nothing, set_launch_environment
from hyperofa.train.engine.internals import CLIPPING, CLIPPING_3, LAYOUT, LAYOUT_3, OPERATORS, is_usable

set_launch_environment()
import deepspeed
import deepspeed.ops
assert is_usable(OPERATORS, deepspeed.ops)
compile_nothing()  # else DeepSpeed compiles an operator for a minute
deepspeed.init_distributed("gloo", verbose=False)
for stage in (1, 2, 3):
    run = TrainConfig(
        model="m", corpus=Path("c"), run=Path("r"), steps=1, global_batch_size=1, micro_batch_size=1, zero_stage=stage
    )
    model = torch.nn.Linear(3, 3)
    engine, optimizer, *_ = deepspeed.initialize(
        model=model, optimizer=torch.optim.AdamW(model.parameters()), config=deepspeed_config(run, 1, cuda=False)
    )
    for use in (CLIPPING_3, LAYOUT_3) if stage == 3 else (CLIPPING, LAYOUT):
        assert is_usable(use, optimizer), (stage, use)
"""


def test_the_installed_version_has_them_all_in_every_stage() -> None:
    environment = {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    command = ["env", *(f"{key}={value}" for key, value in environment.items()), sys.executable, "-c", REAL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_installed_loss_scaler_has_what_fp16_needs() -> None:
    from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler

    scaler = DynamicLossScaler(2.0, 2.0, 1000, 1.0, 1, False, dtype=torch.float16)
    assert is_usable(LOSS_SCALER, SimpleNamespace(loss_scaler=scaler))


def like_deepspeeds(**changes: Any) -> SimpleNamespace:
    """An optimizer with all that clipping needs."""
    names = (name for name in CLIPPING.names if "(" not in name)
    methods = {
        "scaled_global_norm": lambda norm_type=2: None,
        "unscale_and_clip_grads": lambda grad_groups_flat, total_norm: None,
        "complete_grad_norm_calculation_for_cpu_offload": lambda params: None,
    }
    return SimpleNamespace(**{**dict.fromkeys(names), **methods, **changes})


def test_all_there_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert is_usable(CLIPPING, like_deepspeeds())
    assert not caplog.records


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"scaled_global_norm": lambda: None}, "scaled_global_norm(norm_type)"),
        ({"scaled_global_norm": lambda norm_type, groups: None}, "scaled_global_norm(norm_type)"),
        ({"unscale_and_clip_grads": None}, "unscale_and_clip_grads(grad_groups_flat, total_norm)"),
        ({"clip_grad": ...}, "clip_grad"),
    ],
    ids=["fewer parameters", "one more", "no method", "not there"],
)
def test_one_warning_names_what_is_missing_and_the_version(
    changes: dict[str, Any], missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    import deepspeed

    optimizer = like_deepspeeds(**changes)
    for name in [name for name, value in changes.items() if value is ...]:
        delattr(optimizer, name)
    assert not is_usable(CLIPPING, optimizer)
    (record,) = caplog.records
    start = f"DeepSpeed {deepspeed.__version__} has no {missing}, needed for {CLIPPING.purpose}: "
    assert record.getMessage() == start + CLIPPING.otherwise


def test_a_path_goes_through_first_items_and_may_end_early() -> None:
    use = Use("", "", ("groups.*.*.mapping.start",))
    assert is_usable(use, SimpleNamespace(groups=[[SimpleNamespace(mapping=SimpleNamespace(start=0))]]))
    assert is_usable(use, SimpleNamespace(groups=[[SimpleNamespace(mapping=None)]])), "a rank that holds nothing of it"
    assert is_usable(use, SimpleNamespace(groups=[]))
    assert not is_usable(use, SimpleNamespace(groups=[[SimpleNamespace()]]))
    assert not is_usable(use, SimpleNamespace(groups=5))


def test_ranks_decide_alike() -> None:
    assert not is_usable(CLIPPING, like_deepspeeds(), lambda mine: [mine, ["clip_grad"]])


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_an_engine_of_another_version_goes_deepspeeds_way(stage: int, caplog: pytest.LogCaptureFixture) -> None:
    engine = object.__new__(Engine)
    engine.rank, engine.gather, engine.sum = 0, lambda value: [value], list  # type: ignore[method-assign, assignment]
    engine.deepspeed_config = {"zero_optimization": {"stage": stage}, "fp16": {"enabled": True}}
    flat = torch.full((4,), 3.0)
    moments = {"exp_avg": torch.ones(4), "exp_avg_sq": torch.zeros(4)}
    optimizer = SimpleNamespace()
    engine._ds = SimpleNamespace(optimizer=optimizer, basic_optimizer=SimpleNamespace(state={flat: moments}))
    with caplog.at_level(logging.WARNING):
        engine._adjust(optimizer)
    assert not vars(optimizer)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3, "one warning for each: clipping, the layout of shards, the loss scale"
    assert all("has no" in line for line in said)
    assert engine.norms() == ({"weights": 6.0, "exp_avg": 2.0, "exp_avg_sq": 0.0}, {})
    with pytest.raises(HyperofaError, match="only with the ranks, stage and precision"):
        engine.load_unsharded(UnshardedState((), 0.0, lambda name, kind: flat))


def test_the_layout_names_are_those_of_its_module() -> None:
    """What :mod:`hyperofa.train.engine.partition` reads of an optimizer stands in the table."""
    from inspect import getsource

    from hyperofa.train.engine import internals, partition

    names = {path.partition(".")[0].partition("(")[0] for use in (LAYOUT, internals.LAYOUT_3) for path in use.names}
    read = {word.split("optimizer.")[1] for word in re.findall(r"optimizer\.\w+", getsource(partition))}
    assert read <= names
