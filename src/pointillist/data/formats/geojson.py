"""GeoJSON as QuPath opens it: one annotation an object, in pixels of the full image."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ImageColor
from scipy.ndimage import find_objects
from skimage.measure import find_contours

from pointillist.geometry.polygon import signed_area
from pointillist.spec import TaskSpec
from pointillist.types import Floats, InstanceMap, Mask


def encode_geojson(numbers: InstanceMap, classes: Sequence[int], spec: TaskSpec) -> bytes:
    """A ``FeatureCollection`` with a polygon an object.

    Coordinates are x (column) and y (row) from the upper left corner of the image, the centre of the first pixel
    being (0.5, 0.5). Outlines run half-way between the pixels inside and those outside, so the centres of an object's
    pixels, and no others, lie in its polygon. Properties are QuPath's: ``objectType``, and ``classification`` with
    name and colour. The ``id`` is made from the content, the same for the same polygon.

    Args:
        numbers: ``(h, w)`` 1 … n, each one 8-connected component, 0 elsewhere.
        classes: of object 1, 2, …
        spec: names and colours.
    """
    features = [
        region_feature(numbers[window] == number, (window[0].start, window[1].start), cls, spec)
        for number, (window, cls) in enumerate(zip(find_objects(numbers), classes, strict=True), start=1)
    ]
    content = {"type": "FeatureCollection", "features": features}
    return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()


def region_feature(mask: Mask, corner: tuple[int, int], cls: int, spec: TaskSpec) -> dict[str, Any]:
    """One 8-connected region as a polygon with holes; ``corner`` is the row and column of the mask's first pixel."""
    geometry = {"type": "Polygon", "coordinates": [_coordinates(ring, corner) for ring in region_rings(mask)]}
    colour = list(ImageColor.getrgb(spec.colours[cls]))
    properties = {"objectType": "annotation", "classification": {"name": spec.classes[cls], "color": colour}}
    digest = hashlib.sha256(json.dumps([geometry, properties], sort_keys=True).encode()).digest()
    return {
        "type": "Feature",
        "id": str(uuid.UUID(bytes=digest[:16], version=5)),
        "geometry": geometry,
        "properties": properties,
    }


def region_rings(mask: Mask) -> list[Floats]:
    """The outline, counter-clockwise as GeoJSON has it, and then the holes, clockwise; vertices at turns only."""
    contours = find_contours(np.pad(mask, 1).astype(np.float64), 0.5, fully_connected="high")  # type: ignore[no-untyped-call]
    rings = [_corners(contour[:-1] - 1) for contour in contours]  # the last vertex is the first
    areas = [signed_area(ring) for ring in rings]
    order = sorted(range(len(rings)), key=lambda place: -abs(areas[place]))
    wanted = {place: 1 if rank == 0 else -1 for rank, place in enumerate(order)}
    return [rings[place] if areas[place] * wanted[place] > 0 else rings[place][::-1] for place in order]


def _corners(ring: Floats) -> Floats:
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns: Floats = ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return turns


def _coordinates(ring: Floats, corner: tuple[int, int]) -> list[list[float]]:
    closed = np.vstack([ring, ring[:1]]) + corner + 0.5
    pairs: list[list[float]] = closed[:, ::-1].tolist()
    return pairs
