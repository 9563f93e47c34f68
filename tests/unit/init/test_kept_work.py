"""``hyperofa init`` stopped at any point: it goes on from its last finished stage, and nothing half-written looks whole."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from support import warm
from transformers import AutoModelForMaskedLM

from hyperofa.errors import HyperofaError
from hyperofa.init.kept_work import SavedState, Stages
from hyperofa.init.registry import METHODS, Method
from tests.unit.init.conftest import asked, written

WORDS = ("hund", "katze", "haus", "rot", "wasser")
OPTIONS = {"epochs": 2, "hidden": 8, "layers": 1}


def config(rooms, out, **settings):
    given = {"method": "hyperofa", "options": OPTIONS, "rank": 8} | settings
    return asked(rooms / "source", rooms / "target", rooms / "vectors", out, **given)


def test_predicted_rows_are_not_predicted_again(rooms, tmp_path, monkeypatch):
    written(config(rooms, tmp_path / "straight"))
    with monkeypatch.context() as patch:
        patch.setattr("hyperofa.model.assemble", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            written(config(rooms, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    refuse = Method(
        "hyperofa",
        "",
        lambda _: pytest.fail("predicted again"),
        METHODS["hyperofa"].settings,
        trains=True,
        scale_split=0.0,
    )
    monkeypatch.setitem(METHODS, "hyperofa", refuse)
    written(config(rooms, tmp_path / "out"))
    straight, resumed = (tmp_path / name / "model.safetensors" for name in ("straight", "out"))
    assert straight.read_bytes() == resumed.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "straight"]  # and no stage is left behind


def test_stages_made_for_something_else_are_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"rows": np.full((2, 3), len(made), dtype=np.float32)}, {"n": len(made)}

    first = Stages(tmp_path, {"seed": 1}).arrays("rows-0", make)
    again = Stages(tmp_path, {"seed": 1}).arrays("rows-0", make)
    assert first[0].keys() == again[0].keys() == {"rows"}
    np.testing.assert_array_equal(first[0]["rows"], again[0]["rows"])
    assert again[1] == {"n": 1}
    assert Stages(tmp_path, {"seed": 2}).arrays("rows-0", make)[1] == {"n": 2}
    file = tmp_path / "rows-0.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    assert Stages(tmp_path, {"seed": 2}).arrays("rows-0", make)[1] == {"n": 3}


def test_another_seed_or_option_does_not_take_over_rows(rooms, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("hyperofa.model.assemble", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            written(config(rooms, tmp_path / "out"))
    other = dataclasses.replace(config(rooms, tmp_path / "out"), seed=5)
    written(other)
    written(dataclasses.replace(other, out=tmp_path / "fresh"))
    found, fresh = (tmp_path / name / "model.safetensors" for name in ("out", "fresh"))
    assert found.read_bytes() == fresh.read_bytes()


def test_rows_that_another_body_chose_are_not_taken_over(rooms, tmp_path, monkeypatch):
    """Its embeddings alone say nothing of what a text's loss is."""
    shutil.copytree(rooms / "source", tmp_path / "source")
    (tmp_path / "deu.txt").write_text("\n".join(f"{a} {b} {c}" for a in WORDS for b in WORDS for c in WORDS))
    options = OPTIONS | {"epochs": 1, "model_steps": 1}
    more = {"text": {"deu": (tmp_path / "deu.txt",)}, "refine_options": {"steps": 1}, "options": options}
    given = dataclasses.replace(config(rooms, tmp_path / "out", method="spelling-network", verdict=False, **more),
                                source=str(tmp_path / "source"))  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("hyperofa.model.assemble", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            written(given)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "source")
    with torch.no_grad():
        model.base_model.encoder.layer[0].output.dense.weight.neg_()
    model.save_pretrained(tmp_path / "source")
    found, fresh = written(given), written(dataclasses.replace(given, out=tmp_path / "fresh"))
    assert found["method_notes"]["choice"]["losses"] is not None
    assert found["method_notes"] == fresh["method_notes"]


def test_rows_of_other_special_tokens_are_not_taken_over(rooms, tmp_path, monkeypatch):
    """Which token is the mask stands in no tokenizer.json."""
    shutil.copytree(rooms / "target", tmp_path / "target")
    given = dataclasses.replace(
        config(rooms, tmp_path / "out", method="ofa", options={}), tokenizer=str(tmp_path / "target")
    )
    with monkeypatch.context() as patch:
        patch.setattr("hyperofa.model.assemble", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            written(given)
    file = tmp_path / "target" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"mask_token": settings["pad_token"], "pad_token": settings["mask_token"]}))
    written(given)
    written(dataclasses.replace(given, out=tmp_path / "fresh"))
    found, fresh = (tmp_path / name / "model.safetensors" for name in ("out", "fresh"))
    assert found.read_bytes() == fresh.read_bytes()


@pytest.mark.parametrize("damaged", ["state.json", "tensors", "record"])
def test_a_damaged_state_is_begun_again(tmp_path, damaged):
    saved = SavedState(tmp_path, "state", "key")
    saved.save({"a": torch.ones(3)}, 1, losses=[3.0])
    saved.save({"a": torch.zeros(3)}, 2, losses=[3.0, 2.0])
    tensors, record = saved.load()
    assert (tensors["a"].tolist(), record["losses"]) == ([0, 0, 0], [3.0, 2.0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-000002.safetensors", "state.json"]
    assert SavedState(tmp_path, "state", "other").load() is None
    if damaged == "record":
        (tmp_path / "state.json").write_text("[]")
    else:
        file = tmp_path / damaged if damaged == "state.json" else tmp_path / "state-000002.safetensors"
        file.write_bytes(file.read_bytes()[:-3])
    assert saved.load() is None


def test_a_state_that_cannot_be_saved_is_one_line_and_the_one_before_stays(tmp_path, monkeypatch):
    saved = SavedState(tmp_path, "state", "key")
    saved.save({"a": torch.ones(3)}, 1)

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("hyperofa.init.kept_work.save_file", full)
    with pytest.raises(HyperofaError, match=r"cannot save the state of state .*No space left") as caught:
        saved.save({"a": torch.zeros(3)}, 2)
    assert "\n" not in str(caught.value)
    assert saved.load()[0]["a"].tolist() == [1, 1, 1]


def test_a_model_that_cannot_be_written_leaves_nothing(rooms, tmp_path, monkeypatch):
    from transformers import PreTrainedModel

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(HyperofaError, match=r"cannot write the model .*No space left") as caught:
        written(config(rooms, tmp_path / "out", method="ofa", options={}))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.timeout(300)
def test_a_killed_process_leaves_no_directory_that_looks_finished(rooms, tmp_path):
    """SIGKILL while the model is being written; the same command then succeeds."""
    script = (
        "import os, signal, sys\n"
        "from transformers import PreTrainedTokenizerBase\n"
        "PreTrainedTokenizerBase.save_pretrained = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from hyperofa.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
    words += ["--method", "ofa", "--rank", "8", "--out", tmp_path / "out"]
    line = [sys.executable, "-c", script, *map(str, words)]
    killed = warm.run(line, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert killed.returncode == -9
    assert not (tmp_path / "out").exists()
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    written(config(rooms, tmp_path / "out", method="ofa", options={}))
    assert (tmp_path / "out" / "init.json").is_file()


@pytest.mark.timeout(300)
def test_a_full_disk_ends_in_one_line_and_room_on_it_is_enough_to_go_on(rooms, tmp_path):
    """A real small file system, which is full first while words are matched, then while the model is written."""
    written(config(rooms, tmp_path / "straight", method="ofa", options={}))
    needed = sum(path.stat().st_size for path in (tmp_path / "straight").iterdir())
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {mounted.stderr.decode().strip()}")
    words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
    words += ["--method", "ofa", "--rank", "8", "--out", disk / "out"]
    command = [sys.executable, "-m", "hyperofa.cli", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        for size in (4096, needed * 2 // 3, 10 * needed):
            subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
            done = warm.run(command, env=environment)
            if size > needed:
                break
            assert done.returncode == 1, done.stderr
            assert "No space left" in done.stderr
            assert "Traceback" not in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1, done.stderr
            assert [path for path in disk.iterdir() if not path.name.startswith(".")] == []
        assert done.returncode == 0, done.stderr
        made, straight = (folder / "model.safetensors" for folder in (disk / "out", tmp_path / "straight"))
        assert made.read_bytes() == straight.read_bytes()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
