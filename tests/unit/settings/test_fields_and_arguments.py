"""A setting stands in one place: flags, help, checks, words, tables and Python keywords come from its dataclass."""

from __future__ import annotations

import argparse
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from hyperofa.errors import InputError
from hyperofa_eval.settings.arguments import add_arguments, from_arguments, words_of
from hyperofa_eval.settings.commands import Command, fill_parser
from hyperofa_eval.settings.config import build_config, load_config, recorded
from hyperofa_eval.settings.fields import Range, SettingError, Settings, place, setting, shown
from hyperofa_eval.settings.keywords import takes
from hyperofa_eval.settings.tables import markdown


def lengths(words: list[str]) -> dict[str, int]:
    return {word: len(word) for word in words}


@dataclass(frozen=True, kw_only=True)
class Bake(Settings):
    """Settings of every kind."""

    flour: tuple[Path, ...] = place(help="bags", metavar="BAG")
    out: Path = place(help="the loaf")
    heat: float = setting(220.0, "degrees", range=Range(50, 300))
    minutes: int | None = setting(None, "how long", range=Range(0, above=True))
    shape: Literal["round", "long"] = setting("round", "of the loaf")
    salt: bool = setting(True, "put salt in")
    seeds: bool = setting(False, "put seeds on top")
    rank: int | Literal["full"] = setting("full", "slices")
    spices: tuple[str, ...] = setting((), "names", separator=",")
    fruits: tuple[str, ...] = setting(("plum", "fig"), "fruits", separator=",")
    notes: tuple[str, ...] = setting((), "one each", append=True)
    options: dict[str, Any] = setting(factory=dict, help="KEY=VALUE", append=True, flag="--option")
    sizes: dict[str, int] = setting(factory=dict, help="by name", read=lengths)
    json: bool = shown(False, "print JSON")

    def check(self) -> None:
        """Long loaves have no seeds."""
        if self.shape == "long" and self.seeds:
            raise SettingError("seeds", "fall off a long loaf", todo="bake a round one")


def parsed(*words: str) -> Bake:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Bake)
    return from_arguments(Bake, vars(parser.parse_args(["--flour", "a", "b", "--out", "loaf", *words])))


def test_options_become_typed_values() -> None:
    words = [
        "--heat",
        "100",
        "--minutes",
        "5",
        "--shape",
        "long",
        "--no-salt",
        "--rank",
        "12",
        "--spices",
        "dill, anise",
    ]
    words += [
        "--notes",
        "x",
        "--notes",
        "y",
        "--option",
        "a=1e-3",
        "--option",
        "b=[1, 2]",
        "--sizes",
        "ab",
        "c",
        "--json",
    ]
    loaf = parsed(*words)
    assert (loaf.flour, loaf.out) == ((Path("a"), Path("b")), Path("loaf"))
    assert (loaf.heat, loaf.minutes, loaf.shape, loaf.salt, loaf.rank) == (100.0, 5, "long", False, 12)
    assert (loaf.spices, loaf.notes) == (("dill", "anise"), ("x", "y"))
    assert loaf.options["b"] == [1, 2]
    assert loaf.sizes == {"ab": 2, "c": 1}
    assert loaf.json


def test_what_is_not_given_has_the_default_of_the_dataclass() -> None:
    assert parsed() == Bake(flour=(Path("a"), Path("b")), out=Path("loaf"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--heat", "20"], "--heat: 20.0 is not in [50, 300]"),
        (["--heat", "nan"], "--heat: nan is not"),
        (["--minutes", "0"], "--minutes: 0 is not a number above 0"),
        (["--shape", "long", "--seeds"], "--seeds: fall off a long loaf; bake a round one"),
        (["--rank", "half"], "--rank: 'half' is not a whole number or 'full'"),
        (["--spices", " , "], "--spices: names nothing"),
        (["--option", "a"], "--option: 'a' is not KEY=VALUE"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_option(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(*words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_required_options_are_named() -> None:
    with pytest.raises(InputError, match="required: --flour, --out"):
        from_arguments(Bake, {})


def test_yaml_and_keywords_are_checked_alike(tmp_path: Path) -> None:
    file = tmp_path / "bake.yaml"
    file.write_text("flour: [a]\nout: loaf\nheat: 20\n")
    with pytest.raises(InputError, match=r"bake.yaml: heat: 20.0 is not in"):
        load_config(Bake, file)
    with pytest.raises(InputError, match="did you mean"):
        build_config(Bake, {"flour": ["a"], "out": "loaf", "heats": 1}, "bake")
    with pytest.raises(InputError, match="heat: 20 is not in"):
        Bake(flour=(Path("a"),), out=Path("b"), heat=20)


@dataclass(frozen=True)
class Oven(Settings):
    """Settings inside settings."""

    bakes: dict[str, Bake]
    door: Heat


@dataclass(frozen=True, kw_only=True)
class Heat(Settings):
    """Several kinds of values."""

    top: int = setting(200, "degrees", range=Range(50))
    names: dict[str, str] = setting(factory=dict, help="of the levels", metavar="LEVEL=NAME")
    limit: int | dict[str, int] | None = setting(None, "of all levels or some", read=lengths)


def test_of_settings_inside_settings_the_whole_path_is_named() -> None:
    bake = {"flour": ["a"], "out": "loaf"}
    with pytest.raises(SettingError, match=r"oven: door\.top: 20 is not a number of 50 or more") as caught:
        build_config(Oven, {"bakes": {}, "door": {"top": 20}}, "oven")
    assert caught.value.name == "door.top"
    with pytest.raises(InputError, match=r"oven: bakes\.rye\.seeds: fall off a long loaf; bake a round one"):
        build_config(Oven, {"bakes": {"rye": {**bake, "shape": "long", "seeds": True}}, "door": {}}, "oven")


def test_pairs_of_text_are_not_read_as_yaml_and_a_setting_may_be_one_value_or_several() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Heat)
    read = from_arguments(Heat, vars(parser.parse_args(["--names", "low=[1]", "high=a=b", "--limit", "abc", "d"])))
    assert read.names == {"low": "[1]", "high": "a=b"}
    assert read.limit == {"abc": 3, "d": 1}
    assert Heat(limit=5).limit == build_config(Heat, {"limit": 5}).limit == 5
    for word in ("low", "low=", "=x"):
        with pytest.raises(InputError, match=f"--names: '{word}' is not LEVEL=NAME"):
            from_arguments(Heat, {"names": [word]})


def test_words_of_values_are_read_back_as_the_values() -> None:
    values: dict[str, Any] = {
        "flour": ["a", "b"], "out": "loaf", "heat": 99.5, "minutes": 3, "shape": "long", "salt": False, "rank": 7,
        "spices": ["x", "y"], "notes": ["p q", "r"], "options": {"k": None, "on": True, "rate": 0.001},
    }  # fmt: skip
    parser = argparse.ArgumentParser()
    add_arguments(parser, Bake)
    read = from_arguments(Bake, vars(parser.parse_args(words_of(Bake, values))))
    assert read == build_config(Bake, values)


@pytest.mark.parametrize(
    "value", [[1, 2], ["a", "b=c"], "no", "1", "null", "plain words", "a: b", "[x", {"a": [1]}, "", 0.5, "-x"]
)
def test_any_value_of_an_option_comes_back_through_its_words(value: Any) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Bake)
    values = {"flour": ["a"], "out": "loaf", "options": {"k": value, "l": 1}}
    assert from_arguments(Bake, vars(parser.parse_args(words_of(Bake, values)))).options == {"k": value, "l": 1}


def test_words_that_begin_with_a_dash_are_values() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Bake)
    values = {"flour": ["-a", "b"], "out": "--loaf", "spices": ["-x", "y"], "notes": ["-n", "m"]}
    read = from_arguments(Bake, vars(parser.parse_args(words_of(Bake, values))))
    assert read == build_config(Bake, values)


def test_the_record_holds_what_decides_the_result() -> None:
    record = recorded(parsed("--heat", "100", "--json"), leave_out=("notes",))
    assert record["heat"] == 100.0
    assert not {"flour", "out", "json", "notes"} & set(record)


def test_help_and_table_name_every_option_and_default() -> None:
    parser = argparse.ArgumentParser(prog="bake")
    add_arguments(parser, Bake)
    text = " ".join(parser.format_help().split())
    assert "degrees (default: 220.0)" in text
    assert "fruits (default: plum,fig)" in text
    assert "the loaf (required)" in text
    assert "--no-salt do not: put salt in" in text
    assert text.index("--flour") < text.index("--heat") < text.index("--json")
    rows = markdown(Bake)
    assert len(rows) == 2 + 14
    assert "| `--heat` | `heat` | number | `220.0` | degrees (in [50, 300]) |" in rows
    assert any("| required |" in row for row in rows)


def test_a_function_shows_the_settings_it_takes() -> None:
    @takes(Bake)
    def bake(flour: str, **settings: Any) -> Bake:
        """Bake a loaf."""
        return build_config(Bake, {"flour": [flour], "out": "x", **settings}, "bake")

    parameters = inspect.signature(bake).parameters
    assert parameters["out"].default is inspect.Parameter.empty
    assert "json" not in parameters
    assert parameters["heat"].default == 220.0
    assert "heat: degrees" in (bake.__doc__ or "")
    assert bake("a", heat=60).heat == 60


def test_a_command_may_do_something_else_without_its_required_options() -> None:
    said: list[str] = []
    command = Command(Bake, lambda _: 0, instead={"json": lambda _: said.append("json")})
    parser = argparse.ArgumentParser()
    fill_parser(parser, {"bread": command})
    assert command.called_with(parser.parse_args(["bread", "--json"])) is None
    assert said == ["json"]
    with pytest.raises(InputError, match="required: --flour, --out; see --help"):
        command.called_with(parser.parse_args(["bread"]))


def test_a_value_that_the_command_itself_refuses_is_named_by_its_option() -> None:
    def refuse(where: str | None) -> Command:
        def run(_: Bake) -> None:
            raise SettingError("rank", "too many slices", where=where)

        return Command(Bake, run)

    given = argparse.Namespace(flour=["a"], out="loaf")
    for where, line in {None: "--rank: too many slices", "bake.yaml": "bake.yaml: rank: too many slices"}.items():
        with pytest.raises(SettingError) as caught:
            refuse(where).called_with(given)
        assert str(caught.value) == line


@pytest.mark.parametrize("name", ["heat", "minutes"])
def test_true_is_no_number(name: str) -> None:
    """Trap: pydantic takes true for 1."""
    with pytest.raises(SettingError, match=f"bake: {name}: True is no number"):
        build_config(Bake, {"flour": ["a"], "out": "loaf", name: True}, "bake")
