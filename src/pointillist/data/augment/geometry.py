"""Where each pixel of a batch comes from, drawn for all images at once.

The published order is: augment the slice as it is in the dataset, then resize it. The cache holds resized slices, so
the way back is walked in full: pixel of the batch → pixel of the augmented native slice → native coordinate → cached
pixel, with the roundings of the published code where they were made. On axes that the cache did not shrink this gives
the published pixels exactly; on shrunk axes the nearest native pixel that the cache kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointillist.data.augment.draws import Purpose, uniform
from pointillist.data.augment.recipes import Augmentation
from pointillist.data.cache.grids import GridName
from pointillist.types import Floats

# numpy.rot90, k times: from the turned frame to the frame before
_QUARTERS = np.array([[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]], dtype=np.float64)
_RIM = 0.499  # half a pixel beyond the outermost centres, less what rounding could carry across the edge


@dataclass(frozen=True, eq=False)
class Geometry:
    """One affine map an image, between a frame at native scale and the native slice.

    Attributes:
        matrix: ``(b, 2, 2)`` from frame to native, about the two centres.
        frame_centre: ``(b, 2)`` row, column in the frame.
        native_centre: ``(b, 2)`` what lies there, in the native slice.
        size: rows and columns of the batch.
        out_place: ``(b, 2, 2)`` factor and shift, per axis, from frame to batch coordinates.
        in_place: ``(b, 2, 2)`` factor and shift, per axis, from native to cached coordinates.
        native: ``(b, 2)`` rows and columns of the native slice.
        corners: whether the grid puts corners onto corners (``zoom0``): then native coordinates are rounded before
            they are looked up, and a pixel is inside up to the outermost pixel centres, as in SciPy.
    """

    matrix: Floats
    frame_centre: Floats
    native_centre: Floats
    size: tuple[int, int]
    out_place: Floats
    in_place: Floats
    native: NDArray[np.int64]
    corners: bool

    def sources(self, device: torch.device, *, smooth: bool) -> tuple[Tensor, Tensor]:
        """Where in the cached slice each pixel of the batch lies.

        Args:
            device: where to compute it.
            smooth: leave out the roundings to native pixels, for linear interpolation.

        Returns:
            ``(b, 2, h, w)`` float32 row, column, held inside the slice and counted from its edge, so that pixel i
            is [i, i + 1) and cutting the fraction gives the nearest pixel; ``(b, h, w)`` bool, whether it was inside.
        """
        rim = 0.0 if self.corners else _RIM
        extent = np.maximum(self.native - 1 + 2 * rim, 1)[:, :, None]
        rows, columns = (self._from_centre(axis, smooth=smooth) for axis in (0, 1))
        # in units of the slice, and by rows and by columns first: a pixel then costs one addition and one clamp
        by_row = (self.matrix[:, :, :1] * rows[:, None] + self.native_centre[:, :, None] + rim) / extent
        by_column = self.matrix[:, :, 1:] * columns[:, None] / extent
        factor, shift = self.in_place[..., :1], self.in_place[..., 1:]
        sent = np.concatenate([by_row, by_column, extent, factor, shift], axis=2).astype(np.float32)
        widths = [*self.size, 1, 1, 1]
        on_rows, on_columns, *scalars = (
            torch.from_numpy(sent).to(device, non_blocking=True).split_with_sizes(widths, dim=2)
        )
        extents, factors, shifts = (one[..., None] for one in scalars)
        found = on_rows[..., None] + on_columns[:, :, None]
        held = found.clamp(0, 1)
        same = held == found
        native = held.mul_(extents).sub_(rim)
        if self.corners and not smooth:
            native = native.add_(0.5).floor_()
        return native.mul_(factors).add_(shifts + 0.5), same[:, 0] & same[:, 1]

    def _from_centre(self, axis: int, *, smooth: bool) -> Floats:
        """``(b, size)`` frame coordinate of the batch's rows or columns, from the frame's centre."""
        steps, centre = np.arange(self.size[axis]), self.frame_centre[:, axis, None]
        if not self.corners:
            factor, shift = self.out_place[:, axis, :1], self.out_place[:, axis, 1:]
            return (steps - shift) / factor - centre
        frame: Floats = steps * (2 * centre / (self.size[axis] - 1))
        return (frame if smooth else np.floor(frame + 0.5)) - centre  # rounded: pointillist.data.cache.grids.index

    def moved(self, image: NDArray[np.int64], points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Batch coordinates of cached coordinates, ``(p, 2)``; ``image`` says which map moves each."""
        matrix, shift = self._forward()
        row, column = points[:, 0], points[:, 1]
        moved = [matrix[image, i, 0] * row + matrix[image, i, 1] * column + shift[image, i] for i in (0, 1)]
        return np.stack(moved, axis=1)

    def _forward(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``(b, 2, 2)`` and ``(b, 2)``: cached to batch coordinates, all steps in one."""
        factor, shift = self.in_place[..., 0], self.in_place[..., 1]
        # a single native pixel fills the axis: whatever lies on it lies at its centre, native coordinate 0
        inverse = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor != 0)
        back = np.linalg.inv(self.matrix)
        offset = (back @ (-shift * inverse - self.native_centre)[..., None])[..., 0] + self.frame_centre
        out_factor, out_shift = self.out_place[..., 0], self.out_place[..., 1]
        matrix = out_factor[..., None] * back * inverse[:, None]
        return matrix.astype(np.float32), (out_factor * offset + out_shift).astype(np.float32)


def draw_geometry(
    augmentation: Augmentation,
    keys: NDArray[np.uint64],
    natives: NDArray[np.int64],
    places: Floats,
    grid: GridName,
    size: int,
    *,
    seed: int,
    epoch: int,
) -> Geometry:
    """Draw the geometry of a training batch.

    Args:
        augmentation: what may happen.
        keys: ``(b,)`` of the slices; equal keys get equal draws.
        natives: ``(b, 2)`` rows and columns of the slices in the dataset.
        places: ``(b, 2, 2)`` factor and shift, per axis, from native to cached coordinates.
        grid: how the cache resized them.
        size: rows and columns of the batch.
        seed: of the run.
        epoch: from 0.
    """
    draws = uniform(seed, epoch, keys)
    turned = draws[Purpose.TURN] < augmentation.turn
    quarters = np.where(turned, (draws[Purpose.QUARTERS] * 4).astype(np.int64), 0)
    flipped = turned & (draws[Purpose.FLIP] < augmentation.flip)
    axis = (draws[Purpose.FLIP_AXIS] * 2).astype(np.int64)
    rotated = ~turned & (draws[Purpose.ROTATE] < augmentation.rotate)
    angle = np.floor((2 * draws[Purpose.DEGREES] - 1) * augmentation.degrees) * rotated
    low, high = np.log(augmentation.scale)
    scale = np.exp(low + draws[Purpose.SCALE] * (high - low))
    matrix = _QUARTERS[quarters] @ _flips(flipped, axis) @ _rotations(angle) / scale[:, None, None]
    if grid == "native":
        corner = draws[[Purpose.ROW, Purpose.COLUMN]].T
        centre = _crop_centre(natives, size / scale[:, None], corner)
        return _native(matrix, centre, natives, (size, size))
    odd = (quarters % 2 == 1)[:, None]
    frame = np.where(odd, natives[:, ::-1], natives)
    out_places = np.where(odd[..., None], places[:, ::-1], places)
    return _resized(matrix, (frame, out_places), (natives, places), grid, size)


def plain_geometry(natives: NDArray[np.int64], places: Floats, grid: GridName, size: int) -> Geometry:
    """The geometry that changes nothing; slices of a ``native`` cache must have one size, and are taken whole."""
    matrix = np.broadcast_to(np.eye(2), (len(natives), 2, 2))
    if grid != "native":
        return _resized(matrix, (natives, places), (natives, places), grid, size)
    rows, columns = natives[0].tolist()
    return _native(matrix, (natives - 1) / 2, natives, (rows, columns))


def _resized(
    matrix: Floats,
    frame: tuple[NDArray[np.int64], Floats],
    slices: tuple[NDArray[np.int64], Floats],
    grid: GridName,
    size: int,
) -> Geometry:
    (frames, out_place), (natives, in_place) = frame, slices
    return Geometry(
        matrix=matrix,
        frame_centre=(frames - 1) / 2,
        native_centre=(natives - 1) / 2,
        size=(size, size),
        out_place=out_place,
        in_place=in_place,
        native=natives,
        corners=grid == "zoom0",
    )


def _native(matrix: Floats, centre: Floats, natives: NDArray[np.int64], window: tuple[int, int]) -> Geometry:
    """A window of a slice that the cache keeps at its own size."""
    count = len(natives)
    same = np.broadcast_to(np.array([1.0, 0.0]), (count, 2, 2))
    return Geometry(
        matrix=matrix,
        frame_centre=np.broadcast_to((np.array(window) - 1) / 2, (count, 2)),
        native_centre=centre,
        size=window,
        out_place=same,
        in_place=same,
        native=natives,
        corners=False,
    )


def _crop_centre(natives: NDArray[np.int64], extent: Floats, corner: Floats) -> Floats:
    """Centre of a window of ``extent`` native pixels: anywhere inside, or in the middle of a slice that is smaller."""
    room = np.maximum(natives - extent, 0)
    first = np.where(natives >= extent, np.floor(corner * (room + 1)), np.floor((natives - extent) / 2))
    return np.minimum(first, np.where(natives >= extent, room, first)) + (extent - 1) / 2


def _flips(flipped: NDArray[np.bool_], axis: NDArray[np.int64]) -> Floats:
    signs = np.ones((len(axis), 2))
    signs[np.arange(len(axis)), axis] = np.where(flipped, -1.0, 1.0)
    return signs[:, :, None] * np.eye(2)


def _rotations(degrees: Floats) -> Floats:
    """The matrix of ``scipy.ndimage.rotate`` with ``axes=(1, 0)``, its default."""
    angle = np.deg2rad(degrees)
    rows: Sequence[Sequence[Floats]] = ((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle)))
    return np.moveaxis(np.array(rows), -1, 0)
