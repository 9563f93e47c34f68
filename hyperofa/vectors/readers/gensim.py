"""gensim's ``.wv`` files: read by an unpickler that admits the few classes such a file needs and runs nothing."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hyperofa.errors import DataMissingError, InputError
from hyperofa.vectors.readers.fasttext import CHUNK, means
from hyperofa.vectors.readers.rows import BLOCK, Faults, Rows, blocks_of

_UNDECODED = "surrogateescape"
"""How bytes of Python 2's strings that are no UTF-8, such as an array's, survive as text."""
_BUILTINS = ("builtins", "__builtin__")
_SAVE = "save the vectors by themselves: model.wv.save(FILE)"


class _Record:
    """Stands in for gensim's classes: holds the attributes that were pickled, and does nothing."""

    def __init__(self, *_: object, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def __setstate__(self, state: object) -> None:
        for part in state if isinstance(state, tuple) else (state,):  # a tuple: of a class with slots
            if isinstance(part, dict):
                self.__dict__.update(part)


def _defaults(*_: object) -> dict[Any, Any]:
    """Stands in for ``collections.defaultdict``: a dict, whose factory is dropped."""
    return {}


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
        """Take the numbers out of ``content``, which is text where Python 2 wrote the pickle."""
        if isinstance(content, str):
            content = content.encode("utf-8", errors=_UNDECODED)
        if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array of something other than bytes")
        self.array = np.frombuffer(content, dtype.kind).reshape(shape, order="F" if order == "F" else "C")


def _frombuffer(content: object, dtype: object, shape: tuple[int, ...], order: str, axes: object = None) -> _Array:
    """``numpy._core.numeric._frombuffer`` (pickle protocol 5)."""
    result = _Array()
    result.fill(content, dtype, shape, order)
    if axes is not None and result.array is not None:
        result.array = result.array.transpose(axes)  # type: ignore[call-overload]
    return result


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
    ("collections", "defaultdict"): _defaults,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("copy_reg", "_reconstructor"): _reconstructor,
    **{(builtins, kind.__name__): kind for builtins in _BUILTINS for kind in (object, bytes, int, float, set)},
    **{(builtins, "hash"): _Record for builtins in _BUILTINS},
    ("__builtin__", "long"): int,
    # numpy 1 has its modules in numpy.core; of a single number (scalar) nothing is needed.
    **{(f"numpy.{core}.multiarray", name): _Array for core in ("core", "_core") for name in ("_reconstruct", "scalar")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    # Whole models keep their random state.
    **{("numpy.random._pickle", f"__{name}_ctor"): _Record for name in ("randomstate", "bit_generator", "generator")},
    ("numpy.random", "__RandomState_ctor"): _Record,
    ("numpy.random._mt19937", "MT19937"): _Record,
    ("gensim.utils", "call_on_class_only"): _Record,
}
"""Our stand-ins for what a gensim file asks for; nothing of numpy or gensim is given to a pickle to call."""
_GENSIM = re.compile(r"gensim\.models\.[a-z0-9_.]+")


class _Unpickler(pickle.Unpickler):
    """Loads what :data:`_ADMITTED` lists; any other class or function is refused before it is even imported."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global of the pickle; all of ``gensim.models`` (3.x has many names) is a plain record."""
        if _GENSIM.fullmatch(module) and name.isidentifier():
            return _Record
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which word vectors do not need") from None


def read_gensim(path: Path, faults: Faults) -> Rows:
    """A pickled gensim ``KeyedVectors`` or a whole model (1.x to 4.x); its arrays are inside, or beside it as ``.npy``.

    fastText's vectors are as gensim gives them: the mean of a word's own row and those of its n-grams.

    Raises:
        InputError: the pickle asks for anything but word vectors (it is named, and nothing of it runs), or is damaged.
        DataMissingError: an array's file is not there.
    """
    try:
        with path.open("rb") as handle:
            record = _Unpickler(handle, encoding="utf-8", errors=_UNDECODED).load()
    except Exception as error:  # noqa: BLE001  (a damaged pickle raises whatever its bytes happen to ask for)
        is_foreign = isinstance(error, pickle.UnpicklingError) and "asks for" in str(error)
        reason = " ".join(str(error).split()) or type(error).__name__
        what = f"{'refused' if isinstance(error, pickle.UnpicklingError) else 'damaged'} as a gensim file: {reason}"
        todo = "only gensim's vectors and models are read; export others with save_word2vec_format(FILE)"
        raise InputError(what, where=path, todo=todo if is_foreign else "save or copy it again") from None
    values, prefix = vars(record) if isinstance(record, _Record) else {}, ""
    if isinstance(values.get("wv"), _Record):
        values, prefix = vars(values["wv"]), "wv."
    attributes = _Attributes(values, path, prefix)
    words = _words(attributes)
    vectors = _vectors(attributes, words)
    if len(words) != len(vectors):
        faults.bad(f"{len(words)} words but {len(vectors)} vectors", "the whole file")
    return Rows(int(vectors.shape[1]), blocks_of(_rows(words, vectors, faults), faults))


def arrays_beside(path: Path) -> dict[str, Path]:
    """The files beside a gensim file that hold its vectors, by the attribute's name (of gensim 4 and 3)."""
    names = ("vectors", "syn0", "vectors_vocab", "vectors_ngrams")
    places = [(name, path.with_name(f"{path.name}.{part}{name}.npy")) for part in ("", "wv.") for name in names]
    return {name: place for name, place in reversed(places) if place.is_file()}


@dataclass(frozen=True)
class _Attributes:
    """What was pickled of an object that holds vectors; its large arrays lie beside the file."""

    values: dict[str, Any]
    path: Path
    prefix: str
    """``wv.`` where the object is that attribute of a whole model."""

    def array(self, name: str) -> np.ndarray | None:
        """The float matrix of that name, from within the pickle or from the file beside it; None if there is none."""
        value = self.values.get(name)
        value = value.array if isinstance(value, _Array) else value
        if value is None:
            place = self.path.with_name(f"{self.path.name}.{self.prefix}{name}.npy")
            if place.is_file() or name in (self.values.get("__numpys") or []):
                value = _load_array(place)
        good = isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind == "f" and value.shape[1] > 0
        return value if good else None

    def number(self, name: str) -> int:
        """A whole number, 0 if it is none."""
        value = self.values.get(name)
        return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def _words(attributes: _Attributes) -> list[Any]:
    for name in ("index_to_key", "index2word", "index2entity"):
        words = attributes.values.get(name)
        if isinstance(words, list) and words:
            return words
    vocabulary = attributes.values.get("vocab")
    entries = vocabulary.items() if isinstance(vocabulary, dict) else ()
    places = {getattr(entry, "index", None): word for word, entry in entries}
    if places and sorted(place for place in places if isinstance(place, int)) == list(range(len(places))):
        return [places[place] for place in range(len(places))]
    raise InputError("no list of words in it", where=attributes.path, todo=_SAVE)


def _vectors(attributes: _Attributes, words: list[Any]) -> np.ndarray:
    for name in ("vectors", "syn0"):
        vectors = attributes.array(name)
        if vectors is not None:
            return vectors
    own = attributes.array("vectors_vocab")
    if own is None:
        raise InputError("no array of vectors in it, or beside it as .vectors.npy", where=attributes.path, todo=_SAVE)
    return _composed(attributes, own, words)


def _composed(attributes: _Attributes, own: np.ndarray, words: list[Any]) -> np.ndarray:
    """The vectors of a fastText model of gensim 4, which does not save what it can compute again."""
    grams, bucket = attributes.array("vectors_ngrams"), attributes.number("bucket")
    if grams is None or not bucket:
        return own
    if len(grams) < bucket or grams.shape[1] != own.shape[1] or attributes.values.get("compatible_hash") is False:
        what = "arrays of n-grams that do not fit the model"
        raise InputError(what, where=attributes.path, todo="export it with save_word2vec_format(FILE)")
    shortest, longest = max(attributes.number("min_n"), 1), attributes.number("max_n")
    out = np.empty((min(len(own), len(words)), own.shape[1]), dtype=np.float32)
    for start in range(0, len(out), CHUNK):
        texts = [word if isinstance(word, str) else "" for word in words[start : start + CHUNK]]
        raw = [text.encode("utf-8", errors=_UNDECODED) for text in texts][: len(out) - start]
        out[start : start + len(raw)] = means(own[start : start + len(raw)], grams, raw, bucket, shortest, longest)
    return out


def _load_array(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataMissingError("the vectors' array is not there", where=path, todo="copy it beside the .wv") from None
    except Exception as error:  # noqa: BLE001  (numpy parses the header as Python, and fails in as many ways)
        raise InputError(f"not a whole .npy array ({' '.join(str(error).split())})", where=path) from None
    return array


def _rows(words: list[Any], vectors: np.ndarray, faults: Faults) -> Iterator[tuple[bytes, np.ndarray, str]]:
    for start in range(0, min(len(words), len(vectors)), BLOCK):
        with np.errstate(over="ignore"):  # rows that are not finite are reported where they are gathered
            block = np.asarray(vectors[start : start + BLOCK], dtype=np.float32)
        for number, (word, vector) in enumerate(
            zip(words[start : start + BLOCK], block, strict=False), start=start + 1
        ):
            try:
                raw = word.encode("utf-8") if isinstance(word, str) else None
            except UnicodeEncodeError:  # half a surrogate pair, or a byte that was no text
                raw = None
            if raw is None:
                faults.bad("a word that is no text", f"row {number}")
            else:
                yield raw, vector, f"row {number}"
