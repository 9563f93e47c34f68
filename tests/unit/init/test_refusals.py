"""What ``hyperofa init`` refuses: one line that names the setting, told before any work, and nothing left behind."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from transformers import AutoTokenizer

from hyperofa.cli import main
from hyperofa.errors import InputError
from hyperofa.init.pipeline import InitConfig, initialise
from hyperofa.init.ranges import Range
from hyperofa.init.refine import RefineConfig
from hyperofa.init.registry import METHODS, find_method, resolve_options
from hyperofa.vectors.store import write_store

NETWORK = {"network_weight": 1, "epochs": 1}
PARALLEL = ["--refine", "parallel", "--parallel", "PAR"]


@pytest.fixture
def refused(rooms, tmp_path, capsys, monkeypatch):
    """Run ``init`` with further words; its one line. ``PAR`` is aligned text; the folder beside ``--out`` stays as it was."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = tmp_path / "given"
    for name, german in (("par", "hund\nkatze\n"), ("ragged", "hund\n")):
        (given / name).mkdir(parents=True)
        (given / name / "eng.txt").write_text("dog\ncat\n")
        (given / name / "deu.txt").write_text(german)

    def run(*more, code=2, source="source", tokenizer="target", vectors="vectors", method="ofa"):
        places = {"PAR": given / "par", "RAGGED": given / "ragged"}
        words = ["init", "--source", rooms / source, "--tokenizer", rooms / tokenizer]
        words += ["--vectors", rooms / vectors] if vectors else []
        words += ["--method", method, "--out", tmp_path / "room" / "out", *(places.get(word, word) for word in more)]
        assert main([str(word) for word in words]) == code
        line = capsys.readouterr().err
        assert line.count("\n") == 1, line
        assert list((tmp_path / "room").rglob("*")) == []
        return line

    return run


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "-1"], "--seed: -1 is not in [0, 4294967295]"),
        (["--seed", str(2**32)], "--seed: 4294967296 is not"),
        (["--held-out", "-1"], "--held-out: -1 is not"),
        (["--pad-to-multiple", "0"], "--pad-to-multiple: 0 is not"),
        (["--parallel", "PAR"], "--parallel: text to refine with, but no refinement"),
        (["--refine", "parallel", "--parallel", "RAGGED"], "deu.txt, line 2: unaligned: 1 lines, but eng.txt has 2"),
        ([*PARALLEL, "--refine-option", "pivot=fra"], "no text in fra"),
        ([*PARALLEL, "--refine-option", "layer=9"], "none is number 9"),
        ([*PARALLEL, "--refine-option", "device=foo"], "refinement: unknown device 'foo'"),
        ([*PARALLEL, "--refine-option", "device=cuda:99"], "refinement: no device 'cuda:99'"),
    ],
)
def test_settings_are_checked_before_the_matching(refused, more, message):
    assert message in refused(*more)


def test_a_hypernetworks_device_must_be_there(refused):
    words = [word for name in ("network_weight=1", "device=cuda:99") for word in ("--option", name)]
    assert "method hyperofa: no device 'cuda:99'" in refused(*words, method="hyperofa")
    resolve_options(find_method("hyperofa"), NETWORK | {"device": "cuda:99"})  # a recipe may be checked elsewhere


def test_missing_text_and_directories_are_told_at_once(refused, rooms):
    assert "no such parallel text" in refused("--refine", "parallel", "--parallel", "nowhere", code=3)
    for name in ("--tokenizer", "--source"):
        assert "no such directory" in refused(name, str(rooms / "taget"), code=3)
    assert "taget: no such directory" in refused("--tokenizer", "taget", code=3)  # and never asked for at the hub


@pytest.mark.parametrize("role", ["pad", "mask"])
def test_a_target_without_a_needed_token_is_refused_before_the_matching(refused, rooms, role):
    changed = rooms / f"no-{role}"
    tokenizer = AutoTokenizer.from_pretrained(rooms / "target")
    setattr(tokenizer, f"{role}_token", None)
    tokenizer.save_pretrained(changed)
    assert f"no {role} token" in refused(tokenizer=changed.name)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        *(("ofa", {"neighbours": value}, "neighbours") for value in (0, -1, "nan", "inf", True, None)),
        *((name, {"neighbours": 0}, "neighbours 0 is not") for name in ("focus", "wechsel")),
        *(("ofa", {"temperature": value}, "temperature") for value in (0, -1, "nan", "inf")),
        *(("ridge", {"penalty": value}, "penalty") for value in (0, -1, "nan")),
        ("ridge", {"norm": "foo"}, "norm 'foo' is unknown"),
        *(("multivariate", {"scale": value}, "scale") for value in (-1, "nan")),
        *(("hyperofa", {name: -1}, f"{name} -1") for name in ("ofa_weight", "share_power", "known_words", "max_words")),
        ("hyperofa", {"max_words": 0}, "max_words 0"),
        ("hyperofa", {"share_power": 1000}, "share_power 1000 is not in"),
        ("hyperofa", dict.fromkeys(("ofa_weight", "ridge_weight", "broad_ridge_weight"), 0), "all of the four weights"),
        *(
            ("hyperofa", NETWORK | {name: value}, message)
            for name, value, message in (
                ("device", "foo", "unknown device 'foo'"),
                ("patience", 0, "patience 0"),
                ("learning_rate", "nan", "learning_rate"),
                ("network", "bilstmm", "did you mean 'bilstm'"),
                ("loss", "papre", "did you mean 'paper'"),
            )
        ),
        ("hyperofa", NETWORK | {"network": "set-transformer", "hidden": 7}, "hidden 7 is no multiple"),
    ],
)
def test_options_out_of_range_are_refused_with_their_name(method, options, message):
    with pytest.raises(InputError, match=r"method|hypernetwork|loss") as caught:
        resolve_options(find_method(method), options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_number_of_a_method_has_a_range_or_any_finite_value():
    for method in METHODS.values():
        assert not method.ranges.keys() - method.options.keys()
        for name, allowed in method.ranges.items():
            assert method.options[name] in allowed


@pytest.mark.parametrize(
    "setting",
    [
        *(
            {name: float("nan")}
            for name in ("learning_rate", "shared_rate", "warmup", "temperature", "pull", "smoothing")
        ),
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"smoothing": 1000.0},
        {"temperature": 0.0},
        {"pull": -1.0},
        {"max_length": 3},
        {"batch_size": 0},
        {"device": "foo"},
    ],
)
def test_settings_of_a_refinement_out_of_range_are_refused(setting):
    (name,) = setting
    with pytest.raises(InputError, match=name):
        RefineConfig(**setting)


def test_ranges_say_what_they_hold():
    half_open = Range(0, 1, above=True)
    assert [number in half_open for number in (0, 0.5, 1, float("nan"))] == [False, True, True, False]
    assert str(half_open) == "in (0, 1]"
    assert float("inf") not in Range(0)


class TestVectors:
    def test_that_match_nothing_are_refused(self, refused, rooms):
        write_store(rooms / "strange", ["eng:qqq", "deu:qq"], np.ones((2, 4), dtype=np.float32), {})
        line = refused(vectors="strange")
        assert "none of the 2 words matches a token of the target tokenizer" in line

    def test_of_which_few_match_are_told(self, rooms, tmp_path, caplog):
        words = [f"eng:q{'q' * i}" for i in range(300)] + ["eng:dog", "deu:hund"]
        write_store(tmp_path / "vectors", words, np.ones((302, 4), dtype=np.float32), {})
        logging.getLogger("hyperofa").propagate = True
        with caplog.at_level(logging.WARNING, logger="hyperofa"):
            initialise(
                InitConfig(str(rooms / "source"), rooms / "target", tmp_path / "vectors", tmp_path / "out", "ofa")
            )
        assert "only 2 of 302 words match" in caplog.text

    def test_with_a_mark_that_is_no_sign_are_refused(self, refused, rooms):
        shutil.copytree(rooms / "vectors", rooms / "marked")
        meta = json.loads((rooms / "marked" / "meta.json").read_text())
        for mark in (5, "", "ab"):
            (rooms / "marked" / "meta.json").write_text(json.dumps(meta | {"boundary": mark}))
            assert "is not one sign" in refused(vectors="marked")

    def test_malformed_keys_are_told_once(self, rooms, tmp_path, capsys):
        words = ["eng:dog", "a:b:c", "deu:hund"]
        write_store(tmp_path / "vectors", words, np.eye(3, dtype=np.float32), {})
        arguments = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--method", "ofa"]
        arguments += ["--vectors", tmp_path / "vectors", "--out", tmp_path / "out"]
        assert main([str(word) for word in arguments]) == 0
        assert capsys.readouterr().err.count("skipped 1 malformed of 3 keys, such as 'a:b:c'") == 1


class TestFileOfOnesOwn:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("import nothing_at_all", "ModuleNotFoundError: No module named 'nothing_at_all' (line 3)"),
            ("def (", "invalid syntax (line 3)"),
            ("m = 3", "'m' is not a hyperofa.init.registry.Method"),
            ("m = Method('m', '', lambda p: 1 / 0, {})", "ZeroDivisionError: division by zero (line 3)"),
            ("m = Method('m', '', lambda p: 'rows', {})", "returned str, not an array of numbers"),
            ("m = Method('m', '', lambda p: None, {})", "returned"),
            ("m = Method('m', '', lambda p: p.rows[:1], {})", "rows of shape"),
            ("m = Method('m', '', lambda p: p.notes.update(a=p.rows[0, 0]), {})", "left notes that are no JSON"),
            ("m = Method('m', '', None, {}, check=lambda options: options['a'])", "KeyError: 'a' (line 3)"),
        ],
    )
    def test_its_faults_are_one_line(self, rooms, tmp_path, capsys, text, message):
        file = tmp_path / "own.py"
        file.write_text(f"from hyperofa.init.registry import Method\n\n{text}\n")
        words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
        words += ["--method", f"{file}:m", "--out", tmp_path / "out"]
        assert main([str(word) for word in words]) == 2
        line = capsys.readouterr().err
        assert message in line
        assert line.count("\n") == 1
        assert not (tmp_path / "out").exists()

    def test_it_may_hold_dataclasses_and_predict(self, rooms, tmp_path):
        file = tmp_path / "own.py"
        file.write_text(
            "from __future__ import annotations\nfrom dataclasses import dataclass\n"
            "from hyperofa.init.registry import Method\n"
            "@dataclass\nclass Half:\n    share: float = 0.5\n"
            "m = Method('own', '', lambda p: Half().share * p.rows[:1].repeat(len(p.predict_ids), 0), {})\n"
        )
        words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
        assert main([str(word) for word in [*words, "--method", f"{file}:m", "--out", tmp_path / "out"]]) == 0
