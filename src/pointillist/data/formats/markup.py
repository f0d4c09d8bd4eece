"""XML from anywhere, and the polygons that annotation programs write in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pointillist.errors import DamagedFileError
from pointillist.types import Floats


@dataclass(frozen=True, eq=False)
class Polygon:
    """One outline as it was drawn.

    Attributes:
        points: ``(n, 2)`` row, column of the vertices; pixel centres are whole numbers.
        group: what the program filed it under.
        hole: whether it cuts out instead of marking.
    """

    points: Floats
    group: str = ""
    hole: bool = False


def parse(data: bytes, where: Path, root: str) -> Element:
    """Parse a whole XML file.

    Args:
        data: its bytes.
        where: its name, for messages.
        root: the name that the outermost element must have.

    Raises:
        DamagedFileError: if it is no XML, is another program's, or declares a document type or entities, which
            annotation programs do not and bombs do.
    """
    try:
        element: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        refused = isinstance(error, DefusedXmlException)
        raise DamagedFileError(
            "the annotation declares entities or a document type" if refused else "the annotation is no whole XML file",
            where=where,
            expected="plain elements" if refused else f"a complete <{root}> … </{root}>",
            received=" ".join(str(error).split()) or type(error).__name__,
            todo="get the file from its original source" if refused else "copy the file again from its source",
        ) from error
    if element.tag != root:
        raise DamagedFileError(
            "the annotation is of another program",
            where=where,
            expected=f"<{root}>",
            received=f"<{element.tag}>",
            todo="check that this is the right file",
        )
    return element


def vertices(elements: Iterable[Element], where: Path, what: str) -> Floats:
    """Row and column of elements with attributes ``X`` and ``Y``, which count from the corner of the image.

    Args:
        elements: in order.
        where: the file, for messages.
        what: the outline they belong to, for messages.

    Returns:
        ``(n, 2)``; pixel centres, which lie half a pixel from the corner, are whole numbers.

    Raises:
        DamagedFileError: if a coordinate is missing or no finite number.
    """
    pairs: list[tuple[Any, Any]] = [(element.get("Y"), element.get("X")) for element in elements]
    try:
        points = np.array(pairs, dtype=np.float64).reshape(-1, 2)  # None becomes NaN
    except ValueError:
        points = np.full((1, 2), np.nan)
    if not np.isfinite(points).all():
        strange = next((pair for pair in pairs if not _is_place(pair)), pairs[:1])
        raise DamagedFileError(
            "a vertex has no place",
            where=f"{where}, {what}",
            expected='finite numbers, X="…" and Y="…"',
            received=f"Y, X = {strange}",
            todo="copy the file again from its source, or draw the outline anew",
        )
    return points - 0.5


def _is_place(pair: tuple[Any, Any]) -> bool:
    try:
        return bool(np.isfinite([float(value) for value in pair]).all())
    except (TypeError, ValueError):
        return False
