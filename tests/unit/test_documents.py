"""Every command, recipe and program in README and docs/: parsed by the real parsers, built by the real classes, compiled."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml
from scipy.sparse import csr_matrix

from hyperofa import cli
from hyperofa.experiment.recipe.resolve import build_recipe
from hyperofa_eval import cli as eval_cli
from hyperofa_eval.settings.commandline import Parser
from hyperofa_eval.settings.commands import commands_of, fill_parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "eval" / "README.md", *(ROOT / "docs").glob("*.md")])
PROGRAMS = ("hyperofa ", "hyperofa-eval ", "accelerate ", "sbatch ", "./launch/quickstart.sh", "./launch/test.sh")
LEAST = {
    "name": "x",
    "sources": {"s": {"model": "m"}},
    "parallel": {"dir": "d"},
    "matrix": {"ranks": [1], "methods": {"random": {}}},
}


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    place: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for path in DOCUMENTS:
        if path.is_file():
            found = re.finditer(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
            for match in found:
                yield Block(f"{path.relative_to(ROOT)}:{match[2].strip().splitlines()[0][:60]}", match[1], match[2])


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every line that starts one of our programs, as words, without comments and leading VARIABLE=value."""
    for block in blocks():
        if (
            block.language not in {"", "bash", "sh", "console"} or "┃" in block.text
        ):  # the latter is what a command printed
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            if not line.lstrip("$ ").startswith(PROGRAMS) and not re.match(r"[A-Z_]+=\S+ (hyperofa|accelerate)", line):
                continue
            words = shlex.split(line.lstrip("$ "), comments=True)
            while re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            yield f"{block.place} | {line}", words


FOUND = list(commands())


def parse(words: list[str], module: ModuleType, prog: str) -> argparse.Namespace:
    parser = Parser(prog=prog)
    fill_parser(parser, commands_of(module))
    return parser.parse_args(words)


def check(words: list[str]) -> None:
    program, *rest = words
    if program == "hyperofa":
        assert rest[0] in cli.COMMANDS, f"no command {rest[0]}"
        args = parse(rest[1:], importlib.import_module(cli.COMMANDS[rest[0]][0]), " ".join(words[:2]))
        if rest[0] == "init" and "method" in args and not args.method.isupper() and ".py" not in args.method:
            from hyperofa.init.registry import find_method

            find_method(args.method)
    elif program == "hyperofa-eval":
        assert rest[0] in eval_cli.COMMANDS, f"no command {rest[0]}"
        parse(rest[1:], importlib.import_module(eval_cli.COMMANDS[rest[0]][0]), " ".join(words[:2]))
    elif program in {"accelerate", "sbatch"}:
        names = [word for word in rest if word.startswith(("launch/", "./launch/"))]
        for name in names:
            assert "…" in name or (ROOT / name).is_file(), name
        assert names or "-m" in rest
        if "-m" in rest:
            assert rest[rest.index("-m") + 1] in {"hyperofa.train", "hyperofa_eval"}
    else:
        assert (ROOT / program).is_file()


def test_there_are_commands() -> None:
    assert len(FOUND) > 40
    assert {words[0] for _, words in FOUND} >= {"hyperofa", "hyperofa-eval", "sbatch"}


@pytest.mark.parametrize(("place", "words"), FOUND, ids=[place for place, _ in FOUND])
def test_every_command_is_one_that_exists(place: str, words: list[str]) -> None:
    if any(word == "…" or word.startswith("[") for word in words):
        pytest.skip("a pattern of a command, not one to type")
    try:
        check(words)
    except SystemExit as error:
        pytest.fail(f"{place}: not accepted (exit {error.code})")


def inline() -> Iterator[tuple[str, str]]:
    """Commands within sentences: a document, and what stands between two backticks."""
    for path in DOCUMENTS:
        text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for found in re.findall(r"`((?:hyperofa|hyperofa-eval) [^`]+)`", text):
            yield str(path.relative_to(ROOT)), found


INLINE = [(place, words) for place, words in inline() if words.split()[1] not in {"COMMAND", "…"}]


def parsers_of(program: str, command: str, words: list[str]) -> list[argparse.ArgumentParser]:
    """The parser of a command, and those of the subcommands that its words name."""
    table = cli.COMMANDS if program == "hyperofa" else eval_cli.COMMANDS
    parser: argparse.ArgumentParser = Parser(prog=f"{program} {command}")
    fill_parser(parser, commands_of(importlib.import_module(table[command][0])))
    found = [parser]
    for word in words:
        below = [action for action in found[-1]._actions if isinstance(action, argparse._SubParsersAction)]
        if not below:
            break
        for name in word.split("|"):
            assert name in below[0].choices, f"no {program} {command} {name}"
        found.append(below[0].choices[word.split("|")[0]])
    return found


@pytest.mark.parametrize(("place", "typed"), INLINE, ids=[f"{place}: {typed}" for place, typed in INLINE])
def test_every_command_in_a_sentence_has_its_options(place: str, typed: str) -> None:
    program, command, *rest = typed.replace("[", "").replace("]", "").split()
    assert command in (cli.COMMANDS if program == "hyperofa" else eval_cli.COMMANDS), f"{place}: no command {command}"
    known = {word for parser in parsers_of(program, command, rest) for word in parser._option_string_actions}
    assert {word for word in rest if word.startswith("--")} <= known


def test_there_are_commands_in_sentences() -> None:
    assert len(INLINE) > 20
    assert any(words.startswith("hyperofa-eval data check") for _, words in INLINE)


YAML = [block for block in blocks() if block.language == "yaml"]


@pytest.mark.parametrize("block", YAML, ids=[block.place for block in YAML])
def test_every_recipe_is_one_that_is_accepted(block: Block) -> None:
    values = yaml.safe_load(block.text)
    if not set(values) & {"matrix", "slurm", "sources", "evaluate"}:
        pytest.skip("not a recipe")
    least = {key: value for key, value in LEAST.items() if key != "parallel" or "inputs" not in values}
    build_recipe({**least, **values, "matrix": {**LEAST["matrix"], **values.get("matrix", {})}}, block.place)


PYTHON = [block for block in blocks() if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=[block.place for block in PYTHON])
def test_every_program_imports_what_there_is(block: Block) -> None:
    compile(block.text, block.place, "exec")
    for line in block.text.splitlines():
        if re.match(r"(from hyperofa\S* import|import hyperofa)", line):
            exec(line, {})


def test_the_method_of_the_guide_predicts(tmp_path: Path) -> None:
    from hyperofa.init.method import make_settings, run_method
    from hyperofa.init.problem import Problem
    from hyperofa.init.registry import find_method

    text = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    match = re.search(r"```python\n# nearest\.py.*?\n(.*?)```", text, re.DOTALL)
    assert match is not None
    (tmp_path / "nearest.py").write_text(match[1], encoding="utf-8")
    method = find_method(f"{tmp_path / 'nearest.py'}:nearest")
    vectors = np.asarray([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]], dtype=np.float32)
    problem = Problem(
        rows=np.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=np.float32),
        vectors=vectors,
        source_words=csr_matrix(([1.0, 1.0], ([0, 1], [0, 1])), shape=(3, 3), dtype=np.float32),
        target_words=csr_matrix(([1.0], ([1], [2])), shape=(2, 3), dtype=np.float32),
        source_ids=np.asarray([0, -1]),
        predict_ids=np.asarray([1]),
        source_groups=np.arange(3),
    )
    for options, expected in (({}, [1.0, 2.0]), ({"among": 2}, [2.0, 3.0])):
        rows = run_method(method, dataclasses.replace(problem, settings=make_settings(method, options)))
        assert rows is not None
        assert rows.tolist() == [expected]
