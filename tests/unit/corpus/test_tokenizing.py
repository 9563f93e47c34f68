"""Documents as tokens: where they end, which tokens are special or go on a word, and the processes that make them."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hyperofa.cli import main
from hyperofa.corpus.packed import PackedCorpus
from hyperofa.corpus.prepare import prepare
from hyperofa.corpus.settings import CorpusSettings
from hyperofa.corpus.tokenizing import DocumentTokenizer, token_table, tokenizing
from hyperofa.errors import HyperofaError, InputError

from .conftest import decoder_tokenizer, encoder_tokenizer


def test_an_unknown_word_is_no_end(tmp_path):
    """A Georgian decoder knows no Latin letter: the unknown token is special too, and closes nothing."""
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in ("<unk>", "</s>", "▁", "წყალი")], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>").save_pretrained(tmp_path)
    (document,) = DocumentTokenizer(tmp_path)(["წყალი"])
    assert document.ids.tolist() == [2, 3, 1]


def chat_tokenizer(folder, *, eos="<|im_end|>", also=("<|endoftext|>",), template="{{ '<|im_start|>' }}<|im_end|>"):
    """A byte-level decoder whose end-of-sequence token ends a turn of its chat."""
    tokenizer = decoder_tokenizer().backend_tokenizer
    tokenizer.add_special_tokens(["<|im_end|>", *also])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, unk_token="<|endoftext|>")
    made.chat_template = template
    made.save_pretrained(folder)
    return folder


def ends_of(corpus):
    """The last token of every whole document of a corpus of one sequence."""
    ids, segments = corpus.rows(np.arange(1))
    return {int(ids[0][segments[0] == index][-1]) for index in range(int(segments[0].max()))}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [([], "<|endoftext|>"), (["--document-end", "<|im_end|>"], "<|im_end|>"), (["--document-end", "none"], None)],
)
def test_a_chat_models_documents_do_not_end_its_turn(tmp_path, capsys, options, wanted):
    folder = chat_tokenizer(tmp_path / "t")
    (tmp_path / "eng.txt").write_text("the dog\nthe cat\nthe bird\n" * 3)
    words = ["--tokenizer", str(folder), "--text", str(tmp_path / "eng.txt"), "--length", "64"]
    assert main(["corpus", "prepare", *words, *options, "--out", str(tmp_path / "c"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["languages"][0]["unknown"] == 0
    known = DocumentTokenizer(folder).tokenizer
    special = {known.convert_tokens_to_ids(name): name for name in ("<|endoftext|>", "<|im_end|>")}
    assert {special.get(end) for end in ends_of(PackedCorpus.open(tmp_path / "c"))} == {wanted}


def test_an_end_of_turn_is_taken_where_the_vocabulary_has_no_other_and_that_is_said(tmp_path, caplog):
    tokenizer = Tokenizer(models.WordLevel({"<end_of_turn>": 0, "a": 1}, unk_token="a"))
    tokenizer.add_special_tokens(["<end_of_turn>"])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end_of_turn>")
    made.chat_template = "<end_of_turn>"
    made.save_pretrained(tmp_path)
    assert DocumentTokenizer(tmp_path).end == [0]
    assert "documents end with <end_of_turn>, which ends a turn of its chat too" in caplog.text
    made.chat_template = "{{ messages[0]['content'] }}"
    made.save_pretrained(tmp_path)
    caplog.clear()
    assert DocumentTokenizer(tmp_path).end == [0]
    assert not caplog.text


def test_a_vocabulary_with_holes_has_a_row_for_every_id(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({"</s>": 0, "a": 1, "b": 7}, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(tmp_path / "t")
    (tmp_path / "eng.txt").write_text("a b\n" * 9)
    corpus = prepare(tmp_path / "t", {"eng": [str(tmp_path / "eng.txt")]}, tmp_path / "c", CorpusSettings(length=9))
    assert corpus.vocab_size == 8
    assert np.flatnonzero(~corpus.tokens.special).tolist() == [1, 7]


def test_token_tables_know_special_and_continuing_tokens(tokenizer_directory):
    encoder = encoder_tokenizer()
    table = token_table(encoder)
    assert table.special[:5].all()
    assert not table.special[5:].any()
    for token, index in encoder.get_vocab().items():
        assert table.continuation[index] == (index >= 5 and not token.startswith("▁"))
    decoder = decoder_tokenizer()
    table = token_table(decoder)
    assert table.special.sum() == 1
    vocabulary = decoder.get_vocab()
    assert not table.continuation[vocabulary["Ġ"]]
    assert table.continuation[vocabulary["a"]]


def test_special_tokens_without_a_role_are_special():
    tokenizer = decoder_tokenizer()
    tokenizer.backend_tokenizer.add_special_tokens(["<|turn|>"])
    assert token_table(tokenizer).special[tokenizer.get_vocab()["<|turn|>"]]


@pytest.mark.parametrize("content", ["[]", "{}", '{"version": "1.0", "model": 3}', "nonsense"])
def test_a_damaged_tokenizer_is_one_line(tokenizer_directory, tmp_path, content):
    shutil.copytree(tokenizer_directory, tmp_path / "t")
    (tmp_path / "t" / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match="cannot load its tokenizer") as caught:
        DocumentTokenizer(tmp_path / "t")
    assert "\n" not in str(caught.value)


def test_a_killed_worker_is_one_line(tokenizer_directory, monkeypatch):
    monkeypatch.setattr("hyperofa.corpus.tokenizing._work", os._exit)
    monkeypatch.setattr("hyperofa.corpus.tokenizing.chunks", lambda texts, size: iter([9]))
    with (
        pytest.raises(HyperofaError, match="a process that tokenises was killed"),
        tokenizing(tokenizer_directory, 2) as tokenize,
    ):
        list(tokenize(["a"]))


def test_processes_start_once_for_all_languages(tokenizer_directory, text_files, tmp_path, monkeypatch):
    assert len(text_files) > 1
    pools = []

    def pool(*arguments, **options):
        pools.append(ProcessPoolExecutor(*arguments, **options))
        return pools[-1]

    monkeypatch.setattr("hyperofa.corpus.tokenizing.ProcessPoolExecutor", pool)
    prepare(tokenizer_directory, text_files, tmp_path / "corpus", CorpusSettings(length=32, processes=2))
    assert len(pools) == 1


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "###", "##", "#"]
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    roles = ("pad", "unk", "cls", "sep", "mask")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{role}_token": f"[{role.upper()}]" for role in roles}
    )


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    pieces = ["<unk>", "<mask>", "▁", "▁play", "ing", "###", "▁###", "##", "#"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", mask_token="<mask>")


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    words = ["<|end|>", "Ġ", "Ġplay", "ing", "##", "###", "Ġ###"]
    vocabulary = {
        word: index for index, word in enumerate([*words, *sorted({*pre_tokenizers.ByteLevel.alphabet()} - {"Ġ"})])
    }
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


@pytest.mark.parametrize(
    ("make", "continuing", "starting"),
    [
        (wordpiece_tokenizer, {"##ing", "###"}, {"play", "##", "#"}),
        (unigram_tokenizer, {"ing", "###", "##", "#"}, {"▁play", "▁", "▁###"}),
        (byte_level_tokenizer, {"ing", "###", "##", "#"}, {"Ġplay", "Ġ", "Ġ###"}),
    ],
)
def test_headings_in_a_vocabulary_do_not_make_it_wordpiece(make, continuing, starting):
    tokenizer = make()
    table, vocabulary = token_table(tokenizer), tokenizer.get_vocab()
    assert {token for token in continuing | starting if table.continuation[vocabulary[token]]} == continuing
