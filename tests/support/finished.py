"""Made-up outputs of every kind of stage, so that what an experiment makes of them is tested without running any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hyperofa.corpus.meta import FORMAT, fingerprint_of
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.stage import Ledger, Stage
from hyperofa.init.provenance import Provenance


def finish(plan: Plan, *, score: float = 20.0, task: str = "sr-t") -> None:
    """Let every stage of a plan be done; each evaluation found ``score``."""
    ledger = Ledger(plan.out / "stages")
    for stage in [*plan.first(), *plan.rest()]:
        make(stage, score, task)
        ledger.begin(stage, ledger.key(stage))
        ledger.note(stage, wall_s=1.0, peak_rss_gb=0.5)
        ledger.finish(stage)


def make(stage: Stage, score: float = 20.0, task: str = "sr-t") -> None:
    """Write the files of a stage that an experiment reads."""
    files: dict[str, Any] = {stage.marker: {}}
    if stage.kind == "gather":
        files[stage.marker] = {"train": {"tur": 5}, "english": 5, "rows": 5, "left_out": {}}
    elif stage.kind == "corpus":
        files[stage.marker] = corpus(own="-own-" in stage.name)
    elif stage.kind == "steps":
        costs = {one: {"operations_per_token": cost} for one, cost in (("own", 100.0), ("like", 110.0))}
        files |= {stage.marker: costs, "steps.yaml": {"steps": 12}}
    elif stage.kind == "eval":
        words = list(stage.command)
        names = words[words.index("--tasks") + 1].split(",")
        files[stage.marker] = {"tasks": {name: scored(name, score) for name in names}}
    elif stage.kind == "compare":
        difference = {"mean": 1.0, "ci95": [0.5, 1.5]}
        entry = {"metric": "top10", "unit": "percent", "against_first": {"b": {"difference": difference}}}
        files[stage.marker] = {"runs": ["a", "b"], "tasks": {task: entry}}
    for name, content in files.items():
        path = stage.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    if stage.kind == "init":
        codes = np.array([0, 1, 1, 2, 3], dtype=np.int8)
        Provenance(codes, np.full(5, -1), np.zeros(5, np.int32)).save(stage.output)
    if stage.metrics is not None:
        rows = [{"step": step, "loss": 9 - step / 10, "seconds": 1.0, "tokens": 10 * step} for step in range(1, 11)]
        way = {"metric": "top10", "mean": score + 1, "ci95": [score, score + 2], "n_languages": 1}
        rows[4]["evaluation"] = {task: {**way, "limit": None, "protocol": "default"}}  # type: ignore[assignment]
        stage.metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def scored(task: str, score: float) -> dict[str, Any]:
    """A task of the harness's summary."""
    metric = "top10" if task.startswith("sr") else "f1"
    value = {"value": score, "mean": score, "ci95": [score - 2, score + 2], "chance": 10.0}
    row = {"language": "tur", "name": "Turkish", "n": 100, **value, "values": {metric: value}}
    kept = {"metric": metric, "unit": "percent", "n_languages": 1, "limit": None, "protocol": "default"}
    return {**kept, **value, "rows": [row], "values": {metric: value}, "languages": ["tur"], "without_data": [],
            "settings": {"corpus": {"sr-t": "tatoeba"}.get(task, task)}}  # fmt: skip


def corpus(*, own: bool = False) -> dict[str, Any]:
    """The description of a corpus: of the same text, twice the tokens of Turkish in a source's own."""
    zero = dict.fromkeys(("unknown", "skipped"), 0)
    counts = {"eng": (10, 320, 1280), "tur": (20, 640, 1920) if not own else (40, 1280, 1920)}
    languages = [
        {"name": code, "file": f"data/{code}.arrow", "sequences": rows, "documents": rows, "tokens": tokens, **zero}
        | {"characters": characters, "sha256": "0"}
        for code, (rows, tokens, characters) in counts.items()
    ]
    tokenizer = {"name": "t", "sha256": "0", "size": 9, "pad_id": 0, "mask_id": 1, "table_sha256": "0"}
    meta = {"format": FORMAT, "length": 32, "fingerprint": "", "tokenizer": tokenizer, "languages": languages}
    meta |= {"sampling": {"weights": [1.0, 1.0], "temperature": 1.0}, "made_by": {}}
    return {**meta, "fingerprint": fingerprint_of(meta)}


def record(plan: Plan, name: str) -> dict[str, Any]:
    """What is recorded of a stage."""
    return dict(json.loads(Path(plan.out / "stages" / f"{name}.json").read_text()))
