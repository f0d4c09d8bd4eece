"""A decoder of Swin Transformer blocks for the stages of any encoder."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pointillist.nets.network import NetOut, Stages
from pointillist.nets.window_attention import WindowBlock, draw_like_swin

_STAGES = 4
_HEAD = 32  # channels of a head
_DROP_PATH = 0.1


class SwinDecoder(nn.Module):
    """From the deepest of an encoder's last four stages up to the finest of them, then to the grid of the image.

    Every stage is narrowed pixel by pixel; the deepest is enlarged by a linear layer that gives each pixel several;
    then joined with the next stage, two window blocks, enlarged, and so on. The last enlargement goes to full size. On
    a ResNet-50 that is 96, 192, 384 and 768 channels with 3, 6, 12 and 24 heads as published. A stage with fewer than
    96 channels gets as many as it has, so the decoder grows with its encoder. Any grid works.

    Args:
        channels: of all stages of the encoder, finest first.
        strides: of all stages.
        classes: K, background included.
        width: channels of the finest stage that is used, at most; each deeper one has twice as many.
        depth: window blocks a stage.
        window: side of a window.

    Raises:
        ValueError: if the encoder has fewer than two stages below full size, or the strides do not divide.

    Source: PCLMix ``network/swin_decoder.py``, after Cao et al., ECCV workshops 2022 (Swin-Unet). Its position
    embeddings stand in a plain list, so they are neither trained nor saved; here are none, and the blocks' biases for
    offsets tell places apart. The output layer has a bias here.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        classes: int,
        *,
        width: int = 96,
        depth: int = 2,
        window: int = 7,
    ) -> None:
        super().__init__()
        used = [i for i, stride in enumerate(strides) if stride > 1][-_STAGES:]
        steps = [strides[fine : deep + 1] for fine, deep in pairwise(used)]
        if len(used) < 2 or any(deep % fine for fine, *_, deep in steps):
            msg = f"the encoder needs two or more stages below full size, each dividing the next, got strides {strides}"
            raise ValueError(msg)
        self.used, self.full = used, strides[0]
        heads = max(1, min(width, channels[used[0]]) // _HEAD)
        narrow = min(width, channels[used[0]]) // heads * heads
        widths = [narrow * 2**i for i in range(len(used))]
        rates = [_DROP_PATH * i / (depth * len(used) - 1) for i in range(depth * len(used))]
        self.embeds = nn.ModuleList(
            nn.Sequential(nn.Linear(channels[i], wide), nn.LayerNorm(wide))
            for i, wide in zip(used, widths, strict=True)
        )
        self.expands = nn.ModuleList(
            Expand(2 * wide, wide, deep // fine) for wide, (fine, *_, deep) in zip(widths, steps, strict=False)
        )
        self.joins = nn.ModuleList(nn.Linear(2 * wide, wide) for wide in widths[:-1])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(
                    WindowBlock(
                        wide,
                        heads * 2**i,
                        window=window,
                        shift=window // 2 if number % 2 else 0,
                        drop_path=rates[depth * i + number],
                    )
                    for number in range(depth)
                )
            )
            for i, wide in enumerate(widths[:-1])
        )
        self.norm = nn.LayerNorm(narrow)
        self.to_full = Expand(narrow, narrow, strides[used[0]])
        self.output = nn.Conv2d(narrow, classes, 1)
        draw_like_swin(self)

    def forward(self, stages: Stages) -> NetOut:
        """Logits on the grid of the image; ``levels`` lie on full size and on the grids of the stages used."""
        tokens = [embed(stages[i].permute(0, 2, 3, 1)) for embed, i in zip(self.embeds, self.used, strict=True)]
        x, levels = tokens[-1], []
        for i in reversed(range(len(tokens) - 1)):
            x = _resized(self.expands[i](x), tokens[i].shape[1:3])
            x = self.blocks[i](self.joins[i](torch.cat([x, tokens[i]], dim=-1)))
            levels.append(x.permute(0, 3, 1, 2))
        full = torch.Size(self.full * side for side in stages[0].shape[2:])
        finest = _resized(self.to_full(self.norm(x)), full).permute(0, 3, 1, 2)
        return NetOut(self.output(finest), stages, (finest, *reversed(levels)))


class Expand(nn.Module):
    """Give each pixel ratio² ones, by a linear layer and a LayerNorm.

    Args:
        width: channels.
        out: channels of the new pixels.
        ratio: by which both sides grow.
    """

    def __init__(self, width: int, out: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.linear = nn.Linear(width, ratio * ratio * out, bias=False)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        """``(b, h, w, width)`` as ``(b, ratio h, ratio w, out)``."""
        b, h, w, _ = x.shape
        r = self.ratio
        pixels = self.linear(x).reshape(b, h, w, r, r, -1).transpose(2, 3)
        y: Tensor = self.norm(pixels.reshape(b, h * r, w * r, -1))
        return y


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    """``(b, *size, c)``: an encoder that rounds odd sides leaves grids a pixel larger or smaller than enlarged ones."""
    if x.shape[1:3] == size:
        return x
    return F.interpolate(x.permute(0, 3, 1, 2), size=list(size), mode="bilinear", align_corners=False).permute(
        0, 2, 3, 1
    )
