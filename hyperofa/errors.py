"""The errors a user can cause or meet: each is one line (what, where, what to do) and an exit code.

They are the harness's classes, so that what both use (readers of text, for one) raises the right ones in both.
"""

from __future__ import annotations

from hyperofa_eval.base.errors import (
    EXIT_DATA_MISSING,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_TERMINATED,
    EXIT_USAGE,
    DataMissingError,
    InputError,
)
from hyperofa_eval.base.errors import EvalError as HyperofaError
from hyperofa_eval.base.errors import unknown as unknown_name

__all__ = [
    "EXIT_DATA_MISSING",
    "EXIT_FAILED",
    "EXIT_OK",
    "EXIT_TERMINATED",
    "EXIT_USAGE",
    "DataMissingError",
    "HyperofaError",
    "InputError",
    "unknown_name",
]
