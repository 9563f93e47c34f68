"""The registry of initialisation methods: built-in ones by name, a user's own by ``FILE.py:NAME``."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hyperofa.errors import DataMissingError, HyperofaError, InputError, unknown_name
from hyperofa.init.problem import Problem
from hyperofa.init.ranges import Range

Predict = Callable[[Problem], np.ndarray]
A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class Method:
    """A way to predict rows.

    Attributes:
        name: as the user types it and as ``init.json`` records it.
        summary: one line for the help.
        predict: maps a :class:`Problem` to (m, r) float32 rows for ``problem.predict_ids``; None draws them like the rest.
        options: the settings it knows with their defaults; unknown ones are refused.
        reference: paper and section.
        reads_text: it looks at the token's own text, so source tokens cannot stand in for new ones when it is checked.
        uses_words: it needs word vectors; without, it predicts every new token where none are given.
        ranges: what the settings of that name may be, where not any finite number.
        check: refuses, as :class:`InputError`, settings that no work can be done with; called before any is.
    """

    name: str
    summary: str
    predict: Predict | None
    options: dict[str, Any]
    reference: str = ""
    reads_text: bool = False
    uses_words: bool = True
    ranges: dict[str, Range] = field(default_factory=dict)
    check: Callable[[dict[str, Any]], None] | None = None


METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add a method to the registry; a second one of the same name replaces the first."""
    METHODS[method.name] = method
    return method


def method_file(name: str) -> Path | None:
    """The user's file in ``FILE.py:NAME``; None for a method that comes with hyperofa."""
    file, colon, _ = name.rpartition(":")
    return Path(file) if colon and file.endswith(".py") else None


def find_method(name: str) -> Method:
    """The method called ``name``, or the ``Method`` object NAME of a user's ``FILE.py:NAME``.

    Raises:
        InputError: unknown; the nearest known name is given.
        DataMissingError: the user's file is not there.
    """
    import hyperofa.init.methods  # noqa: F401  (importing it registers the built-in methods)

    if name in METHODS:
        return METHODS[name]
    if (file := method_file(name)) is not None:
        return _load(file, name.rpartition(":")[2])
    raise unknown_name("method", name, METHODS)


def run_method(method: Method, problem: Problem) -> np.ndarray | None:
    """The predicted rows (m, r), checked; None where the method leaves them to the fallback.

    Raises:
        InputError: the method returned no numbers, the wrong shape, or something that is not finite, or its notes are no JSON.
    """
    if method.predict is None or not len(problem.predict_ids):
        return None
    returned = method.predict(problem)
    try:
        rows = np.asarray(returned, dtype=np.float32)
    except (TypeError, ValueError):
        what = f"returned {type(returned).__name__}, not an array of numbers"
        raise InputError(what, where=f"method {method.name}") from None
    try:
        json.dumps(problem.notes)
    except (TypeError, ValueError) as error:
        raise InputError(f"left notes that are no JSON ({error})", where=f"method {method.name}") from None
    expected = (len(problem.predict_ids), problem.rows.shape[1])
    if rows.shape != expected:
        raise InputError(f"returned rows of shape {rows.shape}, not {expected}", where=f"method {method.name}")
    if not np.isfinite(rows).all():
        raise InputError("returned rows that are NaN or infinite", where=f"method {method.name}")
    return rows


def resolve_options(method: Method, given: dict[str, Any]) -> dict[str, Any]:
    """The method's defaults with the user's settings put over them.

    Raises:
        InputError: an unknown name, a value that is no number where the default is one, or one out of range.
    """
    for name in given:
        if name not in method.options:
            raise unknown_name(f"option of method {method.name}", name, method.options)
    options = method.options | {name: _like(method, name, value) for name, value in given.items()}
    if method.check is not None:
        method.check(options)
    return options


def _like(method: Method, name: str, value: Any) -> Any:
    """``value`` as a number where the method's default is one (YAML reads 1e-3 as text)."""
    default = method.options[name]
    if isinstance(default, bool) or not isinstance(default, int | float):
        return value
    where = f"method {method.name}"
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} {value!r} is no number", where=where) from None
    if not math.isfinite(number):
        raise InputError(f"{name} {value!r} is no finite number", where=where)
    if isinstance(default, int) and number != int(number):
        raise InputError(f"{name} {value!r} is no whole number", where=where)
    if name in method.ranges and number not in method.ranges[name]:
        raise InputError(f"{name} {value!r} is not {method.ranges[name]}", where=where)
    return int(number) if isinstance(default, int) else number


def _load(file: Path, attribute: str) -> Method:
    if not file.is_file():
        raise DataMissingError("no such file", where=file, todo="name a method as FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(f"hyperofa_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the file look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is the user's: whatever it raises is told by its line
        raise InputError(f"cannot be imported: {_told(error, file)}", where=file) from error
    method = getattr(module, attribute, None)
    if not isinstance(method, Method):
        raise InputError(f"{attribute!r} is not a hyperofa.init.registry.Method", where=file)
    predict = None if method.predict is None else _guarded(method.predict, file)
    check = None if method.check is None else _guarded(method.check, file)
    return dataclasses.replace(method, predict=predict, check=check)


def _guarded(function: Callable[[A], R], file: Path) -> Callable[[A], R]:
    """``function`` of a user's file, whose errors become one line."""

    def run(argument: A) -> R:
        try:
            return function(argument)
        except HyperofaError:
            raise
        except Exception as error:
            todo = "HYPEROFA_TRACEBACK=1 shows the whole traceback"
            raise InputError(f"failed: {_told(error, file)}", where=file, todo=todo) from error

    return run


def _told(error: Exception, file: Path) -> str:
    """What was raised, and in which line of ``file``."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == file.resolve()
    ]
    if isinstance(error, SyntaxError):
        return f"{error.msg} (line {error.lineno})"
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")
