"""Words to sub-tokens: one word stays one, byte-level BPE gets its space, long sentences come back whole."""

from __future__ import annotations

from hyperofa_eval.data.readers import Sentence
from hyperofa_eval.models.words import WordEncoder, cut_at_spaces, cut_long


def unigram():
    """SentencePiece-like pieces with a word-start mark."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [("<unk>", 0.0), ("▁dog", -1.0), ("dog", -1.0), ("▁", -2.0), ("s", -2.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def names(tokenizer, rows):
    return [tokenizer.convert_ids_to_tokens(list(row)) for row in rows]


def test_byte_level_words_get_the_space_of_running_text(byte_level):
    assert names(byte_level, WordEncoder(byte_level).pieces(["dog", "dog"])) == [["Ġdog"], ["Ġdog"]]


def test_paper_gives_byte_level_words_no_space(byte_level):
    assert names(byte_level, WordEncoder(byte_level, prefix_space=False).pieces(["dog"])) == [["dog"]]


def test_every_word_of_a_unigram_sentence_has_its_mark():
    tokenizer = unigram()
    assert names(tokenizer, WordEncoder(tokenizer).pieces(["dogs", "dog"])) == [["▁dog", "s"], ["▁dog"]]


def test_a_token_with_a_no_break_space_stays_one(tokenizer):
    words = WordEncoder(tokenizer)
    sentence = Sentence(("10\u00a0000", "dogs"), ("NUM", "NOUN"))
    (window,) = words.windows([sentence], 64)
    assert len(window.first) == 2
    assert cut_at_spaces([sentence]) == [Sentence(("10", "000", "dogs"), ("NUM", "NUM", "NOUN"))]


def test_a_word_that_vanishes_is_one_unknown_token(tokenizer):
    assert WordEncoder(tokenizer).pieces(["\u00a0"]) == [(tokenizer.unk_token_id,)]


def test_windows_are_framed_cut_between_words_and_cover_every_word(tokenizer):
    words = WordEncoder(tokenizer)
    tokens = ("dog", "sleeps", "in", "the", "garden", "and", "eats", "fish", "today")
    windows = words.windows([Sentence(tokens, ("X",) * len(tokens))], 16)
    assert len(windows) > 1
    place = 0
    for window in windows:
        assert len(window.ids) <= 16
        assert window.ids[0] == tokenizer.cls_token_id
        assert window.ids[-1] == tokenizer.sep_token_id
        assert window.start == place
        for i, first in enumerate(window.first):
            assert window.ids[first] == words.pieces([tokens[place + i]])[0][0]
        place += len(window.first)
    assert place == len(tokens)


def test_a_word_longer_than_a_window_keeps_its_beginning(tokenizer):
    (window,) = WordEncoder(tokenizer).windows([Sentence(("a" * 50,), ("X",))], 12)
    assert len(window.ids) == 12
    assert window.first == (1,)


def test_paper_scores_the_pieces_of_a_long_sentence_alone(tokenizer):
    tokens = ("dog", "sleeps", "in", "the", "garden")
    tags = ("B-PER", "I-PER", "I-PER", "I-PER", "O")
    parts = cut_long([Sentence(tokens, tags)], WordEncoder(tokenizer), 12)
    assert [part.tokens for part in parts] == [("dog", "sleeps"), ("in", "the"), ("garden",)]
    assert parts[1].tags == ("I-PER", "I-PER")
