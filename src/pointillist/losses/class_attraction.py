"""Attraction of feature vectors to a memory of their class."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import full_precision

_TINY = 1e-12  # least squared length of a vector


def class_attraction(features: Tensor, memory: Tensor, feature_scores: Tensor, memory_scores: Tensor) -> Tensor:
    r"""Weighted mean of one minus the cosine over all pairs of a feature and a memory vector of one class.

    .. math:: L = \sum_m \sum_j w_m v_j \left( 1 - \frac{⟨f_m, M_j⟩}{\|f_m\| \|M_j\|} \right)
              = 1 - ⟨\sum_m w_m \hat f_m, \sum_j v_j \hat M_j⟩, \quad w_m = \frac{σ(a_m)}{\sum_n σ(a_n)},
              v_j = \frac{σ(c_j)}{\sum_i σ(c_i)}

    The second form needs no table of pairs. There are no negatives: nothing holds classes apart.

    Args:
        features: ``(n, d)`` f.
        memory: ``(m, d)`` M; takes no gradient.
        feature_scores: ``(n,)`` a, before the sigmoid σ.
        memory_scores: ``(m,)`` c.

    Returns:
        Scalar in [0, 2]; 0 where all vectors point the same way, and, connected to the graph, where n or m is 0.

    Raises:
        ValueError: if shapes disagree.

    Source: Alonso et al., ICCV 2021, as in SC-Net (Zhou et al., MICCAI 2023), whose code weighs the n × m distances
    one by one and so gives the same value.
    """
    if features.ndim != 2 or memory.ndim != 2 or features.shape[1] != memory.shape[1]:
        msg = (
            "features (n, d) and memory (m, d) must have vectors of one length, "
            f"got {tuple(features.shape)} and {tuple(memory.shape)}"
        )
        raise ValueError(msg)
    lengths = (features.shape[:1], memory.shape[:1])
    if (feature_scores.shape, memory_scores.shape) != lengths:
        msg = (
            f"every vector needs one score, {tuple(map(tuple, lengths))}, "
            f"got {tuple(feature_scores.shape)} and {tuple(memory_scores.shape)}"
        )
        raise ValueError(msg)
    if not (len(features) and len(memory)):
        return (full_precision(features).sum() + feature_scores.sum() + memory_scores.sum()) * 0
    centre = _mean_direction(features, feature_scores)
    remembered = _mean_direction(memory.detach(), memory_scores)
    return 1 - (centre * remembered).sum()


def _mean_direction(vectors: Tensor, scores: Tensor) -> Tensor:
    """``(d,)`` mean of the unit vectors, weighted by the sigmoid of their scores."""
    x = full_precision(vectors)
    weights = F.logsigmoid(full_precision(scores)).softmax(0)  # σ over their sum, also where every σ is nearly 0
    unit = x * x.square().sum(1, keepdim=True).clamp(min=_TINY).rsqrt()
    return (weights[:, None] * unit).sum(0)  # no matrix product: autocast would round it
