"""Learning from tokens: the loss that the frozen model was trained with, of the next token or of masked ones."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyperofa.data.given_text import PartedText
from hyperofa.init.refine.body import Body, next_tokens, padded
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.scores import cross_entropies
from hyperofa.init.refine.sentences import Draws, digest_of, encode, rare_first
from hyperofa.init.refine.settings import RefineConfig

_MOST = 20_000  # lines of a language
_HELD_TOKENS = 5_000  # of held-out text, over all languages, that a choice looks at
_MASKED = 0.15
_BATCH = 24


@dataclass(frozen=True)
class HeadFacts:
    """What a head needs beside its rows.

    Attributes:
        causal: it scores next tokens; else masked ones.
        bias: (V,) float32 of the target's tokens, or None.
        softcap: see :func:`hyperofa.model.linear_cross_entropy`.
        scored: (V,) bool, the tokens that count as targets.
        specials: ids that are never masked.
        mask_id: what stands for a masked token; any id for next tokens.
    """

    causal: bool
    bias: Tensor | None
    softcap: float | None
    scored: Tensor
    specials: Tensor
    mask_id: int


class OwnLoss:
    """Lines, and the loss of the model with its own head on them.

    Under a tied head a row is both what goes in and what is scored, and learns as both. An untied head's rows learn beside.

    Attributes:
        config: the settings.
        unit: of the figure on held-out text: bits per character of the next tokens, or of the masked ones, nats a token.
        languages: lines to learn from, per language.
    """

    name = "tokens"

    def __init__(
        self, text: PartedText, tokenizer: Any, body: Body, config: RefineConfig, seed: int, head: HeadFacts
    ) -> None:
        """Take text with its parts and the target's tokenizer; settings are completed ones."""
        self._text, self._tokenizer, self._body, self.config, self._seed = text, tokenizer, body, config, seed
        self._head = head
        self.causal = head.causal
        self.unit = "bits per character" if self.causal else "nats a token"
        lines = text.choose.all_lines()
        each = _HELD_TOKENS // max(1, len(lines))
        self._held = {name: self._cut(rows, each) for name, rows in lines.items() if rows}
        self.languages: dict[str, int] = {}
        self._table: Tensor | None = None
        self._table_owner: LearnedRows | None = None

    @property
    def can_choose(self) -> bool:
        """Whether there is held-out text to choose by."""
        return any(len(ids) for ids, _ in self._held.values())

    def scoring_only(self, scored: Tensor) -> OwnLoss:
        """The same for held-out text alone, with only the tokens of ``scored`` (V,) bool as targets."""
        other = copy.copy(self)
        other._head, other._table = replace(self._head, scored=scored), None
        return other

    def begin(self, learning: np.ndarray) -> np.ndarray:
        """Prepare what the steps draw; ``learning`` (V,) bool are the new tokens. Returns all tokens: a head scores all."""
        config = self.config
        ids: list[np.ndarray] = []
        groups: list[int] = []
        for language, lines in self._text.learn.all_lines().items():
            rows = [row for row in self._encode(lines[:_MOST])[0] if len(row) > 2]
            if rows:
                groups += [len(self.languages)] * len(rows)
                self.languages[language] = len(rows)
                ids += rows
        lengths = np.array([len(row) for row in ids])
        weights = rare_first(ids, learning, config.rare)
        assert config.batch_size is not None
        self._draws = Draws(
            np.array(groups), lengths, weights, config.batch_size, self._seed, smoothing=config.smoothing
        )
        self._ids = ids
        return np.arange(len(learning))

    def digest(self) -> str:
        """SHA-256 of the text's tokens and languages."""
        return digest_of((*self._ids, self._draws.groups))

    def loss(self, rows: LearnedRows, head: LearnedRows, step: int) -> Tensor:
        """The mean loss of a wanted token of the batch of ``step``, in nats."""
        ids = [self._ids[i] for i in self._draws.batch(step)]
        total, count = self._sum(rows, head, ids, np.random.default_rng([self._seed, 310, step]))
        return total / max(count, 1)

    def held_out(self, rows: LearnedRows, head: LearnedRows) -> float:
        """The mean over languages of bits per character (of masked models: nats a token) on held-out lines."""
        losses = []
        with torch.no_grad():
            for number, (ids, characters) in enumerate(self._held.values()):
                rng = np.random.default_rng([self._seed, 311, number])
                total, count = 0.0, 0
                order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
                for start in range(0, len(order), _BATCH):
                    summed, n = self._sum(rows, head, [ids[i] for i in order[start : start + _BATCH]], rng)
                    total, count = total + float(summed), count + n
                losses.append(total / math.log(2) / max(characters, 1) if self.causal else total / max(count, 1))
        return float(np.mean(losses))

    def _sum(
        self, rows: LearnedRows, head: LearnedRows, ids: list[np.ndarray], rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The summed loss of a batch and the number of wanted tokens."""
        tensor, mask = padded(ids, self._body.device)
        if self.causal:
            inputs = tensor
            is_target, targets = next_tokens(tensor, mask)
        else:
            special = torch.isin(tensor, self._head.specials.to(tensor.device))
            drawn = torch.from_numpy(rng.random(tuple(tensor.shape)) < _MASKED).to(tensor.device)
            is_target, targets = mask.bool() & ~special & drawn, tensor
            inputs = torch.where(is_target, self._head.mask_id, tensor)
        is_target &= self._head.scored.to(tensor.device)[targets]
        states = self._body.scored_states(rows(inputs), mask, is_target)
        if head.primitives is not None:
            states = states @ head.primitives.T.to(states.dtype)
        learned = head.learned()
        places = torch.from_numpy(head.learned_ids).to(states.device)
        table = self._scoring(head, learned, places)
        total = cross_entropies(
            states, table, learned, places, targets[is_target], bias=self._head.bias, softcap=self._head.softcap
        )
        return total, int(is_target.sum())

    def _scoring(self, head: LearnedRows, learned: Tensor, places: Tensor) -> Tensor:
        """All rows of the head as they are now, (V, r) in the body's numbers; only those that learn are written anew."""
        if self._table is None or self._table_owner is not head:
            self._table, self._table_owner = head.start.to(self._body.dtype, copy=True), head
        with torch.no_grad():
            self._table[places] = learned.to(self._body.dtype)
        return self._table

    def _encode(self, lines: list[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """The ids of each line, as the model reads it, and how many of its characters they are."""
        if not lines:
            return [], np.zeros(0, dtype=np.int64)
        encoded = encode(self._tokenizer, lines, self.config.max_length - 1, return_offsets_mapping=True)
        first = self._tokenizer.bos_token_id
        first = self._tokenizer.eos_token_id if first is None else first
        ids = []
        for row in encoded["input_ids"]:
            before = [first] if self.causal and first is not None and row[:1] != [first] else []
            ids.append(np.array([*before, *row], dtype=np.int64))
        ends = [max((end for _, end in row), default=0) for row in encoded["offset_mapping"]]
        return ids, np.array(ends, dtype=np.int64)

    def _cut(self, lines: list[str], tokens: int) -> tuple[list[np.ndarray], int]:
        """The ids of the first lines, up to about so many tokens, and their characters."""
        ids, characters = self._encode(lines)
        n = max(1, int(np.searchsorted(np.cumsum([len(row) for row in ids]), tokens)))
        return ids[:n], int(characters[:n].sum())
