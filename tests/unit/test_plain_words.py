"""Sentences are short and pages can be read: README and docs/, public docstrings, help texts and error lines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.prose import LONGEST, docstring_sentences, sentences, too_long, words_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "eval" / "README.md", *(ROOT / "docs").glob("*.md")])
GENERATED = ROOT / "docs" / "settings.md"
FACE = sorted(
    [
        *(ROOT / "hyperofa" / "api").glob("*.py"),
        *(
            ROOT / name
            for name in ("hyperofa/__init__.py", "eval/hyperofa_eval/__init__.py", "eval/hyperofa_eval/api.py")
        ),
    ]
)
CODE = sorted([*(ROOT / "hyperofa").rglob("*.py"), *(ROOT / "eval" / "hyperofa_eval").rglob("*.py")])
MANUAL_LINES = 150
ERRORS = {"InputError", "DataMissingError", "HyperofaError", "EvalError"}
SETTINGS = {"setting", "place", "shown"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def words(node: ast.expr | None) -> str:
    """The text of a string in the code; what it is filled with is one word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    if isinstance(node, ast.BinOp):
        return words(node.left) + words(node.right)
    return "X" if node is not None else ""


def calls(path: Path, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in names:
                yield node


def error_line(call: ast.Call) -> str:
    """``what; todo`` of an error that is made."""
    given = {word.arg: word.value for word in call.keywords}
    what = given.get("what", call.args[0] if call.args else None)
    return "; ".join(filter(None, (words(what), words(given.get("todo")))))


def help_text(call: ast.Call) -> str:
    """What a setting says of itself: the one text among its arguments that is a sentence, or ``help=``."""
    given = [word.value for word in call.keywords if word.arg == "help"]
    return max((words(one) for one in [*given, *call.args]), key=len, default="")


def test_a_sentence_ends_where_it_ends_and_tables_code_and_link_targets_do_not_count() -> None:
    page = "# A title\n\nOne two, `a b. c d` [three](x.md). Four (five.) Six\nseven.\n\n| a | b |\n\n"
    page += "```\ncode here\n```\n- eight\n- nine"
    assert list(sentences(page)) == ["One two, Code three.", "Four (five.", "Six seven.", "eight", "nine"]
    assert words_of("One two, – three.") == 3
    assert too_long(iter(["word " * LONGEST])) == []
    assert len(too_long(iter(["word " * (LONGEST + 1)]))) == 1


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_no_sentence_of_a_page_is_long(path: Path) -> None:
    assert too_long(sentences(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", [path for path in PAGES if path != GENERATED], ids=named)
def test_a_page_can_be_read_at_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MANUAL_LINES


def test_no_sentence_of_a_public_docstring_is_long() -> None:
    found = []
    for path in FACE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                name, said = getattr(node, "name", ""), docstring_sentences(ast.get_docstring(node) or "")
                found += [f"{named(path)} {name}: {one}" for one in too_long(said)]
    assert found == []


def test_no_sentence_of_a_help_text_is_long() -> None:
    texts = [(named(path), help_text(call)) for path in CODE for call in calls(path, SETTINGS)]
    assert len(texts) > 250
    assert [(path, one) for path, text in texts for one in too_long(docstring_sentences(text))] == []


def test_no_error_line_is_long() -> None:
    lines = [(named(path), error_line(call)) for path in CODE for call in calls(path, ERRORS)]
    assert len(lines) > 250
    assert [(path, one) for path, line in lines for one in too_long(docstring_sentences(line))] == []


def test_every_page_that_the_code_names_is_there() -> None:
    for path in [*CODE, *(ROOT / "recipes").rglob("*.yaml")]:
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / page).is_file(), f"{named(path)}: {page}"
