"""The codec of 2-D images: PNG, BMP, JPEG and TIFF, read to their last byte."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image as Pillow

from pointillist.data.compressed import MAX_DECODED_BYTES
from pointillist.data.image import Grid, Image
from pointillist.errors import DamagedFileError
from pointillist.types import AnyArray

TIFF_ENDINGS = (".tif", ".tiff")
FLAT_ENDINGS = (".png", ".bmp", ".jpg", ".jpeg", *TIFF_ENDINGS)
"""Endings of 2-D images that are read; datasets store only PNG, BMP and .tif."""

_DEEPEST_RATIO = 1100  # deflate cannot do better than 1032:1; whoever claims more is lying
_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I"}


def decode_flat(data: bytes, where: Path) -> Image:
    """Decode one 2-D image.

    Args:
        data: the whole file.
        where: its name, for messages; the ending says whether it is TIFF.

    Returns:
        ``(h, w)`` grey or indexed values, or ``(h, w, 3)`` colour. An alpha channel is dropped and that is noted.

    Raises:
        DamagedFileError: truncated, corrupt, empty, several pages, too large, or of an unread kind.
    """
    try:
        array = _read_tiff(data, where) if where.suffix.lower() in TIFF_ENDINGS else _read_pillow(data, where)
    except DamagedFileError:
        raise
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, struct.error, zlib.error …
        raise DamagedFileError(
            "the image cannot be decoded",
            where=where,
            expected=f"a complete {where.suffix.lower().lstrip('.')} image",
            received=f"{type(error).__name__}: {error}",
            todo="copy the file again from its source",
        ) from error
    array, notes = _drop_alpha(array)
    return Image(array, Grid(shape=tuple(array.shape[:2])), notes, str(where))


def encode_flat(array: AnyArray, ending: str) -> bytes:
    """The bytes of a PNG, BMP or TIFF file.

    Args:
        array: ``(h, w)`` or ``(h, w, 3)``, uint8 or uint16 (TIFF: any real dtype).
        ending: ``.png``, ``.bmp`` or ``.tif``.
    """
    array = np.ascontiguousarray(array)
    if ending == ".png":
        return bytes(imagecodecs.png_encode(array, level=6))
    buffer = io.BytesIO()
    if ending in TIFF_ENDINGS:
        photometric = "rgb" if array.ndim == 3 else "minisblack"
        tifffile.imwrite(buffer, array, compression="zlib", photometric=photometric, metadata=None, datetime=None)
    else:
        Pillow.fromarray(array).save(buffer, format=ending.lstrip(".").upper())
    return buffer.getvalue()


def _read_pillow(data: bytes, path: Path) -> AnyArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # the size is checked just below
        with Pillow.open(io.BytesIO(data)) as probe:
            width, height = probe.size
            mode, kind = probe.mode, probe.format
            _bounded(width * height * len(probe.getbands()), len(data), path)
            if getattr(probe, "n_frames", 1) != 1:
                raise _several_pages(path, getattr(probe, "n_frames", 1))
            probe.verify()  # PNG: every chunk's CRC
        if mode not in _MODES:
            raise DamagedFileError(
                "the image is of a colour kind that is not read",
                where=path,
                expected="grey, indexed, RGB or RGBA",
                received=f"mode {mode}",
                todo="save it as RGB or grey",
            )
        if kind == "PNG" and _png_depth(data) == 16:
            return np.asarray(imagecodecs.png_decode(data))  # Pillow would cut 16-bit colour to 8 bits
        with Pillow.open(io.BytesIO(data)) as image:
            image.load()
            array = np.asarray(image)
    return array.astype(np.uint8) if array.dtype == bool else array


def _png_depth(data: bytes) -> int:
    return data[24]  # signature 8, length 4, "IHDR" 4, width 4, height 4, then the bit depth


def _read_tiff(data: bytes, path: Path) -> AnyArray:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        if len(tiff.pages) != 1:
            raise _several_pages(path, len(tiff.pages))
        page: Any = tiff.pages[0]
        _bounded(int(page.nbytes), len(data), path)
        ends = np.add(page.dataoffsets, page.databytecounts)
        if len(ends) == 0 or min(page.databytecounts) == 0 or max(ends) > len(data):
            raise DamagedFileError(
                "the image's data lies outside the file",
                where=path,
                expected=f"strips within {len(data):,} bytes",
                received=f"a strip that ends at {max(ends, default=0):,}",
                todo="copy the file again from its source",
            )
        array = np.asarray(page.asarray())
        if page.axes == "SYX":
            array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        raise DamagedFileError(
            "the file does not hold one grey or colour image",
            where=path,
            expected="(height, width) or (height, width, 3)",
            received=f"shape {array.shape}",
            todo="save one 2-D image a file",
        )
    return array


def _bounded(decoded: int, encoded: int, path: Path) -> None:
    if decoded > MAX_DECODED_BYTES or decoded > _DEEPEST_RATIO * encoded:
        raise DamagedFileError(
            "the image claims more pixels than it can hold",
            where=path,
            expected=f"at most {min(MAX_DECODED_BYTES, _DEEPEST_RATIO * encoded):,} bytes decoded",
            received=f"{decoded:,} bytes from {encoded:,}",
            todo="get the file again from its source",
        )


def _several_pages(path: Path, pages: int) -> DamagedFileError:
    return DamagedFileError(
        "the file holds several images",
        where=path,
        expected="one 2-D image",
        received=f"{pages} pages",
        todo="save each page as a file of its own",
    )


def _drop_alpha(array: AnyArray) -> tuple[AnyArray, tuple[str, ...]]:
    if array.ndim == 2 or array.shape[-1] == 3:
        return array, ()
    alpha = array[..., -1]
    opaque = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1
    hidden = int((alpha != opaque).sum())
    note = f"alpha: channel dropped ({hidden} of {alpha.size} pixels were not opaque)"
    colour = array[..., :-1]
    return np.ascontiguousarray(colour[..., 0] if colour.shape[-1] == 1 else colour), (note,)
