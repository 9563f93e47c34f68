"""The run directory: what makes a folder one, whose it is, and what may change on resume."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import socket
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.base.files import check_output, versions
from hyperofa.base.hub import local_folder
from hyperofa.base.modeltypes import OLD_ROWS_STAY
from hyperofa.errors import DataMissingError, HyperofaError, InputError
from hyperofa.init.provenance import FILE as PROVENANCE
from hyperofa.train.checkpoint import manifest as checkpoint
from hyperofa.train.checkpoint.final import FINAL, FINAL_MARKER
from hyperofa.train.checkpoint.fingerprint import KEY, fingerprint_model, is_still, recorded
from hyperofa.train.checkpoint.lock import LOCK_FILE, RunLock
from hyperofa.train.config import TrainConfig, changed_settings
from hyperofa.train.metrics import METRICS_FILE
from hyperofa_eval.base.files import read_json, write_json
from hyperofa_eval.base.hub import check_name
from hyperofa_eval.settings.config import read_yaml, save_config, to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyperofa.train.engine.engine import Engine

log = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
RUN_FILE = "run.json"


def check_inputs(config: TrainConfig) -> None:
    """Refuse, before anything heavy is loaded, what cannot work: missing inputs, a foreign or changed run directory.

    Raises:
        InputError: the corpus is damaged, the run directory holds something else or lost its id,
            or settings changed on resume.
        DataMissingError: the model or the corpus is not there, or the provenance that a phase needs.
    """
    model = Path(config.model)
    check_name(config.model, "model directory")
    if model.is_dir() and not (model / "config.json").is_file():
        todo = "write one with hyperofa init"
        raise DataMissingError("not a model directory (no config.json)", where=config.model, todo=todo)
    from hyperofa.corpus.meta import MARKER, read_meta

    if not (config.corpus / MARKER).is_file():
        todo = "write one with hyperofa corpus prepare"
        raise DataMissingError(f"no packed corpus (no {MARKER})", where=config.corpus, todo=todo)
    read_meta(config.corpus)
    if config.tells_old_rows and not (local_folder(config.model, [PROVENANCE]) / PROVENANCE).is_file():
        asks = f"phase {config.phase}" if config.phase in OLD_ROWS_STAY else "learning_rates.old_rows"
        todo = "use a directory made by hyperofa init, or leave it out"
        raise DataMissingError(f"{asks} needs the provenance of the tokens", where=model / PROVENANCE, todo=todo)
    if not _killed_at_once(config.run):
        check_output(config.run, CONFIG_FILE, replaced=False)
    if not _has_begun(config.run):
        return
    if (config.run / CONFIG_FILE).is_file():
        old, new = read_yaml(config.run / CONFIG_FILE), to_plain(resolve_paths(config))
        changed = [name for name in changed_settings(old, new) if not _same_place(name, old.get(name), new[name])]
        if recorded(config.run / RUN_FILE) is not None:
            changed = [name for name in changed if name != "model"]  # its content decides, see open_run
        if changed:
            what = f"{', '.join(changed)} changed since this run began"
            todo = "give the same settings, or another run directory"
            if (config.run / FINAL / FINAL_MARKER).is_file():
                final = config.run / FINAL
                todo = f"the run is finished: train its model on in a new run, with model={final} and another run="
            raise InputError(what, where=config.run, todo=todo)
    read_run_id(config.run)


def _killed_at_once(run: Path) -> bool:
    """Whether a launch locked this directory and ended before it wrote its settings: only hidden files and ``run.json``."""
    names = {path.name for path in run.iterdir()} if run.is_dir() else set()
    return LOCK_FILE in names and all(name.startswith(".") or name == RUN_FILE for name in names)


def read_run_id(run: Path) -> str:
    """The id that a run's checkpoints carry in their manifests.

    Raises:
        InputError: ``run.json`` is gone or holds no id; every checkpoint would be taken for another run's.
    """
    path = run / RUN_FILE
    value = read_json(path) if path.is_file() else {}
    run_id = value.get("run_id") if isinstance(value, dict) else None
    if isinstance(run_id, str) and run_id:
        return run_id
    ids = set()
    for folder in checkpoint.committed(run):
        with contextlib.suppress(HyperofaError):
            ids.add(checkpoint.read_manifest(folder).run_id)
    content = f' with {{"run_id": "{min(ids)}"}}, which its checkpoints name' if len(ids) == 1 else ""
    what = "no run_id" if path.is_file() else "no such file, but the run has begun"
    raise InputError(what, where=path, todo=f"put it back{content}, or name another run directory")


def _has_begun(run: Path) -> bool:
    """Whether a run directory holds work: a launch that failed before its first step pins no settings."""
    metrics = run / METRICS_FILE
    has_metrics = metrics.is_file() and metrics.stat().st_size > 0
    return has_metrics or (run / FINAL).is_dir() or bool(checkpoint.committed(run) or checkpoint.uncommitted(run))


def resolve_paths(config: TrainConfig) -> TrainConfig:
    """The config with absolute paths, so that a command in another folder finds the same model and corpus."""
    evaluation = config.evaluation
    if evaluation.data is not None:
        evaluation = dataclasses.replace(evaluation, data=evaluation.data.resolve())
    return dataclasses.replace(
        config,
        model=str(Path(config.model).resolve()) if Path(config.model).is_dir() else config.model,
        corpus=config.corpus.resolve(),
        run=config.run.resolve(),
        ds_config=None if config.ds_config is None else config.ds_config.resolve(),
        evaluation=evaluation,
    )


def _same_place(name: str, old: Any, new: Any) -> bool:
    """Whether two values of ``model`` or ``corpus`` mean one folder: the old one may have been moved with the run."""
    if name not in {"model", "corpus"} or not isinstance(old, str):
        return False
    was, now = Path(old), Path(new)
    return was.resolve() == now.resolve() or (not was.exists() and was.name == now.name and now.is_dir())


def finished(config: TrainConfig) -> bool:
    """Whether the run directory already holds the model of the last step."""
    marker = config.run / FINAL / FINAL_MARKER
    value = read_json(marker) if marker.is_file() else None
    return isinstance(value, dict) and value.get("step") == config.steps


@contextlib.contextmanager
def locked_run(config: TrainConfig, engine: Engine) -> Iterator[None]:
    """Make the run directory and keep every other launch out of it (all ranks call this; rank 0 holds the lock).

    Raises:
        InputError: another launch is working there; every rank raises it, and rank 0 says it.
    """
    with contextlib.ExitStack() as stack:

        def lock() -> None:
            config.run.mkdir(parents=True, exist_ok=True)
            stack.enter_context(RunLock(config.run))

        engine.main_first(lock)
        yield


def open_run(config: TrainConfig, engine: Engine) -> str:
    """Write the settings into the run directory, check that all ranks see it, and return the run's id.

    Raises:
        InputError: the model is not the one that the run began with, or the directory is not on a file system that all
            ranks share.
    """
    nonce = engine.gather(uuid.uuid4().hex)[0]

    def begin() -> None:
        _pin_model(config, nonce)
        save_config(resolve_paths(config), config.run / CONFIG_FILE)
        (config.run / ".shared").write_text(nonce, encoding="utf-8")

    engine.main_first(begin)
    blind = [name for name in engine.gather(None if _sees(config.run, nonce) else socket.gethostname()) if name]
    if blind:
        what = f"the run directory is not shared: {', '.join(sorted(set(blind)))} cannot see what rank 0 writes there"
        raise InputError(what, where=config.run, todo="name a directory on a shared file system")
    run_id = read_run_id(config.run)
    engine.barrier()
    if engine.is_main:
        (config.run / ".shared").unlink()
    return run_id


def _pin_model(config: TrainConfig, nonce: str) -> None:
    """Write into ``run.json`` which model a new run begins with, or compare it with what a begun one holds."""
    path, begun = config.run / RUN_FILE, _has_begun(config.run)
    record = read_json(path) if begun else {"run_id": nonce}  # check_inputs has seen the id
    known, fingerprint = record.get(KEY), fingerprint_model(config.model)
    if begun and known is None:
        log.warning("%s: the run began before its model was recorded; %s is taken for it", config.run, config.model)
    elif begun and known != fingerprint:
        raise _another_model(config)
    write_json(path, {**record, KEY: fingerprint})


def refuse_other_model(config: TrainConfig) -> None:
    """Refuse to call a run finished for a model that it did not begin with.

    Raises:
        InputError: the model is another one.
    """
    if not is_still(config.run / RUN_FILE, config.model):
        raise _another_model(config)


def _another_model(config: TrainConfig) -> InputError:
    what = "the model is not the one that the run began with: its weights, config, tokenizer or provenance changed"
    return InputError(what, where=config.model, todo="restore it, or name another run directory")


def record_engine(config: TrainConfig, run_id: str, description: dict[str, Any], **facts: Any) -> None:
    """Write ``run.json``: which engine ran, on how many ranks, with which versions (rank 0 only)."""
    path = config.run / RUN_FILE
    write_json(path, {"run_id": run_id, KEY: recorded(path), **description, **facts, "versions": versions()})


def _sees(run: Path, nonce: str) -> bool:
    """Whether this process reads ``nonce`` in the run directory; network file systems may show a new file late."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            if (run / ".shared").read_text(encoding="utf-8") == nonce:
                return True
        time.sleep(0.25)
    return False
