"""The training loop: read a step's micro-batches, sum their losses over all ranks, update, log, save, stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hyperofa.base.modeltypes import OLD_ROWS_STAY
from hyperofa.corpus.batches import Batch, Batches, rank_loader
from hyperofa.errors import EXIT_OK, EXIT_TERMINATED, HyperofaError
from hyperofa.init.provenance import new_rows
from hyperofa.train.checkpoint.rundir import locked_run, open_run, record_engine
from hyperofa.train.checkpoint.saving import Saver
from hyperofa.train.engine.engine import Engine
from hyperofa.train.evaluation import Evaluator
from hyperofa.train.loading import check_that_something_learns, load_inputs
from hyperofa.train.metrics import METRICS_FILE, MetricsWriter, flatten
from hyperofa.train.planning.cost import shape_of
from hyperofa_eval.base.console import progress_bar

if TYPE_CHECKING:
    from hyperofa.train.config import Phase, TrainConfig
    from hyperofa.train.signals import StopRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepResult:
    """What all ranks know after an optimizer step."""

    loss: float
    """Global loss sum over global target count."""
    targets: int
    tokens: int
    """Read by all ranks."""
    stop: bool
    """Whether any rank was asked to stop."""
    loss_by_language: dict[str, float]
    memory: dict[str, int]
    """Peak bytes of the rank that took most, by kind."""


def train(config: TrainConfig, stop: StopRequest) -> int:
    """Run, or resume, one training run that is not finished; every rank calls this. Returns the exit code.

    Raises:
        HyperofaError: see :mod:`hyperofa.train.checkpoint.rundir` and :mod:`hyperofa.train.checkpoint.saving`; or too many
            skipped steps.
    """
    engine = Engine(config)
    try:
        with locked_run(config, engine):
            return _train(config, stop, engine)
    except RuntimeError as error:  # what a collective raises when another rank is gone
        explained = engine.explain(error)
        if explained is None:
            raise
        raise explained from error


def _train(config: TrainConfig, stop: StopRequest, engine: Engine) -> int:
    run_id = open_run(config, engine)
    model, batches = load_inputs(config)
    saver = Saver(config, engine, run_id, batches.corpus.fingerprint)
    resumed = saver.find()
    from hyperofa.model.phases import elements_of_the_source, parameter_groups, part_of

    groups = parameter_groups(model, weight_decay=config.weight_decay)
    check_that_something_learns(config, {part_of(group["name"]) for group in groups})
    engine.prepare(model, groups)
    if any(config.shares(step) for step in (0, config.steps - 1)):  # from the first step on, or after a phase
        engine.share_updates(
            elements_of_the_source(engine.module.pretrained, torch.from_numpy(~new_rows(config.model)))
        )
    start = saver.load(*resumed) if resumed else 0
    if engine.is_main:
        record_engine(config, run_id, engine.describe(), resumed_from=start, steps=config.steps)
        log.info(
            "%s step %d of %d: ZeRO-%d on %d %s processes, %d x %d sequences a step",
            "resuming after" if resumed else "starting at",
            start,
            config.steps,
            engine.zero_stage,
            engine.world_size,
            engine.device.type,
            config.global_batch_size,
            batches.corpus.length,
        )
    return _Loop(config, engine, saver, stop, batches).run(start)


class _Loop:
    """The state of one launch's loop over optimizer steps."""

    def __init__(self, config: TrainConfig, engine: Engine, saver: Saver, stop: StopRequest, batches: Batches) -> None:
        self.config, self.engine, self.saver, self.stop, self.batches = config, engine, saver, stop, batches
        self.languages = [language.name for language in batches.corpus.languages]
        self.skipped_in_a_row = 0
        flops = shape_of(engine.module.pretrained, config.share_scored).flops_per_token(batches.corpus.length)
        peak = engine.peak_flops()
        self.mfu_per_speed = None if peak is None else flops / (peak * engine.world_size)
        self.evaluator = Evaluator(config, engine, stop, batches.corpus.replayed)
        self.phase: Phase = "all"
        self.evaluation_missing = False
        self.tokens = 0
        """Read since the run began (on rank 0, which writes it down)."""

    def run(self, start: int) -> int:
        """Train from step ``start`` to this launch's last; returns the exit code."""
        config, engine = self.config, self.engine
        metrics = MetricsWriter(config.run / METRICS_FILE, resume_step=start) if engine.is_main else None
        per_step = config.global_batch_size * self.batches.corpus.length
        self.tokens = int(metrics.resumed_row.get("tokens", start * per_step)) if metrics is not None else 0
        engine.start_trackers(config.name or config.run.name, vars(config))
        step, stopping = start, self._make_up_evaluation(start, metrics)
        if not stopping:
            step, stopping = self._steps(start, metrics)
        if metrics is not None:
            metrics.close()
        finishing = step == config.steps and not self.evaluation_missing
        if finishing:
            self._say("trained model: %s", self.saver.write_final())
        elif stopping:
            self._say("stopped by signal after step %d, saved; the same command goes on", step)
        engine.close()
        return EXIT_TERMINATED if stopping and not finishing else EXIT_OK

    def _steps(self, start: int, metrics: MetricsWriter | None) -> tuple[int, bool]:
        """The steps after ``start``; returns the last one, which is saved, and whether a signal ended them."""
        config, engine, step, stopping = self.config, self.engine, start, False
        engine.train_mode()
        with progress_bar("training", config.last_step) as advance:
            advance(start)
            began = time.perf_counter()  # reading the data is part of a step, scoring and saving are not
            for step, batches in enumerate(self._micro_batches(start), start + 1):
                skipped = engine.skipped_steps
                result = self._step(step, batches)
                skipped = engine.skipped_steps - skipped
                row = self._row(step, result, time.perf_counter() - began, skipped)
                stopping = self._evaluate(step, row, stopping=result.stop)
                if metrics is not None:
                    metrics.write(row)
                engine.track(flatten(row), step)
                advance(note=f"loss {row['loss']:.3f}")
                self._count_skipped(step, skipped)
                if stopping or step % config.save_every == 0 or step == config.last_step:
                    if metrics is not None:
                        metrics.sync()
                    self._save(step)
                    stopping = stopping or self.engine.any(self.stop.requested)
                if stopping:
                    break
                began = time.perf_counter()
        return step, stopping

    def _evaluate(self, step: int, row: dict[str, Any], *, stopping: bool) -> bool:
        """Score the model if that is due, into ``row`` on rank 0; returns whether to stop, which may be asked meanwhile."""
        if not self.evaluator.due(step):
            return stopping
        scores = None if stopping else self.evaluator.run(step)
        if scores:
            row["evaluation"] = scores
        self.engine.train_mode()
        self.evaluation_missing = self.engine.any(self.engine.is_main and scores is None)
        return stopping or self.engine.any(self.stop.requested)

    def _make_up_evaluation(self, step: int, metrics: MetricsWriter | None) -> bool:
        """Score the model of the step that was resumed if its row has no scores; returns whether to stop."""
        missing = metrics is not None and bool(metrics.resumed_row) and not metrics.resumed_row.get("evaluation")
        if not self.evaluator.due(step) or not self.engine.any(missing):
            return False
        made_up: dict[str, Any] = {}
        stopping = self._evaluate(step, made_up, stopping=False)
        if metrics is not None:
            metrics.amend_resumed_row(made_up)
        self.engine.track(flatten(made_up), step)
        return stopping

    def _micro_batches(self, start: int) -> Iterable[list[Batch]]:
        config, engine = self.config, self.engine
        return rank_loader(
            self.batches,
            engine.rank,
            engine.world_size,
            config.micro_batch_size,
            start=start,
            stop=config.last_step,
            workers=config.workers,
            pin_memory=engine.device.type == "cuda",
        )

    def _step(self, step: int, batches: Sequence[Batch]) -> StepResult:
        """One optimizer step: forward and backward over this rank's micro-batches, one update, one reduction."""
        engine = self.engine
        self._enter_phase(step)
        self._set_rates(step)
        counted = (sum(batch.n_targets for batch in batches), sum(batch.tokens for batch in batches))
        targets, tokens = map(int, engine.sum(counted))
        loss_sum = torch.zeros((), dtype=torch.float64, device=engine.device)
        by_language = torch.zeros(2, len(self.languages), dtype=torch.float64, device=engine.device)
        for batch in batches:
            output = engine.forward(batch.inputs)
            engine.backward(output.loss_sum, max(targets, 1))
            engine.end_micro_batch()
            loss_sum += output.loss_sum.detach()
            where = batch.languages.to(engine.device)
            by_language[0].index_add_(0, where, output.row_loss_sums.double())
            by_language[1].index_add_(0, where, output.row_targets.double())
        memory, ranks = engine.memory(), engine.world_size
        places = [0.0] * (len(memory) * ranks)  # one for each rank, so that the sum gathers them
        places[engine.rank :: ranks] = map(float, memory.values())
        stop, total, *rest = engine.sum(
            [float(self.stop.requested), float(loss_sum), *by_language.flatten().tolist(), *places]
        )
        n_languages = len(self.languages)
        sums, counts, peaks = rest[:n_languages], rest[n_languages : 2 * n_languages], rest[2 * n_languages :]
        return StepResult(
            loss=total / max(targets, 1),
            targets=targets,
            tokens=tokens,
            stop=stop > 0,
            loss_by_language={
                name: value / count for name, value, count in zip(self.languages, sums, counts, strict=True) if count
            },
            memory={name: int(max(peaks[i * ranks : (i + 1) * ranks])) for i, name in enumerate(memory)},
        )

    def _set_rates(self, step: int) -> None:
        from hyperofa.model.phases import frozen_parts, part_of

        frozen = frozen_parts(self.phase)

        def rate(group: str) -> float:
            part = part_of(group)
            return 0.0 if part in frozen else self.config.part_rate(part, step - 1)

        self.engine.set_learning_rates(rate, self.config.shares(step - 1))

    def _enter_phase(self, step: int) -> None:
        phase = self.config.phase_of(step - 1)
        if phase != self.phase:
            rows = torch.from_numpy(new_rows(self.config.model)) if phase in OLD_ROWS_STAY else None
            self.engine.module.set_phase(phase, rows)
            self.phase = phase

    def _row(self, step: int, result: StepResult, seconds: float, skipped: int) -> dict[str, Any]:
        """The step's line in ``metrics.jsonl``."""
        tokens = result.tokens
        self.tokens += tokens
        unit = "sentences" if self.config.objective == "sentence" else "predicted_tokens"
        return {
            "step": step,
            "loss": result.loss,
            "learning_rate": self.config.rate(step - 1),
            "gradient_norm": self.engine.gradient_norm(),
            unit: result.targets,
            "tokens": self.tokens,
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            **({} if self.mfu_per_speed is None else {"mfu": self.mfu_per_speed * tokens / seconds}),
            "skipped": skipped,
            **result.memory,
            "loss_by_language": result.loss_by_language,
        }

    def _count_skipped(self, step: int, skipped: int) -> None:
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if skipped:
            self._say("step %d skipped: its gradient was not finite (%d in a row)", step, self.skipped_in_a_row)
        if self.skipped_in_a_row >= self.config.max_skipped:
            what = f"{self.skipped_in_a_row} steps in a row without a finite gradient, the last of them {step}"
            todo = "lower learning_rate or use precision bf16 or fp32; the last checkpoint is untouched"
            raise HyperofaError(what, where=self.config.run, todo=todo)

    def _save(self, step: int) -> None:
        began = time.perf_counter()
        folder = self.saver.save(step)
        self._say("saved %s in %.1f s", folder.name, time.perf_counter() - began)

    def _say(self, message: str, *values: object) -> None:
        if self.engine.is_main:
            log.info(message, *values)
