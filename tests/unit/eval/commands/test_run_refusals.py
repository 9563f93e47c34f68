"""Wrong paths, devices, models and options: one line, the right exit code, and nothing written."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.cli import main


def fails(capsys, code, *words):
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    (line,) = [line for line in captured.err.splitlines() if line.startswith("hyperofa-eval: error: ")]
    return line


def words(model, data, out, *more):
    return ["run", model, "--tasks", "sr-t", "--data", data, "--out", out, "--languages", "tur", *more]


def test_paths_that_are_or_lie_below_a_file(model_dir, data, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    out = tmp_path / "out"
    assert "file: a file lies on the way" in fails(capsys, 2, *words(model_dir, data, file / "out"))
    assert "file: the output path is a file" in fails(capsys, 2, *words(model_dir, data, file))
    assert "file: the output path is a file" in fails(capsys, 2, *words(model_dir, data, out, "--cache", file))
    fetch = ["data", "fetch", "ner", tmp_path, "--languages", "tur", "--out"]
    assert "file: the output path is a file" in fails(capsys, 2, *fetch, file)
    assert file.read_text() == "mine"
    assert not out.exists()


def test_a_cache_inside_the_results_is_refused(model_dir, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert "lies inside the results" in fails(capsys, 2, *words(model_dir, data, out, "--cache", out / "cache"))
    assert not out.exists()


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta", "cpu:x"])
def test_a_device_that_is_not_here(model_dir, data, tmp_path, capsys, device):
    line = fails(capsys, 2, *words(model_dir, data, tmp_path / "out", "--device", device))
    assert f"--device {device}: cannot be used" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none(model_dir, data, tmp_path, capsys):
    assert "--device cuda: " in fails(capsys, 2, *words(model_dir, data, tmp_path / "out", "--device", "cuda"))


def test_an_error_of_the_system_is_one_line(model_dir, data, tmp_path, capsys, monkeypatch):
    from hyperofa_eval import runner

    def full(out, result):
        raise OSError(28, "No space left on device", str(out / "sr-t"))

    monkeypatch.setattr(runner, "write_result", full)
    line = fails(capsys, 1, *words(model_dir, data, tmp_path / "out"))
    assert "sr-t: No space left on device; make room" in line


@pytest.fixture
def copy(model_dir, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(model_dir, folder)
    return folder


def test_a_truncated_checkpoint(copy, data, tmp_path, capsys):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "cannot load the model" in fails(capsys, 2, *words(copy, data, tmp_path / "out"))
    weights.write_bytes(b"\x00" * 4)
    assert "cannot load the model" in fails(capsys, 2, *words(copy, data, tmp_path / "out"))


@pytest.mark.parametrize("text", ["{", "[]", '"bert"', "{}"])
def test_a_broken_config_is_wrong_input_and_not_missing(copy, data, tmp_path, capsys, text):
    (copy / "config.json").write_text(text)
    assert "config" in fails(capsys, 2, *words(copy, data, tmp_path / "out"))


def test_an_encoder_decoder(tokenizer, data, tmp_path, capsys):
    import transformers

    from hyperofa_eval.models.loading import wrap

    small = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    t5 = transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=len(tokenizer), **small))
    t5.save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    assert "t5 is an encoder-decoder" in fails(capsys, 2, *words(tmp_path / "t5", data, tmp_path / "out"))
    with pytest.raises(InputError, match="encoder-decoder"):
        wrap(t5, tokenizer, "t5")


def test_a_model_without_tokenizer_files(copy, data, tmp_path, capsys):
    for path in copy.glob("*token*"):
        path.unlink()
    line = fails(capsys, 3, *words(copy, data, tmp_path / "out"))
    assert "no tokenizer in the directory" in line
    assert "tokenizer.json" in line


@pytest.mark.parametrize("name", ["bert.encoder.layer.3.output.dense.bias", "cls.predictions.transform.dense.bias"])
def test_nan_anywhere_is_refused_at_load(copy, bert, tokenizer, data, tmp_path, name):
    from safetensors.torch import load_file, save_file

    from hyperofa_eval.models.loading import load_model, wrap

    weights = load_file(copy / "model.safetensors")
    weights[name][0] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=rf"NaN or infinity \({name}\)"):
        load_model(str(copy), head=True)
    with torch.no_grad():
        bert.get_parameter(name)[0] = float("inf")
    with pytest.raises(InputError, match="NaN or infinity"):
        wrap(bert, tokenizer, "in training")


@pytest.mark.parametrize(
    ("tasks", "option", "value"),
    [
        ("sr-t,lm", "--epochs", "3"),
        ("sr-t", "--learning-rate", "1e-3"),
        ("ner,pos", "--block", "3"),
        ("lm", "--pooling", "cls"),
        ("ner", "--csls", None),
    ],
)
def test_an_option_that_no_task_has(model_dir, data, tmp_path, capsys, tasks, option, value):
    line = fails(
        capsys, 2, "run", model_dir, "--tasks", tasks, "--data", data, "--out", tmp_path / "out", option,
        *([value] if value else []),
    )  # fmt: skip
    assert f"{option}: no task that was asked for has it ({tasks.replace(',', ', ')})" in line


def test_an_option_that_one_task_has_is_taken(model_dir, data, tmp_path):
    more = ["--tasks", "sr-t,lm", "--block", "2", "--device", "cpu"]
    assert main([str(word) for word in [*words(model_dir, data, tmp_path / "out"), *more]]) == 0
    assert json.loads((tmp_path / "out/sr-t/tur.seed0.json").read_text())["settings"]["block"] == 2


def test_a_faulty_test_set_is_found_before_the_fine_tuning(model_dir, data, tmp_path, capsys, monkeypatch):
    from hyperofa_eval.models.transformers_model import TransformersModel

    def never(*_):
        raise AssertionError("fine-tuned before the test sets were read")

    monkeypatch.setattr(TransformersModel, "fine_tune", never)
    path = data / "pos/tur/test.tsv"
    path.write_text(path.read_text().replace("NOUN", "NOUNS", 1))
    out = tmp_path / "out"
    run = ["run", model_dir, "--data", data, "--out", out, "--languages", "ces,tur"]
    assert "pos/tur/test.tsv" in fails(capsys, 2, *run, "--tasks", "ner,pos")
    path = data / "tatoeba/tur-eng.tur"
    path.write_text(path.read_text() + "Fazladan.\n")
    assert "unaligned" in fails(capsys, 2, *run, "--tasks", "ner,sr-t")
    assert not out.exists()


def test_fine_tuning_time_is_in_the_result(model_dir, data, tmp_path, monkeypatch):
    import time

    from hyperofa_eval.models.transformers_model import TransformersModel

    real = TransformersModel.fine_tune

    def slow(*args):
        time.sleep(0.3)
        return real(*args)

    monkeypatch.setattr(TransformersModel, "fine_tune", slow)
    out = tmp_path / "out"
    run = ["run", model_dir, "--data", data, "--out", out, "--languages", "tur,ces", "--tasks", "pos", "--epochs", "1"]
    assert main([str(word) for word in [*run, "--device", "cpu"]]) == 0
    results = [json.loads(path.read_text()) for path in out.glob("pos/*")]
    assert len({result["prepare_s"] for result in results}) == 1
    assert results[0]["prepare_s"] >= 0.3


@pytest.mark.parametrize("name", ["GPT2", "Llama"])
def test_a_tokenizer_json_is_enough_and_nothing_is_not(tokenizer, tmp_path, name):
    import transformers

    from hyperofa_eval.base.errors import DataMissingError
    from hyperofa_eval.models.loading import load_model

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": len(tokenizer) + 8}
    config = getattr(transformers, f"{name}Config")(**small, **({"intermediate_size": 8} if name == "Llama" else {}))
    getattr(transformers, f"{name}Model")(config).save_pretrained(tmp_path)
    with pytest.raises(DataMissingError, match="no tokenizer in the directory"):
        load_model(str(tmp_path))
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(load_model(str(tmp_path)).tokenizer) >= len(tokenizer)


def test_ids_beyond_the_rows_are_refused_where_the_vocabulary_has_holes(copy, data, tmp_path, capsys):
    """One token has an id far behind the others: the number of tokens alone would let it pass."""
    vocabulary = json.loads((copy / "tokenizer.json").read_text())
    rows = json.loads((copy / "config.json").read_text())["vocab_size"]
    vocabulary["model"]["vocab"]["zzz"] = rows + 5
    (copy / "tokenizer.json").write_text(json.dumps(vocabulary))
    line = fails(capsys, 2, *words(copy, data, tmp_path / "out"))
    assert f"the tokenizer's ids need {rows + 6:,} embeddings, the model has {rows:,}" in line


def test_a_model_in_memory_is_held_to_its_rows_too(bert, copy):
    from transformers import AutoTokenizer

    from hyperofa_eval.models.loading import wrap

    tokenizer = AutoTokenizer.from_pretrained(copy)
    bert.config.vocab_size = len(tokenizer) - 1
    with pytest.raises(InputError, match="the tokenizer's ids need"):
        wrap(bert, tokenizer, "in memory")


@pytest.mark.parametrize(("key", "value"), [("vocab_size", 30), ("hidden_size", 24), ("intermediate_size", 48)])
def test_a_config_that_does_not_fit_the_weights_names_one_that_differs(copy, data, tmp_path, capfd, key, value):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, key: value}))
    line = fails(capfd, 2, *words(copy, data, tmp_path / "out"))
    assert "config.json does not fit the weights: " in line
    assert " there and would be (" in line
    assert "above report" not in line
