"""The registry of initialisation methods: built-in ones by name, a user's own by ``FILE.py:NAME``."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hyperofa.errors import DataMissingError, InputError, unknown_name
from hyperofa.init.problem import Problem

Predict = Callable[[Problem], np.ndarray]


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
    """

    name: str
    summary: str
    predict: Predict | None
    options: dict[str, Any]
    reference: str = ""
    reads_text: bool = False


METHODS: dict[str, Method] = {}


def register(method: Method) -> Method:
    """Add a method to the registry; a second one of the same name replaces the first."""
    METHODS[method.name] = method
    return method


def find_method(name: str) -> Method:
    """The method called ``name``, or the ``Method`` object NAME of a user's ``FILE.py:NAME``.

    Raises:
        InputError: unknown; the nearest known name is given.
        DataMissingError: the user's file is not there.
    """
    import hyperofa.init.methods  # noqa: F401  (importing it registers the built-in methods)

    if name in METHODS:
        return METHODS[name]
    file, colon, attribute = name.rpartition(":")
    if colon and file.endswith(".py"):
        return _load(Path(file), attribute)
    raise unknown_name("method", name, METHODS)


def run_method(method: Method, problem: Problem) -> np.ndarray | None:
    """The predicted rows (m, r), checked; None where the method leaves them to the fallback.

    Raises:
        InputError: the method returned the wrong shape or something that is not finite.
    """
    if method.predict is None or not len(problem.predict_ids):
        return None
    rows = np.asarray(method.predict(problem), dtype=np.float32)
    expected = (len(problem.predict_ids), problem.rows.shape[1])
    if rows.shape != expected:
        raise InputError(f"returned rows of shape {rows.shape}, not {expected}", where=f"method {method.name}")
    if not np.isfinite(rows).all():
        raise InputError("returned rows that are NaN or infinite", where=f"method {method.name}")
    return rows


def resolve_options(method: Method, given: dict[str, Any]) -> dict[str, Any]:
    """The method's defaults with the user's settings put over them.

    Raises:
        InputError: an unknown name, or a value that is no number where the default is one.
    """
    for name in given:
        if name not in method.options:
            raise unknown_name(f"option of method {method.name}", name, method.options)
    return method.options | {name: _like(method, name, value) for name, value in given.items()}


def _like(method: Method, name: str, value: Any) -> Any:
    """``value`` as a number where the method's default is one (YAML reads 1e-3 as text)."""
    default = method.options[name]
    if isinstance(default, bool) or not isinstance(default, int | float):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} {value!r} is no number", where=f"method {method.name}") from None
    if isinstance(default, int) and number != int(number):
        raise InputError(f"{name} {value!r} is no whole number", where=f"method {method.name}")
    return int(number) if isinstance(default, int) else number


def _load(file: Path, attribute: str) -> Method:
    if not file.is_file():
        raise DataMissingError("no such file", where=file, todo="name a method as FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(f"hyperofa_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    method = getattr(module, attribute, None)
    if not isinstance(method, Method):
        raise InputError(f"{attribute!r} is not a hyperofa.init.registry.Method", where=file)
    return method
