"""Building vectors: reading parallel text, cutting it into words, PMI, and translations that end up together."""

from __future__ import annotations

import json
import lzma

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hyperofa import cli
from hyperofa.data.parallel import ParallelText, read_parallel
from hyperofa.errors import DataMissingError, InputError
from hyperofa.vectors.build import (
    _row_weights,
    embed,
    embed_words,
    positive_pmi,
    word_by_sentence,
)
from hyperofa.vectors.segment import words_of
from hyperofa.vectors.settings import BuildSettings
from hyperofa.vectors.store import WordVectors

NOUNS = [("dog", "Hund", "犬"), ("cat", "Katze", "猫"), ("water", "Wasser", "水"), ("house", "Haus", "家")]
VERBS = [("sees", "sieht", "見る"), ("wants", "will", "欲しい"), ("has", "hat", "持つ")]


@pytest.fixture
def parallel(tmp_path):
    """Every noun with every verb and every other noun, in three languages."""
    folder = tmp_path / "parallel"
    folder.mkdir()
    rows = [(a, v, b) for a in NOUNS for v in VERBS for b in NOUNS if a != b]
    for column, language in enumerate(("eng", "deu", "jpn")):
        join = "" if language == "jpn" else " "
        lines = [join.join(part[column] for part in row) for row in rows]
        (folder / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


class TestWords:
    def test_punctuation_case_and_marks(self):
        assert words_of("The dog's “House”, 3rd!", 3) == {"the", "dog's", "house", "3rd"}
        assert words_of("हिन्दी भाषा", 3) == {"हिन्दी", "भाषा"}  # \w would cut at the vowel signs
        assert words_of("می‌خواهم", 3) == {"می‌خواهم"}
        assert words_of("'quoted'", 3) == {"quoted"}

    def test_unspaced_scripts_give_ngrams(self):
        assert words_of("政府は", 2) == {"政", "府", "は", "政府", "府は"}
        assert words_of("រដ្ឋ", 1) == {"រ", "ដ្", "ឋ"}  # marks stay with their letter
        assert words_of("น้ำ", 9) == words_of("น้ำ", 1) | words_of("น้ำ", 2)

    def test_korean_has_spaces(self):
        assert words_of("정부는 물을", 3) == {"정부는", "물을"}

    def test_mixed_scripts(self):
        assert words_of("HIVと", 2) == {"hiv", "と"}

    def test_nothing(self):
        assert words_of("… — !", 3) == set()


class TestReading:
    def test_line_aligned_empty_means_none(self, tmp_path):
        (tmp_path / "eng.txt").write_text("one\ntwo\nthree\n")
        (tmp_path / "deu.txt").write_bytes(b"eins\r\n\r\ndrei\r\n")
        with lzma.open(tmp_path / "fra.txt.xz", "wt") as handle:
            handle.write("un\ndeux\n\n")
        (tmp_path / "README.md").write_text("not data")
        text = read_parallel([tmp_path])
        assert text.n_sentences == 3
        assert text.texts["deu"] == {0: "eins", 2: "drei"}
        assert text.texts["fra"] == {0: "un", 1: "deux"}

    def test_joined_by_id_and_two_corpora(self, tmp_path):
        for name in ("bible", "news"):
            (tmp_path / name).mkdir()
        (tmp_path / "bible/eng.train.tsv").write_text("1\tone\n2\ttwo\n")
        (tmp_path / "bible/deu.train.tsv").write_text("2\tzwei\n3\tdrei\n")
        (tmp_path / "news/eng.txt").write_text("house\n")
        (tmp_path / "news/deu.txt").write_text("Haus\n")
        text = read_parallel([tmp_path / "bible", tmp_path / "news"])
        assert text.n_sentences == 4
        (shared,) = {n for n in text.texts["eng"] if text.texts["eng"][n] == "two"}
        assert text.texts["deu"][shared] == "zwei"
        (house,) = {n for n in text.texts["eng"] if text.texts["eng"][n] == "house"}
        assert text.texts["deu"][house] == "Haus"

    def test_files_instead_of_a_folder(self, tmp_path):
        for name in ("eng.train.tsv", "eng.test.tsv", "deu.train.tsv"):
            (tmp_path / name).write_text("1\tx\n")
        with pytest.raises(InputError, match=r"two files in eng: eng\.test\.tsv and eng\.train\.tsv"):
            read_parallel([tmp_path])
        text = read_parallel([tmp_path / "eng.train.tsv", tmp_path / "deu.train.tsv"])
        assert set(text.texts) == {"eng", "deu"}

    @pytest.mark.parametrize(
        ("files", "error", "message"),
        [
            (
                {"eng.txt": b"a\nb\n", "deu.txt": b"a\n"},
                InputError,
                r"deu\.txt: unaligned: 1 lines, but eng\.txt has 2",
            ),
            (
                {"eng.tsv": b"1\ta\n2 b\n", "deu.tsv": b"1\ta\n"},
                InputError,
                r"eng\.tsv, line 2: not id<TAB>text; there is no tab",
            ),
            (
                {"eng.tsv": b"1\ta\n1\tb\n", "deu.tsv": b"1\ta\n"},
                InputError,
                "line 2: the id '1' comes twice, first in line 1",
            ),
            ({"eng.txt": b"a\n\xff\n", "deu.txt": b"a\nb\n"}, InputError, r"eng\.txt, line 2: not UTF-8"),
            ({"eng.txt.xz": b"no xz", "deu.txt": b"a\n"}, InputError, r"not a \.xz file: it seems to be plain text"),
            ({"eng.txt": b"a\n"}, InputError, "two languages or more"),
            ({"notes.md": b"a\n"}, DataMissingError, r"no LANG\.txt"),
        ],
    )
    def test_faults_name_their_place(self, tmp_path, files, error, message):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        with pytest.raises(error, match=message) as caught:
            read_parallel([tmp_path])
        assert "\n" not in str(caught.value)


def test_a_language_that_is_not_there_is_named(parallel):
    with pytest.raises(DataMissingError, match="no parallel text in spa, yor"):
        read_parallel([parallel], ["eng", "deu", "yor", "spa"])


def test_matrix_and_pmi_against_the_definition():
    text = ParallelText({"eng": {0: "a b", 1: "a", 2: "b c"}, "deu": {0: "x", 2: "x y"}}, 3)
    words, matrix = word_by_sentence(text, BuildSettings(min_count=1))
    assert words == ["deu:x", "deu:y", "eng:a", "eng:b", "eng:c"]
    dense = matrix.toarray()
    assert dense.tolist() == [[1, 0, 1], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 0, 1]]
    joint = dense / dense.sum()
    for smoothing in (1.0, 0.75):
        column = dense.sum(0) ** smoothing / (dense.sum(0) ** smoothing).sum()
        with np.errstate(divide="ignore"):
            expected = np.maximum(np.log(joint / (joint.sum(1, keepdims=True) * column)), 0)
        np.testing.assert_allclose(positive_pmi(matrix, smoothing).toarray(), expected, rtol=1e-5, atol=1e-6)


def test_rare_words_are_left_out():
    text = ParallelText({"eng": {0: "a b", 1: "a"}, "deu": {0: "x", 1: "x"}}, 2)
    assert word_by_sentence(text, BuildSettings(min_count=2))[0] == ["deu:x", "eng:a"]


def test_embedding_is_the_svd_and_its_weights_count_rows():
    matrix = csr_matrix(np.random.default_rng(0).random((12, 8)))
    left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
    config = BuildSettings(dim=5, power=0.5, normalise=False)
    got = embed(matrix, np.ones(12), config)
    np.testing.assert_allclose(got @ got.T, (left[:, :5] * values[:5]) @ left[:, :5].T, atol=1e-4)
    # A row that weighs like three is three rows, and every copy has the same vector.
    thrice = csr_matrix(np.vstack([matrix.toarray(), matrix.toarray()[:1], matrix.toarray()[:1]]))
    weights = np.array([3**0.5] + [1] * 11)
    weighted, copied = embed(matrix, weights, config), embed(thrice, np.ones(14), config)
    np.testing.assert_allclose(weighted @ weighted.T, copied[:12] @ copied[:12].T, atol=1e-4)


def test_balance_gives_languages_an_equal_say():
    words = ["eng:a", "jpn:a", "jpn:b", "jpn:c", "jpn:d"]
    squared = _row_weights(words, 1.0) ** 2
    assert squared[0] == pytest.approx(squared[1:].sum())
    assert len(set(_row_weights(words, 0.0))) == 1


def test_translations_are_neighbours(parallel):
    words, vectors, _ = embed_words(read_parallel([parallel]), BuildSettings(dim=7, ngrams=2))
    index = {word: i for i, word in enumerate(words)}
    for english, german, japanese in NOUNS:
        similarity = vectors @ vectors[index[f"eng:{english}"]]
        for language, word in (("deu", german.lower()), ("jpn", japanese)):
            others = [i for w, i in index.items() if w.startswith(language)]
            assert words[others[int(similarity[others].argmax())]] == f"{language}:{word}"


def test_the_command_is_deterministic(parallel, tmp_path, capsys):
    for name in ("a", "b"):
        argv = ["vectors", "build", "--parallel", str(parallel), "--dim", "5", "--out", str(tmp_path / name), "--json"]
        assert cli.main(argv) == 0
    summary = json.loads(capsys.readouterr().out.split("}\n{")[0] + "}")
    assert summary["languages"]["jpn"] > 0
    assert summary["sentences"] == {"deu": 36, "eng": 36, "jpn": 36}
    for file in ("vectors.safetensors", "words.txt", "meta.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    store = WordVectors.open(tmp_path / "a")
    assert store.meta["made_by"]["inputs"]["parallel/eng.txt"]["sha256"]
    assert str(tmp_path) not in json.dumps(store.meta)


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--dim", "0"], 2, "--dim: 0 is not a number of 1 or more"),
        (["--parallel", "/nowhere"], 3, "/nowhere: no such parallel text"),
        (["--min-count", "1000"], 2, "only 0 words"),
    ],
)
def test_wrong_usage(parallel, tmp_path, capsys, more, code, message):
    argv = ["vectors", "build", "--parallel", str(parallel), "--out", str(tmp_path / "out"), *more]
    assert cli.main(argv) == code
    captured = capsys.readouterr().err.strip().splitlines()
    assert message in captured[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("setting", [{"seed": -1}, {"seed": 2**32}, {"power": float("nan")}])
def test_settings_that_nothing_can_be_built_with(setting):
    (name,) = setting
    with pytest.raises(InputError, match=name):
        BuildSettings(**setting)
