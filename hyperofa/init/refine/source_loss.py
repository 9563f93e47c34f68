"""What other rows for some source tokens are worth to the frozen source model, on text under its own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyperofa.data.given_text import PartedText
from hyperofa.init.refine.body import Body, next_tokens, padded
from hyperofa.init.refine.scores import cross_entropies
from hyperofa.init.refine.sentences import Draws, rare_first, tokenise
from hyperofa.model.families import final_softcap

if TYPE_CHECKING:
    from hyperofa.model import Source

_MOST = 5_000  # lines of a language
_LONGEST = 48  # tokens of a line
_BATCH = 24
_HELD = 240  # held-out lines, over all languages


class SourceLoss:
    """Lines under the source's tokenizer, and the frozen model's loss on them where some tokens have other rows.

    A decoder's loss is of the next token, in nats; under a tied head other rows are also scored. An encoder's is 1 - cosine of
    each state to the one with the true rows, about the states' mean.

    Attributes:
        unit: of the loss.
        scored: other rows are also scored as next tokens, wherever they occur: the head is tied.
        beside: what the loss of rows should count beside this one.
    """

    def __init__(
        self, text: PartedText, tokenizer: Any, body: Body, source: Source, primitives: np.ndarray | None, seed: int
    ) -> None:
        """Take text with its parts; with ``primitives`` (r, D) other rows are coordinates (k, r), else embeddings (k, D)."""
        self._text, self._tokenizer, self._body, self._seed = text, tokenizer, body, seed
        self._causal = source.family.objective == "causal"
        self.unit, self.beside = ("nats a token", 8.0) if self._causal else ("1 - cosine", 1.0)
        self._rows = source.input_embeddings
        self._head = source.output_embeddings
        self.scored = self._causal and self._head is None
        self._softcap = final_softcap(source.model.config)
        self._primitives = None if primitives is None else torch.from_numpy(np.ascontiguousarray(primitives))
        self._table: Tensor | None = None
        self._lines: list[np.ndarray] = []
        self._held: list[list[np.ndarray]] = []

    def holds(self, tokenizer: Any, size: int) -> np.ndarray:
        """(size,) bool: the tokens of a tokenizer that the text to learn from holds."""
        in_text = np.zeros(size, dtype=bool)
        for lines in self._text.learn.all_lines().values():
            for row in tokenise(tokenizer, lines, 10**6)[0]:
                in_text[row] = True
        return in_text

    def begin(self, learned: np.ndarray, held: np.ndarray) -> bool:
        """Prepare lines with tokens of ``learned`` (V,) bool, and kept-out ones with tokens of ``held``; False without any."""
        lines, groups = self._encoded(self._text.learn.all_lines(), learned, _MOST)
        known = self._text.choose.all_lines()
        held_lines, _ = self._encoded(known, held, max(1, _HELD // max(1, len(known))))
        if not lines or not held_lines:
            return False
        lengths, weights = np.array([len(row) for row in lines]), rare_first(lines, learned, 0.5)
        self._lines = lines
        self._draws = Draws(np.array(groups), lengths, weights, _BATCH, self._seed, smoothing=0.5)
        held_lines.sort(key=len)
        self._held = [held_lines[start : start + _BATCH] for start in range(0, len(held_lines), _BATCH)]
        return True

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within the block, losses can be asked for."""
        with self._body.frozen():
            if self._causal:
                head = self._rows if self._head is None else self._head
                self._table = head.to(self._body.device, self._body.dtype, copy=True)
            try:
                yield
            finally:
                self._table = None

    def batch(self, step: int) -> list[np.ndarray]:
        """The ids of the lines of a step, from 0."""
        return [self._lines[i] for i in self._draws.batch(step)]

    def held_out(self, held: np.ndarray, rows_of: Callable[[np.ndarray], Tensor]) -> float:
        """The mean loss on kept-out lines, where tokens of ``held`` (V,) bool have the rows that ``rows_of`` gives.

        Under a tied head these are all of ``held``: tokens that a line lacks are scored too.
        """
        losses = []
        with torch.no_grad():
            held_ids = np.flatnonzero(held) if self.scored else np.zeros(0, dtype=np.int64)
            rows = rows_of(held_ids) if self.scored else None
            for lines in self._held:
                ids = held_ids if self.scored else held_in(lines, held)
                losses.append(float(self.loss(lines, ids, rows_of(ids) if rows is None else rows)) * len(lines))
        return sum(losses) / sum(map(len, self._held))

    def loss(self, lines: list[np.ndarray], ids: np.ndarray, rows: Tensor) -> Tensor:
        """The loss, a scalar, where the tokens ``ids`` (k,) have ``rows`` (k, r), through which it has a gradient."""
        tokens, mask = padded(lines, self._body.device)
        new = rows.to(self._body.device).float()
        if self._primitives is not None:
            new = new @ self._primitives.to(new.device)
        places = torch.from_numpy(np.ascontiguousarray(ids)).to(new.device)
        true = self._true(tokens)
        # Where a token has no other row, the place that searchsorted gives is any.
        at = torch.searchsorted(places, tokens).clamp(max=max(0, len(places) - 1))
        inputs = torch.where((places[at] == tokens)[..., None], new[at], true) if len(places) else true
        return (
            self._next_token(tokens, mask, inputs, places, new)
            if self._causal
            else self._state_loss(mask, inputs, true)
        )

    def _true(self, tokens: Tensor) -> Tensor:
        return functional.embedding(tokens.to(self._rows.device), self._rows).to(self._body.device).float()

    def _next_token(self, tokens: Tensor, mask: Tensor, inputs: Tensor, places: Tensor, new: Tensor) -> Tensor:
        assert self._table is not None
        is_target, targets = next_tokens(tokens, mask)
        states = self._body.scored_states(inputs, mask, is_target)
        if self._head is not None:  # its rows stay
            places, new = places[:0], new[:0]
        with torch.no_grad():
            true = self._table[places]
            self._table[places] = new.to(self._table.dtype)
        total = cross_entropies(states, self._table, new, places, targets[is_target], softcap=self._softcap)
        with torch.no_grad():
            self._table[places] = true
        return total / max(1, int(is_target.sum()))

    def _state_loss(self, mask: Tensor, inputs: Tensor, true: Tensor) -> Tensor:
        real = mask.bool()
        with torch.no_grad():
            true_states = self._body.states(true, mask)[real]
        centre = true_states.mean(0)
        states = self._body.states(inputs, mask)[real]
        return (1 - functional.cosine_similarity(states - centre, true_states - centre, dim=-1)).mean()

    def _encoded(self, texts: dict[str, list[str]], among: np.ndarray, most: int) -> tuple[list[np.ndarray], list[int]]:
        """The ids of lines that hold tokens of ``among``, at most so many of a language, and the language's number of each."""
        rows: list[np.ndarray] = []
        groups: list[int] = []
        for number, lines in enumerate(texts.values()):
            ids, _ = tokenise(self._tokenizer, lines[: 2 * most], _LONGEST)
            matches = [row for row in ids if len(row) > 2 and among[row].any()][:most]
            rows += matches
            groups += [number] * len(matches)
        return rows, groups


def held_in(lines: list[np.ndarray], among: np.ndarray) -> np.ndarray:
    """The distinct tokens of the lines that ``among`` (V,) bool holds, ascending."""
    ids = np.unique(np.concatenate(lines))
    held_ids: np.ndarray = ids[among[ids]]
    return held_ids
