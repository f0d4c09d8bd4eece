"""The bilateral Gaussian kernel on a grid of cells: splat, blur, slice, in time linear in pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# side of a cell as a share of the kernel's width, by the number of colour channels: each one multiplies the cells
_SIDES = {1: 1 / 3, 2: 1 / 2, 3: 1 / 2}
_PIXELS_AT_ONCE = 2**14  # so that their corners stay in the cache
_LARGEST_GRID = 2**26  # entries


class _Axis(NamedTuple):
    """One axis of the grid.

    Attributes:
        below: ``(pixels,)`` int64, the node below each pixel.
        weight: ``(2, pixels)`` of the nodes below and above it.
        nodes: their number.
        falloff: of the kernel between nodes, exp(−falloff · difference²).
    """

    below: Tensor
    weight: Tensor
    nodes: int
    falloff: float

    def blur(self) -> Tensor:
        """``(nodes, nodes)`` the kernel between nodes."""
        place = torch.arange(self.nodes, dtype=self.weight.dtype, device=self.weight.device)
        return torch.exp(-self.falloff * (place[:, None] - place) ** 2)


def grid_filter(values: Tensor, image: Tensor, sigma_xy: float, sigma_rgb: float) -> Tensor:
    """W̃ V of one image, with W̃ = T C Tᵀ near the kernel W.

    T holds the multilinear weights of every pixel on the nodes around it, C the Gaussian between nodes, axis by axis.
    Whatever the image, W̃ is symmetric, positive semidefinite, and 1 on its diagonal as W is. Colours are turned
    onto their principal axes where that needs fewer cells; distances stay as they are.

    Args:
        values: ``(m, h, w)`` V.
        image: ``(c, h, w)``, 1 to 3 channels.
        sigma_xy: width of the spatial kernel in pixels.
        sigma_rgb: width of the colour kernel in units of the image.

    Raises:
        ValueError: for more than 3 channels, an image that is not finite, or one whose values are spread so widely
            that the grid would not fit into memory.
    """
    axes = _axes(image, sigma_xy, sigma_rgb)
    sides = [axis.nodes for axis in axes]
    if len(values) * math.prod(sides) > _LARGEST_GRID:
        msg = (
            f"a bilateral grid of {' x '.join(map(str, sides))} cells is too large: sigma_xy {sigma_xy:g} or "
            f"sigma_rgb {sigma_rgb:g} is too small for an image {tuple(image.shape)} with values "
            f"{image.min().item():g} … {image.max().item():g}"
        )
        raise ValueError(msg)
    flat = values.reshape(len(values), -1)
    grid = flat.new_zeros(len(values), math.prod(sides))
    corners = [(some, *_corners(axes, some)) for some in _slices(flat.shape[1])]
    for some, index, weight in corners:
        splats = (weight * flat[:, None, some]).view(len(values), -1)
        grid.scatter_add_(1, index.view(1, -1).expand_as(splats), splats)
    grid = grid.view(-1, *sides)
    for axis in axes:  # each blur moves its axis to the end, so that after all of them the order is the old one
        grid = torch.tensordot(grid, axis.blur(), dims=([1], [0]))
    nodes = grid.reshape(len(values), -1).t().contiguous()
    sliced = [
        F.embedding_bag(index.t().contiguous(), nodes, mode="sum", per_sample_weights=weight.t().contiguous())
        for _, index, weight in corners
    ]
    return torch.cat(sliced).t().reshape(values.shape)


def _slices(pixels: int) -> list[slice]:
    return [slice(start, start + _PIXELS_AT_ONCE) for start in range(0, pixels, _PIXELS_AT_ONCE)]


def _axes(image: Tensor, sigma_xy: float, sigma_rgb: float) -> list[_Axis]:
    """Rows, columns, then one axis a colour."""
    channels, height, width = image.shape
    if channels not in _SIDES:
        msg = f"the fast form takes images of 1 to {max(_SIDES)} channels, got {channels}; use form='exact'"
        raise ValueError(msg)
    colours = image.reshape(channels, -1)
    if not colours.isfinite().all():
        msg = "image must hold finite values where it is valid, got NaN or infinity"
        raise ValueError(msg)
    if channels > 1:
        turned = torch.linalg.eigh(colours.cov(correction=0)).eigenvectors.t() @ colours
        side = _SIDES[channels] * sigma_rgb
        if _cells(turned, side) < _cells(colours, side):
            colours = turned
    rows, columns = (_space(n, sigma_xy, _SIDES[channels], image) for n in (height, width))
    return [
        rows._replace(below=rows.below.repeat_interleave(width), weight=rows.weight.repeat_interleave(width, 1)),
        columns._replace(below=columns.below.repeat(height), weight=columns.weight.repeat(1, height)),
        *(_colour(colour, sigma_rgb, _SIDES[channels]) for colour in colours),
    ]


def _cells(colours: Tensor, side: float) -> Tensor:
    """About how many cells the box around ``(c, pixels)`` has."""
    low, high = colours.aminmax(dim=1)
    return ((high - low) / side + 1).prod()


def _space(length: int, sigma: float, share: float, like: Tensor) -> _Axis:
    """Pixels lie on whole positions, so cells have whole sides; with a side of 1 the kernel is exact."""
    side = max(1, math.floor(min(share * sigma, length)))
    position = torch.arange(length, dtype=like.dtype, device=like.device) / side
    return _axis(position, (length - 1) // side + 2, side / sigma, (side**2 - 1) / (3 * sigma**2))


def _colour(colour: Tensor, sigma: float, share: float) -> _Axis:
    """The first node lies at the lowest value."""
    low, high = torch.stack(colour.aminmax()).tolist()
    side = min(share * sigma, 1 + high - low)
    return _axis((colour - low) / side, math.floor((high - low) / side) + 2, side / sigma, side**2 / (3 * sigma**2))


def _axis(position: Tensor, nodes: int, side: float, widened: float) -> _Axis:
    """Linear weights, and a Gaussian between nodes that is narrowed by what they widen it.

    Linear weights spread a pixel over two nodes, by side²/6 in variance on average over all positions, (side²−1)/6 over
    whole ones; splat and slice add twice that. The weights are scaled so that a pixel and itself have kernel 1: without
    that, a region of one colour would weigh more or less by where its colour lies between two nodes.

    Args:
        position: ``(pixels,)`` in cells.
        nodes: their number.
        side: distance of nodes over the kernel's width.
        widened: variance that splat and slice add, over the kernel's.
    """
    falloff = side**2 / (2 * (1 - widened))
    below = position.floor().clamp(0, nodes - 2)
    above = position - below
    weight = torch.stack([1 - above, above])
    weight /= (weight.square().sum(0) + 2 * math.exp(-falloff) * weight[0] * weight[1]).sqrt()
    return _Axis(below.long(), weight, nodes, falloff)


def _corners(axes: list[_Axis], some: slice) -> tuple[Tensor, Tensor]:
    """Nodes around some of the pixels and their weights, each ``(2^axes, pixels)``."""
    first, weight = axes[0].below[some].new_zeros(1), axes[0].weight.new_ones(1, 1)
    step = first
    for axis in axes:
        first = first * axis.nodes + axis.below[some]
        step = torch.cat([step * axis.nodes, step * axis.nodes + 1])
        weight = torch.cat([weight * share[some] for share in axis.weight])
    return first + step[:, None], weight
