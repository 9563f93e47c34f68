"""The settings of a training run: frozen dataclasses, filled from YAML and ``key=value`` words, checked when built."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from hyperofa.errors import InputError
from hyperofa.train.schedule import ScheduleName, learning_rate

Precision = Literal["fp32", "bf16", "fp16"]
Phase = Literal["all", "embeddings", "new_rows", "head"]
Part = Literal["embeddings", "primitives", "head", "body"]
TiedGradient = Literal["both", "input"]
HeadBias = Literal["keep", "corpus"]
LossImplementation = Literal["auto", "chunked", "reference"]
TRACKERS = ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
"""The names that accelerate knows its trackers by."""
LONGEST_TIMEOUT = 1_000_000

FREE_TO_CHANGE = frozenset(
    {
        "run",
        "stop_at",
        "micro_batch_size",
        "workers",
        "precision",
        "zero_stage",
        "ds_config",
        "gradient_checkpointing",
        "compile",
        "impl",
        "chunk_bytes",
        "save_every",
        "keep",
        "eval_every",
        "evaluation",
        "timeout",
        "max_skipped",
        "trackers",
        "name",
    }
)
"""Settings that may differ when a run is resumed: they decide how it runs, not what it computes (up to rounding)."""


@dataclass(frozen=True)
class Evaluation:
    """Evaluation in training by the separate harness (``hyperofa_eval``), on rank 0; None is the protocol's own choice."""

    data: Path | None = None
    tasks: tuple[str, ...] = ("sr-t",)
    languages: tuple[str, ...] = ()
    """Codes (none: all of the harness's table); one without data is left out."""
    limit: int | None = None
    protocol: str = "default"
    block: int | str | None = None
    pooling: str | None = None
    direction: str | None = None
    csls: bool = False
    learning_rate: float | None = None
    epochs: int | None = None
    """The last two are those of a tagger's fine-tuning."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Number format of the weights that are scored (None: the run's own); another one needs a copy of the model."""
    aliases: bool = False
    """Let a macro-language's data stand for the language."""
    extensions: tuple[Path, ...] = ()
    """Files that define tasks or languages of your own."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The global batch is stated once; what each rank does per step follows from it.

    Raises:
        ValueError: settings that contradict each other (:func:`hyperofa_eval.settings.config.load_config` makes it one line).
    """

    model: str
    """Model directory written by ``hyperofa init`` (or any directory transformers loads), or a hub id."""
    corpus: Path
    """Packed corpus written by ``hyperofa corpus prepare``."""
    run: Path
    """Run directory: checkpoints, metrics, the trained model. The same command again resumes what is there."""
    steps: int
    """Optimizer steps of the whole run; the schedule is laid over them."""
    global_batch_size: int
    """Sequences per optimizer step over all ranks."""
    micro_batch_size: int = 8
    """Sequences per forward pass of one rank; the accumulation follows."""
    stop_at: int | None = None
    """Save and end after this step, leaving the rest for the next start (None: run to the end)."""
    mask_rate: float = 0.15
    """Share of tokens to predict, for a masked language model; a causal one predicts all."""
    whole_words: bool = False
    separate_documents: bool = False
    """Keep the documents packed into one sequence from seeing each other (the paper lets them)."""
    dropout: float | None = None
    """Dropout probability for all layers; None keeps what the model's config says."""

    tied_gradient: TiedGradient = "both"
    """Through which of its two uses a row that is tied to the head learns: ``both``, or as an ``input`` only, which spares
    the rows of rare tokens a common drift while the body is frozen."""

    head_bias: HeadBias = "keep"
    """Where the head's bias per token starts: as the model has it, or at the logarithm of each token's frequency in the
    ``corpus``, which a head that was made new would have to learn first."""

    learning_rate: float = 5e-5
    learning_rates: dict[Part, float] = field(default_factory=dict)
    """Peak rates of parts where they differ from ``learning_rate``: ``embeddings`` (one row per token), ``primitives`` (what
    all rows share), ``head`` (between body and scores), ``body``. 0 freezes a part and saves its gradients."""
    schedule: ScheduleName = "linear"
    warmup_steps: int = 0
    decay_steps: int = 0
    """Length of the last part of a ``wsd`` schedule, in which the rate falls."""
    minimum_learning_rate: float = 0.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0
    """Largest norm of the gradient of all that learns in a step; 0 switches clipping off."""
    phase: Phase = "all"
    """What learns during the first ``phase_steps``: everything, the embeddings, the new rows only, or the head alone (for a
    source without one: a head that was made new would pull the tied embeddings in random directions)."""
    phase_steps: int = 0

    precision: Precision = "fp32"
    zero_stage: Literal[1, 2, 3] = 2
    ds_config: Path | None = None
    """A DeepSpeed config of your own in place of ``ds_configs/zero<stage>.json``."""
    gradient_checkpointing: bool = False
    compile: bool = False
    impl: LossImplementation = "auto"
    """How head and loss are computed (:func:`hyperofa.model.linear_cross_entropy`); ``reference`` stores all scores."""
    chunk_bytes: int | None = None
    """Bytes of float32 scores that ``impl: chunked`` holds at once; None: 64 MiB on a CPU, 1 GiB on a GPU."""
    workers: int = 0
    """Processes per rank that read and mask ahead of the training loop."""
    seed: int = 0

    save_every: int = 500
    keep: int = 2
    """Committed checkpoints to keep (at least two, so that one is left if the newest turns out damaged)."""
    eval_every: int = 0
    evaluation: Evaluation = field(default_factory=Evaluation)
    timeout: float = 600.0
    """Seconds after which every group of ranks gives up waiting for one of them."""
    max_skipped: int = 10
    """Stop after so many steps in a row without a finite gradient."""
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate to send the metrics to, such as ``tensorboard``."""
    name: str | None = None
    """Name of the run in trackers (None: the run directory's)."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run, with the setting named."""
        self._check_ranges()
        if self.keep < 2:
            raise ValueError(f"keep must be at least 2, not {self.keep}: one checkpoint alone may be damaged")
        if not 0 < self.mask_rate < 1:
            raise ValueError(f"mask_rate must lie between 0 and 1, not {self.mask_rate}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {self.dropout}")
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"global_batch_size {self.global_batch_size} is no multiple of micro_batch_size {self.micro_batch_size}"
            )
        if self.eval_every and self.evaluation.data is None:
            raise ValueError("eval_every needs evaluation.data, the folder that hyperofa-eval reads")
        if (self.phase != "all") != bool(self.phase_steps):
            missing = (
                "phase_steps, the number of steps it lasts" if self.phase_steps == 0 else "a phase other than 'all'"
            )
            what = f"phase {self.phase!r}" if self.phase_steps == 0 else f"phase_steps {self.phase_steps}"
            raise ValueError(f"{what} needs {missing}")
        if unknown := [name for name in self.trackers if name not in TRACKERS]:
            raise ValueError(f"trackers: unknown {', '.join(unknown)}; known: {', '.join(TRACKERS)}")
        self._check_rates()

    def _check_rates(self) -> None:
        if not all(0 <= rate <= 1 for rate in self.learning_rates.values()):
            raise ValueError(f"learning_rates must lie between 0 and 1: {self.learning_rates}")
        if set(self.frozen) == set(get_args(Part)):
            raise ValueError("learning_rates are 0 for every part, so nothing would learn")
        if self.minimum_learning_rate > self.learning_rate:
            raise ValueError(
                f"minimum_learning_rate {self.minimum_learning_rate} is above learning_rate {self.learning_rate}"
            )
        if self.schedule == "wsd" and not self.decay_steps:
            raise ValueError("schedule 'wsd' needs decay_steps, the length of its last part")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, not {self.betas}")
        self.rate(0)

    def _check_ranges(self) -> None:
        for name in ("steps", "global_batch_size", "micro_batch_size", "save_every", "max_skipped"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "timeout", "epsilon"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0 and finite, not {getattr(self, name)}")
        if self.timeout > LONGEST_TIMEOUT:
            raise ValueError(f"timeout must be at most {LONGEST_TIMEOUT:,} seconds, not {self.timeout:g}")
        if self.stop_at is not None and self.stop_at < 1:
            raise ValueError(f"stop_at must be at least 1, not {self.stop_at}")
        if self.chunk_bytes is not None and self.chunk_bytes < 1:
            raise ValueError(f"chunk_bytes must be at least 1, not {self.chunk_bytes}")
        if self.learning_rate > 1:
            raise ValueError(
                f"learning_rate must be at most 1, not {self.learning_rate}: AdamW's steps are of its size"
            )
        floats = ("weight_decay", "clip", "minimum_learning_rate")
        for name in (*floats, "warmup_steps", "decay_steps", "phase_steps", "workers", "eval_every"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and not negative, not {getattr(self, name)}")

    def rate(self, step: int) -> float:
        """The learning rate of optimizer step ``step`` (the first is 0)."""
        return learning_rate(
            step,
            peak=self.learning_rate,
            steps=self.steps,
            schedule=self.schedule,
            warmup_steps=self.warmup_steps,
            decay_steps=self.decay_steps,
            minimum=self.minimum_learning_rate,
        )

    def part_rate(self, part: str, step: int) -> float:
        """The learning rate of a part: its own peak under the run's schedule."""
        return self.rate(step) * self.learning_rates.get(part, self.learning_rate) / self.learning_rate  # type: ignore[call-overload]

    @property
    def frozen(self) -> tuple[Part, ...]:
        """The parts that never learn."""
        return tuple(part for part, rate in self.learning_rates.items() if rate == 0)

    def phase_of(self, step: int) -> Phase:
        """What learns at optimizer step ``step``."""
        return self.phase if step < self.phase_steps else "all"

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


def changed_settings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The names of settings that differ between two resolved configs and decide what a run computes."""
    names = [item.name for item in dataclasses.fields(TrainConfig) if item.name not in FREE_TO_CHANGE]
    return [name for name in names if old.get(name) != new.get(name)]
