"""A mean teacher: a frozen copy of a network whose weights follow it as a moving average."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pointillist.nets.network import SegmentationNet

_COPIES = 2  # of the batch a pass, as in the published codes: BatchNorm normalises over them together

M = TypeVar("M", bound=nn.Module)


def frozen_copy(net: M) -> M:
    """A teacher for ``net``: the same weights, no gradients.

    Registered on a method it is saved with it, so a resumed run continues with it. It follows the method into train
    mode, where dropout is active and BatchNorm normalises with the statistics of the batch, as in the published codes.
    Its running statistics change by ``follow`` alone, not by its own passes.
    """
    teacher = copy.deepcopy(net).requires_grad_(False)
    for module in teacher.modules():
        if isinstance(module, _NormBase):
            module.momentum = 0.0
    return teacher


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, step: int, alpha: float) -> None:
    """Move a teacher towards its student, in place: θ' ← a θ' + (1 − a) θ with a = min(1 − 1/(t+1), α).

    Parameters and floating buffers, running statistics among them, are averaged; counters are copied. At t = 0 the
    teacher becomes the student, and until 1/(t+1) falls below 1 − α it is the plain mean of all students so far.

    Args:
        teacher: of ``frozen_copy``.
        student: what it follows.
        step: t, optimiser steps before the one that was just made; 0 after the first.
        alpha: α, the largest weight of the past.
    """
    pairs = list(zip(_state(teacher), _state(student), strict=True))
    averaged = [pair for pair in pairs if pair[0].is_floating_point()]
    counted = [pair for pair in pairs if not pair[0].is_floating_point()]
    past, present = (list(side) for side in zip(*averaged, strict=True))
    torch._foreach_lerp_(past, present, max(1 / (step + 1), 1 - alpha))
    if counted:
        old, new = (list(side) for side in zip(*counted, strict=True))
        torch._foreach_copy_(old, new)


@torch.no_grad()
def noisy(image: Tensor, sigma: float) -> Tensor:
    """An image with Gaussian noise of standard deviation ``sigma``, cut off at two of them."""
    return image + (torch.randn_like(image) * sigma).clamp_(-2 * sigma, 2 * sigma)


@torch.no_grad()
def mean_prediction(teacher: SegmentationNet, image: Tensor, *, passes: int, sigma: float) -> Tensor:
    """The mean softmax of several stochastic passes, each with noise and dropout of its own.

    Two copies of the batch are predicted at a time, so memory is that of one pass without gradient over two batches,
    whatever the number of passes.

    Args:
        teacher: left in the mode it is in.
        image: ``(b, c, *s)``.
        passes: T ≥ 1.
        sigma: standard deviation of the noise, in units of the image.

    Returns:
        ``(b, k, *s)`` float32 probabilities.
    """
    sums = []
    for first in range(0, passes, _COPIES):
        copies = min(_COPIES, passes - first)
        logits = teacher(noisy(torch.cat([image] * copies), sigma)).logits
        sums.append(logits.float().softmax(1).unflatten(0, (copies, len(image))).sum(0))
    return torch.stack(sums).sum(0) / passes


def _state(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]
