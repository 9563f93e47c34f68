"""How the source spells its own tokens without themselves, in each kind of tokenizer, against slow references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hyperofa.init.spelling.spell import Source, Spellings
from tests.unit.init.conftest import unigram_tokenizer, wordpiece_tokenizer


def pieces_of(tokenizer, token):
    table = Source(tokenizer, len(tokenizer)).own
    return tokenizer.convert_ids_to_tokens(table.of_token(tokenizer.convert_tokens_to_ids(token)).tolist())


def byte_level(merges):
    names = sorted({*"Ġabcdef", *(part for merge in merges for part in merge), *("".join(merge) for merge in merges)})
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def with_byte_tokens(kind):
    letters = ["▁", "a", "b"]
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, "▁a", "▁ab", "é"]
    if kind == "unigram":
        model = models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=0, byte_fallback=True)
    else:
        numbers = {piece: i for i, piece in enumerate(pieces)}
        model = models.BPE(numbers, [("▁", "a"), ("▁a", "b")], unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


class TestOwnSpellings:
    def test_of_unigram_are_the_best_path_without_the_token(self):
        tokenizer = unigram_tokenizer(["▁dog", "dog", "▁do", "og", "▁d", "do"])
        scores = {piece: -2.0 - 0.1 * i for i, piece in enumerate(["▁dog", "dog", "▁do", "og", "▁d", "do"])}
        scores |= dict.fromkeys("▁abcdefghiklmnoprtuwxyz", -9.0)
        for word in ("▁dog", "dog", "▁do"):
            ways = []
            for cuts in itertools.product([False, True], repeat=len(word) - 1):
                parts, start = [], 0
                for place, cut in enumerate(cuts, start=1):
                    if cut:
                        parts.append(word[start:place])
                        start = place
                parts.append(word[start:])
                if len(parts) > 1 and all(part in scores for part in parts):
                    ways.append((sum(scores[part] for part in parts), parts))
            assert pieces_of(tokenizer, word) == max(ways)[1]

    def test_of_bpe_are_the_merges_up_to_its_own(self):
        tokenizer = byte_level([("a", "b"), ("ab", "c"), ("Ġ", "abc"), ("b", "c")])
        assert pieces_of(tokenizer, "Ġabc") == ["Ġ", "abc"]
        assert pieces_of(tokenizer, "abc") == ["ab", "c"]
        assert pieces_of(tokenizer, "ab") == ["a", "b"]
        assert pieces_of(tokenizer, "a") == []

    @pytest.mark.parametrize("kind", ["unigram", "bpe"])
    def test_of_a_character_are_its_bytes(self, kind):
        tokenizer = with_byte_tokens(kind)
        assert pieces_of(tokenizer, "é") == ["<0xC3>", "<0xA9>"]
        assert pieces_of(tokenizer, "▁ab") == ["▁a", "b"]

    def test_of_wordpiece_are_the_longest_matches_without_it(self):
        tokenizer = Tokenizer(models.WordPiece({n: i for i, n in enumerate(["[UNK]", "walk", "wal", "##k", "##king"])}))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
        assert pieces_of(tokenizer, "walk") == ["wal", "##k"]
        assert pieces_of(tokenizer, "##king") == []  # ##ing is no token

    def test_leave_special_tokens_out(self):
        table = Source(wordpiece_tokenizer(), 19).own
        assert not table.counts[:5].any()


class TestInside:
    def inside(self, tokenizer, *tokens, hidden=()):
        source = Source(tokenizer, len(tokenizer))
        ids = [tokenizer.convert_tokens_to_ids(list(pieces)) for pieces in tokens]
        mask = np.isin(np.arange(len(tokenizer)), tokenizer.convert_tokens_to_ids(list(hidden)))
        found = source.inside(Spellings.of(ids), mask)
        return [tokenizer.convert_ids_to_tokens(found.of_token(i).tolist()) for i in range(len(found))]

    def test_are_the_longest_tokens_within(self):
        tokenizer = unigram_tokenizer(["▁dog", "▁do", "dog", "og", "ogs", "gs"])
        assert self.inside(tokenizer, ["▁do", "gs"]) == [["▁dog", "ogs"]]
        assert self.inside(tokenizer, ["▁do", "gs"], hidden=["▁dog"]) == [["▁do", "dog", "ogs"]]
        assert self.inside(tokenizer, ["▁dog"], ["o"]) == [["▁do", "dog"], []]  # never the whole, never a letter

    def test_of_wordpiece_bear_the_mark_unless_they_begin(self):
        tokenizer = wordpiece_tokenizer()
        assert self.inside(tokenizer, ["walk", "##ing", "##s"], ["##ing", "##s"]) == [["walk", "##ing"], ["##ing"]]

    def test_do_not_reach_over_bytes(self):
        tokenizer = with_byte_tokens("unigram")
        assert self.inside(tokenizer, ["▁a", "<0xC3>", "b"]) == [["▁a"]]


class TestNewSpellings:
    def test_leave_unknown_pieces_out(self):
        source, target = wordpiece_tokenizer(), unigram_tokenizer(["▁dogs", "▁zzz", "s"])
        found = Source(source, len(source)).spell(target, np.array([5, 6, 7]))
        names = [source.convert_ids_to_tokens(found.of_token(i).tolist()) for i in range(3)]
        assert names == [["dog", "##s"], [], ["##s"]]


class TestSpellings:
    def test_finer_replaces_what_is_cut_by_what_spells_it(self):
        table = Spellings.of([[], [], [0, 1], [2, 0]])
        given = Spellings.of([[3, 2], [], [1]])
        cut = np.array([True, False, True])
        found = given.finer(cut, table)
        assert [found.of_token(i).tolist() for i in range(3)] == [[2, 0, 2], [], [1]]

    def test_without_spells_hidden_tokens_in_turn(self):
        table = Spellings.of([[], [], [0, 1], [2, 0]])
        given = Spellings.of([[3], [1], [0]])
        found = given.without(np.array([False, True, True, True]), table)
        assert [found.of_token(i).tolist() for i in range(3)] == [[], [], [0]]
        found = given.without(np.array([False, False, True, True]), table)
        assert [found.of_token(i).tolist() for i in range(3)] == [[0, 1, 0], [1], [0]]

    def test_chosen_are_those_of_the_tokens(self):
        found = Spellings.of([[1, 2], [], [3]]).chosen(np.array([2, 0]))
        assert [found.of_token(i).tolist() for i in range(2)] == [[3], [1, 2]]
