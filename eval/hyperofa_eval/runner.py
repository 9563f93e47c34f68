"""One run: every task, seed and language in turn, finished results kept, the rest computed, then the summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperofa_eval.base.console import Advance, progress_bar
from hyperofa_eval.base.errors import DataMissingError, InputError
from hyperofa_eval.base.files import read_json, versions, write_json
from hyperofa_eval.base.processes import Processes
from hyperofa_eval.data.layout import DataFolder, refuse_unknown, stand_ins
from hyperofa_eval.languages import is_pivot, languages, paper_languages
from hyperofa_eval.models.protocols import Model, check_offers
from hyperofa_eval.results.result import (
    SUMMARY,
    Result,
    check_folder,
    key_of,
    make_result,
    path_of,
    read_summary,
    source_of,
    still_holds,
    takes_own_prompt,
    write_result,
)
from hyperofa_eval.results.summary import summarise_task
from hyperofa_eval.tasks.task import Task, complete

log = logging.getLogger(__name__)


def run_tasks(
    model: Model,
    chosen: Sequence[Task],
    data: DataFolder,
    *,
    codes: Sequence[str] | None = None,
    beside: Sequence[str] = (),
    protocol: str = "default",
    seeds: Sequence[int] = (0,),
    limit: int | None = None,
    out: Path | None = None,
    processes: Processes | None = None,
) -> dict[str, Any]:
    """Score ``model`` and return the summary; with ``out``, also keep every result there and reuse those that hold.

    ``codes`` are the languages; where None, all of the table, or the paper's list under its protocol. Those ``beside`` them
    have a row too, where the task can score them, but no part in the mean. ``limit`` keeps the first items of each, for
    trials, and marks every result.

    Raises:
        DataMissingError: a task has no data for any of the languages.
        InputError: a data file is wrong, or ``out`` holds results that must not be averaged with these.
    """
    processes = processes or Processes()
    started = time.monotonic()
    if out is not None:
        check_folder(out, protocol, limit)
    chosen = [complete(task) for task in chosen]
    for task in chosen:
        check_offers(model, task.needs, task.name)
    beside = [code.strip() for code in beside if code.strip()]
    languages_of = {task.name: _languages(codes, beside, task, chosen, data, protocol) for task in chosen}
    present = _read_first(chosen, data, languages_of, limit)
    if processes.main:
        _say_what_was_read(chosen, data, present)
    identity = dict(model.identity)
    summary: dict[str, Any] = {"schema": 1, "model": identity, "protocol": protocol, "limit": limit, "tasks": {}}
    for task in chosen:
        used = list(seeds) if task.seeded else list(seeds)[:1]
        results = _Run(model, task, data, protocol, limit, out, processes).all(present[task.name], used)
        absent = [code for code in languages_of[task.name] if code not in present[task.name]]
        missing = [code for code in absent if task.scores_pivot or not is_pivot(code)]
        if missing and processes.main:
            log.warning("%s: no data for %s", task.name, ", ".join(missing))
        entry = summarise_task(results, missing, (*task.not_in_mean, *beside))
        if task.needs_head and "head_sha256" in identity:
            entry["head_sha256"] = identity["head_sha256"]
        summary["tasks"][task.name] = entry
    wall_s = round(time.monotonic() - started, 3)
    summary |= {"wall_s": wall_s, "processes": processes.world, "versions": versions()}
    if out is not None:
        if processes.main:
            _keep_other_tasks(summary, read_summary(out))  # read now: another run may have added to it
            write_json(out / SUMMARY, summary, allow_nan=False)
        processes.wait()
    return summary


@dataclass(frozen=True)
class _Run:
    """The results of one task on one model."""

    model: Model
    task: Task
    data: DataFolder
    protocol: str
    limit: int | None
    out: Path | None
    processes: Processes

    def all(self, codes: Sequence[str], seeds: Sequence[int]) -> list[Result]:
        """The results of every seed and language, in that order, on every process."""
        mine = seeds if self.task.together else seeds[self.processes.rank :: self.processes.world]
        done: dict[tuple[int, str], Result] = {}
        with progress_bar(self.task.name, len(codes) * len(mine)) as advance:
            for seed in mine:
                done |= self._seed(seed, codes, advance)
        if not self.task.together:
            done = {place: result for part in self.processes.gather(done) for place, result in part.items()}
        return [done[seed, code] for seed in seeds for code in codes]

    def _seed(self, seed: int, codes: Sequence[str], advance: Advance) -> dict[tuple[int, str], Result]:
        done = {(seed, code): old for code in codes if (old := self._stored(code, seed)) is not None}
        if self.task.together:  # all processes must agree on what is left to do
            done = self.processes.gather(done)[0]
        advance(len(done))
        left = [code for code in codes if (seed, code) not in done]
        if not left:
            return done
        if done and self.processes.main:
            log.info("%s seed %d: %d of %d languages were done before", self.task.name, seed, len(done), len(codes))
        started = time.monotonic()
        prepared = self.task.prepare(self.model, self.data, seed, self.limit)
        prepare_s = time.monotonic() - started
        for code in left:
            started = time.monotonic()
            outcome = self.task.score(prepared, self.data, code, seed, self.limit)
            result = make_result(
                outcome,
                self.task,
                self.model.identity,
                protocol=self.protocol,
                language=code,
                data_language=source_of(self.task, self.data, code),
                seed=seed,
                limit=self.limit,
                wall_s=time.monotonic() - started,
                prepare_s=prepare_s,
                processes=self.processes.world,
            )
            if self.out is not None and (self.processes.main or not self.task.together):
                write_result(self.out, result)
            done[seed, code] = result
            advance()
        return done

    def _stored(self, code: str, seed: int) -> Result | None:
        path = None if self.out is None else path_of(self.out, self.task.name, code, seed)
        if path is None or not path.is_file():
            return None
        key = key_of(self.model.identity, self.task, protocol=self.protocol, language=code, seed=seed, limit=self.limit)
        result = read_json(path)
        return result if still_holds(result, key, self.task, self.data, code) else None


def _languages(
    codes: Sequence[str] | None,
    beside: Sequence[str],
    task: Task,
    chosen: Sequence[Task],
    data: DataFolder,
    protocol: str,
) -> list[str]:
    """The languages to score, in order, once each; raises for a code that neither table nor data knows."""
    if codes is None:
        codes = (protocol == "paper" and paper_languages(task.name)) or list(languages())
        if not beside:
            return list(codes)
    selected = list(dict.fromkeys(code.strip() for code in codes if code.strip()))
    if not selected:
        raise InputError("no language named", where="--languages")
    selected += [code for code in beside if code not in selected]
    corpora = [task.corpus for task in chosen if task.corpus is not None]
    refuse_unknown(selected, data, corpora, lambda code: any(task.has(data, code) for task in chosen))
    return selected


def _read_first(
    chosen: Sequence[Task], data: DataFolder, languages_of: Mapping[str, list[str]], limit: int | None
) -> dict[str, list[str]]:
    """By task, the languages that have data. All sets are read: a faulty one is not found after hours of fine-tuning."""
    present = {task.name: [code for code in languages_of[task.name] if task.has(data, code)] for task in chosen}
    for task in chosen:
        if not present[task.name]:
            what = f"no data for task {task.name} in {', '.join(languages_of[task.name])}"
            tried = data.names(task.corpus, languages_of[task.name][0]) if task.corpus is not None else ""
            todo = f"looked for {tried}; hyperofa-eval data check says what is there" if tried else "see its own reader"
            raise DataMissingError(what, where=data.root, todo=todo)
    for task in chosen:
        for code in present[task.name]:
            task.read(data, code, limit)
        task.read_training(data, limit)
    return present


def _say_what_was_read(chosen: Sequence[Task], data: DataFolder, present: Mapping[str, Sequence[str]]) -> None:
    """Name the data that stands in for a language's own, and what the readers changed or left out."""
    for task in chosen:
        for line in stand_ins(task.name, {code: source_of(task, data, code) for code in present[task.name]}):
            log.warning("%s", line)
    for name, notes in data.notes.items():
        for note in notes:
            log.log(logging.WARNING if note.odd else logging.INFO, "%s: %s", name, note.text)


def _keep_other_tasks(summary: dict[str, Any], old: dict[str, Any] | None) -> None:
    """Carry over the entries of tasks that an earlier run of the same model wrote."""
    if old is None:
        return
    same = all(old["model"].get(key) == summary["model"][key] for key in ("sha256", "tokenizer_sha256"))
    if not same or any(old.get(key) != summary[key] for key in ("protocol", "limit")):
        return
    # Which head a task was measured with is in its entry; where this run loaded none, the two cannot be compared.
    head = summary["model"].get("head_sha256")
    entries = {name: entry for name, entry in old["tasks"].items() if head in {None, entry.get("head_sha256", head)}}
    if old["model"].get("prompt") != summary["model"].get("prompt"):
        entries = {name: entry for name, entry in entries.items() if not takes_own_prompt(entry.get("settings", {}))}
    summary["tasks"] = entries | summary["tasks"]
