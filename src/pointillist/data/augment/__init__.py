"""Batched augmentation on the device: images, labels, marks and soft targets moved by one geometry."""

from pointillist.data.augment.loader import batches, make_batch, sweep
from pointillist.data.augment.order import epoch_order
from pointillist.data.augment.recipes import AUGMENTATIONS, Augmentation, augmentation_named
from pointillist.data.augment.source import SliceSource

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "SliceSource",
    "augmentation_named",
    "batches",
    "epoch_order",
    "make_batch",
    "sweep",
]
