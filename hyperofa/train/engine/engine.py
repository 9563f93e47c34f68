"""Accelerate and DeepSpeed, which the files of this folder alone touch: ranks, sharded steps, reductions, shards on disk.

What the two libraries do wrong by default is put right here: the engine is asserted to be DeepSpeed's, the timeout
reaches every process group, nothing is compiled at run time, the learning rate is set and not scheduled, and no loading
happens that the caller has not verified.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hyperofa.base.attention import attention_to_learn_with
from hyperofa.errors import HyperofaError, InputError
from hyperofa.model.families import parameter_dtype
from hyperofa.model.phases import RowMask
from hyperofa.train.checkpoint.manifest import NORMS, SHARDS, files_of_rank
from hyperofa.train.checkpoint.unsharded import KINDS, UnshardedState
from hyperofa.train.engine.clipping import clip_by_what_learns
from hyperofa.train.engine.dsconfig import deepspeed_config, world_size_of_launch
from hyperofa.train.engine.environment import check_precision, compile_nothing, set_launch_environment
from hyperofa.train.engine.internals import CLIPPING, CLIPPING_3, LAYOUT, LAYOUT_3, LOSS_SCALER, is_usable
from hyperofa.train.engine.partition import squares_by_parameter, squares_of_all, stretches, update_model_weights
from hyperofa.train.engine.ranks import Ranks, limit_waiting
from hyperofa.train.engine.source_rows import SharedUpdates
from hyperofa.train.planning.cost import peak_flops
from hyperofa_eval.base.cpu import speed_up_cpu
from hyperofa_eval.base.quiet import quiet_libraries

if TYPE_CHECKING:
    from hyperofa.train.config import TrainConfig


class Engine(Ranks):
    """One process's part of a DeepSpeed run: collectives from the start, sharded steps after :meth:`prepare`."""

    def __init__(self, config: TrainConfig) -> None:
        """Join the process group.

        Raises:
            HyperofaError: accelerate did not set up DeepSpeed, so the run would not be what was asked for.
            InputError: the device has not the precision that was asked for, or a tracker is not installed.
        """
        set_launch_environment()
        cuda = torch.cuda.is_available()
        if not cuda:
            os.environ["DS_ACCELERATOR"] = "cpu"
            speed_up_cpu()
        quiet_libraries()
        from accelerate import Accelerator, DeepSpeedPlugin, InitProcessGroupKwargs
        from accelerate.utils import DistributedType

        self.config = config
        self._timeout = datetime.timedelta(seconds=config.timeout)
        group = InitProcessGroupKwargs(backend="nccl" if cuda else "gloo", timeout=self._timeout)
        self.deepspeed_config = deepspeed_config(config, world_size_of_launch(), cuda=cuda)
        compile_nothing()
        check_precision(config.precision)
        self._accelerator = Accelerator(
            mixed_precision="no" if config.precision == "fp32" else config.precision,
            deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=json.loads(json.dumps(self.deepspeed_config))),
            gradient_accumulation_steps=self.deepspeed_config["gradient_accumulation_steps"],
            kwargs_handlers=[group],
            log_with=list(config.trackers) or None,
            project_dir=str(config.run),
        )
        if self._accelerator.distributed_type != DistributedType.DEEPSPEED:
            what = f"accelerate set up {self._accelerator.distributed_type.value}, not DeepSpeed"
            todo = "start with accelerate launch --config_file launch/….yaml and unset ACCELERATE_USE_CPU"
            raise HyperofaError(what, todo=todo)
        ready = {str(tracker) for tracker in self._accelerator.log_with}
        if missing := [name for name in config.trackers if name not in ready]:
            raise InputError(f"trackers not installed: {', '.join(missing)}", todo="install them, or change trackers")
        self._ds: Any = None
        self._layout_is_known = False
        self._updates: SharedUpdates | None = None
        limit_waiting(self._timeout)
        super().__init__(self._accelerator.device)

    @property
    def zero_stage(self) -> int:
        """The ZeRO stage in the DeepSpeed config in use."""
        return int(self.deepspeed_config["zero_optimization"]["stage"])

    def describe(self) -> dict[str, Any]:
        """What really runs, for ``run.json``: the engine's and optimizer's classes, ranks, device, stage."""
        return {
            "engine": f"{type(self._ds).__module__}.{type(self._ds).__name__}",
            "zero_optimizer": type(self._ds.optimizer).__name__,
            "optimizer": type(self._ds.basic_optimizer).__name__,
            "zero_stage": self.zero_stage,
            "precision": self.config.precision,
            "world_size": self.world_size,
            "backend": str(self._accelerator.state.backend),
            "device": str(self.device.type),
            "accumulation": self.deepspeed_config["gradient_accumulation_steps"],
        }

    # ------------------------------------------------------------------ setting up

    def prepare(self, model: torch.nn.Module, groups: Sequence[dict[str, Any]]) -> None:
        """Shard the model and its AdamW over the ranks; from here on :attr:`module` is the model to call.

        Raises:
            HyperofaError: the engine is not DeepSpeed's.
        """
        from deepspeed import DeepSpeedEngine

        optimizer = torch.optim.AdamW(
            groups,
            lr=self.config.learning_rate,
            betas=self.config.betas,
            eps=self.config.epsilon,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        with contextlib.redirect_stdout(None):
            self._ds, _ = self._accelerator.prepare(model, optimizer)
        if not isinstance(self._ds, DeepSpeedEngine):
            raise HyperofaError(f"accelerate prepared {type(self._ds).__name__}, not a DeepSpeed engine")
        self._adjust(self._ds.optimizer)
        if self.config.compile:
            self._ds.compile()
        limit_waiting(self._timeout)

    def _adjust(self, optimizer: Any) -> None:
        """Change in DeepSpeed's optimizer what the installed version lets us change; see :mod:`.internals`."""
        clipping, layout = (CLIPPING_3, LAYOUT_3) if self.zero_stage == 3 else (CLIPPING, LAYOUT)
        if is_usable(clipping, optimizer, self.gather):
            clip_by_what_learns(optimizer, stage=self.zero_stage)
        self._layout_is_known = is_usable(layout, optimizer, self.gather)
        fp16 = self.deepspeed_config["fp16"]
        dynamic = fp16["enabled"] and not fp16.get("loss_scale")  # how often is too often, max_skipped decides
        if dynamic and is_usable(LOSS_SCALER, optimizer, self.gather):
            optimizer.loss_scaler.raise_error_at_min_scale = False

    @property
    def module(self) -> Any:
        """The model as it was given to :meth:`prepare`, its parameters now managed by DeepSpeed."""
        return self._ds.module

    # ------------------------------------------------------------------ one optimizer step

    def train_mode(self) -> None:
        """Switch dropout on."""
        self._ds.train()

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> Any:
        """Run the model on one micro-batch, moved to this rank's device."""
        with self._attention():
            return self._ds(**{name: tensor.to(self.device, non_blocking=True) for name, tensor in inputs.items()})

    def backward(self, loss_sum: torch.Tensor, n_targets_global: int) -> None:
        """Add the gradient of ``loss_sum / n_targets_global`` to the step's; the ranks' gradients add up.

        DeepSpeed averages over ranks, so the loss is multiplied by their number; it does not divide by the
        accumulation here, since the global count already covers all micro-batches. A loss that is not finite makes the
        whole gradient so, even where its own would be finite, and with it DeepSpeed leaves out the step on every rank.
        """
        nothing_or_nan = loss_sum.detach() * 0.0
        with self._attention():  # blocks that are computed again here, too
            self._ds.backward(loss_sum * (self.world_size / n_targets_global + nothing_or_nan), scale_wrt_gas=False)

    def _attention(self) -> contextlib.AbstractContextManager[Any]:
        return attention_to_learn_with(self.device, parameter_dtype(self.module))

    def end_micro_batch(self) -> None:
        """Tell DeepSpeed that a micro-batch is done; with the step's last one it updates the weights."""
        self._ds.step()

    def share_updates(self, elements: Mapping[str, Sequence[tuple[torch.Tensor, RowMask]]]) -> None:
        """Let some elements of parameters keep a share of their updates, as :meth:`set_learning_rates` says.

        Args:
            elements: by kind, parameters and those of their rows that are of it.

        Raises:
            HyperofaError: the installed DeepSpeed keeps its shards in a way that is not known.
        """
        if not self._layout_is_known:
            what = (
                "this version of DeepSpeed does not say where the source's rows are, and they were to learn otherwise"
            )
            raise HyperofaError(
                what, todo="leave learning_rates.old_rows and phase out, or install deepspeed>=0.19.8,<0.20"
            )
        names = self._ds.optimizer.param_names
        by_name = {kind: {names[p]: mask for p, mask in masks if p in names} for kind, masks in elements.items()}
        self._updates = SharedUpdates(self._ds.optimizer, self._ds.basic_optimizer, self.rank, by_name)

    def set_learning_rates(self, rate_of: Callable[[str], float], shares: Mapping[str, float] | None = None) -> None:
        """Set the rate of the coming update for every parameter group, by its name, and the shares of :meth:`share_updates`."""
        for group in self._ds.optimizer.param_groups:
            group["lr"] = rate_of(group["name"])
        if self._updates is not None:
            self._updates.shares = shares or {}

    @property
    def skipped_steps(self) -> int:
        """Steps that DeepSpeed left out since the start, because the gradient was not finite."""
        return int(self._ds.skipped_steps)

    def gradient_norm(self) -> float | None:
        """Norm of the last step's gradient of what learned in it, before clipping; None if it is not known or not finite."""
        norm = self._ds.get_global_grad_norm()
        return float(norm) if norm is not None and math.isfinite(float(norm)) else None

    def peak_flops(self) -> float | None:
        """Peak operations per second of this rank's GPU in the run's precision; None on the CPU and for unknown kinds."""
        cuda = self.device.type == "cuda"
        return peak_flops(torch.cuda.get_device_name(self.device), self.config.precision) if cuda else None

    # ------------------------------------------------------------------ shards on disk

    def checkpoint_bytes(self) -> int:
        """About how many bytes the shards of all ranks take: float32 weights and moments of what learns, and the model's copy.

        Under ZeRO-3 there is a copy of what never learns only.
        """
        total = 0
        for p in self.module.parameters():
            copied = p.element_size() if self.zero_stage < 3 or not p.requires_grad else 0
            total += getattr(p, "ds_numel", p.numel()) * (copied + (12 if p.requires_grad else 0))
        return total

    def save_shards(self, folder: Path) -> list[str]:
        """Write this rank's shards below ``folder`` (which exists on all ranks); returns the names of its files."""
        with contextlib.redirect_stdout(None):
            self._ds.save_checkpoint(str(folder), tag=SHARDS, client_state={}, save_latest=False)
        if self.is_main:
            for script in folder.glob("zero_to_*.py"):  # DeepSpeed's converters, which abort on tied weights
                script.unlink()
        return files_of_rank(folder, self.rank)

    def load_shards(self, folder: Path) -> None:
        """Load what :meth:`save_shards` wrote. The caller has verified the hashes: this unpickles.

        Raises:
            HyperofaError: DeepSpeed found nothing to load.
        """
        with contextlib.redirect_stdout(None):
            loaded, _ = self._ds.load_checkpoint(str(folder), tag=SHARDS, load_lr_scheduler_states=False)
        if loaded is None:
            raise HyperofaError("DeepSpeed loaded nothing", where=folder)
        gc.collect()

    def load_unsharded(self, state: UnshardedState) -> None:
        """Take this rank's share of an unsharded state, whatever world size and stage it was saved with.

        Raises:
            HyperofaError: the installed DeepSpeed keeps its shards in a way that is not known.
        """
        if not self._layout_is_known:
            what = "this version of DeepSpeed can resume only with the ranks, stage and precision that were saved"
            raise HyperofaError(what, todo="use those, or install deepspeed>=0.19.8,<0.20")

        optimizer = self._ds.optimizer
        if self.zero_stage == 3:
            optimizer.checkpoint_event_prologue()
        for flat, parts in stretches(optimizer, self.rank):
            values = {kind: flat.detach().new_zeros(flat.shape) for kind in KINDS}
            for part in parts:
                for kind, target in values.items():
                    share = state.read(part.name, kind)[part.taken : part.taken + part.count]
                    target[part.start : part.start + share.numel()] = share.to(target.device)
            flat.data.copy_(values.pop("fp32"))
            self._ds.basic_optimizer.state[flat] = {"step": torch.tensor(state.adam_step), **values}
        update_model_weights(optimizer, self.zero_stage)
        gc.collect()

    def norms(self) -> tuple[dict[str, float], dict[str, tuple[float, float, float]]]:
        """Norms over all ranks of the float32 weights and of AdamW's two moments, of all together and of each parameter.

        Those of each parameter are left out where the installed DeepSpeed does not say who holds what.
        """
        names: list[str] = []
        if self._layout_is_known:
            names, squares = squares_by_parameter(self._ds.optimizer, self._ds.basic_optimizer.state, self.rank)
        else:
            squares = squares_of_all(self._ds.basic_optimizer.state)
        sums = self.sum(squares)
        each = {name: tuple(value**0.5 for value in sums[3 * i : 3 * i + 3]) for i, name in enumerate(names)}
        totals = {kind: sum(sums[number::3]) ** 0.5 for number, kind in enumerate(NORMS)}
        return totals, each

    def unsharded_state_dict(self) -> dict[str, torch.Tensor] | None:
        """The gathered weights on rank 0's CPU, in the training precision, tied ones once (None on other ranks)."""
        state = self._accelerator.get_state_dict(self._ds)
        if not self.is_main or state is None:
            return None
        first_names: dict[int, str] = {}
        for name, parameter in self.module.named_parameters(remove_duplicate=False):
            if first_names.setdefault(id(parameter), name) != name:
                state.pop(name, None)
        # Small parameters may be views of one buffer, which safetensors writers take for tied weights and drop.
        return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}

    # ------------------------------------------------------------------ trackers and the end

    def start_trackers(self, name: str, settings: Mapping[str, Any]) -> None:
        """Open the trackers named in the config (rank 0 only, by accelerate)."""
        if self.config.trackers:
            plain = {key: value for key, value in settings.items() if isinstance(value, int | float | str | bool)}
            self._accelerator.init_trackers(name, config=plain)

    def track(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers of one step to the trackers."""
        if self.config.trackers:
            self._accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """End the trackers and leave the process group."""
        self._accelerator.end_training()
        self.leave()
