"""Softmax attention between the pairs of a window, out of rows that are never all held."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._pairs import Window, _ends

_PRODUCTS_AT_ONCE = 2**19  # rows are formed in groups of about this many products, so that they stay in the cache


class Near(NamedTuple):
    """Which entries of a row of products lie in the window of its place.

    Attributes:
        height: h of the grid.
        width: w of the grid.
        up: rows that the window reaches up and down.
        left: columns that it reaches to both sides.
    """

    height: int
    width: int
    up: int
    left: int

    @property
    def margin(self) -> int:
        """Places before the first and after the last that windows reach, counted along the rows of the grid."""
        return self.up * self.width + self.left

    def inside(self, device: torch.device) -> Tensor:
        """``(2·up+1, 2·left+1, h, w)`` whether a neighbour is within the grid and not the place itself."""
        dy, dx = (torch.arange(-reach, reach + 1, device=device) for reach in (self.up, self.left))
        y, x = (torch.arange(n, device=device) for n in (self.height, self.width))
        rows, columns = ((d[:, None] + at >= 0) & (d[:, None] + at < len(at)) for d, at in ((dy, y), (dx, x)))
        inside = rows[:, None, :, None] & columns[None, :, None, :]
        inside[self.up, self.left] = False
        return inside

    def products(self, queries: Tensor, padded: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Groups of places, and their products with all keys; each group overwrites the one before.

        Args:
            queries: ``(h·w, d)``.
            padded: ``(margin + h·w + margin, d)`` keys.
        """
        places, columns = len(queries), len(padded)
        count = min(places, max(1, _PRODUCTS_AT_ONCE // columns))
        store = queries.new_empty(count, columns)
        for start in range(0, places, count):
            rows = slice(start, min(start + count, places))
            yield rows, torch.mm(queries[rows], padded.T, out=store[: rows.stop - start])

    def entries(self, products: Tensor, start: int) -> Tensor:
        """A view ``(2·up+1, 2·left+1, rows)`` of the near entries of ``(rows, margin + h·w + margin)``.

        The entries of a place lie as far from each other as their places, and one column further a row. With grids
        narrower than the window, entries of several dy overlap.
        """
        sizes = (2 * self.up + 1, 2 * self.left + 1, len(products))
        return products.as_strided(sizes, (self.width, 1, products.shape[1] + 1), start)


def attentive_energy(
    p: Tensor, query: Tensor, key: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, window: Window
) -> Tensor:
    """Σ over ordered pairs of the window, both in the mask, of M_pq S_pq (1 − ⟨P_p, P_q⟩); S from attention.

    Args:
        p: ``(b, k, h, w)``, 0 outside the mask.
        query: ``(b, m, h, w, d)``, scaled.
        key: ``(b, m, h, w, d)``.
        weight: ``(m,)`` of the attention maps.
        bias: scalar.
        mask: ``(b, h, w)`` Boolean.
        window: radius and spatial width; its colour width is not read.
    """
    energy: Tensor = _AttentiveEnergy.apply(  # type: ignore[no-untyped-call]
        p.contiguous(), query.contiguous(), key.contiguous(), weight, bias, mask.to(p.dtype), window
    )
    return energy


class _AttentiveEnergy(torch.autograd.Function):
    """The energy; the sweep over the window leaves the gradient of near products in place of their attention."""

    @staticmethod
    def forward(
        ctx: Any, p: Tensor, query: Tensor, key: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, window: Window
    ) -> Tensor:
        height, width = p.shape[2:]
        near = Near(height, width, min(window.radius, height - 1), min(window.radius, width - 1))
        with torch.autocast(p.device.type, enabled=False):
            attention, totals = _near_attention(query, key, near)
            energy, pull, grad_weight, grad_bias = _sweep(p, attention, weight, bias, mask, window, near)
        ctx.near = near
        ctx.save_for_backward(query, key, attention, totals, pull, grad_weight, grad_bias)
        return energy

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # under create_graph; the gradient would pass for a constant
            msg = "attentive_similarity has no second derivative; differentiate it without create_graph"
            raise RuntimeError(msg)
        query, key, pull_products, totals, pull, grad_weight, grad_bias = ctx.saved_tensors
        grad_query = grad_key = None
        if any(ctx.needs_input_grad[1:3]):
            with torch.autocast(query.device.type, enabled=False):
                grad_query, grad_key = _product_gradient(query, key, pull_products, totals, ctx.near)
            grad_query, grad_key = grad_query * grad, grad_key * grad
        return pull * grad, grad_query, grad_key, grad_weight * grad, grad_bias * grad, None, None


def _near_attention(query: Tensor, key: Tensor, near: Near) -> tuple[Tensor, Tensor]:
    """Attention ``(b, m, 2·up+1, 2·left+1, h, w)`` of each place to its neighbours, 0 beyond the border; log-sum-exps.

    The latter, ``(b · m, h · w)``, are over all places.
    """
    maps, places, margin = query.shape[0] * query.shape[1], near.height * near.width, near.margin
    queries, keys = query.view(maps, places, -1), key.view(maps, places, -1)
    attention = query.new_empty(maps, 2 * near.up + 1, 2 * near.left + 1, places)
    totals = query.new_empty(maps, places)
    for number in range(maps):
        padded = F.pad(keys[number], (0, 0, margin, margin))
        for rows, products in near.products(queries[number], padded):
            attention[number, :, :, rows] = near.entries(products, rows.start)
            whole = products[:, margin : margin + places]
            largest = whole.amax(1, keepdim=True)
            totals[number, rows] = (whole.sub_(largest).exp_().sum(1, keepdim=True).log() + largest).squeeze(1)
    attention -= totals[:, None, None]
    attention = attention.view(*query.shape[:2], *attention.shape[1:3], near.height, near.width)
    return attention.masked_fill_(~near.inside(query.device), -torch.inf).exp_(), totals


def _sweep(
    p: Tensor, attention: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, window: Window, near: Near
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The energy and its gradient with respect to p, weight and bias.

    ``attention`` is overwritten by the gradient with respect to the near products at constant log-sum-exps.
    """
    energy, grad_bias = p.new_zeros(()), torch.zeros_like(bias)
    grad_p, grad_weight = torch.zeros_like(p), torch.zeros_like(weight)
    factors = weight.view(1, -1, 1, 1)
    for dy, dx in window.half(near.height, near.width):
        here, there = _ends(p, (dy, dx))
        mask_here, mask_there = _ends(mask, (dy, dx))
        forth = _ends(attention[:, :, near.up + dy, near.left + dx], (dy, dx))[0]
        back = _ends(attention[:, :, near.up - dy, near.left - dx], (dy, dx))[1]
        both = forth + back
        similarity = torch.sigmoid((both * factors).sum(1) + bias)
        place = 2 * math.exp(-(dy**2 + dx**2) / (2 * window.sigma_xy**2))
        pull = similarity * mask_here * mask_there * place
        cost = pull * (1 - (here * there).sum(1))
        energy += cost.sum()
        slope = (cost * (1 - similarity)).unsqueeze(1)
        grad_bias += slope.sum()
        grad_weight += (both * slope).sum((0, 2, 3))
        grad_here, grad_there = _ends(grad_p, (dy, dx))
        grad_here.addcmul_(pull.unsqueeze(1), there, value=-1)
        grad_there.addcmul_(pull.unsqueeze(1), here, value=-1)
        forth *= slope * factors
        back *= slope * factors
    return energy, grad_p, grad_weight, grad_bias


def _product_gradient(
    query: Tensor, key: Tensor, near_gradient: Tensor, totals: Tensor, near: Near
) -> tuple[Tensor, Tensor]:
    """The gradient with respect to query and key; products are formed again.

    A row's log-sum-exp takes the sum of its near gradients away from all entries, by their attention.
    """
    maps, places, margin = query.shape[0] * query.shape[1], near.height * near.width, near.margin
    queries, keys = query.view(maps, places, -1), key.view(maps, places, -1)
    near_gradient = near_gradient.view(maps, *near_gradient.shape[2:4], places)
    sums = near_gradient.sum((1, 2))
    grad_query, grad_key = torch.empty_like(queries), torch.zeros_like(keys)
    for number in range(maps):
        padded = F.pad(keys[number], (0, 0, margin, margin))
        for rows, products in near.products(queries[number], padded):
            products.sub_(totals[number, rows, None]).exp_().mul_(-sums[number, rows, None])
            products[:, :margin] = products[:, margin + places :] = 0
            for entries, some in zip(near.entries(products, rows.start), near_gradient[number, ..., rows], strict=True):
                entries += some
            grad_query[number, rows] = products @ padded
            grad_key[number].addmm_(products[:, margin : margin + places].T, queries[number, rows])
    return grad_query.view_as(query), grad_key.view_as(key)
