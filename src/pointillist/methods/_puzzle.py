"""PuzzleMix: which blocks of two images to show, so that little of what matters in either is hidden."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.solvers.graph_cut import three_label_cut
from pointillist.types import Floats

_FINEST = 64  # sides are padded to a multiple, so that 2, 4, 8 and 16 blocks fit, each a multiple of _POOL
_POOL = 4  # pixels that are averaged before colours are compared across the border of two blocks
_LEAST = 1e-8  # probability that stands for 0 in the prior


class Smoothness(NamedTuple):
    """Constants of the energy: β of unlike labels, γ of colours that clash, η of the prior."""

    beta: float
    gamma: float
    eta: float


@torch.no_grad()
def puzzle_mask(
    image: Tensor, saliency: Tensor, partner: Tensor, blocks: int, share: float, smoothness: Smoothness
) -> Tensor:
    r"""How much of each image its mix with a partner shows, block by block: nothing, half or all.

    .. math:: E(z) = \sum_p \left( z_p \bar s'_p + (1 - z_p) \bar s_p
              - \frac{η}{n^2} \log \left[ \tbinom{2}{2z_p} λ^{2z_p} (1 - λ)^{2 - 2z_p} \right] \right)
              + \frac{β}{16n} \sum_{(p,q)} \left( [z_p ≠ z_q] + γ φ_{pq}(z_p, z_q) \right)

    for z ∈ {0, 1} on n × n blocks; s̄ and s̄′ are the saliencies of the image and of its partner, each with sum 1; φ is
    the mean absolute difference of the colours that meet at the border of two blocks. Costs are linear in z, and what
    a pair adds to them is w_pq (z_p − z_q)², which gives z = ½ its energy, as in the public code. A minimum cut finds
    the global minimum for all images at once; the public code's swap moves find a local one.

    Args:
        image: ``(b, c, h, w)``.
        saliency: ``(b, h, w)`` ≥ 0; where it is 0 throughout, all blocks matter alike.
        partner: ``(b,)`` int64, which image each is mixed with.
        blocks: n, a power of two up to 16, along each side.
        share: λ in [0, 1], how much of the image the prior would show.
        smoothness: β, γ and η.

    Returns:
        ``(b, 1, h, w)`` z; the mix shows z of the image and 1 − z of its partner.

    Source: Kim et al., ICML 2020, with the constants of CycleMix ``mixup.py``. Blocks stay where they are: transport
    is left out.
    """
    height, width = image.shape[2:]
    vertical, horizontal = (-size % _FINEST for size in (height, width))
    top, left = vertical // 2, horizontal // 2
    margins = (left, horizontal - left, top, vertical - top)
    pooled = F.avg_pool2d(F.pad(image.float(), margins), _POOL)
    matters = _shares(F.pad(saliency.float(), margins), blocks)
    costs = torch.stack([matters, matters[partner]])  # of a block that shows the partner, and the image
    scale = smoothness.beta / (16 * blocks)
    down = _clashes(pooled, pooled[partner], blocks) * smoothness.gamma
    right = _clashes(pooled.mT, pooled[partner].mT, blocks).mT * smoothness.gamma
    costs[..., :-1, :] += scale * down.mean(1)
    costs[..., 1:, :] += scale * down.mean(0)
    costs[..., :-1] += scale * right.mean(1)
    costs[..., 1:] += scale * right.mean(0)
    chances = torch.tensor([(1 - share) ** 2, 2 * share * (1 - share), share**2], dtype=torch.float64)
    prior = -smoothness.eta / blocks**2 * (chances + _LEAST).log()
    three = torch.stack([costs[0], costs.mean(0), costs[1]], dim=1).cpu().double() + prior.view(1, 3, 1, 1)
    labels = three_label_cut(three.numpy(), *(_pull(clash, scale) for clash in (down, right)))
    shown = torch.from_numpy(labels.astype(np.float32) / 2).to(image.device)
    rows, columns = ((size + margin) // blocks for size, margin in ((height, vertical), (width, horizontal)))
    grown = shown.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    return grown[:, None, top : top + height, left : left + width]


def _shares(saliency: Tensor, blocks: int) -> Tensor:
    """``(b, n, n)`` each block's share of an image's saliency."""
    pooled = F.adaptive_avg_pool2d(saliency, blocks)
    total = pooled.sum((1, 2), keepdim=True)
    return torch.where(total > 0, pooled / total.masked_fill(total <= 0, 1), 1 / blocks**2)


def _clashes(image: Tensor, partner: Tensor, blocks: int) -> Tensor:
    """``(2, 2, b, n − 1, n)`` how unlike the colours are where blocks meet those below them.

    The first index says which image the upper block shows, the second which the lower one: 0 the partner, 1 the image.
    """
    rows = image.shape[2] // blocks
    pair = torch.stack([partner, image])
    upper, lower = pair[..., rows - 1 : -1 : rows, :], pair[..., rows::rows, :]
    unlike = (upper[:, None] - lower[None]).abs().mean(3)
    return unlike.reshape(*unlike.shape[:-1], blocks, -1).mean(-1)


def _pull(clash: Tensor, scale: float) -> Floats:
    """Weights w of the squared difference of two labels 0, 1, 2 of neighbours, which is four times that of z."""
    unlike = 1 + (clash[1, 0] + clash[0, 1] - clash[1, 1] - clash[0, 0]) / 2
    weights: Floats = (scale / 4 * unlike.clamp(min=0)).cpu().double().numpy()
    return weights
