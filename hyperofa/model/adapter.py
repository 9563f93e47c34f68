"""Low-rank adapters in the body (LoRA, arXiv 2106.09685), put there by peft, and merged when a model is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hyperofa.errors import HyperofaError, unknown_name
from hyperofa.model.families import input_embedding

_NAME = "default"  # what peft calls an adapter whose name nobody chose
_BASE, _DOWN, _UP = ".base_layer.", f".lora_A.{_NAME}.weight", f".lora_B.{_NAME}.weight"


class Wrapper(Protocol):
    """What holds the model that is trained, such as :class:`hyperofa.model.TrainingModel`."""

    pretrained: PreTrainedModel


@dataclass(frozen=True)
class Adapter:
    """How the adapters of a model are merged into the matrices that they belong to: ``W + scaling B A``.

    Attributes:
        scaling: factor of the product of B (out, r) and A (r, in).
        transposed: the matrices are (in, out), as GPT-2 keeps them.
    """

    scaling: float
    transposed: bool

    def merged(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of the model without adapters, from those with them, by the names that the plain model has.

        The product is computed in float32 and rounded once, to the dtype of the matrix. Nothing of ``state`` is changed.
        """
        plain: dict[str, Tensor] = {}
        for name, tensor in state.items():
            if name.endswith((_DOWN, _UP)):
                continue
            layer, is_base, rest = name.rpartition(_BASE)
            if is_base and rest == "weight":
                tensor = self._sum(tensor, state[layer + _DOWN], state[layer + _UP])  # noqa: PLW2901
            plain[f"{layer}.{rest}" if is_base else name] = tensor
        return plain

    def remove(self, model: PreTrainedModel) -> None:
        """Merge the adapters of a model in memory and take them out: it is then as if it had never had any."""
        for path, layer in list(_adapted(model)):
            weight = layer.base_layer.weight
            with torch.no_grad():
                weight.copy_(self._sum(weight, layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight))
            model.base_model.set_submodule(path, layer.base_layer)

    def _sum(self, weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
        change = self.scaling * (up.float() @ down.float())
        return (weight.float() + (change.T if self.transposed else change)).to(weight.dtype)


def add_adapter(model: Wrapper, *, rank: int, alpha: float, targets: Sequence[str] = (), seed: int = 0) -> Adapter:
    """Put an adapter beside every linear layer of the body; what is left of the body learns no more.

    Rows, primitives and head learn as before. The adapters' parameters are of the part ``body``. B starts at zero, so the
    model computes what it did; A is drawn from the seed, the same on every rank.

    Args:
        model: with a language-model head, wrapped for training.
        rank: r, inner dimension of the product.
        alpha: the product is scaled by ``alpha / rank``.
        targets: names of layers, such as ``q_proj``; none means every linear layer of the body.
        seed: of A.

    Raises:
        InputError: the body has no layer of such a name.
        HyperofaError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise HyperofaError(f"adapters need peft ({error})", todo="pip install 'hyperofa[train]'") from None
    body, embedding = model.pretrained.base_model, input_embedding(model.pretrained)
    linear = {path: module for path, module in body.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    kinds = sorted({path.rpartition(".")[2] for path in linear})
    for name in targets:
        if name not in kinds:
            raise unknown_name("layer of the body", name, kinds, where="adapter.targets")
    chosen = [path for path in linear if not targets or path.rpartition(".")[2] in targets]
    transposed = isinstance(linear[chosen[0]], Conv1D)
    learning = [parameter for parameter in embedding.parameters(recurse=False) if parameter.requires_grad]
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=chosen,
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=transposed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, body, adapter_name=_NAME)
    for parameter in learning:  # peft holds still all that is no adapter
        parameter.requires_grad_(True)
    return Adapter(alpha / rank, transposed)


def _adapted(model: PreTrainedModel) -> Iterator[tuple[str, Any]]:
    """The layers that have an adapter, by their paths in the body."""
    for path, module in model.base_model.named_modules():
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            yield path, module
