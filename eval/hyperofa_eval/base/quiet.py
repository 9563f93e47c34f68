"""Keeping the chatter of other libraries off the screen: what matters of it, our commands say in a line of their own."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LEVELS = {
    "TRANSFORMERS_VERBOSITY": "transformers",
    "HF_HUB_VERBOSITY": "huggingface_hub",
    "DATASETS_VERBOSITY": "datasets",
}
"""Where a library that is imported later finds its level, and the name of its logger."""
_OTHERS = ("accelerate", "DeepSpeed", "deepspeed")
_MODULES = ("torch", "transformers", "huggingface_hub", "datasets", "accelerate", "deepspeed")


def quiet_libraries() -> None:
    """For a command's own process and those that it starts: silence libraries below errors, and their bars off a terminal.

    Nothing is imported for it. A level that the user set in the environment stays.
    """
    for variable, name in _LEVELS.items():
        if os.environ.setdefault(variable, "error") == "error":
            logging.getLogger(name).setLevel(logging.ERROR)
    for name in _OTHERS:
        logging.getLogger(name).addFilter(_is_error)  # a level would be set anew when DeepSpeed is imported
    for module in _MODULES:
        warnings.filterwarnings("ignore", module=module)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        if "transformers" in sys.modules:
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """For a function of a package, in whosever process: silence transformers below errors while the block runs."""
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
