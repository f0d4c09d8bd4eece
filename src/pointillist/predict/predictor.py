"""One image or volume to labels, and on wish probabilities and uncertainty, on its native grid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from pointillist.data.cache.grids import GridName, index, resize
from pointillist.data.cache.normalise import normalise
from pointillist.data.image import Image
from pointillist.errors import InputError
from pointillist.nets.network import SegmentationNet
from pointillist.predict.device import Precision
from pointillist.predict.forward import Forward
from pointillist.predict.found import Found, Part, Prediction
from pointillist.predict.model import ModelDescription
from pointillist.predict.tiles import tiled
from pointillist.types import Floats

_PIXELS = 2**22  # in the tiles of a forward pass, unless a single one has more

ArgmaxOn = Literal["network", "native"]
"""Where the class of a resized slice is decided: ``network``, at the network's size, then enlarged by the nearest
pixel (the published order, METHODS A2); ``native``, on the image's own grid, from bilinearly enlarged probabilities."""


class Predictor:
    """A model ready to predict images of any size.

    Volumes are predicted slice by slice across the axis of largest spacing. The result does not depend on ``batch``:
    convolutions on the processor agree to about 1e-7 whatever the batch, and labels to the bit but for exact ties.

    Args:
        net: the network, on its device.
        description: how images are prepared.
        precision: ``fp32``, ``bf16``, or ``auto``: bfloat16 where the hardware has it.
        batch: slices or tiles a forward pass, fewer of large tiles; bounds memory.
        argmax: see ``ArgmaxOn``.
        border: share of the columns at either end that is made background whatever the network says; PSCV does so on
            Synapse with 50 of 256. Columns are those of the array: in axial volumes they run from back to front. The
            paper's "left and right" cannot be those of the body, or it would lose half of the spleen.

    Raises:
        InputError: if the batch is empty, or nothing is left between the borders.
    """

    def __init__(
        self,
        net: SegmentationNet,
        description: ModelDescription,
        *,
        precision: Precision = "auto",
        batch: int = 8,
        argmax: ArgmaxOn = "network",
        border: float = 0.0,
    ) -> None:
        if batch < 1:
            raise InputError(
                "a batch holds at least one slice",
                where="--batch",
                expected="1 or more",
                received=batch,
                todo="use --batch 1 where memory is short",
            )
        if not 0 <= border < 0.5:
            raise InputError(
                "the borders leave nothing of the image",
                where="--border",
                expected="a share of the columns, 0 or more and below 0.5",
                received=border,
                todo="give the share at one side: 50 of 256 columns are 0.195",
            )
        self.description = description
        self.batch, self.argmax, self.border = batch, argmax, border
        self._forward = Forward(net, description, precision)

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        """The precision that was chosen."""
        return self._forward.precision

    def predict(self, image: Image, *, probabilities: bool = False, uncertainty: bool = False) -> Prediction:
        """Segment one image.

        Args:
            image: ``(*s)``, or ``(*s, c)`` with the channels of the model.
            probabilities: whether to keep them; a volume's take 2·K bytes a voxel.
            uncertainty: whether to compute it.

        Raises:
            InputError: if the image has other channels than the model, or values that its normalisation does not take.
        """
        if image.channels != len(self.description.channels):
            raise InputError(
                "the image has another number of channels than the model was trained on",
                where=image.where,
                expected=f"{len(self.description.channels)} ({', '.join(self.description.channels)})",
                received=image.channels,
                todo="save it with these channels, or predict with another model",
            )
        axis = image.grid.slice_axis if len(image.grid.shape) == 3 else None
        values = normalise(image, self.description.normalisation)
        planes = values[None] if axis is None else np.moveaxis(values, axis, 0)
        keep = probabilities or uncertainty
        found = Found(planes.shape[:3], len(self.description.classes), probabilities, uncertainty)
        parts = self._tiled(planes) if self.description.grid == "native" else self._resized(planes, keep)
        for place, labels, answer in parts:
            found.put(place, labels, answer)
        if self.border:
            found.clear_border(self.border)
        return found.prediction(axis)

    def _resized(self, planes: Floats, keep: bool) -> Iterator[Part]:
        """Slices brought to the network's size, a batch at a time."""
        size, grid = self.description.size, self.description.grid
        for begin in range(0, len(planes), self.batch):
            chosen = planes[begin : begin + self.batch]
            images = [[resize(plane[..., c], grid, size) for c in range(plane.shape[-1])] for plane in chosen]
            answer = self._forward(np.asarray(images, dtype=np.float32))
            place = (slice(begin, begin + len(chosen)), slice(None))
            yield place, *self._enlarged(answer, planes.shape[1:3], keep)

    def _enlarged(self, answer: Tensor, shape: tuple[int, ...], keep: bool) -> tuple[Tensor, Tensor | None]:
        """Labels ``(b, h, w)``, and probabilities ``(b, k, h, w)`` where they are to be kept, on the native grid."""
        grid, size = self.description.grid, self.description.size
        if self.argmax == "native":
            enlarged = F.interpolate(answer, size=shape, mode="bilinear", align_corners=grid == "zoom0")
            return enlarged.argmax(1), enlarged
        rows, columns = (torch.from_numpy(_sources(grid, size, n)).to(answer.device) for n in shape)
        nearest = (..., rows[:, None], columns)
        return answer.argmax(1)[nearest], answer[nearest] if keep else None

    def _tiled(self, planes: Floats) -> Iterator[Part]:
        tile = self.description.size
        batch = min(self.batch, max(1, _PIXELS // tile**2))
        for number, plane in enumerate(planes):
            for rows, answer in tiled(plane, tile, self._forward, batch):
                yield (slice(number, number + 1), rows), answer.argmax(0)[None], answer[None]


def _sources(grid: GridName, size: int, native: int) -> NDArray[np.int64]:
    """The network's pixel that each native one shows along an axis; a single native pixel shows the first."""
    return index(grid, size, native) if native > 1 else np.zeros(1, np.int64)
