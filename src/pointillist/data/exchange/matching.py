"""Which case of a dataset a file of marks belongs to, by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.source import files_below
from pointillist.errors import InputError, named

Format = Literal["qupath", "imagej", "napari", "nrrd", "labels"]
ENDINGS: dict[Format, tuple[str, ...]] = {
    "qupath": (".geojson", ".json"),
    "imagej": (".zip", ".roi"),
    "napari": (".csv",),
    "nrrd": (".seg.nrrd", ".nrrd"),
    "labels": (".nii.gz", ".nii", ".png", ".bmp", ".tiff", ".tif"),
}
"""Endings of each format's files, longest first where one ends in another."""

_IMAGE = r"(_0000)?(\.(png|bmp|tiff?|nii|nii\.gz))?"  # QuPath and others keep the image's own name
_WORDS = r"(marks?|points?|shapes?|paths?|lines?|labels?|seg|segmentation|annotations?|rois?|roiset|scribbles?)"


@dataclass(frozen=True)
class MarksFile:
    """One file of marks.

    Attributes:
        path: where it is.
        case: whose marks it holds.
        format: how they are written.
        layer: what its name says after the case's: the class, in napari's way of one layer a class. Empty if nothing.
    """

    path: Path
    case: Case
    format: Format
    layer: str = ""


def find_files(
    dataset: Dataset, paths: Sequence[Path], *, form: Format | None = None, case: str | None = None
) -> tuple[list[MarksFile], tuple[str, ...]]:
    """Match files to cases.

    A file belongs to the case whose id its name begins with, if no more follows than the rest of the image file's
    name, the name of a class, and a word such as ``points`` or ``annotations``; or to the case that its folder is named
    after. A picture named like the image itself is the image.

    Args:
        dataset: where the cases are.
        paths: files, and folders that are looked through.
        form: take this format alone; None takes every one, by the files' endings.
        case: id of the case that all files belong to, whatever their names.

    Returns:
        The files in order of their cases and names, and what was left out of folders.

    Raises:
        InputError: if there is no file of marks, or one that was named belongs to no case, or to one without labelsTr.
    """
    known = {one.id: one for one in dataset.training}
    only = None if case is None else _training_case(dataset, case)
    found: list[MarksFile] = []
    strangers: list[Path] = []
    for path in paths:
        for file in files_below(path) if path.is_dir() else [path]:
            kind = _format_of(file, form)
            if path.is_dir() and (kind is None or any(part.startswith(".") for part in file.relative_to(path).parts)):
                continue
            if kind is None:
                raise _unread(file, form)
            owner = (only, "") if only else _owner(file, kind, known, dataset.spec.classes)
            if owner is not None:
                found.append(MarksFile(file, owner[0], kind, owner[1]))
            elif path.is_dir():
                strangers.append(file)
            else:
                raise _stranger(file, known)
    if not found:
        raise _nothing(paths, strangers, form, known)
    notes = [f"{len(strangers)} files belong to no training case (left out), for example {one}" for one in strangers]
    return sorted(found, key=lambda one: (one.case.id, one.path)), tuple(notes[:1])


def _format_of(path: Path, form: Format | None) -> Format | None:
    name = path.name.lower()
    kinds = ENDINGS if form is None else {form: ENDINGS[form]}
    return next((kind for kind, endings in kinds.items() if name.endswith(endings)), None)


def _owner(path: Path, kind: Format, known: dict[str, Case], classes: tuple[str, ...]) -> tuple[Case, str] | None:
    ending = next(one for one in ENDINGS[kind] if path.name.lower().endswith(one))
    name = path.name[: -len(ending)]
    for case_id in sorted((one for one in known if name.startswith(one)), key=len, reverse=True):
        if kind == "labels" and name[len(case_id) :] == "_0000":
            return None
        rest = re.sub(rf"^{_IMAGE}", "", name[len(case_id) :], count=1, flags=re.IGNORECASE)
        rest = re.sub(rf"([ ._-]+{_WORDS})*$", "", rest, count=1, flags=re.IGNORECASE)
        layer = rest.lstrip(" ._-")
        if not layer or (
            layer != rest and kind in ("napari", "imagej") and layer.casefold() in map(str.casefold, classes)
        ):
            return known[case_id], layer
    return (known[path.parent.name], "") if path.parent.name in known else None


def _training_case(dataset: Dataset, case_id: str) -> Case:
    return named(
        {one.id: one for one in dataset.training}, case_id, what="there is no such training case", where="--case"
    )


def _unread(path: Path, form: Format | None) -> InputError:
    return InputError(
        "this kind of file holds no marks that are read",
        where=path,
        expected=", ".join(ending for kind in ([form] if form else ENDINGS) for ending in ENDINGS[kind]),
        received=path.suffix or "no ending",
        todo="export the marks in one of these kinds, or choose another --format",
    )


def _stranger(path: Path, known: dict[str, Case]) -> InputError:
    near = get_close_matches(path.stem, known, n=1, cutoff=0.5)
    return InputError(
        "the file's name says no case",
        where=path,
        expected=f"a name that begins with the id of a training case, for example {next(iter(known), 'CASE')}",
        received=path.name,
        todo=f"rename it, or say --case {near[0] if near else 'CASE'}",
    )


def _nothing(paths: Sequence[Path], strangers: list[Path], form: Format | None, known: dict[str, Case]) -> InputError:
    if strangers:
        return _stranger(strangers[0], known)
    return InputError(
        "there are no files of marks",
        where=", ".join(map(str, paths)),
        expected=", ".join(ending for kind in ([form] if form else ENDINGS) for ending in ENDINGS[kind]),
        received="none",
        todo="check the folder, or name the files",
    )
