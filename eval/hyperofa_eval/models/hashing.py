"""What a model and a tokenizer are, as hashes of their content: two names with one content are one model."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from hyperofa_eval.base.files import sha256_json

if TYPE_CHECKING:
    from torch import nn

# Saved with a config, but without a say in what the model computes.
PASSING = ("_name_or_path", "transformers_version", "architectures", "torch_dtype", "dtype", "use_cache")


def hash_model(model: nn.Module, skip: frozenset[str] = frozenset()) -> str:
    """SHA-256 over the config and every parameter and buffer: name, type, shape, bytes.

    ``skip`` names what is left out: weights a checkpoint did not hold, which are random at each load and not used.
    """
    digest = hashlib.sha256()
    config = getattr(model, "config", None)
    if config is not None:
        plain = {key: value for key, value in config.to_dict().items() if key not in PASSING}
        digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name not in skip:
            _update(digest, name, tensor)
    return digest.hexdigest()


def hash_head(model: nn.Module, body: nn.Module, kind: str) -> str:
    """SHA-256 over what a language model has beside its body: kind, name, type, shape, bytes.

    A weight tied to one of the body's is told by its name alone, since the body's hash covers its bytes.
    """
    digest = hashlib.sha256(kind.encode())
    body_tensors = {(tensor.data_ptr(), tuple(tensor.shape)) for tensor in body.state_dict().values()}
    for name, tensor in sorted(model.state_dict().items()):
        if (tensor.data_ptr(), tuple(tensor.shape)) not in body_tensors:
            _update(digest, name, tensor)
        elif not name.startswith(f"{getattr(model, 'base_model_prefix', '')}."):
            digest.update(f"{name} tied".encode())
    return digest.hexdigest()


def _update(digest: Any, name: str, tensor: Any) -> None:
    import torch

    data = tensor.detach().cpu().contiguous()
    digest.update(f"{name} {data.dtype} {tuple(data.shape)}".encode())
    digest.update(data.reshape(-1).view(torch.uint8).numpy().data)


def hash_tokenizer(tokenizer: Any) -> str:
    """SHA-256 of what decides a tokenisation: the whole pipeline and vocabulary, special tokens, length, sides."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        state: dict[str, Any] = {"class": type(tokenizer).__name__, "vocab": tokenizer.get_vocab()}
    else:
        state = json.loads(backend.to_str())
        state.pop("truncation", None)  # set by the last call, not by the tokenizer
        state.pop("padding", None)
    specials = {key: str(value) for key, value in tokenizer.special_tokens_map.items()}
    sides = [getattr(tokenizer, name, None) for name in ("model_max_length", "padding_side", "truncation_side")]
    return sha256_json({"state": state, "specials": specials, "sides": sides})
