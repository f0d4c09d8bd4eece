"""How much each class keeps to itself under a bilateral Gaussian kernel over all pairs of pixels of an image."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from pointillist.losses._gram import gram_filter
from pointillist.losses._grid import grid_filter
from pointillist.losses._inputs import check_mask, check_scores, full_precision

Form = Literal["auto", "exact", "fast"]
_EXACT_UP_TO = 64**2  # pixels


class Kernel(NamedTuple):
    """w_pq = exp(−‖x_p − x_q‖²/2σ_xy² − ‖I_p − I_q‖²/2σ_rgb²), w_pp = 1.

    Attributes:
        sigma_xy: width in pixels.
        sigma_rgb: width in units of the image.
        form: ``exact`` over all pairs, ``fast`` on a bilateral grid, ``auto`` exact up to 64² pixels.
    """

    sigma_xy: float
    sigma_rgb: float
    form: Form

    def filter(self, values: Tensor, image: Tensor) -> Tensor:
        """W V for ``(m, h, w)`` V and ``(c, h, w)`` I of one image."""
        small = image[0].numel() <= _EXACT_UP_TO
        exact = self.form == "exact" or (self.form == "auto" and small)
        return (gram_filter if exact else grid_filter)(values, image, self.sigma_xy, self.sigma_rgb)


class Pairs(NamedTuple):
    """A batch ready for pairs, zero outside its mask.

    Attributes:
        p: ``(b, k, h, w)`` S.
        image: ``(b, c, h, w)`` I.
        inside: ``(b, h, w)`` the mask as 0 and 1.
    """

    p: Tensor
    image: Tensor
    inside: Tensor


def check_pairs(probabilities: Tensor, image: Tensor, valid: Tensor | None, kernel: Kernel) -> None:
    """Ask for a prediction and an image on one grid, and a kernel that exists.

    Raises:
        ValueError: if shapes disagree, a width is not positive, or the form has another name.
    """
    check_scores(probabilities, "probabilities")
    check_scores(image, "image")
    grids = [(x.ndim, x.shape[0], *x.shape[2:]) for x in (probabilities, image)]
    if grids[0] != grids[1] or probabilities.ndim != 4:
        msg = (
            "probabilities (b, k, h, w) and image (b, c, h, w) must share one grid, "
            f"got {tuple(probabilities.shape)} and {tuple(image.shape)}"
        )
        raise ValueError(msg)
    if valid is not None:
        check_mask(valid, probabilities, "valid")
    if not (kernel.sigma_xy > 0 and kernel.sigma_rgb > 0):
        msg = f"widths must be positive, got sigma_xy {kernel.sigma_xy}, sigma_rgb {kernel.sigma_rgb}"
        raise ValueError(msg)
    if kernel.form not in ("auto", "exact", "fast"):
        msg = f"form must be auto, exact or fast, got {kernel.form!r}"
        raise ValueError(msg)


def masked_pairs(probabilities: Tensor, image: Tensor, valid: Tensor | None) -> Pairs:
    """Prediction and image in full precision, zero where they are not valid; the image without gradient."""
    p = full_precision(probabilities)
    colours = image.detach().to(p.dtype)
    if valid is None:
        return Pairs(p, colours, torch.ones_like(p[:, 0]))
    outside = ~valid.unsqueeze(1)
    return Pairs(p.masked_fill(outside, 0), colours.masked_fill(outside, 0), valid.to(p.dtype))


def association(pairs: Pairs, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """S_kᵀWS_k of every class, and the degree W·1 of every pixel.

    Returns:
        ``(b, k)`` with gradient to S alone, and ``(b, h, w)`` without.
    """
    # products of matrices would be taken in half precision under autocast
    with torch.autocast(pairs.p.device.type, enabled=False):
        within, degree = _Association.apply(  # type: ignore[no-untyped-call]
            pairs.p, pairs.image, pairs.inside, kernel
        )
    return within, degree


class _Association(torch.autograd.Function):
    """SᵀWS, and its gradient 2WS found on the way: W is symmetric."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, image: Tensor, inside: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
        values = torch.cat([p, inside.unsqueeze(1)], 1).contiguous()
        pull = torch.stack([kernel.filter(*one) for one in zip(values, image.contiguous(), strict=True)])
        pull, degree = pull[:, :-1], pull[:, -1]
        ctx.save_for_backward(pull)
        ctx.mark_non_differentiable(degree)
        return (p * pull).sum((2, 3)), degree

    @staticmethod
    def backward(ctx: Any, grad_within: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        if torch.is_grad_enabled():  # under create_graph; the gradient would pass for a constant
            msg = "pairwise losses have no second derivative; differentiate them without create_graph"
            raise RuntimeError(msg)
        (pull,) = ctx.saved_tensors
        return pull * (2 * grad_within[:, :, None, None]), None, None, None
