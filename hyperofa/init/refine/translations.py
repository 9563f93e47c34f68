"""``--refine parallel``: a translation's pooled state learns to be the frozen source model's of the pivot's side."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyperofa.data.parallel import ParallelText
from hyperofa.init.refine.body import Body, padded, pooled
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.sentences import Draws, digest_of, tokenise, used_ids
from hyperofa.init.refine.settings import RefineConfig
from hyperofa_eval.base.console import progress_bar
from hyperofa_eval.settings.fields import SettingError


def check_pivot(text: ParallelText, pivot: str) -> None:
    """Refuse, as :class:`InputError`, text without the pivot's language or without translations of it."""
    known = text.texts.get(pivot, {})
    if not known:
        what = f"no text in {pivot}, the language of the pivot"
        raise SettingError("parallel", what, todo=f"there: {', '.join(sorted(text.texts))}")
    if not any(known.keys() & lines.keys() for language, lines in text.texts.items() if language != pivot):
        raise SettingError("parallel", f"nothing is a translation of a sentence in {pivot}")


class Parallel:
    """Sentences of all languages beside the source model's vectors of their pivot side.

    The pivot's own sentences are among them: under the new tokenizer they too are cut anew.

    Attributes:
        used: (u,) the target tokens that occur.
        languages: sentences per language.
    """

    def __init__(
        self, text: ParallelText, source_tokenizer: Any, target_tokenizer: Any, config: RefineConfig, seed: int
    ) -> None:
        """Tokenise both sides of a text that passed :func:`check_pivot`."""
        pivot = text.texts[config.pivot]
        # Each sentence once: twins would be false negatives.
        sentences = list(dict.fromkeys(pivot[number] for number in sorted(pivot)))
        place = {sentence: i for i, sentence in enumerate(sentences)}
        texts: list[str] = []
        answers: list[int] = []
        groups: list[int] = []
        self.languages: dict[str, int] = {}
        for language in sorted(text.texts):
            mine = [(t, place[pivot[n]]) for n, t in sorted(text.texts[language].items()) if n in pivot]
            texts += [t for t, _ in mine]
            answers += [answer for _, answer in mine]
            groups += [len(self.languages)] * len(mine)
            if mine:
                self.languages[language] = len(mine)
        self._config = config
        self._pivot_ids, self._pivot_real = tokenise(source_tokenizer, sentences, config.max_length)
        self._ids, self._real = tokenise(target_tokenizer, texts, config.max_length)
        self._answers = np.array(answers)
        self.used = used_ids(self._ids)
        lengths = np.array([len(row) for row in self._ids])
        self._draws = Draws(np.array(groups), lengths, config.batch_size, seed, smoothing=config.smoothing)
        self._targets: Tensor | None = None

    def digest(self) -> str:
        """SHA-256 of both sides' tokens, of which sentence belongs to which, and of their languages."""
        sides = (self._pivot_ids, self._pivot_real, self._ids, self._real, [self._answers, self._draws.groups])
        return digest_of(array for side in sides for array in side)

    def prepare(self, body: Body) -> None:
        """Compute the source model's vectors of the pivot's sentences, (n, D)."""
        order = np.argsort([len(row) for row in self._pivot_ids], kind="stable")
        found: list[Tensor] = []
        with progress_bar("encoding the pivot's side", len(order)) as advance:
            for start in range(0, len(order), 64):
                some = order[start : start + 64]
                ids, mask = padded([self._pivot_ids[i] for i in some], body.device)
                real, _ = padded([self._pivot_real[i] for i in some], body.device)
                found.append(pooled(body.source_states(ids, mask), real))
                advance(len(some))
        stacked = torch.cat(found)
        self._targets = torch.empty_like(stacked)
        self._targets[torch.from_numpy(order).to(body.device)] = stacked

    def loss(self, rows: LearnedRows, body: Body, step: int) -> Tensor:
        """The loss of the batch of ``step``; see :func:`parallel_loss`."""
        assert self._targets is not None
        chosen = self._draws.batch(step)
        ids, mask = padded([self._ids[i] for i in chosen], body.device)
        real, _ = padded([self._real[i] for i in chosen], body.device)
        vectors = pooled(body.states(rows(ids), mask), real)
        answers = torch.from_numpy(self._answers[chosen]).to(body.device)
        config = self._config
        return parallel_loss(vectors, self._targets, answers, temperature=config.temperature, pull=config.pull)


def parallel_loss(vectors: Tensor, targets: Tensor, answers: Tensor, *, temperature: float, pull: float) -> Tensor:
    """Softmax cross-entropy of each of ``vectors`` (B, D) over all pivot sentences, plus ``pull`` times their distance.

    ``targets`` (n, D) are the pivot's vectors, ``answers`` (B,) which one belongs to which. They are frozen, so all of them
    can be negatives at the price of one product. Both parts look at cosines, as retrieval does; the distance is ``1 - cos``
    plus the squared difference in length over the squared mean length, so that later blocks see states as long as those
    they know.
    """
    unit, theirs = functional.normalize(vectors, dim=-1), functional.normalize(targets, dim=-1)
    scores = unit @ theirs.T
    apart = functional.cross_entropy(scores / temperature, answers)
    near = 1 - scores.gather(1, answers[:, None]).mean()
    lengths = targets.norm(dim=-1)
    longer = ((vectors.norm(dim=-1) - lengths[answers]) / lengths.mean()).square().mean()
    return apart + pull * (near + longer)
