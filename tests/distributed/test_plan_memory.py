"""What ``hyperofa plan`` says of weights, gradients and optimizer, against the tensors that two ranks really hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyperofa.train.config import TrainConfig
from hyperofa.train.engine.dsconfig import deepspeed_config
from hyperofa.train.planning.cost import shape_of_directory
from hyperofa.train.planning.plan import make_plan

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def wide(home, tmp_path_factory) -> Path:
    """An encoder whose matrices are above the size that ZeRO-3 keeps whole on every rank."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 1024}
    out = tmp_path_factory.mktemp("wide") / "model"
    BertForMaskedLM(BertConfig(vocab_size=9000, max_position_embeddings=16, **sizes)).save_pretrained(out)
    AutoTokenizer.from_pretrained(home / "tokenizer").save_pretrained(out)
    return out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_parts_are_what_the_engine_holds(home, wide, tmp_path, stage, precision):
    accelerate = str(Path(sys.executable).with_name("accelerate"))
    topology = ["launch", "--config_file", str(HERE.parents[1] / "launch" / "cpu_pair.yaml")]
    words = [str(wide), str(home / "corpus"), str(tmp_path / "run"), str(stage), precision]
    done = subprocess.run(
        [accelerate, *topology, str(HERE / "measure_memory.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "run" / "sizes.json").read_text())
    config = TrainConfig(
        model=str(wide),
        corpus=home / "corpus",
        run=tmp_path / "run",
        steps=2,
        global_batch_size=8,
        micro_batch_size=4,
        zero_stage=stage,
        precision=precision,
    )
    shape = shape_of_directory(wide, 0.15)
    assert shape.parameters == measured["parameters"]
    plan = make_plan(
        config, shape, deepspeed_config(config, 2, cuda=False), world_size=2, length=16, flops_per_second=1e12
    )
    for part in ("weights", "optimizer"):
        assert measured[part] == pytest.approx(plan.memory[part], rel=0.05), part
    # DeepSpeed keeps a rank's own share and what lies in its buckets: between the share and what the plan allows for both.
    element = 4 if precision == "fp32" else 2
    share = element * shape.parameters / 2
    assert 0.95 * share <= measured["gradients"] <= plan.memory["gradients"] + plan.memory["buffers"]
