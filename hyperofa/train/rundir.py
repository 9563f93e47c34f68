"""The run directory: what makes a folder one, whose it is, what may change on resume, and what it ends with."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperofa.config import read_yaml, save_config, to_plain
from hyperofa.errors import DataMissingError, HyperofaError, InputError
from hyperofa.files import check_output, new_directory, read_json, versions, write_json
from hyperofa.train.config import TrainConfig, changed_settings
from hyperofa.train.lock import LOCK_FILE, RunLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hyperofa.train.engine import Engine

CONFIG_FILE = "config.yaml"
RUN_FILE = "run.json"
FINAL = "final"
FINAL_MARKER = "train.json"
_WEIGHTS = (
    "model*.safetensors*",
    "pytorch_model*",
    "*.bin",
    "*.h5",
    "*.msgpack",
    "config.json",
    "generation_config.json",
)


def check_inputs(config: TrainConfig) -> None:
    """Refuse, before anything heavy is loaded, what cannot work: missing inputs, a foreign or changed run directory.

    Raises:
        InputError: the model is not there, the run directory holds something else, or settings changed on resume.
        DataMissingError: the corpus is not there.
    """
    model = Path(config.model)
    if model.is_dir():
        if not (model / "config.json").is_file():
            raise InputError("not a model directory (no config.json)", where=model, todo="write one with hyperofa init")
    elif not _looks_like_hub_id(config.model):
        raise InputError("no such model directory", where=model, todo="write one with hyperofa init")
    if not (config.corpus / "corpus.json").is_file():
        raise DataMissingError(
            "no packed corpus (no corpus.json)", where=config.corpus, todo="write one with hyperofa corpus prepare"
        )
    if not _holds_only_a_lock(config.run):
        check_output(config.run, CONFIG_FILE)
    if (config.run / CONFIG_FILE).is_file():
        changed = changed_settings(read_yaml(config.run / CONFIG_FILE), to_plain(config))
        if changed:
            what = f"{', '.join(changed)} changed since this run began"
            raise InputError(what, where=config.run, todo="give the same settings, or another run directory")


def finished(config: TrainConfig) -> bool:
    """Whether the run directory already holds the model of the last step."""
    marker = config.run / FINAL / FINAL_MARKER
    return marker.is_file() and read_json(marker).get("step") == config.steps


@contextlib.contextmanager
def locked_run(config: TrainConfig, engine: Engine) -> Iterator[None]:
    """Make the run directory and keep every other launch out of it (all ranks call this; rank 0 holds the lock).

    Raises:
        InputError: another launch is working there; every rank raises it, and rank 0 says it.
    """
    with contextlib.ExitStack() as stack:
        problem: HyperofaError | OSError | None = None
        if engine.is_main:
            try:
                config.run.mkdir(parents=True, exist_ok=True)
                stack.enter_context(RunLock(config.run))
            except (HyperofaError, OSError) as error:
                problem = error
        problem = engine.gather(problem)[0]
        if problem is not None:
            raise problem
        yield


def open_run(config: TrainConfig, engine: Engine) -> str:
    """Write the settings into the run directory, check that all ranks see it, and return the run's id.

    Raises:
        InputError: the directory is not on a file system that all ranks share.
    """
    nonce = uuid.uuid4().hex
    if engine.is_main:
        if not (config.run / RUN_FILE).is_file():
            write_json(config.run / RUN_FILE, {"run_id": nonce})
        save_config(config, config.run / CONFIG_FILE)
        (config.run / ".shared").write_text(nonce, encoding="utf-8")
    nonce = engine.gather(nonce)[0]
    blind = [name for name in engine.gather(_sees(config.run, nonce)) if name is not None]
    if blind:
        what = f"the run directory is not shared: {', '.join(sorted(set(blind)))} cannot see what rank 0 writes there"
        raise InputError(what, where=config.run, todo="name a directory on a shared file system")
    run_id = str(read_json(config.run / RUN_FILE)["run_id"])
    engine.barrier()
    if engine.is_main:
        (config.run / ".shared").unlink()
    return run_id


def record_engine(config: TrainConfig, run_id: str, description: dict[str, Any], **facts: Any) -> None:
    """Write ``run.json``: which engine ran, on how many ranks, with which versions (rank 0 only)."""
    write_json(config.run / RUN_FILE, {"run_id": run_id, **description, **facts, "versions": versions()})


def write_final(
    out: Path, source: Path, run_id: str, step: int, save_model: Callable[[Path], Any], facts: dict[str, Any]
) -> Path:
    """Write a trained model as a model directory, with the tokenizer and provenance files of the one it came from."""
    with new_directory(out, FINAL_MARKER) as folder:
        save_model(folder)
        if source.is_dir():
            shutil.copytree(source, folder, ignore=_already_there(folder), dirs_exist_ok=True)
        write_json(folder / FINAL_MARKER, {"run_id": run_id, "step": step, **facts, "versions": versions()})
    return out


def _already_there(folder: Path) -> Callable[[str, list[str]], set[str]]:
    """Files of the source model not to copy: weights and configs, whose trained form the folder holds already."""
    weights = shutil.ignore_patterns(*_WEIGHTS, ".*")
    return lambda path, names: weights(path, names) | {name for name in names if (folder / name).exists()}


def _sees(run: Path, nonce: str) -> str | None:
    """None if this process reads ``nonce`` in the run directory, else this host's name."""
    import socket
    import time

    for attempt in range(20):  # network file systems may show a new file late
        try:
            if (run / ".shared").read_text(encoding="utf-8") == nonce:
                return None
        except OSError:
            pass
        if attempt < 19:
            time.sleep(0.25)
    return socket.gethostname()


def _holds_only_a_lock(run: Path) -> bool:
    """What a launch leaves that was killed before it wrote its settings."""
    return run.is_dir() and [path.name for path in run.iterdir()] == [LOCK_FILE]


def _looks_like_hub_id(name: str) -> bool:
    parts = name.split("/")
    return not name.startswith((".", "/", "~")) and len(parts) == 2 and all(parts) and not Path(parts[0]).is_dir()


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin writing what cannot fit.

    Raises:
        HyperofaError: the file system of ``folder`` has fewer than ``needed`` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"a checkpoint needs {needed / 1e6:,.1f} MB, but only {free / 1e6:,.1f} MB are free"
        raise HyperofaError(what, where=folder, todo="make room; the last checkpoint is untouched")
