"""What prediction finds in one image, gathered part by part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointillist.types import AnyArray, LabelMap

Part = tuple[tuple[slice, slice], Tensor, Tensor | None]
"""Slices and rows, their labels ``(b, rows, w)``, and their probabilities ``(b, k, rows, w)`` where they are kept."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found in one image; ``*s`` is the image's own grid, in memory order.

    Attributes:
        labels: ``(*s)`` uint8 class indices.
        probabilities: ``(k, *s)`` float16, or None where not asked for. Their largest is at ``labels``, up to the
            rounding to float16.
        uncertainty: ``(*s)`` float32, the entropy of the mean probability over ln K: 0 certain, 1 undecided; or None.
    """

    labels: LabelMap
    probabilities: NDArray[np.float16] | None = None
    uncertainty: NDArray[np.float32] | None = None


class Found:
    """The arrays of a prediction while they fill.

    Args:
        shape: slices, rows, columns.
        classes: K.
        probabilities: whether to keep them.
        uncertainty: whether to compute it.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, probabilities: bool, uncertainty: bool) -> None:
        self._classes = classes
        self._labels = np.empty(shape, np.uint8)
        self._probabilities = np.empty((classes, *shape), np.float16) if probabilities else None
        self._uncertainty = np.empty(shape, np.float32) if uncertainty else None

    def put(self, place: tuple[slice, slice], labels: Tensor, answer: Tensor | None) -> None:
        """Fill a part; see ``Part``."""
        self._labels[place] = labels.to("cpu", torch.uint8).numpy()
        if answer is None:
            return
        if self._probabilities is not None:
            self._probabilities[(slice(None), *place)] = answer.to("cpu", torch.float16).transpose(0, 1).numpy()
        if self._uncertainty is not None:
            entropy = torch.special.entr(answer).sum(1) / math.log(self._classes)
            self._uncertainty[place] = entropy.clamp(0, 1).cpu().numpy()

    def clear_border(self, share: float) -> None:
        """Make background, for certain, of a share of the columns at either end."""
        columns = self._labels.shape[-1]
        width = round(share * columns)
        for end in (slice(0, width), slice(columns - width, columns)):
            self._labels[..., end] = 0
            if self._probabilities is not None:
                self._probabilities[..., end] = 0
                self._probabilities[0, ..., end] = 1
            if self._uncertainty is not None:
                self._uncertainty[..., end] = 0

    def prediction(self, axis: int | None) -> Prediction:
        """The finished arrays, slices along ``axis`` of the volume; None for a 2-D image."""
        probabilities, uncertainty = self._probabilities, self._uncertainty
        return Prediction(
            _stacked(self._labels, 0, axis),
            None if probabilities is None else _stacked(probabilities, 1, axis),
            None if uncertainty is None else _stacked(uncertainty, 0, axis),
        )


def _stacked(array: AnyArray, slices: int, axis: int | None) -> AnyArray:
    """Slices back where the volume has them, ``slices`` being their axis so far; a 2-D image is the only one."""
    return array.take(0, slices) if axis is None else np.moveaxis(array, slices, slices + axis)
