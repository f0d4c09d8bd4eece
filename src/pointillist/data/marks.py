"""The marks of one case as a file: strokes as drawn, and the hash of the label map that they make."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from pointillist.data.compressed import read_bytes
from pointillist.data.writers import write_json
from pointillist.errors import DamagedFileError
from pointillist.types import IGNORE, LabelMap, Stroke

_MAX_BYTES = 1 << 28
_FURTHEST_PX = 1e9  # no image is larger; beyond it arithmetic on strokes would overflow
_Coordinate = Annotated[FiniteFloat, Field(ge=-_FURTHEST_PX, le=_FURTHEST_PX)]
_Vertex = Annotated[list[_Coordinate], Field(min_length=2, max_length=3)]
_Length = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, eq=False)
class Marks:
    """What was drawn on one case.

    Attributes:
        strokes: in drawing order; later ones lie over earlier ones.
        shape: spatial shape of the image they were drawn on, in memory (canonical) order.
        slice_axis: the axis that the strokes' third coordinate counts along; None for 2-D images.
        raster_sha256: ``raster_hash`` of the label map in labelsTr when the marks were saved.
    """

    strokes: tuple[Stroke, ...]
    shape: tuple[int, ...]
    slice_axis: int | None
    raster_sha256: str


class _StrokeFile(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    cls: Annotated[int, Field(ge=0, lt=IGNORE)] | None = Field(alias="class")  # null erases
    points: list[_Vertex] = Field(min_length=1)
    width_px: FiniteFloat = Field(default=1.0, gt=0, le=_FURTHEST_PX)
    author: str | None = None
    time: str | None = None


class _MarksFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1]
    case: str
    shape: list[_Length] = Field(min_length=2, max_length=3)
    slice_axis: int | None = Field(ge=0, le=2)
    raster_sha256: str
    strokes: list[_StrokeFile]


def raster_hash(labels: LabelMap) -> str:
    """SHA-256 of a label map's shape and values in memory order, so that an edit by another tool shows.

    Args:
        labels: ``(*s)`` with ``IGNORE`` where nothing is marked.
    """
    digest = hashlib.sha256(repr(labels.shape).encode())
    digest.update(labels.tobytes(order="C"))
    return digest.hexdigest()


def write_marks(path: Path, case: str, marks: Marks) -> None:
    """Write ``marks/CASE.json`` atomically.

    Args:
        path: final name.
        case: the case's id.
        marks: what was drawn.
    """
    strokes = [stroke_record(stroke) for stroke in marks.strokes]
    write_json(
        path,
        {
            "format": 1,
            "case": case,
            "shape": list(marks.shape),
            "slice_axis": marks.slice_axis,
            "raster_sha256": marks.raster_sha256,
            "strokes": strokes,
        },
    )


def read_marks(path: Path) -> Marks:
    """Read ``marks/CASE.json``.

    Raises:
        DamagedFileError: if it is missing, too large, not JSON, or not of this format.
    """
    data = read_bytes(path)
    if len(data) > _MAX_BYTES:
        raise _bad_marks(path, f"{len(data):,} bytes (at most {_MAX_BYTES:,})")
    try:
        content = _MarksFile.model_validate_json(data)
        strokes = tuple(
            Stroke(
                IGNORE if record.cls is None else record.cls,
                np.array(record.points),
                record.width_px,
                record.author,
                record.time,
            )
            for record in content.strokes
        )
        _check_axes(content, strokes)
    except ValidationError as error:
        first = error.errors()[0]
        raise _bad_marks(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise _bad_marks(path, str(error)) from error
    return Marks(strokes, tuple(content.shape), content.slice_axis, content.raster_sha256)


def _check_axes(content: _MarksFile, strokes: tuple[Stroke, ...]) -> None:
    axes = len(content.shape)
    if (content.slice_axis is None) != (axes == 2):
        msg = f"slice_axis {content.slice_axis} does not fit shape {content.shape}"
        raise ValueError(msg)
    if any(stroke.points.shape[1] != axes for stroke in strokes):
        msg = f"every vertex needs {axes} coordinates for shape {content.shape}"
        raise ValueError(msg)


def stroke_record(stroke: Stroke) -> dict[str, Any]:
    """A stroke as ``marks/CASE.json`` holds it; the class of an eraser is null."""
    cls = None if stroke.cls == IGNORE else stroke.cls
    record: dict[str, Any] = {"class": cls, "points": stroke.points.tolist(), "width_px": stroke.width_px}
    if stroke.author is not None:
        record["author"] = stroke.author
    if stroke.time is not None:
        record["time"] = stroke.time
    return record


def _bad_marks(path: Path, received: str) -> DamagedFileError:
    return DamagedFileError(
        "the marks file cannot be understood",
        where=path,
        expected="marks of format 1 (see the reference page 'The dataset on disk')",
        received=received,
        todo="restore it from a backup; labelsTr still holds the marks as drawn",
    )
