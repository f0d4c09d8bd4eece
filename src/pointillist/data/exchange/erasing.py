"""Marks without erasers, for files that know none: what an eraser touched becomes part of the base raster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pointillist.data.marked import Marked
from pointillist.geometry._cover import Ints
from pointillist.geometry.strokes import pixels_of, rasterise
from pointillist.types import IGNORE, Mask


def without_erasers(marked: Marked) -> tuple[Marked, int]:
    """The same labels without erasers.

    Strokes of which an eraser took pixels become pixels of the base, and so do strokes that lie under such a stroke:
    they would otherwise lie over it. All others stay strokes.

    Returns:
        The marks, and how many strokes became areas.
    """
    strokes, shape = marked.strokes, marked.image.grid.shape
    erases = np.array([stroke.cls == IGNORE for stroke in strokes], dtype=bool)
    if not erases.any():
        return marked, 0
    axis = -1 if marked.slice_axis is None else marked.slice_axis
    places, number = pixels_of(strokes, shape, axis)
    flat = _under(places, number, erases)
    base = rasterise(
        [one for one, gone in zip(strokes, flat, strict=True) if gone], shape, slice_axis=axis, onto=marked.base
    )
    kept = tuple(one for one, gone in zip(strokes, flat, strict=True) if not gone)
    return replace(marked, base=base if (base != IGNORE).any() else None, strokes=kept), int((flat & ~erases).sum())


def _under(places: Ints, number: Ints, chosen: Mask) -> Mask:
    """The chosen strokes, and all that lie under one of them somewhere, and under those."""
    _, cells = np.unique(places, return_inverse=True)
    while True:
        highest = np.full(cells.max(initial=-1) + 1, -1)
        of_chosen = chosen[number]
        np.maximum.at(highest, cells[of_chosen], number[of_chosen])
        more = chosen.copy()
        more[number[highest[cells] > number]] = True
        if (more == chosen).all():
            return chosen
        chosen = more
