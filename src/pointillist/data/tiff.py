"""The codec of TIFF files that hold one 2-D image."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from pointillist.data.pixels import bounded, drop_alpha, look_up, several_pages, upright
from pointillist.errors import DamagedFileError
from pointillist.types import AnyArray

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG = (6, 7)  # decoded to RGB; other compressions would leave YCbCr as it is
_ALPHA = ([1], [2])  # extra samples that are alpha, premultiplied or not
_ORIENTATION = 274
_STRETCH = {1: 255, 2: 85, 4: 17}


def read_tiff(data: bytes, path: Path, *, labels: bool) -> tuple[AnyArray, tuple[str, ...]]:
    """The one image of a TIFF file.

    Args:
        data: the whole file.
        path: its name, for messages.
        labels: whether it is a label image: indices and single bits are then kept as stored.

    Returns:
        ``(h, w)`` or ``(h, w, 3)``, and every rule that was applied.

    Raises:
        DamagedFileError: truncated, several pages, too large, or of an unread colour kind. What else is damaged makes
            tifffile raise errors of many kinds.
    """
    # Without is_ome: an OME description could name other files, and is XML from anywhere.
    with logged_errors() as complaints, tifffile.TiffFile(io.BytesIO(data), is_ome=False) as tiff:
        pages = len(tiff.pages)
        if not complaints and (pages != 1 or tiff.series[0].size != tiff.pages[0].size):
            raise several_pages(path, max(pages, tiff.series[0].shape[0] if pages else 0))
        if complaints:
            raise _outside(path, f"the directory of images is damaged: {complaints[0]}")
        page: Any = tiff.pages[0]
        bounded(int(page.nbytes), len(data), path)
        ends = np.add(page.dataoffsets, page.databytecounts)
        if len(ends) == 0 or min(page.databytecounts) == 0 or max(ends) > len(data):
            raise _outside(path, f"a strip that ends at {max(ends, default=0):,} of {len(data):,} bytes")
        array = np.asarray(page.asarray())
        array, notes = _values(array, page, path, labels)
        tag = page.tags.get(_ORIENTATION)
    array, turn_notes = upright(array.astype(array.dtype.newbyteorder("="), copy=False), int(tag.value) if tag else 1)
    return array, (*notes, *turn_notes)


def encode_tiff(array: AnyArray) -> bytes:
    """The bytes of a deflated TIFF file.

    Args:
        array: ``(h, w)`` or ``(h, w, 3)`` of any real dtype.
    """
    buffer = io.BytesIO()
    layout: dict[str, Any] = {"photometric": "minisblack"}
    if array.ndim == 3:
        layout = {"photometric": "rgb", "planarconfig": "contig"}
    tifffile.imwrite(buffer, array, compression="zlib", metadata=None, datetime=None, **layout)
    return buffer.getvalue()


def _values(array: AnyArray, page: Any, path: Path, labels: bool) -> tuple[AnyArray, tuple[str, ...]]:
    """Pixels as the rules of the photometric interpretation make them."""
    if page.axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    photometric, bits = int(page.photometric), int(page.bitspersample)
    grey = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    colour = photometric == _RGB or (photometric == _YCBCR and int(page.compression) in _JPEG)
    extra = [int(kind) for kind in page.extrasamples]
    channels = array.shape[2:]
    one_channel = channels == () and (grey or photometric == _PALETTE)
    has_alpha = (grey and channels == (2,) and extra[-1:] in _ALPHA) or (colour and channels == (4,))
    if array.dtype.kind not in "buif" or not (one_channel or has_alpha or (channels == (3,) and (grey or colour))):
        raise DamagedFileError(
            "the file does not hold one grey or colour image",
            where=path,
            expected="(height, width) or (height, width, 3) of grey, indexed or RGB values",
            received=f"shape {array.shape}, {array.dtype.name}, photometric interpretation {photometric}",
            todo="save one 2-D image a file, as grey or RGB",
        )
    if photometric == _PALETTE:
        return look_up(array, (np.asarray(page.colormap).T >> 8).astype(np.uint8), labels)
    array, notes = drop_alpha(array)
    if bits in _STRETCH:
        array = array.astype(np.uint8) * (1 if labels else _STRETCH[bits])
        notes += (f"few-bits: samples of {bits} bits {'are labels as stored' if labels else 'were stretched to 8'}",)
    if photometric == _WHITE_IS_ZERO:
        notes += ("white-is-zero: the values are as stored, so that 0 is white",)
    return array, notes


@contextmanager
def logged_errors() -> Iterator[list[str]]:
    """Errors that tifffile logs and then reads on: a cut file would lose its later pages without a word."""
    found: list[str] = []

    class Keep(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.levelno >= logging.ERROR:
                found.append(record.getMessage())
            return False

    keep = Keep()
    tifffile.logger().addFilter(keep)
    try:
        yield found
    finally:
        tifffile.logger().removeFilter(keep)


def _outside(path: Path, received: str) -> DamagedFileError:
    return DamagedFileError(
        "the image's data lies outside the file",
        where=path,
        expected="pages and strips within the file",
        received=received,
        todo="copy the file again from its source",
    )
