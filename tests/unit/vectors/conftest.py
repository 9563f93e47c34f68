"""Writers of foreign vector files, as the programs that own the formats write them."""

from __future__ import annotations

import pickle
import struct
import sys
import types

import numpy as np
import pytest

from hyperofa.vectors.importing import import_file
from hyperofa.vectors.settings import ImportSettings
from hyperofa.vectors.store import WordVectors

WORDS = ["eng:dog", "deu:Hund", "cmn:政府", "eng:$the$", "bare"]
STORED = ["eng:dog", "deu:Hund", "cmn:政府", "eng:$the$", "eng:bare"]


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)


def write_text(path, words, vectors, *, header=True):
    lines = [f"{len(words)} {vectors.shape[1]}"] if header else []
    lines += [f"{word} {' '.join(repr(float(x)) for x in row)}" for word, row in zip(words, vectors, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_binary(path, words, vectors):
    with path.open("wb") as handle:
        handle.write(f"{len(words)} {vectors.shape[1]}\n".encode())
        for word, row in zip(words, vectors, strict=True):
            handle.write(word.encode() + b" " + row.astype("<f4").tobytes() + b"\n")


@pytest.fixture
def gensim_class(monkeypatch):
    """A class that pickles under gensim's name; gensim itself is not needed to read its files."""
    module = types.ModuleType("gensim.models.keyedvectors")
    module.KeyedVectors = type("KeyedVectors", (), {"__module__": module.__name__})
    module.Word2VecKeyedVectors = type("Word2VecKeyedVectors", (), {"__module__": module.__name__})
    module.Vocab = type("Vocab", (), {"__module__": module.__name__})
    for name in ("gensim", "gensim.models"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def write_gensim(path, module, words, vectors, *, beside=False, protocol=4):
    """As gensim 4 writes it; large arrays go to a file of their own."""
    record = module.KeyedVectors()
    record.__dict__.update(
        vector_size=vectors.shape[1],
        index_to_key=list(words),
        next_index=len(words),
        key_to_index={word: i for i, word in enumerate(words)},
        vectors=vectors,
        norms=None,
        expandos={"count": np.arange(len(words)), "none": np.zeros(0, "f4"), "order": np.ones((2, 3), ">f4", "F")},
        lifecycle_events=[{"event": "created", "gensim": "4.3.2"}],
        mapfile_path=None,
    )
    if beside:
        record.__dict__.pop("vectors")
        record.__dict__.update({"__numpys": ["vectors"], "__scipys": [], "__ignoreds": [], "__recursive_saveloads": []})
        np.save(path.with_name(f"{path.name}.vectors.npy"), vectors)
    path.write_bytes(pickle.dumps(record, protocol=protocol))


def write_fasttext(path, words, matrix, *, bucket=0, shortest=3, longest=6, labels=(), quantised=False):
    """A fastText ``.bin``, version 12: ``matrix`` has a row for each word, then one for each bucket."""
    with path.open("wb") as handle:
        handle.write(struct.pack("<ii", 793712314, 12))
        dim = matrix.shape[1]
        handle.write(struct.pack("<12id", dim, 5, 5, 5, 5, 1, 2, 2, bucket, shortest, longest, 100, 1e-4))
        entries = [(word, 0) for word in words] + [(label, 1) for label in labels]
        handle.write(struct.pack("<iiiqq", len(entries), len(words), len(labels), 99, -1))
        for word, kind in entries:
            handle.write(word.encode() + b"\0" + struct.pack("<qb", 7, kind))
        handle.write(struct.pack("<?qq", quantised, *matrix.shape))
        handle.write(matrix.astype("<f4").tobytes())


def imported(path, out, **options):
    summary = import_file(path, out, ImportSettings(dtype="float32", **options))
    return summary, WordVectors.open(out)


@pytest.fixture(scope="module")
def gensim_names():
    """A class that pickles as gensim 3's keyed vectors, for tests that make many files."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("gensim", "gensim.models"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        module = types.ModuleType("gensim.models.keyedvectors")
        module.Word2VecKeyedVectors = type("Word2VecKeyedVectors", (), {"__module__": module.__name__})
        patch.setitem(sys.modules, module.__name__, module)
        yield module.Word2VecKeyedVectors
