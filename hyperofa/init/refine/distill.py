"""``--refine distill``: states under the new tokenizer learn those of the frozen source model under its own, span by span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyperofa.init.refine.body import Body, padded
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.sentences import Draws, digest_of, encode, used_ids
from hyperofa.init.refine.settings import RefineConfig
from hyperofa_eval.settings.fields import SettingError


class Distill:
    """Texts under both tokenizers, and the spans that both cut alike.

    A span ends where a token ends in both; it holds the tokens since the last such place. Spans with a token that the source does
    not know are left out: there the source model has nothing to teach.

    Attributes:
        used: (u,) the target tokens that occur.
        languages: texts per language that have a span.
    """

    def __init__(
        self,
        texts: Mapping[str, Sequence[str]],
        source_tokenizer: Any,
        target_tokenizer: Any,
        config: RefineConfig,
        seed: int,
    ) -> None:
        """Tokenise the texts of each language.

        Raises:
            InputError: no text has a span that the source tokenizer can spell.
        """
        self._config = config
        self._source: list[tuple[np.ndarray, np.ndarray]] = []  # (ids, span of each token or -1)
        self._target: list[tuple[np.ndarray, np.ndarray]] = []
        groups: list[int] = []
        self.languages: dict[str, int] = {}
        unknown = source_tokenizer.unk_token_id
        for language in sorted(texts):
            lines = [line for line in texts[language] if line.strip()]
            if not lines:
                continue
            ours, theirs = (_encode(one, lines, config.max_length) for one in (target_tokenizer, source_tokenizer))
            before = len(groups)
            for (target_ids, target_ends), (source_ids, source_ends) in zip(ours, theirs, strict=True):
                target_spans, source_spans = common_spans(target_ends, source_ends, source_ids == unknown)
                if target_spans.max(initial=-1) >= 0:
                    self._target.append((target_ids, target_spans))
                    self._source.append((source_ids, source_spans))
                    groups.append(len(self.languages))
            if len(groups) > before:
                self.languages[language] = len(groups) - before
        if not groups:
            raise SettingError("text", "the source tokenizer can spell nothing of it")
        self.used = used_ids([ids for ids, _ in self._target])
        lengths = np.array([len(ids) for ids, _ in self._target])
        self._draws = Draws(np.array(groups), lengths, config.batch_size, seed, smoothing=config.smoothing)

    def digest(self) -> str:
        """SHA-256 of the texts' tokens under both tokenizers, of their spans, and of their languages."""
        pairs = (array for pair in (*self._target, *self._source) for array in pair)
        return digest_of((*pairs, self._draws.groups))

    def prepare(self, body: Body) -> None:
        """Nothing: the source model's states are made batch by batch, since all of them would fill the memory."""

    def loss(self, rows: LearnedRows, body: Body, step: int) -> Tensor:
        """The loss of the batch of ``step``; see :func:`span_loss`."""
        chosen = self._draws.batch(step)
        ids, mask = padded([self._source[i][0] for i in chosen], body.device)
        wanted = span_means(body.source_states(ids, mask), [self._source[i][1] for i in chosen])
        ids, mask = padded([self._target[i][0] for i in chosen], body.device)
        return span_loss(span_means(body.states(rows(ids), mask), [self._target[i][1] for i in chosen]), wanted)


def _encode(tokenizer: Any, lines: list[str], max_length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ids, end of each token in the text) of every line; the end is 0 for specials."""
    encoded = encode(tokenizer, lines, max_length, return_offsets_mapping=True)
    found = []
    columns = (encoded[name] for name in ("input_ids", "offset_mapping", "special_tokens_mask"))
    for ids, offsets, special in zip(*columns, strict=True):
        ends = np.array([end for _, end in offsets], dtype=np.int64)
        found.append((np.asarray(ids, dtype=np.int64), np.where(np.asarray(special, dtype=bool), 0, ends)))
    return found


def common_spans(target: np.ndarray, source: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The span of each token under both tokenizers, (L_t,) and (L_s,) int64; -1 where it is in none.

    Args:
        target: (L_t,) where each token ends in the text; 0 for specials.
        source: (L_s,) likewise.
        unknown: (L_s,) bool, tokens that the source does not know.
    """
    ends = np.intersect1d(target[target > 0], source[source > 0])
    if not len(ends):
        return np.full(len(target), -1), np.full(len(source), -1)
    spans = []
    for own in (target, source):
        span = np.searchsorted(ends, own, side="left")
        span[(own == 0) | (span == len(ends))] = -1
        spans.append(span)
    bad = np.unique(spans[1][unknown & (spans[1] >= 0)])
    good = np.cumsum(~np.isin(np.arange(len(ends)), bad)) - 1  # spans that stay are numbered anew, without gaps
    for span in spans:
        span[:] = np.where((span >= 0) & ~np.isin(span, bad), good[np.maximum(span, 0)], -1)
    return spans[0], spans[1]


def span_means(states: Tensor, spans: Sequence[np.ndarray]) -> Tensor:
    """The mean state (n, D) of every span of a batch, of states (B, L, D); spans in order of sentence and number."""
    sizes = [int(span.max(initial=-1)) + 1 for span in spans]
    first = np.concatenate([[0], np.cumsum(sizes)])
    sentence = np.concatenate([np.full(len(span), i) for i, span in enumerate(spans)])
    position = np.concatenate([np.arange(len(span)) for span in spans])
    number = np.concatenate(list(spans))
    inside = number >= 0
    owner = torch.from_numpy(first[sentence[inside]] + number[inside]).to(states.device)
    where = [torch.from_numpy(index[inside]).to(states.device) for index in (sentence, position)]
    total = states.new_zeros(int(first[-1]), states.shape[-1]).index_add(0, owner, states[where[0], where[1]])
    return total / torch.bincount(owner, minlength=int(first[-1])).clamp(min=1)[:, None]


def span_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """``1 - cos`` after the mean state is taken away, plus the squared error over the variance; both (n, D), mean over spans."""
    centre = wanted.mean(dim=0)
    cosine = functional.cosine_similarity(found - centre, wanted - centre, dim=-1).mean()
    error = (found - wanted).square().sum(-1).mean() / (wanted - centre).square().sum(-1).mean().clamp(min=1e-12)
    return 1 - cosine + error
