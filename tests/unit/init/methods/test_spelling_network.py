"""The spelling network as a method: what it predicts with and without word vectors, and how the judge chooses."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hyperofa.init.method import make_settings, run_method
from hyperofa.init.problem import Problem
from hyperofa.init.registry import find_method
from hyperofa.init.spelling.spell import Source
from tests.unit.init.conftest import asked, unigram_tokenizer, wordpiece_tokenizer, written

SMALL = {"hidden": "8", "layers": "1", "epochs": "1", "device": "cpu"}
METHOD = find_method("spelling-network")


@pytest.fixture
def spelled():
    """A problem of the tiny tokenizers without vectors, and of one source token that others spell."""
    from scipy.sparse import csr_matrix

    source, target = wordpiece_tokenizer(more=["walks"]), unigram_tokenizer(["▁dogs", "▁walking", "▁zzz", "▁s"])
    return Problem(
        rows=np.random.default_rng(0).normal(1, 2, (len(source), 6)).astype(np.float32),
        vectors=np.zeros((0, 1), dtype=np.float32),
        source_words=csr_matrix((len(source), 0), dtype=np.float32),
        target_words=csr_matrix((len(target), 0), dtype=np.float32),
        source_ids=np.full(len(target), -1),
        predict_ids=np.array([5, 6, 7]),
        source_groups=np.arange(len(source)),
        source_tokenizer=source,
        target_tokenizer=target,
    )


def solve(problem, **options):
    given = dataclasses.replace(problem, settings=make_settings(METHOD, SMALL | options), notes={})
    return run_method(METHOD, given), given.notes


def mean_of(problem, *names):
    return problem.rows[problem.source_tokenizer.convert_tokens_to_ids(list(names))].mean(axis=0)


class TestRows:
    def test_of_the_base_alone_are_the_mean_of_pieces(self, spelled):
        rows, notes = solve(spelled, mix="base", norm="as-predicted")
        np.testing.assert_allclose(rows[0], mean_of(spelled, "dog", "##s"), atol=1e-5)
        np.testing.assert_allclose(rows[1], mean_of(spelled, "walk", "##ing"), atol=1e-5)
        assert notes["network"]["new_tokens"] == {"pieces": pytest.approx(4 / 3, abs=0.01), "nothing_known": 1}

    def test_of_a_source_that_teaches_nothing_are_the_mean_of_pieces(self, spelled):
        """A vocabulary of whole words alone: none of its tokens is spelled by others."""
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat"]
        backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
        source = PreTrainedTokenizerFast(tokenizer_object=backend, cls_token="[CLS]", sep_token="[SEP]", **names)
        target = unigram_tokenizer(["▁dog cat", "▁zzz", "▁cat"])
        text = SimpleNamespace(holds=lambda tokenizer, size: np.zeros(size, dtype=bool))
        for model in (None, text):
            made = dataclasses.replace(spelled, source_tokenizer=source, target_tokenizer=target, model=model)
            rows, notes = solve(made, mix="network", norm="as-predicted")
            np.testing.assert_allclose(rows[0], mean_of(made, "dog", "cat"), atol=1e-5)
            assert notes["network"]["learned_from"] == 0

    def test_half_lies_between(self, spelled):
        parts = [solve(spelled, mix=mix, norm="as-predicted")[0] for mix in ("base", "half", "network")]
        np.testing.assert_allclose(parts[1][:2], (parts[0] + parts[2])[:2] / 2, atol=1e-5)

    def test_of_an_encoder_have_the_source_s_length(self, spelled):
        centre = spelled.rows.mean(axis=0)
        rows, _ = solve(spelled)
        length = np.linalg.norm(spelled.rows - centre, axis=1).mean()
        np.testing.assert_allclose(np.linalg.norm(rows[:2] - centre, axis=1), length, rtol=1e-4)

    def test_of_a_decoder_are_half_the_mean_of_pieces(self, spelled):
        decoder = dataclasses.replace(spelled, causal=True, tied=True)
        rows, notes = solve(decoder)
        np.testing.assert_array_equal(rows, solve(decoder, mix="half", base="pieces", norm="as-predicted")[0])
        assert notes["choice"]["by"] == "rule"

    def test_are_the_same_twice(self, spelled):
        np.testing.assert_array_equal(solve(spelled)[0], solve(spelled)[0])


class TestJudge:
    @pytest.mark.parametrize("best", ["network", "half", "base"])
    def test_chooses_the_rows_of_the_least_loss(self, spelled, best):
        wanted, _ = solve(spelled, mix=best)
        judged = dataclasses.replace(spelled, judge=lambda rows: float(np.abs(rows - wanted).sum()))
        rows, notes = solve(judged)
        np.testing.assert_array_equal(rows, wanted)
        assert (notes["choice"]["mix"], notes["choice"]["by"]) == (best, "held-out text")
        assert min(notes["choice"]["losses"], key=notes["choice"]["losses"].get) == f"pieces+{best}"

    def test_is_not_asked_where_the_settings_say_all(self, spelled):
        def judge(rows):
            raise AssertionError

        _, notes = solve(dataclasses.replace(spelled, judge=judge), mix="half")
        assert notes["choice"]["by"] == "settings"


class TestBase:
    @pytest.fixture
    def told(self, spelled):
        """The problem with vectors of the words dog, which is the start of ▁dogs, and zzz."""
        from scipy.sparse import csr_matrix

        source, target = np.zeros((len(spelled.rows), 2)), np.zeros((len(spelled.source_ids), 2))
        source[spelled.source_tokenizer.convert_tokens_to_ids(["dog", "cat"])] = np.eye(2)
        target[5], target[7] = [1, 0], [0, 1]
        matrices = [csr_matrix(one.astype(np.float32)) for one in (source, target)]
        vectors = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
        return dataclasses.replace(spelled, vectors=vectors, source_words=matrices[0], target_words=matrices[1])

    def test_of_vectors_is_ofa_ridge_and_the_network_elsewhere(self, told):
        ridge = find_method("ofa-ridge")
        part = dataclasses.replace(told, predict_ids=np.array([5, 7]), settings=make_settings(ridge, {}))
        expected = run_method(ridge, part)
        rows, notes = solve(told, base="vectors")
        np.testing.assert_allclose(rows[[0, 2]], expected, atol=1e-5)
        np.testing.assert_array_equal(rows[1], solve(told, base="pieces", mix="network")[0][1])
        assert notes["choice"]["base"] == "vectors"

    def test_is_of_pieces_where_the_source_spells_in_long_ones(self, told):
        assert solve(told)[1]["choice"]["base"] == "pieces"
        short = dataclasses.replace(told, target_tokenizer=unigram_tokenizer(["▁1", "▁2", "▁12"]))
        assert solve(short)[1]["choice"]["base"] == "vectors"

    def test_is_among_what_the_judge_is_asked(self, told):
        wanted, _ = solve(told, base="vectors", mix="base")
        judged = dataclasses.replace(told, judge=lambda rows: float(np.abs(rows - wanted).sum()))
        rows, notes = solve(judged)
        np.testing.assert_array_equal(rows, wanted)
        assert len(notes["choice"]["losses"]) == 5


class TestCommand:
    def options(self, rooms, out, vectors, **more):
        places = (rooms / "source", rooms / "target", rooms / "vectors" if vectors else None, out)
        return asked(*places, "spelling-network", options=SMALL | more)

    def test_predicts_every_new_token_that_has_pieces_or_words(self, rooms, tmp_path):
        from hyperofa.vocab.overlap import overlap

        source, target = wordpiece_tokenizer(), unigram_tokenizer()
        new = np.flatnonzero(overlap(source, target) < 0)
        spelled = int((Source(source, len(source)).spell(target, new).counts > 0).sum())
        plain = written(self.options(rooms, tmp_path / "plain", vectors=False))
        told = written(self.options(rooms, tmp_path / "told", vectors=True))
        assert plain["counts"]["predicted"] == spelled
        assert told["counts"]["predicted"] > spelled
        assert told["method_notes"]["choice"]["base"] == "vectors"  # most new pieces are single letters

    def test_two_runs_write_the_same(self, rooms, tmp_path):
        for name in ("a", "b"):
            written(self.options(rooms, tmp_path / name, True))
        first, second = (json.loads((tmp_path / name / "init.json").read_text()) for name in ("a", "b"))
        assert first == second

    @pytest.mark.parametrize(
        ("option", "line"),
        [("mix=both", "mix"), ("base=words", "base"), ("finer=2", "finer"), ("device=gpu9", "unknown device")],
    )
    def test_says_in_one_line_what_cannot_be(self, refused, option, line):
        assert line in refused("--option", option, method="spelling-network")
