"""Loading a transformers checkpoint, or taking one that is in memory; what could not be scored is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperofa_eval.base.errors import DataMissingError, InputError, first_line
from hyperofa_eval.base.hub import check_name
from hyperofa_eval.base.processes import Processes
from hyperofa_eval.base.quiet import quiet_transformers
from hyperofa_eval.models.loaded import Head
from hyperofa_eval.models.model_types import register
from hyperofa_eval.models.transformers_model import TransformersModel
from hyperofa_eval.settings.evaluation import NumberFormat
from hyperofa_eval.text.filekinds import refuse_lfs_pointer
from hyperofa_eval.text.prompts import default_prompt
from hyperofa_eval.text.tokenizer import load_tokenizer, rows_needed


def load_model(
    name: str,
    *,
    head: bool = False,
    dtype: NumberFormat = "float32",
    batch_size: int = 64,
    processes: Processes | None = None,
    cache: Path | None = None,
    remote_code: bool = False,
    label: str | None = None,
) -> TransformersModel:
    """Load a directory or hub id, dense or factorised.

    ``head`` loads the language-model head too (for the task ``lm``); ``remote_code`` runs Python code that comes with the
    checkpoint; ``label`` is what results call the model, if not by its directory's name or hub id.

    Raises:
        DataMissingError: no such model, or no tokenizer beside it.
        InputError: it cannot be read, is an encoder-decoder, weights are missing or not finite, or it has no
            language-model head though one is needed.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    config = _read_config(name, remote_code)
    kind: Head = _head_kind(config, name) if head else "none"
    auto = {
        "none": transformers.AutoModel,
        "masked": transformers.AutoModelForMaskedLM,
        "causal": transformers.AutoModelForCausalLM,
    }[kind]
    tokenizer = load_tokenizer(name, remote_code)
    options = {"config": config, "dtype": getattr(torch, dtype), "trust_remote_code": remote_code}
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # both are told below, not in a table
    try:
        with quiet_transformers():
            model, info = auto.from_pretrained(name, use_safetensors=True, **options)  # other formats are pickles
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        refuse_lfs_pointer(Path(name))
        raise InputError(f"cannot load the model ({first_line(error)})", where=name) from None
    for key, stored, expected in sorted(info["mismatched_keys"])[:1]:
        what = f"config.json does not fit the weights: {key} is {tuple(stored)} there and would be {tuple(expected)}"
        raise InputError(what, where=name, todo="use the config that the weights were saved with")
    unread = _unread(model, info["missing_keys"], name)
    _check_weights(model, tokenizer, unread, name)
    processes = processes or Processes()
    model = model.eval().to(processes.device)
    own = Path(name).resolve().name if Path(name).is_dir() else name
    return TransformersModel(
        model, tokenizer, label or own, kind, batch_size, processes, cache, unread, default_prompt(name)
    )


def wrap(
    model: Any, tokenizer: Any, name: str, batch_size: int = 64, cache: Path | None = None, prompt: str = ""
) -> TransformersModel:
    """A model in memory (as in training) as one the harness can score; ``prompt`` is what its texts begin with.

    Raises:
        InputError: it is an encoder-decoder, the tokenizer has ids beyond its rows, or its weights are not finite.
    """
    _check_kind(model.config, name)
    _check_weights(model, tokenizer, frozenset(), name)
    kind: Head = "none"
    if model.get_output_embeddings() is not None:
        causal = getattr(model.config.get_text_config(), "is_decoder", False) or "CausalLM" in type(model).__name__
        kind = "causal" if causal or type(model).__name__.endswith("LMHeadModel") else "masked"
    processes = Processes(device=str(next(model.parameters()).device))
    return TransformersModel(model, tokenizer, name, kind, batch_size, processes, cache, prompt=prompt)


def _read_config(name: str, remote_code: bool) -> Any:
    import transformers

    path = Path(name)
    check_name(name, "model directory")
    if path.is_dir() and not (path / "config.json").is_file():
        raise DataMissingError("no config.json, so not a model directory", where=name)
    try:
        with quiet_transformers():
            plain, _ = transformers.PretrainedConfig.get_config_dict(name)
            register(str(plain.get("model_type", "")), name)
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=remote_code)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and not path.exists():
            raise DataMissingError(f"no such model here or on the hub ({first_line(error)})", where=name) from None
        refuse_lfs_pointer(path)
        raise InputError(f"cannot read its config ({first_line(error)})", where=name) from None
    _check_kind(config, name)
    return config


def _check_kind(config: Any, name: str) -> None:
    if getattr(config, "is_encoder_decoder", False):
        what = f"{config.model_type} is an encoder-decoder, which has no one block to pool or to tag from"
        raise InputError(what, where=name, todo="name an encoder or a decoder")


def _check_weights(model: Any, tokenizer: Any, unread: frozenset[str], name: str) -> None:
    """Refuse an id beyond the embedding's last row, and NaN and infinity: NaN vectors would rank every translation first."""
    import torch

    required, rows = rows_needed(tokenizer), model.config.get_text_config().vocab_size
    if required > rows:
        what = f"the tokenizer's ids need {required:,} embeddings, the model has {rows:,}"
        raise InputError(what, where=name, todo="use the tokenizer that the model was trained with")
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    for key, parameter in model.named_parameters():
        if key.removeprefix(prefix) not in unread and not bool(torch.isfinite(parameter).all()):
            raise InputError(f"its weights hold NaN or infinity ({key})", where=name, todo="check how it was trained")


def _head_kind(config: Any, name: str) -> Head:
    import transformers

    architectures = " ".join(getattr(config, "architectures", None) or [])
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if causal and (
        not masked or "CausalLM" in architectures or "LMHead" in architectures or getattr(config, "is_decoder", False)
    ):
        return "causal"
    if masked:
        return "masked"
    raise InputError(f"{config.model_type} has no language-model head that transformers knows", where=name)


def _unread(model: Any, missing: Sequence[str], name: str) -> frozenset[str]:
    """The missing weights that no task uses, named as in the body; raises if a used one is missing."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    required = [key for key in missing if "pooler" not in key and key not in tied and "position_ids" not in key]
    if required:
        what = f"the checkpoint lacks {len(required)} weights ({', '.join(sorted(required)[:2])})"
        todo = "its head or body would be random: train it first, or leave out the task lm"
        raise InputError(what, where=name, todo=todo)
    prefix = f"{model.base_model_prefix}."
    return frozenset(key.removeprefix(prefix) for key in missing)
