"""Entity F1, accuracy and macro F1 against references written here, and the published code's reading of tags."""

from __future__ import annotations

import json
import random

import pytest

from hyperofa_eval.base.errors import EvalError
from hyperofa_eval.scoring.metrics import EntityF1, accuracy_items, entity_items, macro_items, reported

LEGAL_AND_NOT = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]


def strict_entities(tags):
    """IOB2 to the letter, one token at a time: (type, start, end) of every B- and the I- of its type that follow."""
    found = set()
    for start, tag in enumerate(tags):
        if tag.startswith("B-"):
            end = start
            while end + 1 < len(tags) and tags[end + 1] == "I-" + tag[2:]:
                end += 1
            found.add((tag[2:], start, end))
    return found


def reference_f1(gold, found):
    right = total = 0
    for a, b in zip(gold, found, strict=True):
        right += len(strict_entities(a) & strict_entities(b))
        total += len(strict_entities(a)) + len(strict_entities(b))
    return 200 * right / total if total else 0.0


def random_tags(rng, n):
    return [[rng.choice(LEGAL_AND_NOT) for _ in range(rng.randint(1, 12))] for _ in range(n)]


def test_entity_f1_equals_the_reference_on_ten_thousand_sequences():
    rng = random.Random(0)
    gold = random_tags(rng, 10_000)
    # Predictions that agree in part: each tag is replaced with probability 0.3, so legal and illegal ones mix.
    found = [[rng.choice(LEGAL_AND_NOT) if rng.random() < 0.3 else tag for tag in tags] for tags in gold]
    items = entity_items(gold, found)
    assert items.value() == pytest.approx(reference_f1(gold, found), abs=1e-9)
    for row in range(0, 10_000, 97):
        single = entity_items(gold[row : row + 1], found[row : row + 1]).value()
        assert single == pytest.approx(reference_f1(gold[row : row + 1], found[row : row + 1]))
    metric = EntityF1().compute(predictions=found, references=gold)
    assert metric["f1"] == pytest.approx(items.value(), abs=1e-9)
    json.dumps(metric)  # seqeval's own numbers are numpy scalars, which json rejects


def test_strict_and_lenient_differ_where_an_entity_starts_with_i():
    gold, found = [["O", "B-PER", "O"]], [["O", "I-PER", "O"]]
    assert EntityF1(strict=True).compute(predictions=found, references=gold)["f1"] == 0.0
    assert EntityF1(strict=False).compute(predictions=found, references=gold)["f1"] == 100.0
    assert entity_items(gold, found, strict=False).value() == 100.0


def test_no_entities_anywhere_is_zero_not_nan():
    assert EntityF1().compute(predictions=[["O"]], references=[["O"]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert entity_items([["O"]], [["O"]]).value() == 0.0


def test_accuracy_and_macro_f1_equal_references():
    from sklearn.metrics import accuracy_score, f1_score

    rng = random.Random(1)
    names = ["NOUN", "VERB", "ADJ", "X", "PUNCT"]
    gold = [[rng.choice(names[:4]) for _ in range(rng.randint(1, 9))] for _ in range(500)]
    found = [[rng.choice(names) if rng.random() < 0.4 else tag for tag in tags] for tags in gold]
    flat_gold, flat_found = ([tag for tags in part for tag in tags] for part in (gold, found))
    right = sum(a == b for a, b in zip(flat_gold, flat_found, strict=True))
    assert accuracy_items(gold, found).value() == pytest.approx(100 * right / len(flat_gold))
    assert accuracy_items(gold, found).value() == pytest.approx(100 * accuracy_score(flat_gold, flat_found))
    expected = f1_score(flat_gold, flat_found, average="macro", zero_division=0)
    assert macro_items(gold, found).value() == pytest.approx(100 * expected)


UPOS = [
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
]


def test_accuracy_and_macro_f1_equal_plain_loops_on_ten_thousand_sequences():
    rng = random.Random(3)
    gold = [[rng.choice(UPOS[:-1]) for _ in range(rng.randint(1, 12))] for _ in range(10_000)]
    found = [[rng.choice(UPOS) if rng.random() < 0.3 else tag for tag in tags] for tags in gold]
    right = total = 0
    counts = {tag: [0, 0, 0] for tag in UPOS}  # both, gold, found
    for a_tags, b_tags in zip(gold, found, strict=True):
        for a, b in zip(a_tags, b_tags, strict=True):
            total += 1
            right += a == b
            counts[a][0] += a == b
            counts[a][1] += 1
            counts[b][2] += 1
    macro = sum(200 * both / (one + other) for both, one, other in counts.values()) / len(UPOS)
    items = {"accuracy": accuracy_items(gold, found), "macro_f1": macro_items(gold, found)}
    assert items["accuracy"].value() == pytest.approx(100 * right / total, abs=1e-9)
    assert items["macro_f1"].value() == pytest.approx(macro, abs=1e-9)
    assert reported(gold, found, "token", items) == pytest.approx({"accuracy": 100 * right / total, "macro_f1": macro})


@pytest.mark.parametrize("scoring", ["entity", "entity-lenient"])
def test_reported_entity_f1_is_seqevals_and_agrees_with_the_items(scoring):
    rng = random.Random(4)
    gold = random_tags(rng, 500)
    found = [[rng.choice(LEGAL_AND_NOT) if rng.random() < 0.3 else tag for tag in tags] for tags in gold]
    items = {"f1": entity_items(gold, found, strict=scoring == "entity")}
    expected = EntityF1(strict=scoring == "entity").compute(predictions=found, references=gold)["f1"]
    assert reported(gold, found, scoring, items) == {"f1": expected}


def test_a_metric_that_disagrees_with_its_items_is_an_error_and_not_a_result():
    gold, found = [["NOUN", "VERB"]], [["NOUN", "NOUN"]]
    wrong = {"accuracy": accuracy_items(gold, gold), "macro_f1": macro_items(gold, found)}
    with pytest.raises(EvalError, match=r"accuracy is 50\.0 by seqeval and 100\.0 by sentences"):
        reported(gold, found, "token", wrong)


def test_results_report_the_metrics_number(data, monkeypatch):
    from hyperofa_eval.data.layout import DataFolder
    from hyperofa_eval.scoring import metrics
    from hyperofa_eval.tasks.protocols import default
    from hyperofa_eval.tasks.tagging import Fitted

    calls = []
    real = metrics.TokenScores._compute

    def compute(self, predictions, references):
        calls.append(real(self, predictions, references))
        return calls[-1]

    monkeypatch.setattr(metrics.TokenScores, "_compute", compute)

    def tagger(sentences):
        return [["NOUN"] * len(s.tokens) for s in sentences]

    outcome = default()["pos"].score(Fitted(tagger, None, "NOUN", {}), DataFolder(data), "tur", 0, None)
    assert [outcome.values] == calls


class TestPaper:
    """Each reading of the published code, on a case made for it."""

    def test_one_error_among_four_equal_tags_gives_f1_0_at_accuracy_75(self):
        gold, found = [["NOUN"] * 4], [["NOUN", "VERB", "NOUN", "NOUN"]]
        assert entity_items(gold, found, strict=False).value() == 0.0
        assert accuracy_items(gold, found).value() == 75.0

    def test_equal_neighbours_are_one_span(self):
        assert entity_items([["NOUN", "NOUN"]], [["NOUN", "NOUN"]], strict=False).num.tolist() == [2.0]

    def test_cconj_and_sconj_are_one_type(self):
        assert entity_items([["NOUN", "CCONJ"]], [["NOUN", "SCONJ"]], strict=False).value() == 100.0
        assert accuracy_items([["NOUN", "CCONJ"]], [["NOUN", "SCONJ"]]).value() == 50.0

    def test_bare_tags_score_as_seqeval_itself_scores_them(self):
        from seqeval.metrics import f1_score

        rng = random.Random(2)
        names = ["NOUN", "VERB", "INTJ", "SCONJ", "CCONJ", "X", "PUNCT"]
        gold = [[rng.choice(names) for _ in range(8)] for _ in range(300)]
        found = [[rng.choice(names) if rng.random() < 0.3 else tag for tag in tags] for tags in gold]
        with pytest.warns(UserWarning, match="NE tag"):
            expected = 100 * f1_score(gold, found)
        assert entity_items(gold, found, strict=False).value() == pytest.approx(expected)


def test_never_reads_a_script_of_the_current_directory(tmp_path, monkeypatch):
    folder = tmp_path / "seqeval"
    folder.mkdir()
    (folder / "seqeval.py").write_text("raise SystemExit('ran a script of the current directory')")
    monkeypatch.chdir(tmp_path)
    assert EntityF1().compute(predictions=[["B-PER"]], references=[["B-PER"]])["f1"] == 100.0
