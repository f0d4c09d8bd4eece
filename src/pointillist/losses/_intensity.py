"""Intensities of soft classes: their centroids, and the spread around them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from pointillist.losses._inputs import check_mask, check_one_grid, full_precision
from pointillist.losses._masks import kept

LEAST_MASS = 1e-6  # pixels; a class that holds less is divided by this


class Region(NamedTuple):
    """Predictions and colours on one grid, in one precision, both 0 outside the mask."""

    p: Tensor
    image: Tensor


def region(probabilities: Tensor, image: Tensor, mask: Tensor | None) -> Region:
    """Checked inputs; the image takes no gradient.

    Raises:
        ValueError: if shapes disagree.
    """
    check_one_grid(probabilities, image)
    p = full_precision(probabilities)
    colours = image.detach().to(p.dtype)
    if mask is None:
        return Region(p, colours)
    check_mask(mask, p, "mask")
    return Region(kept(p, mask), kept(colours, mask))


def per_class(x: Tensor) -> Tensor:
    """Sums over the pixels of ``(b, k, *s)``, ``(b, k)``."""
    return x.flatten(2).sum(2)


def masses_and_centres(p: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Σ P_k ``(b, k)``, at least ``LEAST_MASS``, and the mean colours Σ P_k I / Σ P_k ``(b, k, c)``, with gradient.

    A class that holds next to nothing has the mean colour of the image.

    Args:
        p: ``(b, k, *s)``.
        image: ``(b, c, *s)``.
    """
    mass = per_class(p)
    sums = torch.stack([per_class(p * channel.unsqueeze(1)) for channel in image.unbind(1)], 2)
    everything = mass.detach().sum(1, keepdim=True).clamp(min=LEAST_MASS)
    overall = (sums.detach().sum(1) / everything).unsqueeze(1)
    divisor = mass.clamp(min=LEAST_MASS)
    centres = overall + (sums - overall * mass.unsqueeze(2)) / divisor.unsqueeze(2)
    return divisor, centres


def squared_distance(image: Tensor, centres: Tensor) -> Tensor:
    """|I − c_k|² of every pixel, summed over the image's channels, ``(b, k, *s)``, without gradient.

    Differences are squared, not squares subtracted: no digits cancel, whatever the image's offset.

    Args:
        image: ``(b, c, *s)``.
        centres: ``(b, k, c)``.
    """
    with torch.no_grad():
        squares = (
            (channel.unsqueeze(1) - centre.view(*centre.shape, *[1] * (image.ndim - 2))).square_()
            for channel, centre in zip(image.unbind(1), centres.unbind(2), strict=True)
        )
        return functools.reduce(Tensor.add_, squares)
