"""Makes the Auto classes of transformers know our model types: the one change to the process that ``import hyperofa`` makes.

Nothing is imported for it. A family is registered when its model type is first looked up, so a program that loads no
factorised model pays nothing.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from hyperofa.base.modeltypes import PREFIX

CONFIGS = "transformers.models.auto.configuration_auto"
"""Holds ``CONFIG_MAPPING``, in which every Auto class first looks up the model type of a config file."""


def install() -> None:
    """Teach the mapping of model types ours: now, or as soon as transformers has made it."""
    _when_imported(CONFIGS, _teach)


def registers_on_demand() -> bool:
    """Whether a lookup registers a family; where it does not, ``import hyperofa.model`` registers them all."""
    return hasattr(getattr(sys.modules.get(CONFIGS), "CONFIG_MAPPING", None), "registers_hyperofa")


def _teach(module: ModuleType) -> None:
    """Let ``CONFIG_MAPPING`` register a family when it is asked for one of our model types."""
    mapping = getattr(module, "CONFIG_MAPPING", None)
    if hasattr(mapping, "registers_hyperofa"):
        return
    plain = type(mapping)
    try:
        mapping.__class__ = ours = _with_our_types(plain)
    except TypeError:  # another kind of mapping than that of the transformers we know
        warnings.warn(
            "hyperofa does not know this version of transformers: import hyperofa.model before loading a factorised model",
            RuntimeWarning,
            stacklevel=2,
        )
    else:
        setattr(module, plain.__name__, ours)  # where pickle looks for it


def _with_our_types(plain: type) -> type:
    """A subclass of the mapping's class whose lookups know our model types."""

    class ConfigMapping(plain):
        __module__, __qualname__ = plain.__module__, plain.__qualname__
        registers_hyperofa = True

        def __contains__(self, key: object) -> bool:
            return super().__contains__(key) or (_register(key) and super().__contains__(key))

        def __getitem__(self, key: str) -> Any:
            if not super().__contains__(key) and not _register(key) and _is_ours(key):
                # no KeyError: transformers would advise an upgrade of itself
                raise ValueError(f"this version of hyperofa does not know the model type {key}: upgrade hyperofa")
            return super().__getitem__(key)

    return ConfigMapping


def _register(model_type: object) -> bool:
    """Register the family of one of our model types; False for any other type."""
    if not _is_ours(model_type):
        return False
    from hyperofa.model.families import FAMILIES, register

    family = str(model_type).removeprefix(PREFIX)
    if family not in FAMILIES:
        return False
    register(family)
    return True


def _is_ours(model_type: object) -> bool:
    return isinstance(model_type, str) and model_type.startswith(PREFIX)


def _when_imported(name: str, action: Callable[[ModuleType], None]) -> None:
    """Call ``action`` with a module: at once if it is there, else at the end of its import."""
    module = sys.modules.get(name)
    if module is not None:
        action(importlib.import_module(name))  # waits where another thread is importing it
    elif not any(isinstance(finder, _Hook) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _Hook(name, action))


class _Hook(MetaPathFinder, Loader):
    """Loads one module as it would be loaded without the hook, then calls ``action`` with it and goes away."""

    def __init__(self, name: str, action: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.action = action
        self.loader: Any = None

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the other finders give for the module, with this hook as its loader."""
        if name != self.name:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module with its own loader, then the action."""
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        module.__loader__ = self.loader
        self.loader.exec_module(module)
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self.action(module)
