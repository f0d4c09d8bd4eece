"""Two regions of a map with a short boundary along its edges: the variational model of CVM."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pointillist.solvers.additive_splitting import splitting
from pointillist.solvers.edges import edge_weight
from pointillist.solvers.weighted_variation import energy, minimise

SolverName = Literal["primal_dual", "aos"]

_ROUNDS, _INNER = 5, 10  # of the alternation, and iterations in each
_EPS = 1e-8
_SAME = 1e-6  # a difference of squares below it is rounding: the constants are one number


class Regions(NamedTuple):
    """Two regions of every map.

    Attributes:
        u: ``(m, h, w)`` in [0, 1], near 1 in the region of large values.
        c1: ``(m,)`` value of that region.
        c2: ``(m,)`` value outside.
        energy: ``(m,)`` of u at these constants.
        gap: ``(m,)`` relative gap to the least energy at these constants; infinite for ``aos``, which certifies
            nothing.
    """

    u: Tensor
    c1: Tensor
    c2: Tensor
    energy: Tensor
    gap: Tensor


@torch.no_grad()
def two_regions(
    z: Tensor,
    *,
    lam: float = 5.0,
    beta: float = 10.0,
    sigma: float = 1.0,
    mask: Tensor | None = None,
    solver: SolverName = "primal_dual",
    iterations: int = 300,
    tolerance: float = 1e-3,
    literal: bool = False,
) -> Regions:
    r"""Part every map into a region of large values and the rest, all maps at once.

    .. math:: \min_{u ∈ [0,1]} \sum g |∇u| + λ \sum r u, \quad
              r = \frac{(z - c_1)^2 - (z - c_2)^2}{\max |(z - c_1)^2 - (z - c_2)^2|}, \quad g = \frac{1}{1 + β|∇z_σ|^2}

    c₁ and c₂ are the means of z weighted by u and 1 − u. They are alternated with u, from u⁰ = z: five times ten
    iterations; a pair that does not have c₁ > c₂ is not taken. Then u is solved for the constants that were found.

    Args:
        z: ``(m, h, w)`` maps with values in [0, 1].
        lam: λ.
        beta: β.
        sigma: σ in pixels.
        mask: ``(m, h, w)`` Boolean; with it c₁ is the mean of z inside, c₂ outside, once and for all, as in the
            deleted public code.
        solver: ``primal_dual``, with a certificate, or ``aos``, the paper's scheme.
        iterations: at most so many for the final u.
        tolerance: relative gap at which a map is finished; ``aos`` runs all iterations.
        literal: divide r by the largest value of the difference, as the public code does, not the largest absolute one.

    Raises:
        ValueError: if shapes disagree or the solver is unknown.

    Source: Zhang et al. 2023, eq. 6. λ, the scaling of r, and the numbers of iterations are our reading: none was
    published.
    """
    _check(z, mask, solver)
    g = edge_weight(z, beta=beta, sigma=sigma)
    u, dual = z.clone(), None
    c1, c2 = constants(z, u if mask is None else mask.to(z.dtype))
    if mask is None:
        for _ in range(_ROUNDS):
            r = data_term(z, c1, c2, signed=literal)
            if solver == "aos":
                u = splitting(g, r, lam, u=u, iterations=_INNER)
            else:
                u, *_, dual = minimise(g, r, lam, u=u, dual=dual, iterations=_INNER, tolerance=0)
            new1, new2 = constants(z, u)
            apart = new1 > new2
            c1, c2 = torch.where(apart, new1, c1), torch.where(apart, new2, c2)
    r = data_term(z, c1, c2, signed=literal)
    if solver == "aos":
        u = splitting(g, r, lam, u=u, iterations=iterations)
        return Regions(u, c1, c2, energy(u, g, r, lam), torch.full_like(c1, torch.inf))
    found = minimise(g, r, lam, u=u, dual=dual, iterations=iterations, tolerance=tolerance)
    return Regions(found.u, c1, c2, found.energy, found.gap)


def constants(z: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """``(m,)`` means of maps ``(m, h, w)``, weighted by u and by 1 − u."""
    inside, outside = u.sum((1, 2)), (1 - u).sum((1, 2))
    return (z * u).sum((1, 2)) / inside.clamp(min=_EPS), (z * (1 - u)).sum((1, 2)) / outside.clamp(min=_EPS)


def data_term(z: Tensor, c1: Tensor, c2: Tensor, *, signed: bool = False) -> Tensor:
    """``(m, h, w)`` r, negative where z is nearer to c₁; 0 where both are one number.

    Args:
        z: ``(m, h, w)``.
        c1: ``(m,)``.
        c2: ``(m,)``.
        signed: divide by the largest value, not by the largest absolute one; |r| may exceed 1 then.
    """
    one, other = c1.view(-1, 1, 1), c2.view(-1, 1, 1)
    r = (z - one).square_() - (z - other).square_()
    largest = (r if signed else r.abs()).amax((1, 2), keepdim=True)
    return r / largest.clamp(min=_SAME)


def _check(z: Tensor, mask: Tensor | None, solver: str) -> None:
    if z.ndim != 3 or not z.is_floating_point():
        msg = f"z must be floating maps (m, h, w), got {z.dtype} {tuple(z.shape)}"
        raise ValueError(msg)
    if mask is not None and (mask.dtype != torch.bool or mask.shape != z.shape):
        msg = f"mask must be a Boolean tensor {tuple(z.shape)}, got {mask.dtype} {tuple(mask.shape)}"
        raise ValueError(msg)
    if solver not in ("primal_dual", "aos"):
        msg = f"solver must be 'primal_dual' or 'aos', got {solver!r}"
        raise ValueError(msg)
