"""Other libraries' chatter: what is meant to be is not reported, in our commands and at the load of a factorised model."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hyperofa.cli import main
from hyperofa.model import FAMILIES, assemble, export_dense, load_source
from hyperofa_eval.base.quiet import quiet_transformers

LONG = " ".join(["dog", "cat"] * 40)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A factorised BERT whose tokenizer takes 16 tokens, and a text of longer documents."""
    folder = tmp_path_factory.mktemp("quiet")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat"]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    roles = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    names = {f"{role}_token": token for role, token in roles.items()}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=16, **names)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=7, max_position_embeddings=16, **sizes)
    transformers.BertForMaskedLM(config).save_pretrained(folder / "source")
    values = {"coordinates": torch.randn(7, 3), "primitives": torch.randn(3, 8), "head_bias": torch.zeros(7)}
    assemble(load_source(folder / "source"), tokenizer, **values).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "eng.txt").write_text(f"{LONG}\n" * 20)
    return folder


@pytest.fixture
def said():
    """What transformers logs, by the level that is set."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    handler, logger = Collect(), logging.getLogger("transformers")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_factorised_model_directory_makes_no_noise_in_corpus_prepare(extended, tmp_path, said, capfd):
    """Neither of its type, which transformers does not know, nor of documents that are longer than the model takes."""
    words = ["--tokenizer", str(extended / "model"), "--text", f"eng={extended / 'eng.txt'}", "--length", "8"]
    assert main(["corpus", "prepare", *words, "--out", str(tmp_path / "corpus")]) == 0
    assert said == []
    assert capfd.readouterr().err == ""


def test_the_task_lm_says_nothing_of_long_texts(extended, said):
    from hyperofa_eval.models.loading import load_model
    from hyperofa_eval.models.losses import text_losses

    model = load_model(str(extended / "model"), head=True)
    assert text_losses(model, [LONG], 0.5, 0)[0][1] > 0
    assert said == []


def test_loading_a_factorised_model_reports_nothing(extended, said):
    for auto in (transformers.AutoModel, transformers.AutoModelForMaskedLM):
        auto.from_pretrained(extended / "model")
    assert said == []


def test_weights_that_are_truly_new_are_still_reported(extended, said):
    transformers.AutoModelForTokenClassification.from_pretrained(extended / "model")
    assert "classifier" in "".join(said)


@pytest.mark.parametrize("name", sorted(name for name, family in FAMILIES.items() if family.objective == "mlm"))
def test_a_base_model_without_its_pooler_becomes_dense(name):
    family = FAMILIES[name]
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    config = family.factorized_config(**sizes, embedding_rank=3, pad_token_id=1, max_position_embeddings=16)
    model = family.factorized_class("Model")(config).eval()
    ids = torch.tensor([[2, 3, 4]])
    with torch.inference_mode():
        dense = export_dense(model)(ids).last_hidden_state
        torch.testing.assert_close(dense, model(ids).last_hidden_state)
    assert getattr(model, "pooler", None) is None


def test_a_function_of_the_package_leaves_the_callers_level_as_it_was(said):
    level = transformers.logging.get_verbosity()
    with quiet_transformers():
        transformers.logging.get_logger("transformers.test").warning("inside")
    assert transformers.logging.get_verbosity() == level
    assert said == []


@pytest.mark.parametrize(("given", "level"), [(None, "error"), ("info", "info")])
def test_a_level_that_the_user_set_stays(given, level):
    script = (
        "import os, logging; from hyperofa_eval.base.quiet import quiet_libraries; quiet_libraries()\n"
        "assert os.environ['TRANSFORMERS_VERBOSITY'] == os.environ['WANTED']\n"
        "import sys; assert 'transformers' not in sys.modules\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "TRANSFORMERS_VERBOSITY"}
    environment |= {"WANTED": level} | ({} if given is None else {"TRANSFORMERS_VERBOSITY": given})
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0
