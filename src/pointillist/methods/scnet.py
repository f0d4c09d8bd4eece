"""SC-Net: marks that fill superpixels, and features drawn to those of their class."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.segmentation import slic
from torch import Tensor, nn

from pointillist.losses import class_attraction, mixed_pseudo, mixed_pseudo_label, noise_robust_dice, partial_dice
from pointillist.methods._base import Context, Method, Needs, StepOut, Term, marked_ce
from pointillist.methods._branches import both_branches
from pointillist.methods._offline import offline_label
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.methods._tap import on_grid_of
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, Floats, LabelMap

if TYPE_CHECKING:
    from pointillist.data.batch import Batch

_WIDTH = 32  # of all heads
_ITERATIONS = 10  # of SLIC


@register
class SCNet(Method):
    """DMPLS, with marks that fill their superpixels and features that are drawn to a memory of their class.

    L = ½ (pCE₁ + pCE₂) + λ · ½ (Dice(P₁, ŷ) + Dice(P₂, ŷ)) + λ_s · ½ (D(P₁, s) + D(P₂, s)) + λ_c ramp(t) (C₁ + C₂) with
    ŷ = argmax(β P₁ + (1−β) P₂) as in ``dmpls``. s are superpixels of the image (SLIC, once before training): one whose
    marks are all of one class takes it, all others keep their marks and stay unlabelled beside them. D is the
    noise-robust Dice, Σ|P − s|^γ / Σ(P + s). C_i is the mean over the classes of the weighted mean of 1 − cosine
    between each feature of branch i whose ŷ is that class, projected and predicted by two small heads, and the 32
    projected features that the branch itself gets right and a learned selector ranks highest. The background has no
    memory, and nothing pushes classes apart. The first decoder predicts.

    Cost: one pass through the encoder and one through each decoder, as ``dmpls``; 2.3 times a step of ``pce``. Heads
    see at most 4,096 pixels a class. Before training SLIC takes about 0.03 s a slice of 256×256.

    When: organs that differ from their surroundings in intensity, so that superpixels keep to their borders. Not where
    superpixels (about 18 pixels wide at 256×256) are larger than the structures.

    Found: the public code computes the paper's noise-robust Dice and never uses it; its loss has plain Dice. It sorts
    the selector's ranks in ascending order, so the features ranked lowest are kept. Superpixels with marks of two
    classes lose these marks. What is called contrastive has no negatives, and the background never enters the memory.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        superpixel: λ_s.
        contrast: λ_c, at the end of its ramp.
        ramp: length of that ramp, as a share of the run.
        dropout: rate of the channel dropout on the second decoder's features.
        segments: superpixels a slice, about.
        compactness: of superpixels; how many units of lightness (0 … 100) weigh as much as a superpixel's width.
        gamma: γ of the noise-robust Dice.
        memory: features a class that others are drawn to.
        start: share of the run after which all terms but pCE count.
        literal: plain Dice on superpixels, without the marks where superpixels hold several classes, and a memory of
            the features ranked lowest, as the public code has it. Not followed there either: its own SLIC, which takes
            a centre's colour from a single pixel and joins no stray pixels; a second projection of the memory's
            features in eval mode; all pixels through the heads; and a Dice that applies the mask of every image of the
            batch to all others.

    Source: Zhou et al., MICCAI 2023; Lemonzhoumeng/SC-Net ``add_super.py``, ``train_superpixel_dual_contrastive.py``,
    ``utils/contrastive_losses.py``. The public default is 6 images a step.
    """

    name = "scnet"
    paper = "Zhou et al., MICCAI 2023"
    needs = Needs(soft_targets=True)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.5,
        superpixel: Annotated[float, Bounds(0, 100)] = 0.005,
        contrast: Annotated[float, Bounds(0, 100)] = 0.01,
        ramp: Annotated[float, Bounds(0, 1)] = 0.5,
        dropout: Annotated[float, Bounds(0, 0.95)] = 0.5,
        segments: Annotated[int, Bounds(1, 100_000)] = 200,
        compactness: Annotated[float, Bounds(0.001, 1000)] = 15.0,
        gamma: Annotated[float, Bounds(1, 2)] = 1.5,
        memory: Annotated[int, Bounds(2, 4096)] = 32,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        self.auxiliary = net.new_decoder()
        self.heads = Heads(net.level_channels[0], len(spec.classes))
        self.weight, self.superpixel, self.contrast, self.ramp = weight, superpixel, contrast, ramp
        self.dropout, self.segments, self.compactness = dropout, segments, compactness
        self.gamma, self.memory, self.start, self.literal = gamma, memory, start, literal

    def before_training(self, ctx: Context) -> None:
        """Fill superpixels of every training image with their marks."""
        classes = len(self.spec.classes)
        for batch in ctx.sweep():
            images, labels = batch.image.float().cpu().numpy(), batch.label.cpu().numpy()
            for name, image, label in zip(batch.ids, images, labels, strict=True):
                parts = superpixels(image.astype(np.float64), self.segments, self.compactness)
                filled = torch.from_numpy(superpixel_label(parts, label.astype(np.uint8), classes)).long()
                known = filled != IGNORE
                soft = nn.functional.one_hot(filled.where(known, 0), classes).permute(2, 0, 1) * known
                ctx.targets.put(name, soft.float(), known.float())
        ctx.targets.commit()

    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """One pass through the encoder, one through each decoder, the heads on a sample of both decoders' features."""
        branches = both_branches(self.net, self.auxiliary, batch.image, self.dropout)
        terms = {
            f"pce_{number}": Term(marked_ce(branch.logits, batch.label), 0.5)
            for number, branch in enumerate(branches, start=1)
        }
        # gradients of the heads exist in every step, with or without anything to attract, as DDP wants it
        attraction = torch.stack([parameter.sum() for parameter in self.heads.parameters()]).sum() * 0
        if clock.started(self.start):
            first, second = (branch.logits.float().softmax(1) for branch in branches)
            beta = torch.tensor(derive_seed(clock.seed, clock.step, "scnet beta") / 2**63)  # the same on every process
            terms["mixed"] = Term(mixed_pseudo(first, second, beta), self.weight)
            label = self._superpixel_label(batch)
            terms["superpixel"] = Term((self._dice(first, label) + self._dice(second, label)) / 2, self.superpixel)
            pseudo = mixed_pseudo_label(first, second, beta)
            attraction = attraction + sum(self._attraction(branch, pseudo) for branch in branches)
        terms["contrast"] = Term(attraction, self.contrast * clock.ramp(self.ramp, self.start))
        return StepOut(terms)

    def _superpixel_label(self, batch: Batch) -> Tensor:
        """Superpixels with one class of marks; between them, unless literal, the marks of the others."""
        return offline_label(batch, torch.full_like(batch.label, IGNORE) if self.literal else batch.label)

    def _dice(self, p: Tensor, label: Tensor) -> Tensor:
        return partial_dice(p, label) if self.literal else noise_robust_dice(p, label, gamma=self.gamma)

    def _attraction(self, branch: NetOut, pseudo: Tensor) -> Tensor:
        """C of one branch."""
        features = on_grid_of(branch.logits, branch.levels[0]).permute(0, 2, 3, 1).flatten(0, 2)
        correct = (branch.logits.argmax(1) == pseudo).flatten()
        return self.heads.attraction(features, pseudo.flatten(), correct, memory=self.memory, best=not self.literal)


class Heads(nn.Module):
    """Projection, prediction, and two selectors for every foreground class; trained, never shipped.

    All classes' selectors start with equal weights, so that no class is preferred.

    Args:
        channels: of the features.
        classes: K, background included.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.projection = _perceptron(channels, _WIDTH, nn.ReLU())
        self.prediction = _perceptron(_WIDTH, _WIDTH, nn.ReLU())
        selector = _perceptron(_WIDTH, 1, nn.LeakyReLU(0.2))
        memory_selector = _perceptron(_WIDTH, 1, nn.LeakyReLU(0.2))
        self.selectors = nn.ModuleList(copy.deepcopy(selector) for _ in range(1, classes))
        self.memory_selectors = nn.ModuleList(copy.deepcopy(memory_selector) for _ in range(1, classes))

    def attraction(
        self, features: Tensor, label: Tensor, correct: Tensor, *, memory: int, best: bool, limit: int = 4096
    ) -> Tensor:
        """Mean over all classes of how far features lie from the memory of their class.

        Args:
            features: ``(n, c)``.
            label: ``(n,)`` their classes.
            correct: ``(n,)`` whether a feature may enter the memory.
            memory: features of each class that enter it.
            best: whether those ranked highest do, else those ranked lowest.
            limit: features a class that are looked at, drawn at random.
        """
        rows = [_some((label == number).nonzero()[:, 0], limit) for number in range(len(self.selectors) + 1)]
        chosen = torch.cat(rows)
        if len(chosen) < 2:  # nothing to normalise over
            return features.sum() * 0
        projected = self.projection(features.index_select(0, chosen))
        predicted = self.prediction(projected)
        counts = [len(one) for one in rows]
        terms = [predicted.sum() * 0]
        classes = zip(
            *(x.split(counts)[1:] for x in (predicted, projected.detach(), correct[chosen])),
            self.selectors, self.memory_selectors, strict=True,
        )  # fmt: skip
        for drawn, candidates, right, selector, memory_selector in classes:
            remembered = _ranked(candidates[right], selector, memory, best=best)
            if len(drawn) < 2 or len(remembered) < 2:
                continue
            unit = nn.functional.normalize(remembered.float(), dim=1)
            scores, memory_scores = selector(drawn.detach())[:, 0], memory_selector(unit)[:, 0]
            terms.append(class_attraction(drawn, unit, scores, memory_scores))
        return torch.stack(terms).sum() / len(rows)


@torch.no_grad()
def _ranked(features: Tensor, selector: nn.Module, count: int, *, best: bool) -> Tensor:
    """The features that the selector ranks highest, or lowest; all where there are no more than asked for."""
    if len(features) <= count:
        return features
    return features[selector(features)[:, 0].topk(count, largest=best).indices]


def _some(rows: Tensor, limit: int) -> Tensor:
    """At most so many of the rows, drawn with replacement where there are more."""
    if len(rows) <= limit:
        return rows
    return rows[torch.randint(len(rows), (limit,), device=rows.device)]


def _perceptron(channels: int, out: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, _WIDTH), nn.BatchNorm1d(_WIDTH), activation, nn.Linear(_WIDTH, out))


def superpixels(image: Floats, segments: int, compactness: float) -> NDArray[np.int64]:
    """Superpixels of one image in Lab, as ``(h, w)`` numbers from 0.

    Args:
        image: ``(c, h, w)``; three channels are colours, of any other number the mean is a grey value.
        segments: how many, about.
        compactness: how many units of Lab weigh as much as a superpixel's width.

    Source: Achanta et al., TPAMI 2012.
    """
    colours = image if len(image) == 3 else np.repeat(image.mean(0, keepdims=True), 3, axis=0)
    parts: NDArray[np.int64] = slic(
        np.moveaxis(colours, 0, -1),
        n_segments=segments,
        compactness=compactness,
        max_num_iter=_ITERATIONS,
        convert2lab=True,
        start_label=0,
        channel_axis=-1,
    )
    return parts


def superpixel_label(parts: NDArray[np.int64], label: LabelMap, classes: int) -> LabelMap:
    """The class of each superpixel whose marks are all of one class, IGNORE in all others.

    Args:
        parts: ``(h, w)`` numbers of superpixels, from 0.
        label: ``(h, w)`` marks, IGNORE elsewhere.
        classes: K.
    """
    marked = label != IGNORE
    number = int(parts.max()) + 1
    counts = np.bincount(parts[marked] * classes + label[marked], minlength=number * classes).reshape(number, classes)
    unanimous = (counts > 0).sum(1) == 1
    filled: LabelMap = np.where(unanimous, counts.argmax(1), IGNORE).astype(np.uint8)[parts]
    return filled
