"""Hold messages out of all training for the test set, and write what each later stage reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa.base.files import check_output, made_by, new_directory
from hyperofa.data.linekeys import near_key
from hyperofa.data.parallel import ENGLISH, AlignedText, check_english, read_parallel, write_lines
from hyperofa.data.settings import DocumentSettings, SplitSettings
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import write_json
from hyperofa_eval.settings.config import recorded

MARKER = "split.json"


@dataclass(frozen=True)
class Split:
    """The two sides. ``train`` is parallel text; ``test[language]`` are (English, translation) pairs."""

    train: AlignedText
    test: dict[str, list[tuple[str, str]]]
    held_out_messages: int


def split(text: AlignedText, settings: SplitSettings) -> Split:
    """Divide parallel text by English message, so that a message is on one side in every language.

    Messages with one :func:`near_key` (they differ in case, punctuation, digits or what the placeholders left) count
    as one message. ``settings.test`` of those with at least ``settings.min_words`` words are drawn with the seed; all
    their spellings leave the training side, one spelling is tested. A training translation that equals a test
    translation of its language, up to the same key, is emptied; of two test pairs with equal translations the first is
    kept.
    """
    keys = [near_key(english) for english in text.english]
    first = {key: row for row, key in reversed(list(enumerate(keys))) if key}
    long_enough = [key for key in first if len(key.split()) >= settings.min_words]
    held_out = random.Random(settings.seed).sample(sorted(long_enough), min(settings.test, len(long_enough)))
    tested = sorted(first[key] for key in held_out)
    out = set(held_out)
    train_rows = [row for row, key in enumerate(keys) if key and key not in out]

    test: dict[str, list[tuple[str, str]]] = {}
    train = AlignedText([text.english[row] for row in train_rows], {})
    for language, lines in sorted(text.translations.items()):
        pairs: dict[str, tuple[str, str]] = {}
        for row in tested:
            if lines[row]:
                pairs.setdefault(near_key(lines[row]), (text.english[row], lines[row]))
        test[language] = list(pairs.values())
        train.translations[language] = [lines[row] if near_key(lines[row]) not in pairs else "" for row in train_rows]
    return Split(train, test, len(tested))


def documents(train: AlignedText, settings: DocumentSettings) -> dict[str, list[str]]:
    """The pre-training documents of each language, one a line.

    ``message``: each message by itself. ``pair``: each translation together with its English message, in an order drawn
    per pair (translation language modelling, arXiv 1901.07291); English messages still stand alone as well.
    """
    by_language = {ENGLISH: list(train.english)}
    for language, lines in train.translations.items():
        if settings.document == "message":
            by_language[language] = [line for line in lines if line]
            continue
        draw = random.Random(f"{settings.seed} {language}")
        pairs = [(english, line) for english, line in zip(train.english, lines, strict=True) if line]
        turned = [pair if draw.random() < 0.5 else pair[::-1] for pair in pairs]
        by_language[language] = [" ".join(filter(None, pair)) for pair in turned]  # some have no English side
    return by_language


def write_split(parallel: Path, settings: SplitSettings, pivots: Sequence[str], out: Path) -> dict[str, Any]:
    """Read parallel text, divide it and write the directory ``out``; returns the content of its ``split.json``.

    ``parallel/`` is for word vectors, ``text/`` for the tokenizer, ``documents/`` for pre-training, ``test/`` for the
    harness: languages with at least ``settings.min_test`` pairs; the others are named with the reason, and ``pivots``
    are trained on only.

    Raises:
        InputError: the files are not aligned, a pivot is not among them, or ``out`` holds something else.
        DataMissingError: there is no parallel text, or no language has enough of it to be tested.
    """
    check_output(out, MARKER)
    check_english(parallel)
    text = read_parallel([parallel]).aligned()
    for pivot in pivots:
        if pivot not in text.translations:
            available = ", ".join(sorted(text.translations))
            raise InputError(f"no parallel text in the pivot {pivot!r}", where=parallel, todo=f"there: {available}")
    parts = split(text, settings)
    candidates = {language: pairs for language, pairs in parts.test.items() if language not in pivots}
    scored = {language: pairs for language, pairs in candidates.items() if len(pairs) >= settings.min_test}
    if not scored:
        most = max(map(len, candidates.values()), default=0)
        what = f"no language has {settings.min_test} test pairs of {settings.min_words} words (the most is {most})"
        raise DataMissingError(what, where=parallel, todo="give more parallel text or lower split.min_test")
    few = {lang: f"{len(candidates[lang])} test pairs, fewer than {settings.min_test}" for lang in candidates}
    train, test = len(parts.train.english), parts.held_out_messages
    summary = {
        **made_by("hyperofa data split", {"parallel": parallel}, recorded(settings)),
        "messages": {"train": train, "test": test, "left_out": len(text.english) - train - test},
        "train": {lang: sum(map(bool, lines)) for lang, lines in parts.train.translations.items()},
        "test": {lang: len(pairs) for lang, pairs in parts.test.items()},
        "languages": list(scored),
        "pivots": [language for language in parts.test if language in pivots],
        "languages_unscored": {language: words for language, words in few.items() if language not in scored},
    }
    with new_directory(out, MARKER) as folder:
        parts.train.write(folder / "parallel")
        for language, lines in {ENGLISH: parts.train.english, **parts.train.translations}.items():
            write_lines(folder / "text" / f"{language}.txt", [line for line in lines if line])
        for language, lines in documents(parts.train, settings).items():
            write_lines(folder / "documents" / f"{language}.txt", lines)
        for language, pairs in scored.items():
            stem = folder / "test" / "tatoeba" / f"{language}-{ENGLISH}"
            write_lines(stem.with_suffix(f".{language}"), [pair[1] for pair in pairs])
            write_lines(stem.with_suffix(f".{ENGLISH}"), [pair[0] for pair in pairs])
        write_json(folder / MARKER, summary)
    return summary
