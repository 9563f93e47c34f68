"""The guard at the edge of every command: errors that a user can meet become one line; a bug of ours stays a traceback.

An exception is judged by where it comes from. A class that a library defines, or a plain exception that a library raised,
is the library's. What our own code raises or trips over (``KeyError``, ``TypeError`` …) is a bug, whatever called it.
"""

from __future__ import annotations

import errno
import io
import os
import random
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TextIO

from hyperofa_eval.base.errors import (
    EXIT_DATA_MISSING,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_TERMINATED,
    EXIT_USAGE,
    DataMissingError,
    EvalError,
    InputError,
)
from hyperofa_eval.base.origins import library_of

SECONDS_FOR_RANK_0 = 3.0
"""What all launched processes find wrong, rank 0 says; the launcher ends the others while they wait for it to do so."""
INTERRUPTED = 130

_TRACEBACK = "HYPEROFA_TRACEBACK"
_SHOWN = f"{_TRACEBACK}=1 shows where"
_LONGEST = 400  # characters of a library's message
_OS_CODES = {
    errno.ENOENT: EXIT_DATA_MISSING,
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL), EXIT_USAGE
    ),
}
"""Exit codes of the operating system's errors: a path that is not there, one that cannot be; others are failures."""
_DISK = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within the quota",
    errno.EFBIG: "the file system or ulimit -f allows no file of this size",
    errno.EROFS: "name a folder that can be written to",
    errno.EIO: "check the disk",
}
"""What the disk refuses, and what to do; looked for behind a library's error too."""
_ERRNO = re.compile(r"(?:os error|\[errno) (\d{1,3})[\])]", re.IGNORECASE)
_UNWRITTEN = re.compile(r"inline_container\.cc|PytorchStreamWriter failed|\d+ requested and \d+ written")
"""How torch and numpy say that a file could not be written."""
_TORCH_MEMORY = re.compile(r"DefaultCPUAllocator|out of memory")
_CONNECTIONS = frozenset(
    {"ConnectionError", "ConnectError", "TransportError", "TimeoutException", "TimeoutError", "BrokenProcessPool"}
)
"""Names of exception classes that mean no wrong input: the connection, a killed process."""
_TODO = {
    "tokenizers": "check the tokenizer's files",
    "safetensors": "check the .safetensors files",
    "pyarrow": "check the .arrow and .parquet files",
    "datasets": "check the data set's name and files",
    "huggingface_hub": "check the name, or whether the hub can be reached",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM; no ``except Exception`` swallows it."""


class Explained(NamedTuple):
    """An error as one line (what, where, what to do), and the command's exit code."""

    line: str
    exit_code: int


def run_guarded(
    prog: str, run: Callable[..., object], *arguments: object, rank: int = 0, interrupted: str = "interrupted"
) -> int:
    """Call ``run(*arguments)``, and turn the errors a user can meet into one line and an exit code.

    A process of another ``rank`` than 0 waits with its line. With ``HYPEROFA_TRACEBACK=1`` the traceback is printed too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal or file that is no UTF-8 gets \u2192 for an arrow
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = run(*arguments)
        sys.stdout.flush()  # a full disk under a redirected output is told here, not while Python ends
    except BrokenPipeError:
        _settle(sys.stdout)
        return EXIT_FAILED
    except Terminated:
        sys.stderr.write(f"{prog}: terminated\n")
        return EXIT_TERMINATED
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt:
            raise
        sys.stderr.write(f"{prog}: {interrupted}\n")
        return INTERRUPTED
    except BaseException as error:
        explained = explain(error)
        if explained is None:
            raise
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        _settle(sys.stdout)
        print_error(f"{prog}: error: {explained.line}", rank)
        return explained.exit_code
    return EXIT_OK if code is None else int(code)  # type: ignore[call-overload]


@contextmanager
def reported(say: Callable[[str], None]) -> Iterator[None]:
    """Let an error that a user can meet end the block, and ``say`` its line; a bug of ours goes on."""
    try:
        yield
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        say(explained.line)


@contextmanager
def raised_in_one_line() -> Iterator[None]:
    """Raise an error that a user can meet as one of ours, with the line that a command would print; a bug stays as it is."""
    try:
        yield
    except Exception as error:
        explained = explain(error)
        if explained is None or isinstance(error, EvalError):
            raise
        kinds = {EXIT_USAGE: InputError, EXIT_DATA_MISSING: DataMissingError}
        raise kinds.get(explained.exit_code, EvalError)(explained.line) from error


@contextmanager
def process_kept() -> Iterator[None]:
    """Put back what libraries do to the process when they are imported: environment, filters of warnings, Python's dice."""
    before, dice = dict(os.environ), random.getstate()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        random.setstate(dice)


def print_error(line: str, rank: int = 0) -> None:
    """Write a line to stderr; a rank other than 0 waits for rank 0 to say it, and for the launcher to end the others."""
    if rank:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(SECONDS_FOR_RANK_0)
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def explain(error: BaseException) -> Explained | None:
    """An error that a user can meet: ours, the operating system's, a library's, or want of memory; None for a bug of ours."""
    if isinstance(error, EvalError):
        full = any(_number(cause) in _DISK for cause in _causes(error))
        return Explained(str(error), EXIT_FAILED if full else error.exit_code)
    if isinstance(error, SystemExit | KeyboardInterrupt | GeneratorExit):
        return None
    if _is_memory(error):
        return Explained(
            f"out of memory ({_message(error)}); use smaller batches or less at once; {_SHOWN}", EXIT_FAILED
        )
    if isinstance(error, RuntimeError | OSError) and _UNWRITTEN.search(str(error)):
        return Explained(f"a file could not be written ({_message(error)}); is there room? {_SHOWN}", EXIT_FAILED)
    library = library_of(error)
    if library is None and not isinstance(error, OSError):
        return None
    for cause in (error, *_causes(error)):
        number = _number(cause)
        if number in _DISK or (number is not None and cause is error):
            return _system(cause, number, library)
    code = _code_without_number(error, library)
    if library is None:
        return Explained(f"{_message(error)}; {_SHOWN}", code)
    message = _message(error)
    todo = _TODO.get(library, "check the files and settings given")
    if library == "tokenizers" and "unk" in message.lower():
        todo = (
            "the text holds a character outside the vocabulary, and the tokenizer has no unknown token to stand for it"
        )
    return Explained(f"{library} failed ({message}); {todo}; {_SHOWN}", code)


def _system(error: BaseException, number: int, library: str | None) -> Explained:
    """What the operating system refused: the file, what it said, and what to do where there is more to say."""
    filename = getattr(error, "filename", None)
    where = filename if filename is not None else f"writing with {library}" if library and number in _DISK else library
    code = _OS_CODES.get(number, EXIT_FAILED)
    line = f"{where or 'reading or writing'}: {os.strerror(number)}"
    if number in _DISK:
        return Explained(f"{line}; {_DISK[number]}", code)
    if filename is None:
        return Explained(f"{line} ({_message(error)}); {_SHOWN}" if library else f"{line}; {_SHOWN}", code)
    todo = "; check the permissions of the path" if number in {errno.EACCES, errno.EPERM} else ""
    return Explained(f"{line}{todo}", code)


def _number(error: BaseException) -> int | None:
    """The operating system's number of an error, also where a library carries it as text alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = _ERRNO.search(str(error))
    return None if match is None else int(match[1])


def _code_without_number(error: BaseException, library: str | None) -> int:
    chain = (error, *_causes(error))
    if any(isinstance(cause, FileNotFoundError) for cause in chain):
        return EXIT_DATA_MISSING
    names = {kind.__name__ for cause in chain for kind in type(cause).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", 0)
    busy = isinstance(status, int) and (status >= 500 or status == 429)  # the hub's own fault, or too many requests
    return EXIT_FAILED if library is None or busy or names & _CONNECTIONS else EXIT_USAGE


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors behind an error, nearest first."""
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_memory(error: BaseException) -> bool:
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and bool(_TORCH_MEMORY.search(str(error))))


def _settle(stream: TextIO) -> None:
    """Flush a stream; where that fails, drop what it holds, so that Python's own end does not fail by it again."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError, ValueError):  # a stream without a descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _message(error: BaseException) -> str:
    """The error's own words in one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"
