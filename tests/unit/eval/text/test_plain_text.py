"""Special tokens that are typed in a text, for every family of tokenizers."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from hyperofa_eval.text.plain_text import PlainText

LETTERS = sorted(set("abcdefghijklmnopqrstuvwxyz<>/|[]_▁ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


def wrapped(backend, start, end, **roles):
    """A fast tokenizer that puts ``start`` and ``end`` around a text."""
    ids = [(token, backend.token_to_id(token)) for token in (start, end)]
    backend.post_processor = processors.TemplateProcessing(single=f"{start} $A {end}", special_tokens=ids)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def unigram(byte_fallback=False):
    """As XLM-R: the special tokens are pieces of the model too, the mask with the space before it."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(f"<0x{b:02X}>" for b in range(256) if byte_fallback)]
    vocabulary = [(piece, 0.0) for piece in pieces] + [(letter, -9.0) for letter in LETTERS]
    backend = Tokenizer(
        models.Unigram([*vocabulary, ("▁dog", -2.0), ("<mask>", 0.0)], unk_id=3, byte_fallback=byte_fallback)
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    return wrapped(backend, "<s>", "</s>", bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
                   mask_token=mask)  # fmt: skip


def byte_level():
    """As GPT-2 with chat tokens: the specials are added tokens alone, and one is the unknown token too."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate([*alphabet, "do", "dog"])}, [("d", "o"), ("do", "g")])
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", unk_token="<|endoftext|>")


def sentencepiece_bpe():
    """As Llama 2, with merges that make a special token of its characters."""
    pieces = ["<unk>", "<s>", "</s>", *LETTERS, "</", "s>", "do", "dog"]
    merges = [("<", "/"), ("s", ">"), ("</", "s>"), ("d", "o"), ("do", "g")]
    backend = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return wrapped(backend, "<s>", "</s>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def whole_words():
    """A BPE that takes whole words of its vocabulary without merging (Llama 3's ``ignore_merges``)."""
    pieces = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "dog"]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return wrapped(backend, "<s>", "</s>", bos_token="<s>", eos_token="</s>")


def wordpiece(pre_tokenizer):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + letter for letter in LETTERS), "dog"]
    backend = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizer
    roles = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]", "unk": "[UNK]"}
    return wrapped(backend, "[CLS]", "[SEP]", **{f"{role}_token": token for role, token in roles.items()})


FAMILIES = {
    "unigram": (unigram, ["</s>", "<s>", "<mask>", "<pad>", "<unk>"]),
    "unigram with bytes": (lambda: unigram(byte_fallback=True), ["</s>", "<mask>", "<unk>"]),
    "byte-level": (byte_level, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]),
    "sentencepiece bpe": (sentencepiece_bpe, ["</s>", "<s>", "<unk>"]),
    "whole words": (whole_words, ["</s>", "<s>"]),
    "wordpiece": (lambda: wordpiece(pre_tokenizers.BertPreTokenizer()), ["[SEP]", "[MASK]", "[CLS]", "[UNK]"]),
    "wordpiece by spaces": (lambda: wordpiece(pre_tokenizers.WhitespaceSplit()), ["[SEP]", "[MASK]", "[CLS]"]),
}
CASES = [(name, token) for name, (_, tokens) in FAMILIES.items() for token in tokens]


@pytest.fixture(scope="module")
def tokenizers():
    return {name: make() for name, (make, _) in FAMILIES.items()}


@pytest.mark.parametrize(("name", "token"), CASES)
@pytest.mark.parametrize("text", ["the dog {} dog", "{}", "{}{}dog", "dog{}", " {} "])
def test_a_typed_special_token_is_text(tokenizers, name, token, text):
    tokenizer = tokenizers[name]
    plain, line, number = PlainText(tokenizer), text.replace("{}", token), tokenizer.convert_tokens_to_ids(token)
    found, counts = plain.with_counts([line, "the dog"], return_special_tokens_mask=True)
    assert counts == [text.count("{}"), 0]
    assert plain.example(line) == token
    frame = tokenizer("")["input_ids"]
    ids, mask = found["input_ids"][0], found["special_tokens_mask"][0]
    if token != tokenizer.unk_token or name == "byte-level":
        assert ids.count(number) == frame.count(number)
    assert sum(mask) == len(frame)
    assert len(ids) > len(frame)
    assert found["input_ids"][1] == tokenizer("the dog")["input_ids"]


@pytest.mark.parametrize("name", FAMILIES)
def test_other_text_has_the_ids_it_always_had(tokenizers, name):
    tokenizer = tokenizers[name]
    plain = PlainText(tokenizer)
    texts = ["the dog", "", " dog  dogs ", "< / s >", "s > [ SEP", "a|b", "\U0001f600 \u00e9\u0301", "THE DOG"]
    found, counts = plain.with_counts(texts)
    assert found["input_ids"] == tokenizer(texts)["input_ids"]
    assert counts == [0] * len(texts)  # what the tokenizer does not know is not typed
    assert plain._plain(texts)["input_ids"] == tokenizer(texts)["input_ids"]


@pytest.mark.parametrize("name", FAMILIES)
def test_as_tokens_is_the_old_reading_with_a_count(tokenizers, name):
    tokenizer, token = tokenizers[name], FAMILIES[name][1][0]
    texts = [f"the dog {token} dog", "dog"]
    found, counts = PlainText(tokenizer).with_counts(texts, as_tokens=True)
    assert found["input_ids"] == tokenizer(texts)["input_ids"]
    assert counts == [1, 0]


def test_truncation_and_offsets_are_the_tokenizers_own(tokenizers):
    plain = PlainText(tokenizers["unigram"])
    options = {"truncation": True, "max_length": 8, "return_offsets_mapping": True}
    found = plain(["dog </s> dog dog dog", "dog"], **options)
    assert len(found["input_ids"][0]) == len(found["offset_mapping"][0]) == 8
    assert found["input_ids"][0][-1] == 2
    assert found["offset_mapping"][0][2:6] == [(3, 4), (4, 5), (5, 6), (6, 7)]


def test_reading_text_leaves_the_tokenizer_as_it_was(tokenizers):
    for tokenizer in tokenizers.values():
        before = tokenizer.backend_tokenizer.to_str()
        PlainText(tokenizer)([f"a {tokenizer.eos_token or tokenizer.sep_token}"])
        assert tokenizer.backend_tokenizer.to_str() == before
        assert not tokenizer.backend_tokenizer.encode_special_tokens


def test_a_word_that_a_tagger_reads_is_text(tokenizers):
    from hyperofa_eval.models.words import WordEncoder

    for name, (_, tokens) in FAMILIES.items():
        tokenizer = tokenizers[name]
        for prefix_space in (True, False):
            rows = WordEncoder(tokenizer, prefix_space=prefix_space).pieces(["dog", tokens[0], "dog"])
            assert tokenizer.convert_tokens_to_ids(tokens[0]) not in rows[1]
            assert rows[0] == rows[2]
