"""What a training step receives."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class MarkPoints:
    """Sample points of the strokes of a batch, moved by the same geometry as its images.

    Attributes:
        image: ``(p,)`` int64, which image of the batch.
        points: ``(p, 2)`` float32 row, column; may lie outside the image.
        classes: ``(p,)`` int64.
        strokes: ``(p,)`` int64 drawing order; later strokes win.
    """

    image: Tensor
    points: Tensor
    classes: Tensor
    strokes: Tensor

    def to(self, device: torch.device | str) -> MarkPoints:
        """The same points on another device."""
        return MarkPoints(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of a batch and all that is known about their pixels.

    Attributes:
        image: ``(b, c, h, w)`` float32.
        label: ``(b, h, w)`` int64 classes, ``IGNORE`` where unknown.
        valid: ``(b, h, w)`` bool, False in padding and in the margin that a rotation uncovers.
        marks: sample points of the strokes.
        ids: ``case/slice`` of each image, the case alone for 2-D images.
        soft: ``(b, k, h, w)`` float32 soft targets, or None where the method keeps none.
        soft_weight: ``(b, h, w)`` float32, 0 where there is no target yet or it lies outside; None with ``soft``.
    """

    image: Tensor
    label: Tensor
    valid: Tensor
    marks: MarkPoints
    ids: tuple[str, ...]
    soft: Tensor | None = None
    soft_weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return replace(
            self,
            image=self.image.to(device, non_blocking=True),
            label=self.label.to(device, non_blocking=True),
            valid=self.valid.to(device, non_blocking=True),
            marks=self.marks.to(device),
            soft=None if self.soft is None else self.soft.to(device, non_blocking=True),
            soft_weight=None if self.soft_weight is None else self.soft_weight.to(device, non_blocking=True),
        )
