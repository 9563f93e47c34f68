"""A sentence-transformers model stays one: extended, trained and exported, from a folder or from the hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.hub_cache import put_in_cache, use_cache
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM

from hyperofa.base.sentence_modules import (
    SentenceForm,
    carry_sentence_modules,
    check_sentence_modules,
    sentence_form,
)
from hyperofa.errors import InputError
from hyperofa.train.checkpoint.final import write_final

ROOT = "sentence_transformers."
KINDS = {
    "": "models.Transformer",
    "1_Pooling": "models.Pooling",
    "2_Dense": "models.Dense",
    "3_Normalize": "models.Normalize",
}
POOLING = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}
DENSE = {"in_features": 16, "out_features": 6, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
TRANSFORMER = {"max_seq_length": 7, "do_lower_case": True}
TEXTS = ["Dog cat house", "red water walk sun fire moon tree dog cat house red water"]


def write_modules(folder: Path, kinds: dict[str, str] = KINDS) -> None:
    """What sentence-transformers writes beside a transformer: max pooling, a projection, unit length."""
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": ROOT + kind} for i, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps(TRANSFORMER))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "find: "}}))
    for path, config in (("1_Pooling", POOLING), ("2_Dense", DENSE)):
        (folder / path).mkdir()
        (folder / path / "config.json").write_text(json.dumps(config))
    torch.manual_seed(1)
    weights = {"linear.weight": torch.randn(6, 16), "linear.bias": torch.randn(6)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")


@pytest.fixture
def source(rooms, tmp_path) -> Path:
    folder = tmp_path / "source"
    shutil.copytree(rooms / "source", folder)
    write_modules(folder)
    return folder


@pytest.fixture
def rooms(tmp_path) -> Path:
    """A tiny BERT and its tokenizer below ``source``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for text in TEXTS for word in text.lower().split()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    roles = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    names = {f"{role}_token": token for role, token in roles.items()}
    folder = tmp_path / "rooms" / "source"
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=32, **names).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=32, pad_token_id=0, **sizes)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder.parent


def extend(source: str | Path, out: Path, rank: int | None = None) -> Path:
    """``hyperofa init`` onto the source's own tokenizer."""
    from hyperofa import initialise

    initialise(source, str(source), method="mean", rank=rank).save_pretrained(out)
    return out


def same_modules(folder: Path, source: Path) -> bool:
    names = ["modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json"]
    names += ["2_Dense/config.json", "2_Dense/model.safetensors"]
    return all((folder / name).read_bytes() == (source / name).read_bytes() for name in names)


def expected_vectors(model: Path, modules: Path) -> np.ndarray:
    """What such a model makes of :data:`TEXTS`: seven tokens at most, max pooling, projection, unit length."""
    tokenizer, body = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    weights = load_file(modules / "2_Dense" / "model.safetensors")
    rows = []
    for text in TEXTS:
        encoded = tokenizer(text, truncation=True, max_length=7, return_tensors="pt")
        with torch.inference_mode():
            pooled = body(**encoded).last_hidden_state[0].max(0).values
        row = torch.tanh(weights["linear.weight"] @ pooled + weights["linear.bias"])
        rows.append((row / row.norm()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("rank", [None, 4])
def test_extended_trained_and_exported_models_load_as_sentence_transformers(source, tmp_path, rank):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    from hyperofa.model import export_dense, load_for_training

    extended = extend(source, tmp_path / "extended", rank)
    trained = load_for_training(extended).pretrained
    final = write_final(tmp_path / "final", str(extended), "id", 1, trained.save_pretrained, {})
    dense = write_final(tmp_path / "dense", str(final), "id", 1, export_dense(trained).save_pretrained, {})
    for folder in (extended, final, dense):
        assert same_modules(folder, source)
        assert (folder / "3_Normalize").is_dir()
        model = library.SentenceTransformer(str(folder), device="cpu")
        assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Dense", "Normalize"]
        assert model.max_seq_length == 7
        assert model.prompts["query"] == "find: "
        np.testing.assert_allclose(model.encode(TEXTS), expected_vectors(folder, source), atol=1e-5)


def test_the_modules_of_a_hub_id_travel_too(source, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path / "cache")
    put_in_cache(tmp_path / "cache", "owner/sentences", source)
    monkeypatch.chdir(tmp_path)
    extended = extend("owner/sentences", tmp_path / "extended")
    assert same_modules(extended, source)
    model = AutoModel.from_pretrained(source)
    assert same_modules(write_final(tmp_path / "final", "owner/sentences", "id", 1, model.save_pretrained, {}), source)


def test_damaged_modules_are_told_before_any_work(source, tmp_path, monkeypatch):
    (source / "modules.json").write_text("[")
    monkeypatch.setattr("hyperofa.init.pipeline.trace_rows", lambda *given: pytest.fail("work was done before"))
    with pytest.raises(InputError, match=r"modules\.json"):
        extend(source, tmp_path / "extended")
    assert not (tmp_path / "extended").exists()


def test_pickled_weights_are_copied_and_never_loaded(source, tmp_path):
    (source / "2_Dense" / "pytorch_model.bin").write_bytes(b"no pickle at all")
    model = AutoModel.from_pretrained(source)
    final = write_final(tmp_path / "final", str(source), "id", 1, model.save_pretrained, {})
    assert (final / "2_Dense" / "pytorch_model.bin").read_bytes() == b"no pickle at all"


def test_weights_of_the_source_in_other_formats_are_left_behind(source, tmp_path):
    for name in ("onnx/model.onnx", "openvino/openvino_model.bin", "pytorch_model.bin", "tf_model.h5", "rust_model.ot"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"old weights")
    model = AutoModel.from_pretrained(source)
    final = write_final(tmp_path / "final", str(source), "id", 1, model.save_pretrained, {})
    assert not [file for file in final.rglob("*") if file.is_file() and file.read_bytes() == b"old weights"]


@pytest.mark.parametrize("path", ["../secret", "/etc", "1_Pooling/../../secret"])
def test_a_module_outside_its_folder_is_refused(source, tmp_path, path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("mine")
    write = [{"idx": 0, "path": "", "type": "a.Transformer"}, {"idx": 1, "path": path, "type": "a.Pooling"}]
    (source / "modules.json").write_text(json.dumps(write))
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="leaves its folder"):
        carry_sentence_modules(str(source), tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("text", ["{}", '["1_Pooling"]', '[{"type": "a.Transformer"}]', '[{"path": 3, "type": "a"}]'])
def test_damaged_modules_are_told_in_one_line(source, tmp_path, text):
    (source / "modules.json").write_text(text)
    with pytest.raises(InputError, match=r"modules\.json"):
        carry_sentence_modules(str(source), tmp_path)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (
            {"": "models.Transformer", "1_IDF": "sparse_encoder.models.IDF"},
            "its module IDF belongs to the old vocabulary",
        ),
        ({"0_Transformer": "models.Transformer", "1_Pooling": "models.Pooling"}, "not at the top of the directory"),
    ],
)
def test_modules_that_cannot_follow_are_left_with_a_warning(rooms, tmp_path, caplog, kinds, said):
    source = rooms / "source"
    write_modules(source, kinds)
    (tmp_path / "out").mkdir()
    carry_sentence_modules(str(source), tmp_path / "out")
    assert said in caplog.text
    assert not any((tmp_path / "out").iterdir())


def test_a_plain_model_gets_nothing(rooms, tmp_path):
    (tmp_path / "out").mkdir()
    carry_sentence_modules(str(rooms / "source"), tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_the_form_of_a_sentences_vector_is_read(source, rooms, tmp_path):
    assert sentence_form(str(rooms / "source")) is None
    with pytest.raises(InputError, match="vectors are pooled by max"):
        sentence_form(str(source))
    (source / "1_Pooling" / "config.json").write_text(json.dumps({**POOLING, "pooling_mode_max_tokens": False}))
    with pytest.raises(InputError, match="vectors are pooled by nothing"):
        sentence_form(str(source))
    for config, pooling in (
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
    ):
        (source / "1_Pooling" / "config.json").write_text(json.dumps(config))
        # A projection stands between pooling and unit length.
        assert sentence_form(str(source)) == SentenceForm(pooling, normalised=False, max_length=7)
    (source / "1_Pooling" / "config.json").unlink()
    with pytest.raises(InputError, match="no settings of the pooling"):
        sentence_form(str(source))


def test_what_sentence_transformers_does_and_we_do_not_is_warned_of(source, caplog):
    for lower in (False, True):
        (source / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": lower}))
        check_sentence_modules(str(source))
        assert ("lower-cases texts" in caplog.text) is lower
    config = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    (source / "1_Pooling" / "config.json").write_text(json.dumps(config))
    assert sentence_form(str(source)) is not None
    assert "include_prompt is false" in caplog.text
