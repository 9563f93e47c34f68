"""The errors a user can cause or meet: each is one line (what, where, what to do) and an exit code."""

from __future__ import annotations

from collections.abc import Iterable

from hyperofa_eval.names import advice

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DATA_MISSING = 3
EXIT_TERMINATED = 143


class HyperofaError(Exception):
    """Something failed that is not a bug: printed as one line, without a traceback."""

    exit_code = EXIT_FAILED

    def __init__(self, what: str, *, where: object = None, todo: str | None = None) -> None:
        """Compose ``where: what; todo`` from the parts that are given."""
        line = f"{where}: {what}" if where is not None else what
        if todo:
            line = f"{line}; {todo}"
        super().__init__(" ".join(line.split()))


class InputError(HyperofaError):
    """Wrong usage or bad input (exit code 2)."""

    exit_code = EXIT_USAGE


class DataMissingError(HyperofaError):
    """Data that a command needs is not there (exit code 3)."""

    exit_code = EXIT_DATA_MISSING


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: object = None) -> InputError:
    """An :class:`InputError` for ``name`` that is not among ``known``; it names the nearest one, and what is known."""
    return InputError(f"unknown {kind} {name!r}", where=where, todo=advice(name, known))
