from __future__ import annotations

import json

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM

from hyperofa.cli import main
from hyperofa.model.training import TrainingModel
from hyperofa.train.engine.dsconfig import deepspeed_config
from hyperofa.train.planning.cost import peak_flops, shape_of, shape_of_directory
from hyperofa.train.planning.plan import make_plan
from hyperofa_eval.settings.config import save_config

BERT = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 512,
}
LLAMA = {**BERT, "num_key_value_heads": 2, "tie_word_embeddings": False}


def encoder():
    return BertForMaskedLM(BertConfig(**BERT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


def decoder():
    return LlamaForCausalLM(LlamaConfig(**LLAMA))


@pytest.mark.parametrize("make", [encoder, decoder])
def test_parameters_are_counted_from_the_config_alone(make, tmp_path):
    model = make()
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(tmp_path)
    shape = shape_of_directory(tmp_path, 0.15)
    assert shape == shape_of(model, 0.15)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    head = 1000 if make is encoder else 128 * 1000
    assert shape.embedding_parameters == 1000 * 128 + head


@pytest.mark.parametrize("make", [encoder, decoder])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_near_what_torch_stores(make, checkpointing):
    model = TrainingModel(make())
    if checkpointing:
        model.gradient_checkpointing_enable()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    stored: dict[int, int] = {}
    tensors = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        tensors.append(tensor)  # keeps the address from being used again
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            stored[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(5, 1000, (8, 128))
    labels = torch.full_like(ids, -100)
    labels[:, 5] = 7
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(ids, labels)
    real = sum(stored.values())
    planned = shape_of(model.pretrained, 0.15).activation_bytes(ids.numel(), 4, checkpointing=False)
    if checkpointing:
        inputs = 4 * ids.numel() * 4 * 128
        assert 0.5 * inputs < real < planned / 2
    else:
        assert 0.6 < planned / real < 1.6


def test_operations_are_what_the_profiler_counts():
    from torch.utils.flop_counter import FlopCounterMode

    model = encoder().eval()
    model.set_attn_implementation("eager")  # torch does not count the fused kind on the CPU
    ids = torch.randint(5, 1000, (2, 64))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids)
    planned = shape_of(model, 1.0).flops_per_token(64) / 3 * ids.numel()
    assert planned == pytest.approx(counter.get_total_flops(), rel=0.05)


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


def test_the_command(settings, tmp_path, capsys):
    config = settings(precision="bf16")
    BertConfig(**BERT, architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "model")
    (tmp_path / "corpus" / "corpus.json").write_text('{"length": 256}')
    save_config(config, tmp_path / "run.yaml")
    words = ["plan", str(tmp_path / "run.yaml"), "--gpus", "2", "--gpu-memory"]
    assert main([*words, "80", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["fits"] is True
    assert plan["tokens_per_step"] == 32 * 256
    assert main([*words, "0.5"]) == 1
    assert "does not fit" in capsys.readouterr().out
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "3", "--gpu-memory", "80"]) == 2
    assert "no multiple" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--length", "0"], "--length must lie between 1 and"),
        (["--length", "-5"], "--length must lie between 1 and"),
        (["--length", str(10**30)], "--length must lie between 1 and"),
        (["--gpu-memory", "nan"], "--gpu-memory must be above 0"),
        (["--gpu-memory", "inf"], "--gpu-memory must be above 0"),
        (["--mfu", "nan"], "--mfu between 0 and 1"),
        (["--gpu", "abacus"], "unknown GPU 'abacus'"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, tmp_path, capsys, words, said):
    save_config(settings(), tmp_path / "run.yaml")
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": "many"},
        {"hidden_size": None},
        {"num_attention_heads": 0},
        {"num_hidden_layers": [2]},
        {"vocab_size": -3},
    ],
)
@pytest.mark.parametrize("model_type", ["bert", "llama"])
def test_an_ill_typed_model_config_is_one_line(settings, tmp_path, capsys, changes, model_type):
    save_config(settings(), tmp_path / "run.yaml")
    config = {"model_type": model_type, **BERT, **changes}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80"]) in {2, 3}
    error = capsys.readouterr().err
    assert str(tmp_path / "model") in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["[]", "{}", '{"length": "long"}', '{"length": 0}', "{"])
def test_a_malformed_corpus_is_one_line(settings, tmp_path, capsys, text):
    save_config(settings(), tmp_path / "run.yaml")
    (tmp_path / "corpus" / "corpus.json").write_text(text)
    BertConfig(**BERT, architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "model")
    assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80"]) == 2
    error = capsys.readouterr().err
    assert "corpus.json" in error
    assert error.count("\n") == 1


def test_peaks_follow_the_precision(settings, tmp_path, capsys):
    assert peak_flops("NVIDIA H100 80GB HBM3", "bf16") == peak_flops("NVIDIA H100 80GB HBM3", "fp16") == 989e12
    assert peak_flops("NVIDIA H100 80GB HBM3", "fp32") == 67e12
    assert peak_flops("NVIDIA B200", "bf16") == 2250e12
    assert peak_flops("NVIDIA L40S", "bf16") == 362e12  # not the L4's
    BertConfig(**BERT, architectures=["BertForMaskedLM"]).save_pretrained(tmp_path / "model")
    hours = {}
    for precision in ("bf16", "fp32"):
        save_config(settings(precision=precision), tmp_path / "run.yaml")
        assert main(["plan", str(tmp_path / "run.yaml"), "--gpus", "1", "--gpu-memory", "80", "--json"]) == 0
        hours[precision] = json.loads(capsys.readouterr().out)["hours"]
    assert hours["fp32"] == pytest.approx(hours["bf16"] * 989 / 67)
