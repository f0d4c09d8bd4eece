"""Contrast maps: where an image resembles a point of one class and not the points of the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from skimage.measure import label as connected
from torch import Tensor

from pointillist.types import IGNORE

_EPS = 1e-8  # features shorter than this have no direction
_FLAT = 1e-3  # maps whose values lie closer together would show noise
_CODE_FLOOR, _CODE_ZERO = 0.02, 1e-6  # of the public code: what is below the first becomes the second


class Points(NamedTuple):
    """The marked points of one image.

    Attributes:
        classes: ``(n,)`` int64.
        cells: ``(n, h · w)`` float32, the share of each point's pixels that lies in each cell of the feature map.
    """

    classes: Tensor
    cells: Tensor


class ContrastMaps(NamedTuple):
    """One map for each point of a class that has one.

    Attributes:
        z: ``(m, h, w)`` in [0, 1].
        image: ``(m,)`` int64, which image of the batch.
        classes: ``(m,)`` int64.
        points: ``(m, h, w)`` Boolean, the cells of all points of this class in this image.
    """

    z: Tensor
    image: Tensor
    classes: Tensor
    points: Tensor


def marked_points(label: Tensor, grid: tuple[int, int], most: int) -> Points:
    """Connected marks of one class are one point.

    Pixels that touch at a corner are connected. Of a class with more points than are wanted, some are taken at even
    distances in reading order.

    Args:
        label: ``(h, w)`` classes, IGNORE where nothing is marked.
        grid: rows and columns of the feature map, which covers the same field.
        most: points a class.
    """
    marks = label.cpu().numpy()
    height, width = marks.shape
    parts = connected(np.where(marks == IGNORE, -1, marks) + 1, background=0, connectivity=2)  # type: ignore[no-untyped-call]
    row, column = np.nonzero(parts)
    number = parts[row, column] - 1
    owner = np.zeros(parts.max(), dtype=np.int64)
    owner[number] = marks[row, column]
    chosen = _some_of_each(owner, most)
    place = np.full(len(owner), -1)
    place[chosen] = np.arange(len(chosen))
    taken = place[number] >= 0
    cell = row * grid[0] // height * grid[1] + column * grid[1] // width
    shares = np.zeros((len(chosen), grid[0] * grid[1]), dtype=np.float32)
    np.add.at(shares, (place[number][taken], cell[taken]), 1)
    shares /= shares.sum(axis=1, keepdims=True)
    return Points(torch.from_numpy(owner[chosen]).to(label.device), torch.from_numpy(shares).to(label.device))


def contrast_maps(
    features: Tensor, label: Tensor, classes: tuple[int, ...], *, eta: float, most: int, literal: bool = False
) -> ContrastMaps:
    r"""Maps of all points of these classes in a batch, each against the points of all other classes in its image.

    .. math:: S_p(x) = \cos(f_p, a_x), \quad C_{pq} = N(ReLU(S_p - η S_q)^2), \quad z_p = \frac{1}{|Q|} \sum_q C_{pq}

    N stretches a map to [0, 1]; a map whose values lie within 0.001 becomes 0. f_p is the mean direction of the
    features at the point's pixels, so of a single pixel its own. Pairs whose points share a cell of the feature map
    are left out; a class without points, or without points of other classes beside it, has no maps.

    Args:
        features: ``(b, c, h, w)`` a; takes no gradient.
        label: ``(b, *)`` marks, on a grid that may be finer.
        classes: whose points get maps.
        eta: η.
        most: points a class.
        literal: similarities below 0.02, and values of C below 0.02, become 1e-6, as in the deleted public code.
    """
    directions = F.normalize(features.detach().float().flatten(2), dim=1, eps=_EPS)
    height, width = features.shape[2:]
    found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for image, one in enumerate(directions):
        points = marked_points(label[image], (height, width), most)
        s = _similarities(one, points.cells)
        if literal:
            s = s.masked_fill(s < _CODE_FLOOR, _CODE_ZERO)
        for k in classes:
            inside = points.classes == k
            z, kept = _against_others(s, points.cells, inside, eta, literal=literal)
            count = int(kept.sum())
            where = (points.cells[inside] > 0).any(0).expand(count, -1)
            numbers = torch.tensor([image, k], device=z.device)[:, None].expand(-1, count)
            found.append((z[kept], numbers[0], numbers[1], where))
    z, images, owners, where = (torch.cat(parts) for parts in zip(*found, strict=True))
    return ContrastMaps(z.view(-1, height, width), images, owners, where.view(-1, height, width))


def stretched(maps: Tensor) -> Tensor:
    """N: maps ``(…, h, w)`` stretched to [0, 1] one by one; 0 where the values of a map lie too close together."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    spread = high - low
    return torch.where(spread < _FLAT, 0, (maps - low) / spread.clamp(min=_FLAT))


def _some_of_each(owner: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Numbers of at most so many parts a class, at even distances."""
    found: list[NDArray[np.int64]] = []
    for k in np.unique(owner):
        parts = np.flatnonzero(owner == k)
        count = min(len(parts), most)
        found.append(parts[np.arange(count) * len(parts) // count])
    return np.sort(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def _similarities(directions: Tensor, cells: Tensor) -> Tensor:
    """``(n, h·w)`` cosines between each point's mean direction and every cell's of ``(c, h·w)``."""
    prototypes = F.normalize(cells @ directions.T, dim=1, eps=_EPS)
    return prototypes @ directions


def _against_others(s: Tensor, cells: Tensor, inside: Tensor, eta: float, *, literal: bool) -> tuple[Tensor, Tensor]:
    """``(p, h·w)`` z of the points of a class, and ``(p,)`` whether there is anything to tell them from."""
    s_p, others = s[inside], s[~inside]
    apart = (cells[inside] @ cells[~inside].T) == 0
    total = torch.zeros_like(s_p)
    for s_q, counts in zip(others, apart.T, strict=True):  # all p at once; all pairs would be large for many points
        maps = stretched((s_p - eta * s_q).relu_().square_().unsqueeze(-1)).squeeze(-1)
        if literal:
            maps = maps.masked_fill(maps < _CODE_FLOOR, _CODE_ZERO)
        total += maps * counts.unsqueeze(1)
    return total / apart.sum(1, keepdim=True).clamp(min=1), apart.any(1)
