"""Evaluation every N steps by the separate harness, on rank 0, while the other ranks wait."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.errors import HyperofaError, InputError
from hyperofa.train.signals import Interrupted

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.engine import Engine
    from hyperofa.train.signals import StopRequest

log = logging.getLogger(__name__)


def check_evaluation(config: TrainConfig) -> None:
    """Refuse, before anything is loaded, an evaluation that could not run.

    Raises:
        InputError: the harness is not installed, or the data folder is not there.
    """
    from importlib.util import find_spec

    if not config.eval_every:
        return
    if find_spec("hyperofa_eval") is None:
        raise InputError("eval_every needs the harness, hyperofa_eval", todo="install it, or set eval_every to 0")
    data = config.evaluation.data
    if data is None or not data.is_dir():
        raise InputError("no such folder of evaluation data", where=data, todo="set evaluation.data")


class Evaluator:
    """Scores the model in training; its results go into the step's row and below ``RUN/evaluation``."""

    def __init__(self, config: TrainConfig, engine: Engine, stop: StopRequest) -> None:
        """Remember what to run; nothing is loaded before the first evaluation."""
        self.config, self.engine, self.stop = config, engine, stop
        self._tokenizer: Any = None

    def due(self, step: int) -> bool:
        """Whether the model is to be scored after ``step``."""
        return bool(self.config.eval_every) and (step % self.config.eval_every == 0 or step == self.config.steps)

    def run(self, step: int) -> dict[str, Any] | None:
        """Score the model after ``step`` (called by all ranks); rank 0 gets the means by task, the others None.

        Under ZeRO-1 and 2 rank 0 has the whole model; under ZeRO-3 the ranks gather it into a copy on its device. A stop
        signal cuts it short, and then rank 0 gets None too: the scheduler's grace is for saving.
        """
        gathered = self.engine.whole_state_dict() if self.engine.zero_stage == 3 else None

        def work() -> dict[str, Any] | None:
            try:
                with self.stop.interrupts():
                    return self._score(step, gathered)
            except Interrupted:
                log.warning("evaluation after step %d cut short by a signal; the next start makes up for it", step)
                return None

        return self.engine.on_main(f"evaluation/{step}", work)

    def _score(self, step: int, gathered: dict[str, Any] | None) -> dict[str, Any]:
        from transformers import AutoTokenizer

        from hyperofa_eval.api import evaluate
        from hyperofa_eval.errors import EvalError

        if self._tokenizer is None:
            self._tokenizer = AutoTokenizer.from_pretrained(self.config.model, trust_remote_code=False)
        wanted = self.config.evaluation
        model = self.engine.module.pretrained
        if gathered is not None:
            model = _copy_with(model, gathered).to(self.engine.device)
        try:
            summary = evaluate(
                model,
                self._tokenizer,
                wanted.tasks,
                Path(wanted.data or ""),
                languages=wanted.languages or None,
                limit=wanted.limit,
                out=self.config.run / "evaluation" / f"step_{step:08d}",
                name=f"step_{step:08d}",
            )
        except EvalError as error:
            raise HyperofaError(f"evaluation after step {step}: {error}") from error
        kept = ("metric", "mean", "ci95", "n_languages")
        found = {task: {key: entry[key] for key in kept} for task, entry in summary["tasks"].items()}
        for task, entry in found.items():
            values = [entry[key] for key in ("metric", "mean", "n_languages")]
            log.info("step %d: %s %s %.2f over %d languages", step, task, *values)
        return found


def _copy_with(model: Any, state: dict[str, Any]) -> Any:
    """A model of the same kind with gathered weights; ``model`` itself is sharded and cannot run on one rank."""
    blank = type(model)(copy.deepcopy(model.config))
    weights = {name.removeprefix("pretrained."): tensor for name, tensor in state.items()}
    blank.load_state_dict(weights, strict=False)
    blank.tie_weights()
    return blank.eval()
