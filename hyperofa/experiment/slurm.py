"""An experiment as SLURM jobs: one per stage, each waiting for the jobs of the stages that it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hyperofa.errors import HyperofaError, InputError
from hyperofa.experiment.execution import working_in
from hyperofa.experiment.listing import states
from hyperofa.experiment.plan import MARKER, Plan
from hyperofa.experiment.selection import REPORT, before, only
from hyperofa.experiment.stages import dependencies
from hyperofa.files import check_output, write_json
from hyperofa.resources import resource

KINDS = (
    "source", "messages", "split", "gather", "vectors", "tokenizer", "corpus", "eval", "init", "train", "compare", "report",
    "default",
)  # fmt: skip
"""What the recipe's ``slurm`` may give words for."""


def submit(plan: Plan, again: Sequence[str], *, patterns: Sequence[str] = (), start: str | None = None) -> None:
    """Submit a job for every stage that is not done, and one for the report; print and record their numbers.

    A job runs ``hyperofa experiment … --only STAGE``, so it takes part in the same records and locks as a run by hand. If
    a stage fails, SLURM drops the jobs that depend on it; the other cells go on, and the report names what is missing.

    Args:
        plan: The experiment.
        again: The words of ``hyperofa experiment`` that name it: recipe, variables, settings.
        patterns: The stages to submit (with what they need).
        start: The stage to start from; what stands before it is taken as it is.

    Raises:
        InputError: ``slurm`` in the recipe names no kind of stage. HyperofaError: no ``sbatch`` here, or it refused.
    """
    from hyperofa.console import output, table

    unknown = [kind for kind in plan.recipe.slurm if kind not in KINDS]
    if unknown:
        raise InputError(f"slurm.{unknown[0]} is no kind of stage", todo=f"known: {', '.join(KINDS)}")
    if shutil.which("sbatch") is None:
        raise HyperofaError("not found", where="sbatch", todo="submit from a login node of the cluster")
    check_output(plan.out, MARKER)
    script = str(resource("launch/slurm/stage.sh"))
    with working_in(plan):
        stages = plan.stages()
        wanted = only(stages, patterns) if patterns else {stage.name for stage in stages}
        skipped = before(stages, start) if start is not None else frozenset()
        done = {row["name"] for row in states(plan, stages) if row["state"] == "done"} | skipped
        needs, jobs = dependencies(stages), dict[str, str]()
        (plan.out / "logs").mkdir(exist_ok=True)
        for stage in stages:
            if stage.name not in wanted or stage.name in done:
                continue
            words = [*_options(plan, stage.kind, stage.name)]
            waits = [jobs[name] for name in sorted(needs[stage.name]) if name in jobs]
            words += [f"--dependency=afterok:{':'.join(waits)}", "--kill-on-invalid-dep=yes"] if waits else []
            tail = ["--from", start] if start is not None else []
            words += [script, *again, "--out", str(plan.out), "--only", stage.name, *tail]
            jobs[stage.name] = _sbatch(words)
        if not patterns or REPORT in patterns:
            words = [*_options(plan, REPORT, REPORT)]
            words += [f"--dependency=afterany:{':'.join(jobs.values())}"] if jobs else []
            jobs[REPORT] = _sbatch([*words, script, *again, "--out", str(plan.out), "--only", REPORT])
        write_json(plan.out / "slurm.json", jobs)
    table("Submitted", ("stage", "job"), list(jobs.items()))
    output.print(f"{len(done)} stages are done already; {plan.out / 'slurm.json'} has the jobs' numbers")


def _options(plan: Plan, kind: str, name: str) -> list[str]:
    given = plan.recipe.slurm
    log = plan.out / "logs" / f"{name}.slurm.log"
    return [
        "--parsable",
        f"--job-name={plan.recipe.name}:{name}",
        f"--output={log}",
        *given.get(kind, given.get("default", [])),
    ]


def _sbatch(words: Sequence[str]) -> str:
    """Submit one job; returns its number."""
    environment = {
        **os.environ,
        "HYPEROFA_PYTHON": sys.executable,
        "HYPEROFA_ROOT": str(Path(resource("launch")).parent),
    }
    done = subprocess.run(["sbatch", *words], capture_output=True, text=True, check=False, env=environment)
    number = done.stdout.strip().split(";")[0]
    if done.returncode != 0 or not number.isdigit():
        line = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise HyperofaError(f"refused ({line})", where="sbatch", todo="see the recipe's slurm words")
    return number
