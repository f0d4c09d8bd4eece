"""Label images of other programs: which value is which class, and what nobody marked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pointillist.data.compressed import read_bytes
from pointillist.data.exchange.class_map import ClassMap
from pointillist.data.formats.nrrd import decode_nrrd
from pointillist.data.image import HeaderRule, Image, same_grid
from pointillist.data.readers import read_label
from pointillist.errors import GeometryError, LabelError
from pointillist.types import IGNORE, LabelMap

_FAR_MM = 1e-2


def values_of(classes: tuple[str, ...]) -> dict[int, str]:
    """The values that ``export`` writes: 1, 2, … the classes, the number of classes for the background, 0 unmarked.

    In ITK-SNAP, 3D Slicer and napari 0 is what nobody painted, so the background, which is a class here, needs a value
    of its own.
    """
    return {**dict(enumerate(classes[1:], start=1)), len(classes): classes[0]}


def to_values(labels: LabelMap, classes: int) -> LabelMap:
    """Class indices, IGNORE where unmarked, as ``values_of`` numbers them."""
    table = np.zeros(IGNORE + 1, dtype=np.uint8)
    table[1:classes] = np.arange(1, classes)
    table[0] = classes
    values: LabelMap = table[labels]
    return values


def read_labels(
    path: Path, like: Image, classes: ClassMap, unlabelled: int | None, header_rule: HeaderRule = "auto"
) -> LabelMap:
    """A label image as class indices, IGNORE where nobody marked.

    Args:
        path: NRRD, or any kind of file that images are stored in.
        like: the image it must lie on.
        classes: names, or values, to classes.
        unlabelled: the value of what nobody marked; None: 0.
        header_rule: which side of a contradictory NIfTI header to believe.

    Raises:
        GeometryError: if it lies on another grid, or elsewhere in space.
        LabelError: if a value is no class, or it is not clear what is marked.
    """
    names: dict[int, str] = {}
    if path.suffix.lower() == ".nrrd":
        image, names = decode_nrrd(read_bytes(path), path)
    else:
        image = read_label(path, header_rule=header_rule)
    _check_grid(like, image)
    values = image.array
    background = len(classes.classes)
    shares = {value: int((values == value).sum()) for value in (0, background)}
    if unlabelled is None and not names and shares[background] > max(shares[0], values.size // 2):
        raise LabelError(
            "it is not clear what is marked and what is not",
            where=path,
            expected="0 in most pixels, which nobody marked, as in ITK-SNAP, 3D Slicer and napari",
            received=f"{background} in {shares[background] / values.size:.0%} of the pixels",
            todo=f"say --unlabelled {background} if nobody marked these pixels, as in labelsTr, or --unlabelled 0 if "
            "somebody marked them as background",
        )
    unmarked = unlabelled or 0
    found, places = np.unique(values, return_inverse=True)
    table = np.array(
        [IGNORE if value == unmarked else _class(int(value), names, classes, unmarked, path) for value in found],
        dtype=np.uint8,
    )
    labels: LabelMap = table[places].reshape(values.shape)
    return labels


def _class(value: int, names: Mapping[int, str], classes: ClassMap, unmarked: int, path: Path) -> int:
    if value in names:
        return classes.index(names[value], f"{path}, segment {names[value]!r} (value {value})")
    stated = classes.find(str(value))
    if stated is not None:
        return stated
    count = len(classes.classes)
    if not names and 0 <= value < count:
        return value
    if not names and value == count and unmarked == 0:
        return 0
    raise LabelError(
        "a label image holds a value that no class has",
        where=path,
        expected=", ".join(f"{number} {name}" for number, name in values_of(classes.classes).items()),
        received=value,
        todo=f"say which class it is with --class-map {value}=NAME, or {value}=ignore to leave it out",
    )


def _check_grid(image: Image, labels: Image) -> None:
    same_grid(image, labels)
    one, other = image.grid.affine, labels.grid.affine
    if one is not None and other is not None and not np.allclose(one[:3, 3], other[:3, 3], rtol=0, atol=_FAR_MM):
        raise GeometryError(
            "the label image lies elsewhere than the image",
            where=f"{labels.where} against {image.where}",
            expected=f"first voxel at {np.round(one[:3, 3], 4).tolist()} mm",
            received=f"{np.round(other[:3, 3], 4).tolist()} mm",
            todo="draw on this case's image, and save the label image with the same geometry",
        )
