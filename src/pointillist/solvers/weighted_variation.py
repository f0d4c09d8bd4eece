"""Exact minimiser of a linear term and an edge-weighted total variation, for a batch of maps at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_STEP = 8**-0.5  # of both variables: ‖∇‖² < 8 on a grid
_CHECK = 25  # iterations between certificates, each of which costs about as much as one
_LEAST = 1e-3  # of λ Σ|r|: an energy below it counts as this much, so that a relative gap exists where the energy is 0
_TINY = 1e-30


class Minimum(NamedTuple):
    """Minimisers, and how far from the least energy they can be.

    Attributes:
        u: ``(m, h, w)`` in [0, 1].
        energy: ``(m,)`` E(u).
        gap: ``(m,)`` upper bound of E(u) − min E, over |E(u)|.
        iterations: ``(m,)`` int64.
        dual: ``(2, m, h, w)`` the dual variable, with which a similar problem can begin.
    """

    u: Tensor
    energy: Tensor
    gap: Tensor
    iterations: Tensor
    dual: Tensor


def variation(u: Tensor, g: Tensor) -> Tensor:
    """``(m,)`` Σ g|∇u| of maps ``(m, h, w)``: forward differences, 0 beyond the last row and column."""
    down, right = torch.zeros_like(u), torch.zeros_like(u)
    torch.sub(u[:, 1:], u[:, :-1], out=down[:, :-1])
    torch.sub(u[:, :, 1:], u[:, :, :-1], out=right[:, :, :-1])
    return down.square_().addcmul_(right, right).sqrt_().mul_(g).sum((1, 2))


def energy(u: Tensor, g: Tensor, r: Tensor, lam: float) -> Tensor:
    """``(m,)`` Σ g|∇u| + λ Σ r u of maps ``(m, h, w)``."""
    return variation(u, g) + lam * (r * u).sum((1, 2))


@torch.no_grad()
def minimise(
    g: Tensor,
    r: Tensor,
    lam: float,
    *,
    u: Tensor | None = None,
    dual: Tensor | None = None,
    iterations: int = 300,
    tolerance: float = 1e-3,
) -> Minimum:
    r"""The u in [0, 1] of least weighted variation and data term, by the primal–dual method.

    .. math:: \min_{0 ≤ u ≤ 1} \sum g |∇u| + λ \sum r u = \max_{|p| ≤ g} \sum \min(0, λ r + ∇^⊤ p)

    Each iteration is p ← Π_{|p| ≤ g}(p + σ∇ū), u⁺ ← clip(u − τ(∇ᵀp + λr)), ū ← 2u⁺ − u with τ = σ = 1/√8. The
    difference of both sides certifies, for any u and p, how far u is from the minimum. Every map stops by itself, so
    its result does not depend on the maps that share the batch.

    Args:
        g: ``(m, h, w)`` ≥ 0 weights of edges.
        r: ``(m, h, w)`` data term: negative where u = 1 is cheaper.
        lam: λ.
        u: ``(m, h, w)`` to begin with, clipped to [0, 1]; ½ without it.
        dual: ``(2, m, h, w)`` to begin with; 0 without it.
        iterations: at most so many.
        tolerance: relative gap at which a map is finished; 0 runs all iterations.

    Source: Chambolle & Pock, JMIV 2011; the model is Bresson et al., JMIV 2007.
    """
    _check(g, r)
    count = len(g)
    found = torch.full_like(g, 0.5) if u is None else u.to(g).clamp(0, 1)
    p = g.new_zeros(2, *g.shape) if dual is None else dual.to(g).clone()
    reached, gaps = g.new_zeros(count), g.new_full((count,), torch.inf)
    used = torch.zeros(count, dtype=torch.long, device=g.device)
    left = torch.arange(count, device=g.device)  # the maps that are not finished
    state = _State(found.clone(), found.clone(), p[0].clone(), p[1].clone(), g, r * lam)
    for done in range(0, iterations, _CHECK):
        steps = min(_CHECK, iterations - done)
        _advance(state, steps)
        primal, gap = _certificate(state)
        reached[left], gaps[left] = primal, gap
        used[left] += steps
        found[left], p[0, left], p[1, left] = state.u, state.down, state.right
        open_ = (gap > tolerance).nonzero().squeeze(1)
        if len(open_) == 0:
            break
        if len(open_) < len(left):
            left = left[open_]
            state = _State(*(part[open_] for part in state))
    return Minimum(found, reached, gaps, used, p)


class _State(NamedTuple):
    """Variables and data of the maps that are not finished; ``lead`` is ū, ``pull`` is λr."""

    u: Tensor
    lead: Tensor
    down: Tensor
    right: Tensor
    g: Tensor
    pull: Tensor


def _advance(state: _State, steps: int) -> None:
    """Some iterations, in place."""
    u, lead, down, right, g, pull = state
    floor, size, after = g.clamp(min=_TINY), torch.empty_like(u), torch.empty_like(u)
    for _ in range(steps):
        down[:, :-1].add_(lead[:, 1:], alpha=_STEP).sub_(lead[:, :-1], alpha=_STEP)
        right[:, :, :-1].add_(lead[:, :, 1:], alpha=_STEP).sub_(lead[:, :, :-1], alpha=_STEP)
        torch.mul(down, down, out=size).addcmul_(right, right).sqrt_()
        torch.div(g, torch.maximum(size, floor, out=size), out=size)
        down.mul_(size)
        right.mul_(size)
        torch.sub(u, pull, alpha=_STEP, out=after).add_(down, alpha=_STEP).add_(right, alpha=_STEP)
        after[:, 1:].sub_(down[:, :-1], alpha=_STEP)
        after[:, :, 1:].sub_(right[:, :, :-1], alpha=_STEP)
        after.clamp_(0, 1)
        torch.lerp(u, after, 2.0, out=lead)
        u.copy_(after)


def _certificate(state: _State) -> tuple[Tensor, Tensor]:
    """``(m,)`` energies and relative gaps."""
    primal = variation(state.u, state.g) + (state.pull * state.u).sum((1, 2))
    slope = state.pull - state.down - state.right
    slope[:, 1:] += state.down[:, :-1]
    slope[:, :, 1:] += state.right[:, :, :-1]
    lower = slope.clamp_(max=0).sum((1, 2))
    least = _LEAST * state.pull.abs().sum((1, 2))
    return primal, (primal - lower) / torch.maximum(primal.abs(), least).clamp(min=_TINY)


def _check(g: Tensor, r: Tensor) -> None:
    if g.ndim != 3 or g.shape != r.shape or not (g.is_floating_point() and r.is_floating_point()):
        msg = (
            "weights and data term must be floating maps (m, h, w) of one shape, got "
            f"{g.dtype} {tuple(g.shape)} and {r.dtype} {tuple(r.shape)}"
        )
        raise ValueError(msg)
