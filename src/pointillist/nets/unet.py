"""The 2-D U-Net of the scribble literature: five stages, 16 to 256 channels."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pointillist.nets.dropout import Dropout
from pointillist.nets.network import NetOut, SegmentationNet, Stages


class ConvBlock(nn.Sequential):
    """Two 3×3 convolutions, each with BatchNorm and LeakyReLU(0.01); dropout between them.

    Dropout stands before the second BatchNorm, as published: that one learns its statistics under dropout noise, and
    after short runs predicts badly in eval mode unless they are estimated again.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(0.01),
            Dropout(dropout),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(0.01),
        )

    def forward(self, *parts: Tensor) -> Tensor:
        """Features of feature maps ``(b, cᵢ, h, w)`` as if they were joined along their channels."""
        conv, *others = self
        x = _conv_of_joined(cast("nn.Conv2d", conv), parts)
        for layer in others:
            x = layer(x)
        return x


class UpBlock(nn.Module):
    """Narrow with a 1×1 convolution, enlarge bilinearly to the skip's size (corners aligned), join, convolve."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(in_channels, out_channels, 1)
        self.join = ConvBlock(2 * out_channels, out_channels)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Features on the skip's grid."""
        enlarged = F.interpolate(self.narrow(deep), size=skip.shape[2:], mode="bilinear", align_corners=True)
        features: Tensor = self.join(skip, enlarged)
        return features


def _conv_of_joined(conv: nn.Conv2d, parts: tuple[Tensor, ...]) -> Tensor:
    """``conv(torch.cat(parts, 1))`` as a sum over the parts.

    The sum costs the same multiplications, and neither copies the parts nor cuts their gradients out of one tensor:
    on the processor a twentieth of a training step.
    """
    if len(parts) == 1:
        features: Tensor = conv(parts[0])
        return features
    weights = torch.split(conv.weight, [part.shape[1] for part in parts], dim=1)
    biases = (conv.bias, *[None] * (len(parts) - 1))
    products = [
        F.conv2d(part, weight, bias, conv.stride, conv.padding)
        for part, weight, bias in zip(parts, weights, biases, strict=True)
    ]
    return sum(products[1:], start=products[0])


class UNetDecoder(nn.Module):
    """From the deepest stage up to the finest, then a 3×3 output convolution.

    Args:
        channels: channels of the encoder's stages, finest first.
        classes: K, background included.
    """

    def __init__(self, channels: tuple[int, ...], classes: int) -> None:
        super().__init__()
        pairs = reversed(list(zip(channels[1:], channels[:-1], strict=True)))
        self.ups = nn.ModuleList(UpBlock(deep, fine) for deep, fine in pairs)
        self.output = nn.Conv2d(channels[0], classes, 3, padding=1)

    def forward(self, stages: Stages) -> NetOut:
        """Logits on the grid of ``stages[0]``."""
        x = stages[-1]
        levels: list[Tensor] = []
        for up, skip in zip(self.ups, reversed(stages[:-1]), strict=True):
            x = up(x, skip)
            levels.append(x)
        return NetOut(self.output(x), stages, tuple(reversed(levels)))


class UNet(SegmentationNet):
    """The published 2-D U-Net: dropout in the encoder only, bilinear upsampling, PyTorch's default initialisation.

    Any size from 16×16 works: pooling drops an odd row or column, and upsampling aims at the skip's size, which
    equals the published doubling where both sides are multiples of 16. One channel and four classes make
    1,813,764 parameters.

    Args:
        in_channels: channels of the image.
        classes: K, background included.
        channels: of the five stages, finest first.
        dropout: of the five stages' blocks, finest first.

    Raises:
        ValueError: if the five stages are not given five dropout rates, or an image is too small or has other channels.

    Source: WSL4MIS ``networks/unet.py``; Luo et al., MICCAI 2022.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256),
        dropout: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5),
    ) -> None:
        super().__init__()
        if len(channels) != len(dropout):
            msg = f"every stage needs channels and a dropout rate, got {channels} and {dropout}"
            raise ValueError(msg)
        self.in_channels, self.classes = in_channels, classes
        self.channels, self.strides = channels, tuple(2**i for i in range(len(channels)))
        self.level_channels, self.level_strides = channels[:-1], self.strides[:-1]
        widths = zip((in_channels, *channels[:-1]), channels, dropout, strict=True)
        self.encoder = nn.ModuleList(ConvBlock(*width) for width in widths)
        self.decoder = self.new_decoder()

    def encode(self, x: Tensor, side: dict[str, Tensor] | None = None) -> Stages:
        """Features of ``(b, c, h, w)`` at strides 1, 2, 4, 8, 16."""
        least = self.strides[-1]
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < least:
            msg = (
                f"the image must be (batch, {self.in_channels}, height, width) with sides of at least {least} pixels, "
                f"got {tuple(x.shape)}"
            )
            raise ValueError(msg)
        stages: list[Tensor] = []
        for stage, block in enumerate(self.encoder):
            x = self._grafted(stage, block(F.max_pool2d(x, 2) if stage else x), side)
            stages.append(x)
        return tuple(stages)

    def decode(self, stages: Stages) -> NetOut:
        """Logits of encoded features."""
        out: NetOut = self.decoder(stages)
        return out

    def new_decoder(self) -> UNetDecoder:
        """Another decoder of this shape, with weights of its own."""
        return UNetDecoder(self.channels, self.classes)
