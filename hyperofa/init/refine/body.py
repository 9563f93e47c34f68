"""The frozen source model: from embeddings or token ids to the states after one block, or to what the head scores."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hyperofa.base.attention import attention_to_learn_with
from hyperofa.base.device import multiplies_bfloat16
from hyperofa.errors import InputError
from hyperofa.model.factorized import embedding_scale
from hyperofa.model.families import input_embedding, output_head, parameter_dtype
from hyperofa_eval.base.forward import left_after

if TYPE_CHECKING:
    from hyperofa.model import Source


class Body:
    """The source model in evaluation mode, no parameter of which gets a gradient; states are float32.

    Where the device multiplies bfloat16, the weights at work are a copy in bfloat16, without the embeddings.
    """

    def __init__(self, source: Source, layer: int | None, device: torch.device, *, bf16: bool | None = None) -> None:
        """Take the body of ``source``; ``layer`` counts from 1, None is two thirds of the depth.

        ``bf16`` None is bfloat16 where the device has products of it.

        Raises:
            InputError: the model has no such block.
        """
        self._source = source
        config = source.model.base_model.config.get_text_config()
        self.depth = int(config.num_hidden_layers)
        self.layer = max(1, round(2 * self.depth / 3)) if layer is None else layer
        if not 1 <= self.layer <= self.depth:
            raise InputError(f"the source has {self.depth} blocks, so none is number {self.layer}", where="refinement")
        self._embedding = input_embedding(source.model)
        self._scale = embedding_scale(self._embedding)
        own = parameter_dtype(source.model)
        self.dtype = torch.bfloat16 if (multiplies_bfloat16(device) if bf16 is None else bf16) else own
        self.device = device
        positions = getattr(config, "max_position_embeddings", None) or 10**9
        self.longest = int(positions) - 2  # RoBERTa's table has two rows that no token uses
        self._model: Any = source.model
        self._basis: Tensor | None = None
        self._digest = ""

    def reduce(self, primitives: np.ndarray | None) -> None:
        """From now on, see the source as the extended model will: its rows as ``primitives`` (r, D) keep them; None: as they are.

        Copied rows are reduced too. Where new rows learned the vectors of the whole source, translations lay apart.
        """
        self._basis = None
        if primitives is not None:
            basis, _ = np.linalg.qr(primitives.T)
            self._basis = torch.from_numpy(np.ascontiguousarray(basis)).to(self.device)

    def digest(self) -> str:
        """SHA-256 of the weights, of the config, and of which block is looked at, in which numbers; read once."""
        if self._digest:
            return self._digest
        model = self._source.model
        values = {key: value for key, value in model.config.to_dict().items() if key != "_name_or_path"}
        facts = [self.layer, str(self.dtype), self.device.type, values]
        sha = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
        for name, tensor in model.state_dict().items():  # what lies between body and scores, and their bias, too
            sha.update(name.encode())
            sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        self._digest = sha.hexdigest()
        return self._digest

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block, the body at work is on the device, in evaluation mode, and learns nothing; then as it was."""
        model = self._source.model
        training, learning = model.training, [p for p in model.parameters() if p.requires_grad]
        home = self._embedding.weight.device
        for parameter in learning:
            parameter.requires_grad_(False)
        if self.dtype != parameter_dtype(model) or self.device.type != home.type:
            vocabulary = [module for module in (self._embedding, output_head(model)) if module is not None]
            replaced: dict[int, Any] = {id(module): nn.Identity() for module in vocabulary}
            left_out = {id(parameter) for module in vocabulary for parameter in module.parameters()}
            for parameter in model.parameters():  # each converted alone: no second copy in the source's numbers
                if id(parameter) not in left_out:
                    data = parameter.detach().to(self.device, self.dtype)
                    replaced[id(parameter)] = nn.Parameter(data, requires_grad=False)
            # Buffers, such as rotary frequencies, stay float32.
            self._model = copy.deepcopy(model, replaced).to(self.device)
        self._model.eval()
        try:
            yield
        finally:
            self._model = model
            model.train(training)
            for parameter in learning:
                parameter.requires_grad_(True)

    def states(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, D) after the block, of embeddings (B, L, D) under a mask (B, L) of 0 and 1; no block after it is run."""
        body = self._model.base_model
        inputs = self._scaled(embeddings)
        with attention_to_learn_with(self.device, self.dtype):
            return self._after_block(body, inputs, mask)

    def _after_block(self, body: Any, inputs: Tensor, mask: Tensor) -> Tensor:
        lists = [m for m in body.modules() if isinstance(m, nn.ModuleList) and len(m) == self.depth]
        if len(lists) != 1 or self.layer == self.depth:
            output = body(inputs_embeds=inputs, attention_mask=mask, output_hidden_states=True)
            return output.hidden_states[self.layer].float()
        with left_after(lists[0][self.layer - 1]) as caught:
            body(inputs_embeds=inputs, attention_mask=mask)
        return caught[0].float()

    def scored_states(self, embeddings: Tensor, mask: Tensor, wanted: Tensor) -> Tensor:
        """What the head scores, (n, D) in the body's numbers, at the n positions of ``wanted`` (B, L) bool."""
        options = {"use_cache": False} if self._source.family.objective == "causal" else {}
        with attention_to_learn_with(self.device, self.dtype):
            output = self._model.base_model(inputs_embeds=self._scaled(embeddings), attention_mask=mask, **options)
        return self._source.family.before_head(self._model, output.last_hidden_state[wanted])

    def source_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, D) after the block, of the source tokenizer's ids (B, L)."""
        with torch.no_grad():
            rows = nn.functional.embedding(ids.to(self._embedding.weight.device), self._embedding.weight)
            rows = rows.to(self.device)
            if self._basis is not None:
                rows = rows.float() @ self._basis @ self._basis.T
            return self.states(rows, mask)

    def _scaled(self, embeddings: Tensor) -> Tensor:
        return (embeddings * self._scale).to(self.dtype)


def padded(rows: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Arrays of ids as one tensor filled up with 0 on the right, and its mask, both (B, longest) int64."""
    width = max(1, *map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return ids.to(device), mask.to(device)


def next_tokens(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Which positions (B, L) bool have a next token, and which it is (B, L), of what :func:`padded` gives."""
    is_token = mask.bool()
    return torch.cat([is_token[:, 1:], torch.zeros_like(is_token[:, :1])], dim=1), torch.roll(ids, -1, dims=1)


def pooled(states: Tensor, counts: Tensor) -> Tensor:
    """The mean (B, D) of states (B, L, D) under ``counts`` (B, L) of 0 and 1."""
    weights = counts.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
