"""Losses as pure functions: tensors in, a scalar out, no method and no state.

They stand alone: ``from pointillist.losses import gated_crf`` in any training loop. ``logits`` and
``probabilities`` in an argument's name say which of the two a function takes. All of them compute in float32 (float64
where given) inside autocast, mask before they compute, so what stands in masked pixels is never read, and give a
zero that is connected to the graph where a batch offers nothing to learn from.
"""

from pointillist.losses.certain_pixels import certain_pixels
from pointillist.losses.entropy import entropy
from pointillist.losses.gated_crf import gated_crf
from pointillist.losses.mixed_pseudo import mixed_pseudo, mixed_pseudo_label
from pointillist.losses.partial_ce import partial_ce
from pointillist.losses.partial_dice import partial_dice
from pointillist.losses.prototype_label import prototype_label
from pointillist.losses.soft_consistency import soft_consistency

__all__ = [
    "certain_pixels",
    "entropy",
    "gated_crf",
    "mixed_pseudo",
    "mixed_pseudo_label",
    "partial_ce",
    "partial_dice",
    "prototype_label",
    "soft_consistency",
]
