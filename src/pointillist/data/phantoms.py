"""Moving hearts of the computer's making: small cardiac volumes for the demo and for tests.

A slice across the heart shows a disc (LV, 3) in a ring (Myo, 2) and a crescent beside it (RV, 1), among neighbours
whose intensities overlap theirs: liver and chest wall are as bright as muscle, vessels and fat as bright as blood.
Texture, a bias field and noise lie over all of it. A point a class says little about where the neighbours begin, so
that learning from points alone leaves a gap below full supervision, as on real images.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import Grid, Image
from pointillist.data.simulate import draw
from pointillist.errors import InputError
from pointillist.spec import TaskSpec
from pointillist.types import Floats, LabelMap, Mask

CLASSES = ("background", "RV", "Myo", "LV")
_NAME = "Phantoms"
_ORIENTATION = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
_LUNG, _WALL, _LIVER, _MUSCLE, _BLOOD, _FAT = 0.10, 0.42, 0.40, 0.36, 0.78, 0.88


def make_phantoms(target: Path, *, training: int, testing: int, seed: int) -> Path:
    """Write a dataset of phantoms: marked training cases with their dense truth, and held-out cases.

    Every patient gives two cases, one with a relaxed and one with a contracted heart, which belong together. A training
    case has one random click per class and slice.

    Args:
        target: the dataset's folder; must not exist, or be empty.
        training: number of patients to learn from.
        testing: number of patients held out, in imagesTs and labelsTs.
        seed: any whole number; the same seed gives the same files.

    Returns:
        ``target``.

    Raises:
        InputError: if there is no patient to learn from, or a number is negative.
        DatasetError: if the target is in the way.
    """
    if training < 1 or testing < 0:
        raise InputError(
            "there is no patient to learn from",
            where="number of patients",
            expected="1 or more training, 0 or more testing patients",
            received=f"training {training}, testing {testing}",
            todo="ask for at least one training patient",
        )
    with DatasetBuilder(
        target, name=_NAME, spec=TaskSpec(CLASSES, ("MRI",)), ending=".nii.gz", kind="phantoms"
    ) as builder:
        for number in range(1, training + testing + 1):
            for frame in ("relaxed", "contracted"):
                builder.add(_case(number, frame, seed, held_out=number > training))
        builder.finish((), (f"phantoms of {training} + {testing} patients, seed {seed}",))
    return target


def phantom(patient: int, seed: int, *, contracted: bool = False) -> tuple[Image, LabelMap]:
    """One volume and its truth.

    Args:
        patient: any whole number; patients differ in place, size, shape, contrast and bias field.
        seed: any whole number.
        contracted: a smaller blood pool in a thicker wall.

    Returns:
        The image, ``(h, w, slices)`` int16 with 6 … 8 slices of 96 … 128 pixels, 8 mm apart, and its labels.
    """
    body = np.random.default_rng([seed, patient])  # the same in both frames
    noise = np.random.default_rng([seed, patient, 1 + contracted])
    height, width, slices = int(body.integers(96, 129)), int(body.integers(96, 129)), int(body.integers(6, 9))
    anatomy = _Anatomy.of(body)
    planes = [_slice(anatomy, (height, width), i / (slices - 1), contracted) for i in range(slices)]
    labels = np.stack([label for label, _ in planes], axis=-1)
    clean = np.stack([values for _, values in planes], axis=-1)
    values = _seen(clean, body, noise)
    spacing = float(np.round(body.uniform(1.3, 1.7), 3))
    spacing_mm = (spacing, spacing, 8.0)
    grid = Grid(labels.shape, spacing_mm, np.diag([*spacing_mm, 1.0]), _ORIENTATION)
    return Image(values, grid, where=f"phantom {patient}"), labels


def _case(number: int, frame: str, seed: int, *, held_out: bool) -> NewCase:
    name, group = f"heart{number:03d}_{frame}", f"heart{number:03d}"
    image, dense = phantom(number, seed, contracted=frame == "contracted")
    if held_out:
        return NewCase(name, image, group, dense=dense, side="Ts")
    clicks = draw(dense, generator="random_point", seed=seed, dataset=_NAME, case=name, slice_axis=2)
    return NewCase(name, image, group, strokes=tuple(clicks), dense=dense)


@dataclass(frozen=True)
class _Anatomy:
    """One patient's body; lengths in shares of the image's side, angles in radians."""

    centre: tuple[float, float]
    radius: float
    wall: float
    squeeze: float
    angle: float
    crescent: float
    tilt: tuple[float, float]
    chest: tuple[float, float]
    liver: float
    contrast: float
    vessels: Floats

    @classmethod
    def of(cls, rng: np.random.Generator) -> _Anatomy:
        return cls(
            centre=(rng.uniform(0.44, 0.56), rng.uniform(0.46, 0.58)),
            radius=rng.uniform(0.17, 0.21),
            wall=rng.uniform(0.24, 0.32),
            squeeze=rng.uniform(0.86, 1.0),
            angle=rng.uniform(-0.5, 0.5),
            crescent=rng.uniform(1.15, 1.5),
            tilt=(rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)),
            chest=(rng.uniform(0.40, 0.46), rng.uniform(0.42, 0.48)),
            liver=rng.uniform(0.20, 0.30),
            contrast=rng.uniform(0.8, 1.1),
            vessels=rng.uniform(0, 1, (5, 3)),
        )


def _slice(anatomy: _Anatomy, shape: tuple[int, int], depth: float, contracted: bool) -> tuple[LabelMap, Floats]:
    """Labels and clean intensities of one slice; depth runs from 0 (base) to 1 (apex)."""
    rows, columns = (
        (np.arange(n)[:, None] + 0.5) / n if axis == 0 else (np.arange(n)[None] + 0.5) / n
        for axis, n in enumerate(shape)
    )
    top, left = (c + t * depth for c, t in zip(anatomy.centre, anatomy.tilt, strict=True))
    y, x = _turned(rows - top, columns - left, anatomy.angle)
    ring, disc, crescent = _heart(anatomy, y, x, depth, contracted)
    values = _chest(anatomy, rows, columns, (top, left), depth)
    fat = ~(ring | disc) & (np.hypot(y, x * anatomy.squeeze) < 1.22 * _outer(anatomy, depth))
    values[fat & (x > 0)] = _FAT
    labels = np.zeros(shape, np.uint8)
    for cls, mask, brightness in ((1, crescent, _BLOOD), (2, ring, _MUSCLE), (3, disc, _BLOOD * 1.05)):
        labels[mask] = cls
        values[mask] = brightness * anatomy.contrast
    papillary = disc & (np.hypot(y - 0.3 * _outer(anatomy, depth), x) < 0.16 * _outer(anatomy, depth))
    values[papillary] = _MUSCLE * anatomy.contrast
    return labels, values


def _outer(anatomy: _Anatomy, depth: float) -> float:
    """Radius of the ring's outer border: the heart narrows to the apex."""
    return anatomy.radius * float(np.sqrt(1 - 0.7 * depth**2))


def _heart(anatomy: _Anatomy, y: Floats, x: Floats, depth: float, contracted: bool) -> tuple[Mask, Mask, Mask]:
    outer = _outer(anatomy, depth) * (0.95 if contracted else 1.0)
    wall = anatomy.wall * (1.4 if contracted else 1.0)
    distance = np.hypot(y, x * anatomy.squeeze)
    disc, whole = distance < outer * (1 - wall), distance < outer
    reach = outer * anatomy.crescent * (0.75 if contracted else 1.0) * (1 - 0.35 * depth)
    bulge = np.hypot(y * 0.85, x + outer * 0.75) < reach * 0.9
    crescent = bulge & (distance >= outer * 1.04) & (x < -0.1 * outer)
    return whole & ~disc, disc, _largest_part(crescent)


def _largest_part(mask: Mask) -> Mask:
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())[1:]
    largest: Mask = parts == (1 + int(np.argmax(sizes)) if sizes.size else -1)
    return largest


def _chest(anatomy: _Anatomy, rows: Floats, columns: Floats, heart: tuple[float, float], depth: float) -> Floats:
    """Lungs, chest wall, liver and vessels around the heart."""
    body = np.hypot((rows - 0.5) / anatomy.chest[0], (columns - 0.5) / anatomy.chest[1])
    values = np.full(body.shape, _LUNG)
    values[body > 0.86] = _WALL
    values[body > 0.95] = _FAT
    values[body > 1.0] = 0.02
    sac = np.hypot(rows - heart[0], columns - heart[1]) < 1.5 * anatomy.radius
    values[sac & (body < 0.86)] = _WALL * 0.9
    below = np.hypot(rows - 0.88, columns - 0.35) < anatomy.liver * (0.7 + 0.5 * depth)
    values[below & (body < 0.86)] = _LIVER
    for place, bright, size in anatomy.vessels:
        angle = 2 * np.pi * place
        row, column = 0.5 + 0.34 * np.sin(angle), 0.5 + 0.34 * np.cos(angle)
        vessel = np.hypot(rows - row, columns - column) < 0.025 + 0.05 * size
        values[vessel & (body < 0.86)] = _BLOOD if bright < 0.6 else _MUSCLE
    return values


def _turned(y: Floats, x: Floats, angle: float) -> tuple[Floats, Floats]:
    return y * np.cos(angle) - x * np.sin(angle), y * np.sin(angle) + x * np.cos(angle)


def _seen(clean: Floats, body: np.random.Generator, noise: np.random.Generator) -> NDArray[np.int16]:
    """What a scanner makes of clean intensities: blurred edges, texture, a bias field, Rician noise, whole numbers."""
    blurred = ndimage.gaussian_filter(clean, (0.8, 0.8, 0))
    texture = ndimage.gaussian_filter(noise.normal(size=clean.shape), (1.5, 1.5, 0))
    textured = blurred * (1 + 0.16 * texture / texture.std())
    slopes = body.uniform(-0.35, 0.35, 2)
    y, x = (np.linspace(-1, 1, n) for n in clean.shape[:2])
    bias = np.exp(slopes[0] * y[:, None] + slopes[1] * x[None] - 0.15 * (y[:, None] ** 2 + x[None] ** 2))
    real, imaginary = noise.normal(0, 0.05, (2, *clean.shape))
    measured = np.hypot(textured * bias[..., None] + real, imaginary)
    counts: NDArray[np.int16] = np.round(measured * 400 * body.uniform(0.7, 1.4)).astype(np.int16)
    return counts
