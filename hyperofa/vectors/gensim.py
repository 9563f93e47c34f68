"""gensim's ``.wv`` files: read by an unpickler that admits the few classes such a file needs and runs nothing."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hyperofa.errors import DataMissingError, InputError
from hyperofa.vectors.foreign import BLOCK, Block, Faults, Rows, finite_rows


class _Record:
    """Stands in for gensim's classes: holds the attributes that were pickled, and does nothing."""

    def __init__(self, *_: object, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


def _reconstructor(cls: type, base: type, state: object) -> object:
    """``copyreg._reconstructor`` for our record only (pickle protocols 0 and 1)."""
    if cls is not _Record or base is not object or state is not None:
        raise pickle.UnpicklingError("an object of another class")
    return _Record()


def _dtype(name: str, *_: object) -> np.dtype[Any]:
    """``numpy.dtype`` for plain numbers: an array of objects would hold further pickles."""
    kind = np.dtype(name)
    if kind.kind not in "fiub" or kind.subdtype is not None:
        raise pickle.UnpicklingError(f"an array of {kind}")
    return np.dtype(kind, copy=True)


def _encode(text: str, encoding: str = "utf-8") -> bytes:
    """``_codecs.encode`` as pickle protocol 2 uses it for bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


_ARRAYS = "numpy.core.multiarray", "numpy._core.multiarray"
_GENSIM = {
    "gensim.models.keyedvectors": ("KeyedVectors", "Word2VecKeyedVectors", "EuclideanKeyedVectors", "Vocab"),
    "gensim.models.word2vec": ("Vocab",),
    "gensim.models.fasttext": ("FastTextKeyedVectors",),
}


def _admitted() -> dict[tuple[str, str], Any]:
    from numpy._core import multiarray, numeric

    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): _dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _encode,
        ("copyreg", "_reconstructor"): _reconstructor,
        ("copy_reg", "_reconstructor"): _reconstructor,
        ("builtins", "object"): object,
        ("__builtin__", "object"): object,
    }
    for module in _ARRAYS:
        table |= {(module, "_reconstruct"): multiarray._reconstruct, (module, "scalar"): multiarray.scalar}
    for module in ("numpy.core.numeric", "numpy._core.numeric"):
        table[module, "_frombuffer"] = numeric._frombuffer  # type: ignore[attr-defined]
    return table | {(module, name): _Record for module, names in _GENSIM.items() for name in names}


class _Unpickler(pickle.Unpickler):
    """Loads what :func:`_admitted` lists; any other class or function is refused before it is even imported."""

    admitted = _admitted()

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global of the pickle."""
        try:
            return self.admitted[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which word vectors do not need") from None


def read_gensim(path: Path, faults: Faults) -> Rows:
    """A pickled gensim ``KeyedVectors`` (3.x or 4.x); its array is inside, or beside it as ``FILE.vectors.npy``.

    Raises:
        InputError: the pickle asks for anything but word vectors (it is named, and nothing of it runs), or is damaged.
        DataMissingError: the array's file is not there.
    """
    try:
        with path.open("rb") as handle:
            record = _Unpickler(handle).load()
    except Exception as error:  # noqa: BLE001  (a damaged pickle raises whatever its bytes happen to ask for)
        what = "refused" if isinstance(error, pickle.UnpicklingError) else "damaged"
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{what} as a gensim file: {reason}", where=path, todo="save the vectors by themselves: model.wv.save(FILE)"
        ) from None
    attributes = vars(record) if isinstance(record, _Record) else {}
    words = _words(attributes, path)
    vectors = _vectors(attributes, path)
    if len(words) != len(vectors):
        faults.bad(f"{len(words)} words but {len(vectors)} vectors", "the whole file")
    return Rows(int(vectors.shape[1]), _blocks(words, vectors, faults))


def _words(attributes: dict[str, Any], path: Path) -> list[Any]:
    for name in ("index_to_key", "index2word", "index2entity"):
        words = attributes.get(name)
        if isinstance(words, list) and words:
            return words
    raise InputError("no list of words in it", where=path, todo="save the vectors by themselves: model.wv.save(FILE)")


def _vectors(attributes: dict[str, Any], path: Path) -> np.ndarray:
    vectors = None
    for name in ("vectors", "syn0"):
        vectors = attributes.get(name)
        beside = path.with_name(f"{path.name}.{name}.npy")
        if vectors is None and (beside.is_file() or name in (attributes.get("__numpys") or [])):
            vectors = _load_array(beside)
        if vectors is not None:
            break
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise InputError("no array of vectors in it, or beside it as .vectors.npy", where=path)
    return vectors


def _load_array(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataMissingError("the vectors' array is not there", where=path, todo="copy it beside the .wv") from None
    except Exception as error:  # noqa: BLE001  (numpy parses the header as Python, and fails in as many ways)
        raise InputError(f"not a whole .npy array ({' '.join(str(error).split())})", where=path) from None
    return array


def _blocks(words: list[Any], vectors: np.ndarray, faults: Faults) -> Iterator[Block]:
    for start in range(0, min(len(words), len(vectors)), BLOCK):
        block = np.asarray(vectors[start : start + BLOCK], dtype=np.float32)
        names = words[start : start + len(block)]
        good = finite_rows(block)
        for row, name in enumerate(names):
            if not isinstance(name, str):
                faults.bad("a word that is no text", f"row {start + row + 1}")
                good[row] = False
            elif not good[row]:
                faults.bad("NaN or infinite values", f"row {start + row + 1}")
        chosen = [name for name, keep in zip(names, good, strict=False) if keep]
        yield chosen, block[: len(names)][good[: len(names)]]
