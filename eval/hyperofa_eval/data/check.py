"""``data check``: what a data folder holds, what is missing, and what looks wrong before a model is scored on it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from hyperofa_eval.base.errors import EvalError, InputError
from hyperofa_eval.base.files import MANIFEST, read_manifest, sha256_file
from hyperofa_eval.data.layout import TAGGED, DataFolder, refuse_unknown, stand_ins
from hyperofa_eval.data.readers import SCHEME_OF, Sentence
from hyperofa_eval.languages import PIVOT, is_pivot, language, languages
from hyperofa_eval.text.textfiles import JSON, TABLES, find_file, plain_name, read_lines

CORPORA = ("tatoeba", "bible", "ner", "pos", "text")
# How Unicode's character names begin, by ISO 15924 code; enough to tell a wrong file, not to identify a language.
SCRIPTS = {
    "Latn": ("LATIN",),
    "Grek": ("GREEK",),
    "Cyrl": ("CYRILLIC",),
    "Hang": ("HANGUL", "CJK"),
    "Geor": ("GEORGIAN",),
    "Khmr": ("KHMER",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    **dict.fromkeys(("Hani", "Hans", "Hant"), ("CJK",)),
    "Arab": ("ARABIC",),
}
LEAST_IN_SCRIPT = 50
"""Percent of a file's letters."""
LETTERS = 100_000
"""Letters looked at to tell a file's script."""
LEAST_CORRELATION = 0.3
STRETCHES = 4
"""Parts of a set whose lengths are compared by themselves."""
ENOUGH = 50
"""Pairs from which a correlation of lengths says something."""


@dataclass
class Report:
    """What was found: counts by corpus and language, and findings.

    ``faults`` would stop a run, ``warnings`` look wrong, ``notes`` are worth knowing (data that no run reads unasked).
    """

    present: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


def check(data: DataFolder, codes: Sequence[str] | None = None, training: Sequence[Path] = ()) -> Report:
    """Read every test set of the folder and look at it.

    ``training`` are files of text a model was trained on (``text`` or ``id<TAB>text`` lines): test lines found there
    are leaked. A folder's own ``bible/L.train.tsv`` and tagged training sets are looked at too.

    Raises:
        DataMissingError: a training file is not there.
        InputError: a code is neither in the table nor has the folder data for it; the manifest is none.
    """
    report = Report()
    codes = None if codes is None else list(dict.fromkeys(code.strip() for code in codes))
    refuse_unknown(codes or (), data, CORPORA, lambda code: any(data.has(corpus, code) for corpus in CORPORA))
    manifest = read_manifest(data.root / MANIFEST) if (data.root / MANIFEST).is_file() else {}
    seen = _lines_of(training)
    for corpus in CORPORA:
        selected = [c for c in codes or languages() if not is_pivot(c) or corpus not in {"tatoeba", "bible"}]
        report.present[corpus], report.missing[corpus] = {}, []
        report.notes += _sources(data, corpus, selected)
        for code in selected:
            if not data.has(corpus, code):
                report.missing[corpus].append(code)
                continue
            try:
                report.present[corpus][code] = _one(data, corpus, code, seen, report)
            except EvalError as error:
                report.faults.append(str(error))
        if corpus in TAGGED and report.present[corpus]:
            _training(data, corpus, report)
    for name, entries in data.notes.items():
        for note in entries:
            (report.warnings if note.odd else report.notes).append(f"{name}: {note.text}")
    for name, digest in manifest.items():
        if not (data.root / name).is_file():
            report.faults.append(f"{name}: named in {MANIFEST}, but not there")
        elif sha256_file(data.root / name) != digest:
            report.faults.append(f"{name}: not the file whose SHA-256 {MANIFEST} names")
    return report


def _sources(data: DataFolder, corpus: str, selected: Sequence[str]) -> Iterator[str]:
    """Which data stands in for a code that has none of its own, and data that no run reads unasked."""
    used = {code: source for code in selected if (source := data.source(corpus, code)) is not None}
    yield from stand_ins(corpus, used)
    unread = [code for code in data.others(corpus) if code not in selected and code not in used.values()]
    if unread:
        yield f"{corpus}: data of {', '.join(unread)}, read only if --languages or --aliases asks for it"


def _one(data: DataFolder, corpus: str, code: str, seen: set[str], report: Report) -> int:
    place = f"{corpus}/{code}"
    if corpus in {"tatoeba", "bible"}:
        pairs = data.pairs(corpus, code)
        report.files |= pairs.files
        known = seen
        if corpus == "bible":
            training = find_file(data.root / f"bible/{data.source('bible', code)}.train.tsv")
            known = seen if training is None else seen | _lines_of([training])
            lone = {PIVOT: pairs.english_only, code: pairs.other_only}
            report.notes += [f"{place}: {n} verse ids in {side} alone, not scored" for side, n in lone.items() if n]
            report.warnings += [str(pairs.overlap)] if pairs.overlap is not None and pairs.overlap.low else []
        report.warnings += _pairs(place, code, pairs.english, pairs.other)
        report.warnings += _leaked(place, pairs.other, known)
        return len(pairs.ids)
    if corpus == "text":
        lines, files = data.text(corpus, code)
        report.files |= files
        report.warnings += _script(place, code, lines)
        report.warnings += _leaked(place, lines, seen)
        return len(lines)
    sentences, files = data.tagged(corpus, code, "test", SCHEME_OF[corpus])
    report.files |= files
    report.warnings += _tagged(place, code, sentences)
    spoken = [" ".join(s.tokens) for s in sentences]
    report.warnings += _leaked(place, spoken, seen)
    if is_pivot(code) and data.has(corpus, PIVOT, "train"):
        with suppress(EvalError):  # a fault of the training set is told as such
            train, _ = data.tagged(corpus, PIVOT, "train", SCHEME_OF[corpus])
            report.warnings += _leaked(place, spoken, {_plain(" ".join(s.tokens)) for s in train})
    return len(sentences)


def _training(data: DataFolder, corpus: str, report: Report) -> None:
    """Read English's training and development sets, without which no tagger can be fine-tuned."""
    for split in ("train", "dev"):
        if not data.has(corpus, PIVOT, split):
            report.faults.append(f"{corpus}: no English {split} set, so nothing can be fine-tuned")
            continue
        try:
            report.files |= data.tagged(corpus, PIVOT, split, SCHEME_OF[corpus])[1]
        except EvalError as error:
            report.faults.append(str(error))


def _pairs(place: str, code: str, english: list[str], other: list[str]) -> Iterator[str]:
    yield from _script(place, code, other)
    for side, lines in (("English", english), (code, other)):
        twice = sum(count - 1 for count in Counter(lines).values())
        if twice:
            yield f"{place}: {twice} of {len(lines)} {side} lines are duplicates; only one of each can be found"
    same = sum(a == b for a, b in zip(english, other, strict=True))
    if same > len(english) // 10:
        yield f"{place}: {same} of {len(english)} lines are the same on both sides: not translated?"
    yield from _misaligned(place, english, other)


def _misaligned(place: str, english: list[str], other: list[str]) -> Iterator[str]:
    """Stretches whose sides differ in length as if at random: one lost line shifts all that follow it, and them alone."""
    lengths = np.log([[len(a), len(b)] for a, b in zip(english, other, strict=True)])
    size = max(ENOUGH, len(lengths) // STRETCHES)
    starts = list(range(0, len(lengths) - size + 1, size))
    ends = [*starts[1:], len(lengths)]
    faulty: list[tuple[int, int, float]] = []
    for start, end in zip(starts, ends, strict=False):
        part = lengths[start:end]
        correlation = float(np.corrcoef(part.T)[0, 1]) if (part.std(axis=0) > 0).all() else 1.0
        if correlation < LEAST_CORRELATION:
            if faulty and faulty[-1][1] == start:
                begin, _, worst = faulty.pop()
                faulty.append((begin, end, min(correlation, worst)))
            else:
                faulty.append((start, end, correlation))
    for start, end, correlation in faulty:
        lines = f"lines {start + 1} to {end}"
        yield f"{place}: the sides' lengths correlate by {correlation:.2f} only in {lines}: misaligned?"


def _script(place: str, code: str, lines: Iterable[str]) -> Iterator[str]:
    begins = SCRIPTS.get(language(code).script)
    if begins is None:
        return
    letters = Counter(islice((c for line in lines for c in line if c.isalpha()), LETTERS))
    own = sum(count for letter, count in letters.items() if unicodedata.name(letter, "?").startswith(begins))
    share = 100 * own / max(letters.total(), 1)
    if letters and share < LEAST_IN_SCRIPT:
        yield f"{place}: {share:.0f} % of the letters are {language(code).script}: wrong language or encoding?"


def _tagged(place: str, code: str, sentences: Sequence[Sentence]) -> Iterator[str]:
    yield from _script(place, code, (token for s in sentences for token in s.tokens))
    orphans = sum(
        tag.startswith("I-") and (i == 0 or s.tags[i - 1][2:] != tag[2:] or s.tags[i - 1] == "O")
        for s in sentences
        for i, tag in enumerate(s.tags)
    )
    if orphans:
        yield f"{place}: {orphans} gold I- tags continue nothing; strict scoring drops those entities"
    twice = sum(count - 1 for count in Counter(s.tokens for s in sentences).values())
    if twice:
        yield f"{place}: {twice} of {len(sentences)} sentences are duplicates"


def _leaked(place: str, lines: Sequence[str], known: set[str]) -> Iterator[str]:
    leaked = sum(_plain(line) in known for line in lines) if known else 0
    if leaked:
        yield f"{place}: {leaked} of {len(lines)} test lines are in the training text: leaked"


def _lines_of(paths: Iterable[Path]) -> set[str]:
    """Lines as they are compared; of one with tabs, what follows each tab too, since an id or a text may hold them."""
    compared = set()
    for path in paths:
        if Path(plain_name(path)).suffix in {*JSON, *TABLES}:
            raise InputError(
                "not plain text, in which alone leaks are looked for", where=path, todo="write its text out as lines"
            )
        for line in read_lines(path):
            parts = line.split("\t")
            compared |= {_plain("\t".join(parts[start:])) for start in range(len(parts))}
    return compared - {""}


def _plain(line: str) -> str:
    """A line as it is compared: composed characters, no case, no spaces (so that tokenised text is recognised)."""
    return "".join(unicodedata.normalize("NFC", line).casefold().split())
