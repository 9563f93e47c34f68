"""A decoder of 401,145 rows x 4,096: built and cut for many ranks on the meta device, and planned, without its 40 GB."""

from __future__ import annotations

import json
import resource

import pytest
import torch

from hyperofa.cli import main
from hyperofa.model.families import FAMILIES
from hyperofa.model.training import TrainingModel
from hyperofa.train.planning.cost import shape_of_directory
from hyperofa_eval.settings.config import save_config

VOCABULARY, WIDTH, LAYERS, INNER = 401_145, 4096, 32, 14_336
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": INNER,
    "tie_word_embeddings": False,
}
BODY = LAYERS * (2 * WIDTH * WIDTH + 2 * WIDTH * 1024 + 3 * WIDTH * INNER + 2 * WIDTH) + WIDTH


def config_of(rank: int | None):
    family = FAMILIES["llama"]
    if rank is None:
        from transformers import LlamaConfig

        return LlamaConfig(**SHAPE, architectures=["LlamaForCausalLM"])
    return family.factorized_config(**SHAPE, embedding_rank=rank, head_rank=rank)


@pytest.mark.parametrize("rank", [None, 400])
def test_is_planned_from_its_config_alone(settings, tmp_path, capsys, rank):
    config = settings(zero_stage=3, precision="bf16", micro_batch_size=1)
    config_of(rank).save_pretrained(tmp_path / "model")
    shape = shape_of_directory(tmp_path / "model", 0.15)
    table = VOCABULARY * WIDTH if rank is None else VOCABULARY * rank + rank * WIDTH
    assert shape.embedding_parameters == 2 * table
    assert shape.parameters == 2 * table + BODY
    save_config(config, tmp_path / "run.yaml")
    (tmp_path / "corpus" / "corpus.json").write_text('{"length": 4096}')
    words = ["plan", str(tmp_path / "run.yaml"), "--gpu-memory", "80", "--json", "--gpus"]
    found = {}
    for gpus in (1, 8):
        code = main([*words, str(gpus)])
        found[gpus] = json.loads(capsys.readouterr().out)
        assert (code == 0) == found[gpus]["fits"]
    assert [found[gpus]["fits"] for gpus in (1, 8)] == [False, True]
    assert found[8]["memory"]["optimizer"] == 12 * -(-shape.parameters // 8)
    assert found[8]["checkpoint_bytes"] == 12 * shape.parameters
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8e6  # kB; the unfactorised model alone has 41 GB


def test_is_built_and_cut_on_the_meta_device():
    """What ``load_for_training`` builds, with nothing behind it; every rank's ZeRO-3 share adds up to the whole."""
    from hyperofa.model import parameter_groups

    family = FAMILIES["llama"]
    with torch.device("meta"):
        model = TrainingModel(family.factorized_class(family.lm_kind)(config_of(400)), dropout=0.0)
    assert all(parameter.is_meta for parameter in model.parameters())
    groups = parameter_groups(model, weight_decay=0.01)
    sizes = {group["name"]: sum(parameter.numel() for parameter in group["params"]) for group in groups}
    assert sizes["embeddings"] == 2 * VOCABULARY * 400
    assert sizes["primitives"] == 2 * 400 * WIDTH
    assert sum(sizes.values()) == 2 * (VOCABULARY * 400 + 400 * WIDTH) + BODY
    parameters = [parameter for group in groups for parameter in group["params"]]
    for ranks in (2, 7, 64):
        share = sum(-(-parameter.numel() // ranks) for parameter in parameters)
        assert 0 <= share * ranks - sum(sizes.values()) < ranks * len(parameters)
