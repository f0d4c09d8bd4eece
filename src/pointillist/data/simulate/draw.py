"""Simulate the marks of one case, slice by slice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointillist.data.simulate.full_slice import labelled_slices
from pointillist.data.simulate.generators import Generator, generator_named
from pointillist.errors import GeometryError, InputError

if TYPE_CHECKING:
    from pointillist.types import LabelMap, Stroke


def draw(
    dense: LabelMap,
    *,
    generator: str,
    seed: int,
    dataset: str,
    case: str,
    slice_axis: int = -1,
    count: int | None = None,
    width_px: float | None = None,
    fraction: float | None = None,
) -> list[Stroke]:
    """Draw marks on an image or on every slice of a volume, from its dense truth.

    Every slice has random numbers of its own, from (seed, data set, case, slice): its marks do not depend on which
    other cases are drawn, nor in which order.

    Args:
        dense: ``uint8`` class of every pixel, 2-D or a volume; ``IGNORE`` gets no marks.
        generator: a name in ``GENERATORS``.
        seed: any whole number.
        dataset: name of the data set.
        case: name of the case.
        slice_axis: axis of a volume that counts slices.
        count: points per class and slice, or fully labelled slices per volume. Default: the generator's.
        width_px: width of the marks, which stay within their class. Default: as published.
        fraction: of the objects that get a scribble, in (0, 1]. Default: the generator's.

    Returns:
        Strokes, slice after slice; their author is ``simulate:`` and the name of the generator.

    Raises:
        InputError: if there is no such generator, or it does not take a setting, or a setting is out of range.
        GeometryError: if ``dense`` is neither an image nor a volume, or has no such slice axis.
    """
    chosen = generator_named(generator)
    settings = _checked(chosen, {"count": count, "width_px": width_px, "fraction": fraction})
    if dense.ndim not in (2, 3) or not -3 <= slice_axis < 3:
        raise GeometryError(
            "marks are drawn on images and on the slices of volumes",
            where=case,
            expected="2 or 3 axes, slice axis 0, 1 or 2",
            received=f"shape {dense.shape}, slice axis {slice_axis}",
            todo="give one image or one volume, without a channel axis",
        )
    volume = dense[:, :, None] if dense.ndim == 2 else np.moveaxis(dense, slice_axis, -1)
    numbers = list(range(volume.shape[2]))
    if chosen.annotation == "full":
        numbers = labelled_slices(volume, seeded(seed, dataset, case, None), **settings)
        settings = {}
    marks: list[Stroke] = []
    for number in numbers:
        plane = np.ascontiguousarray(volume[:, :, number])
        strokes = chosen.function(plane, seeded(seed, dataset, case, number), **settings)
        depth = [] if dense.ndim == 2 else [float(number)]
        marks += [_placed(stroke, depth, f"simulate:{generator}") for stroke in strokes]
    return marks


def seeded(*parts: int | str | None) -> np.random.Generator:
    """Random numbers that names and numbers decide, such as (seed, data set, case, slice)."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _placed(stroke: Stroke, depth: list[float], author: str) -> Stroke:
    """Give a stroke of a slice its slice number and its author."""
    slices = np.tile(depth, (len(stroke.points), 1))
    return replace(stroke, points=np.hstack([stroke.points, slices]), author=author)


def _checked(chosen: Generator, wanted: dict[str, float | None]) -> dict[str, Any]:
    """Keep the settings that were given, if the generator takes them and they are in range."""
    given = {name: value for name, value in wanted.items() if value is not None}
    for name, value in given.items():
        if name not in chosen.takes:
            raise InputError(
                f"the generator '{chosen.name}' has no setting '{name}'",
                where=f"--{name.replace('_', '-')}",
                expected=", ".join(chosen.takes),
                received=f"{name}={value}",
                todo="leave it out, or choose another --generator",
            )
        lowest, highest, words = _RANGES[name]
        if not lowest <= value <= highest or (name == "count" and value % 1):
            raise InputError(
                f"'{name}' is out of range",
                where=f"--{name.replace('_', '-')}",
                expected=words,
                received=value,
                todo="choose such a number, or leave it out for the generator's own",
            )
    return given


_LEAST = np.finfo(np.float64).tiny
_MOST = np.finfo(np.float64).max
_RANGES = {
    "count": (1, _MOST, "a whole number, 1 or more"),
    "width_px": (_LEAST, _MOST, "a number of pixels above 0"),
    "fraction": (_LEAST, 1, "a number above 0, up to 1"),
}
