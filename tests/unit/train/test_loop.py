"""One step of the loop without any engine: what the ranks tell each other."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from hyperofa.train.loop import _Loop


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
