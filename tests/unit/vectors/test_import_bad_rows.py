"""Importing vector files with bad rows: the first is named, or all are counted and left out."""

from __future__ import annotations

import numpy as np
import pytest

from hyperofa.errors import DataMissingError, InputError
from hyperofa.vectors.importing import import_file
from hyperofa.vectors.readers.fasttext import read_fasttext
from hyperofa.vectors.readers.rows import Faults
from hyperofa.vectors.settings import ImportSettings
from tests.unit.vectors.conftest import STORED, WORDS, imported, write_binary, write_fasttext, write_gensim, write_text

BAD_LINES = {
    "ragged": (b"eng:cat 1.0\n", "not a word and 2 numbers"),
    "long": (b"eng:cat 1.0 2.0 3.0\n", "not a word and 2 numbers"),
    "letters": (b"eng:cat 1.0 x\n", "not a word and 2 numbers"),
    "nan": (b"eng:cat nan 1.0\n", "NaN or infinite"),
    "inf": (b"eng:cat 1e99 1.0\n", "NaN or infinite"),
    "utf8": (b"eng:c\xff\xfet 1.0 1.0\n", "not UTF-8"),
}


class TestBadRows:
    @pytest.mark.parametrize("name", list(BAD_LINES))
    def test_the_first_bad_line_is_named(self, tmp_path, name):
        line, message = BAD_LINES[name]
        (tmp_path / "v.vec").write_bytes(b"3 2\neng:dog 1.0 2.0\n" + line + b"eng:cow 1.0 2.0\n")
        with pytest.raises(InputError, match=rf"v\.vec, line 3: {message}.*skip bad rows"):
            import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings())
        assert not (tmp_path / "out").exists()
        summary, store = imported(tmp_path / "v.vec", tmp_path / "out", skip_bad=True)
        assert list(store.words) == ["eng:dog", "eng:cow"]
        assert sum(summary.bad_rows.values()) == 1

    @pytest.mark.parametrize("header", ["5 5", "5 7", "5.5 6", "-5 6", "5 0"])
    def test_a_header_that_does_not_fit_makes_no_words(self, tmp_path, vectors, header):
        write_text(tmp_path / "v.vec", WORDS, vectors)
        lines = (tmp_path / "v.vec").read_text().splitlines()
        (tmp_path / "v.vec").write_text("\n".join([header, *lines[1:]]) + "\n")
        for skip in (False, True):
            with pytest.raises(InputError, match=r"line [12]: (not a word|.*header)|no word left") as caught:
                import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings(skip_bad=skip))
            assert "\n" not in str(caught.value)
            assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("change", [-1, 1])
    def test_a_first_row_of_another_length_decides_nothing(self, tmp_path, vectors, change):
        write_text(tmp_path / "v.vec", WORDS, vectors)
        first, *others = (tmp_path / "v.vec").read_text().splitlines()[1:]
        first = first.rpartition(" ")[0] if change < 0 else f"{first} 0.5"
        (tmp_path / "v.txt").write_text("\n".join([first, *others]) + "\n")
        with pytest.raises(InputError, match="line 1: not a word and 6 numbers"):
            import_file(tmp_path / "v.txt", tmp_path / "out", ImportSettings())
        summary, store = imported(tmp_path / "v.txt", tmp_path / "out", skip_bad=True)
        assert list(store.words) == STORED[1:]
        np.testing.assert_allclose(store.vectors, vectors[1:], rtol=1e-6)
        assert summary.bad_rows == {"not a word and 6 numbers": 1}

    def test_truncated_text(self, tmp_path, vectors):
        write_text(tmp_path / "v.vec", WORDS, vectors)
        lines = (tmp_path / "v.vec").read_bytes().splitlines(keepends=True)
        (tmp_path / "v.vec").write_bytes(b"".join(lines[:-1]))
        with pytest.raises(InputError, match="4 rows where the first line promises 5"):
            import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings())

    def test_truncated_binary(self, tmp_path, vectors):
        write_binary(tmp_path / "v.bin", WORDS, vectors)
        raw = (tmp_path / "v.bin").read_bytes()
        (tmp_path / "v.bin").write_bytes(raw[:-5])
        with pytest.raises(InputError, match="the file ends in row 5 of 5"):
            import_file(tmp_path / "v.bin", tmp_path / "out", ImportSettings())
        assert len(imported(tmp_path / "v.bin", tmp_path / "out", skip_bad=True)[1]) == 4
        (tmp_path / "v.bin").write_bytes(raw + b"x" * 9)
        with pytest.raises(InputError, match="more bytes after the 5 rows"):
            import_file(tmp_path / "v.bin", tmp_path / "o2", ImportSettings())

    def test_nan_in_every_format(self, tmp_path, vectors, gensim_class):
        vectors[2, 3] = np.nan
        write_binary(tmp_path / "v.bin", WORDS, vectors)
        write_gensim(tmp_path / "v.wv", gensim_class, WORDS, vectors)
        write_fasttext(tmp_path / "f.bin", WORDS, vectors)
        for name in ("v.bin", "v.wv", "f.bin"):
            with pytest.raises(InputError, match=r"(row|word) 3: NaN"):
                import_file(tmp_path / name, tmp_path / "out", ImportSettings())
            assert len(imported(tmp_path / name, tmp_path / "out", skip_bad=True)[1]) == 4

    def test_too_large_for_half_precision(self, tmp_path, vectors):
        vectors[1, 1] = 1e6
        write_text(tmp_path / "v.vec", WORDS, vectors)
        with pytest.raises(InputError, match="'deu:Hund': values too large for float16"):
            import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings())
        assert import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings(skip_bad=True)).bad_rows
        assert imported(tmp_path / "v.vec", tmp_path / "out")[1].vectors[1, 1] == 1e6

    def test_quantised_and_counts(self, tmp_path, vectors):
        write_fasttext(tmp_path / "q.bin", WORDS, vectors, quantised=True)
        with pytest.raises(InputError, match="quantised"):
            import_file(tmp_path / "q.bin", tmp_path / "out", ImportSettings())
        write_fasttext(tmp_path / "q.bin", WORDS, vectors[:3])
        with pytest.raises(InputError, match="does not fit the dictionary"):
            import_file(tmp_path / "q.bin", tmp_path / "out", ImportSettings())

    def test_missing(self, tmp_path, vectors, gensim_class):
        with pytest.raises(DataMissingError, match="no such vector file"):
            import_file(tmp_path / "v.vec", tmp_path / "out", ImportSettings())
        write_gensim(tmp_path / "v.wv", gensim_class, WORDS, vectors, beside=True)
        (tmp_path / "v.wv.vectors.npy").unlink()
        with pytest.raises(DataMissingError, match=r"v\.wv\.vectors\.npy.*copy it beside"):
            import_file(tmp_path / "v.wv", tmp_path / "out", ImportSettings())

    def test_a_fasttext_model_cut_anywhere(self, tmp_path, vectors):
        write_fasttext(tmp_path / "f.bin", WORDS, vectors)
        raw = (tmp_path / "f.bin").read_bytes()
        for size in range(4, len(raw)):
            (tmp_path / "cut.bin").write_bytes(raw[:size])
            with pytest.raises(InputError, match="a damaged fastText model"):
                read_fasttext(tmp_path / "cut.bin", Faults(tmp_path / "cut.bin"))
