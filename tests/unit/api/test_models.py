"""Models from Python: extended in memory, saved as the command saves, pushed, and nothing of the process changed."""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import os
import random
import sys
import tempfile
import types
import warnings
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from transformers import AutoModelForMaskedLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

import hyperofa
from hyperofa.cli import main
from hyperofa.errors import HyperofaError, InputError
from hyperofa.init.settings import InitSettings
from hyperofa_eval.base import cpu


@pytest.fixture(scope="module")
def extended(rooms):
    return hyperofa.initialise(rooms / "source", rooms / "target", rooms / "vectors", rank=8, seed=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_writes_what_the_command_writes(rooms, extended, tmp_path):
    words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
    assert main([str(word) for word in (*words, "--rank", 8, "--seed", 1, "--out", tmp_path / "command")]) == 0
    extended.save_pretrained(tmp_path / "python")
    assert contents(tmp_path / "python") == contents(tmp_path / "command")
    assert json.loads((tmp_path / "python" / "init.json").read_text()) == extended.report
    assert {"README.md", "init.json", "provenance.safetensors", "model.safetensors"} <= contents(
        tmp_path / "python"
    ).keys()


def test_objects_take_the_place_of_folders(rooms, extended):
    tokenizer = AutoTokenizer.from_pretrained(rooms / "target")
    vectors = hyperofa.load_vectors(rooms / "vectors")
    again = hyperofa.initialise(str(rooms / "source"), tokenizer, vectors, rank=8, seed=1)
    for one, two in zip(again.model.parameters(), extended.model.parameters(), strict=True):
        assert torch.equal(one, two)
    np.testing.assert_array_equal(again.provenance.code, extended.provenance.code)


def test_the_model_in_memory_is_the_one_that_loads(rooms, tmp_path):
    """The verdict runs the model; the one that is returned is as it was."""
    (tmp_path / "eng.txt").write_text("".join(f"dog cat {i}\n" for i in range(20)))
    given = (rooms / "source", rooms / "target", rooms / "vectors")
    made = hyperofa.initialise(*given, rank=8, refine="none", text={"eng": tmp_path / "eng.txt"})
    assert made.report["verdict"]["languages"]["eng"]["tokens"]["own"] > 0
    made.save_pretrained(tmp_path / "out")
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    assert [type(module) for module in made.model.modules()] == [type(module) for module in loaded.modules()]
    ids = made.tokenizer("dog hund", return_tensors="pt")
    with torch.inference_mode():
        ours, theirs, dense = (m.eval()(**ids).logits for m in (made.model, loaded, hyperofa.export_dense(loaded)))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    torch.testing.assert_close(ours, dense)


def test_unknown_keywords_and_values_that_cannot_be_are_refused(rooms):
    given = (rooms / "source", rooms / "target", rooms / "vectors")
    with pytest.raises(InputError, match="did you mean 'rank'"):
        hyperofa.initialise(*given, ranks=8)
    with pytest.raises(InputError, match="rank: 0 is not a number of 1 or more"):
        hyperofa.initialise(*given, rank=0)


def test_all_settings_are_its_keywords():
    keywords = inspect.signature(hyperofa.initialise).parameters
    assert {field.name for field in dataclasses.fields(InitSettings)} <= keywords.keys()
    assert keywords["method"].default == InitSettings().method


def process_state() -> dict[str, object]:
    """What a function of a package must leave as it was."""
    loggers = ["", "hyperofa", "transformers", "huggingface_hub"]
    return {
        "precision": torch.backends.mkldnn.matmul.fp32_precision,
        "denormals": sys.float_info.min * 0.5,
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "random": (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()),  # noqa: NPY002
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "logging": [(logging.getLogger(n).level, list(logging.getLogger(n).handlers)) for n in loggers],
        "transformers": (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()),
        "warnings": list(warnings.filters),
    }


@pytest.mark.parametrize("settings", [{}, {"method": "hyperofa", "options": {"epochs": 1, "hidden": 8, "layers": 1}}])
def test_nothing_of_the_process_is_changed_and_nothing_is_left_on_disk(rooms, tmp_path, monkeypatch, settings):
    called = []
    real = cpu._of_glibc
    monkeypatch.setattr(cpu, "_of_glibc", lambda name: called.append(name) or real(name))
    monkeypatch.setattr(
        cpu, "_amd_without_tiles", lambda path: True
    )  # where oneDNN is let in, if its products are exact
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    tokenizer = AutoTokenizer.from_pretrained(rooms / "target")
    before = sorted(rooms.rglob("*")), process_state()
    hyperofa.initialise(rooms / "source", tokenizer, rooms / "vectors", rank=4, **settings)
    assert (sorted(rooms.rglob("*")), process_state()) == before
    assert "mallopt" not in called
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_interrupted_saving_leaves_nothing(extended, tmp_path, monkeypatch):
    monkeypatch.setattr("hyperofa.init.provenance.Provenance.save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        extended.save_pretrained(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


class TestHub:
    def test_all_files_are_uploaded_to_the_named_repository(self, extended, tmp_path, monkeypatch):
        uploads = []

        def create(self, repo_id, **options):
            assert (self.token, options) == ("secret", {"private": True, "exist_ok": True})
            return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

        def upload(self, *, repo_id, folder_path, **options):
            uploads.append((repo_id, contents(Path(folder_path)), options))
            return huggingface_hub.CommitInfo("https://huggingface.co/owner/kab/commit/1", "m", "", "1")

        monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create)
        monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
        address = extended.push_to_hub("owner/kab", private=True, token="secret", revision="v1")
        extended.save_pretrained(tmp_path / "out")
        ((repository, files, options),) = uploads
        assert address == "https://huggingface.co/owner/kab/commit/1"
        assert repository == "owner/kab"
        assert files == contents(tmp_path / "out")
        assert options == {"revision": "v1", "commit_message": "Extended vocabulary"}

    def test_what_the_hub_refuses_is_one_line(self, extended, monkeypatch):
        def refuse(self, repo_id, **options):
            response = types.SimpleNamespace(headers={}, request=None)
            raise HfHubHTTPError("401 Client Error.\nInvalid token", response=response)

        monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
        with pytest.raises(HyperofaError, match=r"hub repository owner/kab: .*401") as caught:
            extended.push_to_hub("owner/kab")
        assert "\n" not in str(caught.value)

    def test_a_name_that_is_none_is_one_line(self, extended):
        with pytest.raises(HyperofaError, match="hub repository a/b/c") as caught:
            extended.push_to_hub("a/b/c")
        assert "\n" not in str(caught.value)
