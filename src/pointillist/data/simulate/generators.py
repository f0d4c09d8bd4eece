"""The table of mark simulators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Literal

from pointillist.data.simulate.full_slice import full_slice
from pointillist.data.simulate.hull import hull
from pointillist.data.simulate.points import in_out_pairs, random_point
from pointillist.data.simulate.random_walk import random_walk
from pointillist.data.simulate.s2l import s2l
from pointillist.data.simulate.skeleton import skeleton
from pointillist.data.simulate.word import word
from pointillist.errors import named
from pointillist.geometry.strokes import trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointillist.types import LabelMap, Stroke

Annotation = Literal["points", "pairs", "scribbles", "full"]


@dataclass(frozen=True)
class Generator:
    """One way to simulate marks.

    Attributes:
        name: how the command line and the tables call it.
        annotation: kind of marks it draws.
        function: ``(dense slice (h, w), random generator, **settings) → strokes`` of that slice.
        summary: one line for people who choose.
        source: where it comes from.
        takes: settings it can be given, among ``count``, ``fraction`` and ``width_px``.
    """

    name: str
    annotation: Annotation
    function: Callable[..., list[Stroke]]
    summary: str
    source: str
    takes: tuple[str, ...]


def _traced(scribble: Callable[..., LabelMap]) -> Callable[..., list[Stroke]]:
    """Turn a generator of rasters into one of strokes that draw the same raster."""

    @wraps(scribble)
    def strokes(*arguments: object, **settings: object) -> list[Stroke]:
        return trace(scribble(*arguments, **settings))

    return strokes


_VALVANO = "Valvano et al., multiscale adversarial attention gates (IEEE TMI 2021)"

_ALL = (
    Generator(
        "random_point", "points", random_point,
        "random pixels of every class present, one per class if not told otherwise",
        "En & Guo, PSCV", ("count", "width_px"),
    ),
    Generator(
        "in_out_pairs", "pairs", in_out_pairs,
        "as many random points in the target as outside of it, 3 + 3 if not told otherwise",
        "Zhang et al., CVM", ("count", "width_px"),
    ),
    Generator(
        "word", "scribbles", _traced(word),
        "one line along the middle of each structure, shifted and turned as by a hurried hand",
        "Luo et al., WORD (Medical Image Analysis 2022)", ("width_px",),
    ),
    Generator(
        "skeleton", "scribbles", _traced(skeleton),
        "the whole skeleton of every class", _VALVANO, ("width_px",),
    ),
    Generator(
        "random_walk", "scribbles", _traced(random_walk),
        "a random walk over a tenth of every class", _VALVANO, ("width_px",),
    ),
    Generator(
        "s2l", "scribbles", _traced(s2l),
        "a fraction of the objects' skeletons and as many pieces of the background's",
        "Lee & Jeong, Scribble2Label (MICCAI 2020)", ("fraction", "width_px"),
    ),
    Generator(
        "hull", "scribbles", _traced(hull),
        "every class's skeleton, and a line around the convex hull of all organs",
        "Tian et al., AttenScribble (2023), on CHAOS", ("width_px",),
    ),
    Generator(
        "full_slice", "full", _traced(full_slice),
        "a few slices of each volume, labelled completely", "common practice", ("count",),
    ),
)  # fmt: skip

GENERATORS: dict[str, Generator] = {generator.name: generator for generator in _ALL}
"""Every generator by name."""

DEFAULTS: dict[Annotation, str] = {
    "points": "random_point",
    "pairs": "in_out_pairs",
    "scribbles": "word",
    "full": "full_slice",
}
"""The generator of each kind of annotation that is used unless another is named."""


def generator_named(name: str) -> Generator:
    """Find a generator.

    Raises:
        InputError: if there is none of this name; the message proposes the nearest one.
    """
    return named(GENERATORS, name, what="there is no such mark generator", where="--generator")
