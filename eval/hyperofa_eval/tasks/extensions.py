"""A user's own tasks and languages: one Python file, named on the command line, that calls ``add_…``."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path

from hyperofa_eval.base.errors import DataMissingError, EvalError, InputError


def load(files: Sequence[Path]) -> None:
    """Run each file; it is expected to call :func:`hyperofa_eval.tasks.add_task` or ``languages.add_language``.

    Raises:
        DataMissingError: a file is not there.
        InputError: it fails (the error's kind and text are named).
    """
    for path in files:
        if not path.is_file():
            raise DataMissingError("no such file", where=path, todo="see --with")
        try:
            runpy.run_path(str(path), run_name="hyperofa_eval_extension")
        except EvalError:
            raise
        except Exception as error:
            raise InputError(f"{type(error).__name__}: {error}", where=path, todo="see --with") from error
