"""Evaluation every N steps by the separate harness, on rank 0, while the other ranks wait."""

from __future__ import annotations

import copy
import logging
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.errors import DataMissingError, InputError
from hyperofa.train.signals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperofa.train.config import Evaluation, TrainConfig
    from hyperofa.train.engine.engine import Engine
    from hyperofa.train.signals import StopRequest
    from hyperofa_eval.models.transformers_model import TransformersModel
    from hyperofa_eval.tasks import Task

log = logging.getLogger(__name__)


def check_evaluation(config: TrainConfig) -> None:
    """Refuse, before anything is loaded, an evaluation that could not run.

    Raises:
        InputError: the data folder is not there, a task or setting is wrong.
        DataMissingError: a task has no data in any of the languages.
    """
    evaluation, data = config.evaluation, config.evaluation.data
    if not config.eval_every:
        return
    if data is None or not data.is_dir():
        raise InputError("no such folder of evaluation data", where=data, todo="set evaluation.data")
    from hyperofa_eval.data.layout import DataFolder

    try:
        tasks, folder = tasks_of(evaluation), DataFolder(data, aliases=evaluation.aliases)
        for task in tasks:
            if not any(task.has(folder, code) for code in _languages(evaluation, task)):
                todo = "set evaluation.languages or evaluation.tasks"
                raise DataMissingError(f"no test data for task {task.name} in any language", where=data, todo=todo)
            missing = [code for code in evaluation.languages if not task.has(folder, code.strip())]
            if missing:
                log.warning("%s: no test data for task %s in %s, not scored", data, task.name, ", ".join(missing))
    except InputError as error:
        raise InputError(str(error), where="evaluation") from error


def tasks_of(evaluation: Evaluation) -> list[Task]:
    """The harness's tasks with the settings that are given put into those that have them; a user's own files are run first.

    Raises:
        HyperofaError: no such task or protocol, or a setting that is out of range.
    """
    from hyperofa_eval.tasks import choose, extensions
    from hyperofa_eval.tasks.registry import with_settings

    extensions.load(evaluation.extensions)
    return [with_settings(task, vars(evaluation)) for task in choose(",".join(evaluation.tasks), evaluation.protocol)]


def _languages(evaluation: Evaluation, task: Task) -> list[str]:
    """The codes to score a task in, before it is known which have data."""
    from hyperofa_eval.languages import languages, paper_languages

    if evaluation.languages:
        return [code.strip() for code in evaluation.languages]
    return list((evaluation.protocol == "paper" and paper_languages(task.name)) or languages())


class Evaluator:
    """Scores the model in training; its results go into the step's row and below ``RUN/evaluation``."""

    def __init__(self, config: TrainConfig, engine: Engine, stop: StopRequest, replayed: Sequence[str] = ()) -> None:
        """Remember what to run; nothing is loaded before the first evaluation. ``replayed`` are scored beside the others."""
        self.config, self.engine, self.stop, self.replayed = config, engine, stop, replayed
        self._tokenizer: Any = None

    def due(self, step: int) -> bool:
        """Whether the model is to be scored after ``step``."""
        return bool(self.config.eval_every) and (step % self.config.eval_every == 0 or step == self.config.steps)

    def run(self, step: int) -> dict[str, Any] | None:
        """Score the model after ``step`` (called by all ranks); rank 0 gets the means by task, the others None.

        Under ZeRO-1 and 2 rank 0 has the whole model; under ZeRO-3 the ranks gather it into a copy on its device. A stop
        signal cuts it short, and then rank 0 gets None too: the scheduler's grace is for saving.
        """
        gathered = self.engine.unsharded_state_dict() if self.engine.zero_stage == 3 else None

        def work() -> dict[str, Any] | None:
            try:
                with self.stop.interrupts():
                    return self._score(step, gathered)
            except Interrupted:
                log.warning("evaluation after step %d cut short by a signal; the next start makes up for it", step)
                return None

        return self.engine.on_main(f"evaluation/{step}", work)

    def _score(self, step: int, gathered: dict[str, Any] | None) -> dict[str, Any]:
        """The means by task; a task that cannot be scored is left out with its error in the log: training goes on."""
        from hyperofa_eval.base.guard import reported
        from hyperofa_eval.models.loading import wrap
        from hyperofa_eval.text.prompts import default_prompt
        from hyperofa_eval.text.tokenizer import load_tokenizer

        scores: dict[str, Any] = {}
        left_out = partial(log.error, "evaluation after step %d left out: %s", step)
        with reported(left_out):
            self._remove_other_results(self._folder(step))
            self._tokenizer = self._tokenizer or load_tokenizer(self.config.model)
            prompt = default_prompt(self.config.model)
            # Once: its weights are hashed.
            model = wrap(self._model(gathered), self._tokenizer, self._folder(step).name, prompt=prompt)
            for task in tasks_of(self.config.evaluation):
                with reported(left_out):
                    scores |= self._score_task(step, model, task)
        return scores

    def _folder(self, step: int) -> Path:
        return self.config.run / "evaluation" / f"step_{step:08d}"

    def _remove_other_results(self, folder: Path) -> None:
        """Remove what an earlier launch scored with another limit or protocol, beside which the harness writes nothing."""
        from hyperofa_eval.results.result import stored

        wanted = (self.config.evaluation.limit, self.config.evaluation.protocol)
        if any((result["limit"], result["protocol"]) != wanted for result in stored(folder)):
            log.warning("%s: removed, its results are of another limit or protocol", folder)
            shutil.rmtree(folder)

    def _score_task(self, step: int, model: TransformersModel, task: Task) -> dict[str, Any]:
        from hyperofa_eval import evaluate
        from hyperofa_eval.data.layout import DataFolder
        from hyperofa_eval.results.pages import decimals_of

        evaluation = self.config.evaluation
        data = DataFolder(Path(evaluation.data or ""), aliases=evaluation.aliases)
        summary = evaluate(
            model,
            [task],
            data,
            languages=[code for code in _languages(evaluation, task) if task.has(data, code)],
            beside=[code for code in self.replayed if task.has(data, code) and code not in evaluation.languages],
            protocol=evaluation.protocol,
            limit=evaluation.limit,
            out=self._folder(step),
        )
        entry = summary["tasks"][task.name]
        scores = {key: entry[key] for key in ("metric", "mean", "ci95", "n_languages", "limit", "protocol")}
        digits = decimals_of(task.unit)
        said = f"{entry['mean']:.{digits}f} over {entry['n_languages']} languages"
        log.info("step %d: %s %s %s", step, task.name, entry["metric"], said)
        rows = {row["language"]: {"value": row["value"], "ci95": row["ci95"]} for row in entry["rows"]}
        if beside := {code: rows[code] for code in self.replayed if code in rows and code not in entry["languages"]}:
            scores["beside"] = beside
            log.info("  beside them %s", ", ".join(f"{code} {row['value']:.{digits}f}" for code, row in beside.items()))
        return {task.name: scores}

    def _model(self, gathered: dict[str, Any] | None) -> Any:
        """What is scored: the model in training, or a copy where it is sharded or another number format is wanted."""
        model, dtype = self.engine.module.pretrained, self.config.evaluation.dtype
        own = str(next(model.parameters()).dtype).removeprefix("torch.")
        if gathered is None and dtype in {None, own}:
            return model
        import torch

        copied = type(model)(copy.deepcopy(model.config))
        state = self.engine.module.plain_state(model.state_dict() if gathered is None else gathered)
        copied.load_state_dict(state, strict=False)
        copied.tie_weights()
        return copied.eval().to(self.engine.device, dtype=getattr(torch, dtype or own))
