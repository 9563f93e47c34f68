"""Learning from sentences: under the new tokenizer a sentence's vector learns the one that the frozen source model gives it.

A translation's target is the source's vector of its side in the pivot language (multilingual distillation, arXiv 2004.09813,
with all but the rows frozen). Where the source itself knows the language, a sentence's target is also the source's vector of the
same sentence under its own tokenizer (as Token Distillation, arXiv 2505.20133, asks of states).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hyperofa.corpus.sentence.known import check_pivot, evenly, known_languages
from hyperofa.data.given_text import GivenText, PartedText
from hyperofa.init.refine.body import Body, padded, pooled
from hyperofa.init.refine.learned_rows import LearnedRows
from hyperofa.init.refine.sentences import Draws, digest_of, rare_first, tokenise, used_ids
from hyperofa.init.refine.settings import RefineConfig

log = logging.getLogger(__name__)

_MOST = 20_000  # sentences of a language, in each of both roles
_HELD = 500  # held-out sentences of each kind that a choice looks at, and 32 of a language at least
_BATCH = 64


class Item(NamedTuple):
    """A sentence of a language, and the text whose vector under the source's tokenizer is its target."""

    language: str
    text: str
    target: str
    own: bool


class SentenceVectors:
    """Sentences beside the source model's vectors of themselves or of their pivot side.

    Attributes:
        config: the settings, complete from ``begin`` on.
        known: languages that the source knows: their sentences' own vectors are targets.
        languages: sentences to learn from, per language.
    """

    name, unit = "sentences", "loss"

    def __init__(
        self,
        text: PartedText,
        tokenizers: tuple[Any, Any],
        body: Body,
        config: RefineConfig,
        seed: int,
        prompt: str = "",
    ) -> None:
        """Take text with its parts; ``tokenizers`` are the source's and the target's; settings are completed ones.

        ``prompt`` stands before every sentence, under both tokenizers.

        Raises:
            InputError: parallel text has no sentence in the pivot's language, or no translation of one.
        """
        if any(text.learn.parallel.texts.values()):
            check_pivot(text.learn.parallel.texts, config.pivot)
        self._source_tokenizer, self._target_tokenizer = tokenizers
        self._text, self._body, self.config, self._seed = text, body, config, seed
        self._prompt = prompt
        self.known = self._known_languages()
        self._held = self._items(text.choose, max(32, _HELD // max(1, len(text.choose.all_lines()))))
        self._choice: tuple[list[np.ndarray], list[np.ndarray], Tensor, np.ndarray] | None = None
        self._centre: Tensor | None = None
        self.languages: dict[str, int] = {}

    @property
    def can_choose(self) -> bool:
        """Whether there is held-out text to choose by."""
        return len(self._held) > 1

    def begin(self, learning: np.ndarray) -> np.ndarray:
        """Prepare what the steps draw; ``learning`` (V,) bool are the new tokens. Returns the tokens that occur, ascending."""
        items = self._items(self._text.learn, _MOST)
        ids, real = self._tokens(self._target_tokenizer, [item.text for item in items])
        names = sorted({(item.language, item.own) for item in items})
        groups = np.array([names.index((item.language, item.own)) for item in items])
        used = used_ids(ids)
        self.config = config = self.config.for_rows(int(learning[used].sum()))
        lengths = np.array([len(row) for row in ids])
        weights = rare_first(ids, learning, config.rare)
        assert config.batch_size is not None
        assert config.steps is not None
        self._draws = Draws(groups, lengths, weights, config.batch_size, self._seed, smoothing=config.smoothing)
        self._items_drawn, self._ids, self._real = items, ids, real
        drawn = np.unique(np.concatenate([self._draws.batch(step) for step in range(config.steps)]))
        pivots = dict.fromkeys(items[i].target for i in drawn if not items[i].own)
        self._places = {text: i for i, text in enumerate(pivots)}
        self._pivots = self._source_vectors(list(pivots))
        for item in items:
            self.languages[item.language] = self.languages.get(item.language, 0) + 1
        return used

    def digest(self) -> str:
        """SHA-256 of the tokens of both sides, of their languages, and of which languages the source knows."""
        targets = self._tokens(self._source_tokenizer, [item.target for item in self._items_drawn])
        known = np.frombuffer(" ".join(sorted(self.known)).encode(), np.uint8)
        return digest_of((*self._ids, *targets[0], self._draws.groups, known))

    def loss(self, rows: LearnedRows, _head: LearnedRows, step: int) -> Tensor:
        """The loss of the batch of ``step``; see :func:`sentence_loss`."""
        chosen = self._draws.batch(step)
        items = [self._items_drawn[i] for i in chosen]
        vectors = self._vectors(rows, [self._ids[i] for i in chosen], [self._real[i] for i in chosen])
        own = torch.tensor([item.own for item in items], device=vectors.device)
        parts = []
        if not bool(own.all()):
            answers = torch.tensor([self._places[i.target] for i in items if not i.own], device=vectors.device)
            parts.append(self._sentence_loss(vectors[~own], self._pivots, answers))
        if bool(own.any()):
            texts = list(dict.fromkeys(item.target for item in items if item.own))
            answers = torch.tensor([texts.index(i.target) for i in items if i.own], device=vectors.device)
            parts.append(self._sentence_loss(vectors[own], self._source_vectors(texts), answers))
        return torch.cat(parts).mean()

    def held_out(self, rows: LearnedRows, _head: LearnedRows) -> float:
        """The mean over languages and both kinds of target of the loss on held-out sentences; lower is better."""
        if self._choice is None:
            ids, real = self._tokens(self._target_tokenizer, [i.text for i in self._held])
            texts = list(dict.fromkeys(item.target for item in self._held))
            places = np.array([texts.index(item.target) for item in self._held])
            self._choice = ids, real, self._source_vectors(texts), places
        ids, real, targets, places = self._choice
        with torch.no_grad():
            order = np.argsort([len(row) for row in ids], kind="stable")
            batches = [
                self._vectors(rows, [ids[i] for i in part], [real[i] for i in part])
                for part in np.array_split(order, max(1, len(order) // _BATCH))
            ]
            vectors = torch.cat(batches)[torch.from_numpy(np.argsort(order)).to(batches[0].device)]
            means = []
            for own in (False, True):
                members = [i for i, item in enumerate(self._held) if item.own == own]
                if not members:
                    continue
                bank, answers = np.unique(places[members], return_inverse=True)
                each = self._sentence_loss(
                    vectors[members], targets[bank], torch.from_numpy(answers).to(targets.device)
                )
                names = [self._held[i].language for i in members]
                for language in sorted(set(names)):
                    means.append(float(each[[k for k, name in enumerate(names) if name == language]].mean()))  # noqa: PERF401
        return float(np.mean(means))

    def _sentence_loss(self, vectors: Tensor, targets: Tensor, answers: Tensor) -> Tensor:
        config = self.config
        centre = self._mean_vector()
        return sentence_loss(vectors - centre, targets - centre, answers, config.temperature, config.pull)

    def _vectors(self, rows: LearnedRows, ids: list[np.ndarray], real: list[np.ndarray]) -> Tensor:
        tensor, mask = padded(ids, self._body.device)
        counts, _ = padded(real, self._body.device)
        return pooled(self._body.states(rows(tensor), mask), counts)

    def _tokens(self, tokenizer: Any, texts: Sequence[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return tokenise(tokenizer, [self._prompt + text for text in texts], self.config.max_length)

    def _source_vectors(self, texts: Sequence[str]) -> Tensor:
        """The source model's vectors (n, D) float32 of texts under its own tokenizer."""
        ids, real = self._tokens(self._source_tokenizer, texts)
        if not ids:
            return torch.zeros((0, 1), device=self._body.device)
        order = np.argsort([len(row) for row in ids], kind="stable")
        batches = []
        for part in np.array_split(order, max(1, len(order) // _BATCH)):
            tensor, mask = padded([ids[i] for i in part], self._body.device)
            counts, _ = padded([real[i] for i in part], self._body.device)
            batches.append(pooled(self._body.source_states(tensor, mask), counts))
        return torch.cat(batches)[torch.from_numpy(np.argsort(order)).to(self._body.device)]

    def _mean_vector(self) -> Tensor:
        """The mean target, without which cosines say little: a model's vectors lie in a narrow cone."""
        if self._centre is None:
            targets = sorted({item.target for item in self._held})
            self._centre = self._source_vectors(targets).mean(0)
        return self._centre

    def _items(self, part: GivenText, most: int) -> list[Item]:
        """The sentences of a part with their targets, at most ``most`` of each language and kind."""
        pivot = part.parallel.texts.get(self.config.pivot, {})
        items: list[Item] = []
        for language, rows in sorted(part.parallel.texts.items()):
            pairs = [Item(language, text, pivot[n], own=False) for n, text in sorted(rows.items()) if n in pivot]
            items += evenly(pairs, most)
        paired = set(pivot.values())
        for language, lines in part.all_lines().items():
            if language in self.known:
                items += evenly([Item(language, line, line, own=True) for line in lines if line not in paired], most)
        return items

    def _known_languages(self) -> set[str]:
        """The languages whose sentences the source's own vectors may teach."""
        text, pivot, unknown_id = self._text.choose, self.config.pivot, self._source_tokenizer.unk_token_id

        def unknown(lines: Sequence[str]) -> float:
            ids = tokenise(self._source_tokenizer, lines, self.config.max_length)[0]
            return float((np.concatenate(ids) == unknown_id).mean())

        with self._body.frozen():
            lines = text.all_lines()
            decisions = known_languages(lines, text.parallel.texts, pivot, self._source_vectors, unknown)
        if decisions:
            known = ", ".join(f"{name} ({why})" for name, (is_known, why) in decisions.items() if is_known)
            log.info("the source's own vectors of a sentence are targets in: %s", known or "no language")
        return {name for name, (is_known, _) in decisions.items() if is_known} | ({pivot} & {*text.lines})


def sentence_loss(vectors: Tensor, targets: Tensor, answers: Tensor, temperature: float, pull: float) -> Tensor:
    """For each of ``vectors`` (B, D), softmax cross-entropy over all ``targets`` (n, D) plus ``pull`` times its distance, (B,).

    ``answers`` (B,) say which target is a vector's own. Both are taken about the mean target. The softmax looks at cosines, as
    retrieval does; the distance is ``1 - cos`` plus a tenth of the squared error over the targets' variance, so that later
    blocks see states as long as those they know.
    """
    scores = functional.normalize(vectors, dim=-1) @ functional.normalize(targets, dim=-1).T
    contrast = functional.cross_entropy(scores / temperature, answers, reduction="none")
    near = 1 - scores.gather(1, answers[:, None])[:, 0]
    error = (vectors - targets[answers]).square().sum(-1) / targets.square().sum(-1).mean().clamp(min=1e-12)
    return contrast + pull * (near + 0.1 * error)
