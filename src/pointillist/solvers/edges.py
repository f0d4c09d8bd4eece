"""Where a map has edges: the weight that lets a boundary lie there."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

_REACH = 4.0  # standard deviations at which the Gaussian is cut off


@torch.no_grad()
def edge_weight(z: Tensor, *, beta: float = 10.0, sigma: float = 1.0) -> Tensor:
    r"""Weights near 1 where a map is flat, small where it is steep.

    .. math:: g = \frac{1}{1 + β |∇z_σ|^2}

    The map is smoothed by a Gaussian, and differentiated by central differences of the pixels on both sides (of the
    pixel and its neighbour at the border), so that a mirrored map has the mirrored weights.

    Args:
        z: ``(m, h, w)`` values of order 1.
        beta: β ≥ 0, for distances in pixels.
        sigma: σ ≥ 0 of the Gaussian, in pixels; 0 does not smooth.

    Returns:
        ``(m, h, w)`` in (0, 1].

    Source: β = 10, σ = 1 of the deleted public code of CVM; its paper prints β = 1 and no smoothing.
    """
    smooth = gaussian(z, sigma) if sigma > 0 else z
    padded = F.pad(smooth.unsqueeze(1), (1, 1, 1, 1), mode="replicate").squeeze(1)
    steep = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]).square_()
    steep += (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]).square_()
    return 1 / (1 + beta / 4 * steep)


def gaussian(z: Tensor, sigma: float) -> Tensor:
    """Maps ``(m, h, w)`` smoothed by a Gaussian of σ pixels, the border's value beyond it."""
    reach = math.ceil(_REACH * sigma)
    place = torch.arange(-reach, reach + 1, dtype=z.dtype, device=z.device)
    weights = (-0.5 * (place / sigma) ** 2).exp()
    weights = weights / weights.sum()
    padded = F.pad(z.unsqueeze(1), (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, weights.view(1, 1, -1, 1))
    return F.conv2d(rows, weights.view(1, 1, 1, -1)).squeeze(1)
