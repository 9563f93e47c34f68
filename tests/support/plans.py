"""Recipes that tests write, and their plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hyperofa.base.resources import resource
from hyperofa.experiment.recipe.resolve import Replacements, load_recipe
from hyperofa.experiment.workflow.graph import MARKER, Plan
from hyperofa_eval.base.files import write_text

SHIPPED = sorted(
    file.relative_to(resource("recipes")).with_suffix("").as_posix() for file in resource("recipes").rglob("*.yaml")
)
QUICKSTART = resource("recipes/quickstart.yaml")


def write_one_line_each(folder: Path, *names: str) -> None:
    """Files of one line below a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("one line\n", encoding="utf-8")


def edited(tmp_path: Path, **changes: Any) -> Path:
    """The quick start's recipe with ``group__key=value`` changed."""
    recipe = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *groups, key = name.split("__")
        inner = recipe
        for group in groups:
            inner = inner[group]
        inner[key] = value
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def plan_of(recipe: Path, *settings: str) -> Plan:
    """The plan of a recipe beside its data, with ``dotted.key=value`` words; its configs are written."""
    declared = yaml.safe_load(recipe.read_text(encoding="utf-8")).get("variables", {})
    given = Replacements(variables={"data": str(recipe.parent)} if "data" in declared else {}, settings=settings)
    plan = Plan(load_recipe(recipe, given), recipe.parent / "out", given)
    write_text(plan.out / MARKER, plan.text)
    plan.write_train_config()
    return plan
