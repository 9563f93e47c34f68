"""What a method of initialisation is: a function from a problem to rows, and the dataclass of its settings."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hyperofa.errors import HyperofaError, InputError
from hyperofa.init.problem import Problem
from hyperofa.init.settings import Rest
from hyperofa_eval.settings.config import build_config
from hyperofa_eval.settings.fields import Settings

Predict = Callable[[Problem], np.ndarray]


@dataclass(frozen=True)
class Method:
    """A way to predict rows.

    Attributes:
        name: as the user types it and as ``init.json`` records it.
        summary: one line for the help.
        predict: maps a :class:`Problem` to (m, r) float32 rows for ``problem.predict_ids``; None draws them like the rest.
        settings: the dataclass of its settings, which the method finds in ``problem.settings``.
        reference: paper and section.
        reads_text: it looks at the token's own text, so source tokens cannot stand in for new ones when it is checked.
        spellings: it asks how the tokenizers cut words as published code does, in so many spellings: 2 (as is, with a space
            before) or 3 (capitalised too); 0 for methods that take the words as :func:`hyperofa.vocab.matching.match` gives them.
        uses_words: it needs word vectors.
        knows: what it predicts from, names of :data:`hyperofa.init.provenance.EVIDENCE`: it is given the new tokens of which any
            of these is known. By default that is ``words`` where it needs word vectors; else it is given all that have a text.
        rest: what becomes of the new tokens that it is not given: ``pieces``, the mean of the source pieces that spell the token
            (drawn where none is known), or ``drawn``.
        trains: it trains a network, so the command keeps freed memory for it.
        held_out: source tokens that it is tried on for the report, unless the user says how many.
        scale_split: where the scale of the factors goes unless the user says.
        file: the user's file that it comes from; None for a method that comes with hyperofa.
    """

    name: str
    summary: str
    predict: Predict | None
    settings: type[Settings] = Settings
    reference: str = ""
    reads_text: bool = False
    spellings: Literal[0, 2, 3] = 0
    uses_words: bool = True
    knows: tuple[str, ...] = ()
    rest: Rest = "pieces"
    trains: bool = False
    held_out: int = 1000
    scale_split: float = 1.0
    file: Path | None = None

    @property
    def evidence(self) -> tuple[str, ...]:
        """Names of the evidence that its rows are made of; a method that reads text is taken to read the token's pieces."""
        return self.knows or (("words",) if self.uses_words else ()) + (("pieces",) if self.reads_text else ())

    @property
    def needs_donor(self) -> bool:
        """Whether a donor's rows are all that it predicts from."""
        return self.knows == ("donor",)


def make_settings(method: Method, options: Mapping[str, Any]) -> Settings:
    """The method's settings: its defaults with the user's ``options`` put over them.

    Raises:
        InputError: an unknown name, a value of the wrong kind, or one out of range.
    """
    with errors_of(method.file):
        return build_config(method.settings, options, f"method {method.name}")


def run_method(method: Method, problem: Problem) -> np.ndarray:
    """The predicted rows (m, r) float32, checked; (0, r) where there is none to predict.

    Raises:
        InputError: the method returned no numbers, the wrong shape, or something that is not finite, or its notes are no JSON.
    """
    if method.predict is None or not len(problem.predict_ids):
        return np.empty((0, problem.rows.shape[1]), dtype=np.float32)
    with errors_of(method.file):
        returned = method.predict(problem)
    where = f"method {method.name}"
    try:
        rows = np.asarray(returned, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"returned {type(returned).__name__}, not an array of numbers", where=where) from None
    try:
        json.dumps(problem.notes)
    except (TypeError, ValueError) as error:
        raise InputError(f"left notes that are no JSON ({error})", where=where) from None
    if rows.shape != (expected := (len(problem.predict_ids), problem.rows.shape[1])):
        raise InputError(f"returned rows of shape {rows.shape}, not {expected}", where=where)
    if not np.isfinite(rows).all():
        raise InputError("returned rows that are NaN or infinite", where=where)
    return rows


@contextmanager
def errors_of(file: Path | None, doing: str = "failed") -> Iterator[None]:
    """Whatever a user's ``file`` raises within the block becomes one line that names the file's line."""
    try:
        yield
    except HyperofaError:
        raise
    except Exception as error:
        if file is None:
            raise
        todo = "HYPEROFA_TRACEBACK=1 shows the whole traceback"
        raise InputError(f"{doing}: {_describe(error, file)}", where=file, todo=todo) from error


def _describe(error: Exception, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.msg} (line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == file.resolve()]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")
