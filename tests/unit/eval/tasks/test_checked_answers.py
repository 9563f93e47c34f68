"""What a user's own model answers is checked: shape, numbers, one tag for each token."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa_eval import evaluate
from hyperofa_eval.base.errors import InputError


class Vectors:
    """A user's model whose answers are given by functions."""

    def __init__(self, encode=None, tag=None):
        self.identity = {"name": "mine", "sha256": "1", "tokenizer_sha256": "1"}
        self._encode, self._tag = encode, tag

    def encode(self, texts, settings):
        return self._encode(texts)

    def fine_tune(self, train, dev, settings, seed):
        return self._tag


def one(model, task, data):
    return evaluate(model, [task], data, languages=["tur"])


@pytest.mark.parametrize(
    ("encode", "says"),
    [
        (lambda texts: np.full((len(texts), 4), np.nan), "NaN or infinity"),
        (lambda texts: np.full((len(texts), 4), np.inf), "NaN or infinity"),
        (lambda texts: np.ones((len(texts) + 1, 4)), r"shape \(13, 4\) for 12 texts"),
        (lambda texts: np.ones((len(texts) - 1, 4)), r"shape \(11, 4\) for 12 texts"),
        (lambda texts: np.ones(len(texts)), r"shape \(12,\) for 12 texts"),
        (lambda texts: np.ones((len(texts), 4 + ("Where" in texts[0]))), "dimensions cannot be compared"),
    ],
)
def test_vectors_of_a_users_model_are_checked(data, encode, says):
    if "dimensions" in says:
        path = data / "tatoeba/tur-eng.eng"
        path.write_text("Where " + path.read_text())
    with pytest.raises(InputError, match=f"mine: .*{says}"):
        one(Vectors(encode), "sr-t", data)


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        (lambda sentences: [["NOUN"] * len(s.tokens) for s in sentences][1:], "sentences for"),
        (lambda sentences: [["NOUN"] * (len(s.tokens) + 1) for s in sentences], "tags for the"),
        (lambda sentences: [["NOUN"] * (len(s.tokens) - 1) for s in sentences], "tags for the"),
        (lambda sentences: [[0] * len(s.tokens) for s in sentences], "no string"),
    ],
)
def test_tags_of_a_users_model_are_checked(data, tag, says):
    with pytest.raises(InputError, match=f"task pos, tur: .*{says}"):
        one(Vectors(tag=tag), "pos", data)
