"""The words that a model was made to find before a text, such as ``query: ``, out of sentence-transformers' own settings."""

from __future__ import annotations

from pathlib import Path

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.base.files import read_json

FILE = "config_sentence_transformers.json"


def default_prompt(model: str) -> str:
    """What sentence-transformers puts before every text for a model (a directory or hub id); empty where it puts nothing.

    That is the entry of ``prompts`` that ``default_prompt_name`` names. Without a name it uses none, and so does this.

    Raises:
        InputError: the settings are damaged, or name a prompt that they do not have.
    """
    from transformers.utils import cached_file

    quiet = ("missing_entries", "connection_errors", "gated_repo")
    path = cached_file(model, FILE, **{f"_raise_exceptions_for_{kind}": False for kind in quiet})
    if path is None:
        return ""
    value = read_json(Path(path))
    prompts, name = (value.get(key) if isinstance(value, dict) else None for key in ("prompts", "default_prompt_name"))
    if name is None:
        return ""
    text = prompts.get(name) if isinstance(prompts, dict) else None
    if not isinstance(text, str):
        what = f"{FILE} names the prompt {name!r}, which it does not have"
        raise InputError(what, where=model, todo="give the prompt as a setting, or mend the file")
    return text
