"""What is asked of a tokenizer when it is loaded, so that no command fails in the middle of its text."""

from __future__ import annotations

import logging
from typing import Any

from hyperofa.errors import InputError
from hyperofa_eval.unknowns import UNKNOWN_TODO, drops_unknown, unknown_problem

log = logging.getLogger(__name__)


def check_unknown(tokenizer: Any, where: str) -> None:
    """Refuse a tokenizer that fails on characters that it lacks; warn of one that drops them.

    Raises:
        InputError: it has no unknown token, or one that is no entry of its vocabulary.
    """
    if problem := unknown_problem(tokenizer):
        raise InputError(problem, where=where, todo=UNKNOWN_TODO)
    if drops_unknown(tokenizer):
        log.warning("%s: characters that the tokenizer lacks leave no token: it has no unknown token", where)
