"""The losses a hypernetwork is fitted with: the paper's contrastive plus normalised L1, and one that does not shrink rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(predicted: Tensor, target: Tensor, temperature: float) -> Tensor:
    """In-batch softmax cross-entropy over cosine similarities / T, () (HyperOFA, §3.3, eq. 4).

    Prediction i belongs to target i; the other targets of the batch are its negatives. Shapes (B, r).
    """
    similarity = functional.normalize(predicted, dim=-1) @ functional.normalize(target, dim=-1).T
    return functional.cross_entropy(similarity / temperature, torch.arange(len(predicted), device=predicted.device))


def normalised_l1(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over mean absolute target, () (HyperOFA, §3.3, eq. 5)."""
    return (predicted - target).abs().mean() / target.abs().mean().clamp(min=1e-12)


def paper_loss(predicted: Tensor, target: Tensor, *, weight: float, temperature: float) -> Tensor:
    """``weight`` * contrastive + (1 - ``weight``) * normalised L1 (HyperOFA, §3.3, eq. 3; weight is its lambda)."""
    return weight * contrastive(predicted, target, temperature) + (1 - weight) * normalised_l1(predicted, target)


def direction_loss(predicted: Tensor, target: Tensor, *, weight: float, temperature: float) -> Tensor:
    """``weight`` * contrastive + (1 - ``weight``) * (1 - cosine): blind to length, so there is nothing to gain by shrinking."""
    cosine = functional.cosine_similarity(predicted, target, dim=-1).mean()
    return weight * contrastive(predicted, target, temperature) + (1 - weight) * (1 - cosine)


LOSSES = {"paper": paper_loss, "direction": direction_loss}
