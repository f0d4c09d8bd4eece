"""Contour length by soft morphology: what an opening gives back of the erosion's loss."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._inputs import check_scores, full_precision


def contour(probabilities: Tensor, *, literal: bool = False) -> Tensor:
    r"""Mean of the soft inner contour of the foreground.

    .. math:: L = \frac{1}{B (K-1) N} \sum_{n} \sum_{k=1}^{K-1} \sum_p C(P^k)_p, \quad
              C(P) = \mathrm{relu}(δ_3(ε_3(P)) - ε_3(P))

    ε₃ and δ₃ are erosion and dilation, minimum and maximum over 3 × 3 pixels. A square of k × k ones contributes 4k − 4
    for k ≥ 3, and anything at most 2 pixels wide contributes nothing, since the erosion removes it. Windows end at the
    image's border, so a part of an object that touches the border has no contour there.

    Minima and maxima are found axis by axis with shifted images, and the gradient is routed the same way back. It falls
    on the pixel that decided: among equals the centre, then the one before it, then the one after it.

    Args:
        probabilities: ``(b, k, *s)`` P, softmax of the logits; channel 0 is the background, which is left out.
        literal: leave out the first image instead of the background, as the public code does.

    Returns:
        Scalar ≥ 0. 0, connected to the graph, where nothing is left: no foreground channel, or, if literal, a batch of
        one image, for which the public code gives NaN.

    Raises:
        ValueError: if this is no floating ``(b, k, *s)``.

    Source: WSL4MIS ``train_weakly_supervised_pCE_TV_2D.py`` (there ``tv_loss``), which indexes the batch where it
    means the channels: the background counts, and the first image of every batch does not.

    The perimeter loss (El Jurdi et al.) compares ΣC of a prediction with ΣC of its ground truth. Marks have no
    perimeter, so it cannot be computed from them; this loss shortens every contour instead.
    """
    check_scores(probabilities, "probabilities")
    p = full_precision(probabilities)
    counted = (p[1:] if literal else p[:, 1:]).contiguous()
    # the sum of C is homogeneous of degree 1 in P, hence equal to ⟨P, ∂/∂P⟩
    return (counted * _gradient(counted.detach())).sum() / max(counted.numel(), 1)


def _gradient(p: Tensor) -> Tensor:
    """∂/∂P of Σ C(P).

    Where the dilation gives a pixel its own value, the centre decides and both pulls cancel: that is the relu.
    """
    eroding, dilating = [-p], []
    for axis in range(2, p.ndim):
        eroding.append(_largest(eroding[-1], axis))
    dilating.append(-eroding[-1])
    for axis in range(2, p.ndim):
        dilating.append(_largest(dilating[-1], axis))
    pull = torch.ones_like(p)
    for axis in range(p.ndim - 1, 1, -1):
        pull = _routed(pull, dilating[axis - 2], dilating[axis - 1], axis)
    pull -= 1
    for axis in range(p.ndim - 1, 1, -1):
        pull = _routed(pull, eroding[axis - 2], eroding[axis - 1], axis)
    return pull


def _largest(x: Tensor, axis: int) -> Tensor:
    """Maximum over each pixel and its two neighbours along an axis, as many as there are."""
    pairs = x.shape[axis] - 1
    largest = x.clone()
    late, early = largest.narrow(axis, 1, pairs), largest.narrow(axis, 0, pairs)
    torch.maximum(late, x.narrow(axis, 0, pairs), out=late)
    torch.maximum(early, x.narrow(axis, 1, pairs), out=early)
    return largest


def _routed(pull: Tensor, x: Tensor, largest: Tensor, axis: int) -> Tensor:
    """What pulls at ``_largest(x, axis)`` handed to the pixels of x that it was taken from."""
    pairs = x.shape[axis] - 1
    routed = pull * (x == largest)
    rest = pull - routed
    late, early = rest.narrow(axis, 1, pairs), rest.narrow(axis, 0, pairs)
    to_before = late * (x.narrow(axis, 0, pairs) == largest.narrow(axis, 1, pairs))
    late -= to_before
    routed.narrow(axis, 0, pairs).add_(to_before)
    routed.narrow(axis, 1, pairs).add_(early)  # neither the pixel itself nor the one before: the one after
    return routed
