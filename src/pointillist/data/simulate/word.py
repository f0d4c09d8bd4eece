"""Scribbles as they were simulated for the WORD data set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import depth_first_tree, dijkstra

from pointillist.data.simulate._morphology import EIGHT, by_class, skeleton_of, thickened
from pointillist.geometry.pixel_graph import pixel_graph
from pointillist.geometry.strokes import rasterise, trace
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointillist.types import Floats, LabelMap, Mask, Stroke

_EROSIONS = (1, 3)
_ERODED_ABOVE_PX = 900
_MOVED_ABOVE_PX = 1000
_MINOR_PART_PX = 15
_SHIFT_PX = 6
_TURN_DEG = 15.0


def word(dense: LabelMap, rng: np.random.Generator, *, width_px: float | None = None) -> LabelMap:
    """Draw the skeleton of each class, without side branches and out of place as if by a hurried hand.

    Classes above 900 px are eroded 1 to 3 times first, unless nothing would remain. The skeleton is Lee's. Of its
    largest part, and of each further part above 15 px, one line from an end is kept and side branches are cut;
    the background keeps all of its skeleton. Lines in classes above 1000 px are shifted by up to 6 px along each
    axis and turned by up to 15°. Everything is masked by the class.

    Source: Luo et al., WORD and WSL4MIS, and their public generator. Differences: theirs takes a random turn at
    each junction and may end in a spur, here the longest line is kept; theirs turns about the centre of the
    image, which carries lines far from it out of their organ, here a line turns about its own centre and stays
    where it was if it would leave its class; theirs shifts the raster, here the line is moved as coordinates.
    The number of erosions is a parameter there without a stated value; 1 to (classes − 1) in its example.

    Args:
        dense: ``(h, w)`` class of every pixel.
        rng: source of randomness.
        width_px: width of the lines. Default: as published, 3 in the foreground and 1 in the background.

    Returns:
        ``(h, w)`` marks, ``IGNORE`` elsewhere.
    """

    def draw(mask: Mask, cls: int) -> Mask:
        line = skeleton_of(_eroded(mask, rng), "lee")
        if cls == 0:
            return thickened(line, mask, 1.0 if width_px is None else width_px)
        return _moved(_without_branches(line, rng), mask, rng, 3.0 if width_px is None else width_px)

    return by_class(dense, draw)


def _eroded(mask: Mask, rng: np.random.Generator) -> Mask:
    """Erode by the 3 × 3 square a random number of times; what is outside of the image erodes too."""
    if np.count_nonzero(mask) <= _ERODED_ABOVE_PX:
        return mask
    times = rng.integers(_EROSIONS[0], _EROSIONS[1] + 1)
    depth = ndimage.distance_transform_cdt(np.pad(mask, 1), "chessboard")[1:-1, 1:-1]
    eroded: Mask = depth > times
    return eroded if eroded.any() else mask


def _without_branches(skeleton: Mask, rng: np.random.Generator) -> Mask:
    """Keep one line in the largest part of a skeleton and in each further part that is not tiny."""
    parts, n = ndimage.label(skeleton, EIGHT)
    sizes = np.bincount(parts.ravel())[1:]
    kept = [part for part in range(n) if sizes[part] > _MINOR_PART_PX or part == sizes.argmax()]
    line = np.zeros(skeleton.shape, dtype=bool)
    for part in kept:
        pixels = np.argwhere(parts == part + 1)
        line[tuple(pixels[_longest_line(pixels, skeleton.shape, rng)].T)] = True
    return line


def _longest_line(pixels: NDArray[np.int64], shape: tuple[int, ...], rng: np.random.Generator) -> Mask:
    """Select the longest line of a depth-first walk from a random end (from anywhere in a ring, all around it)."""
    flat = np.column_stack([np.zeros(len(pixels), dtype=np.int64), pixels])
    graph = pixel_graph(flat, np.zeros(len(pixels), dtype=np.uint8), (shape[0], shape[1]))
    degree = np.diff(graph.indptr)
    root = rng.choice(np.flatnonzero(degree == degree.min()))
    tree = depth_first_tree(graph, root, directed=False)
    depth = dijkstra(tree, directed=False, unweighted=True, indices=root)
    tip = depth.argmax()
    to_tip = dijkstra(tree, directed=False, unweighted=True, indices=tip)
    on_line: Mask = depth + to_tip == depth[tip]  # a tree has one way from root to tip
    return on_line


def _moved(line: Mask, mask: Mask, rng: np.random.Generator, width_px: float) -> Mask:
    """Shift and turn the line of a large class, and draw it with its width."""
    if np.count_nonzero(mask) <= _MOVED_ABOVE_PX:
        return thickened(line, mask, width_px)
    shift = rng.integers(-_SHIFT_PX, _SHIFT_PX + 1, 2)
    turn = np.deg2rad(rng.uniform(-_TURN_DEG, _TURN_DEG))
    strokes = trace(np.where(line, 0, IGNORE).astype(np.uint8))
    elsewhere = [_turned(stroke, np.argwhere(line).mean(axis=0), turn, shift, width_px) for stroke in strokes]
    drawn: Mask = (rasterise(elsewhere, mask.shape) == 0) & mask
    return drawn if drawn.any() else thickened(line, mask, width_px)


def _turned(stroke: Stroke, centre: Floats, turn: float, shift: NDArray[np.int64], width_px: float) -> Stroke:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return replace(stroke, points=(stroke.points - centre) @ rotation.T + centre + shift, width_px=width_px)
