"""The frozen body of the source model: from embeddings or token ids to the states after one block."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hyperofa.errors import InputError
from hyperofa.model.factorized import embedding_scale
from hyperofa.model.families import input_embedding
from hyperofa_eval.base.forward import left_after

if TYPE_CHECKING:
    from hyperofa.model import Source


class Body:
    """The source model without its head, in evaluation mode, no parameter of which gets a gradient.

    Blocks after the wanted one are not computed.
    """

    def __init__(self, source: Source, layer: int | None, device: torch.device) -> None:
        """Take the body of ``source``; ``layer`` counts from 1, None is two thirds of the depth.

        Raises:
            InputError: the model has no such block.
        """
        self.module: Any = source.model.base_model
        config = self.module.config.get_text_config()
        depth = int(config.num_hidden_layers)
        self.layer = max(1, round(2 * depth / 3)) if layer is None else layer
        if not 1 <= self.layer <= depth:
            raise InputError(f"the source has {depth} blocks, so none is number {self.layer}", where="refinement")
        lists = [m for m in self.module.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
        self._block: nn.Module | None = lists[0][self.layer - 1] if len(lists) == 1 and self.layer < depth else None
        embedding = input_embedding(source.model)
        self._scale = embedding_scale(embedding)
        self._dtype = embedding.weight.dtype
        self._embedding = embedding
        self.device = device
        positions = getattr(config, "max_position_embeddings", None) or 10**9
        self.longest = int(positions) - 2  # RoBERTa's table has two rows that no token uses

    def digest(self) -> str:
        """SHA-256 of the weights, of the config, and of which block is looked at."""
        values = {key: value for key, value in self.module.config.to_dict().items() if key != "_name_or_path"}
        found = hashlib.sha256(json.dumps([self.layer, values], sort_keys=True, default=str).encode())
        for name, tensor in self.module.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return found.hexdigest()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block, the body is on the device, in evaluation mode, and learns nothing; then it is as it was."""
        home, training = self._embedding.weight.device, self.module.training
        learning = [p for p in self.module.parameters() if p.requires_grad]
        self.module.to(self.device).eval()
        for parameter in learning:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in learning:
                parameter.requires_grad_(True)
            self.module.train(training).to(home)

    def states(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, D) float32 after the block, of embeddings (B, L, D) under a mask (B, L) of 0 and 1."""
        given = (embeddings * self._scale).to(self._dtype)
        if self._block is None:
            output = self.module(inputs_embeds=given, attention_mask=mask, output_hidden_states=True)
            return output.hidden_states[self.layer].float()
        with left_after(self._block) as caught:
            self.module(inputs_embeds=given, attention_mask=mask)
        return caught[0].float()

    def source_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, D) float32 after the block, of the source tokenizer's ids (B, L)."""
        with torch.no_grad():
            return self.states(torch.nn.functional.embedding(ids, self._embedding.weight), mask)


def padded(rows: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Arrays of ids as one tensor filled up with 0 on the right, and its mask, both (B, longest) int64."""
    width = max(1, *map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return ids.to(device), mask.to(device)


def pooled(states: Tensor, counts: Tensor) -> Tensor:
    """The mean (B, D) of states (B, L, D) under ``counts`` (B, L) of 0 and 1."""
    weights = counts.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
