"""Tagging scores through ``evaluate`` and ``seqeval``, offline: never ``evaluate.load``, which fetches or runs scripts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import datasets
import evaluate
import numpy as np
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, Entities
from sklearn.metrics import f1_score as macro_f1_score

from hyperofa_eval.base.errors import EvalError
from hyperofa_eval.scoring.statistics import Items

Tags = Sequence[Sequence[str]]
AGREE = 1e-6
"""Percent within which the metric and the sums over sentences are one number."""
_SEQUENCES = datasets.Sequence(datasets.Value("string"))


class _TagMetric(evaluate.Metric):
    """A metric of predictions and references that are one list of tags per sentence; it keeps them in memory."""

    def __init__(self, cache_dir: str | None = None) -> None:
        super().__init__(keep_in_memory=True, cache_dir=cache_dir)

    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": _SEQUENCES, "references": _SEQUENCES})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)


class EntityF1(_TagMetric):
    """Micro precision, recall and F1 of entities, in percent.

    ``strict`` reads IOB2 to the letter: an entity starts with B-, and I- of another type ends it (seqeval needs both
    ``mode`` and ``scheme`` for that, and ignores either alone). Otherwise seqeval's lenient reading is used, as in the
    published code: an I- may start an entity, and on tags without a prefix (``NOUN``) the first letter is taken for
    the prefix, so that equal neighbours merge and CCONJ and SCONJ are one type.
    """

    def __init__(self, strict: bool = True, cache_dir: str | None = None) -> None:
        super().__init__(cache_dir)
        self.strict = strict

    def _compute(self, predictions: Tags, references: Tags) -> dict[str, float]:
        options: dict[str, Any] = {"zero_division": 0}
        if self.strict:
            options |= {"mode": "strict", "scheme": IOB2}
        scores = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {name: 100 * float(score(references, predictions, **options)) for name, score in scores.items()}


class TokenScores(_TagMetric):
    """Token accuracy and macro F1 over the tags that occur, in percent."""

    def _compute(self, predictions: Tags, references: Tags) -> dict[str, float]:
        gold, predicted = ([tag for tags in part for tag in tags] for part in (references, predictions))
        macro = macro_f1_score(gold, predicted, average="macro", zero_division=0)
        return {"accuracy": 100 * float(accuracy_score(references, predictions)), "macro_f1": 100 * float(macro)}


def reported(references: Tags, predictions: Tags, scoring: str, items: Mapping[str, Items]) -> dict[str, float]:
    """The scores that results report, by metric: those of the :class:`evaluate.Metric` of ``scoring``.

    ``items`` are the same scores as sums over sentences, from which intervals are drawn.

    Raises:
        EvalError: the two do not agree, so one of them is wrong.
    """
    plain = {"references": [list(s) for s in references], "predictions": [list(s) for s in predictions]}
    # evaluate makes its folder even if it keeps all in memory, and a home may be read-only
    with TemporaryDirectory() as folder:
        strict = scoring == "entity"
        metric = TokenScores(folder) if scoring == "token" else EntityF1(strict, folder)
        scores = metric.compute(**plain)
    for name, item in items.items():
        if abs(scores[name] - item.value()) > AGREE:
            what = f"{name} is {scores[name]} by seqeval and {item.value()} by sentences"
            raise EvalError(what, where=f"scoring {scoring}", todo="please report this with the tags that gave it")
    return {name: scores[name] for name in items}


def entity_items(references: Tags, predictions: Tags, *, strict: bool = True) -> Items:
    """Per sentence, twice the true positives over predicted plus gold entities; their ratio of sums is the micro F1."""
    gold, predicted = (_entities(tags, strict) for tags in (references, predictions))
    right = np.array([len(a & b) for a, b in zip(gold, predicted, strict=True)], dtype=np.float64)
    total = np.array([len(a) + len(b) for a, b in zip(gold, predicted, strict=True)], dtype=np.float64)
    return Items(2 * right, total)


def accuracy_items(references: Tags, predictions: Tags) -> Items:
    """Per sentence, tokens with the right tag over tokens."""
    pairs = list(zip(references, predictions, strict=True))
    right = [sum(a == b for a, b in zip(gold, predicted, strict=True)) for gold, predicted in pairs]
    return Items(np.array(right, dtype=np.float64), np.array([len(gold) for gold, _ in pairs], dtype=np.float64))


def macro_items(references: Tags, predictions: Tags) -> Items:
    """Per sentence and class, twice the true positives over predicted plus gold tokens of the class: macro F1."""
    names = sorted({tag for tags in (*references, *predictions) for tag in tags})
    place = {name: i for i, name in enumerate(names)}
    num = np.zeros((len(references), len(names)))
    den = np.zeros_like(num)
    for row, (gold, predicted) in enumerate(zip(references, predictions, strict=True)):
        for a, b in zip(gold, predicted, strict=True):
            den[row, place[a]] += 1
            den[row, place[b]] += 1
            if a == b:
                num[row, place[a]] += 2
    return Items(num, den)


def _entities(tags: Tags, strict: bool) -> list[set[tuple[str, int, int]]]:
    plain = [list(sentence) for sentence in tags]
    if strict:
        return [{entity.to_tuple()[1:] for entity in spans} for spans in Entities(plain, IOB2).entities]
    # All sentences at once, as seqeval scores them: on bare tags its state leaks from one sentence into the next (an X
    # after another sentence starts no span), and those numbers are the published ones.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns once per token that NOUN is no entity tag
        entities = get_entities(plain)
    starts = np.cumsum([0, *(len(sentence) + 1 for sentence in plain)])
    out: list[set[tuple[str, int, int]]] = [set() for _ in plain]
    for kind, start, end in entities:
        out[int(np.searchsorted(starts, start, side="right")) - 1].add((kind, start, end))
    return out
