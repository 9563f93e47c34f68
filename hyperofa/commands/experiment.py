"""``hyperofa experiment RECIPE``: a matrix of models, from its inputs to the report, by the ordinary commands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperofa.experiment.recipe.resolve import Replacements
    from hyperofa.experiment.workflow.graph import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``hyperofa experiment``."""
    parser.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a shipped one, such as small")
    parser.add_argument("--data", metavar="DIR", help="value of the recipe's variable data")
    parser.add_argument(
        "--var", action="append", default=[], metavar="NAME=VALUE", help="value of a variable of the recipe"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, such as train.settings.steps=50"
    )
    parser.add_argument("--out", type=Path, help="output directory (default: runs/ and the recipe's name)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="show the stages and their states, run nothing")
    what.add_argument(
        "--dry-run",
        action="store_true",
        help="show every command, what would be downloaded, and the plan; fetch nothing",
    )
    what.add_argument("--slurm", action="store_true", help="submit one job per stage with sbatch, and come back")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="STAGE/GLOB",
        help="run these stages and what they need: a kind (train), a name or glob, train/*-ofa-*; or report",
    )
    parser.add_argument("--from", dest="start", metavar="STAGE", help="take what stands before this stage as it is")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")


def run(args: argparse.Namespace) -> None:
    """Run, list, plan or submit a recipe; what is finished and still holds is reused."""
    from hyperofa.experiment.checking import check_plan
    from hyperofa.experiment.recipe.resolve import find_recipe, load_recipe
    from hyperofa.experiment.workflow.graph import Plan

    path, given = find_recipe(args.recipe), replacements(args)
    showing = args.list or args.dry_run
    recipe = load_recipe(path, given, lenient=showing)
    plan = Plan(recipe, args.out or Path("runs") / recipe.name, given)
    check_plan(plan, lenient=showing, data=not args.list)
    if args.list:
        _list(plan, args)
    elif args.dry_run:
        from hyperofa.experiment.dryrun import dry_run

        dry_run(plan, as_json=args.json, patterns=args.only, start=args.start)
    elif args.slurm:
        from hyperofa.experiment.slurm import submit

        submit(plan, _again(args), patterns=args.only, start=args.start)
    else:
        _run(plan, args)


def replacements(args: argparse.Namespace) -> Replacements:
    """What the command line gives in place of the recipe's values."""
    from hyperofa.experiment.recipe.resolve import Replacements, read_variables

    data = {"data": args.data} if args.data is not None else {}
    return Replacements(variables={**data, **read_variables(args.var)}, settings=args.set)


def _again(args: argparse.Namespace) -> list[str]:
    """The words that start the same experiment again, without what says which part of it."""
    words = [args.recipe]
    words += ["--data", args.data] if args.data is not None else []
    for option, values in (("--var", args.var), ("--set", args.set)):
        for value in values:
            words += [option, value]
    return words


def _run(plan: Plan, args: argparse.Namespace) -> None:
    from hyperofa.experiment.execution import PAGE, carry_out
    from hyperofa.experiment.results.collect import summary
    from hyperofa.report.terminal import print_results
    from hyperofa_eval.base.console import console, print_json

    results = carry_out(plan, patterns=args.only, start=args.start)
    if not results:
        return
    print_json(summary(results)) if args.json else print_results(results)
    console.print(f"The report: {plan.out / PAGE}", markup=False, soft_wrap=True)


def _list(plan: Plan, args: argparse.Namespace) -> None:
    from hyperofa.experiment.workflow.listing import HOLDS, states
    from hyperofa.experiment.workflow.selection import before, only
    from hyperofa_eval.base.console import output, print_json, table

    stages = plan.stages()
    chosen = only(stages, args.only) if args.only else {stage.name for stage in stages}
    trusted = before(stages, args.start) if args.start is not None else frozenset()
    rows = [row for row in states(plan, stages, trusted=trusted) if row["name"] in chosen]
    if args.json:
        print_json(rows)
        return
    table(f"{plan.recipe.name}: {plan.out}", ("stage", "state", "seconds"), [[*map(str, row.values())] for row in rows])
    done = sum(row["state"] in HOLDS for row in rows)
    output.print(
        f"{done} of {len(rows)} stages done, {len(list(plan.recipe.cells()))} cells, {len(plan.recipe.trained())} trained"
    )
