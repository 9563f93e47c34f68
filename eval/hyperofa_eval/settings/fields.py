"""What a setting is: a dataclass field that says its type, default, help, range, and who may give it."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, Literal

from hyperofa_eval.base.errors import InputError

Kind = Literal["setting", "place", "show"]
"""``setting`` decides the result. ``place`` is an input or output. ``show`` says what is printed, and is no Python keyword."""


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``low`` (itself left out where ``above``) to ``high`` (left out where ``below``)."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, number: float) -> bool:
        left_out = [end for end, out in ((self.low, self.above), (self.high, self.below)) if out]
        return math.isfinite(number) and self.low <= number <= self.high and number not in left_out

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"in {'(' if self.above else '['}{self.low:,}, {self.high:,}{')' if self.below else ']'}"
        return f"a number above {self.low:,}" if self.above else f"a number of {self.low:,} or more"


@dataclass(frozen=True)
class About:
    """All that is known of a setting besides its name, type and default.

    Attributes:
        help: one or two sentences; they stand in ``--help`` and in the documentation.
        range: the numbers it may be (each one, where it holds several).
        metavar: what stands for the value in ``--help``.
        kind: see :data:`Kind`.
        flag: the option of the command line, where it is not the name with dashes.
        positional: on the command line it is a word without an option.
        separator: one word of the command line holds several values, with this between them.
        append: an option takes one value and may be given several times (else one option takes several values).
        group: of the settings of one group at most one may be given on the command line.
        read: what reads the word of the command line (a list of words where it may hold several), where the type does not say.
        free: it may change when interrupted work goes on: it does not decide the result.
    """

    help: str
    range: Range | None = None
    metavar: str | None = None
    kind: Kind = "setting"
    flag: str | None = None
    positional: bool = False
    separator: str | None = None
    append: bool = False
    group: str | None = None
    read: Callable[[Any], Any] | None = None
    free: bool = False


def setting(default: Any = MISSING, help: str = "", *, factory: Any = MISSING, **about: Any) -> Any:
    """A field of a :class:`Settings` dataclass; without a default it must be given. ``about``: see :class:`About`."""
    return dataclasses.field(default=default, default_factory=factory, metadata={"about": About(help, **about)})


def place(default: Any = MISSING, help: str = "", **about: Any) -> Any:
    """A :func:`setting` that names an input or an output."""
    return setting(default, help, kind="place", **about)


def shown(default: Any = MISSING, help: str = "", **about: Any) -> Any:
    """A :func:`setting` of the command line alone, such as ``--json``."""
    return setting(default, help, kind="show", **about)


def about(field: dataclasses.Field[Any]) -> About:
    """What is known of a field; an empty :class:`About` for one that :func:`setting` did not make."""
    value = field.metadata.get("about")
    return value if isinstance(value, About) else About("")


_types: Callable[[Any], dict[str, Any]] = cache(typing.get_type_hints)


def types_of(cls: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, by name; kept, since finding them takes longer than all that is done with them."""
    return _types(cls)


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field, ``MISSING`` where it must be given."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def ordered(cls: type[Any]) -> list[dataclasses.Field[Any]]:
    """The fields as a person reads them: inputs and outputs, settings, then what is only shown."""
    order = {"place": 0, "setting": 1, "show": 2}
    return sorted(dataclasses.fields(cls), key=lambda field: order[about(field).kind])


def flag_of(field: dataclasses.Field[Any]) -> str:
    """The option of the command line for a field; ``--no-NAME`` for one that is on by default."""
    known = about(field)
    if known.positional:
        return known.metavar or field.name.upper()
    if known.flag is not None:
        return known.flag
    return f"--{'no-' if field.default is True else ''}{field.name.replace('_', '-')}"


class SettingError(InputError, ValueError):
    """A setting has a value that it cannot have; ``name`` is the setting, ``what`` says why.

    It is a ``ValueError`` too, so that of settings inside settings the whole path is named.
    """

    def __init__(self, name: str, what: str, *, where: object = None, todo: str | None = None) -> None:
        """Compose ``where: name: what; todo`` from the parts that are given."""
        self.name, self.what, self.where, self.todo = name, what, where, todo
        super().__init__(what if not name else f"{name}: {what}", where=where, todo=todo)


@dataclass(frozen=True)
class Settings:
    """The base of settings: values are checked where they are made, whoever gives them.

    Raises:
        SettingError: a number is out of its range, or settings contradict each other (:meth:`check`).
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            allowed, value = about(field).range, getattr(self, field.name)
            if allowed is None:
                continue
            several = list(value.values()) if isinstance(value, Mapping) else value
            for number in several if isinstance(several, list | tuple) else [value]:
                if isinstance(number, int | float) and not isinstance(number, bool) and number not in allowed:
                    raise SettingError(field.name, f"{number} is not {allowed}")
        self.check()

    def check(self) -> None:
        """Refuse settings that contradict each other, by :class:`SettingError`."""
