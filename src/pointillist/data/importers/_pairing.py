"""Which label file belongs to which image, judged by names alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pointillist.data.readers import split_ending
from pointillist.errors import InputError

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "imagesTr")
_LABEL_FOLDERS = ("labels", "label", "masks", "mask", "annotations", "segmentations", "gt", "scribbles", "labelsTr")
_LABEL_SUFFIXES = ("_gt", "_label", "_labels", "_mask", "_seg", "_anno", "_segmentation", "_scribble", "_scribbles")
_NNUNET_CHANNEL = re.compile(r"_0000$")


@dataclass(frozen=True)
class Triple:
    """The files of one case, as names in the source.

    Attributes:
        id: the case's name: the image's path below its folder, without ending, slashes as underscores.
        image: the image.
        label: its label image, if it has one.
        truth: its dense truth beside a sparse label image, if it has one.
    """

    id: str
    image: str
    label: str | None
    truth: str | None


def find_cases(names: Sequence[str], *, images: str | None, labels: str | None, truth: str | None) -> list[Triple]:
    """Pair images with label files.

    Args:
        names: every file, as relative POSIX paths.
        images: subfolder of the images, or None to look for a usual one.
        labels: subfolder of the label images, or None to look for a usual one.
        truth: subfolder of dense label images, or None.

    Returns:
        One entry an image, in order of their ids.

    Raises:
        InputError: if a named subfolder is empty, or if a label file belongs to no image.
    """
    readable = [name for name in names if split_ending(Path(name))[1]]
    image_folder = _folder(readable, images, _IMAGE_FOLDERS)
    label_folder = _folder(readable, labels, _LABEL_FOLDERS)
    truth_folder = None if truth is None else _folder(readable, truth, ())
    others = [folder for folder in (label_folder, truth_folder) if folder]
    image_names = [
        name for name in readable if _below(name, image_folder) and not any(_below(name, folder) for folder in others)
    ]
    beside = [name for name in image_names if "/" not in name]
    if image_folder is None and beside:  # images lie in the source itself: what else it holds is not for us to guess
        image_names = beside
    label_names = [name for name in readable if label_folder and _below(name, label_folder)]
    if label_folder is None:
        label_names = [name for name in image_names if _stem(name).lower().endswith(_LABEL_SUFFIXES)]
        image_names = [name for name in image_names if name not in set(label_names)]
    truth_names = [name for name in readable if truth_folder and _below(name, truth_folder)]
    keys = {name: _case_id(name, image_folder) for name in image_names}
    label_of = _pair(keys, {name: _case_id(name, label_folder) for name in label_names})
    truth_of = _pair(keys, {name: _case_id(name, truth_folder) for name in truth_names})
    triples = [Triple(key, name, label_of.get(name), truth_of.get(name)) for name, key in keys.items()]
    return sorted(triples, key=lambda triple: triple.id)


def _folder(names: Sequence[str], stated: str | None, usual: Sequence[str]) -> str | None:
    """The folder that the user stated, or the first usual one that exists."""
    if stated is not None:
        folder = str(PurePosixPath(stated)).strip("/")
        if not any(_below(name, folder) for name in names):
            raise InputError(
                "a stated subfolder holds no image",
                where=stated,
                expected="a subfolder of the source with image files in it",
                received=sorted({PurePosixPath(name).parts[0] for name in names if "/" in name})[:8],
                todo="name one of the subfolders received, or leave the option out",
            )
        return folder
    present = {PurePosixPath(name).parts[0].lower(): PurePosixPath(name).parts[0] for name in names if "/" in name}
    return next((present[folder.lower()] for folder in usual if folder.lower() in present), None)


def _below(name: str, folder: str | None) -> bool:
    return folder is None or name.startswith(f"{folder}/")


def _stem(name: str) -> str:
    return split_ending(Path(name))[0]


def _case_id(name: str, folder: str | None) -> str:
    relative = PurePosixPath(name).relative_to(folder) if folder else PurePosixPath(name)
    stem = _NNUNET_CHANNEL.sub("", split_ending(Path(relative.name))[0])
    joined = "_".join((*relative.parent.parts, stem))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", joined).lstrip("._-")


def _pair(images: dict[str, str], labels: dict[str, str]) -> dict[str, str]:
    """Label file of an image file, by equal ids, by ids less a usual suffix, or by what is not common to all."""
    if not labels:
        return {}
    attempts = (
        (images, labels),
        (images, {name: _without_suffix(key) for name, key in labels.items()}),
        (_without_common(images), _without_common(labels)),
    )
    for image_keys, label_keys in attempts:
        by_key = {key: name for name, key in image_keys.items()}
        unique = len(by_key) == len(image_keys) and len(set(label_keys.values())) == len(label_keys)
        if unique and all(key in by_key for key in label_keys.values()):
            return {by_key[key]: name for name, key in label_keys.items()}
    strangers = [name for name, key in labels.items() if _without_suffix(key) not in images.values()]
    raise InputError(
        "label files cannot be paired with images by their names",
        where=", ".join((strangers or sorted(labels))[:3]),
        expected=f"names like those of the images: {', '.join(sorted(images)[:3])}",
        received=f"{len(labels)} label files for {len(images)} images",
        todo="rename the label files, or say which folders to take with --images and --labels",
    )


def _without_suffix(key: str) -> str:
    suffix = next((s for s in sorted(_LABEL_SUFFIXES, key=len, reverse=True) if key.lower().endswith(s)), "")
    return key[: len(key) - len(suffix)]


def _without_common(keys: dict[str, str]) -> dict[str, str]:
    """Ids without the beginning and the end that all of them share; digits are never split."""
    values = list(keys.values())
    if len(values) < 2:
        return dict.fromkeys(keys, "")
    start = len(os.path.commonprefix(values).rstrip("0123456789"))  # noqa: RUF071 - names, not paths
    rest = [value[start:] for value in values]
    backwards = [value[::-1] for value in rest]
    end = len(os.path.commonprefix(backwards).rstrip("0123456789"))  # noqa: RUF071 - names, not paths
    return {name: value[: len(value) - end] for name, value in zip(keys, rest, strict=True)}
