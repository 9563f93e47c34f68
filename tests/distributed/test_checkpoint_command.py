"""``hyperofa checkpoint`` on the checkpoints of a real run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from hyperofa.cli import main


@pytest.fixture(params=[2, 3])
def run(request, straight, tmp_path):
    """A copy of a finished run of either kind of shards."""
    return shutil.copytree(straight("encoder", request.param).run, tmp_path / "run")


def output(capsys) -> list:
    return json.loads(capsys.readouterr().out)


def test_list_verify_and_a_flipped_byte(run, capsys):
    assert main(["checkpoint", "list", str(run), "--json"]) == 0
    assert [row["step"] for row in output(capsys)] == [40]
    assert main(["checkpoint", "verify", str(run), "--json"]) == 0
    assert output(capsys) == [{"folder": "step_00000040", "problem": None}]
    shard = next((run / "step_00000040" / "shards").iterdir())
    data = bytearray(shard.read_bytes())
    data[9] ^= 4
    shard.write_bytes(data)
    assert main(["checkpoint", "verify", str(run), "--json"]) == 1
    assert "SHA-256" in output(capsys)[0]["problem"]
    for action in (["reshard"], ["export", "--step", "40", "--out", str(run / "x")]):
        assert main(["checkpoint", action[0], str(run), *action[1:]]) == 1
        assert "SHA-256" in capsys.readouterr().err
    assert not (run / "x").exists()


def test_reshard_keeps_every_bit(run, capsys):
    from hyperofa.train.checkpoint.manifest import committed, read_manifest
    from hyperofa.train.checkpoint.unsharded import KINDS, read_shards, read_unsharded

    folder = committed(run)[0]
    kept = shutil.copytree(folder, run.parent / "kept")
    assert main(["checkpoint", "reshard", str(run)]) == 0
    assert committed(run) == [folder]
    assert read_manifest(folder).universal
    assert not list(folder.rglob("*.pt"))
    before, after = read_shards(kept, read_manifest(kept).files), read_unsharded(folder)
    assert before.names == after.names
    assert before.adam_step == after.adam_step == 40
    assert all(before.read(name, kind).equal(after.read(name, kind)) for name in before.names for kind in KINDS)
    assert main(["checkpoint", "verify", str(run)]) == 0
    assert main(["checkpoint", "reshard", str(run)]) == 0


def test_export_from_a_step_equals_the_final_model_and_dense_needs_no_hyperofa(run, tmp_path):
    from safetensors.torch import load_file

    assert main(["checkpoint", "export", str(run), "--step", "40", "--out", str(tmp_path / "factorised")]) == 0
    exported, final = (
        load_file(tmp_path / "factorised" / "model.safetensors"),
        load_file(run / "final" / "model.safetensors"),
    )
    assert exported.keys() == final.keys()
    assert all(exported[name].equal(final[name]) for name in final)

    assert main(["checkpoint", "export", str(run), "--dense", "--out", str(tmp_path / "dense")]) == 0
    dense = logits_without_hyperofa(tmp_path / "dense", out=tmp_path / "logits.pt")
    assert (dense - logits(run / "final")).abs().max() < 1e-5


LOGITS = """
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

def logits(model):
    ids = torch.arange(5, 17)[None] % len(AutoTokenizer.from_pretrained(model))
    with torch.no_grad():
        return AutoModelForMaskedLM.from_pretrained(model).eval()(ids).logits
"""
"""Scores of a masked model, here or in a process of its own."""


def logits(model):
    here = {}
    exec(LOGITS, here)
    return here["logits"](str(model))


def logits_without_hyperofa(model, *, out):
    """Scores in a process in which hyperofa cannot be imported."""
    import torch

    script = f"import sys; sys.modules['hyperofa'] = None\n{LOGITS}\ntorch.save(logits({str(model)!r}), {str(out)!r})"
    subprocess.run([sys.executable, "-c", script], check=True)
    return torch.load(out)


def test_export_finds_the_tokenizer_from_another_folder(run, home, tmp_path, monkeypatch, capsys):
    from transformers import AutoTokenizer

    want = AutoTokenizer.from_pretrained(home / "encoder").get_vocab()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.copytree(home / "encoder", tmp_path / "model")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"] == str(home / "encoder")
    for model in ("model", "org/name", str(tmp_path / "gone")):
        (run / "config.yaml").write_text(yaml.safe_dump({**config, "model": model}))
        for words in (["--dense"], ["--step", "40"]):
            out = tmp_path / "out"
            assert main(["checkpoint", "export", f"../{run.name}", *words, "--out", str(out)]) == 0
            assert AutoTokenizer.from_pretrained(out).get_vocab() == want
            shutil.rmtree(out)
    for path in (run / "final").glob("tokenizer*"):
        path.unlink()
    assert main(["checkpoint", "export", str(run), "--dense", "--out", str(tmp_path / "out")]) == 3
    assert "no tokenizer is there to be written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_dense_export_starts_from_the_float32_weights(run, tmp_path):
    """The trained model lies in the run's precision, which its last checkpoint is finer than."""
    import torch
    from safetensors.torch import load_file, save_file

    final = run / "final" / "model.safetensors"
    exact = load_file(final)
    assert main(["checkpoint", "export", str(run), "--dense", "--out", str(tmp_path / "exact")]) == 0
    save_file({name: value.bfloat16() for name, value in exact.items()}, final, metadata={"format": "pt"})
    assert main(["checkpoint", "export", str(run), "--dense", "--out", str(tmp_path / "dense")]) == 0
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("exact", "dense"))
    assert all(two[name].equal(one[name]) and two[name].dtype == torch.float32 for name in one)
    shutil.rmtree(run / "step_00000040")
    assert main(["checkpoint", "export", str(run), "--dense", "--out", str(tmp_path / "rounded")]) == 0
    assert not all(value.equal(one[name]) for name, value in load_file(tmp_path / "rounded/model.safetensors").items())


def test_a_pickle_that_nobody_vouches_for_is_never_loaded(run, tmp_path, capsys):
    """A shard of a rank that never was, which calls for code to be run when it is unpickled."""
    import pickle

    class Touch:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    stray = run / "step_00000040" / "shards" / "zero_pp_rank_2_mp_rank_00_optim_states.pt"
    stray.write_bytes(pickle.dumps(Touch()))
    for words in (["reshard"], ["export", "--step", "40", "--out", str(tmp_path / "x")]):
        assert main(["checkpoint", words[0], str(run), *words[1:]]) == 1
        assert f"shards/{stray.name} is not in its manifest" in capsys.readouterr().err
    manifest = run / "step_00000040" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": {}}))
    assert main(["checkpoint", "reshard", str(run)]) == 1
    assert "optimizer shards of 0 ranks" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_two_parameters_swapped_in_a_portable_copy_are_noticed(run, trainer):
    """Every file of the copy is whole, and the norms of all weights together are what they were."""
    from safetensors.torch import load_file, save_file

    from hyperofa.train.checkpoint.manifest import hash_and_sync

    assert main(["checkpoint", "reshard", str(run)]) == 0
    folder = run / "step_00000040"
    manifest = json.loads((folder / "manifest.json").read_text())
    names = sorted(manifest["parameter_norms"])
    one, two = (
        f"fp32/{name}" for name in names if name.endswith(("query.weight", "key.weight")) and ".layer.0." in name
    )
    path = folder / "whole-00001.safetensors"
    tensors = load_file(path)
    tensors[one], tensors[two] = tensors[two], tensors[one]
    save_file(tensors, path)
    entry = hash_and_sync(folder, [path.name])[path.name]
    manifest["files"][path.name] = {"size": entry.size, "sha256": entry.sha256}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(run / "final")
    stage = manifest["zero_stage"]
    refused = trainer("encoder", zero_stage=stage).train("again", code=1, run=run)
    assert "the norm of pretrained.bert.encoder.layer.0.attention.self.key.weight (weights) is" in " ".join(
        refused.output.split()
    )


def test_refusals(run, tmp_path, capsys):
    assert main(["checkpoint", "list", str(tmp_path)]) == 3
    assert "not a run directory" in capsys.readouterr().err
    assert main(["checkpoint", "export", str(run), "--step", "7", "--out", str(tmp_path / "x")]) == 2
    assert "there are: [40]" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    assert main(["checkpoint", "export", str(run), "--out", str(tmp_path / "full")]) == 2
    assert "holds something else" in capsys.readouterr().err
