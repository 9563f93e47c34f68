"""What the languages of words tell, against plain loops over words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hyperofa.init.languages import PRIOR, CentredVectors, known_words, language_numbers

KEYS = ["eng:dog", "deu:hund", "eng:cat", "bare", "deu:katze", "eng:a:b"]


def test_words_of_one_language_share_a_number():
    numbers, names = language_numbers(KEYS)
    assert numbers.tolist() == [0, 1, 0, 2, 1, 0]
    assert names == ("eng", "deu", "")


def test_vectors_are_centred_by_language_and_unit_rows():
    rng = np.random.default_rng(0)
    languages = rng.integers(0, 3, 700)
    vectors = (rng.normal(size=(700, 5)) + 3 * rng.normal(size=(3, 5))[languages]).astype(np.float32)
    centred = CentredVectors.of(vectors, languages)
    overall = vectors.mean(axis=0)
    for word in (0, 5, 699):
        own = vectors[languages == languages[word]]
        mean = (own.sum(axis=0) + PRIOR * overall) / (len(own) + PRIOR)
        wanted = (vectors[word] - mean) / np.linalg.norm(vectors[word] - mean)
        np.testing.assert_allclose(centred[np.array([word])][0], wanted, atol=1e-5)
    assert centred.shape == (700, 5)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(centred), axis=1), 1, atol=1e-5)


def test_a_language_of_one_word_keeps_its_vector():
    vectors = np.eye(4, dtype=np.float32)
    rows = np.asarray(CentredVectors.of(vectors, np.array([0, 0, 0, 1])))
    assert np.linalg.norm(rows[3]) == pytest.approx(1)
    assert rows[3] @ vectors[3] > 0.8


def test_the_source_knows_the_language_whose_words_it_holds_whole():
    shares = np.zeros((4, 6), dtype=np.float32)
    shares[0, 0] = shares[1, 2] = 1  # both English words with one token each
    shares[2, 1] = 1  # one of the two German words
    shares[2, 4] = shares[3, 4] = 0.5
    known = known_words(csr_matrix(shares), np.array([0, 1, 0, 2, 1, 2]))
    np.testing.assert_allclose(known, [1, 0.25, 1, 0, 0.25, 0])
    assert known_words(csr_matrix((4, 6), dtype=np.float32), np.zeros(6, dtype=np.int64)).tolist() == [1] * 6
