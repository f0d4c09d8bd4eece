"""Attention inside windows of a feature map, every second time shifted by half a window."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_STD = 0.02  # of the weights that are drawn

_WRAPPED, _PADDED = 1, 2


class WindowBlock(nn.Module):
    """A Swin Transformer block: window attention, then a perceptron, each after a LayerNorm and beside a shortcut.

    Any grid works: it is padded to whole windows, and nothing looks at padding. A side of one window or less is not
    shifted.

    Args:
        width: channels.
        heads: of the attention.
        window: side of a window.
        shift: how far windows are shifted, 0 for not at all.
        drop_path: probability with which an image skips either half in training.

    Source: Liu et al., ICCV 2021.
    """

    def __init__(self, width: int, heads: int, *, window: int = 7, shift: int = 0, drop_path: float = 0.0) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.before_attention = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window)
        self.before_perceptron = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(b, h, w, width)`` of the same shape."""
        x = x + self.drop_path(self._attended(self.before_attention(x)))
        y: Tensor = x + self.drop_path(self.perceptron(self.before_perceptron(x)))
        return y

    def _attended(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[1:3]
        shift = tuple(self.shift if side > self.window else 0 for side in (rows, columns))
        x = F.pad(x, (0, 0, 0, -columns % self.window, 0, -rows % self.window))
        x = x.roll((-shift[0], -shift[1]), (1, 2))
        size = (x.shape[1], x.shape[2])
        y: Tensor = self.attention(split(x, self.window), self._allowed((rows, columns), shift, x.device))
        return joined(y, self.window, size).roll(shift, (1, 2))[:, :rows, :columns]

    def _allowed(self, sides: tuple[int, ...], shift: tuple[int, ...], device: torch.device) -> Tensor | None:
        """``(windows, window², window²)`` who may look at whom; None where all may."""
        if not any(shift) and not any(side % self.window for side in sides):
            return None
        rows, columns = (regions(side, self.window, by, device) for side, by in zip(sides, shift, strict=True))
        region = (3 * rows[:, None] + columns)[None, :, :, None]
        own = split(region, self.window)[0, :, :, 0]
        return own.unsqueeze(2) == own.unsqueeze(1)


class WindowAttention(nn.Module):
    """Attention of the pixels of a window to each other, with a learned bias for every offset and head.

    Args:
        width: channels.
        heads: of the attention; must divide the width.
        window: side of a window.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.offset_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        steps = torch.arange(window)
        rows, columns = (x.flatten() for x in torch.meshgrid(steps, steps, indexing="ij"))
        down, across = (x[:, None] - x + window - 1 for x in (rows, columns))
        self.register_buffer("offset", down * (2 * window - 1) + across, persistent=False)
        self.offset: Tensor
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the biases anew."""
        nn.init.trunc_normal_(self.offset_bias, std=_STD)

    def forward(self, x: Tensor, allowed: Tensor | None) -> Tensor:
        """Features ``(b, windows, window², width)``; ``allowed`` as ``(windows, window², window²)``, all without it."""
        b, windows, pixels, width = x.shape
        heads = self.query_key_value(x).reshape(b, windows, pixels, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(3, 0, 1, 4, 2, 5)
        bias = self.offset_bias[self.offset].permute(2, 0, 1)
        if allowed is not None:  # on the biases of the windows, not on the scores of all images
            bias = bias.where(allowed.unsqueeze(1), -torch.inf)
        scores = (query * self.scale) @ key.transpose(-2, -1) + bias
        mixed = scores.softmax(-1).to(value.dtype) @ value
        y: Tensor = self.out(mixed.transpose(2, 3).reshape(b, windows, pixels, width))
        return y


class DropPath(nn.Module):
    """Zeros for some images of a batch in training, the others divided by the probability of being kept.

    Args:
        rate: probability of zeros.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """``(b, …)`` of the same shape."""
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (kept.to(x.dtype) / (1 - self.rate))


def split(x: Tensor, window: int) -> Tensor:
    """``(b, h, w, c)`` with sides of whole windows as ``(b, windows, window², c)``."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c)
    return x.transpose(2, 3).reshape(b, -1, window * window, c)


def joined(x: Tensor, window: int, size: tuple[int, int]) -> Tensor:
    """The inverse of ``split`` for a map of ``size``."""
    b, c = x.shape[0], x.shape[-1]
    x = x.reshape(b, size[0] // window, size[1] // window, window, window, c)
    return x.transpose(2, 3).reshape(b, *size, c)


def regions(side: int, window: int, shift: int, device: torch.device | str = "cpu") -> Tensor:
    """``(padded side,)`` what each place of a padded and shifted side holds: what was there, wrapped, or padding."""
    padded = side + -side % window
    place = torch.arange(padded, device=device)
    wrapped = torch.where(place >= padded - shift, _WRAPPED, 0)
    return wrapped.masked_fill((place + shift) % padded >= side, _PADDED)


def draw_like_swin(module: nn.Module) -> None:
    """Draw the weights of all its ``nn.Linear`` as Swin Transformers do: a narrow normal, no bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
