"""Scales of the multiscale contrast, as people write them: ``R1x1 + R4x4 nu_2=0.75 + delta=8 tau=0.1 lambda=10``."""

from __future__ import annotations

from typing import NamedTuple

from pointillist.errors import nearest


class Scale(NamedTuple):
    """A decoder level whose features are contrasted.

    Attributes:
        name: unique among the scales of a method.
        delta: δ, rows and columns of a cell in pixels; None takes the level's stride.
        level: of the decoder, 0 = finest; None takes the one whose stride is nearest to δ, and then its stride as δ.
        tau: temperature τ.
        weight: λ.
        nu_1: ν₁, largest share of foreground in a background cell.
        nu_2: ν₂, least share of a class in a cell of it.
    """

    name: str
    delta: int | None
    level: int | None
    tau: float
    weight: float
    nu_1: float
    nu_2: float


PRESETS = {"R1x1": "delta=1 tau=0.3 lambda=0.5", "R4x4": "delta=4 tau=0.1 lambda=10"}
SCALES_FORM = "R1x1, R4x4, both, or scales such as `R4x4 nu_2=0.75 + delta=8 tau=0.1 lambda=10`"
_KEYS = {  # kind, least and largest value
    "delta": (int, 1, 64),
    "level": (int, 0, 8),
    "tau": (float, 0.001, 100),
    "lambda": (float, 0, 1000),
    "nu_1": (float, 0, 0.49),
    "nu_2": (float, 0.51, 1),
}


def scales_of(text: str) -> tuple[Scale, ...]:
    """Read a list of scales.

    Scales are joined by ``+``. Each is a preset, a preset with changes, or has ``delta`` or ``level`` (or both),
    ``tau`` and ``lambda``; ``nu_1`` is 0 and ``nu_2`` 1 unless said otherwise.

    Args:
        text: see ``SCALES_FORM``.

    Raises:
        ValueError: naming what cannot be.
    """
    scales: list[Scale] = []
    parts = [other for one in text.split("+") for other in (PRESETS if one.strip() == "both" else [one])]
    for part in parts:
        one = _scale(part)
        same = sum(other.name.partition("_")[0] == one.name for other in scales)
        scales.append(one._replace(name=f"{one.name}_{same + 1}") if same else one)
    return tuple(scales)


def _scale(text: str) -> Scale:
    words = text.split()
    preset = words.pop(0) if words and "=" not in words[0] else ""
    if preset and preset not in PRESETS:
        msg = f"there is no preset {preset!r}; {nearest(preset, [*PRESETS, 'both'])}"
        raise ValueError(msg)
    given = dict(_pair(word) for word in (*PRESETS.get(preset, "").split(), *words))
    missing = [key for key in ("tau", "lambda") if key not in given]
    if missing or not {"delta", "level"} & set(given):
        msg = f"the scale {text.strip()!r} lacks {' and '.join(missing) or 'delta or level'}"
        raise ValueError(msg)
    delta, level = (int(given[key]) if key in given else None for key in ("delta", "level"))
    name = preset or (f"level{level}" if delta is None else f"R{delta}x{delta}")
    return Scale(name, delta, level, given["tau"], given["lambda"], given.get("nu_1", 0.0), given.get("nu_2", 1.0))


def _pair(word: str) -> tuple[str, float]:
    key, _, value = word.partition("=")
    if key not in _KEYS:
        msg = f"a scale has no {key!r}; {nearest(key, _KEYS)}"
        raise ValueError(msg)
    kind, low, high = _KEYS[key]
    try:
        number = kind(value)
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        msg = f"{key} must be {'a whole number' if kind is int else 'a number'} in {low:g} … {high:g}, got {value!r}"
        raise ValueError(msg)
    return key, number
