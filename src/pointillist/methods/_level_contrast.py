"""The contrast of a decoder level's features: a projection head, and the vectors that are drawn from it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pointillist.errors import InputError
from pointillist.losses import cell_label, sigmoid_contrast
from pointillist.methods._scales import Scale
from pointillist.methods._tap import check_tap, nearest_stride
from pointillist.nets.network import SegmentationNet

_WIDTH = 32  # of a projection


class Draw(NamedTuple):
    """Which vectors are compared, and how their pairs are averaged.

    Attributes:
        most: vectors of a class, at most.
        marked_cells: whether marks of one class decide their cell.
        reduction: of ``pointillist.losses.sigmoid_contrast``.
        equal: draw of every class as many as of the rarest, and of none where one of them is absent.
    """

    most: int
    marked_cells: bool
    reduction: Literal["blocks", "pairs"]
    equal: bool


class LevelContrast(nn.Module):
    """A projection head on a decoder level; trained, never shipped.

    A vector is what the head makes of a cell of the level, or, where δ is a multiple of the level's stride, the mean
    of what it makes of the δ×δ pixels.

    Args:
        net: whose level it is.
        classes: K, background included.
        scale: which level, and how it is contrasted.

    Raises:
        InputError: if the network has no such level, or δ is no multiple of its stride.
    """

    def __init__(self, net: SegmentationNet, classes: int, scale: Scale) -> None:
        super().__init__()
        nearest = nearest_stride(net.level_strides, scale.delta or 1)
        self.level = nearest if scale.level is None else scale.level
        check_tap(net, "decoder", self.level)
        stride = net.level_strides[self.level]
        self.delta = stride if scale.level is None or scale.delta is None else scale.delta
        if self.delta % stride:
            raise InputError(
                "cells of a decoder level are made of whole ones",
                where="scales",
                expected=f"delta a multiple of {stride}, the stride of level {self.level}",
                received=self.delta,
                todo="choose such a delta, or leave level out",
            )
        self.joined = self.delta // stride
        self.classes, self.tau, self.weight = classes, scale.tau, scale.weight
        self.nu_1, self.nu_2 = scale.nu_1, scale.nu_2
        self.head = projection_head(net.level_channels[self.level])

    def forward(self, levels: tuple[Tensor, ...], label: Tensor, marks: Tensor, draw: Draw) -> Tensor:
        """The contrast of a batch.

        Args:
            levels: decoder features, finest first.
            label: ``(b, h, w)`` classes of marks and of sure pixels, IGNORE elsewhere.
            marks: ``(b, h, w)``.
            draw: which vectors.
        """
        projected = self.head(levels[self.level])
        if self.joined > 1:
            projected = F.avg_pool2d(projected, self.joined, ceil_mode=True)
        rows, columns = projected.shape[2:]
        cells = cell_label(
            label, self.delta, self.classes, size=(rows, columns), nu_1=self.nu_1, nu_2=self.nu_2,
            marks=marks if draw.marked_cells else None,
        ).flatten()  # fmt: skip
        # the published code wants three vectors a class of cells, and divides by 0 for a single pixel
        least = (3 if self.delta > 1 else 2) if draw.equal else 1
        chosen = drawn(cells, self.classes, draw.most, equal=draw.equal, least=least)
        vectors = projected.permute(0, 2, 3, 1).flatten(0, 2).index_select(0, chosen)
        return sigmoid_contrast(vectors, cells[chosen], tau=self.tau, reduction=draw.reduction)

    def at_rest(self) -> Tensor:
        """0 with a gradient for every parameter, as DistributedDataParallel wants it in every step."""
        return torch.stack([parameter.sum() for parameter in self.parameters()]).sum() * 0


def projection_head(channels: int) -> nn.Sequential:
    """Two 1×1 convolutions, each with BatchNorm over all pixels of the batch."""
    hidden = min(channels, _WIDTH)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1, bias=False),
        nn.BatchNorm2d(hidden),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, _WIDTH, 1, bias=False),
        nn.BatchNorm2d(_WIDTH),
    )


def drawn(label: Tensor, classes: int, most: int, *, equal: bool = False, least: int = 1) -> Tensor:
    """Places of at most so many vectors of every class, drawn at random without replacement.

    Every place draws its lot whatever its class, so that classes are interchangeable.

    Args:
        label: ``(n,)`` classes; IGNORE is not drawn.
        classes: K.
        most: vectors of a class.
        equal: as many of every class.
        least: vectors of a class below which none of it is drawn.
    """
    lots = torch.rand(label.shape, device=label.device)
    places = [(label == number).nonzero()[:, 0] for number in range(classes)]
    if equal:
        most = min(most, *map(len, places))
    places = [one if len(one) <= most else one[lots[one].topk(most).indices] for one in places]
    return torch.cat([one for one in places if len(one) >= least] or [places[0][:0]])
