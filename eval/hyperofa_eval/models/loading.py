"""A transformers checkpoint as a :class:`hyperofa_eval.api.Model`: loading, checks, and what identifies it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.base.hub import check_name
from hyperofa_eval.base.processes import Processes
from hyperofa_eval.base.quiet import quiet_transformers
from hyperofa_eval.models import adapter
from hyperofa_eval.models.encoder import Encoder
from hyperofa_eval.models.encoding import EncodeSettings
from hyperofa_eval.models.hashing import hash_head, hash_model, hash_tokenizer
from hyperofa_eval.text.filekinds import refuse_lfs_pointer
from hyperofa_eval.text.tokenizer import load_tokenizer, rows_needed

if TYPE_CHECKING:
    from torch import nn

    from hyperofa_eval.data.readers import Sentence
    from hyperofa_eval.models.tagger import Tagger
    from hyperofa_eval.tasks.tagging import Tagging

Kind = str
"""``masked``, ``causal`` or ``none``: the language-model head that was loaded."""


@dataclass
class TransformersModel:
    """A Hugging Face model, dense or factorised, with its tokenizer.

    ``model`` may carry a language-model head; sentence vectors and taggers use its body alone.
    """

    model: nn.Module
    tokenizer: Any
    name: str
    head: Kind = "none"
    batch_size: int = 64
    processes: Processes = field(default_factory=Processes)
    cache: Path | None = None
    unread: frozenset[str] = frozenset()
    """Weights of the body that the checkpoint did not hold and the harness does not use (poolers)."""

    @property
    def body(self) -> Any:
        """The model without its head."""
        return self.model.base_model

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What results name: the hashes of the body, of the head where one is loaded, and of the tokenizer; type and size."""
        head = {} if self.head == "none" else {"head_sha256": hash_head(self.model, self.body, self.head)}
        return {
            "name": self.name,
            "sha256": hash_model(self.body, self.unread),
            **head,
            "tokenizer_sha256": hash_tokenizer(self.tokenizer),
            "model_type": getattr(self.body.config, "model_type", type(self.body).__name__),
            "parameters": sum(p.numel() for p in self.body.parameters()),
            "dtype": str(next(self.body.parameters()).dtype).removeprefix("torch."),
        }

    @cached_property
    def encoder(self) -> Encoder:
        """The sentence encoder over the body."""
        return Encoder(
            self.body,
            self.tokenizer,
            identity=f"{self.identity['sha256']}-{self.identity['tokenizer_sha256']}",
            name=self.name,
            batch_size=self.batch_size,
            processes=self.processes,
            cache=self.cache,
        )

    def encode(self, texts: Sequence[str], settings: EncodeSettings) -> NDArray[np.float32]:
        """Sentence vectors (n, D); see :meth:`hyperofa_eval.api.Model.encode`."""
        return self.encoder.encode(texts, settings)[:, 0]

    def encode_blocks(self, texts: Sequence[str], settings: EncodeSettings) -> NDArray[np.float32]:
        """Sentence vectors of several blocks in one pass, (n, blocks, D)."""
        return self.encoder.encode(texts, settings)

    def fine_tune(self, train: Sequence[Sentence], dev: Sequence[Sentence], settings: Tagging, seed: int) -> Tagger:
        """A tagger over a copy of the body; see :func:`hyperofa_eval.models.tagger.fit`."""
        from hyperofa_eval.models.tagger import fit

        return fit(self, train, dev, settings, seed)

    def text_losses(self, texts: Sequence[str], share: float, seed: int) -> list[tuple[float, int, int, int]]:
        """Nats, predicted tokens, their characters and unknown tokens, per text; see :mod:`hyperofa_eval.models.losses`."""
        from hyperofa_eval.models.losses import text_losses

        return text_losses(self, texts, share, seed)

    def blocks(self, settings: EncodeSettings) -> tuple[int, ...]:
        """The 1-based blocks that ``settings`` names on this model."""
        return self.encoder.resolve(settings)


def load_model(
    name: str,
    *,
    head: bool = False,
    dtype: str = "float32",
    batch_size: int = 64,
    processes: Processes | None = None,
    cache: Path | None = None,
    remote_code: bool = False,
) -> TransformersModel:
    """Load a directory or hub id, dense or factorised.

    ``head`` loads the language-model head too (for the task ``lm``); ``dtype`` is ``float32``, ``bfloat16`` or
    ``float16``; ``remote_code`` runs Python code that comes with the checkpoint, which is off unless the user asks.

    Raises:
        DataMissingError: no such model, or no tokenizer beside it.
        InputError: it cannot be read, is an encoder-decoder, weights are missing or not finite, or it has no
            language-model head though one is needed.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    config = _read_config(name, remote_code)
    kind = _head_kind(config, name) if head else "none"
    auto = {
        "none": transformers.AutoModel,
        "masked": transformers.AutoModelForMaskedLM,
        "causal": transformers.AutoModelForCausalLM,
    }[kind]
    tokenizer = load_tokenizer(name, remote_code)
    options = {"config": config, "dtype": getattr(torch, dtype), "trust_remote_code": remote_code}
    options |= {"use_safetensors": True}  # other formats are pickles
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # both are told below, not in a table
    try:
        with quiet_transformers():
            model, info = auto.from_pretrained(name, **options)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        refuse_lfs_pointer(Path(name))
        raise InputError(f"cannot load the model ({_first_line(error)})", where=name) from None
    for key, stored, wanted in sorted(info["mismatched_keys"])[:1]:
        what = f"config.json does not fit the weights: {key} is {tuple(stored)} there and would be {tuple(wanted)}"
        raise InputError(what, where=name, todo="use the config that the weights were saved with")
    unread = _unread(model, info["missing_keys"], name)
    _check_rows(model, tokenizer, name)
    _check_finite(model, unread, name)
    processes = processes or Processes()
    model = model.eval().to(processes.device)
    label = Path(name).resolve().name if Path(name).is_dir() else name
    return TransformersModel(model, tokenizer, label, kind, batch_size, processes, cache, unread)


def wrap(model: Any, tokenizer: Any, name: str, batch_size: int = 64, cache: Path | None = None) -> TransformersModel:
    """A model in memory (as in training) as one the harness can score; the caller sets evaluation mode.

    Raises:
        InputError: it is an encoder-decoder, the tokenizer has ids beyond its rows, or its weights are not finite.
    """
    _check_kind(model.config, name)
    _check_rows(model, tokenizer, name)
    _check_finite(model, frozenset(), name)
    kind = "none"
    if model.get_output_embeddings() is not None:
        causal = getattr(model.config.get_text_config(), "is_decoder", False) or "CausalLM" in type(model).__name__
        kind = "causal" if causal or type(model).__name__.endswith("LMHeadModel") else "masked"
    processes = Processes(device=str(next(model.parameters()).device))
    return TransformersModel(model, tokenizer, name, kind, batch_size, processes, cache)


def _read_config(name: str, remote_code: bool) -> Any:
    import transformers

    path = Path(name)
    check_name(name, "model directory")
    if path.is_dir() and not (path / "config.json").is_file():
        raise DataMissingError("no config.json, so not a model directory", where=name)
    try:
        with quiet_transformers():
            plain, _ = transformers.PretrainedConfig.get_config_dict(name)
            adapter.register(str(plain.get("model_type", "")), name)
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=remote_code)
    except OSError as error:
        if path.exists():
            refuse_lfs_pointer(Path(name))
            raise InputError(f"cannot read its config ({_first_line(error)})", where=path / "config.json") from None
        raise DataMissingError(f"no such model here or on the hub ({_first_line(error)})", where=name) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        refuse_lfs_pointer(Path(name))
        raise InputError(f"cannot read its config ({_first_line(error)})", where=name) from None
    _check_kind(config, name)
    return config


def _check_kind(config: Any, name: str) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"{config.model_type} is an encoder-decoder, which has no one block to pool or to tag from",
            where=name,
            todo="name an encoder or a decoder",
        )


def _check_rows(model: Any, tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer with an id beyond the embedding's last row."""
    needed, rows = rows_needed(tokenizer), model.config.get_text_config().vocab_size
    if needed > rows:
        what = f"the tokenizer's ids need {needed:,} embeddings, the model has {rows:,}"
        raise InputError(what, where=name, todo="use the tokenizer that the model was trained with")


def _check_finite(model: Any, unread: frozenset[str], name: str) -> None:
    """Refuse NaN and infinity anywhere: NaN vectors would rank every translation first."""
    import torch

    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    for key, parameter in model.named_parameters():
        if key.removeprefix(prefix) not in unread and not bool(torch.isfinite(parameter).all()):
            raise InputError(f"its weights hold NaN or infinity ({key})", where=name, todo="check how it was trained")


def _head_kind(config: Any, name: str) -> Kind:
    import transformers

    wanted = " ".join(getattr(config, "architectures", None) or [])
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if causal and (not masked or "CausalLM" in wanted or "LMHead" in wanted or getattr(config, "is_decoder", False)):
        return "causal"
    if masked:
        return "masked"
    raise InputError(f"{config.model_type} has no language-model head that transformers knows", where=name)


def _unread(model: Any, missing: Sequence[str], name: str) -> frozenset[str]:
    """The missing weights that no task uses, named as in the body; raises if a used one is missing."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    needed = [key for key in missing if "pooler" not in key and key not in tied and "position_ids" not in key]
    if needed:
        raise InputError(
            f"the checkpoint lacks {len(needed)} weights ({', '.join(sorted(needed)[:2])})",
            where=name,
            todo="its head or body would be random: train it first, or leave out the task lm",
        )
    prefix = f"{model.base_model_prefix}."
    return frozenset(key.removeprefix(prefix) for key in missing)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
