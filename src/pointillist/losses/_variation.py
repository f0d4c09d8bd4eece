"""Total variation of predictions, image by image and class by class."""

from __future__ import annotations

import torch
from torch import Tensor


def variation(p: Tensor, mask: Tensor | None = None) -> Tensor:
    """Anisotropic ℓ1 variation Σ |Δ_x p| + |Δ_y p| of forward differences, ``(b, k)``.

    It is homogeneous of degree 1, hence equal to ⟨p, ∂/∂p⟩: the signs of the differences are summed in one map, without
    gradient, which serves the value and the backward pass alike.

    Args:
        p: ``(b, k, *s)``.
        mask: ``(b, *s)`` Boolean; a pair counts where both of its pixels are in the mask, all pairs without it.
    """
    with torch.no_grad():
        pull = torch.zeros_like(p)
        for axis in range(2, p.ndim):
            late, early = _neighbours(p, axis)
            sign = (late - early).sign_()
            if mask is not None:
                both = torch.logical_and(*_neighbours(mask.unsqueeze(1), axis))
                sign *= both
            late, early = _neighbours(pull, axis)
            late += sign
            early -= sign
    return (p * pull).flatten(2).sum(2)


def isotropic_variation(p: Tensor, eps: float) -> Tensor:
    """Σ √(|∇p|² + ε²) − ε of forward differences, 0 across the far border, ``(b, k)``."""
    squares = torch.full_like(p, eps**2)
    for axis in range(2, p.ndim):
        late, early = _neighbours(p, axis)
        last = torch.zeros_like(p.narrow(axis, 0, 1))
        squares = squares + torch.cat([late - early, last], axis).square()
    return (squares.sqrt() - eps).flatten(2).sum(2)


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Views of all pixels but the first, and all but the last, along an axis."""
    pairs = x.shape[axis] - 1
    return x.narrow(axis, 1, pairs), x.narrow(axis, 0, pairs)
