"""Re-estimate BatchNorm statistics.

In the published U-Net dropout stands before a BatchNorm, so running statistics learn dropout's noise and lag behind
the weights: after short runs they are wrong in eval mode (METHODS, Recipe W).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pointillist.data.augment.loader import sweep
from pointillist.data.augment.order import epoch_order
from pointillist.data.augment.source import SliceSource
from pointillist.nets.network import SegmentationNet


def training_images(source: SliceSource, slices: NDArray[np.int64], batch: int, seed: int) -> Iterator[Tensor]:
    """Training images unaugmented, in a seeded random order so that no batch is one patient's, in full batches.

    Args:
        source: where they are.
        slices: numbers of the training slices.
        batch: images a batch; fewer where slices are larger than those of training, so that memory does not grow.
        seed: decides the order.

    Yields:
        ``(b, c, *s)``.
    """
    cache = source.cache
    largest = int(cache.sizes[slices].prod(axis=1).max())
    count = min(len(slices), max(1, batch * cache.settings.size**2 // largest))
    mixed = slices[epoch_order(cache.keys[slices], seed, 0)]
    for one in sweep(source, mixed[: len(mixed) - len(mixed) % count], count):
        yield one.image


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
