"""Retrieval ranks against an obvious NumPy reference, on random and on adversarial vectors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa_eval.scoring import search
from hyperofa_eval.scoring.search import ranks
from hyperofa_eval.tasks.retrieval import Retrieval


def reference(queries, index):
    """Sort every row by falling cosine, earlier rows first where equal, and look where the right one is."""
    q = queries.astype(np.float64) / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
    x = index.astype(np.float64) / np.maximum(np.linalg.norm(index, axis=1, keepdims=True), 1e-12)
    order = np.argsort(-(q @ x.T), axis=1, kind="stable")
    return np.array([list(row).index(i) for i, row in enumerate(order)])


@pytest.mark.parametrize("n", [1, 3, 200])
def test_equals_the_reference_on_random_vectors(n):
    rng = np.random.default_rng(n)
    queries, index = rng.normal(size=(2, n, 16)).astype(np.float32)
    assert ranks(queries, index).tolist() == reference(queries, index).tolist()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0])] * 4), min_size=1, max_size=12), st.integers(0, 99))
def test_equals_the_reference_on_ties_duplicates_and_zero_vectors(rows, seed):
    # Entries of -1, 0, 1 in four dimensions, with one to four of them set: many equal rows and equal angles.
    # Rows of one, or of four, entries have exactly representable unit vectors, so the reference's ties are ours.
    rows = [row for row in rows if sum(map(abs, row)) in (0.0, 1.0, 4.0)] or [(1.0, 0.0, 0.0, 0.0)]
    index = np.array(rows, dtype=np.float32)
    queries = np.random.default_rng(seed).permutation(index)
    assert ranks(queries, index).tolist() == reference(queries, index).tolist()


def test_chunks_do_not_change_the_ranks(monkeypatch):
    queries, index = np.random.default_rng(0).normal(size=(2, 50, 8)).astype(np.float32)
    index[10:20] = index[0]
    whole = ranks(queries, index)
    monkeypatch.setattr(search, "CHUNK_BYTES", 4 * 50 * 7)
    assert ranks(queries, index).tolist() == whole.tolist()


def test_an_encoder_that_maps_all_to_one_point_scores_as_chance_does():
    vectors = np.tile(np.random.default_rng(0).normal(size=(1, 384)).astype(np.float32), (333, 1))
    found = ranks(vectors, vectors)
    assert found.tolist() == list(range(333))


def test_rows_with_equal_unit_vectors_are_known_as_one(monkeypatch):
    """Whether rounding would part them depends on the processor's matrix product, so this looks at what is set equal."""
    found = []
    real = search._duplicates

    def duplicates(rows):
        found.append(real(rows))
        return found[-1]

    monkeypatch.setattr(search, "_duplicates", duplicates)
    rng = np.random.default_rng(0)
    point = rng.normal(size=(1, 384)).astype(np.float32)
    point[0, 0] = 0.0
    index = (point * 2.0 ** rng.integers(-3, 4, (33, 1))).astype(np.float32)
    index[1::2, 0] = -0.0
    assert ranks(np.tile(point, (33, 1)), index).tolist() == list(range(33))
    assert found == [(list(range(1, 33)), [0] * 32)]


def test_csls_equals_its_formula():
    queries, index = np.random.default_rng(1).normal(size=(2, 40, 6)).astype(np.float32)
    q, x = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries.astype(float), index.astype(float)))
    cosine = q @ x.T
    near_q = np.sort(cosine, axis=1)[:, -10:].mean(1)
    near_x = np.sort(cosine, axis=0)[-10:].mean(0)
    score = 2 * cosine - near_q[:, None] - near_x[None, :]
    expected = [(score[i] > score[i, i]).sum() for i in range(40)]
    assert ranks(queries, index, csls=True).tolist() == expected
    assert ranks(queries, index).tolist() != expected


class Given:
    """A model whose vectors are made by a function of the texts."""

    identity: ClassVar = {"name": "given", "sha256": "0", "tokenizer_sha256": "0"}

    def __init__(self, make):
        self.make = make

    def encode(self, texts, settings):
        return self.make(texts)


def score(make, data, language="tur", **options):
    from hyperofa_eval.data.layout import DataFolder

    task = Retrieval(**options)
    return task.score(Given(make), DataFolder(data), language, 0, None)


def test_a_perfect_encoder_scores_100(data):
    places = {}
    for language in ("tur", "ces"):
        for suffix in ("eng", language):
            lines = (data / f"tatoeba/{language}-eng.{suffix}").read_text().splitlines()
            places |= {line: i for i, line in enumerate(lines)}
    outcome = score(lambda texts: np.eye(12, dtype=np.float32)[[places[t] for t in texts]], data, direction="both")
    assert {metric: items.value() for metric, items in outcome.items.items()} == {
        "top1": 100.0,
        "top5": 100.0,
        "top10": 100.0,
    }


def test_a_random_encoder_is_at_chance_within_its_interval(data):
    from hyperofa_eval.scoring.statistics import draws_of, interval

    n = 1000
    for suffix in ("eng", "tur"):
        (data / f"tatoeba/tur-eng.{suffix}").write_text("".join(f"{suffix} {i}\n" for i in range(n)))
    rng = np.random.default_rng(3)
    outcome = score(lambda texts: rng.normal(size=(len(texts), 32)).astype(np.float32), data)
    low, high = interval(draws_of(outcome.items["top10"], "x"))
    assert outcome.chance["top10"] == 1.0
    assert low <= outcome.chance["top10"] <= high


def test_chance_of_a_set_smaller_than_k_is_100(data):
    for suffix in ("eng", "tur"):
        path = data / f"tatoeba/tur-eng.{suffix}"
        path.write_text("\n".join(path.read_text().splitlines()[:3]))
    outcome = score(lambda texts: np.ones((len(texts), 2), dtype=np.float32), data)
    assert outcome.chance == {"top1": pytest.approx(100 / 3), "top5": 100.0, "top10": 100.0}
    assert outcome.items["top10"].value() == 100.0
    assert outcome.items["top1"].value() == pytest.approx(100 / 3)
