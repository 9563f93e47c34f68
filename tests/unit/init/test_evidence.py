"""What an initialisation reads: word vectors that do not fit, and what is said of those that hardly do."""

from __future__ import annotations

import json
import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from hyperofa import initialise
from hyperofa.cli import main
from hyperofa.errors import InputError
from hyperofa.init.evidence import _predictable
from hyperofa.init.method import Method
from hyperofa.vectors.store import write_store
from hyperofa.vocab.surfaces import Surface
from tests.unit.init.conftest import asked, written

KNOWN = {
    "words": np.array([True, False, False, False]),
    "pieces": np.array([True, True, False, False]),
    "donor": np.array([True, False, True, False]),
}
SURFACES = [Surface(text, True) for text in (b"dog", b"xyz", b"hund")] + [Surface(b"\xe1", False)]


@pytest.mark.parametrize(
    ("settings", "rest", "given", "predicted", "evidence"),
    [
        ({}, "drawn", [0], [0], [2, 0, 0, 0]),
        ({}, "pieces", [0], [0, 1], [2, 1, 0, 0]),
        ({"reads_text": True}, "drawn", [0], [0], [3, 0, 0, 0]),
        ({"uses_words": False}, "pieces", [0, 1, 2], [0, 1, 2], [0, 0, 0, 0]),
        ({"uses_words": False, "reads_text": True}, "pieces", [0, 1, 2], [0, 1, 2], [1, 1, 0, 0]),
        ({"uses_words": False, "knows": ("donor",)}, "pieces", [0, 2], [0, 1, 2], [4, 1, 4, 0]),
        ({"uses_words": False, "knows": ("pieces", "words", "donor")}, "drawn", [0, 1, 2], [0, 1, 2], [7, 1, 4, 0]),
    ],
)
def test_what_a_method_is_given_and_what_is_known_of_the_rest(settings, rest, given, predicted, evidence):
    resolved = SimpleNamespace(method=Method("m", "", lambda problem: problem.rows, **settings), rest=rest)
    own, every, bits = _predictable(resolved, SURFACES, KNOWN)
    assert np.flatnonzero(own).tolist() == given
    assert np.flatnonzero(every).tolist() == predicted
    assert bits.tolist() == evidence


class TestRest:
    def test_that_cannot_be_is_refused(self, refused, rooms):
        with pytest.raises(InputError, match="rest: Input should be 'pieces' or 'drawn'"):
            initialise(rooms / "source", rooms / "target", method="subword-mean", rest="noise")
        line = refused("--rest", "pieces", method="random")
        assert "--rest: method random draws every new row; leave it out, or name subword-mean" in line


class TestVectors:
    def test_that_match_nothing_are_refused(self, refused, rooms):
        write_store(rooms / "strange", ["eng:qqq", "deu:qq"], np.ones((2, 4), dtype=np.float32), {})
        line = refused(vectors="strange")
        assert "none of the 2 words matches a token of the target tokenizer" in line

    def test_of_which_few_match_are_told(self, rooms, tmp_path, caplog):
        words = [f"eng:q{'q' * i}" for i in range(300)] + ["eng:dog", "deu:hund"]
        write_store(tmp_path / "vectors", words, np.ones((302, 4), dtype=np.float32), {})
        logging.getLogger("hyperofa").propagate = True
        with caplog.at_level(logging.WARNING, logger="hyperofa"):
            written(asked(rooms / "source", rooms / "target", tmp_path / "vectors", tmp_path / "out"))
        assert "only 2 of 302 words match" in caplog.text

    def test_with_a_mark_that_is_no_sign_are_refused(self, refused, rooms):
        shutil.copytree(rooms / "vectors", rooms / "marked")
        meta = json.loads((rooms / "marked" / "meta.json").read_text())
        for mark in (5, "", "ab"):
            (rooms / "marked" / "meta.json").write_text(json.dumps(meta | {"boundary": mark}))
            assert "is not one sign" in refused(vectors="marked")

    def test_malformed_keys_are_told_once(self, rooms, tmp_path, capsys):
        words = ["eng:dog", "a:b:c", "deu:hund"]
        write_store(tmp_path / "vectors", words, np.eye(3, dtype=np.float32), {})
        arguments = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--method", "ofa"]
        arguments += ["--vectors", tmp_path / "vectors", "--out", tmp_path / "out"]
        assert main([str(word) for word in arguments]) == 0
        assert capsys.readouterr().err.count("skipped 1 malformed of 3 keys, such as 'a:b:c'") == 1
