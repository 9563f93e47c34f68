"""``hyperofa experiment RECIPE``: a matrix of models, from its inputs to the report, by the ordinary commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa_eval.settings.arguments import words_of
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import Settings, place, setting, shown

if TYPE_CHECKING:
    from hyperofa.experiment.workflow.graph import Plan


@dataclass(frozen=True, kw_only=True)
class Experiment(Settings):
    """The options of ``hyperofa experiment``."""

    recipe: str = place(
        help="a YAML file, or the name of a shipped one, such as small", positional=True, metavar="RECIPE"
    )
    data: str | None = place(None, "value of the recipe's variable data", metavar="DIR")
    variables: dict[str, str] = setting(
        factory=dict, help="value of a variable of the recipe", flag="--var", append=True, metavar="NAME=VALUE"
    )
    settings: tuple[str, ...] = setting(
        (), "a setting, such as train.settings.steps=50", flag="--set", append=True, metavar="KEY=VALUE"
    )
    out: Path | None = place(None, "output directory (default: runs/ and the recipe's name)")
    list: bool = shown(False, "show the stages and their states, run nothing", group="what")
    dry_run: bool = shown(
        False, "show every command, what would be downloaded, and the plan; fetch nothing", group="what"
    )
    slurm: bool = shown(False, "submit one job per stage with sbatch, and come back", group="what")
    only: tuple[str, ...] = shown(
        (),
        "run these stages and what they need: a kind (train), a name or glob, train/*-ofa-*; or report",
        append=True,
        metavar="STAGE/GLOB",
    )
    start: str | None = shown(None, "take what stands before this stage as it is", flag="--from", metavar="STAGE")
    json: bool = shown(False, "print JSON in place of tables")


def run(options: Experiment) -> None:
    """Run, list, plan or submit a recipe; what is finished and still holds is reused."""
    from hyperofa.experiment.checking import check_plan
    from hyperofa.experiment.recipe.resolve import Replacements, find_recipe, load_recipe
    from hyperofa.experiment.workflow.graph import Plan

    data = {"data": options.data} if options.data is not None else {}
    replacements = Replacements(variables=data | options.variables, settings=options.settings)
    showing = options.list or options.dry_run
    recipe = load_recipe(find_recipe(options.recipe), replacements, lenient=showing)
    plan = Plan(recipe, options.out or Path("runs") / recipe.name, replacements)
    check_plan(plan, lenient=showing, data=not options.list)
    if options.list:
        _list(plan, options)
    elif options.dry_run:
        from hyperofa.experiment.dryrun import dry_run

        dry_run(plan, as_json=options.json, patterns=options.only, start=options.start)
    elif options.slurm:
        from hyperofa.experiment.slurm import submit

        submit(plan, _experiment_words(options), patterns=options.only, start=options.start)
    else:
        run_plan(plan, as_json=options.json, patterns=options.only, start=options.start)


def _experiment_words(options: Experiment) -> list[str]:
    """The words that start the same experiment again, without what says which part of it."""
    names = ("recipe", "data", "variables", "settings")
    return words_of(Experiment, {name: getattr(options, name) for name in names})


def run_plan(plan: Plan, *, as_json: bool, patterns: Sequence[str] = (), start: str | None = None) -> None:
    """Run stages of an experiment and print what it found so far, if its report was asked for."""
    from hyperofa.experiment.execution import PAGE, carry_out
    from hyperofa.experiment.results.collect import summary
    from hyperofa.report.terminal import print_results
    from hyperofa_eval.base.console import console, print_json

    results = carry_out(plan, patterns=patterns, start=start)
    if not results:
        return
    print_json(summary(results)) if as_json else print_results(results)
    console.print(f"The report: {plan.out / PAGE}", markup=False, soft_wrap=True)


def _list(plan: Plan, options: Experiment) -> None:
    from hyperofa.experiment.workflow.listing import HOLDS, states
    from hyperofa.experiment.workflow.selection import select, stages_before
    from hyperofa_eval.base.console import output, print_json, table

    stages = plan.stages()
    chosen, trusted = select(stages, options.only), stages_before(stages, options.start)
    rows = [row for row in states(plan, stages, trusted=trusted) if row["name"] in chosen]
    if options.json:
        print_json(rows)
        return
    table(f"{plan.recipe.name}: {plan.out}", ("stage", "state", "seconds"), [[*map(str, row.values())] for row in rows])
    done = sum(row["state"] in HOLDS for row in rows)
    output.print(
        f"{done} of {len(rows)} stages done, {len(list(plan.recipe.cells()))} cells, {len(plan.recipe.trained())} trained"
    )


COMMAND = Command(Experiment, run)
