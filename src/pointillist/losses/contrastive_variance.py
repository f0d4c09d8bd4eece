"""Contrastive variance: a class varies around its mean at the same places in all images, other classes elsewhere."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from pointillist.losses._inputs import check_label, check_mask, check_one_grid, full_precision
from pointillist.losses._variation import variation
from pointillist.types import IGNORE

Reduction = Literal["mean", "sum"]

_LEAST_MASS = 1e-6  # pixels; a class that holds less is divided by this
_LEAST_NORM = 1e-12  # of a map; shorter ones have smaller cosines instead of an infinite slope


def contrastive_variance(
    probabilities: Tensor,
    image: Tensor,
    label: Tensor,
    *,
    lambda_cv: float = 1e-3,
    mu: float = 1e-5,
    tau: float = 0.07,
    include_background: bool = True,
    reduction: Reduction = "mean",
    mask: Tensor | None = None,
    draws: Tensor | None = None,
    literal: bool = False,
) -> Tensor:
    r"""Contrast between the variance maps of classes in different images, and the length of the boundaries.

    .. math:: L = λ_{cv} \operatorname{mean}_{n, k} -\log \frac{e^{\cos(z_k^n, z_k^m) / τ}}
              {e^{\cos(z_k^n, z_k^m) / τ} + \sum_{i ≠ n} \sum_{j ≠ k} e^{\cos(z_k^n, z_j^i) / τ}}
              + μ \operatorname{mean}_{n, k} \sum_p |Δ_x P_p^k| + |Δ_y P_p^k|, \quad
              z_k^n(p) = \|I_p - c_k^n\|^2 P_p^k, \quad c_k^n = \frac{\sum_p P_p^k I_p}{\sum_p P_p^k}

    An image takes part in the contrast with the classes that its label holds: a map of a class that is not there is
    noise. m ≠ n is a random image with class k, one and the same for all classes of n where it has them all. An anchor
    (n, k) without such an image, or without a negative, is left out; other images with class k are neither. All cosines
    come from one matrix of inner products, so memory is that of a few predictions. The gradient runs through c. The
    contrast does not change when intensities are stretched and shifted.

    Args:
        probabilities: ``(b, k, *s)`` P, softmax of the logits.
        image: ``(b, c, *s)`` I on the same grid; squares of its channels' differences are added. Takes no gradient.
        label: ``(b, *s)`` classes 0 … k−1, ``IGNORE`` where unlabelled.
        lambda_cv: λ_cv ≥ 0, weight of the contrast.
        mu: μ ≥ 0, weight of the boundaries per pixel of length.
        tau: temperature τ > 0.
        include_background: whether class 0 has anchors, positives, negatives and boundaries as the others have.
        reduction: ``"mean"`` over the anchors, and over all images and classes for the boundaries; ``"sum"``, as the
            paper writes both.
        mask: ``(b, *s)`` Boolean, pixels that count, all without it; a boundary counts between two of them.
        draws: ``(b, b)`` random numbers: m is the candidate with the largest one in row n, so that each is as likely as
            any other. Drawn by torch's global generator where they are not given.
        literal: let every class of every image take part, whatever is labelled, and sum, whatever the reduction.

    Returns:
        Scalar ≥ 0. Without any anchor the contrast is 0, connected to the graph: one image, one class, no labels.

    Raises:
        ValueError: if shapes disagree, a label is no class, a constant is out of range or the reduction is unknown.

    Source: En & Guo, AAAI 2023, eq. 4 – 8; no code of the authors is public. The paper sums, and its λ_cv (1e-3 on
    ACDC, 0.3 on Synapse) and μ keep their ratio to partial cross-entropy here, all three being means.
    """
    _check_constants(lambda_cv, mu, tau, reduction)
    _check_shapes(probabilities, image, label, draws)
    p = full_precision(probabilities)
    colours = image.detach().to(p.dtype)
    if mask is not None:
        check_mask(mask, p, "mask")
        outside = ~mask.unsqueeze(1)
        p, colours, label = p.masked_fill(outside, 0), colours.masked_fill(outside, 0), label.masked_fill(~mask, IGNORE)
    present = torch.ones(p.shape[:2], dtype=torch.bool, device=p.device) if literal else _classes_in(label, p.shape[1])
    if not include_background:
        p, present = p[:, 1:], present[:, 1:]
    if draws is None:
        draws = torch.rand(len(p), len(p), device=p.device)
    with torch.autocast(p.device.type, enabled=False):  # it would multiply matrices in half precision
        cosines = _cosines(_variance_maps(p.flatten(2).contiguous(), colours.flatten(2)))
    terms, anchors = _terms(cosines / tau, present, draws)
    contrast, length = terms.sum(), variation(p, mask).sum()
    if reduction == "mean" and not literal:
        contrast, length = contrast / anchors.sum().clamp(min=1), length / max(present.numel(), 1)
    return lambda_cv * contrast + mu * length


def _classes_in(label: Tensor, classes: int) -> Tensor:
    """``(b, k)`` whether an image's label holds a class."""
    return torch.stack([(label == k).flatten(1).any(1) for k in range(classes)], 1)


def _variance_maps(p: Tensor, image: Tensor) -> Tensor:
    """``(b, k, n)`` ‖I − c_k‖² P_k of ``(b, k, n)`` predictions and ``(b, c, n)`` images."""
    mass = p.sum(2, keepdim=True).clamp(min=_LEAST_MASS)
    centres = p @ image.transpose(1, 2) / mass
    squares = [
        (channel.unsqueeze(1) - centre.unsqueeze(2)).square()
        for channel, centre in zip(image.unbind(1), centres.unbind(2), strict=True)
    ]
    return sum(squares[1:], start=squares[0]) * p


def _cosines(maps: Tensor) -> Tensor:
    """``(b, k, b, k)`` cosines between all maps ``(b, k, n)``."""
    flat = maps.flatten(0, 1)
    products = flat @ flat.T
    inverse_norms = products.diagonal().clamp(min=_LEAST_NORM**2).rsqrt()
    cosines = products * inverse_norms * inverse_norms.unsqueeze(1)
    return cosines.view(*maps.shape[:2], *maps.shape[:2])


def _terms(scores: Tensor, present: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """−log pos / (pos + neg) of every anchor, 0 for those left out, and which ones count, both ``(b, k)``.

    Args:
        scores: ``(b, k, b, k)`` cosines over τ.
        present: ``(b, k)`` whether a class of an image takes part.
        draws: ``(b, b)`` random numbers that choose the positive.
    """
    other_image, other_class = (~torch.eye(n, dtype=torch.bool, device=scores.device) for n in present.shape)
    candidates = other_image.unsqueeze(1) & present.T  # anchor's image, class, candidate's image
    partner = draws.unsqueeze(1).masked_fill(~candidates, -torch.inf).argmax(2)
    same_class = scores.diagonal(dim1=1, dim2=3).transpose(1, 2)
    positive = same_class.gather(2, partner.unsqueeze(2))
    negative = other_image[:, None, :, None] & other_class[None, :, None, :] & present
    rivals = scores.masked_fill(~negative, -torch.inf).flatten(2)
    anchors = present & candidates.any(2) & negative.flatten(2).any(2)
    terms = torch.cat([positive, rivals], 2).logsumexp(2) - positive.squeeze(2)
    return terms.masked_fill(~anchors, 0), anchors


def _check_constants(lambda_cv: float, mu: float, tau: float, reduction: str) -> None:
    if not (lambda_cv >= 0 and mu >= 0 and tau > 0):
        msg = f"lambda_cv and mu must not be negative and tau be positive, got {lambda_cv}, {mu} and {tau}"
        raise ValueError(msg)
    if reduction not in get_args(Reduction):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)


def _check_shapes(probabilities: Tensor, image: Tensor, label: Tensor, draws: Tensor | None) -> None:
    check_one_grid(probabilities, image)
    check_label(label, probabilities)
    images = len(probabilities)
    if draws is not None and draws.shape != (images, images):
        msg = f"draws must have the shape {(images, images)}, got {tuple(draws.shape)}"
        raise ValueError(msg)
