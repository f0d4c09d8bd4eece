"""Anybody's images and label images, under any names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import HeaderRule
from pointillist.data.importers._common import (
    CaseReader,
    Imported,
    check_agreement,
    nothing_found,
    on_grid,
    tally,
    translate,
)
from pointillist.data.importers._pairing import Triple, find_cases
from pointillist.data.readers import NIFTI_ENDINGS, split_ending
from pointillist.data.source import Source, open_source
from pointillist.data.split import group_folds
from pointillist.errors import InputError, LabelError
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

_MOST_CLASSES = 32


@dataclass(frozen=True)
class FolderOptions:
    """How to understand a folder.

    Attributes:
        images: subfolder of the images; None looks for ``images``, ``imgs``, ``imagesTr`` …, else takes the folder.
        labels: subfolder of the label images; None looks for ``labels``, ``masks``, ``labelsTr`` …, else for files
            with endings such as ``_gt``, ``_label``, ``_mask`` beside the images.
        truth: subfolder of dense label images, where ``labels`` are sparse.
        unlabelled: the value of pixels that nobody marked. None: the label images are dense truth.
        classes: ``value=name`` pairs, or names alone for 0, 1, 2, …; None takes the values that occur.
        group: regular expression that finds the patient or slide in a case's name (its first group, or all of it).
        folds: number of folds; 0 for none.
        seed: decides the folds.
        name: the dataset's name.
        header_rule: for NIfTI headers that contradict themselves other than by unit columns.
    """

    images: str | None = None
    labels: str | None = None
    truth: str | None = None
    unlabelled: int | None = None
    classes: Sequence[str] = ()
    group: str | None = None
    folds: int = 5
    seed: int = 0
    name: str | None = None
    header_rule: HeaderRule = "auto"


@dataclass(frozen=True)
class _Survey:
    """What a first look at every file says."""

    values: Counter[int]
    colour: bool
    endings: frozenset[str]
    deep: bool


def import_folder(source: Path, target: Path, options: FolderOptions | None = None) -> Imported:
    """Import a folder or zip archive of images and, optionally, label images.

    Images and labels are paired by equal names, by names that differ in an ending such as ``_mask``, or by what is
    left of the names when the part that all images (all labels) share is taken away. 2-D images of several kinds, and
    JPEG, become PNG; grey images among colour ones become colour.

    Args:
        source: folder or zip archive.
        target: the new dataset.
        options: how to understand it; None takes the defaults.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    options = options or FolderOptions()
    files = open_source(source)
    triples = find_cases(files.names, images=options.images, labels=options.labels, truth=options.truth)
    if not triples:
        raise nothing_found(files, "images, and label images with names like theirs")
    survey = _survey(files, triples, options)
    values, spec = _task(survey, options, files)
    ending = _ending(survey, files)
    notes: list[str] = []
    with DatasetBuilder(
        target,
        name=options.name or _plain_name(target),
        spec=spec,
        ending=ending,
        kind="folder",
    ) as builder:
        for triple in triples:
            case = _read_case(triple, files, options, values, colour=survey.colour)
            notes += case.notes
            builder.add(case)
        groups = builder.training_groups()
        folds = min(options.folds, len(set(groups.values())))
        splits = group_folds(groups, folds, options.seed) if folds >= 2 else []
        summary = (
            *tally(notes),
            *_mapping(values, spec, survey),
            *_grouping(groups, options),
            *_left_over(triples, files),
        )
        builder.finish(splits, summary)
    marked = sum(t.label is not None for t in triples) if options.unlabelled is not None else 0
    return Imported(target, len(triples), 0, marked, len(splits), summary)


def _survey(source: Source, triples: Sequence[Triple], options: FolderOptions) -> _Survey:
    values: Counter[int] = Counter()
    colour = deep = False
    for triple in triples:
        reader = CaseReader(source, options.header_rule)
        image = reader.image(triple.image)
        colour |= image.channels == 3
        deep |= image.array.dtype not in (np.uint8, np.uint16)
        for name in (triple.label, triple.truth):
            if name is not None:
                found, pixels = np.unique(reader.labels(name, image).array, return_counts=True)
                values.update(dict(zip(found.tolist(), pixels.tolist(), strict=True)))
    endings = frozenset(split_ending(Path(triple.image))[1] for triple in triples)
    return _Survey(values, colour, endings, deep)


def _task(survey: _Survey, options: FolderOptions, source: Source) -> tuple[dict[int, int], TaskSpec]:
    """Class index of every label value, and the task."""
    channels = ("R", "G", "B") if survey.colour else ("intensity",)
    named = _named(options.classes)
    found = sorted(survey.values.keys() - {options.unlabelled})
    if not named and len(found) > _MOST_CLASSES:
        raise LabelError(
            "the label images hold too many values to be classes",
            where=source.root,
            expected=f"at most {_MOST_CLASSES} classes",
            received=f"{len(found)} values, {found[:8]} …",
            todo="name the classes with --classes value=name,…; instance numbers and photographs are not classes",
        )
    if not named:
        named = {value: "background" if i == 0 else f"class_{value}" for i, value in enumerate(found)}
    if len(named) < 2:
        named = {0: "background", 1: "object"} | named
    spec = TaskSpec(tuple(named[value] for value in sorted(named)), channels)
    values = {value: index for index, value in enumerate(sorted(named))}
    if options.unlabelled in values:
        raise InputError(
            "one value cannot be a class and mean unlabelled",
            where="--unlabelled",
            expected="an --unlabelled value that no class has",
            received=f"{options.unlabelled}, which is also {named[options.unlabelled]}",
            todo="check both options",
        )
    if options.unlabelled is not None:
        values[options.unlabelled] = IGNORE
    return values, spec


def _named(classes: Sequence[str]) -> dict[int, str]:
    named: dict[int, str] = {}
    for index, entry in enumerate(classes):
        value, equals, name = entry.rpartition("=")
        try:
            number = int(value) if equals else index
        except ValueError as error:
            raise InputError(
                "a class cannot be understood",
                where="--classes",
                expected="value=name pairs, or names alone: 0=background,255=nucleus",
                received=entry,
                todo="write a whole number before the equals sign",
            ) from error
        if number in named:
            raise InputError(
                "two classes have the same value",
                where="--classes",
                expected="every value once",
                received=f"{number}={named[number]} and {entry}",
                todo="give each class a value of its own",
            )
        named[number] = name.strip()
    return named


def _ending(survey: _Survey, source: Source) -> str:
    volumes = {ending in NIFTI_ENDINGS for ending in survey.endings}
    if len(volumes) > 1:
        raise InputError(
            "volumes and 2-D images cannot be one dataset",
            where=source.root,
            expected="NIfTI alone, or 2-D images alone",
            received=sorted(survey.endings),
            todo="import them as two datasets",
        )
    if volumes == {True}:
        return ".nii.gz"
    if survey.endings <= {".tif", ".tiff"} or survey.deep:
        return ".tif"
    return ".bmp" if survey.endings == {".bmp"} else ".png"


def _read_case(
    triple: Triple, source: Source, options: FolderOptions, values: dict[int, int], *, colour: bool
) -> NewCase:
    reader = CaseReader(source, options.header_rule)
    image = reader.image(triple.image)
    label = None if triple.label is None else translate(reader.labels(triple.label, image), values)
    truth = None if triple.truth is None else translate(reader.labels(triple.truth, image), values)
    if colour and image.channels == 1:
        image = on_grid(np.repeat(image.array[..., None], 3, axis=-1), image)
        reader.notes.append(f"grey-to-colour: the channel was repeated ({image.where})")
    sparse = options.unlabelled is not None
    if label is not None and truth is not None:
        check_agreement(label, truth, str(source.path(triple.label or "")))
    return NewCase(
        id=triple.id,
        image=image,
        group=_group(triple.id, options.group),
        base=label if sparse else None,
        dense=truth if sparse else label,
        files=reader.files,
        notes=tuple(reader.notes),
    )


def _group(case: str, pattern: str | None) -> str:
    if pattern is None:
        return case
    try:
        match = re.search(pattern, case)
    except re.error as error:
        raise InputError(
            "the group pattern is not a regular expression",
            where="--group",
            expected="a pattern such as 'patient\\d+'",
            received=pattern,
            todo=f"mend the pattern: {error}",
        ) from error
    if not match:
        raise InputError(
            "the group pattern does not match every case",
            where=case,
            expected=f"a name that matches {pattern}",
            received=case,
            todo="widen the pattern, for example 'patient\\d+'",
        )
    return (match[1] if match.groups() else None) or match[0]


def _mapping(values: dict[int, int], spec: TaskSpec, survey: _Survey) -> list[str]:
    """What every value became, and on how many pixels, so that a stray value or a forgotten option shows."""
    total = max(survey.values.total(), 1)
    return [
        f"value {value} is {'unlabelled' if index == IGNORE else f'class {index}, {spec.classes[index]}'}"
        f" ({survey.values[value] / total:.2%} of the label pixels)"
        for value, index in sorted(values.items())
    ]


def _grouping(groups: dict[str, str], options: FolderOptions) -> list[str]:
    count = len(set(groups.values()))
    notes = []
    if options.group is None and len(groups) > 1:
        notes.append("every image counts as a patient of its own; if patients have several, name them with --group")
    if options.folds > count:
        notes.append(f"{options.folds} folds asked for, {count if count > 1 else 0} possible with {count} patients")
    return notes


def _left_over(triples: Sequence[Triple], source: Source) -> list[str]:
    """Images without a label image, and files that were taken for neither."""
    unlabelled = sum(triple.label is None for triple in triples)
    taken = {name for triple in triples for name in (triple.image, triple.label, triple.truth)}
    others = [name for name in source.names if name not in taken]
    notes = [f"images without a label image: {unlabelled}"] if unlabelled else []
    return notes + ([f"files left aside: {len(others)}, for example {others[0]}"] if others else [])


def _plain_name(target: Path) -> str:
    """The dataset's name from its folder's, without nnU-Net's ``DatasetNNN_``."""
    return re.sub(r"^Dataset\d{3}_", "", target.resolve().name)
