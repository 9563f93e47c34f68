"""An experiment as SLURM jobs: one per stage, each waiting for the jobs of the stages that it needs."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hyperofa.base.files import check_output
from hyperofa.base.resources import resource
from hyperofa.errors import HyperofaError
from hyperofa.experiment.execution import working_in
from hyperofa.experiment.workflow.graph import MARKER, Plan
from hyperofa.experiment.workflow.listing import HOLDS, states
from hyperofa.experiment.workflow.selection import REPORT, select, stages_before
from hyperofa.experiment.workflow.stage import dependencies
from hyperofa_eval.base.files import read_json, write_json

JOBS = "slurm.json"
"""The numbers of the jobs that wait or run, by stage."""


def submit(plan: Plan, arguments: Sequence[str], *, patterns: Sequence[str] = (), start: str | None = None) -> None:
    """Submit a job for every stage that is not done nor in the queue, and one for the report; record their numbers.

    A job runs ``hyperofa experiment … --only STAGE``, so it takes part in the same records and locks as a run by hand. If
    a stage fails, SLURM drops the jobs that depend on it; the other cells go on, and the report names what is missing.

    Args:
        plan: The experiment.
        arguments: The words of ``hyperofa experiment`` that name it: recipe, variables, settings.
        patterns: The stages to submit (with what they need).
        start: The stage to start from; what stands before it is taken as it is.

    Raises:
        HyperofaError: no ``sbatch`` here, or it refused.
    """
    from hyperofa_eval.base.console import output, table

    if shutil.which("sbatch") is None:
        raise HyperofaError("not found", where="sbatch", todo="submit from a login node of the cluster")
    check_output(plan.out, MARKER, replaced=False)
    script = str(resource("launch/slurm/stage.sh"))
    stages = plan.stages()  # and what is asked of them, before anything is written
    selected, trusted = select(stages, patterns), stages_before(stages, start)
    waiting = _unfinished_jobs(plan.out / JOBS)
    with working_in(plan):
        plan.write_train_config()
        done = {row["name"] for row in states(plan, stages, trusted=trusted) if row["state"] in HOLDS} | trusted
        needs, jobs = dependencies(stages), {name: job for name, job in waiting.items() if name not in done}
        (plan.out / "logs").mkdir(exist_ok=True)
        new: dict[str, str] = {}

        def put(name: str, kind: str, condition: str, jobs_before: Sequence[str], tail: Sequence[str]) -> None:
            words = _options(plan, kind, name)
            words += [f"--dependency={condition}:{':'.join(jobs_before)}"] if jobs_before else []
            words += ["--kill-on-invalid-dep=yes"] if jobs_before and condition == "afterok" else []
            new[name] = jobs[name] = _sbatch(
                [*words, script, *arguments, "--out", str(plan.out), "--only", name, *tail]
            )
            write_json(plan.out / JOBS, jobs)  # at once: a refusal further on must not lose those that are in the queue

        tail = ["--from", start] if start is not None else []
        for stage in stages:
            if stage.name in selected and stage.name not in done and stage.name not in jobs:
                put(stage.name, stage.kind, "afterok", [jobs[n] for n in sorted(needs[stage.name]) if n in jobs], tail)
        if (not patterns or REPORT in patterns) and (new or REPORT not in jobs):
            put(REPORT, REPORT, "afterany", [job for name, job in jobs.items() if name != REPORT], tail)
        write_json(plan.out / JOBS, jobs)
    table("Submitted", ("stage", "job"), list(new.items()))
    held = f", {len(jobs) - len(new)} wait or run" if len(jobs) > len(new) else ""
    output.print(f"{len(done)} stages are done already{held}; {plan.out / JOBS} has the jobs' numbers")


def _unfinished_jobs(path: Path) -> dict[str, str]:
    """Of the jobs that were submitted before, those that SLURM has not finished with, by stage.

    Raises:
        HyperofaError: jobs were submitted, and ``squeue`` does not say what became of them.
    """
    jobs = dict(read_json(path)) if path.is_file() else {}
    if not jobs:
        return {}
    todo = f"remove {path} if none of them waits or runs any more"
    if shutil.which("squeue") is None:
        what = "not found, so what became of the jobs submitted before is unknown"
        raise HyperofaError(what, where="squeue", todo=todo)
    words = ["squeue", "--noheader", "--format=%i", f"--user={getpass.getuser()}"]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        line = (answer.stderr.strip() or "no message").splitlines()[-1]
        raise HyperofaError(f"does not answer ({line})", where="squeue", todo=todo)
    queued = set(answer.stdout.split())
    return {name: job for name, job in jobs.items() if job in queued}


def _options(plan: Plan, kind: str, name: str) -> list[str]:
    options, log = plan.recipe.slurm, plan.out / "logs" / f"{name}.slurm.log"
    own = options.get(kind, options.get("default", []))
    return ["--parsable", f"--job-name={plan.recipe.name}:{name}", f"--output={log}", *own]


def _sbatch(words: Sequence[str]) -> str:
    """Submit one job; returns its number."""
    root = str(resource("launch").parent)
    environment = {**os.environ, "HYPEROFA_PYTHON": sys.executable, "HYPEROFA_ROOT": root}
    done = subprocess.run(["sbatch", *words], capture_output=True, text=True, check=False, env=environment)
    number = done.stdout.strip().split(";")[0]
    if done.returncode != 0 or not number.isdigit():
        line = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise HyperofaError(f"refused ({line})", where="sbatch", todo="see the recipe's slurm words")
    return number
