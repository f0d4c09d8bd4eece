"""Intensities brought to [0, 1], once per volume or image, by named rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from pointillist.data.image import Image
from pointillist.errors import InputError
from pointillist.types import AnyArray, Floats

NormalisationName = Literal["acdc", "minmax", "ct", "unit", "imagenet"]

_BINS = 256
_KEPT = 0.99
_SOFT_TISSUE_HU = (-125.0, 275.0)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def normalise(image: Image, name: NormalisationName) -> Floats:
    """Bring an image to [0, 1], channel by channel over the whole volume.

    Args:
        image: ``(*s)``, or ``(h, w, 3)`` in colour.
        name: a rule of ``NORMALISATIONS``.

    Returns:
        ``(*s, c)``.

    Raises:
        InputError: if the rule does not fit the kind of values.
    """
    array = image.array if image.channels > 1 else image.array[..., None]
    if name in ("unit", "imagenet") and array.dtype != np.uint8:
        raise InputError(
            f"normalisation {name!r} divides 8-bit values by 255",
            where=image.where,
            expected="8-bit values",
            received=array.dtype,
            todo="choose --normalisation minmax or acdc",
        )
    if name == "ct" and array.min() >= 0:
        raise InputError(
            "normalisation 'ct' clips Hounsfield units",
            where=image.where,
            expected="values below 0: fat and air",
            received=f"{array.min()} … {array.max()}",
            todo="choose --normalisation unit for 8-bit images that were windowed before, else minmax",
        )
    rule = NORMALISATIONS[name]
    return np.stack([rule(array[..., channel]) for channel in range(array.shape[-1])], axis=-1)


def moments(name: NormalisationName, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel that a batch is normalised with after its values are in [0, 1].

    ``imagenet`` has those of ImageNet's colours, every other rule 0 and 1.

    Raises:
        InputError: if ``imagenet`` is asked of images that are not in colour.
    """
    if name != "imagenet":
        return (0.0,) * channels, (1.0,) * channels
    if channels != len(_IMAGENET[0]):
        raise InputError(
            "ImageNet's statistics are for colour images",
            where="--normalisation imagenet",
            expected="3 channels",
            received=channels,
            todo="choose another rule, for example --normalisation unit",
        )
    return _IMAGENET


def _acdc(values: AnyArray) -> Floats:
    """Clip the brightest 1 % and stretch: the published ACDC preparation, per volume (METHODS A1).

    The threshold is the first of 256 histogram-bin centres whose cumulative share reaches 0.99
    (WSL4MIS code/dataloaders/acdc_data_processing.py).
    """
    real = values.astype(np.float64)
    counts, edges = np.histogram(real, _BINS)
    share = np.cumsum(counts) / real.size
    centres = (edges[:-1] + edges[1:]) / 2
    return _minmax(np.minimum(real, centres[np.argmax(share >= _KEPT)]))


def _minmax(values: AnyArray) -> Floats:
    """Stretch to [0, 1]; a constant image becomes 0."""
    real = values.astype(np.float64)
    low, high = real.min(), real.max()
    out: Floats = (real - low) / (high - low) if high > low else np.zeros_like(real)
    return out


def _ct(values: AnyArray) -> Floats:
    """Clip Hounsfield units to the soft tissues and stretch: the published BTCV preparation, per volume (METHODS A3).

    Source: TransUNet datasets/README.md.
    """
    return _minmax(np.clip(values.astype(np.float64), *_SOFT_TISSUE_HU))


def _unit(values: AnyArray) -> Floats:
    return values / 255.0


NORMALISATIONS: dict[NormalisationName, Callable[[AnyArray], Floats]] = {
    "acdc": _acdc,
    "minmax": _minmax,
    "ct": _ct,
    "unit": _unit,
    "imagenet": _unit,
}
