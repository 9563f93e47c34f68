"""The table of initialisation methods: built-in ones by name, a user's own by ``FILE.py:NAME``, and names that changed."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.errors import DataMissingError, InputError, unknown_name
from hyperofa.init.method import Method, errors_of, make_settings
from hyperofa.init.methods import (
    drawn,
    focus,
    hyperofa,
    means,
    ofa,
    ofa_ridge,
    omp,
    ridge,
    spelling_network,
    wechsel,
)
from hyperofa.init.refine.settings import RefineConfig
from hyperofa.init.settings import InitSettings, Rest
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.fields import SettingError, Settings

__all__ = ["METHODS", "Method", "find_method", "resolve", "settings_for"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        drawn.RANDOM,
        drawn.MULTIVARIATE,
        focus.FOCUS,
        hyperofa.HYPEROFA,
        means.MEAN,
        means.SUBWORD_MEAN,
        ofa.OFA,
        ofa_ridge.OFA_RIDGE,
        omp.OMP,
        ridge.RIDGE,
        spelling_network.SPELLING_NETWORK,
        wechsel.WECHSEL,
    )
}

RECORD_SCHEMA = 2
"""Of ``init.json``; one without a schema was written when ``hyperofa`` named two methods."""
GONE = {
    "preset": "use the method ofa-ridge, or hyperofa (the published network)",
    "network_weight": "the method ofa-ridge has no network; hyperofa is the published one",
    "checkpoint": "leave it out: work is kept beside the output",
}
"""Options that methods had, and what to do instead."""


def renamed(record: Mapping[str, Any]) -> str | None:
    """The present name of an ``init.json``'s method; None where the name still means what it meant.

    What was ``hyperofa`` with the preset ``default`` is ``ofa-ridge``; ``hyperofa`` with the preset ``paper`` is ``hyperofa``.
    """
    old = "schema" not in record and record.get("method") == "hyperofa"
    return "ofa-ridge" if old and record.get("preset") != "paper" else None


def settings_for(method: Method, options: Mapping[str, Any]) -> Settings:
    """:func:`hyperofa.init.method.make_settings`; an option that another method has, or that is gone, is named as such.

    Raises:
        InputError: an option is unknown or cannot be.
    """
    known = {field.name for field in dataclasses.fields(method.settings)}
    for name in options:
        if name in known:
            continue
        owners = [one.name for one in METHODS.values() if name in {f.name for f in dataclasses.fields(one.settings)}]
        if name not in GONE and not owners:
            raise unknown_name(f"option of method {method.name}", name, known)
        todo = GONE[name] if name in GONE else f"it belongs to {' and '.join(owners)}"
        raise InputError(f"no option {name!r}", where=f"method {method.name}", todo=todo)
    return make_settings(method, options)


@dataclass(frozen=True)
class Resolved:
    """Settings of an initialisation with all that they name: its method, that one's settings, and those of rows that learn.

    ``rest`` is what becomes of the new tokens that the method is not given.
    """

    settings: InitSettings
    method: Method
    options: Settings
    scale_split: float
    refine: RefineConfig | None
    rest: Rest


def resolve(settings: InitSettings) -> Resolved:
    """Look up what settings name, and check what can be checked without reading anything.

    Raises:
        InputError: a method, an option of it or of the refinement is unknown, or cannot be.
        DataMissingError: the user's file with the method is not there.
    """
    method = find_method(settings.method)
    options = settings_for(method, settings.options)
    split = method.scale_split if settings.scale_split is None else settings.scale_split
    refine = None
    if settings.learns:
        refine = build_config(RefineConfig, dict(settings.refine_options), "refinement")
    if settings.rest == "pieces" and method.predict is None:
        raise SettingError(
            "rest", f"method {method.name} draws every new row", todo="leave it out, or name subword-mean"
        )
    if settings.donor is None and method.needs_donor:
        raise SettingError("donor", f"method {method.name} needs one", todo="name a model with the target tokenizer")
    if settings.donor is not None and "donor" not in method.evidence:
        users = " or ".join(one.name for one in METHODS.values() if "donor" in one.evidence)
        raise SettingError("donor", f"method {method.name} makes nothing of it", todo=f"leave it out, or name {users}")
    return Resolved(settings, method, options, split, refine, settings.rest or method.rest)


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
    if name in METHODS:
        return METHODS[name]
    file = method_file(name)
    if file is None:
        raise unknown_name("method", name, METHODS)
    if not file.is_file():
        raise DataMissingError("no such file", where=file, todo="name a method as FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(f"hyperofa_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the file look their module up
    with errors_of(file, "cannot be imported"):
        spec.loader.exec_module(module)
    attribute = name.rpartition(":")[2]
    method = getattr(module, attribute, None)
    if not isinstance(method, Method):
        raise InputError(f"{attribute!r} is not a hyperofa.init.registry.Method", where=file)
    return dataclasses.replace(method, file=file)
