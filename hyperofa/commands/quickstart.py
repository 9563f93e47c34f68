"""``hyperofa quickstart``: run a recipe from its inputs to the report, by the same commands a user would type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import Settings, place, setting, shown


@dataclass(frozen=True, kw_only=True)
class Quickstart(Settings):
    """The options of ``hyperofa quickstart``."""

    recipe: Path | None = place(None, "a recipe of your own (default: recipes/quickstart.yaml)")
    source: str | None = place(None, "source model, a directory or hub id, in place of the recipe's", metavar="MODEL")
    tokenizer: str | None = place(None, "target tokenizer, in place of training one", metavar="DIR")
    vectors: Path | None = place(None, "word vectors, in place of building them", metavar="DIR")
    data: Path | None = place(None, "parallel text: line-aligned LANG.txt with eng.txt", metavar="DIR")
    variables: dict[str, str] = setting(
        factory=dict, help="value of a variable of your recipe", flag="--var", append=True, metavar="NAME=VALUE"
    )
    out: Path | None = place(None, "output directory (default: runs/ and the recipe's name)")
    json: bool = shown(False, "print the summary as JSON in place of the table")


def run(options: Quickstart) -> None:
    """Run the recipe; what is finished and still holds is reused."""
    from hyperofa.base.files import check_output
    from hyperofa.base.resources import resource
    from hyperofa.commands.experiment import run_plan
    from hyperofa.experiment.checking import check_plan
    from hyperofa.experiment.recipe.resolve import Replacements, load_recipe
    from hyperofa.experiment.workflow.graph import MARKER, Plan

    replacements = Replacements(options.source, options.tokenizer, options.vectors, options.data, options.variables)
    recipe = load_recipe(options.recipe or resource("recipes/quickstart.yaml"), replacements)
    out = options.out or Path("runs") / recipe.name
    check_output(out, MARKER, replaced=False)
    replacements.check()
    plan = Plan(recipe, out, replacements)
    check_plan(plan)
    run_plan(plan, as_json=options.json)


COMMAND = Command(Quickstart, run)
