"""How many steps a run with another tokenizer takes to read as much text as a given run, or to cost as many operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hyperofa.corpus.meta import CorpusMeta, read_meta
from hyperofa.corpus.order import order_of

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig

Equal = Literal["text", "compute"]
LENGTHS_IN_STEPS = ("warmup_steps", "decay_steps", "phase_steps")
"""Settings of a run that grow and shrink with its steps."""


@dataclass(frozen=True)
class Row:
    """What a sequence of a corpus (or a sentence) holds on average, as training draws them.

    Attributes:
        tokens: padding left out.
        characters: of the text behind them.
        learned: those of them in languages that are not replayed.
        positions: what the model is run over: the length of packed text, the tokens of a sentence.
    """

    tokens: float
    characters: float
    learned: float
    positions: float


@dataclass(frozen=True)
class Step:
    """What one step of a run reads, and its floating-point operations."""

    tokens: float
    characters: float
    learned: float
    operations: float
    operations_per_token: float

    def amount(self, equal: Equal) -> float:
        """What two runs are to have the same of: operations, or the text that is learned."""
        return self.operations if equal == "compute" else self.learned or self.characters


def row_of(corpus: Path) -> Row:
    """The average row of a corpus directory.

    Raises:
        DataMissingError, InputError: see :func:`hyperofa.corpus.meta.read_meta`.
    """
    meta = read_meta(corpus)[1]
    shares = shares_of(meta)
    rows = np.array([language.sequences for language in meta.languages], dtype=np.float64)
    tokens = float(shares @ (np.array([language.tokens for language in meta.languages]) / rows))
    characters = shares * (np.array([language.characters for language in meta.languages]) / rows)
    replayed = np.array(meta.sampling.replay or [0.0] * len(rows)) > 0
    positions = tokens if meta.targets is not None else float(meta.length)
    return Row(tokens, float(characters.sum()), float(characters[~replayed].sum()), positions)


def shares_of(meta: CorpusMeta) -> np.ndarray:
    """The share of the rows that each language makes up in training, (n,)."""
    counts, tokens = ([getattr(language, name) for language in meta.languages] for name in ("sequences", "tokens"))
    return order_of(counts, tokens, asdict(meta.sampling), 0).shares


def step_of(config: TrainConfig) -> Step:
    """What a step of a run reads and costs; nothing of its model is loaded but the config.

    Raises:
        DataMissingError, InputError: there is no such corpus or model, or it cannot be read.
    """
    from hyperofa.train.loading import choose_what_learns
    from hyperofa.train.planning.cost import shape_of_directory

    row, batch = row_of(config.corpus), config.global_batch_size
    shape = shape_of_directory(config.model, config.share_scored, partial(choose_what_learns, config))
    per_token = shape.flops_per_token(round(row.positions))
    return Step(
        batch * row.tokens, batch * row.characters, batch * row.learned, batch * row.positions * per_token, per_token
    )


def equal_settings(
    own: TrainConfig, like: TrainConfig, equal: Equal, step: Callable[[TrainConfig], Step] = step_of
) -> tuple[dict[str, int], dict[str, Any]]:
    """Settings with which a run has as much of the text, or of the operations, as another; and what they were made from.

    Text counts in characters of the languages that are learned: a replayed share is one of tokens, whatever the tokenizer. Of the
    operations, phases count like other steps. Warm-up, decay and phase are lengthened like the run.

    Args:
        own: the run whose steps are asked for; its own say what its warm-up, decay and phase are measured against.
        like: the run that it is to be like.
        equal: what is to be equal.
        step: what a step of a run reads and costs.
    """
    own_step, like_step = step(own), step(like)
    steps = max(1, round(like.steps * like_step.amount(equal) / own_step.amount(equal)))
    settings = {"steps": steps}
    for name in LENGTHS_IN_STEPS:
        if length := getattr(own, name):
            settings[name] = max(1, round(length * steps / own.steps))
    if "decay_steps" in settings:  # rounding must not make the parts longer than the whole
        settings["decay_steps"] = max(0, min(settings["decay_steps"], steps - settings.get("warmup_steps", 0)))
    return settings, {
        "equal": equal,
        "like_steps": like.steps,
        "own": asdict(own_step),
        "like": asdict(like_step),
        **settings,
    }
