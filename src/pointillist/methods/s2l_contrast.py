"""Scribble2Label with a contrast of decoder features at several scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

import torch
from torch import nn

from pointillist.methods._base import Context, Needs, SingleNet, Term, marked_ce
from pointillist.methods._level_contrast import Draw, LevelContrast
from pointillist.methods._registry import register
from pointillist.methods._running_average import sure_label, update_averages
from pointillist.methods._scales import SCALES_FORM, scales_of
from pointillist.methods._settings import Bounds, Form
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class S2LContrast(SingleNet):
    """Scribble2Label, and features of one class that are alike while those of two classes are not, at several scales.

    L = pCE + λ · CE on what running averages are sure of, as ``scribble2label``, + Σ_s λ_s · C_s over the scales s. C
    compares all pairs of at most 6,000 vectors a class, drawn from all images of the batch: 2 · the mean over the
    classes of the mean over their pairs of log(1 + e^(−cos/τ)), plus the mean over the pairs of classes of the mean of
    log(1 + e^(cos/τ)). The vectors are those of a decoder level of stride δ, through a head of two 1×1 convolutions;
    the class of a vector is that of its cell of δ×δ pixels, marked or sure: a foreground class that at least a share ν₂
    of the cell is of, the background where at most ν₁ is foreground, none where a pixel is of unknown class. The heads
    are not shipped.

    Cost: that of ``scribble2label``, and 72 million pairs a scale and step where two classes have 6,000 vectors each,
    0.4 s on one core, four times that with four classes; their table is computed in parts, in a few MB. With two
    classes at 8 × 256² a step costs 1.8 times one of ``pce`` with one scale, 2.5 times with both. Heads see whole
    levels, for their BatchNorm.

    When: nuclei and the like, where ``scribble2label`` works and intensity alone misleads. With both scales the
    authors gain 0.022 mDice on 16 bright-field images, 0.003 on fluorescence and on MoNuSeg, where either scale alone
    gives more. Structures that fill no whole cell need ``scales=R1x1``. Not where the averages are surely wrong: the
    contrast learns from their labels, too.

    Found: the paper's target of a pair is "∧, logical or", which would push background from background; the public
    code's is "of one class". The paper divides by the number of all pairs (``pairs=all`` here, of the vectors that
    are drawn), the code adds the means of three blocks. Equation 5 lets a mark decide its cell (``marked_cells``), the
    code does not. Its sums are never 0: cosines end at −1 and 1, so the best is 3 log(1 + e^(−1/τ)), and orthogonal
    classes cost log 2 a pair: it asks for opposite ones. A batch without a class gives NaN in the code at δ = 1. At
    α = 0.1, t = 0.95 its averages, which begin at 0, make labels of background alone from epoch 100 to 145. Its
    schedule of the learning rate is built and never stepped; an image side of 256 is written into it.

    Args:
        net: the network.
        spec: the task.
        scales: any number of decoder levels, joined by ``+``: ``R1x1`` (δ = 1, τ = 0.3, λ = 0.5) and ``R4x4`` (δ = 4,
            τ = 0.1, λ = 10) of the paper, ``both``, either with changes (``R4x4 nu_2=0.75``), or others by numbers
            (``delta=8 tau=0.1 lambda=10``). ``delta`` is the stride of the level and the side of its cells, the nearest
            there is; ``level=1`` names the level, 0 being the finest, and with a larger ``delta`` cells are means over
            it. ``nu_1`` is the largest share of foreground in a background cell (0), ``nu_2`` the least share of a
            class in a cell of it (1).
        samples: vectors of a class at each scale, at most.
        pairs: ``balanced``, blocks of pairs count alike; ``all``, pairs do, as in the paper's equation.
        marked_cells: whether marks of a single class decide the class of their cell.
        weight: λ of the cross-entropy with sure labels.
        alpha: α, the share of the newest prediction in the running averages.
        threshold: t, of the winning class.
        refresh: epochs between updates of the averages.
        start: share of the run after which all terms but pCE count; averages begin with the run.
        literal: averages uncorrected, equally many vectors of all classes, and nothing where there are fewer than three
            of a class of cells, as the public code has it. A class of pixels with fewer than two gives 0 there, too.

    Source: Oh et al., ISBI 2022; hvcl/ScribbleCont ``main.py``, ``scripts/learner.py``,
    ``scripts/contrastive_loss.py``: U-Net on a ResNet-34 (``resnet34_unet``), a refresh of 5 epochs, a start after
    epoch 100, 30 images a step; on MoNuSeg α = 0.1, t = 0.95.
    """

    name = "s2l_contrast"
    paper = "Oh et al., ISBI 2022"
    needs = Needs(soft_targets=True)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        scales: Annotated[str, Form(scales_of, SCALES_FORM)] = "both",
        samples: Annotated[int, Bounds(2, 100_000)] = 6000,
        pairs: Literal["balanced", "all"] = "balanced",
        marked_cells: bool = False,
        weight: Annotated[float, Bounds(0, 100)] = 0.5,
        alpha: Annotated[float, Bounds(0.001, 1)] = 0.2,
        threshold: Annotated[float, Bounds(0, 1)] = 0.8,
        refresh: Annotated[int, Bounds(1, 10_000)] = 1,
        start: Annotated[float, Bounds(0, 1)] = 0.1,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        classes = len(spec.classes)
        self.scales = nn.ModuleDict({one.name: LevelContrast(net, classes, one) for one in scales_of(scales)})
        reduction: Literal["blocks", "pairs"] = "blocks" if pairs == "balanced" else "pairs"
        self.draw = Draw(samples, marked_cells, reduction, literal)
        self.weight, self.start, self.literal = weight, start, literal
        self.alpha, self.threshold, self.refresh = alpha, threshold, refresh

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE; cross-entropy with sure labels and the contrast of each scale once they have started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        label = None
        if clock.started(self.start):
            sure = sure_label(batch, self.threshold, literal=self.literal)
            terms["sure"] = Term(marked_ce(out.logits, sure), self.weight)
            label = torch.where(batch.label == IGNORE, sure, batch.label)
        for name, module in self.scales.items():
            scale = cast("LevelContrast", module)
            idle = label is None or scale.weight == 0
            value = scale.at_rest() if idle else scale(out.levels, label, batch.label, self.draw)
            terms[f"contrast_{name}"] = Term(value, scale.weight)
        return terms

    def after_epoch(self, ctx: Context) -> None:
        """Update the averages; not at the very end, where nobody would read them."""
        if ctx.clock.epoch % self.refresh == 0 and ctx.clock.progress < 1:
            update_averages(self.net, ctx, self.alpha)
