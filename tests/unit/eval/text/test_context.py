"""A word's pieces are those it has in running text after a space, in every family of tokenizers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa_eval.data.readers import Sentence
from hyperofa_eval.models.words import WordEncoder

LETTERS = "abcdenou"
MARKED = ("▁", "▁und", "und", "un", "▁un", "▁a", "▁do", "ne", "▁▁")


def _fast(backend, **names):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>", **names)


def _marked_bpe(normalizer=None, pre_tokenizer=None, letters=LETTERS):
    """BPE with SentencePiece's mark; what makes the mark is given."""
    from tokenizers import Tokenizer, models

    merges = [("▁", "u"), ("u", "n"), ("un", "d"), ("▁u", "n"), ("▁un", "d"), ("n", "e"), ("▁", "a"), ("▁", "▁")]
    pieces = dict.fromkeys(["<unk>", "</s>", "▁", *letters, *(a + b for a, b in merges)])
    merges = [pair for pair in merges if {*pair} <= pieces.keys()]
    backend = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", fuse_unk=True))
    backend.normalizer, backend.pre_tokenizer = normalizer, pre_tokenizer
    return _fast(backend)


def gemma():
    from tokenizers import normalizers

    return _marked_bpe(normalizers.Replace(" ", "▁"))


def llama_legacy():
    from tokenizers import normalizers

    return _marked_bpe(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))


def metaspace(scheme, *, split=True):
    from tokenizers import pre_tokenizers

    return _marked_bpe(None, pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split))


def unigram(scheme):
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((p, -2.0) for p in MARKED), *((c, -4.0) for c in LETTERS)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    return _fast(backend)


def byte_level(*, prefix):
    from tokenizers import Tokenizer, models, pre_tokenizers

    merges = [("u", "n"), ("un", "d"), ("Ġ", "und"), ("Ġ", "a")]
    pieces = ["<unk>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    backend = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    return _fast(backend)


def wordpiece():
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = ["<unk>", "</s>", "und", "a", *("##" + c for c in LETTERS), *LETTERS[1:]]
    backend = Tokenizer(models.WordPiece({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _fast(backend)


def characters():
    """No mark of a word's start, and a space is a character like others."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    pieces = {p: i for i, p in enumerate(["<unk>", "</s>", " ", *LETTERS])}
    backend = Tokenizer(models.WordLevel(pieces, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return _fast(backend)


def byt5():
    """A slow tokenizer of bytes, without a vocabulary file."""
    import transformers

    return transformers.ByT5Tokenizer()


def georgian():
    """A vocabulary without one Latin letter."""
    from tokenizers import normalizers

    return _marked_bpe(normalizers.Replace(" ", "▁"), letters="აბგდე")


FAMILIES = {
    "gemma": gemma,
    "llama legacy": llama_legacy,
    "metaspace never": lambda: metaspace("never"),
    "metaspace first": lambda: metaspace("first"),
    "metaspace always": lambda: metaspace("always"),
    "metaspace never, not split": lambda: metaspace("never", split=False),
    "unigram never": lambda: unigram("never"),
    "unigram first": lambda: unigram("first"),
    "unigram always": lambda: unigram("always"),
    "byte-level": lambda: byte_level(prefix=False),
    "byte-level, prefix": lambda: byte_level(prefix=True),
    "wordpiece": wordpiece,
    "characters": characters,
    "byt5": byt5,
}


@pytest.fixture(scope="module")
def encoders():
    return {name: (tokenizer, WordEncoder(tokenizer)) for name, make in FAMILIES.items() if (tokenizer := make())}


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.text(LETTERS, min_size=1, max_size=6), min_size=1, max_size=5))
def test_the_words_of_a_sentence_have_the_pieces_of_running_text(encoders, family, words):
    tokenizer, encoder = encoders[family]
    first = tokenizer("ab", add_special_tokens=False)["input_ids"]
    whole = tokenizer(" ".join(["ab", *words]), add_special_tokens=False)["input_ids"]
    assert [*first, *(token for row in encoder.pieces(words) for token in row)] == whole


@pytest.mark.parametrize(
    ("family", "expected"), [("gemma", "▁und"), ("metaspace never", "▁und"), ("byte-level", "Ġund")]
)
def test_a_lone_word_stands_as_after_a_space(encoders, family, expected):
    tokenizer, encoder = encoders[family]
    assert tokenizer.convert_ids_to_tokens(list(encoder.pieces(["und"])[0])) == [expected]
    (window,) = encoder.windows([Sentence(("und", "und"), ("X", "X"))], 10)
    assert tokenizer.convert_ids_to_tokens([window.ids[place] for place in window.first]) == [expected, expected]


def test_the_papers_protocol_takes_each_word_by_itself():
    tokenizer = gemma()
    (row,) = WordEncoder(tokenizer, prefix_space=False).pieces(["und"])
    assert tokenizer.convert_ids_to_tokens(list(row)) == ["und"]


def test_a_vocabulary_without_latin_letters_is_asked_with_its_own():
    tokenizer = georgian()
    (row,) = WordEncoder(tokenizer).pieces(["დაბა"])
    assert tokenizer.convert_ids_to_tokens(list(row)) == ["▁", "დ", "ა", "ბ", "ა"]


def test_a_tokenizer_that_raises_for_unknown_characters_is_asked_with_characters_it_has():
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.Unigram([("▁", -1.0), ("ბ", -1.0), ("▁ბა", -1.0), ("ა", -1.0)]))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer = _fast(backend)
    (row,) = WordEncoder(tokenizer).pieces(["ბა"])
    assert tokenizer.convert_ids_to_tokens(list(row)) == ["▁ბა"]


def test_a_piece_that_joins_two_words_does_not_hide_the_second():
    """Where the vocabulary joins the first word that is tried with what follows, another is tried."""
    from tokenizers import Tokenizer, models, normalizers

    pieces = [("<unk>", 0.0), ("a▁und", -0.1), ("▁und", -1.0), *((c, -2.0) for c in "▁aeound")]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.normalizer = normalizers.Replace(" ", "▁")
    tokenizer = _fast(backend)
    assert tokenizer.convert_ids_to_tokens(list(WordEncoder(tokenizer).pieces(["und"])[0])) == ["▁und"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_word_has_a_piece_whatever_it_holds(encoders, family):
    words = ["", " ", "\u00a0", "\u3000", "中文", "\u0301x", "a" * 5000, "\U0001f600", "</s>", "\u200b", "a b"]
    assert all(encoders[family][1].pieces(words))


def test_special_tokens_around_a_text_are_found_where_its_letters_are_unknown():
    from tokenizers import normalizers, processors

    tokenizer = georgian()
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([normalizers.Replace("a", ""), normalizers.Replace(" ", "▁")])
    backend.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    encoder = WordEncoder(tokenizer)
    assert (encoder.before, encoder.after) == ([1], [])
