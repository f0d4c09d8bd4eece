"""A dataset like another, with simulated marks in the place of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.readers import read_label
from pointillist.data.simulate.draw import draw
from pointillist.data.simulate.generators import generator_named
from pointillist.errors import InputError
from pointillist.types import InstanceMap, Stroke


@dataclass(frozen=True)
class Settings:
    """How marks are drawn; None takes the generator's own default.

    Attributes:
        generator: a name in ``GENERATORS``.
        seed: any whole number.
        count: points per class and slice, or fully labelled slices per volume.
        width_px: width of the marks.
        fraction: share of the objects that get a scribble.
    """

    generator: str
    seed: int = 0
    count: int | None = None
    width_px: float | None = None
    fraction: float | None = None


@dataclass(frozen=True)
class Simulated:
    """What a simulation did.

    Attributes:
        dataset: the new folder.
        generator: its name.
        cases: number of training cases.
        strokes: number of strokes drawn.
    """

    dataset: Path
    generator: str
    cases: int
    strokes: int


def simulate_dataset(source: Dataset, target: Path, settings: Settings) -> Simulated:
    """Copy a dataset and draw marks for its training cases from their dense truth.

    Marks are seeded by (seed, name of the dataset, case, slice): the same settings always give the same marks, and no
    case depends on another. Held-out cases, dense truth and folds are copied; marks of the source are not.

    Args:
        source: a dataset whose training cases have dense truth.
        target: the new dataset.
        settings: how marks are drawn.

    Raises:
        InputError: if there is no such generator, a setting does not fit it, or no training case has dense truth.
        PointillistError: if a file of the source is damaged; nothing is written then.
    """
    generator_named(settings.generator)  # a wrong name is an error before any work
    without = [case.id for case in source.training if case.dense is None]
    if without or not source.training:
        raise InputError(
            "marks can be simulated only from dense truth",
            where=source.root,
            expected="a label image in denseTr for every training case",
            received=f"{len(without)} of {len(source.training)} cases without, for example {without[:3]}",
            todo="import the dataset from a source with dense labels",
        )
    note = f"marks simulated from the truth of {source.root.name}: {_said(settings)}"
    strokes = _copy(source, target, f"simulate:{settings.generator}", note, lambda case: _draw(source, case, settings))
    return Simulated(target, settings.generator, len(source.training), strokes)


def unmarked_copy(source: Dataset, target: Path) -> Dataset:
    """Copy a dataset, truth and folds included, as it is before anybody marks anything.

    Raises:
        PointillistError: if a file of the source is damaged; nothing is written then.
    """
    _copy(source, target, "simulate:annotator", f"the images of {source.root.name}, unmarked at first", lambda _: ())
    return Dataset.open(target)


def _copy(source: Dataset, target: Path, kind: str, note: str, strokes_of: Callable[[Case], tuple[Stroke, ...]]) -> int:
    """Write the new dataset; the number of strokes."""
    strokes = 0
    with DatasetBuilder(target, name=source.name, spec=source.spec, ending=source.ending, kind=kind) as builder:
        for case in source.training:
            new = _with_marks(source, case, strokes_of(case))
            strokes += len(new.strokes)
            builder.add(new)
        for case in source.testing:
            builder.add(_held_out(source, case))
        builder.finish(source.splits(), (note,))
    return strokes


def _said(settings: Settings) -> str:
    """The settings in words, those left to the generator out."""
    stated = {name: value for name, value in asdict(settings).items() if value is not None and name != "generator"}
    return ", ".join([settings.generator, *(f"{name} {value}" for name, value in stated.items())])


def _with_marks(source: Dataset, case: Case, strokes: tuple[Stroke, ...]) -> NewCase:
    image, dense = source.image(case), source.dense_labels(case)
    return NewCase(
        id=case.id,
        image=image,
        group=case.group,
        strokes=strokes,
        dense=dense.array,
        instances=_instances(case),
        notes=image.notes,
    )


def _draw(source: Dataset, case: Case, settings: Settings) -> tuple[Stroke, ...]:
    dense = source.dense_labels(case)
    strokes = draw(
        dense.array,
        generator=settings.generator,
        seed=settings.seed,
        dataset=source.name,
        case=case.id,
        slice_axis=dense.grid.slice_axis if dense.array.ndim == 3 else -1,
        count=settings.count,
        width_px=settings.width_px,
        fraction=settings.fraction,
    )
    return tuple(strokes)


def _held_out(source: Dataset, case: Case) -> NewCase:
    image = source.image(case)
    dense = source.dense_labels(case).array if case.dense is not None else None
    return NewCase(case.id, image, case.group, dense=dense, instances=_instances(case), side="Ts", notes=image.notes)


def _instances(case: Case) -> InstanceMap | None:
    return None if case.instances is None else read_label(case.instances).array
