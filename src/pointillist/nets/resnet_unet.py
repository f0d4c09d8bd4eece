"""U-Nets on a ResNet: ResNet-50 is that of PCLMix's CNN branch, ResNet-34 that of the nuclei's multiscale contrast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import Tensor, nn

from pointillist.errors import InputError
from pointillist.nets.network import NetOut, SegmentationNet, Stages
from pointillist.nets.unet import ConvBlock

Depth = Literal[34, 50]
"""Layers of a ResNet; either has 3, 4, 6 and 3 blocks."""

_BLOCKS = (3, 4, 6, 3)
_WIDTHS = (64, 128, 256, 512)
_DECODER = (256, 128, 64, 32, 16)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; the first one strides. Names are torchvision's."""

    growth = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Features at a stride."""
        y = self.bn1(self.conv1(x)).relu_()
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = (self.bn2(self.conv2(y)) + shortcut).relu_()
        return out


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolution beside a shortcut; the 3×3 one strides. Names are torchvision's."""

    growth = 4  # of the channels in the last convolution

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = self.growth * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = _shortcut(in_channels, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Features at a stride."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        shortcut = x if self.downsample is None else self.downsample(x)
        out: Tensor = (self.bn3(self.conv3(y)) + shortcut).relu_()
        return out


def _shortcut(in_channels: int, out: int, stride: int) -> nn.Sequential | None:
    """What gives a block's input the shape of its output; None where it has it."""
    if stride == 1 and in_channels == out:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """The encoder, with torchvision's names and without its classifier.

    Args:
        in_channels: channels of the image.
        depth: 34, of basic blocks, or 50, of bottlenecks.

    Attributes:
        channels: of the five stages, finest first.
    """

    def __init__(self, in_channels: int, depth: Depth = 50) -> None:
        super().__init__()
        block = BasicBlock if depth == 34 else Bottleneck
        self.channels = (_WIDTHS[0], *(block.growth * width for width in _WIDTHS))
        self.conv1 = nn.Conv2d(in_channels, _WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        for i, (count, width) in enumerate(zip(_BLOCKS, _WIDTHS, strict=True)):
            first = block(self.channels[i], width, 2 if i else 1)
            others = (block(block.growth * width, width, 1) for _ in range(count - 1))
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *others))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw convolutions as He et al. do, for variances that neither grow nor fade over many layers."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stage(self, number: int, x: Tensor) -> Tensor:
        """Stage 1 … 5 of what the stage before gave, of the image for the first."""
        if number == 1:
            return cast("Tensor", self.bn1(self.conv1(x))).relu_()
        if number == 2:
            x = F.max_pool2d(x, 3, 2, 1)
        y: Tensor = self.get_submodule(f"layer{number - 1}")(x)
        return y


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
        """Put the weights of a ResNet of this depth into the encoder; the classifier's are left out.

        The first convolution is averaged over its colours and divided among the image's channels, so that a grey image
        gives what its copy in three colours gives; for three channels it stays as it is.

        Args:
            path: ``.safetensors``, or a PyTorch file with one dict of tensors, by torchvision's names.

        Raises:
            InputError: if there is no such file, it cannot be read, or its tensors are not those of a ResNet of
                this depth; the network stays as it was.
        """
        weights = {name: x for name, x in _read_tensors(path).items() if not name.startswith("fc.")}
        first = weights.get("conv1.weight")
        if first is not None and first.ndim == 4 and first.shape[1] != self.in_channels:
            share = first.shape[1] / self.in_channels
            weights["conv1.weight"] = first.mean(1, keepdim=True).repeat(1, self.in_channels, 1, 1) * share
        fitting, given = _shapes(self.encoder.state_dict()), _shapes(weights)
        wrong = sorted(name for name in fitting | given if fitting.get(name) != given.get(name))
        if wrong:
            raise InputError(
                f"the weights are not those of a ResNet-{self.depth}",
                where=path,
                expected=f"torchvision's names and shapes, {wrong[0]} {fitting.get(wrong[0], 'not among them')}",
                received=f"{wrong[0]} {given.get(wrong[0], 'missing')}, {len(wrong)} such differences",
                todo=f"export the tensors of torchvision's resnet{self.depth}",
            )
        self.encoder.load_state_dict(weights, strict=False)


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


def _shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Of all but counts of batches, which old files lack."""
    return {name: tuple(x.shape) for name, x in weights.items() if not name.endswith("num_batches_tracked")}


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes the readers raise
        raise _unreadable(path, f"{type(error).__name__}: {error}"[:500]) from error
    if not isinstance(tensors, dict) or not all(isinstance(x, Tensor) for x in tensors.values()):
        raise _unreadable(path, f"{type(tensors).__name__} of other things")
    return tensors


def _unreadable(path: Path, received: str) -> InputError:
    return InputError(
        "the pretrained weights cannot be read",
        where=path,
        expected="a .safetensors file, or a PyTorch file with one dict of tensors",
        received=received,
        todo="give the path of such a file",
    )
