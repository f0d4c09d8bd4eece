"""U-Nets on a ResNet: ResNet-50 is that of PCLMix's CNN branch, ResNet-34 that of the nuclei's multiscale contrast."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pointillist.nets.network import NetOut, SegmentationNet, Stages
from pointillist.nets.resnet import Depth, ResNet
from pointillist.nets.unet import ConvBlock

_DECODER = (256, 128, 64, 32, 16)


class ResNetUNet(SegmentationNet):
    """A ResNet as encoder, and a U-Net decoder of 256, 128, 64, 32 and 16 channels up to full size.

    The first stage is the image itself, which the decoder needs for its size alone; the others are ResNet's at strides
    2 to 32. Sides need not be multiples of 32: upsampling aims at the size of the skip. Weights are random;
    ``load_encoder`` puts pretrained ones into the encoder. One channel and four classes make 32,516,260 parameters with
    50 layers and 24,431,524 with 34.

    Args:
        in_channels: channels of the image.
        classes: K, background included.
        depth: layers of the ResNet, 34 or 50.

    Raises:
        ValueError: if an image is too small or has other channels.

    Source: PCLMix ``network/unet_tf.py``, which takes encoder and decoder from segmentation-models-pytorch; He et al.,
    CVPR 2016, with a bottleneck's stride in its 3×3 convolution. ScribbleCont ``model/`` has 34
    layers, the same decoder with nearest upsampling, and a 1×1 output convolution.
    """

    strides = (1, 2, 4, 8, 16, 32)
    level_channels = _DECODER[::-1]
    level_strides = strides[:-1]

    def __init__(self, in_channels: int, classes: int, *, depth: Depth = 50) -> None:
        super().__init__()
        self.in_channels, self.classes, self.depth = in_channels, classes, depth
        self.encoder = ResNet(in_channels, depth)
        self.channels = (in_channels, *self.encoder.channels)
        self.decoder = self.new_decoder()

    def encode(self, x: Tensor, side: dict[str, Tensor] | None = None) -> Stages:
        """The image ``(b, c, h, w)``, and features at strides 2 to 32."""
        least = self.strides[-1]
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < least:
            msg = (
                f"the image must be (batch, {self.in_channels}, height, width) with sides of at least {least} pixels, "
                f"got {tuple(x.shape)}"
            )
            raise ValueError(msg)
        stages = [self._grafted(0, x, side)]
        for number in range(1, len(self.strides)):
            stages.append(self._grafted(number, self.encoder.stage(number, stages[-1]), side))
        return tuple(stages)

    def decode(self, stages: Stages) -> NetOut:
        """Logits of encoded features."""
        out: NetOut = self.decoder(stages)
        return out

    def new_decoder(self) -> ResNetDecoder:
        """Another decoder of this shape, with weights of its own."""
        return ResNetDecoder(self.channels[1:], self.classes)

    def load_encoder(self, path: Path) -> None:
        """Put the weights of a ResNet of this depth into the encoder: ``ResNet.load``."""
        self.encoder.load(path)


class ResNetDecoder(nn.Module):
    """From the deepest stage up to full size, then a 3×3 output convolution.

    Args:
        channels: of ResNet's five stages, finest first.
        classes: K, background included.
    """

    def __init__(self, channels: tuple[int, ...], classes: int) -> None:
        super().__init__()
        skips = (*reversed(channels[:-1]), 0)
        deep = (channels[-1], *_DECODER[:-1])
        self.joins = nn.ModuleList(ConvBlock(a + b, c) for a, b, c in zip(deep, skips, _DECODER, strict=True))
        self.output = nn.Conv2d(_DECODER[-1], classes, 3, padding=1)

    def forward(self, stages: Stages) -> NetOut:
        """Logits on the grid of ``stages[0]``, the image, which is not read."""
        x = stages[-1]
        levels: list[Tensor] = []
        for join, skip in zip(self.joins, reversed(stages[:-1]), strict=True):
            enlarged = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=True)
            x = join(enlarged, skip) if skip is not stages[0] else join(enlarged)
            levels.append(x)
        return NetOut(self.output(x), stages, tuple(reversed(levels)))
