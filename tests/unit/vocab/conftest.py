"""Tokenizers built in memory, one per family, over the same few words."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hyperofa.vocab.learning.extend import grow_tokenizer
from hyperofa.vocab.learning.sampling import survey
from hyperofa.vocab.settings import ExtendSettings
from hyperofa.vocab.surfaces import byte_alphabet

WORDS = ["dog", "Dog", "DOG", "the", "The", "government", "Gov", "ern", "ment", "s", "er", "政", "府", "政府"]
CHARACTERS = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,'-!", *"éäßñıİ", *"собака"]
CHARACTERS = list(dict.fromkeys(CHARACTERS))
XLMR = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
BERT = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}


def wrap(tokenizer: Tokenizer, roles: dict[str, str]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{role}_token": token for role, token in roles.items()}
    )


def make_wordpiece(*, lowercase: bool = True, words: list[str] | None = None) -> PreTrainedTokenizerFast:
    # [PAD] is id 0, as in BERT: a map that is tested for truth loses it.
    words = WORDS if words is None else words
    words = [w.lower() if lowercase else w for w in words]
    letters = [c.lower() if lowercase else c for c in CHARACTERS]
    pieces = [*BERT.values(), *words, *letters, *[f"##{w}" for w in words], *[f"##{c}" for c in letters]]
    pieces = list(dict.fromkeys(sorted(BERT.values(), key=lambda t: t != "[PAD]") + pieces))
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return wrap(tokenizer, BERT)


def make_byte_level(*, add_prefix_space: bool = False, words: list[str] | None = None) -> PreTrainedTokenizerFast:
    """A BPE tokenizer that merges every word of the list, and the same with a space before it, from left to right."""
    to_character = {byte: character for character, byte in byte_alphabet().items()}
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
    for character in to_character.values():
        vocabulary.setdefault(character, len(vocabulary))
    merges: list[tuple[str, str]] = []
    for word in WORDS if words is None else words:
        for text in (f" {word}", word):
            encoded = "".join(to_character[byte] for byte in text.encode())
            for i in range(2, len(encoded) + 1):
                merge = (encoded[: i - 1], encoded[i - 1])
                if merge not in merges:
                    merges.append(merge)
                vocabulary.setdefault(encoded[:i], len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    return wrap(tokenizer, XLMR)


def make_unigram(*, byte_fallback: bool = False, words: list[str] | None = None) -> PreTrainedTokenizerFast:
    words = WORDS if words is None else words
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁"]
    if byte_fallback:
        pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += [f"▁{word}" for word in words] + words + CHARACTERS
    pieces = [*dict.fromkeys(pieces), "<mask>"]
    scores = [0.0 if p.startswith("<") else -1.0 - 8.0 * (len(p.replace("▁", "")) < 2) for p in pieces]
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=3, byte_fallback=byte_fallback))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return wrap(tokenizer, XLMR)


def make_sentencepiece_bpe(*, words: list[str] | None = None) -> PreTrainedTokenizerFast:
    """As Llama has it: a normalizer that prepends ▁ and replaces spaces, byte fallback, no pre-tokenizer."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    for character in ["▁", *CHARACTERS]:
        vocabulary.setdefault(character, len(vocabulary))
    merges: list[tuple[str, str]] = []
    for word in WORDS if words is None else words:
        for character in word:
            vocabulary.setdefault(character, len(vocabulary))
        for text in (f"▁{word}", word):
            for i in range(2, len(text) + 1):
                merge = (text[: i - 1], text[i - 1])
                if merge not in merges:
                    merges.append(merge)
                vocabulary.setdefault(text[:i], len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return wrap(tokenizer, {"bos": "<s>", "eos": "</s>", "unk": "<unk>"})


MAKERS = {
    "wordpiece-uncased": lambda **k: make_wordpiece(lowercase=True, **k),
    "wordpiece-cased": lambda **k: make_wordpiece(lowercase=False, **k),
    "byte-level": make_byte_level,
    "byte-level-prefix": lambda **k: make_byte_level(add_prefix_space=True, **k),
    "unigram": make_unigram,
    "unigram-bytes": lambda **k: make_unigram(byte_fallback=True, **k),
    "sentencepiece-bpe": make_sentencepiece_bpe,
}


def extended(source, files, vocab_size, kept=(), *, min_count=1, **settings):
    """``source`` extended by the text of files, of which nothing is kept out."""
    chosen = ExtendSettings(vocab_size=vocab_size, held_out=0.0, min_count=min_count, **settings)
    return grow_tokenizer(source, survey(files, chosen), chosen, kept).tokenizer


@pytest.fixture(scope="session")
def families() -> dict[str, PreTrainedTokenizerFast]:
    return {name: make() for name, make in MAKERS.items()}


@pytest.fixture(params=list(MAKERS))
def family_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tokenizer(families: dict[str, PreTrainedTokenizerFast], family_name: str) -> PreTrainedTokenizerFast:
    return families[family_name]
