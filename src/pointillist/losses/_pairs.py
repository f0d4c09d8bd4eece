"""Sums over all pairs of near pixels, as shifts of whole images against themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

_PIXELS_AT_ONCE = 2**18  # images are swept in groups of about this size, so that their planes stay in the cache


class Window(NamedTuple):
    """Which pairs count, and how much: radius in pixels, widths in pixels and in units of the image."""

    radius: int
    sigma_xy: float
    sigma_rgb: float

    def half(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """Shifts (rows, columns) that meet every pair of an image exactly once: half of the window."""
        for dy in range(min(self.radius, height - 1) + 1):
            reach = min(self.radius, width - 1)
            for dx in range(-reach if dy else 1, reach + 1):
                yield dy, dx


class Gates(NamedTuple):
    """What a pixel may do, each ``(b, 1, h, w)`` of 0 and 1: influence others, be influenced."""

    source: Tensor
    destination: Tensor


def pair_energy(p: Tensor, image: Tensor, window: Window, gates: Gates | None) -> Tensor:
    """Σ_p Σ_q≠p d_p s_q w_pq (1 − ⟨P_p, P_q⟩) over the pairs of the window inside the image.

    Args:
        p: ``(b, k, h, w)``.
        image: ``(b, c, h, w)``.
        window: which pairs, and their weights w.
        gates: s and d; 1 without them.
    """
    energy: Tensor = _PairEnergy.apply(  # type: ignore[no-untyped-call]
        p.contiguous(), image.contiguous(), window, gates
    )
    return energy


def beyond_border(image: Tensor, window: Window) -> Tensor:
    """Weight of each pixel's neighbours outside the image, taken as black and at the origin: ``(b, h, w)``.

    That is what zero padding of colours and coordinates amounts to, in closed form.
    """
    rows, columns = (torch.arange(n, dtype=image.dtype, device=image.device) for n in image.shape[2:])
    inside_rows, inside_columns = (
        x.clamp(max=window.radius) + (len(x) - 1 - x).clamp(max=window.radius) + 1 for x in (rows, columns)
    )
    outside = (2 * window.radius + 1) ** 2 - inside_rows[:, None] * inside_columns
    place = (rows[:, None] ** 2 + columns**2) / window.sigma_xy**2
    colour = (image / window.sigma_rgb).square().sum(1)
    return outside * torch.exp(-(place + colour) / 2)


class _PairEnergy(torch.autograd.Function):
    """The energy, and its gradient −2 Σ_q g_pq w_pq P_q found in the same sweep (g: mean gate of both directions)."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, image: Tensor, window: Window, gates: Gates | None) -> Tensor:
        colour = image / (window.sigma_rgb * 2**0.5)
        pull, degree = torch.zeros_like(p), torch.zeros_like(p[:, :1])
        group = max(1, _PIXELS_AT_ONCE // p[0, 0].numel())
        for start in range(0, len(p), group):
            some = slice(start, start + group)
            some_gates = None if gates is None else Gates(gates.source[some], gates.destination[some])
            _sweep(p[some], colour[some], window, some_gates, pull[some], degree[some])
        ctx.save_for_backward(pull)
        return (degree - (p * pull).sum(1, keepdim=True)).sum()

    @staticmethod
    def backward(ctx: Any, grad_energy: Tensor) -> tuple[Tensor, None, None, None]:
        if torch.is_grad_enabled():  # under create_graph; the gradient would pass for a constant
            msg = "gated_crf has no second derivative; differentiate it without create_graph"
            raise RuntimeError(msg)
        (pull,) = ctx.saved_tensors
        return pull * (-2 * grad_energy), None, None, None


def _sweep(p: Tensor, colour: Tensor, window: Window, gates: Gates | None, pull: Tensor, degree: Tensor) -> None:
    """Add Σ_q g_pq w_pq P_q to ``pull`` and Σ_q g_pq w_pq to ``degree``.

    Both are summed in one order: for a constant one-hot P they agree to the last bit and the energy is exactly 0.
    """
    for shift in window.half(*p.shape[2:]):
        weight = _weight(colour, window, shift)
        if gates is not None:
            weight *= _mean_gate(gates, shift)
        here, there = _ends(p, shift)
        pull_here, pull_there = _ends(pull, shift)
        pull_here.addcmul_(weight, there)
        pull_there.addcmul_(weight, here)
        degree_here, degree_there = _ends(degree, shift)
        degree_here += weight
        degree_there += weight


def _weight(colour: Tensor, window: Window, shift: tuple[int, int]) -> Tensor:
    """Weight w of all pairs that are one shift apart; ``colour`` is the image over √2 σ_rgb."""
    dy, dx = shift
    exponent = colour.new_full((), -(dy**2 + dx**2) / (2 * window.sigma_xy**2))
    here, there = _ends(colour, shift)
    for channel in range(colour.shape[1]):
        difference = here[:, channel, None] - there[:, channel, None]
        exponent = torch.addcmul(exponent, difference, difference, value=-1)
    return exponent.exp_()


def _mean_gate(gates: Gates, shift: tuple[int, int]) -> Tensor:
    """(d_p s_q + d_q s_p) / 2 of all pairs that are one shift apart."""
    source_here, source_there = _ends(gates.source, shift)
    destination_here, destination_there = _ends(gates.destination, shift)
    return (destination_here * source_there + destination_there * source_here) / 2


def _ends(x: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Views of ``(..., h, w)`` at the first and at the second pixel of all pairs that are one shift apart."""
    (dy, dx), (height, width) = shift, x.shape[-2:]
    upper, lower = x[..., : height - dy, :], x[..., dy:, :]
    if dx >= 0:
        return upper[..., : width - dx], lower[..., dx:]
    return upper[..., -dx:], lower[..., : width + dx]
