"""What the uncertainty-aware mean teachers share: learn from the teacher where its stochastic passes agree."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses import certain_pixels, soft_consistency
from pointillist.methods._ema import mean_prediction, noisy
from pointillist.nets.network import SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import global_mean


def entropy_share(clock: Clock) -> float:
    """How much of the largest entropy counts as certain: 0.75, rising to 1 over the whole run."""
    return 0.75 + 0.25 * clock.ramp(1.0)


def certain_consistency(
    teacher: SegmentationNet,
    image: Tensor,
    logits: Tensor,
    valid: Tensor,
    *,
    share: float,
    passes: int,
    sigma: float,
    literal: bool,
) -> Tensor:
    """Squared distance to one noisy pass of the teacher, mean over the certain pixels of all processes.

    Args:
        teacher: in the mode in which it is to predict.
        image: ``(b, c, h, w)`` what the teacher sees.
        logits: ``(b, k, h, w)`` the student's, on the same grid.
        valid: ``(b, h, w)`` Boolean, pixels inside the image.
        share: of the largest entropy, below which a pixel is certain.
        passes: T passes from which the entropy is computed.
        sigma: standard deviation of the noise.
        literal: entropy, divisor and region of the public codes, which also count pixels outside the image.
    """
    with torch.no_grad():
        target = teacher(noisy(image, sigma)).logits.float().softmax(1)
    expected = mean_prediction(teacher, image, passes=passes, sigma=sigma)
    certain = certain_pixels(expected, share, literal=literal)
    if not literal:
        certain = certain & valid
    total = soft_consistency(logits, target, certain, reduction="sum", literal=literal)
    return global_mean(total, certain.sum())
