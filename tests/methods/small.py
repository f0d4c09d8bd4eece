"""Small networks, batches and moments for tests of methods."""

import torch
from torch import nn

from pointillist.data.batch import Batch, MarkPoints
from pointillist.methods import StepOut, build_method
from pointillist.methods._parts import Parts
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.nets.unet import UNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "a", "b", "c"), ("grey",))


class PixelNet(SegmentationNet):
    """Each pixel's logits depend on that pixel alone; no dropout, no normalisation."""

    def __init__(self):
        super().__init__()
        self.channels, self.strides = (8,), (1,)
        self.features, self.output = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 4, 1)

    def encode(self, x, side=None):
        return (self._grafted(0, torch.tanh(self.features(x)), side),)

    def decode(self, stages):
        return NetOut(self.output(stages[0]), stages, stages)

    def new_decoder(self):
        return nn.Module()


class Together(Parts):
    """Parts whose graphs are all kept, as those of a step in one piece."""

    def add(self, terms):
        self._terms |= terms

    def step(self, carry):
        return StepOut(self._terms, carry)


def pixel_net(seed=0):
    torch.manual_seed(seed)
    return PixelNet()


def unet(seed=0, dropout=0.3):
    torch.manual_seed(seed)
    return UNet(1, 4, channels=(4, 4, 8, 8, 8), dropout=(dropout,) * 5)


def method_of(name, net, **settings):
    return build_method(name, net, SPEC, settings)


def batch_of(b=3, h=16, w=16, seed=0, share=0.2):
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 4, (b, h, w), generator=g)
    label[torch.rand(b, h, w, generator=g) > share] = IGNORE
    nothing = torch.zeros(0, dtype=torch.long)
    marks = MarkPoints(nothing, torch.zeros(0, 2), nothing, nothing)
    image = torch.rand(b, 1, h, w, generator=g)
    return Batch(image, label, torch.ones(b, h, w, dtype=torch.bool), marks, tuple("abcdefgh"[:b]))


def at(step, total=100, seed=0):
    return Clock(seed=seed, step=step, epoch=0, total=total)


class After:
    """What ``after_step`` sees once a number of steps is finished."""

    def __init__(self, step):
        self.clock = at(step)
