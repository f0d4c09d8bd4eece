"""Which files are to be predicted, and under which name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pointillist.data.compressed import read_bytes
from pointillist.data.dataset import Dataset
from pointillist.data.image import HeaderRule, Image, same_grid
from pointillist.data.readers import NIFTI_ENDINGS, decode_image, split_ending
from pointillist.errors import InputError


@dataclass(frozen=True)
class InputCase:
    """One image to predict.

    Attributes:
        id: name of the prediction's file, without ending.
        files: one file a channel, or a single one.
    """

    id: str
    files: tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class CaseBytes:
    """The files of a case as they lay on the disk.

    Attributes:
        files: their names.
        contents: their bytes.
    """

    files: tuple[Path, ...]
    contents: tuple[bytes, ...]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 by file name."""
        pairs = zip(self.files, self.contents, strict=True)
        return {path.name: hashlib.sha256(content).hexdigest() for path, content in pairs}

    def image(self, header_rule: HeaderRule = "auto") -> Image:
        """Decode the image, ``(*s)`` for one channel, ``(*s, c)`` for several.

        Raises:
            DamagedFileError: if a file cannot be read.
            GeometryError: if a header is impossible, or the channels lie on different grids.
        """
        pairs = zip(self.contents, self.files, strict=True)
        images = [decode_image(content, path, header_rule=header_rule) for content, path in pairs]
        for other in images[1:]:
            same_grid(images[0], other)
        if len(images) == 1:
            return images[0]
        return replace(images[0], array=np.stack([one.array for one in images], axis=-1))


def read_case(case: InputCase) -> CaseBytes:
    """Read the files of a case.

    Raises:
        DamagedFileError: if one is missing or no file.
    """
    return CaseBytes(case.files, tuple(read_bytes(path) for path in case.files))


def find_cases(inputs: Sequence[Path], channels: int, *, fold: int | None = None) -> list[InputCase]:
    """All images to predict, by name.

    Args:
        inputs: files; folders, whose image files are taken (not searched deeper); or datasets, whose held-out images
            (imagesTs) are taken.
        channels: of the model.
        fold: predict the ``val`` cases of this fold of the datasets instead, counted from 1.

    Returns:
        Cases in order of their ids. In files named as nnU-Net names them (``CASE_0000.nii.gz``, one file a channel),
        the number belongs to the channel; other files are a case each. Truth is never opened.

    Raises:
        InputError: if an input does not exist or holds no image, a case lacks a channel, two inputs claim one name,
            or there is no such fold.
        DatasetError: if a dataset cannot be opened.
    """
    missing = [path for path in inputs if not path.exists()]
    if missing:
        raise InputError(
            "an input cannot be found",
            where=missing[0],
            expected="an image, a folder or a dataset",
            received="nothing",
            todo="correct the path",
        )
    cases: list[InputCase] = []
    for path in inputs:
        if (path / "dataset.json").is_file() and (path / "imagesTr").is_dir():
            cases += _of_dataset(Dataset.open(path), fold)
        elif fold is not None:
            raise InputError(
                "only a dataset has folds",
                where=path,
                expected="a folder with dataset.json and imagesTr",
                received=f"--fold {fold}",
                todo="name a dataset, or leave --fold out",
            )
        elif path.is_dir():
            cases += _of_files(sorted(path.iterdir()), channels, path)
    cases += _of_files([path for path in inputs if not path.is_dir()], channels, None)
    return _unique(cases)


def _of_dataset(dataset: Dataset, fold: int | None) -> list[InputCase]:
    if fold is None:
        if not dataset.testing:
            raise InputError(
                "the dataset holds out no images",
                where=dataset.root / "imagesTs",
                expected="images",
                received="none",
                todo="name a fold with --fold, or the folder of images itself",
            )
        return [InputCase(case.id, case.images) for case in dataset.testing]
    splits = dataset.splits()
    if not 1 <= fold <= len(splits):
        raise InputError(
            "the dataset has no such fold",
            where=dataset.root,
            expected=f"1 … {len(splits)}",
            received=fold,
            todo="choose one of these folds, or leave --fold out for the images of imagesTs",
        )
    files = {case.id: case.images for case in dataset.training}
    return [InputCase(name, files[name]) for name in splits[fold - 1].val]


def _of_files(paths: Iterable[Path], channels: int, folder: Path | None) -> list[InputCase]:
    images = [
        path for path in paths if folder is None or (split_ending(path)[1] and not path.name.startswith((".", "._")))
    ]
    images = [path for path in images if not path.is_dir()]
    if folder is not None and not images:
        raise InputError(
            "there is no image to predict",
            where=folder,
            expected="files such as CASE.nii.gz",
            received="none",
            todo="name the folder that holds the images itself; folders below it are not searched",
        )
    numbered = _by_channel(images, channels)
    if numbered is None:
        if channels > 1 and any(split_ending(path)[1] in NIFTI_ENDINGS for path in images):
            raise InputError(
                "the model takes several channels",
                where=folder or images[0],
                expected=f"files CASE_0000 … CASE_{channels - 1:04d}, one a channel",
                received=[path.name for path in images[:3]],
                todo="name the files by channel",
            )
        return [InputCase(split_ending(path)[0], (path,)) for path in images]
    return [InputCase(name, tuple(files)) for name, files in numbered.items()]


def _by_channel(images: Iterable[Path], channels: int) -> dict[str, list[Path]] | None:
    """Files by case where every name ends in a channel's number, and every case has one file or all; else None."""
    found: dict[str, list[Path]] = {}
    numbers: dict[str, list[int]] = {}
    for path in sorted(images):
        name, _, number = split_ending(path)[0].rpartition("_")
        if not name or len(number) != 4 or not number.isdigit():
            return None
        found.setdefault(name, []).append(path)
        numbers.setdefault(name, []).append(int(number))
    complete = ([0], list(range(channels)))
    return found if any(all(values == one for values in numbers.values()) for one in complete) else None


def _unique(cases: list[InputCase]) -> list[InputCase]:
    by_id: dict[str, InputCase] = {}
    for case in cases:
        other = by_id.setdefault(case.id, case)
        if other != case:
            raise InputError(
                "two inputs would be predicted under one name",
                where=case.files[0],
                expected="names that differ, whatever their endings",
                received=f"also {other.files[0]}",
                todo="rename one, or predict them into different folders",
            )
    return [by_id[name] for name in sorted(by_id)]
