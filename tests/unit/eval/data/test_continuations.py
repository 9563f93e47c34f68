"""The task for lm-evaluation-harness: where sentences are cut, which choices an item has, what is written, what is refused."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import yaml

from hyperofa_eval.base.errors import InputError
from hyperofa_eval.cli import main
from hyperofa_eval.data.continuations import CHOICES, NEAREST, cut_in_half, make_items


@pytest.mark.parametrize(
    ("sentence", "halves"),
    [
        ("Kituo cha treni kiko wapi?", ("Kituo cha treni", " ", "kiko wapi?")),
        ("  ab cd  ef \t", ("ab cd", " ", "ef")),
        ("a bcdefghij", ("a", " ", "bcdefghij")),
        ("孩子们在花园里玩", ("孩子们在", "", "花园里玩")),
        ("火车，在哪里", ("火车，在", "", "哪里")),  # not at the comma
        ("AMs 学语言", ("AMs", " ", "学语言")),
        ("កខ្គំង", ("ក", "", "ខ្គំង")),  # what is joined by a sign below, and marks, stays together
        ("กกกเกกกก", ("กกก", "", "เกกกก")),  # a vowel that is written first stays with its consonant
        ("Donaudampfschifffahrt", None),
        ("", None),
    ],
)
def test_a_sentence_is_cut_at_the_place_nearest_to_its_middle(sentence, halves):
    found = cut_in_half(7, sentence)
    assert (found and (found.first, found.gap, found.second)) == halves
    assert found is None or found.line == 7


def made_up(n: int) -> dict[int, str]:
    draw = random.Random(0)
    return {
        number: " ".join("ab" * draw.randint(1, 5) + str(number) for _ in range(draw.randint(2, 9)))
        for number in range(3, n + 3)
    }


@pytest.mark.parametrize("n", [CHOICES, NEAREST, 60])
def test_items_are_those_of_a_plain_loop(n):
    lines = made_up(n)
    halves = {number: cut_in_half(number, line) for number, line in lines.items()}
    by_length = sorted((half.second for half in halves.values()), key=lambda text: (len(text), text))
    wanted = []
    for number, half in halves.items():
        windows = [by_length[i : i + NEAREST + 1] for i in range(max(n - NEAREST, 1))]
        (own,) = (i for i, ending in enumerate(by_length) if ending == half.second)
        near = list(min((abs(i + NEAREST // 2 - own), window) for i, window in enumerate(windows))[1])
        near.remove(half.second)
        draw = np.random.default_rng([5, number])
        wrong = [near[i] for i in draw.choice(len(near), CHOICES - 1, replace=False)]
        label = int(draw.integers(CHOICES))
        choices = [f" {ending}" for ending in [*wrong[:label], half.second, *wrong[label:]]]
        wanted.append({"line": number, "context": half.first, "choices": choices, "label": label})
    found = make_items(lines, 5)
    assert found == wanted
    assert all(len(set(item["choices"])) == CHOICES for item in found)
    assert all(item["context"] + item["choices"][item["label"]] == lines[item["line"]] for item in found)
    if n > CHOICES:
        assert {item["label"] for item in found} == set(range(CHOICES))
        assert make_items(lines, 6) != found


def test_equal_second_halves_are_one_choice():
    lines = {1: "one tail", 2: "two tail", 3: "three other", 4: "four third", 5: "five fourth"}
    for item in make_items(lines, 0):
        assert sorted(item["choices"]) == [" fourth", " other", " tail", " third"]
    del lines[5]
    with pytest.raises(InputError, match="x: 3 sentences with second halves of their own, at least 4 are needed"):
        make_items(lines, 0, where="x")


def test_what_another_sentence_goes_on_with_is_no_wrong_choice():
    lines = {1: "same one", 2: "same two", 3: "other three", 4: "fourth four", 5: "fifth five", 6: "sixth six"}
    for item in make_items(lines, 0):
        assert item["context"] != "same" or not {" one", " two"} <= set(item["choices"])
    assert {item["line"] for item in make_items({1: "a w", 2: "a x", 3: "b y", 4: "c z"}, 0)} == {3, 4}


def test_a_second_call_leaves_no_task_of_the_first(data, tmp_path):
    words = ["data", "continuations", str(data), "--last", "7", "--out", str(tmp_path / "out"), "--languages"]
    assert main([*words, "swh,tur"]) == main([*words, "swh"]) == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        f"continuations{name}" for name in (".yaml", "_swh.yaml", "_swh.jsonl")
    }


def test_the_command_writes_tasks_their_items_and_the_group(data, tmp_path, capsys):
    path = data / "text" / "tur.txt"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([*lines[:8], "", *lines[9:]]) + "\n", encoding="utf-8")  # no translation of line 9
    words = ["data", "continuations", str(data), "--languages", "swh,tur", "--last", "7", "--seed", "2", "--out"]
    assert main([*words, str(tmp_path / "one")]) == 0
    assert "continuations_tur" in capsys.readouterr().out
    assert main([*words, str(tmp_path / "two"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "items": {"swh": 7, "tur": 6}}
    names = {f"continuations{name}" for name in (".yaml", "_swh.yaml", "_swh.jsonl", "_tur.yaml", "_tur.jsonl")}
    assert {file.name for file in (tmp_path / "one").iterdir()} == names
    for language, numbers in (("swh", [6, 7, 8, 9, 10, 11, 12]), ("tur", [6, 7, 8, 10, 11, 12])):
        file = tmp_path / "one" / f"continuations_{language}.jsonl"
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
        items = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        texts = (data / "text" / f"{language}.txt").read_text("utf-8").splitlines()
        assert items == make_items({i: texts[i - 1] for i in numbers}, 2)
        task = yaml.safe_load(file.with_suffix(".yaml").read_text("utf-8"))
        assert task["task"] == f"continuations_{language}"
        assert (task["dataset_path"], task["dataset_kwargs"]) == ("json", {"data_files": {"test": str(file)}})
    group = yaml.safe_load((tmp_path / "one" / "continuations.yaml").read_text("utf-8"))
    assert (group["group"], group["task"]) == ("continuations", ["continuations_swh", "continuations_tur"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere", "--languages", "swh"], 3, "nowhere: no such data folder"),
        (["DATA", "--languages", "swa-hili"], 2, "unknown language 'swa-hili'"),
        (["DATA", "--languages", "swh,kab"], 3, "no text data for kab; looked for text/kab.txt, kab.txt"),
        (["DATA", "--languages", "swh,eng"], 2, "unaligned: 11 lines, but"),
        (["DATA", "--languages", "swh", "--last", "3"], 2, "swh.txt: 3 sentences with second halves of their own"),
        (["DATA", "--languages", "swh", "--last", "0"], 2, "--last: 0 is not a number of 1 or more"),
        (["DATA", "--languages", "swh", "--seed", "-1"], 2, "--seed: -1 is not a number of 0 or more"),
        (["DATA", "--languages", "swh", "--out", "FILE"], 2, "the output path is a file"),
        (["DATA", "--languages", "swh", "--out", "DATA"], 2, "it holds other files, such as bible"),
    ],
)
def test_wrong_inputs_are_one_line_and_write_nothing(data, tmp_path, capsys, words, code, said):
    path = data / "text" / "eng.txt"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    (tmp_path / "file").write_text("mine")
    places = {"DATA": str(data), "FILE": str(tmp_path / "file")}
    words = [places.get(word, word) for word in ["data", "continuations", "--out", str(tmp_path / "out"), *words]]
    assert main(words) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hyperofa-eval: error: ")
    assert said in line
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "file").read_text() == "mine"
