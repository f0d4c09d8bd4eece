"""Marks as another program's file states them: shapes in that image's coordinates, with the program's own names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pointillist.errors import DamagedFileError
from pointillist.types import Floats

MOST_BYTES = 1 << 28
"""No file of shapes may be larger (256 MiB)."""

MOST_SHAPES = 1_000_000
"""No file may hold more shapes: nobody draws a million."""

Kind = Literal["point", "line", "area"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One shape of another program's file.

    Attributes:
        kind: a point, a line, or the inside of an outline.
        rings: ``(n, d)`` vertices each, pixel centres being whole numbers: one array for a point or a line; for an
            area its outline and its holes, told apart by the even-odd rule. Row, column of a 2-D image; of a volume
            the three coordinates in the axis order of the file that the image was read from.
        name: the class as the program calls it; None where it has none.
        width_px: full width, where the file states one.
        author: who drew it, where the file says.
        time: when, where the file says.
        what: which shape of the file this is, for messages.
    """

    kind: Kind
    rings: tuple[Floats, ...]
    name: str | None = None
    width_px: float | None = None
    author: str | None = None
    time: str | None = None
    what: str = ""


def vertices(values: object, where: Path, what: str, *, shift: float = 0.0, axes: tuple[int, ...] = (2,)) -> Floats:
    """Coordinates from a file as ``(n, d)`` floats.

    Args:
        values: nested sequences of numbers.
        where: the file, for messages.
        what: the shape they belong to, for messages.
        shift: added to every coordinate: -0.5 where the program counts from the corner of the first pixel.
        axes: how many coordinates a vertex may have.

    Raises:
        DamagedFileError: if they are not finite numbers, or not so many a vertex.
    """
    try:
        points = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[0] < 1 or points.shape[1] not in axes or not np.isfinite(points).all():
        raise DamagedFileError(
            "a shape has no place",
            where=f"{where}, {what}",
            expected=f"vertices of {' or '.join(map(str, axes))} finite numbers",
            received=str(values)[:80],
            todo="export the file again from the program that it was drawn in",
        )
    return points + shift


def too_large(where: Path, expected: str, received: str) -> DamagedFileError:
    """The error for a file that holds more than anybody draws."""
    return DamagedFileError(
        "the file holds more than marks that somebody drew",
        where=where,
        expected=expected,
        received=received,
        todo="export the annotations alone, without detections and cells",
    )
