"""Intensity variance: classes alike within, apart from each other."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._intensity import Region, masses_and_centres, per_class, region, squared_distance

_TINY = 1e-12  # under roots, whose slope at 0 is infinite


def intensity_variance(
    probabilities: Tensor,
    image: Tensor,
    *,
    present: Tensor | None = None,
    mask: Tensor | None = None,
    literal: bool = False,
) -> Tensor:
    r"""Variance of the intensities within the classes of an image less the variance between them.

    .. math:: L = \frac1B \sum_n \left( \frac{1}{|K_n|} \sum_{k ∈ K_n} \frac{\sum_p P_p^k \|I_p - c_k\|^2}
              {\sum_p P_p^k} - \frac{1}{|K_n|} \sum_{k ∈ K_n} \|c_k - \bar c\|^2 \right), \quad
              c_k = \frac{\sum_p P_p^k I_p}{\sum_p P_p^k}

    c̄ is the plain mean of the c_k. Classes count alike, however large. An image with fewer than two classes in K_n
    has nothing between them and adds 0.

    Args:
        probabilities: ``(b, k, *s)`` P, softmax of the logits.
        image: ``(b, c, *s)`` I on the same grid; variances of its channels are added.
        present: ``(b, k)`` Boolean, the classes K_n of each image, all without it. What is predicted of an absent class
            is noise, and its mean colour would be pushed away from the others all the same.
        mask: ``(b, *s)`` Boolean, pixels that count, all without it.
        literal: the public code's form, inter − intra with intra = mean_{n,k} std_p(I P^k), inter = mean_n std_k(mean_p
            I P^k): the sign is reversed, and the products' deviations are not those of the classes. Over all pixels
            and classes; a root of 0 has the gradient 0, where the public code gives NaN.

    Returns:
        Scalar ≥ −v for images whose intensities have the variance v at most; 0, connected to the graph, where no image
        has two classes or the mask is empty.

    Raises:
        ValueError: if shapes disagree, or the literal form is given ``present`` or a mask.

    Source: WSL4MIS ``train_weakly_supervised_pCE_Inter&Intra_Class_2D.py``, whose README calls it intensity variance
    minimisation. The form above is what that name and the names in the code say.
    """
    if literal and not (present is None and mask is None):
        msg = "the literal form knows neither present nor mask; leave them out"
        raise ValueError(msg)
    given = region(probabilities, image, mask)
    if literal:
        return sum((_literal(given.p, channel) for channel in given.image.unbind(1)), given.p.new_zeros(()))
    everywhere = torch.ones(given.p.shape[:2], dtype=torch.bool, device=given.p.device)
    if present is None:
        present = everywhere
    elif present.dtype != torch.bool or present.shape != everywhere.shape:
        msg = f"present must be a Boolean tensor {tuple(everywhere.shape)}, got {present.dtype} {tuple(present.shape)}"
        raise ValueError(msg)
    return _within_less_between(given, present & (present.sum(1, keepdim=True) > 1))


def _within_less_between(given: Region, counted: Tensor) -> Tensor:
    mass, centres = masses_and_centres(given.p, given.image)
    # ∂/∂c of the sum of squares is 0 at the centroid, so the distances take no gradient
    within = per_class(given.p * squared_distance(given.image, centres)) / mass
    share = counted.to(within.dtype) / counted.sum(1, keepdim=True).clamp(min=1)
    middle = (share.unsqueeze(2) * centres).sum(1, keepdim=True)
    between = (centres - middle).square().sum(2)
    return (share * (within - between)).sum() / len(share)


def _literal(p: Tensor, channel: Tensor) -> Tensor:
    products = (p * channel.unsqueeze(1)).flatten(2)
    return _deviation(products.mean(2)).mean() - _deviation(products).mean()


def _deviation(x: Tensor) -> Tensor:
    """Standard deviation along the last axis, with Bessel's correction where it can be."""
    from_mean = x - x.detach().mean(-1, keepdim=True)  # the sum of squares has the slope 0 in the mean
    return (from_mean.square().sum(-1) / max(x.shape[-1] - 1, 1) + _TINY).sqrt()
