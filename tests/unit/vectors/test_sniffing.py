"""A file that is no word vectors is told by what it seems to be, under any name; one whose words look odd is read."""

from __future__ import annotations

import gzip
import lzma

import pytest

from hyperofa import cli
from hyperofa.errors import InputError
from hyperofa.vectors.importing import import_file
from hyperofa.vectors.settings import ImportSettings
from tests.unit.eval.text.test_filekinds import KINDS
from tests.unit.vectors.conftest import STORED, WORDS, imported, write_binary, write_text

OTHERS = [kind for kind in KINDS if not kind.startswith("pickle")]


@pytest.mark.parametrize("name", ["v.vec", "v.bin", "v.wv"])
@pytest.mark.parametrize("kind", OTHERS)
def test_another_kind_of_file_is_named(tmp_path, capsys, kind, name):
    make, expected = KINDS[kind]
    (tmp_path / name).write_bytes(make())
    if name == "v.wv" and expected == "binary data":
        pytest.skip("may be a pickle of protocol 1, and is refused as one")
    for skip in ([], ["--skip-bad"]):
        assert cli.main(["vectors", "import", str(tmp_path / name), *skip, "--out", str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{name}: no word vectors: it seems to be " in line
        assert expected in line
        assert "; " in line
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["text", "binary", "gensim", "fasttext"])
def test_a_format_that_is_named_wrongly(tmp_path, form):
    (tmp_path / "v").write_bytes(KINDS["zip"][0]())
    with pytest.raises(InputError, match="it seems to be a zip archive; unpack it first"):
        import_file(tmp_path / "v", tmp_path / "out", ImportSettings(format=form))


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_what_is_packed_is_told_too(tmp_path, ending, pack):
    path = tmp_path / f"v.vec{ending}"
    path.write_bytes(pack(KINDS["utf-16"][0]()))
    with pytest.raises(InputError, match="it seems to be UTF-16 text; convert it to UTF-8"):
        import_file(path, tmp_path / "out", ImportSettings())
    path.write_bytes(pack(b"no end")[:-3])
    with pytest.raises(InputError, match=r"v\.vec.*a damaged"):
        import_file(path, tmp_path / "out", ImportSettings())


def test_old_line_ends(tmp_path):
    (tmp_path / "v.vec").write_bytes(b"2 2\reng:dog 1 2\reng:cat 3 4\r")
    with pytest.raises(InputError, match="lines end in carriage returns alone; convert it"):
        import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings())


@pytest.mark.parametrize(
    "word",
    [
        '{"a":',
        "<!--",
        "<html>",
        "%PDF-",
        "PK",
        "BZh9",
        "GIF89a",
        "[",
        "version",
        "\u2028",
        "\u00a0x",
        "<?xml",
    ],
)
def test_words_that_look_like_a_file_of_another_kind(tmp_path, vectors, word):
    write_text(tmp_path / "v.txt", [word, *WORDS[1:]], vectors, header=False)
    summary, _ = imported(tmp_path / "v.txt", tmp_path / "out")
    assert sum(summary.languages.values()) + summary.malformed == len(WORDS)


def test_a_text_or_binary_file_under_the_name_of_a_gensim_file(tmp_path, vectors):
    for write in (write_text, write_binary):
        write(tmp_path / "v.wv", WORDS, vectors)
        assert list(imported(tmp_path / "v.wv", tmp_path / "out")[1].words) == STORED


@pytest.mark.parametrize("dim", [5, 7, 12])
def test_a_header_with_another_dimension_is_the_one_that_is_wrong(tmp_path, vectors, dim):
    write_text(tmp_path / "v.vec", WORDS, vectors)
    lines = (tmp_path / "v.vec").read_text().splitlines(keepends=True)
    (tmp_path / "v.vec").write_text(f"5 {dim}\n" + "".join(lines[1:]))
    with pytest.raises(InputError, match=f"line 1: the header promises {dim} numbers a word, the rows have 6; repair"):
        import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings(skip_bad=True))


def test_a_nul_byte_in_a_word_is_a_bad_row(tmp_path):
    (tmp_path / "v.vec").write_bytes(b"eng:dog 1 2\neng:c\0t 1 2\n")
    with pytest.raises(InputError, match="line 2: a NUL byte in the word"):
        import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings())
    assert imported(tmp_path / "v.vec", tmp_path / "out", skip_bad=True)[0].bad_rows == {"a NUL byte in the word": 1}
