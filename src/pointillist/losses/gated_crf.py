"""Gated CRF: neighbours of like colour should have like predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._inputs import check_mask, check_one_grid, full_precision
from pointillist.losses._pairs import Gates, Window, beyond_border, pair_energy


def gated_crf(
    probabilities: Tensor,
    image: Tensor,
    *,
    radius: int = 5,
    sigma_xy: float = 6.0,
    sigma_rgb: float = 0.1,
    source: Tensor | None = None,
    destination: Tensor | None = None,
    literal: bool = False,
) -> Tensor:
    r"""Potts energy of the prediction in a window around every pixel, weighted by closeness in place and colour.

    .. math:: L = \frac1D \sum_p d_p \sum_{q ∈ W_r(p), q ≠ p} s_q w_{pq} (1 - ⟨P_p, P_q⟩), \quad
              w_{pq} = \exp\left(-\frac{\|x_p - x_q\|^2}{2σ_{xy}^2} - \frac{\|I_p - I_q\|^2}{2σ_{rgb}^2}\right)

    Every pair is visited once, as one of 2r(r+1) shifts of the image, and the gradient
    ∂L/∂P_p = −(1/D) Σ_q w_pq (d_p s_q + d_q s_p) P_q is summed in the same sweep: memory is that of a few
    predictions, whatever the radius. The image takes no gradient. The energy is linear in the kernel, so a sum of
    kernels is a sum of calls.

    Args:
        probabilities: ``(b, k, h, w)`` P, softmax of the logits.
        image: ``(b, c, h, w)`` I on the same grid, in the units of ``sigma_rgb`` (published: intensities in [0, 1]).
        radius: r ≥ 1 in pixels; the window has (2r+1)² pixels, and ends at the image's border.
        sigma_xy: width of the spatial kernel in pixels; ``math.inf`` switches it off.
        sigma_rgb: width of the colour kernel in units of the image; ``math.inf`` switches it off.
        source: ``(b, h, w)`` Boolean gate s: pixels that may influence others; all without it.
        destination: ``(b, h, w)`` Boolean gate d: pixels that may be influenced; all without it.
        literal: add what the public code adds by padding with zeros: neighbours beyond the border as black pixels at
            the origin that agree with nobody. Values change, gradients do not.

    Returns:
        Scalar ≥ 0. D is the number of destination pixels if that gate is given, else of source pixels if that one
        is, else b·h·w, and at least 1. Exactly 0 for a constant one-hot prediction; 0, connected to the graph,
        where the gates leave no pair.

    Raises:
        ValueError: if shapes disagree, or a radius or width is not positive.
        RuntimeError: in the backward pass under ``create_graph``: there is no second derivative.

    Source: Obukhov et al. 2019, arXiv:1906.04651, with the constants of WSL4MIS (weight 0.1 beside partial
    cross-entropy, full resolution, no gates); the original works at a quarter of the resolution.
    """
    _check(probabilities, image, radius, sigma_xy, sigma_rgb)
    window = Window(radius, sigma_xy, sigma_rgb)
    p = full_precision(probabilities)
    colours = image.detach().to(p.dtype)
    everyone = torch.ones_like(p[:, 0], dtype=torch.bool)
    for gate, name in ((source, "source"), (destination, "destination")):
        if gate is not None:
            check_mask(gate, p, name)
    counted = next(gate for gate in (destination, source, everyone) if gate is not None)
    gates = None
    if counted is not everyone:
        sources, destinations = (everyone if gate is None else gate for gate in (source, destination))
        idle = ~(sources | destinations).unsqueeze(1)
        p, colours = p.masked_fill(idle, 0), colours.masked_fill(idle, 0)
        gates = Gates(sources.unsqueeze(1).to(p.dtype), destinations.unsqueeze(1).to(p.dtype))
    energy = pair_energy(p, colours, window, gates)
    if literal and source is None:
        energy = energy + (beyond_border(colours, window) * counted).sum()
    return energy / counted.sum().clamp(min=1)


def _check(probabilities: Tensor, image: Tensor, radius: int, sigma_xy: float, sigma_rgb: float) -> None:
    check_one_grid(probabilities, image)
    if probabilities.ndim != 4:
        msg = f"gated_crf takes images (b, c, h, w), got {tuple(image.shape)}"
        raise ValueError(msg)
    if radius < 1 or not (sigma_xy > 0 and sigma_rgb > 0):
        msg = f"radius and widths must be positive, got radius {radius}, sigma_xy {sigma_xy}, sigma_rgb {sigma_rgb}"
        raise ValueError(msg)
