"""Memory of one GPU under ZeRO."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from hyperofa.cli import main
from hyperofa.train.config import Adapter
from hyperofa.train.engine.dsconfig import deepspeed_config
from hyperofa.train.loading import choose_what_learns
from hyperofa.train.planning.cost import peak_flops, shape_of, shape_of_directory
from hyperofa.train.planning.plan import make_plan
from hyperofa_eval.settings.config import save_config
from tests.unit.train.planning.conftest import decoder, encoder


def test_sharding_divides_what_zero_divides(settings):
    shape = shape_of(encoder(), 0.15)

    def plan(stage: int, world_size: int, **changes):
        config = settings(zero_stage=stage, precision="bf16", micro_batch_size=2, **changes)
        deepspeed = deepspeed_config(config, world_size, cuda=True)
        return make_plan(
            config,
            shape,
            deepspeed,
            world_size=world_size,
            length=512,
            flops_per_second=peak_flops("NVIDIA H100 80GB", "bf16"),
        )

    count = shape.parameters
    parts = ("weights", "gradients", "optimizer")
    assert [plan(1, 4).memory[part] for part in parts] == [2 * count, 2 * count, 12 * -(-count // 4)]
    share = -(-count // 4)  # gradients that are added up over micro-batches are float32 from stage 2 on
    assert [plan(2, 4).memory[part] for part in parts] == [2 * count, 4 * share, 12 * share]
    assert [plan(3, 4).memory[part] for part in parts] == [2 * share, 4 * share, 12 * share]
    assert plan(2, 4, global_batch_size=8).memory["gradients"] == 2 * share
    one, four = plan(2, 1), plan(2, 4)
    assert one.hours == pytest.approx(4 * four.hours)
    assert (one.accumulation, four.accumulation) == (16, 4)
    assert one.tokens == 100 * 32 * 512
    assert plan(2, 4, gradient_checkpointing=True).memory["activations"] < four.memory["activations"]


def test_what_never_learns_takes_no_gradients_and_no_optimizer(settings, tmp_path):
    pytest.importorskip("peft")
    model = decoder()
    model.config.save_pretrained(tmp_path / "m")

    def shape(**changes):
        config = settings(**changes)
        return shape_of_directory(tmp_path / "m", 1.0, partial(choose_what_learns, config))

    whole, adapted = shape(), shape(adapter=Adapter(rank=8))
    frozen = shape(learning_rates={"body": 0.0})
    layers = [layer for layer in model.model.layers.modules() if isinstance(layer, torch.nn.Linear)]
    added = sum(8 * (layer.in_features + layer.out_features) for layer in layers)
    matrices = sum(layer.weight.numel() for layer in layers)
    assert (whole.learning, whole.frozen_body_weights) == (whole.parameters, 0)
    assert adapted.parameters == whole.parameters + added
    assert adapted.learning == whole.embedding_parameters + added
    assert adapted.frozen_body_weights == frozen.frozen_body_weights == matrices
    assert frozen.learning == whole.embedding_parameters
    assert adapted.flops_per_token(64) == whole.flops_per_token(64) + 6 * added - 2 * matrices

    def plan(found, stage):
        config = settings(zero_stage=stage, precision="bf16", micro_batch_size=2)
        deepspeed = deepspeed_config(config, 4, cuda=True)
        return make_plan(config, found, deepspeed, world_size=4, length=64, flops_per_second=1e12)

    share, still = -(-adapted.learning // 4), adapted.parameters - adapted.learning
    for stage, saved in ((2, 2 * adapted.parameters), (3, 2 * still)):
        made = plan(adapted, stage)
        assert (made.memory["gradients"], made.memory["optimizer"]) == (4 * share, 12 * share)
        assert made.checkpoint_bytes == 12 * adapted.learning + saved
        assert made.memory_bytes < plan(whole, stage).memory_bytes


def test_the_head_of_a_sentence_encoder_never_learns(settings, tmp_path):
    model = encoder()
    model.config.save_pretrained(tmp_path / "m")
    config = settings(objective="sentence")
    found = shape_of_directory(tmp_path / "m", config.share_scored, partial(choose_what_learns, config))
    assert found.learning == sum(parameter.numel() for parameter in model.base_model.parameters()) < found.parameters


def test_the_plan_says_how_much_is_trained_and_names_a_wrong_layer(settings, tmp_path, capsys):
    pytest.importorskip("peft")
    decoder().config.save_pretrained(tmp_path / "m")
    save_config(settings(model=str(tmp_path / "m"), adapter=Adapter(rank=8)), tmp_path / "run.yaml")
    words = ["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80"]
    assert main(words) == 0
    assert "are trained)" in capsys.readouterr().out
    assert main([*words[:2], "adapter.targets=[q_prj]", *words[2:]]) == 2
    assert "did you mean 'q_proj'" in capsys.readouterr().err
