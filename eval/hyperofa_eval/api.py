"""The harness from Python: what a model must offer, and one call that scores it (in training, every N steps)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.models.encoding import EncodeSettings


@runtime_checkable
class Model(Protocol):
    """What the harness asks of a model; :class:`hyperofa_eval.models.loading.TransformersModel` is one.

    ``identity`` names it in results and decides whether an old result still holds: ``name``, ``sha256`` and
    ``tokenizer_sha256`` at least.
    """

    identity: Mapping[str, Any]

    def encode(self, texts: Sequence[str], settings: EncodeSettings) -> NDArray[np.float32]:
        """One vector per text, shape (n, D), finite."""

    def fine_tune(self, train: Any, dev: Any, settings: Any, seed: int) -> Any:
        """A tagger fitted to tagged sentences: a callable from sentences to one list of tags each."""


def evaluate(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[str],
    data: str | Path,
    *,
    languages: Sequence[str] | None = None,
    protocol: str = "default",
    seeds: Sequence[int] = (0,),
    limit: int | None = None,
    batch_size: int = 64,
    out: str | Path | None = None,
    name: str = "model",
) -> dict[str, Any]:
    """Score a transformers model that is in memory and return what ``summary.json`` holds.

    Only the calling process works, so training calls it on one rank. The model's mode (training or evaluation) is
    restored, gradients are not touched, and nothing is drawn from the global random generators.

    Raises:
        DataMissingError: a task has no data in any language.
        InputError: an unknown task, language or protocol, or a faulty data file.
    """
    from hyperofa_eval.models.loading import wrap
    from hyperofa_eval.runner import run_tasks
    from hyperofa_eval.tasks.registry import choose

    chosen = choose(",".join(tasks), protocol)
    training = model.training
    model.eval()
    try:
        return run_tasks(
            wrap(model, tokenizer, name, batch_size),
            chosen,
            DataFolder(Path(data)),
            codes=languages,
            protocol=protocol,
            seeds=seeds,
            limit=limit,
            out=None if out is None else Path(out),
        )
    finally:
        model.train(training)
