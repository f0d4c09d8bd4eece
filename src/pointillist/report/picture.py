"""Small pictures of cases: one slice with its marks."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow
from PIL import ImageColor
from scipy.ndimage import binary_dilation, convolve, uniform_filter

from pointillist.data.image import Image
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, AnyArray, LabelMap

_LONGEST_SIDE = 256
_CLICK_RADIUS = 3
_AROUND, _MIDDLE = 15, 128  # pixels whose mean brightness says whether a rim is black or white


def busiest_slice(labels: LabelMap | None, image: Image) -> int:
    """The slice with the most foreground marks, else the most marks, else the middle one.

    Args:
        labels: ``(*s)`` of a volume, or None.
        image: the volume.
    """
    axis = image.grid.slice_axis
    middle = image.grid.shape[axis] // 2
    if labels is None:
        return middle
    others = tuple(a for a in range(3) if a != axis)
    marked = (labels != IGNORE).sum(axis=others)
    foreground = ((labels != IGNORE) & (labels != 0)).sum(axis=others)
    for counts in (foreground, marked):
        if counts.any():
            return int(counts.argmax())
    return middle


def outlines(labels: LabelMap, image: Image) -> LabelMap:
    """The borders of the classes' regions within each slice, IGNORE elsewhere; the background has none.

    Args:
        labels: ``(*s)`` dense.
        image: what they are of.
    """
    axis = image.grid.slice_axis if labels.ndim == 3 else None
    border = np.zeros(labels.shape, dtype=bool)
    for a in range(labels.ndim):
        if a != axis:
            differs = np.diff(labels, axis=a) != 0
            border |= np.pad(differs, [(0, int(b == a)) for b in range(labels.ndim)])
            border |= np.pad(differs, [(int(b == a), 0) for b in range(labels.ndim)])
    return np.where(border & (labels > 0), labels, np.uint8(IGNORE))


def marked_picture(
    image: Image, labels: LabelMap | None, spec: TaskSpec, *, slice_number: int | None = None
) -> tuple[bytes, int | None]:
    """A JPEG of an image, or of one slice of a volume, with its marks in the classes' colours, rimmed.

    Volumes are shown as radiologists look at them: the patient's right on the left, anterior (or superior) up, pixels
    as wide and high as they are in millimetres. No mark is lost when the picture is smaller than the image.

    Args:
        image: 2-D or volume.
        labels: ``(*s)`` marks, IGNORE elsewhere; None for none.
        spec: class colours.
        slice_number: of a volume; None takes the busiest slice.

    Returns:
        The JPEG file's bytes, and the number of the slice (None for 2-D).
    """
    pixels, marks, aspect, number = _plane(image, labels, slice_number)
    grey = _window(pixels)
    height, width = grey.shape[:2]
    scale = _LONGEST_SIDE / max(height * aspect, width)
    size = max(round(width * scale), 1), max(round(height * aspect * scale), 1)
    canvas = np.array(Pillow.fromarray(grey).convert("RGB").resize(size, Pillow.Resampling.BILINEAR))
    if marks is not None:
        _draw(canvas, marks, spec)
    buffer = io.BytesIO()
    Pillow.fromarray(canvas).save(buffer, format="JPEG", quality=85, subsampling=0)  # thin marks keep their colour
    return buffer.getvalue(), number


def _plane(
    image: Image, labels: LabelMap | None, number: int | None
) -> tuple[AnyArray, LabelMap | None, float, int | None]:
    """Rows and columns as shown, the height of a pixel in its widths, and the slice number."""
    if len(image.grid.shape) == 2 or image.grid.spacing_mm is None:
        return image.array, labels, 1.0, None
    axis = image.grid.slice_axis
    number = busiest_slice(labels, image) if number is None else number
    across, up = (spacing for a, spacing in enumerate(image.grid.spacing_mm) if a != axis)
    marks = None if labels is None else _as_seen(labels, axis, number)
    return _as_seen(image.array, axis, number), marks, up / across, number


def _as_seen(array: AnyArray, axis: int, number: int) -> AnyArray:
    plane: AnyArray = np.take(array, number, axis=axis)
    return plane[::-1, ::-1].swapaxes(0, 1)


def _window(pixels: AnyArray) -> AnyArray:
    """Grey or colour values as 0 … 255, the darkest and brightest hundredth clipped."""
    if pixels.ndim == 3 and pixels.shape[-1] != 3:
        pixels = pixels[..., 0]
    if pixels.dtype == np.uint8 and pixels.ndim == 3:
        return np.ascontiguousarray(pixels)
    low, high = np.percentile(pixels, (1, 99))
    scaled = (pixels.astype(np.float64) - low) / max(high - low, 1e-12)
    window: AnyArray = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return window


def _draw(canvas: AnyArray, marks: LabelMap, spec: TaskSpec) -> None:
    """Colour, in place, what is marked, with a line around it that tells it from an image of any colour."""
    drawn = _enlarged(marks, canvas.shape[:2])
    covered = drawn != IGNORE
    rim = binary_dilation(covered, np.ones((3, 3), bool)) & ~covered
    bright = uniform_filter(canvas.mean(axis=2), _AROUND) > _MIDDLE
    canvas[rim] = np.where(bright[rim], 0, 255)[:, None]
    palette = np.array([ImageColor.getrgb(colour) for colour in spec.colours], dtype=np.uint8)
    canvas[covered] = palette[drawn[covered]]


def _enlarged(marks: LabelMap, shape: tuple[int, ...]) -> LabelMap:
    """Every picture pixel that a mark falls on; a click, which nobody would see, becomes a dot."""
    size = np.array(marks.shape)
    rows, columns = (np.arange(n) * m // n for n, m in zip(shape, size, strict=True))
    drawn: LabelMap = marks[np.ix_(rows, columns)]
    marked = marks != IGNORE
    alone = marked & (convolve(marked.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant") == 1)
    dot = 0 if (np.array(shape) > 2 * _CLICK_RADIUS * size).all() else _CLICK_RADIUS
    for where, radius in ((np.argwhere(marked), 0), (np.argwhere(alone), dot)):
        offsets = np.indices((2 * radius + 1, 2 * radius + 1)).reshape(2, -1).T[:, None] - radius
        places = np.clip(where * shape // size + offsets, 0, np.array(shape) - 1)
        drawn[places[..., 0], places[..., 1]] = marks[where[:, 0], where[:, 1]]
    return drawn
