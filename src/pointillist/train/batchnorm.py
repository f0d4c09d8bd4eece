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

from pointillist.data.augment.loader import make_batch
from pointillist.data.augment.order import epoch_order
from pointillist.data.augment.recipes import Augmentation
from pointillist.data.augment.source import SliceSource
from pointillist.nets.network import SegmentationNet

_EPOCH = 2**31 - 1  # one that no run comes to


def training_images(
    source: SliceSource, slices: NDArray[np.int64], augmentation: Augmentation, *, batch: int, seed: int
) -> Iterator[Tensor]:
    """The images of one more epoch, in batches like those of training.

    Batches of other images would have other statistics: those of whole images of one patient or slide, say, lack what
    differs between patients, and rotations and crops change what lies at the border.

    Args:
        source: where they are.
        slices: numbers of the training slices.
        augmentation: of training.
        batch: images a batch.
        seed: decides order and augmentation.

    Yields:
        ``(b, c, *s)``.
    """
    count = min(batch, len(slices))
    mixed = slices[epoch_order(source.cache.keys[slices], seed, _EPOCH)]
    for start in range(0, len(mixed) - count + 1, count):
        yield make_batch(source, mixed[start : start + count], augmentation, seed=seed, epoch=_EPOCH).image


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
