"""Small sources in the layouts of GlaS, MoNuSeg and CAMELYON16."""

from __future__ import annotations

import io

import numpy as np
import tifffile
from PIL import Image as Pillow

BOX = ((2, 3), (2, 9), (8, 9), (8, 3))
"""Corners of an outline, row and column counted from the corner of the image: it holds rows 2–7, columns 3–8."""


def tissue(seed: int, shape=(24, 30)) -> np.ndarray:
    return np.random.default_rng(seed).integers(90, 240, (*shape, 3), dtype=np.uint8)


def bmp(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(array).save(buffer, "BMP")
    return buffer.getvalue()


def glands(count: int, shape=(24, 30)) -> np.ndarray:
    numbers = np.zeros(shape, np.uint8)
    for number in range(1, count + 1):
        numbers[4 * number : 4 * number + 3, 5:20] = number
    return numbers


def imagescope(*outlines, hole=()) -> bytes:
    def region(number, outline, negative):
        corners = "".join(f'<Vertex X="{column}" Y="{row}"/>' for row, column in outline)
        return (
            f'<Region Id="{number}" Type="0" NegativeROA="{negative}"><Attributes/><Vertices>{corners}</Vertices>'
            "</Region>"
        )

    regions = "".join(region(number, one, 0) for number, one in enumerate(outlines, 1))
    regions += "".join(region(99, one, 1) for one in hole)
    layer = f'<Annotation Id="1" Type="4"><Regions><RegionAttributeHeaders/>{regions}</Regions></Annotation>'
    return f'<Annotations MicronsPerPixel="0.2527">{layer}</Annotations>'.encode()


def asap(*outlines) -> bytes:
    """Outlines as pairs of a group and its corners."""

    def annotation(group, outline):
        corners = "".join(
            f'<Coordinate Order="{place}" X="{column}" Y="{row}"/>' for place, (row, column) in enumerate(outline)
        )
        return f'<Annotation Type="Polygon" PartOfGroup="{group}"><Coordinates>{corners}</Coordinates></Annotation>'

    drawn = "".join(annotation(group, outline) for group, outline in outlines)
    return f"<ASAP_Annotations><Annotations>{drawn}</Annotations><AnnotationGroups/></ASAP_Annotations>".encode()


def moved(outline, rows, columns, times=1):
    return [((row + rows) * times, (column + columns) * times) for row, column in outline]


def pyramid(path, base: np.ndarray, *, levels=4, tile=(64, 64), thumbnail=True) -> None:
    """A slide: tiled levels of half the size each, and a thumbnail that is not tiled."""
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(levels):
            shrunk = np.ascontiguousarray(base[:: 2**level, :: 2**level])
            file.write(shrunk, tile=tile, photometric="rgb", compression="zlib", metadata=None)
            if level == 0 and thumbnail:
                file.write(np.zeros((20, 20, 3), np.uint8), photometric="rgb", metadata=None)
