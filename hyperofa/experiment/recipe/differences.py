"""Where an experiment differs from the published one: each difference with its heading in ``docs/differences.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperofa.experiment.recipe.resolve import Replacements
from hyperofa.experiment.recipe.schema import Recipe
from hyperofa.init.settings import InitSettings
from hyperofa.train.config import TrainConfig

PAPER = {"steps": 4000, "global_batch_size": 512, "learning_rate": 5e-5, "mask_rate": 0.15}
SWITCHES: dict[str, tuple[Any, str]] = {
    "objective": ("tokens", "continued-pre-training"),
    "dropout": (None, "continued-pre-training"),
    "separate_documents": (False, "continued-pre-training"),
    "whole_words": (False, "continued-pre-training"),
    "tied_gradient": ("both", "frozen-parts"),
    "head_bias": ("keep", "a-new-head-and-phases"),
    "epsilon": (1e-8, "frozen-parts"),
}
"""Further settings of training: their value in the paper's run, and the section that explains another one."""

Difference = tuple[str, str, str, str]
"""What it is, in the paper, here, and the anchor of the section that explains it."""


def differences(
    recipe: Recipe, protocols: Sequence[str], length: int | None, replacements: Replacements | None = None
) -> list[dict[str, str]]:
    """What of the paper's experiment is different in a recipe, in the order of the document.

    Args:
        recipe: The experiment.
        protocols: The protocols that its results name.
        length: Tokens of a training sequence, where the corpus says.
        replacements: What the command line gave in place of the recipe's tokenizer and word vectors.
    """
    rows = _differences(recipe, protocols, length, replacements or Replacements())
    return [dict(zip(("what", "paper", "here", "anchor"), difference, strict=True)) for difference in rows]


def _differences(
    recipe: Recipe, protocols: Sequence[str], length: int | None, replacements: Replacements
) -> Iterator[Difference]:
    if any(source.published is None for source in recipe.sources.values()):
        named = ", ".join(source.model or name for name, source in recipe.sources.items())
        yield "source models", "RoBERTa-base and XLM-R-base", named, "source-models"
    yield from _inputs(recipe, replacements)
    settings = {name: recipe.init_settings(name) for name in recipe.matrix.methods}
    if own_methods := ", ".join(
        name for name, own in settings.items() if own.method in ("ofa-ridge", "spelling-network")
    ):
        yield "hypernetwork", "the published one", f"{own_methods}: our own methods, without it", "our-methods"
    for name, own in settings.items():
        if own.method == "hyperofa" and own.options:
            words = ", ".join(f"{key}={value}" for key, value in own.options.items())
            yield f"network of {name}", "its table 1", words, "a-smaller-network"
    yield from _scale(recipe, settings)
    if learning := ", ".join(name for name, own in settings.items() if own.learns):
        yield "rows that learn", "none", learning, "rows-that-learn"
    if recipe.trained():
        yield from _training(recipe, length)
    if len(recipe.matrix.seeds) > 1:
        yield "seeds", "one", str(len(recipe.matrix.seeds)), "seeds-and-intervals"
    if any(protocol != "paper" for protocol in protocols):
        yield "evaluation protocol", "the public code's", ", ".join(protocols), "evaluation-protocol"
    yield from _evaluation(recipe)
    languages = recipe.inputs.languages if recipe.inputs is not None else getattr(recipe.parallel, "languages", {})
    words = f"at most {len(languages)}, those with data" if languages else "those with data"
    yield "languages in a mean", "369 / 98 / 164 / 91 (SR-B, SR-T, NER, POS)", words, "languages-in-a-mean"


def _inputs(recipe: Recipe, replacements: Replacements) -> Iterator[Difference]:
    """Target tokenizer, word vectors and training text."""
    target, vectors = recipe.target, recipe.inputs.vectors if recipe.inputs is not None else None
    tokenizer: str | None = None
    if replacements.tokenizer is not None:
        tokenizer = f"{Path(replacements.tokenizer).name}, given with --tokenizer"
    elif target is None:
        tokenizer = "trained on the recipe's text"
    elif target.model is None:
        tokenizer = target.wheel.pin if target.wheel else f"the tokenizer of {target.extend}, extended"
    elif "glot500" not in target.model.lower():
        tokenizer = target.model
    if tokenizer is not None:
        yield "target tokenizer", "Glot500's, 401,145 entries", tokenizer, "target-tokenizer"
    if replacements.vectors is not None or vectors is None or "colexnet" not in vectors.lower():
        parallel = recipe.inputs is None or recipe.inputs.parallel
        words = vectors or ("built from the recipe's parallel text" if parallel else "none")
        words = words if replacements.vectors is None else f"{replacements.vectors.name}, given with --vectors"
        yield "word vectors", "ColexNet+, 3.6 M words x 200", words, "word-vectors"
    text = _text(recipe)
    if text is not None and recipe.trained():
        published = "Glot500-c in 22 languages, at most 5 M sentences of each"
        yield "training text", published, text, "training-text"


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


def _evaluation(recipe: Recipe) -> Iterator[Difference]:
    """Shares of the test sets, and how taggers are fine-tuned."""
    limits, tuning = [], []
    for part in recipe.evaluate.parts.values():
        own, named = part.resolved, ", ".join(task.upper() for task in part.tasks)
        limits += [f"the first {own.limit} of a language ({named})"] if own.limit is not None else []
        changed = {
            "rate": own.learning_rate,
            "epochs": own.epochs,
            "batches of": own.train_batch_size,
            "warm-up": own.warmup,
        }
        words = " and ".join(f"{name} {value:g}" for name, value in changed.items() if value is not None)
        tuning += [f"{words} ({named})"] if words else []
    in_training = recipe.train.evaluate.get("limit") if recipe.train.evaluate_every else None
    limits += [f"the first {in_training} during training"] if in_training is not None else []
    if limits:
        yield "test items", "all", ", ".join(limits), "items-of-a-test-set"
    if tuning:
        yield "fine-tuning of taggers", "2e-5, 10 epochs, batches of 32", ", ".join(tuning), "fine-tuning-of-taggers"


def _scale(recipe: Recipe, settings: Mapping[str, InitSettings]) -> Iterator[Difference]:
    """Where the factors' scale lies otherwise than in the public code, which puts all of it into the primitives."""
    splits: dict[float, list[str]] = {}
    for name, own in settings.items():
        split = own.scale_split if own.scale_split is not None else 0.0 if own.method == "hyperofa" else 1.0
        splits.setdefault(split, []).append(name)
    if any(rank != "full" for rank in recipe.matrix.ranks) and set(splits) != {0.0}:
        words = "; ".join(f"{split:g}: {', '.join(names)}" for split, names in splits.items())
        words = words if len(splits) > 1 else f"{next(iter(splits)):g} for all methods"
        yield "scale of the coordinates (--scale-split)", "0: all in the primitives", words, "scale-split"


def _training(recipe: Recipe, length: int | None) -> Iterator[Difference]:
    settings, section = recipe.train.settings, "continued-pre-training"
    for name, paper in PAPER.items():
        value = settings[name] if name in settings else getattr(TrainConfig, name)
        if value != paper:
            words = name.replace("_", " ").replace("global batch size", "effective batch")
            yield words, f"{paper:g}", f"{value:g}", section
    if length is not None and length != 512:
        yield "sequence length", "512", str(length), section
    rates = settings.get("learning_rates") or {}
    if learning := ", ".join(f"{part} {rate:g}" for part, rate in rates.items() if rate):
        yield "learning rates by part", "one for all", learning, section
    for method, own in recipe.train.method_settings.items():
        if changed := "; ".join(f"{name.replace('_', ' ')}: {_in_words(value)}" for name, value in own.items()):
            yield f"training of {method}", "as of all", changed, section
    if frozen := ", ".join(part for part, rate in rates.items() if not rate):
        yield "frozen parts", "none", frozen, "frozen-parts"
    if (phase := settings.get("phase", "all")) != "all":
        steps = settings.get("phase_steps")
        what = phase.replace("_", " ") + ("" if phase == "all_but_old_rows" else " alone")
        value_text = f"{what} {f'for {steps} steps' if steps else 'throughout'}"
        yield "phases", "none: all learns from the start", value_text, "a-new-head-and-phases"
    for name, (paper, anchor) in SWITCHES.items():
        if (value := settings.get(name)) is not None and value != paper:
            value_text = "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)
            words = {None: "the model's own", False: "no"}.get(paper, str(paper))
            yield name.replace("_", " "), words, value_text, anchor


def _in_words(value: Any) -> str:
    """A setting's value; of a group, its parts in a row."""
    return ", ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, Mapping) else str(value)
