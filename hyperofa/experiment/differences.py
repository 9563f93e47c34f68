"""Where an experiment differs from the published one: each difference with its heading in ``docs/differences.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hyperofa.experiment.recipe import Recipe

PAPER = {"steps": 4000, "global_batch_size": 512, "learning_rate": 5e-5, "mask_rate": 0.15}
DEFAULTS = {"learning_rate": 5e-5, "mask_rate": 0.15}
"""What a training setting is where the recipe does not name it."""


@dataclass(frozen=True)
class Difference:
    """One difference, and the anchor of the section that explains it."""

    what: str
    paper: str
    here: str
    anchor: str


def differences(recipe: Recipe, protocols: Sequence[str], length: int | None) -> list[dict[str, Any]]:
    """What of the paper's experiment is different in a recipe, in the order of the document.

    Args:
        recipe: The experiment.
        protocols: The protocols that its results name.
        length: Tokens of a training sequence, where the corpus says.
    """
    found: list[Difference] = []
    published = [source.published for source in recipe.sources.values()]
    if None in published:
        named = ", ".join(recipe.sources)
        found.append(Difference("source models", "RoBERTa-base and XLM-R-base", named, "source-models"))
    target = recipe.target
    if target is None or target.model is None or "glot500" not in target.model.lower():
        here = "trained on the recipe's text" if target is None else target.model or (target.wheel and target.wheel.pin)
        here = here or f"the tokenizer of {target.extend if target else ''}, extended"
        found.append(Difference("target tokenizer", "Glot500's, 401,145 entries", str(here), "target-tokenizer"))
    given = recipe.inputs.vectors if recipe.inputs is not None else None
    if given is None or "colexnet" not in given.lower():
        here = given or "built from the recipe's parallel text"
        found.append(Difference("word vectors", "ColexNet+, 3.6 M words x 200", here, "word-vectors"))
    methods = [name for name, method in recipe.matrix.methods.items() if (method.method or name) == "hyperofa"]
    ours = [name for name in methods if "paper" not in recipe.matrix.methods[name].args]
    if ours:
        here = f"{', '.join(ours)}: our default"
        found.append(Difference("hypernetwork", "the published one", here, "our-default-hypernetwork"))
    for name, method in recipe.matrix.methods.items():
        changed = [word for word in method.args if "=" in word]
        if "paper" in method.args and changed:
            found.append(Difference(f"network of {name}", "its table 1", ", ".join(changed), "a-smaller-network"))
    refined = [name for name, method in recipe.matrix.methods.items() if "--refine" in method.args]
    if refined:
        found.append(Difference("refinement", "none", ", ".join(refined), "refinement"))
    if recipe.trained():
        found += _training(recipe, length)
    if len(recipe.matrix.seeds) > 1:
        found.append(Difference("seeds", "one", str(len(recipe.matrix.seeds)), "seeds-and-intervals"))
    if any(protocol != "paper" for protocol in protocols):
        found.append(
            Difference("evaluation protocol", "the public code's", ", ".join(protocols), "evaluation-protocol")
        )
    languages = (
        recipe.inputs.languages if recipe.inputs is not None else list(getattr(recipe.parallel, "languages", {}))
    )
    found.append(
        Difference(
            "languages in a mean",
            "369 / 98 / 164 / 91 (SR-B, SR-T, NER, POS)",
            f"at most {len(languages)}, those with data" if languages else "those with data",
            "languages-in-a-mean",
        )
    )
    return [vars(difference) for difference in found]


def _training(recipe: Recipe, length: int | None) -> list[Difference]:
    found, settings = [], {**DEFAULTS, **recipe.train.settings}
    for name, paper in PAPER.items():
        if settings.get(name) != paper:
            words = name.replace("_", " ").replace("global batch size", "effective batch")
            found.append(Difference(words, f"{paper:g}", f"{settings.get(name):g}", "continued-pre-training"))
    if length is not None and length != 512:
        found.append(Difference("sequence length", "512", str(length), "continued-pre-training"))
    parts = settings.get("learning_rates") or {}
    if parts:
        here = ", ".join(f"{part} {rate:g}" for part, rate in parts.items())
        found.append(Difference("learning rates by part", "one for all", here, "continued-pre-training"))
    return found
