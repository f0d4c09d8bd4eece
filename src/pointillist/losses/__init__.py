"""Losses as pure functions: tensors in, a scalar out, no method and no state.

They stand alone: ``from pointillist.losses import gated_crf`` in any training loop. ``logits`` and
``probabilities`` in an argument's name say which of the two a function takes. All of them compute in float32 (float64
where given) inside autocast, mask before they compute, so what stands in masked pixels is never read, and give a
zero that is connected to the graph where a batch offers nothing to learn from.
"""

from pointillist.losses.attentive_similarity import attentive_similarity
from pointillist.losses.cell_label import cell_label
from pointillist.losses.certain_pixels import certain_pixels
from pointillist.losses.class_attraction import class_attraction
from pointillist.losses.contour import contour
from pointillist.losses.contrastive_variance import contrastive_variance
from pointillist.losses.dense_crf import dense_crf
from pointillist.losses.entropy import entropy
from pointillist.losses.gated_crf import gated_crf
from pointillist.losses.intensity_variance import intensity_variance
from pointillist.losses.mixed_pseudo import mixed_pseudo, mixed_pseudo_label
from pointillist.losses.mumford_shah import mumford_shah
from pointillist.losses.mutual_consistency import mutual_consistency
from pointillist.losses.noise_robust_dice import noise_robust_dice
from pointillist.losses.normalized_cut import normalized_cut
from pointillist.losses.partial_ce import partial_ce
from pointillist.losses.partial_dice import partial_dice
from pointillist.losses.pixel_contrast import pixel_contrast
from pointillist.losses.pixel_cosine import pixel_cosine
from pointillist.losses.prototype_label import prototype_label
from pointillist.losses.sigmoid_contrast import sigmoid_contrast
from pointillist.losses.soft_ce import soft_ce
from pointillist.losses.soft_consistency import soft_consistency
from pointillist.losses.total_variation import total_variation
from pointillist.losses.weighted_kl import weighted_kl

__all__ = [
    "attentive_similarity",
    "cell_label",
    "certain_pixels",
    "class_attraction",
    "contour",
    "contrastive_variance",
    "dense_crf",
    "entropy",
    "gated_crf",
    "intensity_variance",
    "mixed_pseudo",
    "mixed_pseudo_label",
    "mumford_shah",
    "mutual_consistency",
    "noise_robust_dice",
    "normalized_cut",
    "partial_ce",
    "partial_dice",
    "pixel_contrast",
    "pixel_cosine",
    "prototype_label",
    "sigmoid_contrast",
    "soft_ce",
    "soft_consistency",
    "total_variation",
    "weighted_kl",
]
