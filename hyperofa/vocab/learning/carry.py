"""A tokenizer on other pieces with everything else of its own: special tokens, templates, sides, settings."""

from __future__ import annotations

import copy
from typing import Any

from hyperofa.vocab.roles import ROLES

_OF_THE_FILES = frozenset(
    {
        *("vocab", "merges", "tokenizer_object", "added_tokens_decoder", "post_processor", "files_loaded", "backend"),
        *("name_or_path", "is_local", "local_files_only", "auto_map", "tokenizer_class", "_commit_hash"),
        # What tokenizer.json holds: its own record is the one that counts.
        *("add_bos_token", "add_eos_token", "tokenizer_padding", "tokenizer_truncation"),
        *("_json_padding", "_json_truncation"),
    }
)
"""Arguments of the source's constructor that say where it came from, or what its ``tokenizer.json`` says as well."""
_ATTRIBUTES = (
    *("model_max_length", "padding_side", "truncation_side", "model_input_names", "add_prefix_space"),
    *("clean_up_tokenization_spaces", "split_special_tokens", "response_template", "chat_control_tokens"),
)


def with_backend(source: Any, backend: Any) -> Any:
    """A ``PreTrainedTokenizerFast`` on ``backend`` (of the ``tokenizers`` library) that is otherwise as ``source``.

    Its special tokens (those with a role, those that the model's own code names, and the further ones), its chat templates
    and its settings are the source's.
    """
    from transformers import PreTrainedTokenizerFast

    settings = {key: value for key, value in copy.deepcopy(source.init_kwargs).items() if not _of_a_file(key)}
    settings |= {name: getattr(source, name) for name in _ATTRIBUTES if getattr(source, name, None) is not None}
    named = dict(source.special_tokens_map)
    roles = {f"{role}_token" for role in ROLES}
    settings = {key: value for key, value in settings.items() if key not in named and key not in roles}
    settings |= {name: token for name, token in named.items() if name in roles}
    settings["model_specific_special_tokens"] = {name: token for name, token in named.items() if name not in roles}
    settings["extra_special_tokens"] = list(source.extra_special_tokens or [])
    carried = PreTrainedTokenizerFast(tokenizer_object=backend, **settings)
    carried.chat_template = copy.deepcopy(getattr(source, "chat_template", None))
    return carried


def _of_a_file(key: str) -> bool:
    return key in _OF_THE_FILES or key.endswith("_file")
