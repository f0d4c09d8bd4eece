"""CutMix of batches: a box of one image is pasted onto another, and of all that belongs to them likewise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CutMix:
    """Which image of a batch is pasted onto which, and where.

    Images, labels, masks and predictions that go through one ``CutMix`` are mixed alike.

    Attributes:
        pasted: ``(b,)`` number of the image that is cut from.
        onto: ``(b,)`` number of the image that it is pasted onto.
        box: ``(b, h, w)`` bool, True where the pasted image is.
    """

    pasted: Tensor
    onto: Tensor
    box: Tensor

    @classmethod
    def of(cls, boxes: Tensor, pasted: Tensor, onto: Tensor) -> CutMix:
        """Mix with the box that belongs to the pasted image, as the sources do.

        Args:
            boxes: ``(b, h, w)`` one an image of the batch, from ``draw_boxes``.
            pasted: as the attribute.
            onto: as the attribute.
        """
        return cls(pasted, onto, boxes[pasted])

    def __call__(self, pasted: Tensor, onto: Tensor) -> Tensor:
        """Paste what belongs to a batch onto what belongs to the same batch.

        Args:
            pasted: ``(b, *c, h, w)`` in the batch's order.
            onto: likewise; often the same tensor.

        Returns:
            ``(b, *c, h, w)`` mixed images, no value of which is new.
        """
        box = self.box if pasted.ndim == 3 else self.box.unsqueeze(1)
        return torch.where(box, pasted[self.pasted], onto[self.onto])


def draw_boxes(count: int, size: tuple[int, int], area: float, *, device: torch.device | str = "cpu") -> Tensor:
    """A box an image that covers a share of it, of random proportions, anywhere inside.

    Its height is areaᵘ and its width area¹⁻ᵘ of the image's, u uniform in [0, 1), both rounded to pixels; its place is
    uniform.

    Args:
        count: b.
        size: rows and columns of an image.
        area: share of the image in [0, 1]; boxes of area 0 are empty.
        device: where to draw them.

    Returns:
        ``(b, rows, columns)`` bool.

    Source: the loader's ``Cutmix`` of MoriLabNU/TriMix and Torpedo2648/PCLMix.
    """
    rows, columns = size
    u, down, across = torch.rand(3, count, 1, device=device)
    vertical = _span((rows * area**u).round(), down, rows)
    horizontal = _span((columns * area ** (1 - u)).round(), across, columns)
    return vertical.unsqueeze(2) & horizontal.unsqueeze(1)


def _span(length: Tensor, place: Tensor, size: int) -> Tensor:
    """``(b, size)`` bool, True in a run of a length, ``(b, 1)``, at a place between 0, the first, and 1, the last."""
    first = ((size - length) * place).round()
    steps = torch.arange(size, device=length.device)
    return (steps >= first) & (steps < first + length)
