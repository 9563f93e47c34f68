"""The settings of a refinement, checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass

from hyperofa.base.device import check_device
from hyperofa.errors import InputError, unknown_name
from hyperofa.init.ranges import Range

KINDS = ("parallel", "distill")
_RANGES = {
    "steps": Range(1),
    "batch_size": Range(1),
    "learning_rate": Range(0, above=True),
    "shared_rate": Range(0),
    "warmup": Range(0, 1, below=True),
    "layer": Range(1),
    "temperature": Range(0, above=True),
    "pull": Range(0),
    "max_length": Range(4),
    "smoothing": Range(0, 2),
    "mix": Range(0, 1, above=True),
}


@dataclass(frozen=True)
class RefineConfig:
    """How new rows are refined.

    Attributes:
        kind: ``parallel`` (a translation's pooled state learns the source model's of the pivot's side; Reimers and Gurevych
            2020, arXiv 2004.09813, with all but the rows frozen) or ``distill`` (states under the new tokenizer learn those
            under the old one; Token Distillation, arXiv 2505.20133).
        steps, batch_size: of the learning; a batch is so many sentences.
        learning_rate: an Adam step in units of the source rows' deviation per dimension, so that neither the scale of the
            embeddings nor its split between the factors matters.
        shared_rate: the same for the linear map from a token's mean word vector that all predicted rows share: what is
            learned of the tokens in the text reaches those that are not in it. 0 switches the map off.
        warmup: share of the steps in which the rate rises; it falls linearly to 0 afterwards.
        layer: transformer block whose output is matched, from 1; None is two thirds of the depth, as in the evaluation.
        temperature: of the contrastive part of ``parallel``.
        pull: weight of the part of ``parallel`` that draws a translation to its own sentence, against the contrastive part.
        max_length: tokens kept of a sentence, specials included; fewer where the model has fewer positions.
        pivot: the language of ``parallel`` that the source model knows.
        smoothing: languages are drawn in proportion to their number of sentences to this power, in [0, 2].
        mix: share of the learned change that is put into the rows, in (0, 1]; None is 0.35 for ``parallel`` and 1 for
            ``distill``. Between the start and the end of a fine-tuning lie weights that are better than both on text of other
            domains (Wortsman et al. 2022, arXiv 2109.01903), and here on the text's own too: rare tokens overshoot.
        device: ``auto`` takes a GPU if there is one.
    """

    kind: str = "parallel"
    steps: int = 400
    batch_size: int = 48
    learning_rate: float = 0.3
    shared_rate: float = 0.1
    warmup: float = 0.05
    layer: int | None = None
    temperature: float = 0.02
    pull: float = 0.5
    max_length: int = 96
    pivot: str = "eng"
    smoothing: float = 0.5
    mix: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("refinement", str(self.kind), KINDS, where="--refine")
        for name, allowed in _RANGES.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise InputError(f"{name} {value} is not {allowed}", where="refinement")
        check_device(self.device, "refinement")

    @property
    def share_taken(self) -> float:
        """The ``mix`` in use."""
        if self.mix is not None:
            return self.mix
        return 0.35 if self.kind == "parallel" else 1.0

    def rate(self, step: int) -> float:
        """The factor on the learning rates at ``step`` (from 0): up over the warm-up, then linearly to 0."""
        rise = self.warmup * self.steps
        if step < rise:
            return (step + 1) / (rise + 1)
        return (self.steps - step) / max(self.steps - rise, 1)
