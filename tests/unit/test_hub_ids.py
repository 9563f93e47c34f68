"""One rule for every command: what is a directory, what a hub id, and what is said of a name that is neither."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.hub_cache import put_in_cache, use_cache
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from hyperofa.cli import main
from hyperofa.errors import DataMissingError
from hyperofa_eval.base.hub import check_name, is_hub_id
from hyperofa_eval.cli import main as eval_main

IDS = ("roberta-base", "organisation/name")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A tiny BERT with its tokenizer."""
    folder = tmp_path_factory.mktemp("made") / "bert"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", *(f"##{c}" for c in "abcdefgh"), "dog", "cat"]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    roles = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    names = {f"{role}_token": token for role, token in roles.items()}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=16, **names).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=32, pad_token_id=0, **sizes)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, model) -> Path:
    """An empty folder to work in; both ids are in the hub's cache, and the hub is not there."""
    use_cache(monkeypatch, tmp_path / "cache")
    for name in IDS:
        put_in_cache(tmp_path / "cache", name, model)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "eng.txt").write_text("dog cat abc\n" * 20)
    return folder


@pytest.mark.parametrize("name", [*IDS, "gpt2", "FacebookAI/xlm-roberta-base", "a.b/c_d-1.0"])
def test_a_name_with_at_most_one_slash_is_a_hub_id(here, name):
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    [
        "./model",
        "../model",
        "/model",
        "~/model",
        "a/b/c",
        "a/",
        "",
        ".",
        "a b",
        "a--b",
        "a..b",
        "${data}",
        "-a",
        "a.git",
    ],
)
def test_what_is_written_as_a_path_is_no_hub_id(here, name):
    assert not is_hub_id(name)


def test_what_is_there_comes_first(here):
    (here / "roberta-base").mkdir()
    (here / "organisation").mkdir()
    (here / "file").write_text("")
    assert not is_hub_id("roberta-base")
    check_name("roberta-base")
    assert not is_hub_id("organisation/name")  # a name in a folder that is there
    with pytest.raises(DataMissingError, match="a file, not a directory"):
        check_name("file")


def test_a_folder_with_a_like_name_is_proposed(here):
    (here / "models" / "kabyle").mkdir(parents=True)
    (here / "models-kab").mkdir()
    for name, meant in {"models/kabile": "models/kabyle", "model-kab": "models-kab"}.items():
        with pytest.raises(DataMissingError, match=rf"{name}: no such directory.*; did you mean '{meant}'\?"):
            check_name(name)


@pytest.mark.parametrize("name", IDS)
def test_a_hub_id_loads_from_the_cache_in_every_command(here, capsys, name):
    text, out = ["--text", "eng=eng.txt"], here / "out"
    extend = ["tokenizer", "extend", "--source", name, "--vocab-size", "30", *text, "--out", str(out / "tokenizer")]
    assert main(extend) == 0
    prepare = ["corpus", "prepare", "--tokenizer", name, "--length", "8", *text, "--out", str(out / "corpus")]
    assert main(prepare) == 0
    words = ["init", "--source", name, "--tokenizer", name, "--method", "mean", "--out", str(out / "init")]
    assert main(words) == 0
    settings = {"model": name, "corpus": "out/corpus", "run": "run", "steps": 2, "global_batch_size": 8}
    (here / "train.yaml").write_text(json.dumps(settings))
    assert main(["plan", "train.yaml", "--gpus", "1", "--gpu-memory", "80"]) == 0
    from hyperofa.experiment.recipe.resolve import Replacements
    from hyperofa.train.checkpoint.rundir import check_inputs
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.loading import load_inputs
    from hyperofa_eval.models.loading import load_model
    from hyperofa_eval.settings.config import load_config

    config = load_config(TrainConfig, here / "train.yaml")
    check_inputs(config)
    assert load_inputs(config)[0].config.vocab_size == 23
    Replacements(source=name, tokenizer=name).check()
    assert load_model(name).name == name
    assert "error" not in capsys.readouterr().err


WRONG = (
    "modell",
    "organisation/modell",
    "here/is/none",
    "./modell",
    "./models/mine",
    "modell/",
    "~/mine",
    "https://hub/m",
    " ",
)


@pytest.mark.parametrize("name", WRONG)
def test_a_mistyped_directory_is_told_at_once_by_every_command(here, capsys, name):
    text, out = ["--text", "eng=eng.txt"], ["--out", "out"]
    settings = {"model": name, "corpus": "corpus", "run": "run", "steps": 2, "global_batch_size": 8}
    (here / "train.yaml").write_text(json.dumps(settings))
    (here / "data" / "tatoeba").mkdir(parents=True)
    for code in ("kab", "eng"):
        (here / "data" / "tatoeba" / f"kab-eng.{code}").write_text("dog cat\ncat dog\n")
    recipe = {
        "name": "own",
        "sources": {"mine": {"model": name}},
        "inputs": {"test": "data", "languages": ["kab"], "corpus": {"kab": "eng.txt"}, "vectors": "vectors"},
        "target": {"model": "roberta-base"},
        "matrix": {"methods": {"random": {}, "mean": {}}, "ranks": ["full"], "seeds": [0]},
        "train": {"settings": {"steps": 2, "global_batch_size": 8}},
        "evaluate": {"tasks": ["sr-t"]},
    }
    (here / "recipe.yaml").write_text(json.dumps(recipe))
    commands = [
        ["tokenizer", "extend", "--source", name, "--vocab-size", "30", *text, *out],
        ["corpus", "prepare", "--tokenizer", name, *text, *out],
        ["init", "--source", name, "--tokenizer", "roberta-base", "--method", "mean", *out],
        ["init", "--source", "roberta-base", "--tokenizer", name, "--method", "mean", *out],
        ["train", "train.yaml"],
        ["plan", "train.yaml", "--gpus", "1", "--gpu-memory", "80"],
        ["experiment", "recipe.yaml"],
        ["quickstart", "--source", name],
        ["quickstart", "--tokenizer", name],
    ]
    began = time.monotonic()
    for words in commands:
        assert main(words) == 3, words
        error = capsys.readouterr().err
        assert "no such" in error or "an empty name" in error, words
        assert name in error
        assert ("it is not in the hub's cache" in error) == is_hub_id(name), words
        assert error.count("\n") == 1, error
    assert eval_main(["run", name, "--tasks", "sr-t", "--data", "data", "--out", "out"]) == 3
    error = capsys.readouterr().err
    assert "no such model directory" in error or "an empty name" in error
    assert error.count("\n") == 1
    assert time.monotonic() - began < 20
    assert not (here / "out").exists()
    assert not (here / "runs").exists()


def test_a_corpus_knows_the_tokenizer_of_a_hub_id(here):
    words = ["--tokenizer", "roberta-base", "--length", "8", "--text", "eng=eng.txt", "--out", "corpus"]
    digests = []
    for added in ("", "elephant"):
        for file in here.parent.glob("cache/*/snapshots/*/tokenizer.json"):
            value = json.loads(file.read_text())
            value["model"]["vocab"] |= {added: 23} if added else {}
            file.write_text(json.dumps(value))
        assert main(["corpus", "prepare", *words]) == 0
        digests.append(json.loads((here / "corpus" / "corpus.json").read_text())["tokenizer"]["sha256"])
    assert digests[0]
    assert digests[0] != digests[1]
