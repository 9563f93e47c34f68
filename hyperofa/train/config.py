"""The settings of a training run: frozen dataclasses, filled from YAML and ``key=value`` words, checked when built."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from hyperofa.base.modeltypes import OLD_ROWS_STAY, PARTS, Part, Phase, RatedPart, TiedGradient
from hyperofa.errors import InputError
from hyperofa_eval.settings.config import to_plain
from hyperofa_eval.settings.evaluation import NumberFormat, TaskSettings
from hyperofa_eval.settings.fields import Range, SettingError, Settings, about, default_of, place, setting

Schedule = Literal["linear", "cosine", "wsd", "constant"]
Precision = Literal["fp32", "bf16", "fp16"]
Objective = Literal["tokens", "sentence"]
HeadBias = Literal["keep", "corpus"]
LossImplementation = Literal["auto", "chunked", "reference"]
TRACKERS = ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
"""The names that accelerate knows its trackers by."""
COUNT, AMOUNT, POSITIVE = Range(1), Range(0), Range(0, above=True)


@dataclass(frozen=True, kw_only=True)
class Evaluation(TaskSettings):
    """Evaluation in training by the separate harness (``hyperofa_eval``), on rank 0."""

    data: Path | None = place(None, "folder of test sets")
    tasks: tuple[str, ...] = setting(("sr-t",), "tasks to score")
    languages: tuple[str, ...] = setting((), "codes (none: all of the harness's table); one without data is left out")
    dtype: NumberFormat | None = setting(
        None, "number format of the scored weights (none: the run's own); another one needs a copy of the model"
    )


@dataclass(frozen=True, kw_only=True)
class Adapter(Settings):
    """Low-rank adapters (LoRA, arXiv 2106.09685) that learn in place of the body; rows and head learn as a whole."""

    rank: int = setting(
        0, "rank of the adapter beside each layer; 0: no adapters, the body itself learns", range=AMOUNT
    )
    alpha: float = setting(32.0, "an adapter's product is scaled by alpha / rank", range=POSITIVE)
    targets: tuple[str, ...] = setting((), "layers that get one, such as q_proj (none: every linear layer of the body)")

    def check(self) -> None:
        """Targets need a rank."""
        if self.targets and not self.rank:
            raise SettingError("targets", "needs rank, the adapters' rank")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """One training run. The global batch is stated once; what each rank does per step follows from it.

    ``free`` settings may differ when a run is resumed: they decide how it runs, not what it computes (up to rounding).

    Raises:
        SettingError: a setting out of its range, or settings that contradict each other.
    """

    model: str = place(help="model directory written by hyperofa init (or any that transformers loads), or a hub id")
    corpus: Path = place(help="packed corpus written by hyperofa corpus prepare")
    run: Path = place(
        help="run directory: checkpoints, metrics, the trained model; the same command again resumes it", free=True
    )
    objective: Objective = setting(
        "tokens",
        "what is learned: tokens, the model's own loss (masked words, or the next token); sentence, for a sentence encoder: "
        "the vectors of its source that a corpus prepared with --source holds",
    )
    steps: int = setting(help="optimizer steps of the whole run; the schedule is laid over them", range=COUNT)
    global_batch_size: int = setting(help="sequences per optimizer step over all ranks", range=COUNT)
    micro_batch_size: int = setting(
        8, "sequences per forward pass of one rank; the accumulation follows", range=COUNT, free=True
    )
    stop_at: int | None = setting(
        None, "save and end after this step, leaving the rest for the next start", range=COUNT, free=True
    )
    mask_rate: float = setting(
        0.15,
        "share of tokens to predict, for a masked language model; a causal one predicts all",
        range=Range(0, 1, above=True, below=True),
    )
    whole_words: bool = setting(False, "mask whole words")
    separate_documents: bool = setting(
        False, "keep the documents packed into one sequence from seeing each other (the paper lets them)"
    )
    dropout: float | None = setting(
        None,
        "dropout probability for all layers; none keeps what the model's config says",
        range=Range(0, 1, below=True),
    )
    tied_gradient: TiedGradient = setting(
        "both",
        "uses through which a row that is tied to the head learns. both, or input: as an input only, which keeps rows of "
        "rare tokens from drifting together while the body is frozen",
    )
    head_bias: HeadBias = setting(
        "keep",
        "where the head's bias per token starts: as the model has it, or at the logarithm of each token's frequency in the "
        "corpus, which a head that was made new would have to learn first",
    )
    learning_rate: float = setting(5e-5, "peak learning rate", range=Range(0, 1, above=True))
    learning_rates: dict[RatedPart, float] = setting(
        factory=dict,
        help="peak rates of parts where they differ from learning_rate: embeddings (a row per token), old_rows (those of the "
        "source), primitives (what all rows share), head (between body and scores), body. 0 freezes a part and saves its "
        "gradients",
        range=Range(0, 1),
    )
    adapter: Adapter = setting(
        factory=Adapter,
        help="adapters that learn in place of the body, see below; learning_rates: body is then their rate",
    )
    schedule: Schedule = setting("linear", "form of the schedule after the warm-up")
    warmup_steps: int = setting(0, "steps of the warm-up, in which the rate rises", range=AMOUNT)
    decay_steps: int = setting(0, "length of the last part of a wsd schedule, in which the rate falls", range=AMOUNT)
    minimum_learning_rate: float = setting(0.0, "learning rate at the end", range=AMOUNT)
    weight_decay: float = setting(0.01, "weight decay of AdamW", range=AMOUNT)
    betas: tuple[float, float] = setting((0.9, 0.999), "betas of AdamW", range=Range(0, 1, below=True))
    epsilon: float = setting(1e-8, "epsilon of AdamW", range=POSITIVE)
    clip: float = setting(
        1.0, "largest norm of the gradient of all that learns in a step; 0 switches clipping off", range=AMOUNT
    )
    phase: Phase = setting(
        "all",
        "what learns during the first phase_steps: everything, all but the rows of the source, the embeddings, the new rows, "
        "or the head. The head is for a source without one: a new head would pull the tied embeddings in random directions",
    )
    phase_steps: int = setting(0, "steps of that phase; 0: the whole run", range=AMOUNT)

    precision: Precision = setting("fp32", "number format of the arithmetic", free=True)
    zero_stage: Literal[1, 2, 3] = setting(2, "what DeepSpeed shards", free=True)
    ds_config: Path | None = place(
        None, "a DeepSpeed config of your own in place of ds_configs/zero<stage>.json", free=True
    )
    gradient_checkpointing: bool = setting(False, "compute activations again in the backward pass", free=True)
    compile: bool = setting(False, "compile the model with torch.compile", free=True)
    impl: LossImplementation = setting(
        "auto",
        "how head and loss are computed (hyperofa.model.linear_cross_entropy); reference stores all scores",
        free=True,
    )
    chunk_bytes: int | None = setting(
        None,
        "bytes of float32 scores that impl: chunked holds at once; none: 64 MiB on a CPU, 1 GiB on a GPU",
        range=COUNT,
        free=True,
    )
    workers: int = setting(
        0, "processes per rank that read and mask ahead of the training loop", range=AMOUNT, free=True
    )
    seed: int = setting(0, "seed of order, masks and dropout")

    save_every: int = setting(500, "steps between checkpoints", range=COUNT, free=True)
    keep: int = setting(
        2, "committed checkpoints to keep; two, so that one is left if the newest is damaged", range=Range(2), free=True
    )
    eval_every: int = setting(0, "steps between evaluations (0: none)", range=AMOUNT, free=True)
    evaluation: Evaluation = setting(factory=Evaluation, help="settings of that evaluation, see below", free=True)
    timeout: float = setting(
        600.0,
        "seconds after which every group of ranks gives up waiting for one of them",
        range=Range(0, 1_000_000, above=True),
        free=True,
    )
    max_skipped: int = setting(
        10, "stop after so many steps in a row without a finite gradient", range=COUNT, free=True
    )
    trackers: tuple[str, ...] = setting(
        (), "trackers of accelerate to send the metrics to, such as tensorboard", free=True
    )
    name: str | None = setting(None, "name of the run in trackers (none: the run directory's)", free=True)

    def check(self) -> None:
        """Refuse settings that contradict each other."""
        if self.objective == "sentence":
            self._check_sentences()
        if self.global_batch_size % self.micro_batch_size:
            what = f"{self.global_batch_size} is no multiple of micro_batch_size {self.micro_batch_size}"
            raise SettingError("global_batch_size", what)
        if self.eval_every and self.evaluation.data is None:
            raise SettingError("eval_every", "needs evaluation.data, the folder that hyperofa-eval reads")
        if self.phase == "all" and self.phase_steps:
            raise SettingError("phase_steps", f"{self.phase_steps} needs a phase other than 'all'")
        if unknown := [name for name in self.trackers if name not in TRACKERS]:
            raise SettingError("trackers", f"unknown {', '.join(unknown)}; known: {', '.join(TRACKERS)}")
        self._check_rates()
        if self.adapter.rank and "body" in self.frozen:
            raise SettingError("adapter.rank", "learning_rates.body is 0, and the adapters are the body's")
        if self.minimum_learning_rate > self.learning_rate:
            what = f"{self.minimum_learning_rate} is above learning_rate {self.learning_rate}"
            raise SettingError("minimum_learning_rate", what)
        if self.schedule == "wsd" and not self.decay_steps:
            raise SettingError("schedule", "'wsd' needs decay_steps, the length of its last part")
        if self.warmup_steps + self.decay_steps > self.steps:
            what = f"warm-up ({self.warmup_steps}) and decay ({self.decay_steps})"
            raise SettingError("schedule", f"{what} are longer than the run ({self.steps} steps)")

    def rate(self, step: int) -> float:
        """The learning rate of optimizer step ``step`` (the first is 0): no scheduler has a state to be saved.

        It rises along a line and reaches its peak at step ``warmup_steps``. Then it falls to its minimum along a line or half a
        cosine by the last step, stays (``constant``), or stays and falls along a line over the last ``decay_steps`` (``wsd``:
        warm-up, stable, decay; arXiv 2404.06395).
        """
        peak, minimum = self.learning_rate, self.minimum_learning_rate
        if step < self.warmup_steps:
            return peak * (step + 1) / (self.warmup_steps + 1)
        start = self.steps - self.decay_steps if self.schedule == "wsd" else self.warmup_steps
        if self.schedule == "constant" or step < start:
            return peak
        progress = min((step - start) / max(self.steps - start, 1), 1.0)
        share = 0.5 * (1.0 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1.0 - progress
        return minimum + (peak - minimum) * share

    def part_rate(self, part: str, step: int) -> float:
        """The learning rate of a part: its own peak under the run's schedule."""
        return self.rate(step) * self.learning_rates.get(part, self.learning_rate) / self.learning_rate  # type: ignore[call-overload]

    def shares(self, step: int) -> dict[str, float]:
        """Shares of AdamW's update that rows of the source, and primitives, keep at optimizer step ``step``, where not all of it.

        The rows' share brings them to their own rate. After a phase that held both still, it also puts right that AdamW corrects
        the bias of their moments (arXiv 1412.6980, §3) for all steps, though these began when the phase ended. The product is
        the update with corrections of their own, but for epsilon, which counts more by what the second one was too small.
        """
        rates, late = self.learning_rates, 1.0
        if self.phase in OLD_ROWS_STAY and step >= self.phase_steps > 0:
            first, second = (
                (1 - beta ** (step + 1)) / (1 - beta ** (step + 1 - self.phase_steps)) for beta in self.betas
            )
            late = first / math.sqrt(second)
        own = rates["old_rows"] / rates.get("embeddings", self.learning_rate) if "old_rows" in rates else 1.0
        return {kind: share for kind, share in (("old_rows", own * late), ("primitives", late)) if share != 1.0}

    def _check_rates(self) -> None:
        """Refuse rates with which nothing would learn, or that contradict each other."""
        if self.learning_rates.get("old_rows") == 0:
            todo = "write phase: all_but_old_rows, which saves their gradients"
            raise SettingError("learning_rates", "old_rows cannot be 0", todo=todo)
        if "old_rows" in self.learning_rates and "embeddings" in self.frozen:
            raise SettingError("learning_rates", "old_rows are embeddings, whose rate is 0", todo="leave old_rows out")
        if "old_rows" in self.learning_rates and self.phase_of(self.steps - 1) in OLD_ROWS_STAY:
            todo = "leave one of them out, or give phase_steps"
            raise SettingError("learning_rates", f"old_rows never learn in phase {self.phase}", todo=todo)
        if self.learning_rates.get("old_rows", 0.0) > self.learning_rates.get("embeddings", self.learning_rate):
            todo = "lower it; the new rows are those that need a high rate"
            raise SettingError("learning_rates", "old_rows is above the rate of the embeddings", todo=todo)
        if set(self.frozen) == set(PARTS):
            raise SettingError("learning_rates", "0 for every part, so nothing would learn")

    def _check_sentences(self) -> None:
        """Refuse settings of a loss over tokens."""
        of_tokens = {
            "whole_words": self.whole_words,
            "separate_documents": self.separate_documents,
            "tied_gradient": self.tied_gradient != "both",
            "head_bias": self.head_bias != "keep",
            "phase": self.phase == "head",
        }
        for name, is_set in of_tokens.items():
            if is_set:
                what = f"{getattr(self, name)!r} is for a loss over tokens, and objective is sentence"
                raise SettingError(name, what, todo="leave it out")

    @property
    def share_scored(self) -> float:
        """The share of an encoder's positions that its head scores."""
        return 0.0 if self.objective == "sentence" else self.mask_rate

    @property
    def frozen(self) -> tuple[Part, ...]:
        """The parts that never learn."""
        return tuple(part for part in PARTS if self.learning_rates.get(part) == 0)

    @property
    def tells_old_rows(self) -> bool:
        """Whether rows of the source learn otherwise than new ones, so that the model must say which they are."""
        return self.phase in OLD_ROWS_STAY or "old_rows" in self.learning_rates

    def phase_of(self, step: int) -> Phase:
        """What learns at optimizer step ``step``."""
        return self.phase if step < (self.phase_steps or self.steps) else "all"

    def accumulation(self, world_size: int) -> int:
        """Forward passes per rank and optimizer step.

        Raises:
            InputError: the global batch does not divide over the ranks.
        """
        per_step = self.micro_batch_size * world_size
        if self.global_batch_size % per_step:
            raise InputError(
                f"global_batch_size {self.global_batch_size} is no multiple of micro_batch_size {self.micro_batch_size}"
                f" x {world_size} processes",
                todo="change one of the three",
            )
        return self.global_batch_size // per_step

    @property
    def last_step(self) -> int:
        """The step after which this launch ends."""
        return self.steps if self.stop_at is None else min(self.steps, self.stop_at)


FREE_TO_CHANGE = frozenset(item.name for item in dataclasses.fields(TrainConfig) if about(item).free)
"""Settings that may differ when a run is resumed."""


def changed_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The names of settings that differ between two resolved configs and decide what a run computes."""
    deciding = [item for item in dataclasses.fields(TrainConfig) if item.name not in FREE_TO_CHANGE]
    # A run that began before there was a setting did what its default says.
    known = {item.name: to_plain(default_of(item)) for item in deciding if default_of(item) is not MISSING} | old
    return [item.name for item in deciding if known.get(item.name) != new.get(item.name)]
