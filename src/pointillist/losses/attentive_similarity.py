"""Attentive similarity: near places that an attention layer finds alike should have like predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._attention import attentive_energy
from pointillist.losses._inputs import check_mask, check_scores, full_precision
from pointillist.losses._pairs import Window


def attentive_similarity(
    probabilities: Tensor,
    query: Tensor,
    key: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    radius: int = 5,
    sigma: float = 6.0,
    mask: Tensor | None = None,
    literal: bool = False,
) -> Tensor:
    r"""Potts energy of the prediction in a window around every place, weighted by closeness and learned similarity.

    .. math:: L = \frac{1}{|Ω|} \sum_{p ∈ Ω} \sum_{q ∈ W_r(p) ∩ Ω, q ≠ p} e^{-\|x_p - x_q\|^2 / 2σ^2}
              S_{pq} (1 - ⟨P_p, P_q⟩), \quad S = \operatorname{sigmoid}\left(b + \sum_i w_i (A_i + A_i^⊤)\right), \quad
              A_i = \operatorname{softmax}(Q_i K_i^⊤ / \sqrt d)

    The softmax runs over all n = h·w places, but only the attention between pairs of the window is kept: products of
    all pairs are formed a few rows at a time, leave their log-sum-exp and their near entries, and are formed again in
    the backward pass. Memory is h·w·(2r+1)² numbers an attention map instead of (h·w)², and the value is exactly that
    of the whole maps. The gradient runs to the prediction, queries, keys, w and b.

    Args:
        probabilities: ``(b, k, h, w)`` P on the grid of the attention.
        query: ``(b, m, h, w, d)`` Q of m attention maps (heads and layers).
        key: ``(b, m, h, w, d)`` K.
        weight: ``(m,)`` w.
        bias: ``()`` b.
        radius: r ≥ 1 in places; the window has (2r+1)² places, and ends at the border.
        sigma: σ in places; ``math.inf`` switches the spatial factor off.
        mask: ``(b, h, w)`` Boolean Ω, the unlabelled places in the paper; all without it. Places outside have no pairs,
            but attention to them counts in the softmax.
        literal: Q_i K_iᵀ without 1/√d, as the public code has it.

    Returns:
        Scalar ≥ 0. Exactly 0 for a constant one-hot prediction; 0, connected to the graph, where the mask leaves no
        pair.

    Raises:
        ValueError: if shapes disagree, or radius or width is not positive.
        RuntimeError: in the backward pass under ``create_graph``: there is no second derivative.

    Source: Tian et al., AttenScribble 2023, eq. 6. The public code masks nothing and leaves out images whose dense
    truth has one class; an image is left out here by a mask that is False throughout.
    """
    _check(probabilities, query, key, weight, bias)
    if radius < 1 or not sigma > 0:
        msg = f"radius and sigma must be positive, got {radius} and {sigma}"
        raise ValueError(msg)
    p = full_precision(probabilities)
    if mask is None:
        mask = torch.ones_like(p[:, 0], dtype=torch.bool)
    check_mask(mask, p, "mask")
    p = p.masked_fill(~mask.unsqueeze(1), 0)
    query, key, weight, bias = (x.to(p.dtype) for x in (query, key, weight, bias))
    scaled = query if literal else query * query.shape[-1] ** -0.5
    energy = attentive_energy(p, scaled, key, weight, bias, mask, Window(radius, sigma, float("inf")))
    return energy / mask.sum().clamp(min=1)


def _check(probabilities: Tensor, query: Tensor, key: Tensor, weight: Tensor, bias: Tensor) -> None:
    check_scores(probabilities, "probabilities")
    if probabilities.ndim != 4:
        msg = f"attentive_similarity takes probabilities (b, k, h, w), got {tuple(probabilities.shape)}"
        raise ValueError(msg)
    grid = (probabilities.shape[0], *probabilities.shape[2:])
    if query.shape != key.shape or query.ndim != 5 or (query.shape[0], *query.shape[2:4]) != grid:
        msg = (
            "query and key must both be (b, m, h, w, d) on the grid of the probabilities, "
            f"got {tuple(query.shape)}, {tuple(key.shape)} and {tuple(probabilities.shape)}"
        )
        raise ValueError(msg)
    if weight.shape != query.shape[1:2] or bias.shape != ():
        msg = f"weight must be ({query.shape[1]},) and bias a scalar, got {tuple(weight.shape)} and {tuple(bias.shape)}"
        raise ValueError(msg)
