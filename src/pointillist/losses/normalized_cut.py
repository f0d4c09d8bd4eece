"""Normalised cut: each class should look like itself and unlike the rest, whatever its size."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._bilateral import Form, Kernel, association, check_pairs, masked_pairs


def normalized_cut(
    probabilities: Tensor,
    image: Tensor,
    *,
    sigma_xy: float = 100.0,
    sigma_rgb: float = 15 / 255,
    valid: Tensor | None = None,
    form: Form = "auto",
) -> Tensor:
    r"""Sum over classes of the share of a class's affinity that leads out of it, mean over images.

    .. math:: L = \frac1B \sum_n \sum_k \frac{S_k^T W (1 - S_k)}{d^T S_k}
              = \frac1B \sum_n \left(K - \sum_k \frac{S_k^T W S_k}{d^T S_k}\right), \quad d = W 1

    with the kernel W of ``dense_crf``. A class whose dᵀS_k is no larger than the mean degree, that is, one that holds
    less than a pixel of an image, is left out there: the quotient would be one of vanishing numbers. The gradient is
    (S_kᵀWS_k) d/(dᵀS_k)² − 2WS_k/(dᵀS_k) for the others; it needs no second sweep, and the image takes none.

    Args:
        probabilities: ``(b, k, h, w)`` S, softmax of the logits.
        image: ``(b, c, h, w)`` I on the same grid, in the units of ``sigma_rgb`` (default: intensities in [0, 1]).
        sigma_xy: width of the spatial kernel in pixels; ``math.inf`` switches it off.
        sigma_rgb: width of the colour kernel in units of the image; ``math.inf`` switches it off.
        valid: ``(b, h, w)`` Boolean mask; all pixels without it. Values elsewhere are not read.
        form: ``exact``, ``fast``, or ``auto``: exact up to 64² pixels; see ``dense_crf``.

    Returns:
        Scalar in [0, K − 1] up to the fast form's error; 0 for one class, for classes that no affinity joins, and,
        connected to the graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree, a width is not positive, or the image does not suit the fast form.
        RuntimeError: in the backward pass under ``create_graph``: there is no second derivative.

    Source: Tang et al., CVPR 2018. Its bandwidths were not at hand: the kernel is that of the dense CRF loss.
    """
    kernel = Kernel(sigma_xy, sigma_rgb, form)
    check_pairs(probabilities, image, valid, kernel)
    pairs = masked_pairs(probabilities, image, valid)
    within, degree = association(pairs, kernel)
    volume = (pairs.p * degree.unsqueeze(1)).sum((2, 3))
    pixels, total = pairs.inside.sum((1, 2)), (pairs.inside * degree).sum((1, 2))
    present = volume * pixels.unsqueeze(1) > total.unsqueeze(1)
    cut = 1 - within / torch.where(present, volume, 1)
    return (cut * present).sum(1).mean()
