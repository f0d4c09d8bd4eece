"""Named augmentations, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

from pointillist.errors import named


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a slice.

    First a coin decides on quarter turns and flips; where it falls the other way, a second coin decides on a small
    rotation. Slices of a ``native`` cache are cropped at random besides.

    Attributes:
        name: its name.
        source: where it is from.
        turn: probability of k ∈ {0, 1, 2, 3} quarter turns.
        flip: probability, given turns, of a flip along one axis after them.
        rotate: probability, given no turns, of a rotation.
        degrees: rotations are by a whole angle in [−degrees, degrees).
        scale: smallest and largest magnification, log-uniform.
        smooth: images by linear interpolation instead of the nearest pixel; labels are always the nearest pixel's.
    """

    name: str
    source: str
    turn: float = 0.0
    flip: float = 0.0
    rotate: float = 0.0
    degrees: int = 0
    scale: tuple[float, float] = (1.0, 1.0)
    smooth: bool = False


_NAMED = (
    Augmentation("none", "nothing changes"),
    Augmentation(
        "acdc",
        "WSL4MIS code/dataloaders/dataset_semi.py (METHODS A1): the three coins of the published ACDC protocol",
        turn=0.5,
        flip=1.0,
        rotate=0.5,
        degrees=20,
    ),
    Augmentation(
        "chaos",
        "AttenScribble code/dataloaders/dataset_chaos.py (METHODS A4): no flips, since the kidneys have sides",
        rotate=0.25,
        degrees=20,
    ),
    Augmentation(
        "cells",
        "the eight symmetries of the square with equal probability, and ±10 % in size; images without an upright side",
        turn=1.0,
        flip=0.5,
        scale=(1 / 1.1, 1.1),
        smooth=True,
    ),
)
AUGMENTATIONS = {one.name: one for one in _NAMED}


def augmentation_named(name: str) -> Augmentation:
    """The augmentation of this name.

    Raises:
        InputError: if there is none.
    """
    return named(AUGMENTATIONS, name, what="there is no such augmentation", where="--augmentation")
