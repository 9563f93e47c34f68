"""Where an experiment differs from the published one: each difference with its heading in ``docs/differences.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.experiment.recipe.commands import evaluation, initialisation
from hyperofa.experiment.recipe.resolve import Replacements
from hyperofa.experiment.recipe.schema import Recipe

PAPER = {"steps": 4000, "global_batch_size": 512, "learning_rate": 5e-5, "mask_rate": 0.15}
DEFAULTS = {"learning_rate": 5e-5, "mask_rate": 0.15}
"""What a training setting is where the recipe does not name it."""
SWITCHES: dict[str, tuple[Any, str]] = {
    "dropout": (None, "continued-pre-training"),
    "separate_documents": (False, "continued-pre-training"),
    "whole_words": (False, "continued-pre-training"),
    "tied_gradient": ("both", "frozen-parts"),
    "head_bias": ("keep", "a-new-head-and-phases"),
    "epsilon": (1e-8, "frozen-parts"),
}
"""Further settings of training: their value in the paper's run, and the section that explains another one."""


@dataclass(frozen=True)
class Difference:
    """One difference, and the anchor of the section that explains it."""

    what: str
    paper: str
    here: str
    anchor: str


def differences(
    recipe: Recipe, protocols: Sequence[str], length: int | None, given: Replacements | None = None
) -> list[dict[str, Any]]:
    """What of the paper's experiment is different in a recipe, in the order of the document.

    Args:
        recipe: The experiment.
        protocols: The protocols that its results name.
        length: Tokens of a training sequence, where the corpus says.
        given: What the command line gave in place of the recipe's tokenizer and word vectors.
    """
    found: list[Difference] = []
    published = [source.published for source in recipe.sources.values()]
    if None in published:
        named = ", ".join(source.model or name for name, source in recipe.sources.items())
        found.append(Difference("source models", "RoBERTa-base and XLM-R-base", named, "source-models"))
    found += _inputs(recipe, given)
    settings = {name: initialisation(recipe, name) for name in recipe.matrix.methods}
    ours = [name for name, own in settings.items() if own.method == "ofa-ridge"]
    if ours:
        here = f"{', '.join(ours)}: our default, without a network"
        found.append(Difference("hypernetwork", "the published one", here, "our-default-without-a-hypernetwork"))
    for name, own in settings.items():
        if own.method == "hyperofa" and own.options:
            here = ", ".join(f"{key}={value}" for key, value in own.options.items())
            found.append(Difference(f"network of {name}", "its table 1", here, "a-smaller-network"))
    found += _scale(recipe, settings)
    refined = [name for name, own in settings.items() if own.refine is not None]
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
    found += _evaluation(recipe)
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


def _inputs(recipe: Recipe, given: Replacements | None) -> list[Difference]:
    """Target tokenizer, word vectors and training text."""
    found = []
    target, inputs = recipe.target, recipe.inputs
    if given is not None and given.tokenizer is not None:
        here = f"{Path(given.tokenizer).name}, given with --tokenizer"
        found.append(Difference("target tokenizer", "Glot500's, 401,145 entries", here, "target-tokenizer"))
    elif target is None or target.model is None or "glot500" not in target.model.lower():
        own = "trained on the recipe's text" if target is None else target.model or (target.wheel and target.wheel.pin)
        own = own or f"the tokenizer of {target.extend if target else ''}, extended"
        found.append(Difference("target tokenizer", "Glot500's, 401,145 entries", str(own), "target-tokenizer"))
    vectors = inputs.vectors if inputs is not None else None
    if given is not None and given.vectors is not None:
        here = f"{given.vectors.name}, given with --vectors"
        found.append(Difference("word vectors", "ColexNet+, 3.6 M words x 200", here, "word-vectors"))
    elif vectors is None or "colexnet" not in vectors.lower():
        here = vectors or "built from the recipe's parallel text"
        found.append(Difference("word vectors", "ColexNet+, 3.6 M words x 200", here, "word-vectors"))
    text = _text(recipe)
    if text is not None and recipe.trained():
        published = "Glot500-c in 22 languages, at most 5 M sentences of each"
        found.append(Difference("training text", published, text, "training-text"))
    return found


def _text(recipe: Recipe) -> str | None:
    """What is trained on, in words; None where it is the paper's."""
    inputs, parallel = recipe.inputs, recipe.parallel
    if inputs is None:
        assert parallel is not None  # a recipe has one of the two
        words = [f"messages of {parallel.wheel.pin}" if parallel.wheel is not None else "the given parallel text"]
        pairs = recipe.split.document == "pair"
    else:
        if not inputs.gathered and all("glot500" in place.lower() for place in inputs.corpus.values()):
            return None
        kinds = {"parallel": inputs.parallel, "plain": inputs.text, "corpus": inputs.corpus}
        words = [f"{' and '.join(kind for kind, own in kinds.items() if own)} text of the recipe"]
        words += [f"at most {inputs.cap:,} lines of a language"] if inputs.cap is not None else []
        pairs = inputs.document == "pair"
    words += ["a translation and its English sentence in one document"] if pairs else []
    return ", ".join(words)


def _evaluation(recipe: Recipe) -> list[Difference]:
    """Shares of the test sets, and how taggers are fine-tuned."""
    parts = [(recipe.evaluate.tasks, recipe.evaluate.settings)]
    parts += [(more.tasks, more.settings) for more in recipe.evaluate.further.values()]
    limits, tuning = [], []
    for tasks, values in parts:
        own, named = evaluation(values), ", ".join(task.upper() for task in tasks)
        limits += [f"the first {own.limit} of a language ({named})"] if own.limit is not None else []
        changed = {"rate": own.learning_rate, "epochs": own.epochs}
        told = [f"{name} {value:g}" for name, value in changed.items() if value is not None]
        tuning += [f"{' and '.join(told)} ({named})"] if told else []
    on_the_way = recipe.train.evaluate.get("limit") if recipe.train.evaluate_every else None
    limits += [f"the first {on_the_way} during training"] if on_the_way is not None else []
    found = []
    if limits:
        found.append(Difference("test items", "all", ", ".join(limits), "items-of-a-test-set"))
    if tuning:
        found.append(
            Difference("fine-tuning of taggers", "2e-5, 10 epochs", ", ".join(tuning), "fine-tuning-of-taggers")
        )
    return found


def _scale(recipe: Recipe, settings: Mapping[str, Any]) -> list[Difference]:
    """Where the factors' scale lies otherwise than in the public code, which puts all of it into the primitives."""
    here: dict[float, list[str]] = {}
    for name, own in settings.items():
        split = own.scale_split if own.scale_split is not None else 0.0 if own.method == "hyperofa" else 1.0
        here.setdefault(split, []).append(name)
    if all(rank == "full" for rank in recipe.matrix.ranks) or set(here) == {0.0}:
        return []
    one = next(iter(here)) if len(here) == 1 else None
    told = (
        f"{one:g} for all methods"
        if one is not None
        else "; ".join(f"{split:g}: {', '.join(names)}" for split, names in here.items())
    )
    return [Difference("scale of the coordinates (--scale-split)", "0: all in the primitives", told, "scale-split")]


def _training(recipe: Recipe, length: int | None) -> list[Difference]:
    found, settings = [], {**DEFAULTS, **recipe.train.settings}
    for name, paper in PAPER.items():
        if settings.get(name) != paper:
            words = name.replace("_", " ").replace("global batch size", "effective batch")
            found.append(Difference(words, f"{paper:g}", f"{settings.get(name):g}", "continued-pre-training"))
    if length is not None and length != 512:
        found.append(Difference("sequence length", "512", str(length), "continued-pre-training"))
    rates = settings.get("learning_rates") or {}
    if learning := {part: rate for part, rate in rates.items() if rate}:
        here = ", ".join(f"{part} {rate:g}" for part, rate in learning.items())
        found.append(Difference("learning rates by part", "one for all", here, "continued-pre-training"))
    if frozen := [part for part, rate in rates.items() if not rate]:
        found.append(Difference("frozen parts", "none", ", ".join(frozen), "frozen-parts"))
    if settings.get("phase_steps") and settings.get("phase", "all") != "all":
        here = f"{settings['phase'].replace('_', ' ')} alone for {settings['phase_steps']} steps"
        found.append(Difference("phases", "none: all learns from the start", here, "a-new-head-and-phases"))
    for name, (paper, anchor) in SWITCHES.items():
        if (value := settings.get(name)) is not None and value != paper:
            told = "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
            words = {None: "the model's own", False: "no"}.get(paper, str(paper))
            found.append(Difference(name.replace("_", " "), words, told, anchor))
    return found
