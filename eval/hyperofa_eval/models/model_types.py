"""Model types that other packages bring: an entry point teaches transformers a type when a checkpoint of it is loaded."""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib.metadata import EntryPoint, entry_points

from hyperofa_eval.base.errors import InputError

GROUP = "hyperofa_eval.models"
"""Entry points by model type, or by the beginning of some followed by ``*``; the value is a module, or a function to call."""
FACTORISED = "hyperofa_*"
"""The types of factorised checkpoints, which the package hyperofa brings."""
_TODO = "pip install hyperofa, or export it with: hyperofa checkpoint export RUN --dense"


def register(model_type: str, where: object) -> None:
    """Make the Auto classes of transformers know a model type, if an installed package brings it.

    Raises:
        InputError: the package that brings the type is not installed, or its entry point fails.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type in CONFIG_MAPPING:
        return
    points = [point for point in entry_points(group=GROUP) if fnmatchcase(model_type, point.name)]
    if points:
        _load(max(points, key=lambda point: len(point.name)), model_type, where)
    elif fnmatchcase(model_type, FACTORISED):
        what = f"a factorised checkpoint ({model_type}) that needs the hyperofa package"
        raise InputError(what, where=where, todo=_TODO)


def _load(point: EntryPoint, model_type: str, where: object) -> None:
    try:
        loaded = point.load()
        if callable(loaded):
            loaded()
    except ImportError as error:
        package = point.value.partition(".")[0].partition(":")[0]
        todo = _TODO if point.name == FACTORISED else f"install {package} anew"
        what = f"a checkpoint ({model_type}) that needs the {package} package ({error})"
        raise InputError(what, where=where, todo=todo) from None
