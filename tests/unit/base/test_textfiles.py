"""Text by language, as it is given on a command line and from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperofa.base.textfiles import language_files, language_words
from hyperofa.errors import DataMissingError, InputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a/kab.txt.xz", {"kab": ["a/kab.txt.xz"]}),
        (Path("a=b.txt"), None),
        (Path("x/kab=2.txt"), None),
        (["kab=a.txt", Path("kab.b.txt"), "eng=c"], {"kab": ["a.txt", "kab.b.txt"], "eng": ["c"]}),
        ({"kab": "a=1.txt", "zh-Hant": [Path("b.txt"), "c.txt"]}, {"kab": ["a=1.txt"], "zh-Hant": ["b.txt", "c.txt"]}),
        ({"Kabyle": "a.txt"}, None),
        ({"kab": ""}, None),
        ("kab=", None),
        ([], {}),
    ],
)
def test_files_by_language(given, expected):
    if expected is not None:
        assert language_words(given, "text") == expected
        return
    with pytest.raises(InputError, match="text: no language code in"):
        language_words(given, "text")


def test_a_file_below_a_folder_with_an_equals_sign_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1").mkdir()
    (tmp_path / "lr=1" / "kab.txt").write_text("aqcic\n")
    assert language_words(["lr=1/kab.txt", "eng=lr=1/kab.txt"], "text") == {
        "kab": ["lr=1/kab.txt"],
        "eng": ["lr=1/kab.txt"],
    }


def test_files_have_to_be_there_and_plain(tmp_path):
    (tmp_path / "kab.jsonl").write_text("{}\n")
    with pytest.raises(DataMissingError, match=r"eng\.txt: no such file"):
        language_files({"eng": tmp_path / "eng.txt"})
    with pytest.raises(InputError, match="only plain text is read here"):
        language_files({"kab": tmp_path / "kab.jsonl"})
    assert language_files({"kab": tmp_path / "kab.jsonl"}, plain=False) == {"kab": [tmp_path / "kab.jsonl"]}
