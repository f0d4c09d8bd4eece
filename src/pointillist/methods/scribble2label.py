"""Scribble2Label: running averages of the network's own predictions become labels where they are sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.methods._base import Context, Needs, SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._running_average import sure_label, update_averages
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class Scribble2Label(SingleNet):
    """What the network has predicted again and again, and surely, is a label.

    L = pCE + λ · CE over {p unmarked : max_k m̂_p^k > t} with the label argmax_k m̂_p^k. Every few epochs all training
    images are predicted, unaugmented and in eval mode, and m ← (1−α) m + α P, m₀ = 0; m̂ = m / (1 − (1−α)ⁿ) after n
    updates. Both cross-entropies are means over their own pixels. The averages are turned and flipped with the image.

    Cost: a forward pass over all training images a refresh, which at one an epoch makes a run about a third longer.
    K + 1 maps of float16 an image on disk for each of up to three generations: 0.25 GB a generation for 1,512 slices
    of 128² and four classes.

    When: the network is right in most places once it has learned from the marks, and marks are too few to learn the
    rest. Wrong predictions that are sure stay: not for a network that pCE alone leads astray. The averages are made
    in eval mode, so in runs of under 2,000 steps they carry the error of lagging BatchNorm statistics; and where few
    updates come before ``start``, its first labels are single predictions: choose ``refresh`` and ``start`` for more.

    Found: the averages of the public codes begin at 0 and are not corrected, so nothing is sure before
    1 − (1−α)ⁿ > t: the 8th update at α = 0.2, t = 0.8, the 29th at α = 0.1, t = 0.95. With two classes the original
    averages the foreground alone, and until then learns background labels only. The port to ACDC predicts in train
    mode, with dropout and one image a batch, which also shifts the BatchNorm statistics, and fills the corners that a
    rotation uncovers with background marks; neither is done here.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        alpha: α, the share of the newest prediction.
        threshold: t, of the winning class; in (½, 1) at most one class can exceed it.
        refresh: epochs between updates.
        start: share of the run after which the labels count; averages begin with the run.
        literal: use the averages uncorrected, as the public codes do.

    Source: Lee & Jeong, MICCAI 2020; hvcl/scribble2label ``Train.py`` for two classes (a refresh of 5 epochs, a start
    after epoch 100), WSL4MIS ``train_s2l.py`` for several and the defaults (on ACDC every 100 steps, here every epoch
    of 126; a start after 6,000 of 60,000 steps).
    """

    name = "scribble2label"
    paper = "Lee & Jeong, MICCAI 2020"
    needs = Needs(soft_targets=True)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.5,
        alpha: Annotated[float, Bounds(0.001, 1)] = 0.2,
        threshold: Annotated[float, Bounds(0, 1)] = 0.8,
        refresh: Annotated[int, Bounds(1, 10_000)] = 1,
        start: Annotated[float, Bounds(0, 1)] = 0.1,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.start, self.literal = weight, start, literal
        self.alpha, self.threshold, self.refresh = alpha, threshold, refresh

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and cross-entropy with what the averages are sure of once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            label = sure_label(batch, self.threshold, literal=self.literal)
            terms["sure"] = Term(marked_ce(out.logits, label), self.weight)
        return terms

    def after_epoch(self, ctx: Context) -> None:
        """Update the averages; not at the very end, where nobody would read them."""
        if ctx.clock.epoch % self.refresh == 0 and ctx.clock.progress < 1:
            update_averages(self.net, ctx, self.alpha)
