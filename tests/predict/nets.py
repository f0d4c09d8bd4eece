"""Networks whose answer is known, so that prediction around them can be checked pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pointillist.nets import NetOut, SegmentationNet, UNet
from pointillist.predict.model import ModelDescription


class ByBrightness(SegmentationNet):
    """The class of a pixel is its own brightness times K, rounded down: no pixel sees another."""

    channels = (1,)
    strides = (1,)

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.centres = nn.Parameter((torch.arange(classes) + 0.5) / classes)
        self.calls: list[int] = []

    def encode(self, x, side=None):  # noqa: ARG002 - the interface has it
        self.calls.append(len(x))
        return (x.mean(1, keepdim=True),)

    def decode(self, stages):
        distance: Tensor = stages[0].float() - self.centres.view(1, -1, 1, 1)
        return NetOut(-200 * distance.square(), stages, stages)

    def new_decoder(self):
        return nn.Identity()


def described(**changes) -> ModelDescription:
    """A model of four classes on one channel."""
    stated = {
        "net": "unet",
        "classes": ("background", "RV", "Myo", "LV"),
        "channels": ("MRI",),
        "normalisation": "minmax",
        "size": 32,
        "grid": "zoom0",
    }
    return ModelDescription(**(stated | changes))


def decided_unet(channels: int = 1, classes: int = 4, seed: int = 0) -> UNet:
    """A U-Net with random weights whose answers differ from pixel to pixel."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = UNet(channels, classes)
        with torch.no_grad():
            for image in torch.rand(8, 1, channels, 32, 32):
                net(image.repeat(4, 1, 1, 1))
            net.decoder.output.weight.mul_(20)
    return net.eval()
