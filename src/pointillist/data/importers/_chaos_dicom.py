"""The official layout of CHAOS: DICOM slices of a subject's sequence and their label images in PNG."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from pointillist.data.dicom import decode_series
from pointillist.data.image import Image
from pointillist.data.importers._common import CaseReader
from pointillist.data.source import Source
from pointillist.errors import DatasetError, GeometryError, LabelError
from pointillist.types import AnyArray, LabelMap

SequenceName = Literal["t1-in", "t1-out", "t2"]

_FOLDERS: dict[SequenceName, tuple[str, str]] = {
    "t1-in": ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/Ground"),
    "t1-out": ("T1DUAL/DICOM_anon/OutPhase", "T1DUAL/Ground"),
    "t2": ("T2SPIR/DICOM_anon", "T2SPIR/Ground"),
}

# The organisers' ranges around 63, 126, 189 and 252, for liver, right kidney, left kidney and spleen.
_RANGES = ((56, 70), (111, 135), (176, 200), (241, 255))
_UNKNOWN = 255
_CLASSES = np.full(256, _UNKNOWN, dtype=np.uint8)
_CLASSES[0] = 0
for _cls, (_low, _high) in enumerate(_RANGES, start=1):
    _CLASSES[_low : _high + 1] = _cls


@dataclass(frozen=True)
class Subject:
    """The files of one subject's sequence, as names in the source.

    Attributes:
        folder: of the subject, for messages.
        slices: DICOM files.
        ground: label images, one a slice; none where the labels were not released.
    """

    folder: str
    slices: tuple[str, ...]
    ground: tuple[str, ...]

    def read(self, reader: CaseReader) -> tuple[Image, LabelMap | None]:
        """The volume and its truth.

        Raises:
            DatasetError: if there is not one label image a slice.
            PointillistError: if a file is damaged or does not belong to the others.
        """
        series = decode_series([(reader.bytes(name), reader.path(name)) for name in self.slices])
        if not self.ground:
            return series.image, None
        of_slice = self._paired(reader)
        planes = [_classes(reader, of_slice[name]) for name in self.slices]
        for name, plane in zip(self.slices, planes, strict=True):
            _check_size(reader, of_slice[name], plane, series.size)
        return series.image, series.stacked(planes, self.folder).array

    def _paired(self, reader: CaseReader) -> dict[str, str]:
        """The label image of every slice, by name, else by order of names."""
        by_name = {PurePosixPath(name).stem: name for name in self.ground}
        stems = [PurePosixPath(name).stem for name in self.slices]
        if by_name.keys() == set(stems):
            return {name: by_name[stem] for name, stem in zip(self.slices, stems, strict=True)}
        if len(self.ground) != len(self.slices):
            raise DatasetError(
                "slices and label images do not belong together",
                where=reader.path(self.folder),
                expected=f"{len(self.slices)} label images, one a slice",
                received=f"{len(self.ground)} in {PurePosixPath(self.ground[0]).parent}",
                todo="complete the copy of this subject from the official archive",
            )
        reader.notes.append(f"paired-by-order: slices and label images are paired in order of names ({self.folder})")
        return dict(zip(sorted(self.slices, key=_natural), sorted(self.ground, key=_natural), strict=True))


def subjects_of(source: Source, sequence: SequenceName) -> dict[int, Subject]:
    """The subjects of a source in the official layout, by number; empty where it holds none.

    Raises:
        DatasetError: if two folders claim to be the same subject, or one lacks the sequence.
    """
    slices, ground = (
        _by_folder(source, folder, ending)
        for folder, ending in zip(_FOLDERS[sequence], (r"\.dcm", r"\.png"), strict=True)
    )
    every = {root for folder, _ in _FOLDERS.values() for root in _by_folder(source, folder, r"\.dcm")}
    without = sorted(every - slices.keys())
    if without:
        raise DatasetError(
            "a subject lacks the sequence",
            where=source.path(without[0]),
            expected=f"{_FOLDERS[sequence][0]}/*.dcm",
            received="another sequence alone",
            todo="complete the copy from the official archive, or choose another --sequence",
        )
    subjects: dict[int, Subject] = {}
    for root, names in slices.items():
        number = int(PurePosixPath(root).name)
        if number in subjects:
            raise DatasetError(
                "two folders claim to be the same subject",
                where=source.root,
                expected="one folder",
                received=f"{subjects[number].folder} and {root}",
                todo="remove one of them",
            )
        subjects[number] = Subject(root, tuple(names), tuple(ground.get(root, ())))
    return subjects


def _by_folder(source: Source, folder: str, ending: str) -> dict[str, list[str]]:
    """Files of a kind in ``…/ID/folder``, by ``…/ID``."""
    pattern = re.compile(rf"(?P<root>(?:.*/)?\d+)/{folder}/[^/]+{ending}")
    found: dict[str, list[str]] = {}
    for name in source.names:
        if match := pattern.fullmatch(name):
            found.setdefault(match["root"], []).append(name)
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """Order by the numbers in a name, and by its letters between them."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", PurePosixPath(name).stem)]


def _classes(reader: CaseReader, name: str) -> AnyArray:
    """Class of every pixel of a label image."""
    greys = reader.label_image(name).array
    classes = _CLASSES[greys] if greys.dtype == np.uint8 else np.full(greys.shape, _UNKNOWN)
    if (classes == _UNKNOWN).any():
        raise LabelError(
            "a label image holds greys that no organ has",
            where=reader.path(name),
            expected="0, " + ", ".join(f"{low}–{high}" for low, high in _RANGES),
            received=f"also {np.unique(greys[classes == _UNKNOWN])[:10].tolist()}",
            todo="get the label images from the official archive, without any conversion",
        )
    return classes


def _check_size(reader: CaseReader, name: str, plane: AnyArray, size: tuple[int, int]) -> None:
    if plane.shape != size:
        raise GeometryError(
            "a label image has another size than its slice",
            where=reader.path(name),
            expected=size,
            received=plane.shape,
            todo="get slice and label image from the official archive",
        )
