"""What the codecs of 2-D images share: bounds on what a file may claim, and rules for alpha, palettes and turning."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pointillist.data.compressed import MAX_DECODED_BYTES
from pointillist.errors import DamagedFileError
from pointillist.types import AnyArray

_HARMLESS_BYTES = 1 << 28  # 256 MiB: an empty mask compresses far better than any ratio would allow
_DEEPEST_RATIO = 1100  # beyond that: deflate cannot do better than 1032:1


def bounded(decoded: int, encoded: int, path: Path) -> None:
    """Refuse a file that claims more pixels than it can hold.

    Args:
        decoded: bytes that it would decode to.
        encoded: bytes of the file.
        path: the file, for the message.

    Raises:
        DamagedFileError: if it is a bomb or too large.
    """
    most = min(MAX_DECODED_BYTES, max(_HARMLESS_BYTES, _DEEPEST_RATIO * encoded))
    if decoded > most:
        raise DamagedFileError(
            "the image claims more pixels than it can hold",
            where=path,
            expected=f"at most {most:,} bytes decoded",
            received=f"{decoded:,} bytes from {encoded:,}",
            todo="get the file again from its source",
        )


def several_pages(path: Path, pages: int) -> DamagedFileError:
    """The error for a file that does not hold exactly one image."""
    return DamagedFileError(
        "the file holds several images" if pages else "the file holds no image",
        where=path,
        expected="one 2-D image",
        received=f"{pages} pages",
        todo="save each page as a file of its own" if pages else "copy the file again from its source",
    )


def drop_alpha(array: AnyArray) -> tuple[AnyArray, tuple[str, ...]]:
    """Colour or grey values alone.

    Args:
        array: ``(h, w)``, or ``(h, w, c)`` with 2 or 4 channels where the last is alpha, or with 3.
    """
    if array.ndim == 2 or array.shape[-1] == 3:
        return array, ()
    alpha = array[..., -1]
    opaque = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1
    hidden = int((alpha != opaque).sum())
    note = f"alpha: channel dropped ({hidden} of {alpha.size} pixels were not opaque)"
    colour = array[..., :-1]
    return np.ascontiguousarray(colour[..., 0] if colour.shape[-1] == 1 else colour), (note,)


def look_up(indices: AnyArray, palette: AnyArray, labels: bool) -> tuple[AnyArray, tuple[str, ...]]:
    """Colours of an indexed image, grey where its whole palette is; the indices of a label image.

    Args:
        indices: ``(h, w)`` whole numbers.
        palette: ``(n, 3)`` colours.
        labels: keep the indices.

    Raises:
        IndexError: if an index is beyond the palette, and colours are wanted.
    """
    if labels:
        return indices, ("palette: indices kept as label values",)
    if (palette == palette[:, :1]).all():
        palette = palette[:, 0]
    return palette[indices], ("palette: colours looked up",)


def upright(array: AnyArray, orientation: int) -> tuple[AnyArray, tuple[str, ...]]:
    """Turn and mirror an image as its orientation tag (EXIF and TIFF 274) says.

    Args:
        array: ``(h, w)`` or ``(h, w, c)``, as stored.
        orientation: 1 … 8; any other value counts as 1, as in every viewer.
    """
    turned = {
        2: lambda: array[:, ::-1],
        3: lambda: array[::-1, ::-1],
        4: lambda: array[::-1],
        5: lambda: array.swapaxes(0, 1),
        6: lambda: array[::-1].swapaxes(0, 1),
        7: lambda: array[::-1, ::-1].swapaxes(0, 1),
        8: lambda: array[:, ::-1].swapaxes(0, 1),
    }
    if orientation not in turned:
        return array, ()
    return np.ascontiguousarray(turned[orientation]()), (f"orientation: set upright, the file says {orientation} of 8",)
