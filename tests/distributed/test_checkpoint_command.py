"""``hyperofa checkpoint`` on the checkpoints of a real run."""

from __future__ import annotations

import json
import shutil

import pytest

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
    from hyperofa.train.checkpoint import committed, read_manifest
    from hyperofa.train.whole import KINDS, read_shards, read_whole

    folder = committed(run)[0]
    kept = shutil.copytree(folder / "shards", run.parent / "shards")
    assert main(["checkpoint", "reshard", str(run)]) == 0
    assert committed(run) == [folder]
    assert read_manifest(folder).universal
    assert not list(folder.rglob("*.pt"))
    before, after = read_shards(kept), read_whole(folder)
    assert before.names == after.names
    assert before.adam_step == after.adam_step == 40
    assert all(before.read(name, kind).equal(after.read(name, kind)) for name in before.names for kind in KINDS)
    assert main(["checkpoint", "verify", str(run)]) == 0
    assert main(["checkpoint", "reshard", str(run)]) == 0


def test_export_from_a_step_equals_the_final_model_and_dense_needs_no_hyperofa(run, tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForMaskedLM

    import hyperofa.model  # noqa: F401

    assert main(["checkpoint", "export", str(run), "--step", "40", "--out", str(tmp_path / "factorised")]) == 0
    exported, final = (
        load_file(tmp_path / "factorised" / "model.safetensors"),
        load_file(run / "final" / "model.safetensors"),
    )
    assert exported.keys() == final.keys()
    assert all(exported[name].equal(final[name]) for name in final)

    assert main(["checkpoint", "export", str(run), "--dense", "--out", str(tmp_path / "dense")]) == 0
    dense = BertForMaskedLM.from_pretrained(tmp_path / "dense").eval()
    ids = torch.arange(5, 17)[None] % len(AutoTokenizer.from_pretrained(tmp_path / "dense"))
    with torch.no_grad():
        difference = dense(ids).logits - AutoModelForMaskedLM.from_pretrained(run / "final").eval()(ids).logits
    assert difference.abs().max() < 1e-5


def test_refusals(run, tmp_path, capsys):
    assert main(["checkpoint", "list", str(tmp_path)]) == 3
    assert "not a run directory" in capsys.readouterr().err
    assert main(["checkpoint", "export", str(run), "--step", "7", "--out", str(tmp_path / "x")]) == 2
    assert "there are: [40]" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    assert main(["checkpoint", "export", str(run), "--out", str(tmp_path / "full")]) == 2
    assert "holds something else" in capsys.readouterr().err
