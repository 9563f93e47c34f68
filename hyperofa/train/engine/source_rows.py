"""Updates of their own for the source's rows, inside a ZeRO optimizer; :mod:`hyperofa.train.engine.engine` alone calls this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hyperofa.model.phases import RowMask
from hyperofa.train.engine.partition import stretches


class SharedUpdates:
    """Lets some elements of a parameter keep only a share of what AdamW moves them, after each of its updates.

    Rows of the source lie in the same matrix as new rows, so no parameter group can part them. Without weight decay, which rows
    never have, a share of AdamW's step is its step at that share of the rate.

    Attributes:
        shares: of the step, by kind of element; a kind that is not there moves as AdamW says.
    """

    def __init__(
        self,
        zero: Any,
        optimizer: torch.optim.Optimizer,
        rank: int,
        elements: Mapping[str, Mapping[str, RowMask]],
    ) -> None:
        """Find the elements in this rank's flat tensors, and hook into the optimizer's steps.

        Args:
            zero: DeepSpeed's ZeRO optimizer.
            optimizer: the one inside, which steps on flat float32 tensors.
            rank: whose they are.
            elements: by kind, and by the name that the ZeRO optimizer gives a parameter: its rows of that kind.
        """
        self.shares: Mapping[str, float] = {}
        self._places: dict[int, list[tuple[str, int, torch.Tensor]]] = {}
        self._before: list[tuple[float, torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for flat, parts in stretches(zero, rank):
            for part in parts:
                for kind, masks in elements.items():
                    if part.name in masks:  # the mask ends where padding begins
                        mask = masks[part.name].stretch(part.taken, part.count).to(flat.device)
                        if mask.any():
                            self._places.setdefault(id(flat), []).append((kind, part.start, mask))
        optimizer.register_step_pre_hook(self._keep)
        optimizer.register_step_post_hook(self._give_back)

    def _keep(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._before = []
        for flat in (flat for group in optimizer.param_groups for flat in group["params"]):
            for kind, start, mask in self._places.get(id(flat), []):
                share = self.shares.get(kind, 1.0)
                if share != 1.0:
                    stretch = flat.detach()[start : start + len(mask)]
                    self._before.append((share, mask, stretch, stretch.clone()))

    def _give_back(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for share, mask, stretch, before in self._before:
            stretch.copy_(torch.where(mask, torch.lerp(before, stretch, share), stretch))
        self._before = []
