"""ResNets as encoders: their blocks, their stages, and the files of weights that are published for them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import Tensor, nn

from pointillist.errors import InputError

Depth = Literal[34, 50]
"""Layers of a ResNet; either has 3, 4, 6 and 3 blocks."""

_BLOCKS = (3, 4, 6, 3)
_WIDTHS = (64, 128, 256, 512)


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
        stages: so many of the five.

    Attributes:
        channels: of the stages, finest first.
    """

    def __init__(self, in_channels: int, depth: Depth = 50, *, stages: int = 5) -> None:
        super().__init__()
        block = BasicBlock if depth == 34 else Bottleneck
        self.in_channels, self.depth = in_channels, depth
        self.channels = (_WIDTHS[0], *(block.growth * width for width in _WIDTHS))[:stages]
        self.conv1 = nn.Conv2d(in_channels, _WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        for i, (count, width) in enumerate(zip(_BLOCKS[: stages - 1], _WIDTHS, strict=False)):
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
            x = _pooled(x)
        y: Tensor = self.get_submodule(f"layer{number - 1}")(x)
        return y

    def stem(self, x: Tensor) -> Tensor:
        """What ``layer1`` reads of the image: stage 1, pooled to stride 4."""
        return _pooled(self.stage(1, x))

    def load(self, path: Path) -> None:
        """Take the weights of a whole ResNet of this depth; those of its classifier and of absent stages are left out.

        The first convolution is averaged over its colours and divided among the image's channels, so that a grey image
        gives what its copy in three colours gives; for three channels it stays as it is.

        Args:
            path: ``.safetensors``, or a PyTorch file with one dict of tensors, by torchvision's names.

        Raises:
            InputError: if there is no such file, it cannot be read, or its tensors are not those of a ResNet of
                this depth; all weights stay as they were.
        """
        absent = ("fc.", *(f"layer{number}." for number in range(len(self.channels), len(_BLOCKS) + 1)))
        weights = {name: x for name, x in _read_tensors(path).items() if not name.startswith(absent)}
        first = weights.get("conv1.weight")
        if first is not None and first.ndim == 4 and first.shape[1] != self.in_channels:
            share = first.shape[1] / self.in_channels
            weights["conv1.weight"] = first.mean(1, keepdim=True).repeat(1, self.in_channels, 1, 1) * share
        fitting, given = _shapes(self.state_dict()), _shapes(weights)
        wrong = sorted(name for name in fitting | given if fitting.get(name) != given.get(name))
        if wrong:
            raise InputError(
                f"the weights are not those of a ResNet-{self.depth}",
                where=path,
                expected=f"torchvision's names and shapes, {wrong[0]} {fitting.get(wrong[0], 'not among them')}",
                received=f"{wrong[0]} {given.get(wrong[0], 'missing')}, {len(wrong)} such differences",
                todo=f"export the tensors of torchvision's resnet{self.depth}",
            )
        self.load_state_dict(weights, strict=False)


def _pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, 1)


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
