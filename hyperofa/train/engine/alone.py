"""What ZeRO does for the other ranks, left out where there are none; :mod:`hyperofa.train.engine.engine` alone calls this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def reduce_nothing_alone(optimizer: Any) -> None:
    """Let a ZeRO-1 or ZeRO-2 optimizer of one rank keep its gradients as they are, instead of reducing them over that rank.

    DeepSpeed copies every gradient into a buffer, divides it by the number of ranks, reduces it, copies it back and then out of
    the buffer, which the next ones need: with one rank five passes over all gradients that change no bit. Gradients that are
    accumulated in another precision than the model's are added up on that way, so they go it; stage 3 cuts gradients up there.
    """
    groups = getattr(optimizer, "real_dp_process_group", None)
    if groups is None or hasattr(optimizer, "sub_group_to_group_id"):
        return
    if any(group.size() != 1 for group in groups) or optimizer.cpu_offload:
        return
    if any(optimizer._use_compact_grad_partition_buffer(number) for number in range(len(groups))):
        return

    def average_tensor(tensor: torch.Tensor, communication_data_type: torch.dtype) -> None:
        """The mean over one rank, which ``tensor`` is."""

    def copy_grads_in_partition(parameter: torch.Tensor, group_idx: int | None = None) -> None:
        """The gradient may stay where it is, since it is in no buffer."""

    optimizer.reduce_bucket_size = (
        0.5  # larger gradients than this, so all, go around the buffer; 0 would be divided by
    )
    optimizer.average_tensor = average_tensor
    optimizer.copy_grads_in_partition = copy_grads_in_partition
