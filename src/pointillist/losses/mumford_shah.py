"""Mumford–Shah: classes of nearly constant intensity within short boundaries."""

from __future__ import annotations

from torch import Tensor

from pointillist.losses._intensity import LEAST_MASS, Region, masses_and_centres, per_class, region, squared_distance
from pointillist.losses._variation import variation


def mumford_shah(
    probabilities: Tensor, image: Tensor, *, mu: float = 1.0, mask: Tensor | None = None, literal: bool = False
) -> Tensor:
    r"""Squared distance of the intensities from the mean of their class, and the length of the boundaries.

    .. math:: L = \sum_{n, k} \sum_p P_p^k \|I_p - c_k^n\|^2 + μ \sum_{n, k} \sum_p |Δ_x P_p^k| + |Δ_y P_p^k|, \quad
              c_k^n = \frac{\sum_p P_p^k I_p}{\sum_p P_p^k}

    Every class counts, the background too, and sums are raw: they grow with the pixels and images of a batch, the
    first in proportion to the area, the second to the length of the boundaries. No gradient runs through c: at the
    mean of the class ∂L/∂c = 0, so ‖I − c‖² is the exact gradient of the first sum. Centroids are found first and
    differences squared then, which keeps all digits where Σ I² P − (Σ I P)² / Σ P loses them.

    Args:
        probabilities: ``(b, k, *s)`` P, softmax of the logits.
        image: ``(b, c, *s)`` I on the same grid; squares of its channels' differences are added.
        mu: μ ≥ 0, weight of the boundaries in units of the image squared.
        mask: ``(b, *s)`` Boolean, pixels that count, all without it; a boundary counts between two of them.
        literal: exchange prediction and image in the first sum, as WSL4MIS does: Σ_k Σ_c Σ_p I_p^c (P_p^k − m)² with
            m = Σ I P / Σ I. That asks for a constant prediction where the image is bright and knows nothing of classes.

    Returns:
        Scalar ≥ 0. A one-hot prediction of the regions of a piecewise constant image has no first sum, and a class
        that vanishes adds nothing; 0, connected to the graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree, or μ is negative.

    Source: Kim & Ye, IEEE TIP 2019, in whose code μ = 0.001; WSL4MIS ``MumfordShah_Loss`` for μ = 1. Both sum
    without dividing. Copies of the latter differ in the second sum: some take it over the image, where it is constant.
    """
    if not mu >= 0:
        msg = f"mu must not be negative, got {mu}"
        raise ValueError(msg)
    given = region(probabilities, image, mask)
    level = _level_exchanged(given) if literal else _level(given)
    return level + mu * variation(given.p, mask).sum()


def _level(given: Region) -> Tensor:
    _, centres = masses_and_centres(given.p.detach(), given.image)
    return (given.p * squared_distance(given.image, centres)).sum()


def _level_exchanged(given: Region) -> Tensor:
    level = given.p.new_zeros(())
    for channel in (plane.unsqueeze(1) for plane in given.image.unbind(1)):
        brightness = per_class(channel).clamp(min=LEAST_MASS)
        means = per_class(given.p.detach() * channel) / brightness
        deviation = given.p - means.view(*means.shape, *[1] * (channel.ndim - 2))
        level = level + (channel * deviation.square()).sum()
    return level
