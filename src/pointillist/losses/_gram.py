"""The bilateral Gaussian kernel applied pair by pair: exact, for small images."""

from __future__ import annotations

import torch
from torch import Tensor

_ENTRIES_AT_ONCE = 2**17  # of the kernel matrix, so that a block stays in the cache


def gram_filter(values: Tensor, image: Tensor, sigma_xy: float, sigma_rgb: float) -> Tensor:
    """W V of one image, with W computed in blocks of rows and never held as a whole.

    W is symmetric, so only blocks on and right of its diagonal are computed; each serves its mirror image too.

    Args:
        values: ``(m, h, w)`` V.
        image: ``(c, h, w)``.
        sigma_xy: width of the spatial kernel in pixels.
        sigma_rgb: width of the colour kernel in units of the image.
    """
    pixels = image[0].numel()
    rows, columns = (torch.arange(n, dtype=image.dtype, device=image.device) for n in image.shape[1:])
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij")) / sigma_xy
    features = torch.cat([place, image / sigma_rgb]).view(-1, pixels) / 2**0.5
    flat = values.reshape(len(values), pixels)
    filtered = torch.zeros_like(flat)
    step = max(1, _ENTRIES_AT_ONCE // pixels)
    for start in range(0, pixels, step):
        here = slice(start, start + step)
        weight = _weight(features[:, here], features[:, start:])
        filtered[:, here] += flat[:, start:] @ weight.t()
        filtered[:, start + step :] += flat[:, here] @ weight[:, step:]
    return filtered.view_as(values)


def _weight(here: Tensor, there: Tensor) -> Tensor:
    """exp(−‖f_p − f_q‖²) of features ``(f, p)`` and ``(f, q)``, from differences: exactly 1 where they agree."""
    exponent = here.new_zeros(here.shape[1], there.shape[1])
    for one, other in zip(here, there, strict=True):
        difference = one[:, None] - other
        exponent.addcmul_(difference, difference, value=-1)
    return exponent.exp_()
