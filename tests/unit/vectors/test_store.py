"""The store: what is written is read, in order, lazily; what is damaged is refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hyperofa.errors import DataMissingError, InputError
from hyperofa.vectors.store import WordVectors, new_store, write_store

WORDS = ["eng:dog", "cmn:政府", "khm:រដ្ឋាភិបាល", "eng:$dog$", "kat:მთავრობა"]


@pytest.fixture
def store(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 7)).astype(np.float32)
    write_store(tmp_path / "store", WORDS, vectors, {"command": "test"}, dtype="float32")
    return tmp_path / "store", vectors


def test_round_trip(store):
    path, vectors = store
    opened = WordVectors.open(path)
    assert list(opened.words) == WORDS
    assert [opened.words[i] for i in range(-5, 5)] == WORDS + WORDS
    assert opened.words[1:4] == WORDS[1:4]
    assert opened.words[::-2] == WORDS[::-2]
    assert opened.words[3:1] == []
    assert (opened.vectors == vectors).all()
    assert isinstance(opened.vectors, np.memmap)
    assert (len(opened), opened.dim, opened.meta["command"]) == (5, 7, "test")
    with pytest.raises(IndexError):
        opened.words[5]


def test_others_can_read_the_file(store):
    path, vectors = store
    assert (load_file(path / "vectors.safetensors")["vectors"] == vectors).all()


def test_a_file_by_another_writer_opens(store):
    path, vectors = store
    save_file({"vectors": vectors[:, :3].astype(np.float16)}, path / "vectors.safetensors")
    assert WordVectors.open(path).vectors.shape == (5, 3)


def test_half_precision_by_default(tmp_path):
    write_store(tmp_path / "s", ["a:b"], np.ones((1, 2)), {})
    assert WordVectors.open(tmp_path / "s").vectors.dtype == np.float16


def test_no_words(tmp_path):
    write_store(tmp_path / "s", [], np.zeros((0, 4)), {})
    opened = WordVectors.open(tmp_path / "s")
    assert (list(opened.words), opened.vectors.shape) == ([], (0, 4))


def test_streaming_equals_writing_at_once(tmp_path):
    vectors = np.random.default_rng(1).normal(size=(100, 3))
    words = [f"eng:w{i}" for i in range(100)]
    write_store(tmp_path / "a", words, vectors, {})
    with new_store(tmp_path / "b", 3, {}) as writer:
        for i in range(0, 100, 7):
            writer.append(words[i : i + 7], vectors[i : i + 7])
    for name in ("vectors.safetensors", "words.txt", "meta.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        (["eng:a"], np.ones((2, 3)), "1 words but vectors of shape"),
        (["eng:a", "eng:b"], np.array([[1.0], [np.nan]]), "eng:b.*NaN"),
        (["eng:a"], np.array([[1e9]]), "NaN or infinite values as float16"),
        (["eng:a\nb"], np.ones((1, 3)), "line break"),
    ],
)
def test_unstorable_input_leaves_nothing(tmp_path, words, vectors, message):
    with pytest.raises(InputError, match=message):
        write_store(tmp_path / "s", words, vectors, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("meta", ["[" * 100_000, "1" * 5000, '{"format": "hyperofa-vectors-1", "words": -1}'])
def test_a_damaged_meta_is_one_line(store, meta):
    path, vectors = store
    size = (path / "words.txt").stat().st_size
    (path / "meta.json").write_text(meta.replace("-1}", f'-1, "words_bytes": {size}' + "}"))
    if "format" in meta:
        assert len(WordVectors.open(path)) == len(vectors)
    else:
        with pytest.raises(InputError, match="not valid JSON"):
            WordVectors.open(path)


def test_another_directory_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        write_store(tmp_path, ["eng:a"], np.ones((1, 1)), {})


def damage(path, how):
    file = path / ("words.txt" if how.startswith("words") else "vectors.safetensors")
    raw = file.read_bytes()
    if how == "truncated":
        file.write_bytes(raw[:-1])
    elif how == "empty" or how == "words-empty":
        file.write_bytes(b"")
    elif how == "header":
        file.write_bytes(b"\xff" * 8 + raw[8:])
    elif how == "garbage":
        file.write_bytes(raw[:8] + b"garbage!" + raw[16:])
    elif how == "words-lost":
        file.write_bytes(raw[raw.index(b"\n") + 1 :])


@pytest.mark.parametrize("how", ["truncated", "empty", "header", "garbage", "words-lost", "words-empty"])
def test_damage_is_one_line(store, how):
    path, _ = store
    damage(path, how)
    with pytest.raises(InputError) as caught:
        WordVectors.open(path)
    assert "\n" not in str(caught.value)
    assert "make the store again" in str(caught.value)


def test_bad_utf8_in_words(store):
    path, _ = store
    raw = (path / "words.txt").read_bytes()
    (path / "words.txt").write_bytes(raw.replace("政".encode(), b"\xff\xfe\xfd"))
    with pytest.raises(InputError, match=r"words.txt: not UTF-8"):
        list(WordVectors.open(path).words)


def test_words_changed_by_hand_are_counted_again(store):
    path, _ = store
    with (path / "words.txt").open("a", encoding="utf-8") as handle:
        handle.write("eng:more\n")
    with pytest.raises(InputError, match="6 words but 5 vectors"):
        WordVectors.open(path)
    (path / "words.txt").write_bytes((path / "words.txt").read_bytes()[: -len("eng:more\n")].replace(b"\n", b"_", 1))
    with pytest.raises(InputError, match="4 words, not 5"):
        list(WordVectors.open(path).words)


def test_missing_and_foreign(store, tmp_path):
    path, _ = store
    with pytest.raises(DataMissingError, match="hyperofa vectors build"):
        WordVectors.open(tmp_path / "nowhere")
    (path / "words.txt").unlink()
    with pytest.raises(DataMissingError, match=r"words\.txt"):
        WordVectors.open(path)
    (path / "meta.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="not a word-vector store"):
        WordVectors.open(path)


def test_a_vector_file_in_the_place_of_a_store_says_how_to_import_it(tmp_path):
    (tmp_path / "v.vec").write_text("dog 1 2\n")
    with pytest.raises(InputError, match=r"a file, and no word-vector directory; make one of it: .* import .*v\.vec"):
        WordVectors.open(tmp_path / "v.vec")


class TestCounts:
    def test_they_are_read_back_and_may_be_absent(self, tmp_path):
        write_store(tmp_path / "with", WORDS, np.ones((5, 2)), {}, counts=np.array([3, 1, 2, 9, 4]))
        assert WordVectors.open(tmp_path / "with").counts.tolist() == [3, 1, 2, 9, 4]
        write_store(tmp_path / "without", WORDS, np.ones((5, 2)), {})
        assert WordVectors.open(tmp_path / "without").counts is None

    def test_as_many_as_words_are_written_or_none(self, tmp_path):
        with pytest.raises(InputError, match=r"5 words but counts of shape \(4,\)"):
            write_store(tmp_path / "s", WORDS, np.ones((5, 2)), {}, counts=np.ones(4, dtype=int))
        assert not (tmp_path / "s").exists()

    @pytest.mark.parametrize(
        "counts", [np.ones(4, dtype=int), np.ones(5), np.array([1, 2, 0, 4, 5]), np.array([None] * 5), b"PK\x03"]
    )
    def test_damaged_ones_are_one_line(self, store, counts):
        path, _ = store
        if isinstance(counts, bytes):
            (path / "counts.npy").write_bytes(counts)
        else:
            np.save(path / "counts.npy", counts, allow_pickle=True)
        with pytest.raises(InputError, match=r"counts\.npy: damaged counts") as caught:
            _ = WordVectors.open(path).counts
        assert "\n" not in str(caught.value)
