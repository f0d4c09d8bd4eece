"""A simulated annotator: shown a place, it clicks there with the class that the truth has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.simulate.draw import seeded
from pointillist.data.simulate.points import random_point
from pointillist.types import IGNORE, LabelMap, Stroke

_AUTHOR = "simulate:annotator"


class Annotator:
    """Answers from dense truth, and is all of an experiment that may read it.

    Args:
        dataset: training cases with dense truth; its labels are what gets marked.
        seed: of places that the annotator chooses itself.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._dataset, self._seed = dataset, seed

    def at(self, case: Case, places: Iterable[Sequence[int]]) -> list[Stroke]:
        """Click at places, ``(row, column)`` or ``(row, column, slice)``; not where there is no truth."""
        truth = self._dataset.dense_labels(case)
        axis = truth.grid.slice_axis if truth.array.ndim == 3 else None
        clicks = []
        for place in places:
            cls = int(truth.array[_index(place, axis)])
            if cls != IGNORE:
                clicks.append(Stroke(cls, np.array([place], dtype=np.float64), author=_AUTHOR))
        return clicks

    def one_a_class(self, case: Case, slice_number: int | None) -> list[Stroke]:
        """Click once into each class present in a slice, background included, at random."""
        strokes = random_point(self._slice(case, slice_number), self._random(case, slice_number, "each"))
        return [_placed(stroke, slice_number) for stroke in strokes]

    def random(self, case: Case, slice_number: int | None, count: int, purpose: str) -> list[Stroke]:
        """Click at random places as a person would: into a class that is present, each as likely, anywhere in it.

        Args:
            case: where.
            slice_number: of a volume.
            count: of the clicks.
            purpose: other purposes give other places.
        """
        dense, rng = self._slice(case, slice_number), self._random(case, slice_number, purpose)
        present = np.setdiff1d(dense, [IGNORE])
        clicks = []
        for cls in rng.choice(present, count):
            pixels = np.argwhere(dense == cls)
            clicks.append(_placed(Stroke(int(cls), pixels[rng.integers(len(pixels))][None]), slice_number))
        return clicks

    def _slice(self, case: Case, slice_number: int | None) -> LabelMap:
        truth = self._dataset.dense_labels(case)
        if slice_number is None:
            return truth.array
        return np.ascontiguousarray(np.take(truth.array, slice_number, truth.grid.slice_axis))

    def _random(self, case: Case, slice_number: int | None, purpose: str) -> np.random.Generator:
        return seeded(self._seed, self._dataset.name, case.id, slice_number, purpose)


def _placed(stroke: Stroke, slice_number: int | None) -> Stroke:
    depth = [] if slice_number is None else [float(slice_number)]
    return replace(stroke, points=np.hstack([stroke.points, np.tile(depth, (len(stroke.points), 1))]), author=_AUTHOR)


def _index(place: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """From row, column[, slice] to the array's own axes."""
    if axis is None:
        return tuple(place)
    *plane, depth = place
    return (*plane[:axis], depth, *plane[axis:])
