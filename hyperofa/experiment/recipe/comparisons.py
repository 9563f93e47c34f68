"""Which evaluations of an experiment there are, and which pairs of them are compared item by item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from hyperofa.experiment.recipe.cells import Cell
from hyperofa.experiment.recipe.schema import Recipe, Scored

When = Literal["before", "after"]
WHEN: tuple[When, ...] = ("before", "after")
"""The two moments of a cell's evaluation, named for the training between them."""


@dataclass(frozen=True)
class Scoring:
    """One evaluation of one cell: the recipe's main one (``part`` empty), or a further one by its name.

    That of a source with its own tokenizer before training is the source's reference, whatever the seed.
    """

    cell: Cell
    when: When
    part: str
    scored: Scored = field(compare=False)

    @property
    def folder(self) -> str:
        """Its folder below the cell's."""
        return f"{self.when}-{self.part}" if self.part else self.when

    @property
    def is_reference(self) -> bool:
        """Whether it is of a source as it is."""
        return self.cell.own is not None and self.when == "before"

    @property
    def name(self) -> str:
        """Unique among all evaluations but for references of the same source."""
        if self.is_reference:
            return f"{self.cell.source}-{self.folder}" if self.part else self.cell.source
        return f"{self.cell.name}-{self.folder}"


@dataclass(frozen=True)
class Comparison:
    """A scoring against another one; the difference is the second's less the first's."""

    first: Scoring
    second: Scoring

    @property
    def name(self) -> str:
        """Unique among all comparisons."""
        if self.first.cell == self.second.cell:
            return f"training-{self.first.cell.name}" + (f"-{self.first.part}" if self.first.part else "")
        return f"{self.second.name}-with-{self.first.cell.method}"


def scorings(recipe: Recipe, when: When) -> Iterator[Scoring]:
    """Every evaluation of every cell at one moment; only trained cells have one after training."""
    own = recipe.own_cells()
    everything, trained = [*recipe.cells(), *own], [*recipe.trained(), *own]
    for cell in everything if when == "before" else trained:
        yield Scoring(cell, when, "", recipe.evaluate)
    for name, scored in recipe.evaluate.further.items():
        named = scored.cells if isinstance(scored.cells, list) else None
        for cell in everything if when == "before" and scored.cells == "all" else trained:
            if when in scored.when and (named is None or cell.own is not None or cell.method in named):
                yield Scoring(cell, when, name, scored)


def comparisons(recipe: Recipe) -> Iterator[Comparison]:
    """Methods with those of ``evaluate.against`` that stand before them, trained ones with their source in its own tokens, and
    each trained cell with itself before.

    One pair each, so that a cell that failed takes no other's comparison with it.
    """
    order = list(recipe.matrix.methods)
    for when in WHEN:
        all_of_it = list(scorings(recipe, when))
        for first in all_of_it:
            if (own := first.cell.own) is None and first.cell.method not in recipe.against:
                continue
            if own is not None and when == "before":
                continue
            for second in all_of_it:
                same = first.part == second.part and replace(second.cell, method=first.cell.method) == first.cell
                if not same or second.cell.own is not None:
                    continue
                if own is not None or order.index(second.cell.method) > order.index(first.cell.method):
                    yield Comparison(first, second)
    before = {(one.cell, one.part): one for one in scorings(recipe, "before")}
    for after in scorings(recipe, "after"):
        if (after.cell, after.part) in before:
            yield Comparison(before[after.cell, after.part], after)
