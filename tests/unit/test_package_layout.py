"""The layout of the packages: which subpackages import which, no circles, no crowded folders."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"hyperofa": ROOT / "hyperofa", "hyperofa_eval": ROOT / "eval/hyperofa_eval"}
SHARED = ("hyperofa_eval.base", "hyperofa_eval.text")
"""The subpackages of the harness that import none of its others."""
MOST_MODULES = 12

Imports = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module of both packages, by name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(text: str) -> Iterator[tuple[str, str | None]]:
    """What a module imports, also inside functions and for type checking: modules, with the name taken from each."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, "imports are absolute"
            yield from ((node.module, name.name) for name in node.names)
        elif isinstance(node, ast.Import):
            yield from ((name.name, None) for name in node.names)


def graph(known: dict[str, Path]) -> Imports:
    """By module, the modules of ours that it imports."""
    found: Imports = {}
    for module, path in known.items():
        taken = {
            f"{source}.{name}" if f"{source}.{name}" in known else source
            for source, name in imported(path.read_text(encoding="utf-8"))
        }
        found[module] = {name for name in taken if name in known} - {module}
    return found


def reach(imports: Imports, start: str) -> set[str]:
    """Every module that ``start`` imports, directly or not."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        new = imports[ahead.pop()] - seen
        seen |= new
        ahead += new
    return seen


def circles(imports: Imports) -> set[frozenset[str]]:
    """Sets of modules that import each other."""
    reached = {module: reach(imports, module) for module in imports}
    together = ({other for other in names if module in reached[other]} for module, names in reached.items())
    return {frozenset(names) for names in together if names}


@pytest.fixture(scope="module")
def imports() -> Imports:
    """The imports of both packages."""
    return graph(modules())


def named(names: Iterable[str], *packages: str) -> list[str]:
    """Those of ``names`` that lie in one of the packages."""
    return sorted(name for name in names if any(name == each or name.startswith(f"{each}.") for each in packages))


def test_no_module_imports_itself_by_way_of_others(imports: Imports) -> None:
    assert circles(imports) == set()


def test_a_circle_is_found_wherever_its_imports_stand() -> None:
    known = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circles(known) == {frozenset("abc")}
    hidden = "def f():\n    import a\nif TYPE_CHECKING:\n    from b import c\n"
    assert set(imported(hidden)) == {("a", None), ("b", "c")}


def test_the_harness_imports_nothing_of_the_package() -> None:
    for module, path in modules().items():
        if named([module], "hyperofa_eval"):
            assert not named((source for source, _ in imported(path.read_text(encoding="utf-8"))), "hyperofa"), module


def test_what_both_packages_share_stands_on_nothing_else(imports: Imports) -> None:
    languages = {"hyperofa_eval.languages"}  # the name of the pivot
    for module in named(imports, *SHARED):
        others = set(named(imports[module], "hyperofa_eval")) - set(named(imports[module], *SHARED)) - languages
        assert not others, module
    for module in named(imports, SHARED[0]):
        assert not set(named(imports[module], "hyperofa_eval")) - set(named(imports[module], SHARED[0])), module


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_is_crowded(package: str) -> None:
    for folder in {path.parent for path in modules().values() if path.is_relative_to(PACKAGES[package])}:
        count = sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        assert count <= MOST_MODULES, f"{folder} holds {count} modules"
