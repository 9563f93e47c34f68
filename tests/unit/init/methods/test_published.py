"""``wechsel``, ``ofa`` and ``focus`` through the whole pipeline against what the published code does, written out as loops."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

import hyperofa
from hyperofa.errors import InputError
from hyperofa.init import provenance as origin
from hyperofa.init.methods import focus
from hyperofa.init.methods.focus import sparsemax, sparsemax_means
from hyperofa.vectors.store import WordVectors, write_store
from tests.unit.init.conftest import word_vectors

COUNTS = np.array([9, 4, 7, 30, 2, 5, 1, 12, 3, 8, 6, 20, 2, 11, 4, 1, 9])


@pytest.fixture(scope="module")
def counted(rooms, tmp_path_factory):
    """The rooms of a source, a target and vectors, the last with counts of their words."""
    root = tmp_path_factory.mktemp("counted")
    for name in ("source", "target"):
        shutil.copytree(rooms / name, root / name)
    keys, vectors = word_vectors()
    write_store(root / "vectors", keys, vectors, {"languages": {"eng": 11, "deu": 6}}, dtype="float32", counts=COUNTS)
    return root


def extended(root, method, **options):
    made = hyperofa.initialise(
        root / "source", root / "target", root / "vectors", method=method, options=options, held_out=0
    )
    return made, made.model.get_input_embeddings().weight.detach().numpy()


def token_vectors(tokenizer, words, vectors, weights, spell):
    """Mean vector of each token over all spellings that hold it, zero where none does."""
    total, weight = np.zeros((len(tokenizer), vectors.shape[1])), np.zeros(len(tokenizer))
    for word, vector, count in zip(words, vectors.astype(np.float64), weights, strict=True):
        for spelling in spell(word):
            for token in set(tokenizer.encode(spelling, add_special_tokens=False)):
                total[token] += count * vector
                weight[token] += count
    return total / np.maximum(weight, 1e-12)[:, None]


def nearest_ten(queries, keys, rows):
    """The softmax-weighted mean (temperature 0.1) of the rows of the ten keys of largest cosine, a query at a time."""
    there = np.flatnonzero(keys.any(axis=1))
    found = np.full((len(queries), rows.shape[1]), np.nan)
    for i in np.flatnonzero(queries.any(axis=1)):
        lengths = np.linalg.norm(keys[there], axis=1) * np.linalg.norm(queries[i])
        cosines = keys[there] @ queries[i] / lengths
        best = np.argsort(-cosines)[:10]
        weights = np.exp(cosines[best] / 0.1)
        found[i] = (weights / weights.sum()) @ rows[there[best]]
    return found


def parts(root):
    source, target = (AutoTokenizer.from_pretrained(root / name) for name in ("source", "target"))
    rows = AutoModelForMaskedLM.from_pretrained(root / "source").get_input_embeddings().weight.detach().numpy()
    keys, vectors = word_vectors()
    return source, target, rows, [key.split(":") for key in keys], vectors


def test_wechsel_is_what_its_package_does(counted):
    source, target, rows, pairs, vectors = parts(counted)
    english = np.array([language == "eng" for language, _ in pairs])
    words = [word for _, word in pairs]
    made, found = extended(counted, "wechsel")

    def both(word):
        return word, f" {word}"

    queries = token_vectors(target, words, vectors, COUNTS, both)
    keys = token_vectors(source, words, vectors, COUNTS * english, both)
    expected = nearest_ten(queries, keys, rows)
    predicted = made.provenance.code == origin.PREDICTED
    special = made.provenance.code == origin.SPECIAL
    np.testing.assert_array_equal(predicted, ~np.isnan(expected[:, 0]) & ~special)
    assert predicted.sum() > 10
    np.testing.assert_allclose(found[predicted], expected[predicted], atol=1e-6)
    dog = target.convert_tokens_to_ids("▁dog")
    assert predicted[dog]  # a token that both have is predicted too
    assert made.report["method_notes"] == {"source_language": "eng", "word_counts": True}
    assert made.report["counts"]["copied"] == 0


def test_wechsel_with_copies_leaves_shared_tokens_as_they_are(counted):
    source, target, rows, *_ = parts(counted)
    made, found = extended(counted, "wechsel", copies=True)
    dog = target.convert_tokens_to_ids("▁dog")
    np.testing.assert_array_equal(found[dog], rows[source.convert_tokens_to_ids("dog")])
    assert made.report["counts"]["copied"] > 0


def test_wechsel_without_counts_weighs_words_alike_and_says_so(counted, rooms):
    alike = extended(rooms, "wechsel")
    assert alike[0].report["method_notes"]["word_counts"] is False
    assert np.abs(alike[1] - extended(counted, "wechsel")[1]).max() > 1e-3


@pytest.mark.parametrize("language", ["deu", "all"])
def test_the_source_language_of_wechsel_can_be_named(counted, language):
    made, rows = extended(counted, "wechsel", source_language=language)
    assert made.report["method_notes"]["source_language"] == language
    assert np.abs(rows - extended(counted, "wechsel")[1]).max() > 1e-3


def test_a_source_language_without_words_is_one_line(counted, rooms):
    for root in (counted, rooms):  # with and without a word about languages in the vectors' meta.json
        with pytest.raises(InputError, match="source_language") as caught:
            extended(root, "wechsel", source_language="xho")
        assert "xho" in str(caught.value)
        assert "eng, deu" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_ofa_is_what_its_public_code_does(counted):
    source, target, rows, pairs, vectors = parts(counted)
    words = [word for _, word in pairs]

    def three(word):
        return word, f" {word}", word[0].upper() + word[1:]

    ones = np.ones(len(words))
    expected = nearest_ten(
        token_vectors(target, words, vectors, ones, three), token_vectors(source, words, vectors, ones, three), rows
    )
    made, found = extended(counted, "ofa")
    predicted = made.provenance.code == origin.PREDICTED
    assert predicted.sum() > 10
    np.testing.assert_allclose(found[predicted], expected[predicted], atol=1e-6)


def test_ofa_folds_case_unless_told_not_to(counted, tmp_path):
    from tests.unit.init.conftest import TARGET_PIECES, unigram_tokenizer

    for name in ("source", "vectors"):
        shutil.copytree(counted / name, tmp_path / name)
    unigram_tokenizer([*TARGET_PIECES, "▁Moon"]).save_pretrained(tmp_path / "target")
    source, target, rows, *_ = parts(tmp_path)
    moon, old = target.convert_tokens_to_ids("▁Moon"), source.convert_tokens_to_ids("moon")
    assert np.array_equal(extended(tmp_path, "ofa")[1][moon], rows[old])
    assert not np.array_equal(extended(tmp_path, "ofa", fold_case=False)[1][moon], rows[old])


def test_sparsemax_over_a_few_of_the_nearest_is_that_over_all(monkeypatch):
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(30, 3)), np.abs(rng.normal(size=(200, 3)))
    queries, keys = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (queries, keys))
    queries, keys = queries.astype(np.float32), keys.astype(np.float32)
    rows = rng.normal(size=(200, 5)).astype(np.float32)
    expected = sparsemax(queries @ keys.T) @ rows
    widths = (sparsemax(queries @ keys.T) > 0).sum(axis=1)
    assert widths.max() > 20  # far more than are looked at first
    monkeypatch.setattr(focus, "_WIDTH", 2)
    np.testing.assert_allclose(sparsemax_means(queries, keys, rows, 200), expected, atol=1e-5)
    assert np.abs(sparsemax_means(queries, keys, rows, 4) - expected).max() > 1e-3


def test_vectors_that_are_built_say_how_often_each_word_was_seen(tmp_path):
    (tmp_path / "eng.txt").write_text("a dog\na cat\na dog dog\n")
    (tmp_path / "deu.txt").write_text("ein hund\neine katze\nein hund\n")
    built = hyperofa.build_vectors([tmp_path], out=tmp_path / "vectors", dim=2, min_count=1)
    assert built.counts is not None
    assert dict(zip(built.words, built.counts.tolist(), strict=True)) == {
        "deu:ein": 2, "deu:eine": 1, "deu:hund": 2, "deu:katze": 1, "eng:a": 3, "eng:cat": 1, "eng:dog": 2,
    }  # fmt: skip
    built.save(tmp_path / "copy")
    again = WordVectors.open(tmp_path / "copy").counts
    assert again is not None
    assert again.tolist() == built.counts.tolist()
