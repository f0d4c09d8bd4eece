"""Re-estimate BatchNorm statistics.

In the published U-Net dropout stands before a BatchNorm, so running statistics learn dropout's noise and lag behind
the weights: after short runs they are wrong in eval mode (METHODS, Recipe W).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pointillist.nets.network import SegmentationNet


@torch.no_grad()
def recalibrate(net: SegmentationNet, images: Iterable[Tensor]) -> None:
    """Replace running statistics by the mean over one pass, in place; dropout is off.

    Args:
        net: left in eval mode.
        images: ``(b, c, *s)`` training images, a batch at a time.
    """
    layers = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    net.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative mean over the batches
        nn.Module.train(layer)
    for image in images:
        net(image)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    net.eval()
