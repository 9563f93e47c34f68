"""Settings as the keywords of a Python function."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any, TypeVar

from hyperofa_eval.settings.fields import about

F = TypeVar("F", bound=Callable[..., Any])


def takes(cls: type[Any]) -> Callable[[F], F]:
    """Give a function with ``**settings`` the signature and documentation of the settings ``cls``.

    The function builds ``cls`` itself (:func:`hyperofa_eval.settings.config.build_config`); here they become visible to
    ``help()`` and to editors. Settings that the function names itself are left out.
    """

    def shown(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {one.name for one in own}
        hints = typing.get_type_hints(cls)
        fields = [field for field in dataclasses.fields(cls) if field.name not in names and about(field).kind != "show"]
        more = [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name]
            )
            for field in fields
        ]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        lines = "\n".join(f"    {field.name}: {about(field).help}" for field in fields)
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nSettings:\n{lines}\n"
        return function

    return shown


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return inspect.Parameter.empty if field.default_factory is MISSING else field.default_factory()
