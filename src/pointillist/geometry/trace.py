"""From a raster of marks back to strokes that draw exactly this raster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, depth_first_order

from pointillist.geometry._planes import planes_of
from pointillist.geometry.pixel_graph import Graph, pixel_graph
from pointillist.types import IGNORE, LabelMap, Stroke

if TYPE_CHECKING:
    from pointillist.geometry._cover import Ints


def trace(labels: LabelMap, *, slice_axis: int = -1, author: str | None = None) -> list[Stroke]:
    """Find one-pixel-wide strokes whose raster is the given map: ``rasterise(trace(m), m.shape) == m``.

    Marked pixels of one class and one slice that touch (8 neighbours) form a graph. It is walked depth first,
    from an end of each connected part, and cut wherever the walk goes back; straight runs keep their ends only.

    Args:
        labels: ``uint8`` map of an image or a volume, ``IGNORE`` where nothing is marked.
        slice_axis: axis of a volume that counts slices; ignored for a 2-D image.
        author: noted in the strokes.

    Returns:
        Strokes of width 1, slice after slice. They cover each other only where they have the same class, so
        their order does not matter.

    Raises:
        GeometryError: if the map is neither an image nor a volume, or has no such slice axis.
    """
    planes = planes_of(labels.shape, slice_axis)
    view = planes.view(labels).reshape(*planes.size, planes.slices)
    by_slice = view.transpose(2, 0, 1)
    pixels = np.argwhere(by_slice != IGNORE)
    if not len(pixels):
        return []
    classes = by_slice[tuple(pixels.T)]
    node, path = _paths(pixel_graph(pixels, classes, planes.size))
    corner = _corners(pixels[node], path)
    node, path = node[corner], path[corner]
    points = pixels[node][:, [1, 2, 0][: planes.ndim]].astype(np.float64)
    begins = np.flatnonzero(np.diff(path, prepend=-1))
    return [
        Stroke(int(cls), vertices, author=author)
        for cls, vertices in zip(classes[node[begins]], np.split(points, begins[1:]), strict=True)
    ]


def _paths(graph: Graph) -> tuple[Ints, Ints]:
    """Cover a graph with paths along its edges: the node at each position, and the number of its path."""
    n = graph.shape[0]
    source, target = graph.nonzero()
    parts, part = connected_components(graph, directed=False)
    by_degree = np.lexsort((np.diff(graph.indptr), part))
    root = by_degree[np.searchsorted(part[by_degree], np.arange(parts))]
    # A chain of helper nodes, each leading to one root and to the next helper, makes one walk visit all parts.
    # A single helper for all roots would have as many neighbours as there are parts, which is quadratic.
    helper = n + np.arange(parts)
    source = np.concatenate([source, helper, helper[:-1]])
    target = np.concatenate([target, root, helper[1:]])
    chained = coo_array((np.ones(len(source), dtype=np.int8), (source, target)), shape=(n + parts, n + parts))
    order, before = depth_first_order(chained.tocsr(), n, directed=True)
    order = order[order < n]
    cut = before[order] != np.concatenate([[-1], order[:-1]])
    path = np.cumsum(cut) - 1
    # a path that leaves another one begins on it, so that its first step is drawn too
    joint = np.flatnonzero(cut & (before[order] < n))
    return np.insert(order, joint, before[order[joint]]), np.insert(path, joint, path[joint])


def _corners(places: Ints, path: Ints) -> Ints:
    """Select the positions where a path begins, ends or turns."""
    step = np.diff(places, axis=0)
    turns = (step[1:] != step[:-1]).any(axis=1)
    changes = np.diff(path) != 0
    keep = np.ones(len(path), dtype=bool)
    keep[1:-1] = turns | changes[1:] | changes[:-1]
    return np.flatnonzero(keep)
