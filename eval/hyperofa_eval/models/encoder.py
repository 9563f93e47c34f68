"""Texts to vectors with a transformers model: length-sorted batches, one block's output, pooled; no work twice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.base.errors import InputError
from hyperofa_eval.base.files import sha256_json
from hyperofa_eval.base.forward import left_after
from hyperofa_eval.models.cache import VectorCache
from hyperofa_eval.models.encoding import EncodeSettings, auto_block
from hyperofa_eval.models.loaded import LoadedModel
from hyperofa_eval.text.plain_text import PlainText

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


class Encoder:
    """Pooled hidden states of a model's body, which is in evaluation mode, with a cache by content."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.depth = int(model.body.config.get_text_config().num_hidden_layers)
        self._text = PlainText(model.tokenizer)
        self._caches: dict[str, VectorCache] = {}
        self._early: dict[int, bool] = {}

    def resolve(self, settings: EncodeSettings) -> tuple[int, ...]:
        """The blocks that ``settings`` asks for; raises :class:`InputError` where the model is not so deep."""
        if settings.block == "all":
            return tuple(range(1, self.depth + 1))
        block = auto_block(self.depth) if settings.block == "auto" else settings.block
        if block > self.depth:
            raise InputError(
                f"has {self.depth} blocks, so none is number {block}", where=self.model.name, todo="see --block"
            )
        return (block,)

    def cache_for(self, settings: EncodeSettings) -> VectorCache:
        """The cache of this model under ``settings``."""
        blocks = self.resolve(settings)
        # In memory a cache is this encoder's own; the hashes take seconds.
        known = {} if self.model.cache is None else self.model.identity
        identity = f"{known.get('sha256')}-{known.get('tokenizer_sha256')}"
        parts = [2, identity, list(blocks), settings.pooling, self.max_length(settings.max_length)]
        scope = sha256_json(parts)[:32]
        if scope not in self._caches:
            self._caches[scope] = VectorCache(self.model.cache, scope)
        return self._caches[scope]

    def encode(self, texts: Sequence[str], settings: EncodeSettings) -> Floats:
        """Vectors of ``texts``, shape (n, blocks, D) float32; every process of the run must call it alike.

        Raises:
            InputError: no such block, or the model's output is not finite.
        """
        prompt = self.model.prompt if settings.prompt is None else settings.prompt
        texts = [prompt + text for text in texts]
        cache = self.cache_for(settings)
        known = cache.find(texts)
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            fresh = self._compute(missing, settings)
            cache.put(missing, fresh, write=self.model.processes.main)
            known.update(zip(missing, fresh, strict=True))
        return np.stack([known[text] for text in texts])

    def max_length(self, requested: int) -> int:
        """``requested``, or less where the tokenizer or the position embeddings allow less."""
        return min(requested, self.model.tokenizer.model_max_length, positions(self.model.body))

    def _compute(self, texts: Sequence[str], settings: EncodeSettings) -> Floats:
        encoded = self._text(
            texts,
            truncation=True,
            max_length=self.max_length(settings.max_length),
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        ids, specials = encoded["input_ids"], encoded["special_tokens_mask"]
        order = sorted(range(len(texts)), key=lambda i: (len(ids[i]), i))
        batches = [order[i : i + self.model.batch_size] for i in range(0, len(order), self.model.batch_size)]
        mine = batches[self.model.processes.rank :: self.model.processes.world]
        blocks = self.resolve(settings)
        rows: list[tuple[int, Floats]] = []
        with progress_bar("encoding", len(texts)) as advance:
            for batch in mine:
                vectors = self._batch([ids[i] for i in batch], [specials[i] for i in batch], blocks, settings.pooling)
                rows += zip(batch, vectors, strict=True)
                advance(len(batch) * self.model.processes.world)
        everyone = [row for part in self.model.processes.gather(rows) for row in part]
        out = np.stack([vector for _, vector in sorted(everyone, key=lambda row: row[0])])
        if not np.isfinite(out).all():
            raise InputError(
                "the model's output holds NaN or infinity", where=self.model.name, todo="check its weights"
            )
        return out

    def _batch(self, ids: list[list[int]], specials: list[list[int]], blocks: tuple[int, ...], pooling: str) -> Floats:
        import torch

        device = next(self.model.body.parameters()).device
        tokens, mask = pad(ids, pad_id(self.model.tokenizer, self.model.body), device)
        keep = mask.bool()
        if pooling == "mean":
            text = pad(specials, 1, device)[0] == 0
            # A text without a token of its own (all characters dropped) is the mean of its specials, not 0 / 0.
            keep = torch.where(text.any(1, keepdim=True), text, keep)
        with torch.inference_mode():
            states = self._states(tokens, mask, blocks)
            return np.stack([pool(state, keep, mask, pooling).cpu().numpy() for state in states], axis=1)

    def _states(self, tokens: torch.Tensor, mask: torch.Tensor, blocks: tuple[int, ...]) -> list[torch.Tensor]:
        if blocks == (self.depth,):
            return [self.model.body(input_ids=tokens, attention_mask=mask).last_hidden_state]
        if len(blocks) == 1 and self._can_stop(tokens, mask, blocks[0]):
            return [self._until(tokens, mask, blocks[0])]
        states = self.model.body(input_ids=tokens, attention_mask=mask, output_hidden_states=True).hidden_states
        return [states[block] for block in blocks]

    def _can_stop(self, tokens: torch.Tensor, mask: torch.Tensor, block: int) -> bool:
        """Whether leaving the forward pass after ``block`` gives what transformers calls ``hidden_states[block]``.

        Tried once per block, on one text; where it does not hold, every block is computed.
        """
        if block not in self._early:
            import torch

            holds = False
            if layer_list(self.model.body, self.depth) is not None:
                one = {"input_ids": tokens[:1], "attention_mask": mask[:1]}
                whole = self.model.body(**one, output_hidden_states=True).hidden_states[block]
                short = self._until(tokens[:1], mask[:1], block)
                holds = short.shape == whole.shape and torch.allclose(short, whole, atol=1e-5, rtol=1e-4)
            log.debug("%s: leaving after block %d is %s", self.model.name, block, "right" if holds else "not possible")
            self._early[block] = holds
        return self._early[block]

    def _until(self, tokens: torch.Tensor, mask: torch.Tensor, block: int) -> torch.Tensor:
        """The output of a block, after which the forward pass is left."""
        layers = layer_list(self.model.body, self.depth)
        assert layers is not None
        with left_after(layers[block - 1]) as caught:
            self.model.body(input_ids=tokens, attention_mask=mask)
        return caught[0]


def layer_list(body: nn.Module, depth: int) -> nn.ModuleList | None:
    """The list of the model's blocks: its one outermost ModuleList of that length, or None where it is not clear."""
    from torch import nn

    lists = [m for m in body.modules() if isinstance(m, nn.ModuleList) and len(m) == depth]
    return lists[0] if len(lists) == 1 else None


def positions(body: Any) -> int:
    """How many tokens the model's positions reach (RoBERTa's table has padding_idx + 1 rows that no token uses)."""
    from torch import nn

    limit = getattr(body.config.get_text_config(), "max_position_embeddings", None) or 10**9
    for name, module in body.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limit = min(limit, module.num_embeddings - unused)
    return int(limit)


def pad_id(tokenizer: Any, body: Any) -> int:
    """The id to fill up rows with (0 where there is no padding token: the mask hides it)."""
    for value in (tokenizer.pad_token_id, getattr(body.config, "pad_token_id", None)):
        if value is not None:
            return int(value)
    return 0


def pad(rows: Sequence[Sequence[int]], fill: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Lists of numbers as one tensor filled up on the right, and its mask; both (n, longest)."""
    import torch

    width = max(1, *map(len, rows))
    out = torch.full((len(rows), width), fill, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return out.to(device), mask.to(device)


def pool(states: torch.Tensor, keep: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """One float32 vector (n, D) of hidden states (n, L, D) by the rule of :class:`EncodeSettings`."""
    import torch

    states = states.float()
    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(1).clamp(min=1) - 1]
    weights = keep.to(states.dtype)
    return torch.einsum("nld,nl->nd", states, weights) / weights.sum(1, keepdim=True).clamp(min=1)
