"""Where an exception comes from: the library that raised it, or our own code."""

from __future__ import annotations

import opcode
import re
from typing import NamedTuple

OURS = frozenset({"hyperofa", "hyperofa_eval", "__main__"})
"""Packages whose exceptions are bugs, unless a library raised them."""

_CLASSES = {
    **{name: name for name in ("tokenizers", "safetensors", "pyarrow", "datasets", "huggingface_hub", "sentencepiece")},
    **{name: name for name in ("fsspec", "httpx", "httpx2", "httpcore", "requests", "urllib3", "aiohttp")},
    **{name: name for name in ("yaml", "json", "zlib", "gzip", "zipfile", "tarfile")},
    **{"_lzma": "lzma", "lzma": "lzma", "_pickle": "pickle", "pickle": "pickle", "google": "protobuf"},
}
"""Libraries whose own exception classes mean bad input, by the first part of the class's module."""
_READERS = {
    **{name: name for name in ("lzma", "gzip", "bz2", "zipfile", "tarfile", "codecs", "sentencepiece")},
    **{"_compression": "gzip or lzma", "json.decoder": "json"},
    **{f"numpy.lib.{name}": "numpy" for name in ("_npyio_impl", "_format_impl", "npyio", "format")},
}
"""Modules that only read files: whatever they raise, apart from :data:`_BUGS`, is about the file."""
_LOADERS = frozenset({"transformers", "sentence_transformers"})
"""Libraries whose ``from_pretrained`` reads a folder or the hub."""
_BUGS = (TypeError, AttributeError, NameError, LookupError, AssertionError, ArithmeticError)
"""Kinds of exceptions that wrong code raises; they stay tracebacks, in a library too."""
_RAISES = frozenset({opcode.opmap["RAISE_VARARGS"], opcode.opmap["RERAISE"]})
_REMOTE = re.compile(r'File "([^"]+)", line \d+, in .*\n\s*(.*)')


class _Frame(NamedTuple):
    """One call on the way to an exception: the module and function, and whether a ``raise`` of its own ended it."""

    module: str
    function: str
    raises: bool

    @property
    def root(self) -> str:
        return self.module.partition(".")[0]


def library_of(error: BaseException) -> str | None:
    """The library that an exception comes from; None where it may be a bug of ours."""
    if isinstance(error, _BUGS):
        return None
    kind = type(error)
    if kind.__name__ == "PanicException":  # Rust's; it derives from BaseException
        return "safetensors" if any(frame.root == "safetensors" for frame in _frames(error)[-1:]) else "tokenizers"
    if kind.__name__ == "BrokenProcessPool":
        return "a worker process"
    root = kind.__module__.partition(".")[0]
    if root in _CLASSES:
        return _CLASSES[root]
    return _raiser(error) if root == "builtins" else None


def _raiser(error: BaseException) -> str | None:
    """The library that raised an exception of a class which is Python's own."""
    frames = _frames(error)
    if not frames:
        return None
    last = frames[-1]
    if reader := next((name for module, name in _READERS.items() if f"{last.module}.".startswith(f"{module}.")), None):
        return reader
    if loader := _loader(frames):
        return loader
    if type(error) is Exception:
        return _raiser_of_a_bare_exception(error, last)
    return _CLASSES.get(last.root) if isinstance(error, OSError) else None


def _raiser_of_a_bare_exception(error: BaseException, last: _Frame) -> str | None:
    """Of all that we use, only ``tokenizers`` raises ``Exception`` itself, and from Rust: no ``raise`` stands in a frame."""
    if not last.raises:
        return "tokenizers"
    if last.root in _CLASSES or last.root in _LOADERS:
        return last.root
    remote = getattr(error.__cause__, "tb", None)  # a worker process's traceback, which is text
    places = _REMOTE.findall(remote) if isinstance(remote, str) else []
    return "tokenizers" if places and not places[-1][1].startswith("raise") else None


def _loader(frames: list[_Frame]) -> str | None:
    """The library whose ``from_pretrained`` failed without code of ours further down."""
    for frame in reversed(frames):
        if frame.root in OURS:
            return None
        if frame.function == "from_pretrained" and frame.root in _LOADERS:
            return frame.root
    return None


def _frames(error: BaseException) -> list[_Frame]:
    frames: list[_Frame] = []
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        raises = traceback.tb_lasti >= 0 and frame.f_code.co_code[traceback.tb_lasti] in _RAISES
        frames.append(_Frame(str(frame.f_globals.get("__name__", "")), frame.f_code.co_name, raises))
        traceback = traceback.tb_next
    return frames
