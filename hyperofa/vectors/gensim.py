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


class _Dtype:
    """Stands in for ``numpy.dtype``: plain numbers and their byte order (an array of objects would hold further pickles)."""

    def __init__(self, name: str, *_: object) -> None:
        self.kind = np.dtype(name) if isinstance(name, str) else np.dtype(object)
        if self.kind.kind not in "fiub" or self.kind.subdtype is not None:
            raise pickle.UnpicklingError(f"an array of {self.kind}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.kind = self.kind.newbyteorder(state[1])


class _Array:
    """Stands in for ``numpy.ndarray``, whose own constructor and state would take any bytes for pointers to objects."""

    array: np.ndarray | None = None

    def __init__(self, *_: object) -> None:
        """What numpy calls first has no content yet."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        self.fill(content, dtype, shape, "F" if fortran else "C")

    def fill(self, content: object, dtype: object, shape: tuple[int, ...], order: str) -> None:
        """Take the numbers out of ``content``."""
        if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array of something other than bytes")
        self.array = np.frombuffer(content, dtype.kind).reshape(shape, order="F" if order == "F" else "C")


def _frombuffer(content: object, dtype: object, shape: tuple[int, ...], order: str, axes: object = None) -> _Array:
    """``numpy._core.numeric._frombuffer`` (pickle protocol 5)."""
    made = _Array()
    made.fill(content, dtype, shape, order)
    if axes is not None and made.array is not None:
        made.array = made.array.transpose(axes)  # type: ignore[call-overload]
    return made


def _reconstructor(cls: type, base: type, state: object) -> object:
    """``copyreg._reconstructor`` for our record only (pickle protocols 0 and 1)."""
    if cls is not _Record or base is not object or state is not None:
        raise pickle.UnpicklingError("an object of another class")
    return _Record()


def _encode(text: str, encoding: str = "utf-8") -> bytes:
    """``_codecs.encode`` as pickle protocol 2 uses it for bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,
    **{(builtins, kind.__name__): kind for builtins in ("builtins", "__builtin__") for kind in (object, bytes)},
    # numpy 1 has its modules in numpy.core; of a single number (scalar) nothing is needed.
    **{(f"numpy.{core}.multiarray", name): _Array for core in ("core", "_core") for name in ("_reconstruct", "scalar")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    **{("gensim.models.keyedvectors", f"{name}KeyedVectors"): _Record for name in ("", "Word2Vec", "Euclidean")},
    ("gensim.models.keyedvectors", "Vocab"): _Record,
    ("gensim.models.word2vec", "Vocab"): _Record,
    ("gensim.models.fasttext", "FastTextKeyedVectors"): _Record,
}
"""Our stand-ins for what a gensim file asks for; nothing of numpy or gensim is given to a pickle to call."""


class _Unpickler(pickle.Unpickler):
    """Loads what :data:`_ADMITTED` lists; any other class or function is refused before it is even imported."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global of the pickle."""
        try:
            return _ADMITTED[module, name]
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


def arrays_beside(path: Path) -> dict[str, Path]:
    """The files beside a gensim file that hold its vectors, by the attribute's name (gensim 4 and 3)."""
    places = {name: path.with_name(f"{path.name}.{name}.npy") for name in ("vectors", "syn0")}
    return {name: place for name, place in places.items() if place.is_file()}


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
        vectors = vectors.array if isinstance(vectors, _Array) else vectors
        if vectors is None and (name in arrays_beside(path) or name in (attributes.get("__numpys") or [])):
            vectors = _load_array(path.with_name(f"{path.name}.{name}.npy"))
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
        with np.errstate(over="ignore"):  # rows that are not finite are reported below
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
