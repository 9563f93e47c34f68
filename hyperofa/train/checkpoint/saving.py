"""Saving and resuming over all ranks: who writes, hashes and commits, and which checkpoint a start goes on from."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.base.files import versions
from hyperofa.errors import HyperofaError
from hyperofa.train.checkpoint import manifest as checkpoint
from hyperofa.train.checkpoint.final import FINAL, write_final
from hyperofa.train.checkpoint.fingerprint import is_still
from hyperofa.train.checkpoint.manifest import FORMAT, Manifest
from hyperofa.train.checkpoint.rundir import RUN_FILE, require_space
from hyperofa.train.checkpoint.unsharded import UnshardedState, read_shards, read_unsharded, write_unsharded

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig
    from hyperofa.train.engine.engine import Engine

log = logging.getLogger(__name__)

NORM_TOLERANCE = 1e-6
"""Relative difference of a norm, summed in another order on another world size, that is still the same tensor's."""


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
        if self.engine.is_main:
            require_space(self.config.run, self.engine.checkpoint_bytes())
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
        norms = self.engine.norms()  # also the barrier after which the folder is there for everyone
        try:
            names = self.engine.save_shards(temporary)
            entries = checkpoint.hash_and_sync(temporary, names)
        except (OSError, RuntimeError) as error:  # torch reports a failed write as a RuntimeError
            raise self._no_room(temporary, step, error) from error
        files = {name: entry for part in self.engine.gather(entries) for name, entry in part.items()}
        problem: HyperofaError | None = None
        if self.engine.is_main:
            totals, each = norms
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
            try:
                checkpoint.commit(temporary, final, manifest)
            except OSError as error:
                problem = self._no_room(temporary, step, error)
        problem = self.engine.gather(problem)[0]  # also the barrier before which nobody goes on
        if problem is not None:
            raise problem
        if self.engine.is_main:
            checkpoint.prune(self.config.run, self.config.keep)
        return final

    def _no_room(self, temporary: Path, step: int, error: OSError | RuntimeError) -> HyperofaError:
        """Remove what was written of a checkpoint, and say what one needs."""
        shutil.rmtree(temporary, ignore_errors=True)
        reason = str(error).splitlines()[0][:160]
        what = f"rank {self.engine.rank} could not save step {step}, which needs"
        what += f" {self.engine.checkpoint_bytes() / 1e6:,.1f} MB ({reason})"
        return HyperofaError(what, where=temporary, todo="make room; the last checkpoint is untouched")

    def find(self) -> tuple[Path, Manifest] | None:
        """The newest committed checkpoint that verifies on all ranks; the others are said in one line and set aside."""
        found: tuple[Path, Manifest] | None = None
        skipped: list[Path] = []
        for folder in self.engine.gather(checkpoint.committed(self.config.run))[0]:
            mine = checkpoint.verify(folder, self.run_id, rank=self.engine.rank, world_size=self.engine.world_size)
            problems = [problem for problem in self.engine.gather(mine) if problem is not None]
            if not problems:
                found = folder, checkpoint.read_manifest(folder)
                break
            skipped.append(folder)
            self._say("skipping %s: %s", folder.name, problems[0])
        if self.engine.is_main:
            for folder in checkpoint.uncommitted(self.config.run):
                self._say("skipping %s: it has no %s, so it was never committed", folder.name, checkpoint.MANIFEST)
                skipped.append(folder)
            for folder in skipped:
                checkpoint.set_aside(folder)
            checkpoint.remove_torn(self.config.run)
        self.engine.barrier()
        return found

    def load(self, folder: Path, manifest: Manifest) -> int:
        """Load a verified checkpoint and return its step.

        Raises:
            HyperofaError: the loaded tensors are not the saved ones, or the data changed.
        """
        if manifest.data_fingerprint != self.data_fingerprint:
            raise HyperofaError(
                f"the corpus changed since {folder.name} was saved",
                where=self.config.corpus,
                todo="restore the corpus, or train in another run directory",
            )
        here = (self.engine.world_size, self.engine.zero_stage, self.config.precision)
        if not manifest.universal and here == (manifest.world_size, manifest.zero_stage, manifest.precision):
            self.engine.load_shards(folder)
        else:
            self._say(
                "%s was saved by ZeRO-%d on %d ranks in %s: taking it apart anew",
                folder.name,
                manifest.zero_stage,
                manifest.world_size,
                manifest.precision,
            )
            self.engine.load_unsharded(open_unsharded(folder, manifest))
        if problem := norms_differ(manifest, *self.engine.norms()):
            raise HyperofaError(problem, where=folder, todo="hyperofa checkpoint verify; then use an older checkpoint")
        return manifest.step

    def write_final(self) -> Path | None:
        """Write ``RUN/final``, the trained model as a model directory; returns where it is (None but on rank 0)."""
        config, model = self.config, self.engine.module
        state = self.engine.unsharded_state_dict()

        def write() -> Path:
            weights = {name.removeprefix("pretrained."): tensor for name, tensor in (state or {}).items()}

            def save_model(folder: Path) -> None:
                # The "original format" would be the names of BERT's first release, if loading took that path.
                model.pretrained.save_pretrained(folder, state_dict=weights, save_original_format=False)

            source: str | None = config.model
            if not is_still(config.run / RUN_FILE, config.model):
                log.warning("%s changed while the run trained: its tokenizer is not copied to %s", config.model, FINAL)
                source = None
            facts = {"engine": self.engine.describe()}
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
        if now is None or not (
            _close(now, saved) or (math.isnan(now) and math.isnan(saved))
        ):  # NaN weights stay what they are
            return f"after loading, the norm of {name} is {now!r}, but {saved!r} was saved"
    return None


def _close(now: float, saved: float) -> bool:
    return abs(now - saved) <= NORM_TOLERANCE * max(abs(saved), 1e-12)


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
        checkpoint.replace(temporary, folder, dataclasses.replace(manifest, universal=True, files=files))
    except OSError as error:
        what = f"cannot write the portable copy, which needs {manifest.size / 1e6:,.1f} MB ({error.strerror or error})"
        raise HyperofaError(what, where=folder, todo="make room; the checkpoint is untouched") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # gone already if all went well
