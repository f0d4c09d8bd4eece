"""In the worker: a large TIFF read strip by strip or tile by tile, as the reader of whole images would read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from pointillist.data.compressed import MAX_DECODED_BYTES
from pointillist.data.pixels import bounded
from pointillist.data.tiff import logged_errors
from pointillist.errors import DamagedFileError
from pointillist.types import AnyArray

_SMALL_BYTES = 1 << 26
_BLACK_IS_ZERO, _RGB, _CONTIGUOUS, _UPRIGHT = 1, 2, 1, 1
_ORIENTATION = 274


@contextmanager
def bands(path: Path) -> Iterator[tuple[tuple[int, int, int], np.dtype[np.generic], Iterator[AnyArray]] | None]:
    """Shape ``(h, w, c)``, type and bands of rows ``(n, w, c)`` of a large plain TIFF.

    Yields:
        None for what is small, or of a kind that has rules of its own: the reader of whole images is for that.

    Raises:
        DamagedFileError: if the file is damaged.
    """
    if path.suffix.lower() not in (".tif", ".tiff") or path.stat().st_size > MAX_DECODED_BYTES:
        yield None
        return
    try:
        with logged_errors() as complaints, tifffile.TiffFile(path, is_ome=False) as tiff:
            page: Any = tiff.pages[0]
            if complaints or len(tiff.pages) != 1 or page.nbytes < _SMALL_BYTES or not _is_plain(page):
                yield None
                return
            bounded(int(page.nbytes), path.stat().st_size, path)
            height, width = page.shape[:2]
            shape = (height, width, page.samplesperpixel)
            yield shape, page.dtype.newbyteorder("="), _rows(page, shape)
            if complaints:
                raise ValueError(complaints[0])
    except (DamagedFileError, OSError):
        raise
    except Exception as error:  # tifffile and its decoders fail in many ways
        raise DamagedFileError(
            "the image cannot be decoded",
            where=path,
            expected="a complete TIFF image",
            received=f"{type(error).__name__}: {error}",
            todo="copy the file again from its source",
        ) from error


def _is_plain(page: Any) -> bool:
    """Whether the values are the pixels, as they are."""
    turned = page.tags.get(_ORIENTATION)
    kind = (int(page.photometric), page.samplesperpixel)
    return bool(
        kind in ((_BLACK_IS_ZERO, 1), (_RGB, 3))
        and int(page.planarconfig) == _CONTIGUOUS
        and page.dtype is not None
        and page.dtype.kind in "uif"
        and page.bitspersample == page.dtype.itemsize * 8
        and page.imagedepth == 1
        and (turned is None or int(turned.value) == _UPRIGHT)
    )


def _rows(page: Any, shape: tuple[int, int, int]) -> Iterator[AnyArray]:
    """Bands of whole rows; the segments of a tiled file come row by row of tiles."""
    height, width, channels = shape
    band: AnyArray | None = None
    top = 0
    for data, place, size in page.segments(maxworkers=1):
        row, column = place[2], place[3]
        if data is None:
            msg = f"nothing at row {row}, column {column}"
            raise ValueError(msg)
        if band is not None and row != top:
            yield band
            band = None
        if band is None:
            top = row
            band = np.zeros((min(size[1], height - row), width, channels), page.dtype.newbyteorder("="))
        part = data[0, : len(band), : width - column]
        band[: part.shape[0], column : column + part.shape[1]] = part
    if band is not None:
        yield band
