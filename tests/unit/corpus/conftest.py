"""Small tokenizers and a small corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

LINES = {
    "eng_Latn": [f"the {animal} sees number {i}" for i in range(40) for animal in ("dog", "cat", "bird")],
    "swh_Latn": [f"mbwa anaona namba {i}" for i in range(25)],
    "kab_Latn": ["aqjun yettwali uṭṭun"] * 9,
}


def encoder_tokenizer() -> PreTrainedTokenizerFast:
    """SentencePiece-style unigram with ``<s> … </s>`` around a document."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=specials, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([line for lines in LINES.values() for line in lines], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    roles = {f"{role}_token": token for role, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


def decoder_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with nothing but an end-of-text token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([line for lines in LINES.values() for line in lines], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


@pytest.fixture(scope="session")
def tokenizer_directory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("encoder")
    encoder_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def decoder_directory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("decoder")
    decoder_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def text_files(tmp_path_factory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("text")
    files = {}
    for language, lines in LINES.items():
        path = folder / f"{language}.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        files[language] = [str(path)]
    return files


@pytest.fixture(scope="session")
def corpus(tmp_path_factory, tokenizer_directory, text_files):
    from hyperofa.corpus.prepare import prepare
    from hyperofa.corpus.settings import CorpusSettings

    return prepare(tokenizer_directory, text_files, tmp_path_factory.mktemp("c") / "corpus", CorpusSettings(length=32))
