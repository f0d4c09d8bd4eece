"""Two decoders on one encoder, the second fed features after channel dropout."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pointillist.nets.network import NetOut, SegmentationNet


def both_branches(net: SegmentationNet, auxiliary: nn.Module, image: Tensor, dropout: float) -> tuple[NetOut, NetOut]:
    """What both decoders make of an image.

    Args:
        net: gives the encoder and the first decoder.
        auxiliary: the second decoder; dropout is active while it trains.
        image: ``(b, c, h, w)``.
        dropout: rate of the channel dropout, the same at all stages.
    """
    stages = net.encode(image)
    first = net.decode(stages)
    second: NetOut = auxiliary(tuple(F.dropout2d(stage, dropout, auxiliary.training) for stage in stages))
    return first, second
