"""Settings as the keywords of a Python function."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING
from typing import Any, TypeVar

from hyperofa_eval.base.guard import process_kept, raised_in_one_line
from hyperofa_eval.settings.fields import about, default_of, types_of

F = TypeVar("F", bound=Callable[..., Any])


def takes(cls: type[Any]) -> Callable[[F], F]:
    """Make a public function of one that takes the settings ``cls`` as ``**settings``.

    The function builds ``cls`` itself (:func:`hyperofa_eval.settings.config.build_config`). Here its settings become visible to
    ``help()`` and to editors, less those that it names itself. What users can meet is raised as one of our errors, with the
    line that the command would print, and what libraries change of the process is put back.
    """

    def shown(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {one.name for one in own}
        hints = types_of(cls)
        fields = [field for field in dataclasses.fields(cls) if field.name not in names and about(field).kind != "show"]
        defaults = {field.name: default_of(field) for field in fields}
        more = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if default is MISSING else default,
                annotation=hints[name],
            )
            for name, default in defaults.items()
        ]

        @functools.wraps(function)
        def public(*arguments: Any, **named: Any) -> Any:
            with raised_in_one_line(), process_kept():
                return function(*arguments, **named)

        public.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        lines = "\n".join(f"    {field.name}: {about(field).help}" for field in fields)
        public.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nSettings:\n{lines}\n"
        return typing.cast(F, public)

    return shown
