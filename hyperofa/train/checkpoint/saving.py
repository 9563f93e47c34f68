"""Saving and resuming over all ranks: who writes, hashes and commits, and which checkpoint a start goes on from."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.base.files import as_readable_as_others, versions
from hyperofa.errors import HyperofaError
from hyperofa.train.checkpoint import manifest as checkpoint
from hyperofa.train.checkpoint.final import FINAL, write_final
from hyperofa.train.checkpoint.fingerprint import is_still
from hyperofa.train.checkpoint.manifest import FORMAT, Manifest
from hyperofa.train.checkpoint.rundir import RUN_FILE
from hyperofa.train.checkpoint.unsharded import UnshardedState, read_shards, read_unsharded, write_unsharded
from hyperofa_eval.settings.config import to_plain

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.engine.engine import Engine

log = logging.getLogger(__name__)

NORM_TOLERANCE = 1e-6
"""Relative difference of a norm, summed in another order on another world size, that is still the same tensor's."""

ROOM = "make room; the last checkpoint is untouched"


@dataclass(frozen=True)
class Saver:
    """Saves and loads the checkpoints of one run; every method is called by all ranks together."""

    config: TrainConfig
    engine: Engine
    run_id: str
    data_fingerprint: str

    def save(self, step: int) -> Path:
        """Commit a checkpoint of the state after ``step`` optimizer steps, then prune old ones.

        Raises:
            HyperofaError: there is no room; nothing committed is touched.
        """
        final = checkpoint.step_folder(self.config.run, step)
        temporary = final.with_name(f"{final.name}.tmp")
        needed = self.engine.checkpoint_bytes()
        if self.engine.is_main:
            free = shutil.disk_usage(self.config.run).free
            if free < needed:
                what = f"a checkpoint needs {needed / 1e6:,.1f} MB, but only {free / 1e6:,.1f} MB are free"
                raise HyperofaError(what, where=self.config.run, todo=ROOM)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
        totals, each = self.engine.norms()  # also the barrier after which the folder is there for everyone
        with self._room_for(step, needed, temporary):
            entries = checkpoint.hash_and_sync(temporary, self.engine.save_shards(temporary))
        files = {name: entry for part in self.engine.gather(entries) for name, entry in part.items()}
        manifest = Manifest(
            format=FORMAT,
            run_id=self.run_id,
            step=step,
            world_size=self.engine.world_size,
            zero_stage=self.engine.zero_stage,
            precision=self.config.precision,
            data_fingerprint=self.data_fingerprint,
            norms=totals,
            parameter_norms=each,
            files=dict(sorted(files.items())),
            versions=versions(),
        )

        def commit() -> None:
            with self._room_for(step, needed, temporary):
                checkpoint.commit(temporary, final, manifest)

        self.engine.main_first(commit)
        if self.engine.is_main:
            checkpoint.prune(self.config.run, self.config.keep)
        return final

    @contextmanager
    def _room_for(self, step: int, needed: int, temporary: Path) -> Iterator[None]:
        """Where writing fails, remove what was written of a checkpoint, and say what one needs."""
        try:
            yield
        except (OSError, RuntimeError) as error:  # torch reports a failed write as a RuntimeError
            shutil.rmtree(temporary, ignore_errors=True)
            what = f"rank {self.engine.rank} could not save step {step}, which needs {needed / 1e6:,.1f} MB"
            what += f" ({str(error).splitlines()[0][:160]})"
            raise HyperofaError(what, where=temporary, todo=ROOM) from error

    def find(self) -> tuple[Path, Manifest] | None:
        """The newest committed checkpoint that verifies on all ranks; the others are said in one line and set aside.

        One that was killed between its manifest and its name is committed first.
        """
        self.engine.main_first(lambda: checkpoint.finish_renames(self.config.run))
        newest: tuple[Path, Manifest] | None = None
        skipped: list[Path] = []
        for folder in self.engine.gather(checkpoint.committed(self.config.run))[0]:
            mine = checkpoint.verify(folder, self.run_id, rank=self.engine.rank, world_size=self.engine.world_size)
            problems = [problem for problem in self.engine.gather(mine) if problem is not None]
            if not problems:
                newest = folder, checkpoint.read_manifest(folder)
                break
            skipped.append(folder)
            self._say("skipping %s: %s", folder.name, problems[0])
        if self.engine.is_main:
            for folder in checkpoint.uncommitted(self.config.run):
                self._say("skipping %s: it has no %s, so it was never committed", folder.name, checkpoint.MANIFEST)
                skipped.append(folder)
            for folder in skipped:
                checkpoint.set_aside(folder)
            for torn in self.config.run.glob("step_*.tmp"):
                shutil.rmtree(torn, ignore_errors=True)
        self.engine.barrier()
        return newest

    def load(self, folder: Path, manifest: Manifest) -> int:
        """Load a verified checkpoint and return its step.

        Raises:
            HyperofaError: the loaded tensors are not the saved ones, or the data changed.
        """
        if manifest.data_fingerprint != self.data_fingerprint:
            what, todo = (
                f"the corpus changed since {folder.name} was saved",
                "restore it, or train in another run directory",
            )
            raise HyperofaError(what, where=self.config.corpus, todo=todo)
        layout = (self.engine.world_size, self.engine.zero_stage, self.config.precision)
        if not manifest.universal and layout == (manifest.world_size, manifest.zero_stage, manifest.precision):
            self.engine.load_shards(folder)
        else:
            saved = f"ZeRO-{manifest.zero_stage} on {manifest.world_size} ranks in {manifest.precision}"
            self._say("%s was saved by %s: taking it apart anew", folder.name, saved)
            self.engine.load_unsharded(open_unsharded(folder, manifest))
        if problem := norms_differ(manifest, *self.engine.norms()):
            raise HyperofaError(problem, where=folder, todo="hyperofa checkpoint verify; then use an older checkpoint")
        return manifest.step

    def write_final(self) -> Path | None:
        """Write ``RUN/final``, the trained model as a model directory; returns where it is (None but on rank 0)."""
        config, model = self.config, self.engine.module
        state = self.engine.unsharded_state_dict()

        def write() -> Path:
            weights = model.plain_state(state or {})

            def save_model(folder: Path) -> None:
                # The "original format" would be the names of BERT's first release, if loading took that path.
                model.pretrained.save_pretrained(folder, state_dict=weights, save_original_format=False)

            unchanged = is_still(config.run / RUN_FILE, config.model)
            if not unchanged:
                log.warning("%s changed while the run trained: its tokenizer is not copied to %s", config.model, FINAL)
            source, facts = config.model if unchanged else None, {"engine": self.engine.describe()}
            if config.adapter.rank:
                facts["adapter"] = to_plain(config.adapter)
            return write_final(config.run / FINAL, source, self.run_id, config.steps, save_model, facts)

        written = self.engine.on_main("final", write)
        self.engine.barrier()
        return written

    def _say(self, message: str, *values: object) -> None:
        if self.engine.is_main:
            log.warning(message, *values)


def norms_differ(
    manifest: Manifest, totals: Mapping[str, float], each: Mapping[str, tuple[float, float, float]]
) -> str | None:
    """The first norm after loading that is not the saved one, in a few words; None if all are."""
    pairs = [(name, totals.get(name), saved) for name, saved in manifest.norms.items()]
    for name, saved_norms in manifest.parameter_norms.items() if each else ():
        kinds = [f"{name} ({kind})" for kind in checkpoint.NORMS]
        pairs += zip(kinds, each.get(name, (None, None, None)), saved_norms, strict=True)
    for name, now, saved in pairs:
        both_nan = now is not None and math.isnan(now) and math.isnan(saved)  # NaN weights stay what they are
        if now is None or not (both_nan or abs(now - saved) <= NORM_TOLERANCE * max(abs(saved), 1e-12)):
            return f"after loading, the norm of {name} is {now!r}, but {saved!r} was saved"
    return None


def open_unsharded(folder: Path, manifest: Manifest) -> UnshardedState:
    """The unsharded state of a verified checkpoint of either kind."""
    return read_unsharded(folder) if manifest.universal else read_shards(folder, manifest.files)


def write_universal(folder: Path, manifest: Manifest) -> None:
    """Replace a verified sharded checkpoint by one with the unsharded state, committed before the old one goes."""
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    state = read_shards(folder, manifest.files)
    try:
        temporary.mkdir()
        files = checkpoint.hash_and_sync(temporary, write_unsharded(temporary, state))
        as_readable_as_others(temporary)
        checkpoint.commit(temporary, folder, dataclasses.replace(manifest, universal=True, files=files), replaces=True)
    except OSError as error:
        what = f"cannot write the portable copy, which needs {manifest.size / 1e6:,.1f} MB ({error.strerror or error})"
        raise HyperofaError(what, where=folder, todo="make room; the checkpoint is untouched") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already if all went well
