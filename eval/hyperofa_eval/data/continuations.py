"""A task for lm-evaluation-harness: the right second half of a sentence, among those of three others of its language."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.base.files import check_target, sha256_file, write_text
from hyperofa_eval.data.layout import DataFolder, refuse_unknown
from hyperofa_eval.text.paired import read_aligned
from hyperofa_eval.text.unspaced import UNSPACED

log = logging.getLogger(__name__)

NAME = "continuations"
"""The group of all tasks; a language's task is this, an underscore, and its code."""
CHOICES = 4
METRICS = ("acc", "acc_norm")
"""By the log-likelihood of a choice, and by that divided by its characters."""
NEAREST = 20
"""The wrong halves are drawn from so many that are nearest in length."""
BETWEEN = re.compile(f" |(?<=[{UNSPACED}])(?=[{UNSPACED}])")
"""Where a sentence may be cut: at a space, or between two characters of a script without spaces."""
BEFORE = "เแโใไເແໂໃໄ"
"""Vowels of Thai and Lao that are written before the consonant after which they are spoken."""
VIRAMA = 9
"""The combining class of a sign that joins the next consonant to what stands before it."""


@dataclass(frozen=True)
class Halves:
    """A sentence cut in two: ``first``, ``gap`` (a space or nothing), ``second``."""

    line: int
    """Its number in the file, from 1."""
    first: str
    gap: str
    second: str


def write_continuations(text: Path, codes: Sequence[str], out: Path, *, last: int, seed: int) -> dict[str, int]:
    """Write a task for each language into ``out``, and the group ``continuations`` of them all.

    ``lm_eval --tasks continuations --include_path OUT`` finds them there, and reads their items from there too.

    Args:
        text: a folder of ``L.txt``; line i of each language says the same, an empty line is no translation.
        codes: the languages.
        out: the folder of the tasks.
        last: so many lines at the end of the files are used.
        seed: of the wrong halves and of the right one's place.

    Returns:
        How many items each language has.

    Raises:
        DataMissingError: the folder or a language's file is not there.
        InputError: a code is unknown, files have different numbers of lines, or a language has too few sentences.
    """
    check_target(out)
    if others := sorted(path.name for path in out.iterdir() if not path.name.startswith(NAME)) if out.is_dir() else []:
        raise InputError(f"it holds other files, such as {others[0]}", where=out, todo="name a folder of its own")
    data = DataFolder(text)
    codes = list(dict.fromkeys(codes))
    refuse_unknown(codes, data, ["text"], lambda code: data.has("text", code))
    paths = {code: data.need("text", code)[0] for code in codes}
    items = {}
    for code, lines in zip(codes, read_aligned(list(paths.values())), strict=True):
        start = max(len(lines) - last, 0)
        items[code] = make_items(dict(enumerate(lines[start:], start + 1)), seed, where=paths[code])
    for old in out.glob(f"{NAME}_*"):  # an earlier call's, perhaps of other languages
        old.unlink()
    for code, rows in items.items():
        facts = {"seed": seed, "lines": last, "file": paths[code].name, "sha256": sha256_file(paths[code])}
        file = out.absolute() / f"{NAME}_{code}.jsonl"
        write_text(file, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in rows))
        write_text(file.with_suffix(".yaml"), _yaml(_task(code, file, facts)))
    write_text(out / f"{NAME}.yaml", _yaml(_group(codes)))
    return {code: len(rows) for code, rows in items.items()}


def make_items(lines: Mapping[int, str], seed: int, *, where: object = None) -> list[dict[str, Any]]:
    """Items of sentences by their line numbers; a sentence without a place to cut has none.

    An item has its ``line``, the ``context``, the ``choices`` (with the space before them, where there is one) and the
    ``label``, the place of the right choice. What an item draws depends on the seed and its line. What another sentence with the
    same first half goes on with is no wrong choice; a sentence with too few other halves near has no item.

    Raises:
        InputError: fewer than :data:`CHOICES` sentences with different second halves.
    """
    halves = [cut for number, line in lines.items() if (cut := cut_in_half(number, line)) is not None]
    endings = sorted({sentence.second for sentence in halves}, key=lambda text: (len(text), text))
    if len(endings) < CHOICES:
        what = f"{len(endings)} sentences with second halves of their own, at least {CHOICES} are needed"
        raise InputError(what, where=where, todo="give a larger file or more of its lines")
    place = {ending: i for i, ending in enumerate(endings)}
    right: dict[str, set[str]] = {}
    for sentence in halves:
        right.setdefault(sentence.first, set()).add(sentence.second)
    items = []
    for sentence in halves:
        also_right = right[sentence.first]
        start = max(min(place[sentence.second] - NEAREST // 2, len(endings) - NEAREST - 1), 0)
        near = [ending for ending in endings[start : start + NEAREST + 1] if ending not in also_right]
        if len(near) < CHOICES - 1:
            continue
        draw = np.random.default_rng([seed, sentence.line])
        choices = [near[i] for i in draw.choice(len(near), CHOICES - 1, replace=False)]
        label = int(draw.integers(CHOICES))
        choices.insert(label, sentence.second)
        choices = [sentence.gap + choice for choice in choices]
        items.append({"line": sentence.line, "context": sentence.first, "choices": choices, "label": label})
    return items


def cut_in_half(number: int, sentence: str) -> Halves | None:
    """Cut a sentence at the place nearest to its middle (of two, the earlier); None where it has no place."""
    sentence = sentence.strip()
    places = [match.span() for match in BETWEEN.finditer(sentence) if _between_letters(sentence, *match.span())]
    if not places:
        return None
    start, end = min(places, key=lambda place: abs(place[0] + place[1] - len(sentence)))
    return Halves(number, sentence[:start].rstrip(), sentence[start:end], sentence[end:].lstrip())


def _between_letters(sentence: str, start: int, end: int) -> bool:
    """Whether what follows is no mark of what stands before, nor joined to it."""
    before, after = sentence[start - 1], sentence[end]
    joined = before in BEFORE or unicodedata.combining(before) == VIRAMA
    return not joined and not unicodedata.category(after).startswith("M")


def _task(code: str, file: Path, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": f"{NAME}_{code}",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "context",
        "doc_to_choice": "choices",
        "doc_to_target": "label",
        "target_delimiter": "",
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in METRICS],
        "metadata": {"version": 1, **facts},
    }


def _group(codes: Sequence[str]) -> dict[str, Any]:
    mean = [{"metric": name, "aggregation": "mean", "weight_by_size": False} for name in METRICS]
    return {"group": NAME, "task": [f"{NAME}_{code}" for code in codes], "aggregate_metric_list": mean}


def _yaml(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
