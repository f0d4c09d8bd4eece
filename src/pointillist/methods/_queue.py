"""Vectors of pixels by class, and a memory of them that a run saves and its processes share."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pointillist.types import IGNORE


class ClassQueue(nn.Module):
    """The newest vectors of every class; the oldest make room.

    Both buffers are saved, so a resumed run has them. Every process must push the same vectors in the same order.

    Args:
        classes: K.
        size: vectors a class.
        width: length of a vector.

    Attributes:
        vectors: ``(k, size, width)``.
        written: ``(k,)`` vectors ever pushed.
    """

    vectors: Tensor
    written: Tensor

    def __init__(self, classes: int, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(classes, size, width))
        self.register_buffer("written", torch.zeros(classes, dtype=torch.int64))

    def memory(self) -> tuple[Tensor, Tensor]:
        """``(k · size, width)`` vectors, and ``(k · size,)`` their classes, IGNORE where nothing was pushed yet."""
        classes, size, _ = self.vectors.shape
        number = torch.arange(classes, device=self.written.device)[:, None].expand(classes, size)
        empty = torch.arange(size, device=self.written.device) >= self.written[:, None]
        return self.vectors.flatten(0, 1), number.masked_fill(empty, IGNORE).flatten()

    def contrasted(self) -> Tensor:
        """``(k,)`` whether there are vectors of a class and of another one."""
        held = self.written > 0
        return held & (held.sum() > 1)

    @torch.no_grad()
    def push(self, vectors: Tensor, present: Tensor) -> None:
        """Add one vector of every class that is present.

        Args:
            vectors: ``(n, k, width)``.
            present: ``(n, k)`` Boolean.
        """
        size = self.vectors.shape[1]
        for number, (mine, here) in enumerate(zip(vectors.unbind(1), present.unbind(1), strict=True)):
            new = mine[here].to(self.vectors.dtype)
            place = (self.written[number] + torch.arange(len(new), device=new.device)) % size
            self.vectors[number, place[-size:]] = new[-size:]
            self.written[number] += len(new)


def draw_anchors(label: Tensor, classes: int, *, least: int, views: int) -> Tensor:
    """Pixels of every class of every image, drawn at random without replacement.

    Args:
        label: ``(b, n)`` classes, IGNORE for pixels not to be drawn.
        classes: K.
        least: pixels that a class needs in an image for any to be drawn.
        views: pixels that are drawn of it, at most.

    Returns:
        ``(m,)`` numbers of pixels, those of image i being i·n … (i+1)·n − 1.
    """
    groups = len(label) * classes
    group = torch.arange(len(label), device=label.device)[:, None] * classes + label
    group = group.masked_fill(label == IGNORE, groups).flatten()
    order = (group + torch.rand(group.shape, dtype=torch.float64, device=label.device)).argsort()
    sizes = group.bincount(minlength=groups + 1)
    before, group = sizes.cumsum(0) - sizes, group[order]
    rank = torch.arange(len(order), device=label.device) - before[group]
    return order[(rank < views) & (sizes[group] >= least) & (group < groups)]


@torch.no_grad()
def class_means(vectors: Tensor, label: Tensor, classes: int, *, least: int) -> tuple[Tensor, Tensor]:
    """Directions of the mean vectors of every class of every image.

    Args:
        vectors: ``(b, n, d)``.
        label: ``(b, n)`` classes; IGNORE belongs to none.
        classes: K.
        least: pixels that a class needs in an image.

    Returns:
        ``(b, k, d)`` of length 1, and ``(b, k)`` Boolean, whether there were pixels enough.
    """
    member = label.unsqueeze(1) == torch.arange(classes, device=label.device)[:, None]
    with torch.autocast(vectors.device.type, enabled=False):  # it would multiply matrices in half precision
        sums = member.to(vectors.dtype) @ vectors
    return F.normalize(sums, dim=2), member.sum(2) >= least


def at_grid(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``(…, h, w)`` at the nearest pixels of a coarser grid, as ``F.interpolate`` with ``nearest`` takes them."""
    rows, columns = (
        torch.arange(coarse, device=x.device) * fine // coarse for coarse, fine in zip(size, x.shape[-2:], strict=True)
    )
    return x[..., rows[:, None], columns]
