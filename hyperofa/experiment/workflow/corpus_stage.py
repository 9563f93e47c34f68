"""The stage that makes the training corpus: packed documents, or sentences with vectors of the source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperofa.data.parallel import ENGLISH, languages_in
from hyperofa.experiment.recipe.commands import command_words
from hyperofa.experiment.recipe.language_choice import Languages
from hyperofa.experiment.recipe.schema import Recipe
from hyperofa.experiment.workflow.stage import Stage


def corpus_stage(
    recipe: Recipe,
    languages: Languages,
    *,
    out: Path,
    data: Path,
    tokenizer: str,
    source: str,
    corpus: Path | None = None,
) -> Stage:
    """How the corpus of an experiment is made.

    Args:
        recipe: the experiment.
        languages: those that are learnt, and those that have text besides.
        out: the experiment's directory.
        data: its training side.
        tokenizer: the target tokenizer, or a source's own.
        source: the (only) source model, whose vectors sentences learn.
        corpus: the directory that is made; its name is the stage's. None: ``corpus`` in the experiment's.
    """
    own, corpus = corpus is not None, corpus or out / "corpus"
    inputs_section, sentences = recipe.inputs, recipe.learns_sentences
    folder = data / ("text" if sentences else "documents")
    gathered = inputs_section is None or inputs_section.gathered
    texts = [str(folder / f"{language}.txt") for language in languages.learnt] if gathered else []
    if inputs_section is not None and inputs_section.corpus:
        texts = [word for word in texts if Path(word).stem not in inputs_section.corpus]
        texts += [f"{language}={place}" for language, place in inputs_section.corpus.items()]
    values: dict[str, Any] = {"tokenizer": tokenizer, "text": texts}
    read = [folder] if gathered else []
    if sentences:
        has_parallel = inputs_section is None or bool(inputs_section.parallel)
        parallel = _parallel(data / "parallel", languages.learnt) if has_parallel else []
        values |= {"source": source, "parallel": parallel, "cache": out / "source-vectors"}
        read += [*([data / "parallel"] if has_parallel else []), Path(source)]
    words = command_words("hyperofa corpus prepare", {**values, **recipe.corpus, "out": corpus}, corpus.name)
    files = [Path(word.partition("=")[2]) for word in texts if "=" in word and "=hub:" not in word]
    title = "Sentences with vectors of the source" if sentences else "Packed corpus"
    title += " in the source's own tokens" if own else ""
    pattern = None if languages.idle else folder / "*.txt"
    inputs = (*read, Path(tokenizer), *files)
    return Stage(corpus.name, title, words, corpus, "corpus.json", inputs, pattern=pattern)


def _parallel(folder: Path, learnt: Sequence[str]) -> list[Path]:
    """The files of the languages that are learnt; the folder where it holds no others, or is not there yet."""
    present = languages_in(folder)
    learnt_or_english = {ENGLISH, *learnt}
    return (
        [folder]
        if present <= learnt_or_english
        else [folder / f"{language}.txt" for language in sorted(present & learnt_or_english)]
    )
