"""The settings of an initialisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hyperofa_eval.settings.fields import Range, SettingError, Settings, place, setting

Algorithm = Literal["gram", "randomized", "svd"]
Rest = Literal["pieces", "drawn"]
"""What becomes of new tokens that a method cannot predict."""
REFINE = ("auto", "none", "sentences", "tokens")
_GONE = {
    "parallel": "leave it out, or use sentences: translations are learned from by default",
    "distill": "leave it out, or use sentences: a sentence's own vector is learned from by default",
}


def _text_files(words: Sequence[str]) -> dict[str, list[Path]]:
    from hyperofa.base.textfiles import language_files

    return language_files(words)


@dataclass(frozen=True, kw_only=True)
class InitSettings(Settings):
    """How the embeddings of a larger vocabulary are made."""

    text: dict[str, tuple[Path, ...]] = place(
        factory=dict,
        help="text that new rows learn from; a part is kept out for the verdict",
        metavar="LANG=FILE",
        read=_text_files,
    )
    parallel: tuple[Path, ...] = place(
        (), "folders of parallel text that new rows learn from; a part is kept out for the verdict", metavar="DIR"
    )
    donor: str | None = place(
        None,
        "a model with the target tokenizer, a directory or hub id: its rows tell what the new tokens mean "
        "(for omp and spelling-network)",
        metavar="MODEL",
    )
    method: str = setting(
        "spelling-network",
        "name of the method (hyperofa init --list-methods shows all), or FILE.py:NAME, your own",
        metavar="NAME",
    )
    options: dict[str, Any] = setting(
        factory=dict, help="a setting of the method", flag="--option", append=True, metavar="KEY=VALUE"
    )
    rest: Rest | None = setting(
        None,
        "new tokens that the method is not for: pieces, the mean of the source pieces that spell them; drawn, at random "
        "(default: pieces, but drawn for the published methods)",
    )
    rank: int | None = setting(
        None, "columns of the coordinates (default: not factorised)", range=Range(1), metavar="R", group="size"
    )
    energy: float | None = setting(
        None,
        "instead of a rank, the share of the squared norm to keep",
        range=Range(0, 1, above=True),
        metavar="SHARE",
        group="size",
    )
    scale_split: float | None = setting(
        None,
        "scale of F = U S^A: 1 all in F, 0 all in P (default: 1, but 0 for the method hyperofa, as in its public code)",
        range=Range(0, 1),
        metavar="A",
    )
    factorization: Algorithm = setting("gram", "algorithm of the SVD")
    refine: str = setting(
        "auto",
        "with text, what new rows learn through the frozen model. sentences: vectors of sentences and translations. "
        "tokens: the model's own loss. auto: sentences for a model without a trained head, else tokens. Or none",
        metavar="KIND",
    )
    refine_options: dict[str, Any] = setting(
        factory=dict, help="a setting of the learning of rows", flag="--refine-option", append=True, metavar="KEY=VALUE"
    )
    prompt: str | None = setting(
        None,
        "words before every sentence whose vector is learned or compared, such as 'query: ' (default: the source's own, where "
        "its files name one)",
        metavar="TEXT",
    )
    held_out: int | None = setting(
        None,
        "source tokens predicted as if new, for the report (default: 1000; 0 for ofa-ridge and hyperofa)",
        range=Range(0),
        metavar="N",
    )
    verdict: bool = setting(
        True,
        "measure on kept-out text what the model does beside the source with its own tokenizer (not where no text is given)",
    )
    fold_case: bool = setting(False, "copy also rows of tokens that differ in case only")
    fold_boundary: bool = setting(False, "copy also rows of tokens that differ in boundary only")
    pad_to_multiple: int = setting(1, "append rows to a multiple of N", range=Range(1), metavar="N")
    seed: int = setting(0, "seed of every draw", range=Range(0, 2**32, below=True))

    def check(self) -> None:
        """One size, and no settings of a learning that does not take place."""
        if self.rank is not None and self.energy is not None:
            raise SettingError("energy", "both a rank and a share of the energy are given", todo="give one")
        if self.refine in _GONE:
            raise SettingError("refine", f"{self.refine} is gone", todo=_GONE[self.refine])
        if self.refine not in REFINE:
            raise SettingError("refine", f"unknown {self.refine!r}", todo=f"use {', '.join(REFINE)}")
        if self.refine == "none" and self.refine_options:
            raise SettingError("refine_options", "is for rows that learn, but refine is none", todo="leave one out")
        if not self.text and not self.parallel:
            if self.refine not in ("auto", "none"):
                raise SettingError("refine", f"{self.refine} needs text or parallel text", todo="name its files")
            if self.refine_options:
                raise SettingError("refine_options", "rows learn from text, but none is given", todo="name its files")

    @property
    def learns(self) -> bool:
        """Whether new rows learn."""
        return self.refine != "none" and bool(self.text or self.parallel)
