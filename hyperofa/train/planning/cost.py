"""What a model costs from its config alone: parameters, floating-point operations and stored activations per token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hyperofa.errors import HyperofaError, InputError

PEAK_FLOPS = {
    "B200": (2250e12, 75e12),
    "H200": (989e12, 67e12),
    "H100": (989e12, 67e12),
    "A100": (312e12, 19.5e12),
    "A40": (150e12, 37.4e12),
    "L40S": (362e12, 91.6e12),
    "L4": (121e12, 30.3e12),
    "RTX 4090": (165e12, 82.6e12),
    "V100": (125e12, 15.7e12),
}
"""Dense operations per second of the makers' data sheets, by a part of the device's name: in 16 bits on the tensor cores, and in
float32 without them (torch uses TF32 for products only where it is told to, and training does not tell it)."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes that decide a model's cost.

    Attributes:
        parameters: all, tied ones once.
        learning: those that are trained.
        embedding_parameters: those of the input and output embeddings (coordinates, primitives, bias).
        body_weights: those of the matrices between the two that every token is multiplied by.
        frozen_body_weights: those of them that never learn, such as what adapters stand beside.
        head_operations: multiplications of the output embedding per scored position: V r + r D, or V D.
        share_scored: share of positions that are scored: the mask rate, or 1 for a causal model.
    """

    parameters: int
    learning: int
    embedding_parameters: int
    body_weights: int
    frozen_body_weights: int
    layers: int
    width: int
    intermediate: int
    gated: bool
    vocabulary: int
    head_operations: int
    input_operations: int
    share_scored: float

    def flops_per_token(self, length: int) -> float:
        """Operations of one training step per token: forward, and twice that backward (arXiv 2204.02311, appendix B).

        Two per weight of the body and of attention's scores over ``length`` positions; the embeddings count only where
        they are multiplied: every token's coordinates by the primitives, and the head at the scored positions. A matrix
        that never learns passes gradients on, but has none of its own.
        """
        forward: float = 2 * self.body_weights + 4 * self.layers * self.width * length
        forward += 2 * self.input_operations + 2 * self.share_scored * self.head_operations
        return 3.0 * forward - 2 * self.frozen_body_weights

    def activation_bytes(self, tokens: int, element: int, *, checkpointing: bool) -> int:
        """About what the backward pass of one micro-batch needs stored, with fused attention.

        Per layer and token: the inputs of its matrix products, norms and activation, some twelve times the width and two
        or three times the inner width. With checkpointing only each layer's input, and one layer in full.
        """
        layer = tokens * element * (12 * self.width + (3 if self.gated else 2) * self.intermediate)
        if not checkpointing:
            return self.layers * layer
        return self.layers * tokens * element * self.width + layer


def peak_flops(device: str, precision: str = "bf16") -> float | None:
    """Operations per second of a device by its name in a precision, or None if it is not in the table."""
    for name, (in_16_bits, in_float32) in PEAK_FLOPS.items():
        if name.lower() in device.lower():
            return in_float32 if precision == "fp32" else in_16_bits
    return None


def shape_of(model: Any, share_scored: float) -> ModelShape:
    """The shape of a language model (weights may be on the meta device; nothing is read from them)."""
    from torch import nn

    from hyperofa.model.families import family_of, input_embedding, output_head

    config, family = model.config, family_of(model.config)
    embedding, head = input_embedding(model), output_head(model)
    parts = {id(p): _size(p) for module in (embedding, head) for p in module.parameters(recurse=False)}
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}  # looked up, not multiplied
    matrices = [p for p in model.parameters() if len(getattr(p, "ds_shape", p.shape)) > 1 and id(p) not in tables]
    embedding_rank = getattr(config, "embedding_rank", None)
    head_rank = getattr(config, "head_rank", None) or embedding_rank
    body = [parameter for parameter in matrices if id(parameter) not in parts]
    width, vocabulary = config.hidden_size, config.vocab_size
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width
    return ModelShape(
        parameters=sum(map(_size, model.parameters())),
        learning=sum(_size(parameter) for parameter in model.parameters() if parameter.requires_grad),
        embedding_parameters=sum(parts.values()),
        body_weights=sum(map(_size, body)),
        frozen_body_weights=sum(_size(parameter) for parameter in body if not parameter.requires_grad),
        layers=config.num_hidden_layers,
        width=width,
        intermediate=inner,
        gated=(family.objective == "causal" and family.model_type != "gpt2") or family.model_type == "modernbert",
        vocabulary=vocabulary,
        head_operations=vocabulary * width if not head_rank else vocabulary * head_rank + head_rank * width,
        input_operations=0 if not embedding_rank else embedding_rank * width,
        share_scored=1.0 if family.objective == "causal" else share_scored,
    )


def shape_of_directory(
    path: str | Path, share_scored: float, prepare: Callable[[Any], None] | None = None
) -> ModelShape:
    """The shape of the model that a directory's ``config.json`` describes; no weight is read or made.

    ``prepare`` is called with the wrapped model, whose weights are on the meta device: it may freeze parts, or add adapters.

    Raises:
        DataMissingError: there is no such config, or it cannot be read.
        InputError: no model can be made of it.
    """
    import torch

    from hyperofa.model.families import family_of, is_factorized, lm_class
    from hyperofa.model.pretrained import read_config

    config = read_config(str(path))
    model_class = lm_class(family_of(config, path), factorized=is_factorized(config))
    try:
        with torch.device("meta"):
            model = model_class(config)
            model.tie_weights()
            if prepare is not None:
                prepare(SimpleNamespace(pretrained=model))
        return shape_of(model, share_scored)
    except HyperofaError:
        raise
    except Exception as error:  # ill-typed fields, of which every family has its own
        reason = (str(error).strip().splitlines() or [""])[0]
        what = f"no model can be made of its config.json ({type(error).__name__}: {reason})"
        raise InputError(what, where=path) from error


def _size(parameter: Any) -> int:
    """Elements of a parameter, also where ZeRO-3 has taken them apart."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))
