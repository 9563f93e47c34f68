"""The settings of a refinement."""

from __future__ import annotations

from dataclasses import dataclass

from hyperofa.init.settings import RefineKind
from hyperofa_eval.settings.fields import Range, Settings, setting


@dataclass(frozen=True, kw_only=True)
class RefineConfig(Settings):
    """How new rows are refined.

    A step of the learning rates is in units of the source rows' deviation per dimension, so that neither the scale of the
    embeddings nor its split between the factors matters. ``mix`` below 1 takes part of the way: between the start and the end of
    a fine-tuning lie weights that are better than both on text of other domains (Wortsman et al. 2022, arXiv 2109.01903), and
    here on the text's own too, where rare tokens overshoot.
    """

    kind: RefineKind = setting(
        "parallel",
        "parallel: a translation's pooled state learns the source model's of the pivot's side (arXiv 2004.09813, with all but "
        "the rows frozen); distill: states under the new tokenizer learn those under the old one (arXiv 2505.20133)",
    )
    steps: int = setting(400, "of the learning", range=Range(1))
    batch_size: int = setting(48, "sentences of a batch", range=Range(1))
    learning_rate: float = setting(0.3, "Adam's, of a row's own change", range=Range(0, above=True))
    shared_rate: float = setting(
        0.1, "of the linear map from mean word vectors that all predicted rows share; 0 switches it off", range=Range(0)
    )
    warmup: float = setting(
        0.05, "share of the steps in which the rate rises, before it falls", range=Range(0, 1, below=True)
    )
    layer: int | None = setting(None, "block whose output is matched, from 1 (default: two thirds up)", range=Range(1))
    temperature: float = setting(0.02, "of the contrastive part of parallel", range=Range(0, above=True))
    pull: float = setting(0.5, "weight in parallel of the distance to its own sentence", range=Range(0))
    max_length: int = setting(96, "tokens kept of a sentence, as far as the model has positions", range=Range(4))
    pivot: str = setting("eng", "language of parallel that the source model knows")
    smoothing: float = setting(0.5, "languages are drawn by their sentences to this power", range=Range(0, 2))
    mix: float | None = setting(
        None,
        "share of the learned change that is put into the rows (default: 0.35 for parallel, 1 for distill)",
        range=Range(0, 1, above=True),
    )
    device: str = setting("auto", "auto is a GPU where there is one")

    def check(self) -> None:
        """The device's name is one."""
        if self.device not in ("auto", "cpu"):
            from hyperofa.base.device import check_device

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
