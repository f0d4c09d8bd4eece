"""Whole slides in pyramidal TIFF files: one level is read, the others are never decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from pointillist.data.image import Grid, Image
from pointillist.data.tiff import logged_errors
from pointillist.errors import DamagedFileError, InputError

_MOST_BYTES = 1 << 28  # of a decoded level: 256 MiB are 9459 × 9459 pixels in colour
_SAME_FORM = 0.05  # levels are padded to whole tiles: their sides differ from the slide's in form by as much
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a slide.

    Attributes:
        image: its pixels.
        downsample: pixels of the largest level along a pixel of this one.
        sha256: of the whole file.
    """

    image: Image
    downsample: float
    sha256: str


def is_pyramid(path: Path) -> bool:
    """Whether a file is a TIFF with several tiled pages; one that cannot be opened is none."""
    try:
        with logged_errors(), tifffile.TiffFile(path, is_ome=False) as tiff:
            return sum(bool(page.is_tiled) for page in _pages(tiff)) > 1
    except Exception:  # whatever is wrong with the file: the reader of plain images says so
        return False


def read_level(path: Path, downsample: float) -> Level:
    """Read the level of a slide that is this many times smaller than the largest one.

    Tiled pages in colour with the form of the first are levels; labels and thumbnails are passed over. Memory: the
    level, at most 256 MiB, and a few tiles. Tiles that the file leaves out are black, and that is noted.

    Args:
        path: the file, on disk.
        downsample: 1, 2, 4, …; a level within a twentieth of it counts.

    Raises:
        InputError: if there is no such level, or it is larger than may be decoded.
        DamagedFileError: if the file is damaged.
    """
    try:
        with logged_errors() as complaints, tifffile.TiffFile(path, is_ome=False) as tiff:
            levels = _levels(tiff)
            page, factor = _chosen(levels, downsample, path)
            array = np.asarray(page.asarray())
            empty = sum(count == 0 for count in page.databytecounts)
    except InputError:
        raise
    except Exception as error:  # tifffile and its decoders fail in many ways
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if complaints:
        raise _damaged(path, complaints[0])
    notes = (f"empty-tiles: {empty} tiles hold nothing and are black",) if empty else ()
    return Level(Image(array[..., :3], Grid(array.shape[:2]), notes, str(path)), factor, _sha256(path))


def _pages(tiff: tifffile.TiffFile) -> list[Any]:
    return [tiff.pages[number] for number in range(len(tiff.pages))]


def _levels(tiff: tifffile.TiffFile) -> list[tuple[Any, float]]:
    """Pages that are levels, with how much smaller they are than the first."""
    pages = [page for page in _pages(tiff) if page.is_tiled and page.dtype == np.uint8 and page.samplesperpixel >= 3]
    if not pages:
        return []
    height, width = pages[0].shape[:2]
    levels = []
    for page in pages:
        down, across = height / page.shape[0], width / page.shape[1]
        if abs(down / across - 1) <= _SAME_FORM:
            factor = (down * across) ** 0.5
            whole = round(factor)
            levels.append((page, float(whole) if abs(factor / whole - 1) <= _SAME_FORM else factor))
    return levels


def _chosen(levels: list[tuple[Any, float]], downsample: float, path: Path) -> tuple[Any, float]:
    said = ", ".join(f"{factor:g} ({page.shape[0]} × {page.shape[1]})" for page, factor in levels) or "no level at all"
    near = [(page, factor) for page, factor in levels if abs(factor / downsample - 1) <= _SAME_FORM]
    if not near:
        raise InputError(
            "the slide has no such level",
            where=path,
            expected=said,
            received=f"--downsample {downsample:g}",
            todo="choose one of the levels, or export crops",
        )
    page, factor = near[0]
    if page.nbytes > _MOST_BYTES:
        raise InputError(
            "a level is too large to be one image",
            where=path,
            expected=f"at most {_MOST_BYTES:,} bytes decoded; there are {said}",
            received=f"{page.nbytes:,} bytes at --downsample {downsample:g}",
            todo="choose a larger --downsample, or export crops",
        )
    return page, factor


def _damaged(path: Path, received: str) -> DamagedFileError:
    return DamagedFileError(
        "the slide cannot be decoded",
        where=path,
        expected="a complete pyramidal TIFF file",
        received=received,
        todo="copy the file again from its source",
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
