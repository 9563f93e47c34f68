"""What :mod:`init_quality` measures on: three source models, the languages they are extended for, and the sentences kept out.

Of every NTREX file the last 200 lines are kept out of all that is learned from, except where nothing of NTREX is scored. Settings
are chosen on the development split and reported on the other: other languages, and for retrieval another corpus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hyperofa_eval.text.textfiles import find_file, read_lines

LEARNED = 1797
"""Lines of every NTREX file that may be learned from; the last 200 are kept out."""
LIMIT = 200
"""Pairs of a language that are scored."""


@dataclass(frozen=True)
class Split:
    """What is reported, or chosen by.

    Attributes:
        extended: languages that the tokenizer is extended for, and whose text is learned from.
        scored: languages that are scored.
        corpus: ``tatoeba``, or ``ntrex`` for its lines that were kept out.
        limit: sentences of a language at most; None scores all.
        keeps: which lines of NTREX, by number from 0, may be learned from.
    """

    extended: tuple[str, ...]
    scored: tuple[str, ...]
    corpus: str
    limit: int | None = LIMIT
    keeps: Callable[[int], bool] = lambda number: number < LEARNED


@dataclass(frozen=True)
class Setting:
    """One source model and what is done with it.

    Attributes:
        task: of the harness.
        metric: of that task, and whether more of it is better.
        pieces: entries that the tokenizer is asked to grow by; 0 where it is another model's.
        given: what the default is given beside source and tokenizer.
        report, development: the two splits.
    """

    task: str
    metric: str
    higher_is_better: bool
    pieces: int
    given: tuple[str, ...]
    report: Split
    development: Split

    def split(self, name: str) -> Split:
        """The split called ``report`` or ``development``."""
        return self.report if name == "report" else self.development


_NINE = ("fry", "gla", "kab", "kat", "khm", "swh", "tuk", "uig", "zsm")
SETTINGS = {
    "multilingual": Setting(
        "sr-t",
        "top10",
        True,
        15_000,
        ("VECTORS", "TEXT", "PARALLEL"),
        Split(_NINE, ("fry", "kab", "khm", "swh", "tuk", "cmn", "tur"), "tatoeba"),
        Split(_NINE, ("kat", "uig", "zsm", "bul"), "ntrex"),
    ),
    "decoder": Setting(
        "lm",
        "bits_per_character",
        False,
        8_000,
        ("TEXT",),
        Split(("swh", "tur", "ces"), ("eng", "swh", "tur", "ces"), "ntrex"),
        Split(("ell", "kat", "zsm"), ("eng", "ell", "kat", "zsm"), "ntrex"),
    ),
    "english": Setting(
        "sr-t",
        "top10",
        True,
        0,
        ("VECTORS", "PARALLEL"),
        Split(
            (),
            ("tur", "ell", "ces", "kor", "khm", "tuk", "swh", "cmn", "kab", "fry"),
            "tatoeba",
            None,
            lambda number: True,
        ),
        Split((), ("deu", "fra", "spa", "rus", "hin", "arb"), "ntrex"),
    ),
}
"""multilingual-e5-small and 15,000 pieces; SmolLM2-135M and 8,000; all-MiniLM-L6-v2 with XLM-R's vocabulary."""


def learning_text(data: Path, split: Split, out: Path) -> dict[str, Path]:
    """One file a language of all text that may be learned from: of ``text/``, NTREX and the Bible's training verses."""
    files = {}
    for language in split.extended:
        lines = [*_lines(data / "text" / f"{language}.txt"), *(line for _, line in _learned(data, language, split))]
        lines += [line.partition("\t")[2] for line in _lines(data / "bible" / f"{language}.train.tsv")]
        files[language] = out / f"{language}.txt"
        _write(files[language], [line for line in lines if line.strip()])
    return files


def parallel_text(data: Path, split: Split, out: Path, *, everything: bool = False) -> Path:
    """``LANG.tsv`` a language with ids of NTREX's lines and the Bible's verses: English and the extended languages, or all."""
    if out.is_dir():
        return out
    languages = {*split.extended, "eng"}
    if everything:
        languages |= {path.name[:3] for folder in ("ntrex", "bible") for path in (data / folder).glob("[a-z]*.t*")}
    temporary = out.with_suffix(".tmp")
    for language in sorted(languages):
        rows = [f"N{number}\t{line}" for number, line in _learned(data, language, split)]
        rows += [line for line in _lines(data / "bible" / f"{language}.train.tsv") if line.strip()]
        if rows:
            _write(temporary / f"{language}.tsv", rows)
    temporary.rename(out)
    return out


def test_sets(data: Path, split: Split, out: Path) -> Path:
    """The sentences of a split as the harness reads them: pairs under ``tatoeba/``, and lines under ``text/``."""
    if split.corpus == "tatoeba":
        return data
    english = _ntrex(data, "eng")[LEARNED:]
    for language in split.scored:
        lines = _ntrex(data, language)[LEARNED:]
        _write(out / "text" / f"{language}.txt", lines)
        for code, side in ((language, lines), ("eng", english)):
            if language != "eng":
                _write(out / "tatoeba" / f"{language}-eng.{code}", side)
    return out


def scored_lines(tests: Path, split: Split, language: str) -> list[str]:
    """The sentences of one language that are scored."""
    name = f"tatoeba/{language}-eng.{language}" if split.corpus == "tatoeba" else f"text/{language}.txt"
    return [line for line in _lines(tests / name) if line.strip()][: split.limit]


def _ntrex(data: Path, language: str) -> list[str]:
    return _lines(data / "ntrex" / f"{language}.txt")


def _learned(data: Path, language: str, split: Split) -> list[tuple[int, str]]:
    """The numbered lines of NTREX that may be learned from."""
    return [(i, line) for i, line in enumerate(_ntrex(data, language)) if line.strip() and split.keeps(i)]


def _lines(path: Path) -> list[str]:
    """The lines of a file, plain or packed; none where it is not there."""
    file = find_file(path)
    return [] if file is None else list(read_lines(file))


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
