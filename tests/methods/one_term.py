"""A batch, a prediction and the terms of a method that adds one to partial cross-entropy, without any training."""

from __future__ import annotations

import torch

from pointillist.data.batch import Batch, MarkPoints
from pointillist.methods import build_method
from pointillist.nets.network import NetOut
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

NO_MARKS = MarkPoints(
    torch.zeros(0, dtype=torch.long), torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), torch.zeros(0).long()
)


def method_named(name, channels=1, **settings):
    spec = TaskSpec(("background", "a", "b"), tuple(f"c{i}" for i in range(channels)))
    return build_method(name, build_net("unet", channels, 3), spec, settings)


def example(b=2, channels=1, size=8):
    """Logits and a batch: the first image has marks of all classes, others of two; the last two columns are padding."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(b, 3, size, size, generator=g).requires_grad_()
    label = torch.full((b, size, size), IGNORE)
    label[:, 0, :2] = torch.tensor([0, 1])
    label[0, 0, 2] = 2
    valid = torch.ones(b, size, size, dtype=torch.bool)
    valid[..., -2:] = False
    image = torch.rand(b, channels, size, size, generator=g)
    return logits, Batch(image, label, valid, NO_MARKS, tuple(f"case{i}" for i in range(b)))


def terms_at(method, progress, logits, batch):
    """The terms after a share of the run."""
    return method.terms(NetOut(logits, (), ()), batch, Clock(seed=0, step=round(1000 * progress), epoch=0, total=1000))
