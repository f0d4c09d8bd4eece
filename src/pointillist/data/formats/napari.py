"""napari's CSV files of points and shapes layers.

Columns ``axis-0``, ``axis-1``[, ``axis-2``] are data coordinates in pixels: row, column of a 2-D image, pixel centres
being whole numbers. A shapes layer holds no class and a points layer only as a property, so a class is a layer, which
napari saves as a file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pointillist.data.formats.drawn import MOST_BYTES, MOST_SHAPES, Drawn, Kind, too_large, vertices
from pointillist.errors import DamagedFileError
from pointillist.types import Floats

_AXIS = re.compile(r"axis-(\d+)")
_NAMES = ("class", "label", "classification", "name")
_KINDS: dict[str, Kind] = {"path": "line", "line": "line", **dict.fromkeys(("polygon", "rectangle", "ellipse"), "area")}
_ELLIPSE_VERTICES = 360
Row = dict[str, str]


def decode_napari(data: bytes, where: Path) -> list[Drawn]:
    """Every point or shape of a layer, in the order of the file.

    Args:
        data: the whole file.
        where: its name, for messages.

    Returns:
        Shapes; the name is that of a column ``class``, ``label``, ``classification`` or ``name``, where there is one.

    Raises:
        DamagedFileError: if the file is no such table.
    """
    if len(data) > MOST_BYTES:
        raise too_large(where, f"at most {MOST_BYTES:,} bytes", f"{len(data):,} bytes")
    columns, rows = _table(data, where)
    axes = sorted((column for column in columns if _AXIS.fullmatch(column)), key=lambda name: int(name[5:]))
    if axes != [f"axis-{number}" for number in range(len(axes))] or len(axes) not in (2, 3):
        raise _no_table(where, f"columns {', '.join(columns)[:80]}")
    if "shape-type" in columns:
        return _shapes(rows, axes, where)
    name = next((column for column in _NAMES if column in columns), None)
    return [
        Drawn(
            "point",
            (_places([row], axes, where, f"row {number}"),),
            (row[name] or None) if name else None,
            _width(row, where, number),
            what=f"row {number}",
        )
        for number, row in enumerate(rows, start=2)
    ]


def encode_points(points: Floats, widths: Sequence[float]) -> bytes:
    """A points layer as napari writes it; widths other than 1 in a column ``width_px``, a property that napari keeps.

    Args:
        points: ``(n, d)``.
        widths: of each.
    """
    broad = any(width != 1 for width in widths)
    head: list[object] = ["index", *_axes(points), *(["width_px"] if broad else [])]
    rows: list[list[object]] = [
        [number, *place, *([width] if broad else [])]
        for number, (place, width) in enumerate(zip(points.tolist(), widths, strict=True))
    ]
    return _written([head, *rows])


def encode_paths(paths: Sequence[Floats]) -> bytes:
    """A shapes layer of paths as napari writes it.

    Args:
        paths: ``(n, d)`` each, one or more.
    """
    head: list[object] = ["index", "shape-type", "vertex-index", *_axes(paths[0])]
    rows: list[list[object]] = [
        [number, "path", place, *vertex]
        for number, path in enumerate(paths)
        for place, vertex in enumerate(path.tolist())
    ]
    return _written([head, *rows])


def _axes(points: Floats) -> list[str]:
    return [f"axis-{number}" for number in range(points.shape[1])]


def _written(rows: list[list[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _table(data: bytes, where: Path) -> tuple[list[str], list[Row]]:
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True, restkey="surplus")
        columns, rows = list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_table(where, f"{type(error).__name__}: {error}") from error
    if len(rows) > 100 * MOST_SHAPES:
        raise too_large(where, f"at most {100 * MOST_SHAPES:,} rows", f"{len(rows):,}")
    for number, row in enumerate(rows, start=2):
        if "surplus" in row or None in row.values():
            raise _no_table(where, f"row {number}: not {len(columns)} values")
    return columns, rows


def _shapes(rows: list[Row], axes: list[str], where: Path) -> list[Drawn]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.get("index", ""), []).append(row)
    shapes = []
    for index, group in groups.items():
        what, kind = f"shape {index}", group[0]["shape-type"]
        if kind not in _KINDS:
            raise _no_table(where, f"{what}: shape-type {kind[:40]!r}")
        places = _places(group, axes, where, what)
        shapes.append(
            Drawn(_KINDS[kind], (_ellipse(places) if kind == "ellipse" else places,), what=f"{what} ({kind})")
        )
    return shapes


def _places(rows: list[Row], axes: list[str], where: Path, what: str) -> Floats:
    return vertices([[row[axis] for axis in axes] for row in rows], where, what, axes=(len(axes),))


def _ellipse(box: Floats) -> Floats:
    """The ellipse in a box of four corners, which may be turned."""
    if len(box) != 4:
        return box
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_VERTICES, endpoint=False)[:, None]
    along, across = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    ellipse: Floats = box.mean(axis=0) + np.cos(angle) * along + np.sin(angle) * across
    return ellipse


def _width(row: Row, where: Path, number: int) -> float | None:
    if not row.get("width_px"):
        return None
    width = float(vertices([[row["width_px"]]], where, f"row {number}, width_px", axes=(1,))[0, 0])
    if width <= 0:
        raise _no_table(where, f"row {number}: width_px {width}")
    return width


def _no_table(where: Path, received: str) -> DamagedFileError:
    return DamagedFileError(
        "the file is no table of a napari layer",
        where=where,
        expected="columns index, axis-0, axis-1[, axis-2], and shape-type and vertex-index of a shapes layer",
        received=received,
        todo="in napari, select the points or shapes layer and save it as .csv",
    )
