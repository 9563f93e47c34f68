"""Files of gensim 1.x to 4.x: keyed vectors of every class name and whole models are read, with nothing of them run."""

from __future__ import annotations

import pickle
import struct
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

from hyperofa.errors import DataMissingError, InputError
from hyperofa.vectors.importing import import_file
from hyperofa.vectors.settings import ImportSettings
from tests.unit.vectors.conftest import STORED, WORDS, imported
from tests.unit.vectors.test_import import plain_subwords

CLASSES = [
    "gensim.models.keyedvectors.Word2VecKeyedVectors",
    "gensim.models.keyedvectors.WordEmbeddingsKeyedVectors",
    "gensim.models.keyedvectors.FastTextKeyedVectors",
    "gensim.models.keyedvectors.EuclideanKeyedVectors",
    "gensim.models.fasttext.FastTextKeyedVectors",
    "gensim.models.deprecated.keyedvectors.KeyedVectors",
    "gensim.models.deprecated.keyedvectors.EuclideanKeyedVectors",
    "gensim.models.deprecated.fasttext.FastTextKeyedVectors",
    "gensim.models.deprecated.fasttext_wrapper.FastTextKeyedVectors",
    "gensim.models.wrappers.fasttext.FastTextKeyedVectors",
]


@pytest.fixture
def gensim(monkeypatch):
    """Makes classes that pickle under gensim's names, as ``gensim("gensim.models.keyedvectors.Vocab")``."""

    def make(name):
        parts = name.split(".")
        for end in range(1, len(parts)):
            module = ".".join(parts[:end])
            if module not in sys.modules:
                monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        module = sys.modules[".".join(parts[:-1])]
        if not hasattr(module, parts[-1]):
            monkeypatch.setattr(module, parts[-1], type(parts[-1], (), {"__module__": module.__name__}), raising=False)
        return getattr(module, parts[-1])

    return make


def made(cls, **attributes):
    record = cls()
    record.__dict__.update(attributes)
    return record


def vocabulary(gensim, module="gensim.models.keyedvectors"):
    entry = gensim(f"{module}.Vocab")
    return {word: made(entry, count=np.int64(9 - i), index=i, sample_int=2**32) for i, word in enumerate(WORDS)}


class Python2(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, content):
        self.write(b"T" + struct.pack("<i", len(content)) + content)
        self.memoize(content)

    dispatch[bytes] = save_bytes


class TestGensim3:
    @pytest.mark.parametrize("protocol", [0, 2, 4])
    @pytest.mark.parametrize("array", ["vectors", "syn0"])
    @pytest.mark.parametrize("name", CLASSES)
    def test_keyed_vectors_of_every_class(self, tmp_path, vectors, gensim, name, array, protocol):
        more = {
            "vector_size": 6,
            "min_n": 3,
            "max_n": 6,
            "vectors_norm": None,
            "hash2index": {7: 0},
            "buckets_word": {},
        }
        record = made(gensim(name), index2word=WORDS, vocab=vocabulary(gensim), **{array: vectors}, **more)
        (tmp_path / "v.kv").write_bytes(pickle.dumps(record, protocol=protocol))
        _, store = imported(tmp_path / "v.kv", tmp_path / "out")
        assert list(store.words) == STORED
        np.testing.assert_allclose(store.vectors, vectors, rtol=1e-6)

    @pytest.mark.parametrize("array", ["vectors", "syn0"])
    @pytest.mark.parametrize("part", ["", "wv."])
    def test_arrays_beside(self, tmp_path, vectors, gensim, array, part):
        """Large arrays have a file of their own: of keyed vectors, and of a whole model's."""
        keyed = made(gensim(CLASSES[0]), index2word=WORDS, vocab=vocabulary(gensim), __numpys=[array], **{array: None})
        model = made(gensim("gensim.models.word2vec.Word2Vec"), wv=keyed, __recursive_saveloads=["wv"])
        path = tmp_path / ("w2v.model" if part else "v.kv")
        path.write_bytes(pickle.dumps(model if part else keyed, protocol=2))
        with pytest.raises(DataMissingError, match=rf"{array}\.npy: the vectors' array is not there; copy it beside"):
            import_file(path, tmp_path / "out", ImportSettings())
        np.save(path.with_name(f"{path.name}.{part}{array}.npy"), vectors)
        _, store = imported(path, tmp_path / "out")
        assert list(store.words) == STORED
        np.testing.assert_allclose(store.vectors, vectors, rtol=1e-6)
        assert set(store.meta["made_by"]["inputs"]) == {"file", array}

    @pytest.mark.parametrize("model", ["word2vec.Word2Vec", "fasttext.FastText", "deprecated.word2vec.Word2Vec"])
    def test_whole_models(self, tmp_path, vectors, gensim, model):
        from collections import defaultdict

        keyed = made(gensim(CLASSES[2]), index2word=WORDS, vocab=vocabulary(gensim), vectors=vectors)
        more = {
            "trainables": made(gensim("gensim.models.word2vec.Word2VecTrainables"), syn1neg=vectors, hashfxn=hash),
            "vocabulary": made(gensim("gensim.models.word2vec.Word2VecVocab"), raw_vocab=defaultdict(int, dog=3)),
            "random": np.random.RandomState(1),
            "total_train_time": 0.1,
            "callbacks": (),
            "load": gensim("gensim.utils.call_on_class_only"),
        }
        (tmp_path / "m").write_bytes(pickle.dumps(made(gensim(f"gensim.models.{model}"), wv=keyed, **more), protocol=2))
        assert list(imported(tmp_path / "m", tmp_path / "out")[1].words) == STORED

    def test_an_old_model_that_holds_its_vectors_itself(self, tmp_path, vectors, gensim):
        entries = vocabulary(gensim, "gensim.models.word2vec")
        record = made(gensim("gensim.models.word2vec.Word2Vec"), vocab=entries, syn0=vectors)
        (tmp_path / "m").write_bytes(pickle.dumps(record, protocol=2))
        assert list(imported(tmp_path / "m", tmp_path / "out")[1].words) == STORED

    def test_written_by_python_2(self, tmp_path, vectors, gensim):
        with (tmp_path / "v.kv").open("wb") as handle:
            words = [word.encode() for word in WORDS]
            record = made(gensim(CLASSES[0]), index2word=words, vocab={}, vectors=vectors)
            Python2(handle, protocol=2).dump(record)
        _, store = imported(tmp_path / "v.kv", tmp_path / "out")
        assert list(store.words) == STORED
        assert (store.vectors == vectors).all()

    def test_words_of_python_2_that_are_no_utf8_are_bad_rows(self, tmp_path, vectors, gensim):
        with (tmp_path / "v.kv").open("wb") as handle:
            words = [*(word.encode() for word in WORDS[:-1]), b"Stra\xdfe"]
            Python2(handle, protocol=2).dump(made(gensim(CLASSES[0]), index2word=words, vectors=vectors))
        with pytest.raises(InputError, match="row 5: a word that is no text"):
            import_file(tmp_path / "v.kv", tmp_path / "out", ImportSettings())
        summary, store = imported(tmp_path / "v.kv", tmp_path / "out", skip_bad=True)
        assert (list(store.words), summary.bad_rows) == (STORED[:-1], {"a word that is no text": 1})


class TestGensim4:
    def test_fasttext_vectors_are_put_together_again(self, tmp_path, vectors, gensim):
        """Gensim 4 does not save the vectors of a fastText model, which it computes from words and n-grams."""
        grams = np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32)
        numbers = {"min_n": 2, "max_n": 4, "bucket": 50, "compatible_hash": True, "vector_size": 6}
        arrays = {"vectors_vocab": vectors, "vectors_ngrams": grams}
        record = made(gensim(CLASSES[4]), index_to_key=WORDS, **arrays, **numbers)
        (tmp_path / "ft.wv").write_bytes(pickle.dumps(record, protocol=4))
        _, store = imported(tmp_path / "ft.wv", tmp_path / "out")
        assert list(store.words) == STORED
        for row, word in enumerate(WORDS):
            rows = plain_subwords(word, 50, 2, 4)
            expected = (vectors[row] + grams[rows].sum(axis=0)) / (len(rows) + 1)
            np.testing.assert_allclose(store.vectors[row], expected, rtol=1e-4, atol=1e-6)

    def test_without_ngrams_the_words_rows_are_the_vectors(self, tmp_path, vectors, gensim):
        record = made(gensim(CLASSES[4]), index_to_key=WORDS, vectors_vocab=vectors, bucket=0)
        (tmp_path / "ft.wv").write_bytes(pickle.dumps(record))
        assert (imported(tmp_path / "ft.wv", tmp_path / "out")[1].vectors == vectors).all()

    @pytest.mark.parametrize("change", [{"bucket": 60}, {"compatible_hash": False}])
    def test_ngrams_that_do_not_fit(self, tmp_path, vectors, gensim, change):
        numbers = {"min_n": 2, "max_n": 4, "bucket": 50, "compatible_hash": True} | change
        arrays = {"vectors_vocab": vectors, "vectors_ngrams": np.zeros((50, 6), np.float32)}
        (tmp_path / "ft.wv").write_bytes(
            pickle.dumps(made(gensim(CLASSES[4]), index_to_key=WORDS, **arrays, **numbers))
        )
        with pytest.raises(InputError, match="n-grams that do not fit the model; export it with save_word2vec_format"):
            import_file(tmp_path / "ft.wv", tmp_path / "out", ImportSettings())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [0.1]}, "no list of words in it; save the vectors by themselves"),
        (
            types.SimpleNamespace(a=1),
            r"refused as a gensim file: it asks for types\.SimpleNamespace.*save_word2vec_format",
        ),
    ],
)
def test_pickles_of_other_programs(tmp_path, content, message):
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=message):
        import_file(tmp_path / "v.pkl", tmp_path / "out", ImportSettings())


def test_a_module_that_only_begins_like_gensims_is_refused(tmp_path):
    for name in (b"gensim.modelsx.a\nA", b"gensim.models.a\nA.__init__", b"gensim.utils\nunpickle", b"os\nsystem"):
        (tmp_path / "v.wv").write_bytes(b"c" + name + b"\n.")
        with pytest.raises(InputError, match="refused as a gensim file: it asks for"):
            import_file(tmp_path / "v.wv", tmp_path / "out", ImportSettings())
