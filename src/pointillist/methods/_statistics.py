"""Passes that a network should not remember."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@contextmanager
def kept_statistics(net: nn.Module) -> Iterator[None]:
    """Leave the running statistics of BatchNorm as they are.

    For passes over images that are unlike those the network will predict: they are normalised by the statistics of
    their batch, and leave no trace.
    """
    layers = [module for module in net.modules() if isinstance(module, _NormBase)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
