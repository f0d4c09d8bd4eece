"""Where a prediction is sure enough to teach another one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pointillist.losses._inputs import check_scores, full_precision


@torch.no_grad()
def certain_pixels(probabilities: Tensor, share: float, *, literal: bool = False) -> Tensor:
    r"""Pixels whose entropy lies below a share of the largest possible one.

    .. math:: M_p = [H(P_p) < s \ln K], \quad H(P) = -\sum_k P^k \ln P^k

    Args:
        probabilities: ``(b, k, *s)`` P, k ≥ 2; for a mean teacher the mean softmax of several stochastic passes.
        share: s > 0; published: 0.75 at the start of training, rising to 1.
        literal: the public code's threshold s · ln 2, whatever K, and its H = −Σ P ln(P + 1e-6).

    Returns:
        ``(b, *s)`` Boolean. A uniform prediction is never certain at s = 1.

    Raises:
        ValueError: if the shape is wrong, there is only one class, or the share is not positive.

    Source: Yu et al., MICCAI 2019 (UA-MT), whose data have two classes; WSL4MIS keeps its ln 2 with four, which is half
    of the range. PyMIC writes ln K.
    """
    check_scores(probabilities, "probabilities")
    classes = probabilities.shape[1]
    if classes < 2:
        msg = f"certainty needs at least 2 classes, got probabilities {tuple(probabilities.shape)}"
        raise ValueError(msg)
    if not share > 0:
        msg = f"share must be positive, got {share}"
        raise ValueError(msg)
    p = full_precision(probabilities)
    # the smallest normal number in place of 0 makes 0 · ln 0 the 0 that it is; torch.special.entr takes twice as long
    log_p = torch.log(p + 1e-6) if literal else p.clamp(min=torch.finfo(p.dtype).tiny).log()
    return -(p * log_p).sum(1) < share * math.log(2 if literal else classes)
