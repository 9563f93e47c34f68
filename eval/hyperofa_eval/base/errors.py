"""The errors a user of the harness can meet: one line (what, where, what to do) and an exit code each."""

from __future__ import annotations

from collections.abc import Iterable

from hyperofa_eval.base.names import advice

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DATA_MISSING = 3
EXIT_TERMINATED = 143


class EvalError(Exception):
    """Something failed that is not a bug: printed as one line, without a traceback."""

    exit_code = EXIT_FAILED

    def __init__(self, what: str, *, where: object = None, todo: str | None = None) -> None:
        """Compose ``where: what; todo`` from the parts that are given."""
        line = what if where is None else f"{where}: {what}"
        super().__init__(" ".join((f"{line}; {todo}" if todo else line).split()))


class InputError(EvalError):
    """Wrong usage or bad input (exit code 2)."""

    exit_code = EXIT_USAGE


class DataMissingError(EvalError):
    """Data that was asked for is not there (exit code 3)."""

    exit_code = EXIT_DATA_MISSING


def unknown(kind: str, name: str, known: Iterable[str], *, where: object = None) -> InputError:
    """An :class:`InputError` for a ``name`` that is not among ``known``; it names the nearest one, and what is known."""
    return InputError(f"unknown {kind} {name!r}", where=where, todo=advice(name, known))


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of another's error, of at most so many characters; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]
