"""``hyperofa quickstart``: run a recipe from its inputs to the report, by the same commands a user would type."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``hyperofa quickstart``."""
    parser.add_argument("--recipe", type=Path, help="a recipe of your own (default: recipes/quickstart.yaml)")
    parser.add_argument(
        "--source", metavar="MODEL", help="source model, a directory or hub id, in place of the recipe's"
    )
    parser.add_argument("--tokenizer", metavar="DIR", help="target tokenizer, in place of training one")
    parser.add_argument("--vectors", type=Path, metavar="DIR", help="word vectors, in place of building them")
    parser.add_argument("--data", type=Path, metavar="DIR", help="parallel text: line-aligned LANG.txt with eng.txt")
    parser.add_argument(
        "--var", action="append", default=[], metavar="NAME=VALUE", help="value of a variable of your recipe"
    )
    parser.add_argument("--out", type=Path, help="output directory (default: runs/ and the recipe's name)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON in place of the table")


def run(args: argparse.Namespace) -> None:
    """Run the recipe; what is finished and still holds is reused."""
    from hyperofa.base.files import check_output
    from hyperofa.base.resources import resource
    from hyperofa.experiment.checking import check_plan
    from hyperofa.experiment.execution import PAGE, carry_out
    from hyperofa.experiment.recipe.resolve import Replacements, load_recipe, read_variables
    from hyperofa.experiment.results.collect import summary
    from hyperofa.experiment.workflow.graph import MARKER, Plan
    from hyperofa.report.terminal import print_results
    from hyperofa_eval.base.console import console, print_json

    given = Replacements(args.source, args.tokenizer, args.vectors, args.data, read_variables(args.var))
    recipe = load_recipe(args.recipe or resource("recipes/quickstart.yaml"), given)
    out = args.out or Path("runs") / recipe.name
    check_output(out, MARKER)
    given.check()
    plan = Plan(recipe, out, given)
    check_plan(plan)
    results = carry_out(plan)
    print_json(summary(results)) if args.json else print_results(results)
    console.print(f"The report: {out / PAGE}", markup=False, soft_wrap=True)
