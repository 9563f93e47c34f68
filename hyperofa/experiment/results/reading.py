"""How finely each tokenizer cuts the text that was trained on, and what each trained cell read of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hyperofa.commands.steps import MARKER as STEPS
from hyperofa.corpus.meta import CorpusMeta, read_meta
from hyperofa.experiment.recipe.cells import Cell
from hyperofa.experiment.recipe.resolve import settings_of
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.train.planning.equal import row_of
from hyperofa_eval.base.files import read_json

Record = dict[str, Any]


def cut_by_language(plan: Plan, done: Collection[str]) -> list[Record]:
    """By source and language of the corpus, characters a token of its own tokenizer and of the target's.

    ``tokens`` is how many of the target's tokens the same text takes, of the source's own; ``operations`` what they cost of it in
    training (of a decoder, what its generation costs too: every token is scored in both).

    Args:
        plan: the experiment.
        done: its stages whose output holds.
    """
    if "corpus" not in done:
        return []
    extended, rows = read_meta(plan.out / "corpus")[1], []
    for source in dict.fromkeys(cell.source for cell in plan.recipe.own_cells()):
        folder = plan.own_corpus(source)
        if folder.name not in done:
            continue
        own, cost = _by_language(read_meta(folder)[1]), _cost(plan, source, done)
        for code, target in _by_language(extended).items():
            if code not in own:
                continue
            share = own[code] / target
            row = {"source": source, "language": code, "replayed": code in plan.recipe.corpus.get("replay", ())}
            row |= {"own": own[code], "extended": target, "tokens": share}
            rows.append({**row, "operations": None if cost is None else share * cost})
    return rows


def _by_language(meta: CorpusMeta) -> dict[str, float]:
    """Characters a token; the tokens around a document, and those of a prompt, are among them."""
    return {one.name: one.characters / one.tokens for one in meta.languages if one.characters and one.tokens}


def _cost(plan: Plan, source: str, done: Collection[str]) -> float | None:
    """Operations of the extended model for a token, of those of the source; None where it was not worked out."""
    for cell in plan.recipe.own_cells():
        folder = plan.steps(cell)
        if cell.source == source and f"steps-{folder.name}" in done:
            costs = read_json(folder / STEPS)
            return float(costs["like"]["operations_per_token"] / costs["own"]["operations_per_token"])
    return None


def read_in_training(plan: Plan, cell: Cell, way: Mapping[str, Any], last: int, done: Collection[str]) -> Record | None:
    """Characters that a cell read in its ``last`` steps, in all languages, and in a second of them; None without its corpus."""
    corpus = plan.own_corpus(cell.source) if cell.own else plan.out / "corpus"
    if corpus.name not in done:
        return None
    settings = settings_of(plan.recipe, cell.method)
    row, batch = row_of(corpus), int(settings["global_batch_size"])
    characters = row.characters * batch * last
    seconds = float(way["seconds"])
    counts = {"steps": last, "tokens": round(row.tokens * batch * last), "characters": round(characters)}
    return {**counts, "seconds": seconds, "characters_per_second": characters / seconds if seconds else None}
