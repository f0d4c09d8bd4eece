"""Spatial self-attention that can be grafted onto any stage of a network."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_MLP_RATIO = 4


class SpatialAttention(nn.Module):
    """Every pixel of a feature map attends to every other one; layers of it, and a layer norm at the end.

    Attended features come from PyTorch's fused attention, so no map of all pairs is ever held. Whoever wants to know
    how alike two pixels are to a head finds its queries and keys beside the features.

    Args:
        channels: of the feature map.
        heads: attention heads a layer; they share the channels.
        layers: attention, then a perceptron with a depthwise convolution, one after the other.

    Raises:
        ValueError: if the heads cannot share the channels evenly.

    Source: Tian et al., AttenScribble 2023; widths and initialisation as in the authors' code.
    """

    def __init__(self, channels: int, *, heads: int = 1, layers: int = 1) -> None:
        super().__init__()
        if channels % heads:
            msg = f"heads must divide the {channels} channels, got {heads}"
            raise ValueError(msg)
        self.settings = {"channels": channels, "heads": heads, "layers": layers}
        self.layers = nn.ModuleList(AttentionLayer(channels, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Attended features ``(b, c, h, w)``, and what each head of each layer compared.

        Returns:
            The features, and ``query`` and ``key``, each ``(b, layers · heads, h, w, c / heads)``.
        """
        tokens = x.permute(0, 2, 3, 1)
        queries, keys = [], []
        for layer in self.layers:
            tokens, query, key = layer(tokens)
            queries.append(query)
            keys.append(key)
        return self.norm(tokens).permute(0, 3, 1, 2), {"query": torch.cat(queries, 1), "key": torch.cat(keys, 1)}


class AttentionLayer(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x)); tokens are ``(b, h, w, c)``.

    Args:
        channels: c.
        heads: attention heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        hidden = _MLP_RATIO * channels
        self.norm_attention, self.norm_mlp = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.compare = nn.Linear(channels, 3 * channels, bias=False)  # to queries, keys and values
        self.project = nn.Linear(channels, channels)
        self.widen, self.narrow = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Small linear maps, so that the layer starts close to the identity."""
        for linear in (self.compare, self.project, self.widen, self.narrow):
            nn.init.trunc_normal_(linear.weight, std=0.02)
        for linear in (self.project, self.widen, self.narrow):
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.mix.weight, std=(2 / 9) ** 0.5)
        nn.init.zeros_(cast("Tensor", self.mix.bias))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, queries and keys; the latter two ``(b, heads, h, w, c / heads)``."""
        compared = self.compare(self.norm_attention(x)).unflatten(3, (3, self.heads, -1))
        query, key, value = compared.permute(3, 0, 4, 1, 2, 5)
        attended = F.scaled_dot_product_attention(*(t.flatten(2, 3) for t in (query, key, value)))
        x = x + self.project(attended.transpose(1, 2).reshape(x.shape))
        hidden = self.widen(self.norm_mlp(x)).permute(0, 3, 1, 2)
        return x + self.narrow(F.gelu(self.mix(hidden)).permute(0, 2, 3, 1)), query, key
