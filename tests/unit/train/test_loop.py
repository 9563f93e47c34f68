"""The loop without any engine: what the ranks tell each other in a step, and which evaluations are made up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from hyperofa.train.loop import _Loop
from hyperofa.train.metrics import MetricsWriter, read_metrics


def step_of_rank(rank: int, memory: dict[str, int], sums: list) -> object:
    """The result of an empty step on one of three ranks; ``sums`` is called for every reduction."""
    engine = SimpleNamespace(
        rank=rank,
        world_size=3,
        device=torch.device("cpu"),
        memory=lambda: memory,
        sum=sums,
    )
    loop = object.__new__(_Loop)
    loop.engine, loop.languages, loop.stop = engine, ["a", "b"], SimpleNamespace(requested=False)
    loop._enter_phase = lambda step: None
    loop._set_rates = lambda step: None
    return loop._step(1, [])


def test_memory_is_that_of_the_rank_that_took_most():
    taken = [{"peak_rss": 5, "peak_gpu": 70}, {"peak_rss": 9, "peak_gpu": 20}, {"peak_rss": 1, "peak_gpu": 80}]
    said: list[list[float]] = []

    def listen(values: list[float]) -> list[float]:
        said.append(values)
        return values

    for rank in range(3):
        step_of_rank(rank, taken[rank], listen)
    last = [sum(column) for column in zip(*said[1::2], strict=True)]  # the second of each rank's two reductions
    answers = iter([[0.0, 0.0], last])
    result = step_of_rank(1, taken[1], lambda values: next(answers))
    assert result.memory == {"peak_rss": 9, "peak_gpu": 80}


def loop_that_scores(scores: dict | None) -> object:
    """A loop on one rank whose every evaluation gives ``scores``."""
    loop = object.__new__(_Loop)
    loop.engine = SimpleNamespace(is_main=True, any=bool, train_mode=lambda: None, track=lambda values, step: None)
    loop.evaluator = SimpleNamespace(due=lambda step: True, run=lambda step: scores)
    loop.stop = SimpleNamespace(requested=False)
    loop.evaluation_missing = False
    return loop


@pytest.mark.parametrize(("scores", "missing"), [({"sr-t": {"mean": 5.0}}, False), ({}, False), (None, True)])
def test_only_an_evaluation_with_scores_goes_into_the_row(scores, missing):
    loop, row = loop_that_scores(scores), {"step": 4}
    assert not loop._evaluate(4, row, stopping=False)
    assert row == ({"step": 4, "evaluation": scores} if scores else {"step": 4})
    assert loop.evaluation_missing is missing  # what a signal cut short is made up before the model is written


@pytest.mark.parametrize("row", [{"step": 4}, {"step": 4, "evaluation": {}}])
def test_an_evaluation_that_is_absent_or_empty_is_made_up(tmp_path, row):
    path, scores = tmp_path / "metrics.jsonl", {"sr-t": {"mean": 5.0}}
    path.write_text(f"{json.dumps(row)}\n")
    metrics = MetricsWriter(path, resume_step=4)
    loop_that_scores(scores)._make_up_evaluation(4, metrics)
    loop_that_scores({"sr-t": {"mean": 9.0}})._make_up_evaluation(4, metrics)  # which is there by now
    metrics.close()
    assert read_metrics(path) == [{"step": 4, "evaluation": scores}]
