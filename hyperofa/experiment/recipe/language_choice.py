"""Which languages of a recipe's text are learnt, scored, or there for the word vectors alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperofa.data.parallel import ENGLISH, ENGLISH_NAMES
from hyperofa_eval.languages import bare

if TYPE_CHECKING:
    from hyperofa.experiment.recipe.schema import Recipe


@dataclass(frozen=True)
class Languages:
    """The languages of an experiment, each list sorted but ``scored``.

    ``learnt`` are those of a tokenizer that is trained, and of the pre-training corpus; ``extended`` those for which a
    source's tokenizer grows: neither English nor pivots unless the recipe names them. ``idle`` have text that only the
    word vectors are built from. ``known`` says whether the data is there, which decides all this (else it is expected).
    ``without_text`` are those that the recipe names and the data has no line of.
    """

    learnt: list[str]
    extended: list[str]
    scored: list[str]
    idle: list[str]
    known: bool
    without_text: Sequence[str] = ()


def languages_of(recipe: Recipe, record: dict[str, Any] | None, named_files: Iterable[str]) -> Languages:
    """The languages of a recipe.

    Args:
        recipe: The experiment.
        record: Its ``gather.json`` or ``split.json``, once it is there.
        named_files: Before that, the languages of the files in the folder of parallel text that will be split.
    """
    if recipe.inputs is not None:
        return _of_inputs(recipe, record)
    parallel = recipe.parallel
    assert parallel is not None  # a recipe has one of the two
    named, pivots = list(parallel.languages), set(parallel.pivots)
    if not record:
        own = set(named) or set(named_files) - {*ENGLISH_NAMES, *pivots}
        return Languages(sorted({ENGLISH, *own, *pivots}), sorted(own), sorted(own), [], False)
    text = sorted([ENGLISH, *record["train"]])
    own = {code for code in record["train"] if code not in pivots and (not named or _among(code, named))}
    learnt = [code for code in text if code in {ENGLISH, *own, *pivots}]
    scored = [code for code in record["languages"] if code in own]
    idle = [code for code in text if code not in learnt]
    return Languages(learnt, sorted(own), scored, idle, True, _missing(named, text))


def _of_inputs(recipe: Recipe, record: dict[str, Any] | None) -> Languages:
    inputs = recipe.inputs
    assert inputs is not None
    further = [] if inputs.further_languages == "all" else inputs.further_languages
    named = [*inputs.languages, *further]
    if not record:
        learnt, own = sorted({*named, ENGLISH}), sorted(set(named))
        return Languages(learnt, own, inputs.scored, [], known=not inputs.gathered)
    text = sorted({*record["train"], *([ENGLISH] if record["english"] else [])})
    takes_all = inputs.further_languages == "all"
    left_out = [ENGLISH, *inputs.known_languages]
    extended = [code for code in text if _among(code, named) or (takes_all and not _among(code, left_out))]
    learnt = [code for code in text if code == ENGLISH or code in extended]
    idle = [code for code in text if code not in learnt]
    return Languages(learnt, extended, inputs.scored, idle, True, _missing(named, [*text, *inputs.corpus]))


def _missing(named: Iterable[str], present: Collection[str]) -> list[str]:
    return [code for code in dict.fromkeys(named) if not any(_among(one, [code]) for one in present)]


def _among(code: str, named: Collection[str]) -> bool:
    """Whether a code is named: ``swh`` and ``swh_Latn`` are the same, ``aze_Latn`` and ``aze_Arab`` are not."""
    return code in named or bare(code) in named or (bare(code) == code and code in map(bare, named))
