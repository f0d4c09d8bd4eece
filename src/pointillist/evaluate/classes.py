"""Which classes are evaluated, and what they are called."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pointillist.errors import DatasetError, LabelError
from pointillist.types import AnyArray


@dataclass(frozen=True)
class Classes:
    """Foreground classes of a dataset.

    Attributes:
        names: class name by label value, without the background.
        ignore: label value of unlabelled voxels, or None.
        source: where this was read.
    """

    names: dict[int, str]
    ignore: int | None
    source: str


def find_classes(folders: Iterable[Path]) -> Classes | None:
    """Read the first ``dataset.json`` (nnU-Net's) in any of some folders.

    Returns:
        The classes, or None where no folder has the file.

    Raises:
        DatasetError: if the file is not a dataset description, or its labels are no plain numbers.
    """
    found = next((folder / "dataset.json" for folder in folders if (folder / "dataset.json").is_file()), None)
    return None if found is None else _read_classes(found)


def _read_classes(path: Path) -> Classes:
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        plain = all(isinstance(value, int) and value >= 0 for value in labels.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            "the dataset's description cannot be read",
            where=path,
            expected='"labels" with a number for every class name',
            received=f"{type(error).__name__}: {error}",
            todo="mend the file, or evaluate against a folder without one",
        ) from error
    if not plain or len(set(labels.values())) != len(labels):
        raise DatasetError(
            "classes must be distinct whole numbers to be evaluated",
            where=path,
            expected='"labels" with one number from 0 for every class name',
            received=labels,
            todo="regions made of several labels are not evaluated: describe the labels that make them",
        )
    names = {value: name for name, value in labels.items() if value != 0 and name != "ignore"}
    return Classes(names, labels.get("ignore"), str(path))


def check_labels(array: AnyArray, classes: Classes, where: str, *, may_ignore: bool) -> None:
    """Make sure that a label map holds known classes only.

    Args:
        array: ``(*s)`` labels.
        classes: the known ones.
        where: the file, for the message.
        may_ignore: whether voxels may be unlabelled, as in a reference.

    Raises:
        LabelError: if it holds anything else.
    """
    known = {0, *classes.names}
    if may_ignore and classes.ignore is not None:
        known.add(classes.ignore)
    unknown = sorted(labels_in(array, where) - known)
    if unknown:
        raise LabelError(
            "a label file holds values that no class has",
            where=where,
            expected=f"{sorted(known)} ({classes.source})",
            received=unknown,
            todo="relabel the file, or describe its classes in dataset.json",
        )


def labels_in(array: AnyArray, where: str) -> set[int]:
    """The values of a label map.

    Raises:
        LabelError: if any is negative or too large to be a class.
    """
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise LabelError(
            "a label file holds values that cannot be classes",
            where=where,
            expected="0 … 255",
            received=(low, high),
            todo="if the numbers are objects, use --instances",
        )
    return set(np.flatnonzero(np.bincount(array.ravel())).tolist())
