"""A Pointillist dataset: an nnU-Net v2 raw dataset whose labelsTr are sparse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pointillist.data.case import Case
from pointillist.data.image import HeaderRule, Image, same_grid
from pointillist.data.marks import Marks, read_marks
from pointillist.data.readers import read_image, read_label
from pointillist.data.split import Split, check_splits
from pointillist.data.writers import STORED_ENDINGS
from pointillist.errors import DatasetError, InputError, LabelError
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, LabelMap


class _Extra(BaseModel):
    """What Pointillist adds to dataset.json; nnU-Net ignores it."""

    model_config = ConfigDict(extra="allow")
    format: int = Field(default=1, le=1)
    groups: dict[str, str] = {}


class _DatasetFile(BaseModel):
    model_config = ConfigDict(extra="allow")
    channel_names: dict[str, str]
    labels: dict[str, int]
    numTraining: int = Field(ge=0)  # noqa: N815 - nnU-Net's own name
    file_ending: str
    name: str | None = None
    pointillist: _Extra = _Extra()


@dataclass(frozen=True)
class Dataset:
    """An opened dataset.

    Attributes:
        root: its folder.
        name: its name, without nnU-Net's number.
        spec: classes and channels.
        ending: file ending of images and labels.
        sparse: whether labelsTr has an ignore value; without one labelsTr is dense truth (a plain nnU-Net dataset).
        groups: patient or slide of a case id; a case that is not listed is a group of its own.
        stated_training: the number of training cases that dataset.json states.
    """

    root: Path
    name: str
    spec: TaskSpec
    ending: str
    sparse: bool
    groups: Mapping[str, str]
    stated_training: int

    @classmethod
    def open(cls, root: Path) -> Dataset:
        """Open a dataset folder.

        Raises:
            DatasetError: if dataset.json is missing or says something that cannot be.
        """
        content = _read_description(root)
        labels = dict(content.labels)
        ignore = labels.pop("ignore", None)
        classes = sorted(labels, key=lambda name: labels[name])
        values = [labels[name] for name in classes]
        if values != list(range(len(values))) or (ignore is not None and ignore != len(values)):
            raise DatasetError(
                "the labels are not consecutive",
                where=f"{root / 'dataset.json'}, field labels",
                expected="background = 0, then 1, 2, …, and ignore = the highest",
                received=json.dumps(content.labels),
                todo="renumber the labels, or import the images and labels anew",
            )
        if content.file_ending not in STORED_ENDINGS:
            raise DatasetError(
                "the images are of a kind that datasets do not use",
                where=f"{root / 'dataset.json'}, field file_ending",
                expected=", ".join(STORED_ENDINGS),
                received=content.file_ending,
                todo="import the images and labels anew",
            )
        channels = tuple(content.channel_names[key] for key in sorted(content.channel_names, key=_number))
        return cls(
            root=root,
            name=content.name or root.resolve().name,
            spec=TaskSpec(tuple(classes), channels),
            ending=content.file_ending,
            sparse=ignore is not None,
            groups=content.pointillist.groups,
            stated_training=content.numTraining,
        )

    @cached_property
    def training(self) -> tuple[Case, ...]:
        """Cases of imagesTr in order of their ids.

        Raises:
            DatasetError: if a case lacks a channel.
        """
        return self._cases("Tr")

    @cached_property
    def testing(self) -> tuple[Case, ...]:
        """Cases of imagesTs, which no fold trains on.

        Raises:
            DatasetError: if a case lacks a channel.
        """
        return self._cases("Ts")

    def case(self, case_id: str) -> Case:
        """The case with this id.

        Raises:
            InputError: if there is none.
        """
        found = {case.id: case for case in (*self.training, *self.testing)}
        if case_id not in found:
            raise InputError(
                "the dataset has no such case",
                where=self.root,
                expected=f"one of its {len(found)} cases",
                received=case_id,
                todo="see imagesTr and imagesTs for the names of its cases",
            )
        return found[case_id]

    def splits(self) -> list[Split]:
        """The folds of splits_final.json; fold 1 of the papers is entry 0. Empty if there is no such file.

        Raises:
            DatasetError: if the file cannot be understood, or a fold parts a group.
        """
        path = self.root / "splits_final.json"
        if not path.exists():
            return []
        try:
            splits = [Split(tuple(fold["train"]), tuple(fold["val"])) for fold in json.loads(path.read_bytes())]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DatasetError(
                "the folds cannot be understood",
                where=path,
                expected='a list of {"train": [case, …], "val": [case, …]}',
                received=f"{type(error).__name__}: {error}",
                todo="restore the file, or import the dataset anew",
            ) from error
        check_splits(splits, {case.id: case.group for case in self.training})
        return splits

    def image(self, case: Case, *, header_rule: HeaderRule = "auto") -> Image:
        """The image, ``(*s)`` for one channel, ``(*s, c)`` for several.

        Raises:
            DatasetError: if the number of channels is not the one dataset.json states.
            DamagedFileError, GeometryError: as ``pointillist.data.readers.read_image``.
        """
        images = [read_image(path, header_rule=header_rule) for path in case.images]
        image = images[0]
        if len(images) > 1:
            for other in images[1:]:
                same_grid(image, other)
            image = replace(image, array=np.stack([one.array for one in images], axis=-1))
        if image.channels != len(self.spec.channels):
            raise DatasetError(
                "an image has another number of channels than the dataset states",
                where=case.images[0],
                expected=f"{len(self.spec.channels)} ({', '.join(self.spec.channels)})",
                received=image.channels,
                todo="save all images of a dataset alike",
            )
        return image

    def sparse_labels(self, case: Case, *, header_rule: HeaderRule = "auto") -> Image:
        """The label map that training sees, ``IGNORE`` where nobody marked.

        Raises:
            DatasetError: if the case has no label file.
            LabelError: if it holds values that the dataset does not state.
        """
        if case.sparse is None or not case.sparse.exists():
            raise DatasetError(
                "a case has no label file",
                where=case.sparse or f"{self.root}, case {case.id}",
                expected="a label image in labelsTr",
                received="nothing",
                todo="import the dataset anew, or save a label image that holds only the ignore value",
            )
        return self._labels(case.sparse, header_rule)

    def dense_labels(self, case: Case, *, header_rule: HeaderRule = "auto") -> Image:
        """Dense truth. For training cases: only for ``evaluate``, ``simulate`` and the ``full`` bound.

        Raises:
            DatasetError: if the case has none.
            LabelError: if it holds values that the dataset does not state.
        """
        if case.dense is None:
            raise DatasetError(
                "a case has no dense truth",
                where=f"{self.root}, case {case.id}",
                expected="a label image in denseTr (training cases) or labelsTs (held-out cases)",
                received="nothing",
                todo="import the dataset from a source with dense labels",
            )
        return self._labels(case.dense, header_rule)

    def read_marks(self, case: Case) -> Marks | None:
        """The strokes of a case, or None where none were saved."""
        return read_marks(case.marks) if case.marks.exists() or case.marks.is_symlink() else None

    def import_notes(self) -> list[str]:
        """What the import said about the whole dataset: rules applied, and how often. Empty without import.json.

        Raises:
            DatasetError: if the file cannot be understood.
        """
        path = self.root / "import.json"
        if not path.exists():
            return []
        try:
            return [str(note) for note in json.loads(path.read_bytes())["notes"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                "the record of the import cannot be understood",
                where=path,
                expected='{"notes": [text, …], …}',
                received=f"{type(error).__name__}: {error}",
                todo="remove the file; only the record is lost",
            ) from error

    def _labels(self, path: Path, header_rule: HeaderRule) -> Image:
        image = read_label(path, header_rule=header_rule)
        return replace(image, array=labels_from_disk(image.array, self.spec, sparse=self.sparse, where=path))

    def _cases(self, side: str) -> tuple[Case, ...]:
        folder = self.root / f"images{side}"
        channel_files: dict[str, dict[int, Path]] = {}
        for path in sorted(folder.glob(f"*{self.ending}")):
            case_id, _, channel = path.name.removesuffix(self.ending).rpartition("_")
            if not path.name.startswith(".") and case_id and len(channel) == 4 and channel.isdigit():
                channel_files.setdefault(case_id, {})[int(channel)] = path
        return tuple(self._case(case_id, files, side) for case_id, files in sorted(channel_files.items()))

    def _case(self, case_id: str, files: dict[int, Path], side: str) -> Case:
        colour = len(files) == 1 and len(self.spec.channels) == 3 and not self.ending.startswith(".nii")
        expected = 1 if colour else len(self.spec.channels)
        if sorted(files) != list(range(expected)):
            raise DatasetError(
                "a case lacks a channel or has one too many",
                where=f"{self.root / f'images{side}'}, case {case_id}",
                expected=[f"{case_id}_{channel:04d}{self.ending}" for channel in range(expected)],
                received=[path.name for path in files.values()],
                todo="complete the case, or remove it",
            )
        name = f"{case_id}{self.ending}"
        labels = self.root / f"labels{side}" / name
        dense = self.root / "denseTr" / name if side == "Tr" and self.sparse else labels
        instances = self.root / f"instances{side}" / name
        return Case(
            id=case_id,
            images=tuple(files[channel] for channel in sorted(files)),
            sparse=labels if side == "Tr" else None,
            dense=dense if dense.exists() else None,
            instances=instances if instances.exists() else None,
            marks=self.root / "marks" / f"{case_id}.json",
            base=self.root / "marks" / "base" / name,
            group=self.groups.get(case_id, case_id),
        )


def labels_from_disk(array: np.ndarray[Any, Any], spec: TaskSpec, *, sparse: bool, where: Path) -> LabelMap:
    """Translate a label file's values: the ignore value on disk becomes IGNORE in memory.

    Args:
        array: ``(*s)`` whole numbers as stored.
        spec: the classes.
        sparse: whether the ignore value may occur.
        where: the file, for messages.

    Raises:
        LabelError: if a value is neither a class nor ignore.
    """
    highest = spec.ignore_on_disk if sparse else spec.ignore_on_disk - 1
    if int(array.min()) < 0 or int(array.max()) > highest:
        values = np.unique(array)
        raise LabelError(
            "a label image holds values that no class has",
            where=where,
            expected=f"0 … {highest}" + (f" ({highest} = ignore)" if sparse else ""),
            received=f"also {[int(v) for v in values if not 0 <= v <= highest][:10]}",
            todo="correct the file, or import the images with the classes that they hold",
        )
    labels = array.astype(np.uint8)
    if sparse:
        labels[labels == spec.ignore_on_disk] = IGNORE
    return labels


def labels_to_disk(labels: LabelMap, spec: TaskSpec) -> LabelMap:
    """The inverse of ``labels_from_disk``."""
    return np.where(labels == IGNORE, np.uint8(spec.ignore_on_disk), labels)


def _read_description(root: Path) -> _DatasetFile:
    path = root / "dataset.json"
    if not path.is_file():
        raise DatasetError(
            "this folder is not a dataset",
            where=root,
            expected="dataset.json, imagesTr and labelsTr",
            received="no dataset.json" if root.is_dir() else "no such folder",
            todo="make a dataset with `pointillist import`",
        )
    try:
        return _DatasetFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise DatasetError(
            "dataset.json cannot be understood",
            where=f"{path}, field {'.'.join(map(str, first['loc'])) or '(whole file)'}",
            expected="an nnU-Net v2 description with one number a label",
            received=first["msg"],
            todo="correct the field, or import the dataset anew",
        ) from error


def _number(key: str) -> tuple[int, str]:
    return (int(key), key) if key.isdigit() else (1 << 30, key)
