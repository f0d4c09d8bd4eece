"""What every segmentation network offers to methods, to prediction and to export."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn

from pointillist.errors import InputError

Stages = tuple[Tensor, ...]
"""Encoder features ``(b, channels[i], *s / strides[i])``, finest first."""


@dataclass(frozen=True)
class NetOut:
    """All that one forward pass gives.

    Attributes:
        logits: ``(b, k, *s)`` on the grid of the input.
        stages: encoder features, finest first.
        levels: decoder features, finest first, on grids of ``SegmentationNet.level_strides``; ``levels[0]`` is what
            the output layer reads.
        side: what grafted modules give besides features (attention maps), by name.
    """

    logits: Tensor
    stages: Stages
    levels: tuple[Tensor, ...]
    side: dict[str, Tensor] = field(default_factory=dict)


class SegmentationNet(nn.Module, ABC):
    """An encoder and a decoder of features, image in, ``NetOut`` out.

    Attributes:
        channels: channels of each stage, finest first.
        strides: pixels of the input per pixel of each stage.
        level_channels: channels of each decoder level, finest first.
        level_strides: pixels of the input per pixel of each level.
        grafts: modules grafted onto stages, by the stage's index.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    level_channels: tuple[int, ...]
    level_strides: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self.grafts = nn.ModuleDict()

    @abstractmethod
    def encode(self, x: Tensor, side: dict[str, Tensor] | None = None) -> Stages:
        """Features of ``(b, c, *s)``, passed through the grafts; ``side`` receives what grafts give besides."""

    @abstractmethod
    def decode(self, stages: Stages) -> NetOut:
        """Logits of encoded features, whole or perturbed."""

    @abstractmethod
    def new_decoder(self) -> nn.Module:
        """Another decoder, ``Stages`` in, ``NetOut`` out, with weights of its own, on the processor."""

    def load_encoder(self, path: Path) -> None:
        """Put pretrained weights of a file into the encoder.

        Raises:
            InputError: if this network takes none, or the file does not fit.
        """
        raise InputError(
            "this network takes no pretrained weights",
            where=path,
            expected="a network with an encoder of a published shape, such as resnet50_unet",
            received=type(self).__name__,
            todo="leave --pretrained out, or choose such a network with --net",
        )

    def forward(self, x: Tensor) -> NetOut:
        """Encode and decode ``(b, c, *s)``."""
        side: dict[str, Tensor] = {}
        return replace(self.decode(self.encode(x, side)), side=side)

    def fresh(self, seed: int) -> Self:
        """The same architecture, grafts included, with new weights.

        Weights are drawn on the processor, so a seed gives the same ones on every device, and the global random state
        stays as it was.

        Raises:
            TypeError: if a module owns parameters but has no ``reset_parameters`` to draw them anew.
        """
        device = next(self.parameters()).device
        net = copy.deepcopy(self).cpu()
        net.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for module in reversed(list(net.modules())):  # parts before wholes: a whole may reset its parts its own way
                _reset(module)
        return net.to(device)

    def graft(self, stage: int, module: nn.Module) -> None:
        """Let ``module`` work on a stage's features before the decoder and the deeper stages see them.

        It becomes a child: trained, saved and predicted with.

        Args:
            stage: index of the stage, 0 = finest.
            module: features in, features of the same shape out, alone or as ``(features, {name: tensor})``; the
                latter appear in ``NetOut.side``.

        Raises:
            ValueError: if there is no such stage or it already bears a graft.
        """
        if not 0 <= stage < len(self.channels):
            msg = f"stage must be 0 … {len(self.channels) - 1}, got {stage}"
            raise ValueError(msg)
        if str(stage) in self.grafts:
            msg = f"stage {stage} already bears a graft; graft one module that holds both"
            raise ValueError(msg)
        self.grafts[str(stage)] = module

    def _grafted(self, stage: int, features: Tensor, side: dict[str, Tensor] | None) -> Tensor:
        """Features of a stage as its graft returns them, or as they are where there is none."""
        if str(stage) not in self.grafts:
            return features
        result = self.grafts[str(stage)](features)
        grafted, maps = result if isinstance(result, tuple) else (result, {})
        if grafted.shape != features.shape:
            msg = f"the graft on stage {stage} must keep the shape {tuple(features.shape)}, got {tuple(grafted.shape)}"
            raise ValueError(msg)
        if side is not None:
            side.update(maps)
        return cast("Tensor", grafted)


def _reset(module: nn.Module) -> None:
    """Draw the parameters that a module owns itself anew."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
    elif any(True for _ in module.parameters(recurse=False)):
        msg = (
            f"{type(module).__name__} owns parameters but cannot draw them anew; give it a method "
            "reset_parameters() that initialises them as its constructor does"
        )
        raise TypeError(msg)
