"""Adapters in a real run: the losses of plain torch, on any ranks and stage, the bits of an undisturbed run, a plain model."""

from __future__ import annotations

import os
import signal

import pytest

from hyperofa.cli import main

pytest.importorskip("peft")
slow = pytest.mark.slow
ADAPTER = {"rank": 4, "alpha": 8.0}
MODELS = ("encoder", "decoder", "factorised-decoder")


def is_plain(model, loaded):
    """Whether a directory loads as a plain model of its kind, with all its weights and no others."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    import hyperofa.model  # noqa: F401  registers the factorised families

    kind = AutoModelForMaskedLM if model == "encoder" else AutoModelForCausalLM
    _, info = kind.from_pretrained(loaded, output_loading_info=True)
    return not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])


@pytest.mark.parametrize(
    ("model", "stage", "ranks", "new_stage", "new_ranks"),
    [
        ("encoder", 2, 2, 3, 1),
        pytest.param("encoder", 3, 2, 1, 2, marks=slow),
        pytest.param("decoder", 1, 1, 2, 2, marks=slow),
        pytest.param("factorised-decoder", 3, 1, 2, 4, marks=slow),
    ],
)
def test_goes_on_elsewhere_and_ends_as_a_plain_model(
    trainer, plain_losses, home, tmp_path, model, stage, ranks, new_stage, new_ranks
):
    from safetensors.torch import load_file

    runs = trainer(model, adapter=ADAPTER, phase="embeddings", phase_steps=5)
    runs.train("run", stop_at=12, zero_stage=stage, ranks=ranks)
    moved = runs.train("run", zero_stage=new_stage, ranks=new_ranks)
    assert "taking it apart anew" in moved.output
    wanted = plain_losses(model, adapter=4, phase="embeddings", phase_steps=5)
    assert moved.losses() == pytest.approx(wanted, abs=1e-5)
    assert wanted[-1] != pytest.approx(plain_losses(model, phase="embeddings", phase_steps=5)[-1], abs=1e-3)

    before, after = load_file(home / model / "model.safetensors"), moved.weights()
    assert {name: tensor.shape for name, tensor in after.items()} == {name: t.shape for name, t in before.items()}
    assert (moved.run / "final/config.json").read_text() == (home / model / "config.json").read_text()
    assert is_plain(model, moved.run / "final")
    layers = {name for name in after if "layer" in name and after[name].dim() == 2}
    assert all(not after[name].equal(before[name]) for name in layers)
    still = {name for name in after if "layer" in name and after[name].dim() == 1 and "head" not in name}
    assert all(after[name].equal(before[name]) for name in still)

    words = ["checkpoint", "export", str(moved.run)]
    assert main([*words, "--step", "40", "--out", str(tmp_path / "exported")]) == 0
    exported = load_file(tmp_path / "exported/model.safetensors")
    assert exported.keys() == after.keys()
    assert all((exported[name] - after[name]).abs().max() < 1e-6 for name in after)
    assert main([*words, "--dense", "--dtype", "bfloat16", "--out", str(tmp_path / "dense")]) == 0
    assert is_plain(model, tmp_path / "dense")
    rounded = load_file(tmp_path / "dense/model.safetensors")
    assert {str(tensor.dtype) for tensor in rounded.values()} == {"torch.bfloat16"}
    assert not any("coordinates" in name or "lora" in name for name in rounded)


@slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("stage", "precision"), [(1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16")]
)
def test_a_killed_run_ends_with_the_bits_of_an_undisturbed_one(trainer, plain_losses, model, stage, precision):
    runs = trainer(model, adapter=ADAPTER, zero_stage=stage, precision=precision, save_every=5)
    straight = runs.train("straight")
    if precision == "fp32":
        assert straight.losses() == pytest.approx(plain_losses(model, adapter=4), abs=1e-5)
    killed = runs.start("killed")
    killed.wait_for_step(12)
    os.kill(killed.workers()[1], signal.SIGKILL)
    assert killed.wait() == 1
    resumed = runs.train("killed")
    assert "resuming after step" in resumed.output
    assert resumed.losses() == straight.losses()
    assert straight.same_weights(resumed)


@slow
def test_a_checkpoint_fits_no_other_body(trainer, home, tmp_path, capsys):
    import shutil

    runs = trainer("encoder", adapter=ADAPTER, zero_stage=2)
    runs.model = shutil.copytree(home / "encoder", tmp_path / "model")
    done = runs.train("run")
    shutil.rmtree(runs.model)
    words = ["checkpoint", "export", str(done.run), "--out"]
    assert main([*words, str(tmp_path / "step"), "--step", "40"]) == 3
    assert "adapters fit no other" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "dense"), "--dense"]) == 0
    assert "exporting the trained model in the run's precision instead" in capsys.readouterr().err
