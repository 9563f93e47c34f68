"""The stage of ``hyperofa init`` in which new rows learn: from what, which rows may move, and what judges methods before it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hyperofa.base.device import device_named
from hyperofa.base.rows import RowTable, write_rows
from hyperofa.corpus.sentence.known import check_pivot
from hyperofa.data.given_text import PartedText
from hyperofa.errors import InputError
from hyperofa.init import provenance as origin
from hyperofa.init.kept_work import SavedState, digest
from hyperofa.init.methods.means import mean_of_pieces
from hyperofa.init.new_rows import ExtendedMatrix, extend_bias, extend_rows
from hyperofa.init.problem import subword_vectors
from hyperofa.init.refine.body import Body
from hyperofa.init.refine.learn import Course, Objective, learn
from hyperofa.init.refine.learned_rows import LearnedRows, Start
from hyperofa.init.refine.own_loss import HeadFacts, OwnLoss
from hyperofa.init.refine.sentence_vectors import SentenceVectors
from hyperofa.init.refine.settings import RefineConfig
from hyperofa.init.refine.source_loss import SourceLoss
from hyperofa.model.families import final_softcap

if TYPE_CHECKING:
    from hyperofa.init.factorize import Factorization
    from hyperofa.init.problem import Problem
    from hyperofa.model import Source

log = logging.getLogger(__name__)

Matrix = tuple[ExtendedMatrix, "Problem"]


class Refinement:
    """How new rows of a source learn from a text: the objective that fits the source, or the one that was asked for.

    A bare encoder's states are what it is used for, so its sentences' vectors are what rows learn. A model with a trained head
    has a loss of its own.
    """

    def __init__(self, kind: str, config: RefineConfig, source: Source, text: PartedText, prompt: str = "") -> None:
        """Check the settings against the source and the text, before any work is done; ``prompt`` begins every sentence.

        Raises:
            InputError: the source has no such block, parallel text has no translations of the pivot, or ``sentences`` is asked
                of a decoder with its head: its sentence vectors were never trained, and under them the head's rows would go.
        """
        bare = source.head_is_new
        if kind == "sentences" and source.family.objective == "causal" and not bare:
            what = "the source predicts the next token, and its sentence vectors were never trained"
            raise InputError(
                what, where="--refine sentences", todo="leave --refine out: rows learn by the source's own loss"
            )
        self.kind = ("sentences" if bare else "tokens") if kind == "auto" else kind
        self.body = Body(source, config.layer, device_named(config.device, "refinement"))
        config = config.completed(self.kind)
        self.config = dataclasses.replace(config, max_length=min(config.max_length, self.body.longest))
        self.source, self.text, self.prompt = source, text, prompt
        if self.kind == "sentences" and any(text.learn.parallel.texts.values()):
            check_pivot(text.learn.parallel.texts, config.pivot)

    def digest(self) -> str:
        """SHA-256 of what a method learns through and is judged by: the objective, and the text."""
        names = ("max_length", "layer", "temperature", "pull", "pivot", "device")
        config = [getattr(self.config, name) for name in names] + ([self.prompt] if self.prompt else [])
        parts = (self.text.learn, self.text.choose)
        facts = [self.kind, config, *([part.all_lines(), part.parallel.texts] for part in parts)]
        return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogatepass")).hexdigest()


class Learning:
    """The learning of one initialisation: its objective, and the rows that may move."""

    def __init__(
        self,
        refinement: Refinement,
        tokenizers: tuple[Any, Any],
        source_rows: int,
        provenance: origin.Provenance,
        seed: int,
    ) -> None:
        """Take the source's and the target's tokenizer, and where each target row comes from."""
        self._refinement, self._provenance, self._seed, self._tokenizers = refinement, provenance, seed, tokenizers
        self._body, source = refinement.body, refinement.source
        self.movable = np.isin(provenance.code, (origin.PREDICTED, origin.DRAWN))
        self._objective: SentenceVectors | OwnLoss
        text, config = refinement.text, refinement.config
        if refinement.kind == "sentences":
            self._objective = SentenceVectors(text, tokenizers, self._body, config, seed, refinement.prompt)
        else:
            target = tokenizers[1]
            bias = extend_bias(source, provenance, target, source_rows)
            causal = source.family.objective == "causal"
            facts = HeadFacts(
                causal=causal,
                bias=None if bias is None else torch.from_numpy(bias).to(self._body.device),
                softcap=final_softcap(source.model.config),
                scored=torch.ones(len(provenance.code), dtype=torch.bool),
                specials=torch.tensor(sorted(target.all_special_ids)),
                mask_id=0 if causal else int(target.mask_token_id),
            )
            self._objective = OwnLoss(text, target, self._body, config, seed, facts)

    @property
    def possible(self) -> bool:
        """Whether there is held-out text to choose by; without it nothing is learned, since nothing would tell harm."""
        if self._objective.can_choose:
            return True
        log.warning(
            "new rows do not learn: the text has no lines to keep out that could tell harm; give some ten or more"
        )
        return False

    def judge(self, problem: Problem, factors: Factorization) -> Callable[[np.ndarray], float]:
        """What a method may try its rows by: rows (m, r) of ``predict_ids`` to the figure on held-out text; lower is better.

        The other new rows are as they will be. An untied head scores with the source's rows, for the source's tokens alone.
        """
        predicted = np.flatnonzero(self._provenance.code == origin.PREDICTED)
        predicted_rows = np.zeros((len(predicted), problem.rows.shape[1]), dtype=np.float32)
        if len(other_ids := np.setdiff1d(predicted, problem.predict_ids)):
            predicted_rows[np.searchsorted(predicted, other_ids)] = mean_of_pieces(problem, other_ids)
        start = self._start(extend_rows(problem, self._provenance, predicted_rows, 0), factors, problem)
        source, no_ids = self._refinement.source, np.zeros(0, dtype=np.int64)

        def judged(rows: np.ndarray) -> float:
            all_rows = start.rows.replaced(problem.predict_ids, rows)
            objective = self._objective
            trial = LearnedRows(dataclasses.replace(start, rows=all_rows), no_ids, sparse=True).to(self._body.device)
            head = trial
            if isinstance(objective, OwnLoss) and source.output_embeddings is not None:
                copied = self._provenance.source_id >= 0
                ids = np.flatnonzero(copied)
                scored = torch.zeros(
                    (len(copied), source.output_embeddings.shape[1]), dtype=source.output_embeddings.dtype
                )
                write_rows(scored, ids, RowTable(source.output_embeddings).take(self._provenance.source_id[ids]))
                scale = np.zeros(scored.shape[1], dtype=np.float32)
                plain = dataclasses.replace(start, rows=RowTable(scored), primitives=None, scale=scale)
                head = LearnedRows(plain, no_ids, sparse=True).to(self._body.device)
                objective = objective.scoring_only(torch.from_numpy(copied))
            with self._body.frozen():
                return objective.held_out(trial, head)

        return judged

    def see(self, factors: Factorization) -> None:
        """Take the vectors that rows learn from the source with its rows as the factorisation keeps them."""
        self._body.reduce(factors.primitives)

    def source_loss(self, factors: Factorization) -> SourceLoss:
        """The source model on the text that rows learn from, under its own tokenizer."""
        tokenizer, body = self._tokenizers[0], self._body
        text, source = self._refinement.text, self._refinement.source
        return SourceLoss(text, tokenizer, body, source, factors.primitives, self._seed)

    def learn(self, matrices: list[Matrix], work: Path | None) -> tuple[list[Matrix], dict[str, Any]]:
        """The matrices with learned rows, and the record for ``init.json``; copied rows and specials stay.

        Raises:
            HyperofaError: the loss became NaN or infinite.
        """
        began = time.monotonic()
        objective = self._objective
        starts = [self._start(extended.rows, extended.factors, problem) for extended, problem in matrices]
        if objective.name == "sentences":
            starts = starts[:1]
        with self._body.frozen():
            used = objective.begin(self.movable)
            config = objective.config
            modules = [
                LearnedRows(start, used, sparse=objective.name == "sentences", longest=config.longest).to(
                    self._body.device
                )
                for start in starts
            ]
            shared = bool(config.shared_rate) and len(starts[0].predicted_ids) > 0
            for module in modules:
                module.shared.requires_grad_(shared and module is modules[0])
            key = self._key(starts, objective) if work else ""
            course = learn(modules[0], modules[-1], objective, SavedState(work and work / "refine", "refine", key))
        record = self._record(course, len(modules[0].learned_ids))
        log.info("%d rows learned in %.1f s", len(modules[0].learned_ids), time.monotonic() - began)
        if course.best[0] == 0:
            return matrices, record
        for i, (module, start) in enumerate(zip(modules, starts, strict=True)):
            extended, problem = matrices[i]
            matrices[i] = dataclasses.replace(extended, rows=module.refined(start)), problem
        return matrices, record

    def _start(self, rows: RowTable, factors: Factorization, problem: Problem) -> Start:
        predicted = np.flatnonzero((self._provenance.code == origin.PREDICTED) & (self._provenance.n_words > 0))
        coordinates = factors.coordinates
        sample = coordinates[:: max(1, len(coordinates) // 4096)]
        embedded = factors.embed(sample)
        return Start(
            rows=rows,
            primitives=factors.primitives,
            movable=self.movable,
            scale=coordinates.std(axis=0),
            length=float(np.linalg.norm(embedded, axis=1).mean()),
            predicted_ids=predicted,
            predicted_vectors=subword_vectors(problem.target_words, predicted, problem.vectors, power=1.0),
        )

    def _record(self, course: Course, learned: int) -> dict[str, Any]:
        step, share, figure = course.best
        objective = self._objective
        record = dataclasses.asdict(objective.config) | {
            "objective": objective.name,
            "block": self._body.layer if objective.name == "sentences" else None,
            "numbers": str(self._body.dtype).removeprefix("torch."),
            "texts": objective.languages,
            "tokens_learned": learned,
            "steps_done": len(course.losses),
            "interrupted": course.interrupted,
            "held_out": {
                "unit": objective.unit,
                "start": round(course.looks[0][2], 5),
                "chosen": round(figure, 5),
                "looks": [[step, share, round(figure, 5)] for step, share, figure in course.looks],
            },
            "chosen_step": step,
            "chosen_share": share,
            "loss_first": _mean(course.losses[:20]),
            "loss_last": _mean(course.losses[-20:]),
        }
        if isinstance(objective, SentenceVectors):
            record["known_languages"] = sorted(objective.known)
        return record

    def _key(self, starts: list[Start], objective: Objective) -> str:
        """SHA-256 of all that decides the learning: only a state with this key is taken over."""
        refinement = self._refinement
        config = dataclasses.asdict(objective.config)
        facts = json.dumps([refinement.digest(), config, self._seed, objective.digest(), self._body.digest()])
        values = (getattr(start, f.name) for start in starts for f in dataclasses.fields(start))
        parts = (value if value is None or isinstance(value, RowTable) else np.asarray(value) for value in values)
        return hashlib.sha256(f"{facts}{digest(*parts)}".encode()).hexdigest()


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
