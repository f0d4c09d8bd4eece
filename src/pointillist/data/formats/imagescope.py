"""Aperio ImageScope's annotations: ``<Annotations>`` with regions of vertices in pixels of the full image."""

from __future__ import annotations

from pathlib import Path

from pointillist.data.formats.markup import Polygon, parse, vertices
from pointillist.errors import DamagedFileError

_OUTLINES = ("0", "1")  # drawn freehand or as a rectangle; the others are ellipses, arrows and rulers


def read_imagescope(data: bytes, where: Path) -> list[Polygon]:
    """Every region of every layer, in the order of the file.

    Args:
        data: the whole file.
        where: its name, for messages.

    Returns:
        Outlines, filed under the name of their layer; a region that ImageScope calls negative is a hole. An outline
        may have fewer than three vertices: what to do about it is the reader's business.

    Raises:
        DamagedFileError: if the file is damaged or another program's, or a region is no outline.
    """
    polygons: list[Polygon] = []
    for layer in parse(data, where, "Annotations").iter("Annotation"):
        for region in layer.iter("Region"):
            what = f"region {region.get('Id', len(polygons) + 1)}"
            if region.get("Type", "0") not in _OUTLINES:
                raise DamagedFileError(
                    "a region is no outline",
                    where=f"{where}, {what}",
                    expected='freehand or rectangle, Type="0" or "1"',
                    received=f'Type="{region.get("Type")}"',
                    todo="draw it with ImageScope's pen, or remove it",
                )
            points = vertices(region.iter("Vertex"), where, what)
            polygons.append(Polygon(points, layer.get("Name", ""), region.get("NegativeROA") == "1"))
    return polygons
