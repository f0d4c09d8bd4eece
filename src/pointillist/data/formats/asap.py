"""ASAP's annotations: ``<ASAP_Annotations>`` with outlines in pixels of the slide's largest level."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from pointillist.data.formats.markup import Polygon, parse, vertices
from pointillist.errors import DamagedFileError

_OUTLINES = ("Polygon", "Spline", "Rectangle")  # a spline's vertices are on it, and close together


def read_asap(data: bytes, where: Path) -> list[Polygon]:
    """Every outline, in the order of the file; points and rulers are passed over.

    Args:
        data: the whole file.
        where: its name, for messages.

    Returns:
        Outlines, filed under their group.

    Raises:
        DamagedFileError: if the file is damaged or another program's.
    """
    polygons: list[Polygon] = []
    for annotation in parse(data, where, "ASAP_Annotations").iter("Annotation"):
        if annotation.get("Type") in _OUTLINES:
            what = f"annotation {annotation.get('Name', len(polygons) + 1)!r}"
            corners = sorted(annotation.iter("Coordinate"), key=lambda one: _order(one, where, what))
            polygons.append(Polygon(vertices(corners, where, what), annotation.get("PartOfGroup", "")))
    return polygons


def _order(corner: Element, where: Path, what: str) -> float:
    try:
        return float(corner.get("Order", ""))
    except ValueError as error:
        raise DamagedFileError(
            "a vertex has no place in the order",
            where=f"{where}, {what}",
            expected='Order="0", "1", …',
            received=corner.get("Order"),
            todo="copy the file again from its source, or draw the outline anew",
        ) from error
