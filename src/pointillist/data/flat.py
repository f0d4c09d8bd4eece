"""The codec of 2-D images: PNG, BMP, JPEG and TIFF, read to their last byte."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as Pillow

from pointillist.data.image import Grid, Image
from pointillist.data.pixels import bounded, drop_alpha, look_up, several_pages, upright
from pointillist.data.tiff import encode_tiff, read_tiff
from pointillist.errors import DamagedFileError, InputError
from pointillist.types import AnyArray

TIFF_ENDINGS = (".tif", ".tiff")
FLAT_ENDINGS = (".png", ".bmp", ".jpg", ".jpeg", *TIFF_ENDINGS)
"""Endings of 2-D images that are read; datasets store only PNG, BMP and .tif."""

_KINDS = {".png": "PNG", ".bmp": "BMP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
_WRITTEN = {".png": ("u1", "u2"), ".bmp": ("u1",)}  # TIFF holds any real number
_GREY, _INDEXED = 0, 3  # PNG's colour types


def decode_flat(data: bytes, where: Path, *, labels: bool = False) -> Image:
    """Decode one 2-D image.

    Rules, each reported in the image's notes when it was applied:

    * orientation: a picture whose file says that it lies on its side (EXIF and TIFF tag 274) is set upright;
    * palette: the colours of an indexed image are looked up; a label image keeps the indices;
    * few-bits: samples of less than 8 bits are stretched to 0 … 255; a label image keeps them as stored;
    * alpha: the channel is dropped;
    * white-is-zero: a TIFF with inverted grey levels keeps its values;
    * misnamed, preview, lossy: a file of another kind than its name says, a camera's second small picture that is left
      aside, and a label image in a kind that blurs labels.

    Args:
        data: the whole file.
        where: its name, for messages; the ending says whether it is TIFF.
        labels: whether it is a label image.

    Returns:
        ``(h, w)`` grey values or labels, or ``(h, w, 3)`` colour.

    Raises:
        DamagedFileError: truncated, corrupt, empty, several pages, too large, or of an unread kind.
    """
    try:
        read = read_tiff if where.suffix.lower() in TIFF_ENDINGS else _read_pillow
        array, notes = read(data, where, labels=labels)
    except DamagedFileError:
        raise
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, struct.error, zlib.error …
        raise DamagedFileError(
            "the image cannot be decoded",
            where=where,
            expected=f"a complete {where.suffix.lower().lstrip('.')} image",
            received=f"{len(data):,} bytes that start with {data[:8]!r}"
            if isinstance(error, UnidentifiedImageError)
            else f"{type(error).__name__}: {error}",
            todo="copy the file again from its source",
        ) from error
    return Image(array, Grid(shape=tuple(array.shape[:2])), notes, str(where))


def encode_flat(array: AnyArray, ending: str) -> bytes:
    """The bytes of a PNG, BMP or TIFF file.

    Args:
        array: ``(h, w)`` or ``(h, w, 3)``, uint8 or, but for BMP, uint16 (TIFF: any real dtype).
        ending: ``.png``, ``.bmp`` or ``.tif``.

    Raises:
        InputError: if the kind of file cannot hold values of this type.
    """
    array = np.ascontiguousarray(array)
    if array.dtype.kind not in "uif" or array.dtype.str[1:] not in _WRITTEN.get(ending, (array.dtype.str[1:],)):
        raise InputError(
            f"values of this type cannot be written as {ending}",
            where=f"{ending} file with an array of shape {array.shape}",
            expected=" or ".join(np.dtype(kind).name for kind in _WRITTEN.get(ending, ())) or "real numbers",
            received=array.dtype,
            todo="use .tif, or fewer distinct values",
        )
    if ending == ".png":
        return bytes(imagecodecs.png_encode(array, level=6))
    if ending in TIFF_ENDINGS:
        return encode_tiff(array)
    buffer = io.BytesIO()
    Pillow.fromarray(array).save(buffer, format=ending.lstrip(".").upper())
    return buffer.getvalue()


def _read_pillow(data: bytes, path: Path, *, labels: bool) -> tuple[AnyArray, tuple[str, ...]]:
    with warnings.catch_warnings(record=True) as said:  # about EXIF that cannot be read; the size is checked just below
        warnings.simplefilter("always")
        with Pillow.open(io.BytesIO(data), formats=("PNG", "BMP", "JPEG")) as image:
            _check_kind(image, data, path)
            orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
            kind = image.format or ""
            array, notes = _png(data, labels) if kind == "PNG" else _pixels(image, labels)
    array, turn_notes = upright(array, orientation)
    notes += turn_notes
    if any("EXIF" in str(warning.message) for warning in said):
        notes += ("exif: cannot be read, the picture was taken to be upright",)
    if kind == "MPO":
        notes += ("preview: the file holds further pictures after the first, which were left aside",)
    stated = _KINDS[path.suffix.lower()]
    if kind.replace("MPO", "JPEG") != stated:
        notes += (f"misnamed: the name says {stated}, the file is {kind}",)
    if labels and kind in ("JPEG", "MPO"):
        notes += ("lossy: JPEG blurs labels; save label images as PNG",)
    return array, notes


def _check_kind(image: Pillow.Image, data: bytes, path: Path) -> None:
    bounded(image.width * image.height * len(image.getbands()), len(data), path)
    pages = getattr(image, "n_frames", 1)
    if pages != 1 and image.format != "MPO":
        raise several_pages(path, pages)
    if image.mode not in _MODES:
        raise DamagedFileError(
            "the image is of a colour kind that is not read",
            where=path,
            expected="grey, indexed, RGB or RGBA",
            received=f"mode {image.mode}",
            todo="save it as RGB or grey",
        )


def _png(data: bytes, labels: bool) -> tuple[AnyArray, tuple[str, ...]]:
    """A PNG image, decoded by libpng, which refuses missing rows and keeps 16 bits, and checked by Pillow."""
    with Pillow.open(io.BytesIO(data), formats=("PNG",)) as probe:
        probe.verify()  # every chunk's CRC
    depth, colour_type = data[24], data[25]  # signature 8, length 4, "IHDR" 4, width 4, height 4, then these two
    full: AnyArray = np.asarray(imagecodecs.png_decode(data))
    if colour_type != _INDEXED and (colour_type != _GREY or depth >= 8):
        return drop_alpha(full)
    with Pillow.open(io.BytesIO(data), formats=("PNG",)) as image:
        if colour_type == _INDEXED:
            return _pixels(image, labels)
        if not labels:
            array, notes = drop_alpha(full)
            return array, (*notes, f"few-bits: samples of {depth} bits were stretched to 8")
        image.load()
        stored = np.asarray(image).astype(np.uint8) // {1: 1, 2: 85, 4: 17}[depth]  # Pillow stretches 2 and 4 bits
    return stored, (f"few-bits: samples of {depth} bits are labels as stored",)


def _pixels(image: Pillow.Image, labels: bool) -> tuple[AnyArray, tuple[str, ...]]:
    """Pixels as Pillow decodes them; indices and single bits as the reader of images or of labels wants them."""
    image.load()
    array: AnyArray = np.asarray(image)
    if image.mode == "1":
        note = "few-bits: samples of 1 bit "
        bits = array.astype(np.uint8)
        return (bits, (f"{note}are labels as stored",)) if labels else (bits * 255, (f"{note}were stretched to 8",))
    if image.mode != "P":
        return drop_alpha(array)
    array, notes = look_up(array, np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3), labels)
    if "transparency" in image.info:
        notes += ("alpha: transparency of palette entries left aside",)
    return array, notes
