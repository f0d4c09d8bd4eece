"""MixMatch for every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses import soft_consistency
from pointillist.methods._base import Method, Needs, Recipe, StepOut, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.methods._statistics import kept_statistics
from pointillist.nets.network import SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import global_mean
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class MixMatch(Method):
    """Guess sharpened labels, mix images and labels, and predict the mixed labels from the mixed images.

    L = pCE(x) + λ_u(t) · mean ‖P(x̃) − q̃‖² over classes and the pixels inside both mixed images. The guess q is the
    mean softmax of K_aug views of the image, one as it is and the others turned or mirrored and put back, sharpened to
    q_k^{1/T} / Σ_j q_j^{1/T}; marked pixels keep their marks. x̃ = λ x + (1−λ) x', q̃ = λ q + (1−λ) q' with x' another
    image of the batch and λ = max(λ', 1−λ'), λ' ~ Beta(α, α), one an image. λ_u rises linearly. This is in the spirit
    of MixMatch for point histology, not that method: see below.

    The guesses and the mixed images do not enter BatchNorm's running statistics, which describe the images that the
    network will predict.

    Cost: two passes with gradient and K_aug − 1 without, between two and three steps of partial cross-entropy.

    When: many images with few marks each. Mixed images look like none that will be predicted, so organs of fixed shape
    and place gain less than textures do.

    Found: the source classifies patches; the paper of CVM, which compares with it on segmentation, does not say how. A
    mixed pixel is marked only where both its pixels are, one in 10,000 at 1 % of marks, so partial cross-entropy stays
    on the images as they are. MixMatch's λ_u of 75 is for classification; 1 is where to start a search. MixMatch also
    evaluates a moving average of the weights with factor 0.999, which over a short run is the mean of nearly all
    iterates; it is left out, and the last iterate predicts, as for the other methods.

    Args:
        net: the network.
        spec: the task.
        weight: λ_u.
        ramp: share of the run over which λ_u rises.
        views: K_aug.
        temperature: T.
        alpha: α.
        start: share of the run after which the term counts.

    Source: Berthelot et al., NeurIPS 2019, for the constants; Gao et al., as a comparator of CVM (Zhang et al.).
    """

    name = "mixmatch"
    paper = "in the spirit of Berthelot et al., NeurIPS 2019, and Gao et al."
    recipe = Recipe(optimizer="adam", lr=1e-4, schedule="constant", batch=4)
    needs = Needs(min_batch=2)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 1000)] = 1.0,
        ramp: Annotated[float, Bounds(0, 1)] = 0.4,
        views: Annotated[int, Bounds(1, 8)] = 2,
        temperature: Annotated[float, Bounds(0.01, 1)] = 0.5,
        alpha: Annotated[float, Bounds(0.01, 100)] = 0.75,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.ramp, self.start = weight, ramp, start
        self.views, self.temperature, self.alpha = views, temperature, alpha

    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """Cross-entropy on the marks, and the squared error on their mixes once it has started."""
        logits = self.net(batch.image).logits
        terms = {"pce": Term(marked_ce(logits, batch.label))}
        if clock.started(self.start):
            weight = self.weight * _linear(clock.progress - self.start, self.ramp)
            with kept_statistics(self.net):
                terms["mixed"] = Term(self._mixed(batch, logits), weight)
        return StepOut(terms)

    def _mixed(self, batch: Batch, logits: Tensor) -> Tensor:
        target = marked_or(self._guess(batch.image, logits), batch.label)
        drawn = torch.distributions.Beta(self.alpha, self.alpha).sample((len(batch),))
        share = torch.maximum(drawn, 1 - drawn).to(target)
        partner = torch.randperm(len(batch)).to(target.device)
        inside = batch.valid & batch.valid[partner]
        mixed = self.net(mix(batch.image, partner, share)).logits
        total = soft_consistency(mixed, mix(target, partner, share), inside, reduction="sum")
        return global_mean(total, inside.sum())

    @torch.no_grad()
    def _guess(self, image: Tensor, logits: Tensor) -> Tensor:
        total = logits.detach().float().softmax(1)
        for _ in range(self.views - 1):
            pose = int(torch.randint(1, 8, ()))
            turned = self.net(pose_of(image, pose)).logits.float().softmax(1)
            total = total + posed_back(turned, pose)
        return sharpen(total / self.views, self.temperature)


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """``(b, k, *s)`` p_k^{1/T} / Σ_j p_j^{1/T}; relative to the largest, which keeps small T from 0/0."""
    powers = (probabilities / probabilities.amax(1, keepdim=True)) ** (1 / temperature)
    return powers / powers.sum(1, keepdim=True)


def marked_or(guess: Tensor, label: Tensor) -> Tensor:
    """``(b, k, *s)`` the mark where there is one, else the guess."""
    marked = (label != IGNORE).unsqueeze(1)
    certain = F.one_hot(label.masked_fill(label == IGNORE, 0), guess.shape[1]).movedim(-1, 1)
    return torch.where(marked, certain.to(guess.dtype), guess)


def mix(x: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """λ x + (1 − λ) x', x' the partner's.

    Args:
        x: ``(b, …)``.
        partner: ``(b,)`` another image of the batch, or the same.
        share: ``(b,)`` λ.
    """
    return torch.lerp(x[partner], x, share.to(x.dtype).view(-1, *[1] * (x.ndim - 1)))


def pose_of(x: Tensor, pose: int) -> Tensor:
    """``(b, c, h, w)`` in one of eight poses: mirrored from 4 on, then turned by a quarter as often as pose mod 4."""
    return torch.rot90(x.flip(3) if pose >= 4 else x, pose % 4, (2, 3))


def posed_back(x: Tensor, pose: int) -> Tensor:
    """The inverse of ``pose_of``."""
    upright = torch.rot90(x, -(pose % 4), (2, 3))
    return upright.flip(3) if pose >= 4 else upright


def _linear(since: float, length: float) -> float:
    """0 at the start, 1 after a share of the run."""
    return 1.0 if length <= 0 else min(since / length, 1.0)
