"""The registry: methods and their settings by name, files of one's own, and names that changed."""

from __future__ import annotations

import pytest

from hyperofa.cli import main
from hyperofa.errors import DataMissingError, InputError
from hyperofa.init.method import run_method
from hyperofa.init.registry import METHODS, Method, find_method, renamed, settings_for


def test_an_unknown_method_and_option_name_the_nearest():
    with pytest.raises(InputError, match="unknown method 'hyprofa'; did you mean 'hyperofa'"):
        find_method("hyprofa")
    with pytest.raises(InputError, match="did you mean 'neighbours'"):
        settings_for(METHODS["ofa"], {"neighbors": 3})


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("hyperofa", {"preset": "paper"}, "method hyperofa: no option 'preset'; use the method ofa-ridge"),
        ("ofa-ridge", {"preset": "default"}, "or hyperofa (the published network)"),
        ("hyperofa", {"ridge_weight": 1}, "no option 'ridge_weight'; it belongs to ofa-ridge"),
        ("ofa-ridge", {"epochs": 1}, "no option 'epochs'; it belongs to hyperofa"),
        ("ofa-ridge", {"network_weight": 0.5}, "the method ofa-ridge has no network"),
        ("ridge", {"neighbours": 1}, "it belongs to focus and hyperofa and ofa and wechsel"),
    ],
)
def test_an_option_of_another_method_or_time_is_named_as_such(method, options, message):
    with pytest.raises(InputError) as caught:
        settings_for(find_method(method), options)
    assert message in str(caught.value)


def test_the_command_refuses_presets(capsys):
    assert main(["init", "--source", "S", "--preset", "paper"]) == 2
    line = capsys.readouterr().err
    assert "the method ofa-ridge, or hyperofa (the published network)" in line
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"method": "hyperofa", "preset": "default"}, "ofa-ridge"),
        ({"method": "hyperofa", "preset": "paper"}, None),
        ({"method": "ofa", "preset": None}, None),
        ({"schema": 2, "method": "hyperofa"}, None),
    ],
)
def test_methods_of_old_records_are_known_by_their_present_name(record, name):
    assert renamed(record) == name


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        *(("ofa", {"neighbours": value}, "neighbours") for value in (0, -1, "nan", "inf", True, None, "ten", 2.5)),
        ("wechsel", {"neighbours": 0}, "neighbours: 0 is not"),
        ("focus", {"neighbours": -1}, "neighbours: -1 is not"),
        ("wechsel", {"copies": "perhaps"}, "copies"),
        ("ofa", {"fold_case": 2}, "fold_case"),
        *(("ofa", {"temperature": value}, "temperature") for value in (0, -1, "nan", "inf", False)),
        *(("ridge", {"penalty": value}, "penalty") for value in (0, -1, "nan")),
        ("ridge", {"norm": "foo"}, "norm: Input should be 'as-predicted' or 'source'"),
        *(("multivariate", {"scale": value}, "scale") for value in (-1, "nan")),
        *(("ofa-ridge", {name: -1}, f"{name}: -1") for name in ("ofa_weight", "share_power", "known_words")),
        ("ofa-ridge", {"share_power": 1000}, "share_power: 1000.0 is not in"),
        ("ofa-ridge", dict.fromkeys(("ofa_weight", "ridge_weight", "broad_ridge_weight"), 0), "all three weights"),
        *(
            ("hyperofa", {name: value}, message)
            for name, value, message in (
                ("device", "foo", "unknown device 'foo'"),
                ("patience", 0, "patience: 0"),
                ("learning_rate", "nan", "learning_rate"),
                ("learning_rate", -1, "learning_rate: -1.0 is not a number above 0"),
                ("dropout", 1.0, "dropout: 1.0 is not in [0, 1)"),
                ("layers", "two", "layers"),
                ("epochs", -1, "epochs: -1 is not"),
                ("network", "bilstmm", "'bilstm'"),
                ("loss", "papre", "'paper'"),
            )
        ),
        ("hyperofa", {"network": "set-transformer", "hidden": 7}, "hidden: 7 is no multiple"),
    ],
)
def test_an_option_that_cannot_be_is_one_line_with_its_name(name, given, message):
    with pytest.raises(InputError, match=r"method|hypernetwork") as caught:
        settings_for(find_method(name), given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_yaml_reads_as_text_is_a_number():
    assert settings_for(METHODS["ofa"], {"temperature": "1e-1"}).temperature == 0.1


def test_registered_methods_say_what_they_do():
    assert set(METHODS) >= {
        "random",
        "mean",
        "multivariate",
        "subword-mean",
        "ofa",
        "focus",
        "wechsel",
        "ridge",
        "hyperofa",
        "ofa-ridge",
    }
    for method in METHODS.values():
        assert isinstance(method, Method)
        assert method.summary


def test_a_users_own_method_is_loaded_and_checked(tmp_path, problem):
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\nfrom hyperofa.init.registry import Method\n"
        "mine = Method('mine', 'ones', lambda p: np.ones((len(p.predict_ids), p.rows.shape[1])))\n"
        "short = Method('short', 'wrong shape', lambda p: np.ones((1, 2)))\n"
        "broken = Method('broken', 'not finite', lambda p: np.full((len(p.predict_ids), p.rows.shape[1]), np.nan))\n"
        "thing = 3\n"
    )
    assert (run_method(find_method(f"{file}:mine"), problem) == 1).all()
    with pytest.raises(InputError, match=r"rows of shape \(1, 2\), not \(22, 6\)"):
        run_method(find_method(f"{file}:short"), problem)
    with pytest.raises(InputError, match="NaN or infinite"):
        run_method(find_method(f"{file}:broken"), problem)
    with pytest.raises(InputError, match="is not a hyperofa"):
        find_method(f"{file}:thing")
    with pytest.raises(DataMissingError, match="no such file"):
        find_method(f"{tmp_path}/none.py:mine")


class TestFileOfOnesOwn:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("import nothing_at_all", "ModuleNotFoundError: No module named 'nothing_at_all' (line 3)"),
            ("def (", "invalid syntax (line 3)"),
            ("m = 3", "'m' is not a hyperofa.init.registry.Method"),
            ("m = Method('m', '', lambda p: 1 / 0)", "ZeroDivisionError: division by zero (line 3)"),
            ("m = Method('m', '', lambda p: 'rows')", "returned str, not an array of numbers"),
            ("m = Method('m', '', lambda p: None)", "returned"),
            ("m = Method('m', '', lambda p: p.rows[:1])", "rows of shape"),
            ("m = Method('m', '', lambda p: p.notes.update(a=p.rows[0, 0]))", "left notes that are no JSON"),
            (
                "from hyperofa_eval.settings.fields import Settings\nclass Own(Settings):\n    def check(self):\n"
                "        raise KeyError('a')\nm = Method('m', '', None, Own)",
                "KeyError: 'a' (line 6)",
            ),
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
            "m = Method('own', '', lambda p: Half().share * p.rows[:1].repeat(len(p.predict_ids), 0))\n"
        )
        words = ["init", "--source", rooms / "source", "--tokenizer", rooms / "target", "--vectors", rooms / "vectors"]
        assert main([str(word) for word in [*words, "--method", f"{file}:m", "--out", tmp_path / "out"]]) == 0
