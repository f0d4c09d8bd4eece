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
                sign *= torch.logical_and(*_neighbours(mask.unsqueeze(1), axis)).to(p.dtype)
            late, early = _neighbours(pull, axis)
            late += sign
            early -= sign
    return (p * pull).flatten(2).sum(2)


def isotropic_variation(p: Tensor, eps: float) -> Tensor:
    """Σ √(|∇p|² + ε²) − ε of forward differences, 0 across the far border, ``(b, k)``.

    With l = √(1 + |∇p|² / ε²) this is ε Σ (l − 1), and ⟨p, ∂/∂p⟩ = ε Σ (l − 1/l), so here too the gradient's map serves
    the value.
    """
    with torch.no_grad():
        differences = [torch.sub(*_neighbours(p, axis)) for axis in range(2, p.ndim)]
        length = torch.ones_like(p)
        for axis, difference in enumerate(differences, 2):
            length.narrow(axis, 0, difference.shape[axis]).addcmul_(difference, difference, value=eps**-2)
        inverse = length.rsqrt_()
        pull = torch.zeros_like(p)
        for axis, difference in enumerate(differences, 2):
            difference *= inverse.narrow(axis, 0, difference.shape[axis])
            late, early = _neighbours(pull, axis)
            late += difference
            early -= difference
        rest = (inverse - 1).flatten(2).sum(2)
    return (p * pull).flatten(2).sum(2) / eps + eps * rest


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Views of all pixels but the first, and all but the last, along an axis."""
    pairs = x.shape[axis] - 1
    return x.narrow(axis, 1, pairs), x.narrow(axis, 0, pairs)
