"""QuPath's GeoJSON of annotations: points, lines and polygons with ``classification.name``, in pixels.

QuPath counts from the upper left corner of the image: the centre of the first pixel is (0.5, 0.5). The ``metadata`` of
an annotation is text that QuPath keeps since version 0.5; there the width, author and time of a stroke travel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import ImageColor

from pointillist.data.formats.drawn import MOST_BYTES, MOST_SHAPES, Drawn, Kind, too_large, vertices
from pointillist.data.formats.geojson import region_feature
from pointillist.data.formats.regions import regions_of
from pointillist.errors import DamagedFileError
from pointillist.spec import TaskSpec
from pointillist.types import LabelMap, Stroke

_CORNER = -0.5
_NOT_DRAWN = ("detection", "cell", "tile", "tmacore", "tma_core", "root")
_SINGLE: dict[str, Kind] = {"Point": "point", "LineString": "line", "Polygon": "area"}
_SEVERAL = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}


def decode_qupath(data: bytes, where: Path) -> tuple[list[Drawn], tuple[str, ...]]:
    """Every annotation of a file, in its order; those inside others follow them.

    Args:
        data: the whole file.
        where: its name, for messages.

    Returns:
        Shapes, and what was left out: detections, cells and tiles are a program's, not a person's.

    Raises:
        DamagedFileError: if it is not GeoJSON, holds numbers that are none, or more than anybody draws.
    """
    if len(data) > MOST_BYTES:
        raise too_large(where, f"at most {MOST_BYTES:,} bytes", f"{len(data):,} bytes")
    shapes: list[Drawn] = []
    left_out = 0
    for number, feature in enumerate(_features(_parsed(data, where), where), start=1):
        properties = feature.get("properties") or {}
        kind = properties.get("objectType", properties.get("object_type", feature.get("id")))  # QuPath 0.2: in the id
        if isinstance(kind, str) and kind.lower().removeprefix("path").removesuffix("object") in _NOT_DRAWN:
            left_out += 1
            continue
        shapes += _shapes(feature.get("geometry"), properties, where, f"feature {number}")
        if len(shapes) > MOST_SHAPES:
            raise too_large(where, f"at most {MOST_SHAPES:,} shapes", "more")
    return shapes, (f"{left_out} detections, cells or tiles left out: they are no marks",) if left_out else ()


def encode_qupath(strokes: Sequence[Stroke], base: LabelMap | None, spec: TaskSpec) -> bytes:
    """A ``FeatureCollection`` that QuPath opens: regions of the base as polygons, then every stroke.

    Args:
        strokes: on a 2-D image.
        base: ``(h, w)`` the raster under them, if there is one.
        spec: names and colours.
    """
    areas = [] if base is None else [region_feature(mask, corner, cls, spec) for cls, mask, corner in regions_of(base)]
    content = {"type": "FeatureCollection", "features": [*areas, *(_feature(stroke, spec) for stroke in strokes)]}
    return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _feature(stroke: Stroke, spec: TaskSpec) -> dict[str, Any]:
    places = (stroke.points[:, ::-1] - _CORNER).tolist()
    is_point = len(places) == 1
    colour = list(ImageColor.getrgb(spec.colours[stroke.cls]))
    metadata = {"width_px": f"{stroke.width_px!r}" if stroke.width_px != 1 else None}
    metadata |= {"author": stroke.author, "time": stroke.time}
    stated = {key: value for key, value in metadata.items() if value is not None}
    return {
        "type": "Feature",
        "geometry": {
            "type": "Point" if is_point else "LineString",
            "coordinates": places[0] if is_point else places,
        },
        "properties": {
            "objectType": "annotation",
            "classification": {"name": spec.classes[stroke.cls], "color": colour},
            **({"metadata": stated} if stated else {}),
        },
    }


def _parsed(data: bytes, where: Path) -> Any:
    def refuse(word: str) -> float:
        msg = f"{word} is no number"
        raise ValueError(msg)

    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise _not_geojson(where, f"{type(error).__name__}: {error}") from error


def _features(content: Any, where: Path) -> Iterator[dict[str, Any]]:
    """Features in the order of the file, children after their parents; without recursion, however deep they lie."""
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    waiting = (
        list(reversed(content)) if isinstance(content, list) else [content]
    )  # a list of features is QuPath's older form
    while waiting:
        feature = waiting.pop()
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise _not_geojson(where, str(feature)[:80])
        properties = feature.get("properties") or {}
        if not isinstance(properties, dict):
            raise _not_geojson(where, f"properties {str(properties)[:80]}")
        children = properties.get("childObjects", properties.get("children")) or []
        if not isinstance(children, list):
            raise _not_geojson(where, f"childObjects {str(children)[:80]}")
        waiting += reversed(children)
        yield feature


def _shapes(geometry: Any, properties: dict[str, Any], where: Path, what: str) -> Iterator[Drawn]:
    """The shapes of one feature; a geometry may hold several, but collections do not lie in one another."""
    parts = geometry.get("geometries") if _type(geometry) == "GeometryCollection" else [geometry]
    for part in parts if isinstance(parts, list) else [parts]:
        kind = _type(part)
        single = _SEVERAL.get(kind, kind)
        if single not in _SINGLE:
            raise _not_geojson(where, f"{what}: geometry {kind or str(part)[:40]}")
        coordinates = part.get("coordinates")
        several = coordinates if kind in _SEVERAL else [coordinates]
        if not isinstance(several, list) or not all(isinstance(one, list) and one for one in several):
            raise _not_geojson(where, f"{what}: coordinates {str(coordinates)[:40]}")
        for one in several:
            rings = {"Point": [[one]], "LineString": [one], "Polygon": [one]}[single]
            rings = one if single == "Polygon" else rings
            yield Drawn(
                _SINGLE[single],
                tuple(vertices(_flat(ring), where, what, shift=_CORNER)[:, ::-1] for ring in rings),
                _class_name(properties.get("classification"), where, what),
                what=f"{what} ({kind})",
                **_extra(properties.get("metadata"), where, what),
            )


def _flat(ring: Any) -> Any:
    """Positions without the third coordinate that GeoJSON allows."""
    return (
        [position[:2] if isinstance(position, list) else position for position in ring]
        if isinstance(ring, list)
        else ring
    )


def _type(geometry: Any) -> str:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    return kind if isinstance(kind, str) else ""


def _class_name(classification: Any, where: Path, what: str) -> str | None:
    if isinstance(classification, dict):
        names = classification.get("names")
        classification = ": ".join(map(str, names)) if isinstance(names, list) and names else classification.get("name")
    if classification is None or classification == "":
        return None
    if not isinstance(classification, str):
        raise _not_geojson(where, f"{what}: classification {str(classification)[:40]}")
    return classification


def _extra(metadata: Any, where: Path, what: str) -> dict[str, Any]:
    """Width, author and time, as ``encode_qupath`` writes them and QuPath hands them back."""
    if not isinstance(metadata, dict):
        return {}
    extra: dict[str, Any] = {key: str(metadata[key]) for key in ("author", "time") if key in metadata}
    if "width_px" in metadata:
        try:
            width = float(metadata["width_px"])
        except (TypeError, ValueError):
            width = math.nan
        if not (math.isfinite(width) and width > 0):
            raise _not_geojson(where, f"{what}: width_px {str(metadata['width_px'])[:40]}")
        extra["width_px"] = width
    return extra


def _not_geojson(where: Path, received: str) -> DamagedFileError:
    return DamagedFileError(
        "the file is no GeoJSON of annotations",
        where=where,
        expected="a FeatureCollection of points, lines and polygons with finite coordinates",
        received=received,
        todo="in QuPath, export with File > Export objects as GeoJSON",
    )
