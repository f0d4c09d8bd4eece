"""ACDC as the HDF5 slices and volumes that the field passes around (WSL4MIS's ``ACDC.zip``)."""

from __future__ import annotations

import io
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.compressed import MAX_DECODED_BYTES
from pointillist.data.image import Grid, Image
from pointillist.data.importers._common import (
    Imported,
    check_agreement,
    nothing_found,
    on_grid,
    one_file_each,
    translate,
)
from pointillist.data.importers.acdc import DENSE_VALUES, SCRIBBLE_VALUES, SPEC, side_of
from pointillist.data.source import Source, open_source
from pointillist.data.split import acdc_folds
from pointillist.errors import DamagedFileError, DatasetError, GeometryError, InputError, LabelError
from pointillist.types import AnyArray, LabelMap

_FILE = re.compile(r"(?P<case>(?P<group>patient\d{3})_frame\d{2})(_slice_(?P<slice>\d+))?\.h5")
_NOTE = "no-spacing: HDF5 files carry no spacing; voxels count as 1 mm, so millimetres mean voxels"


def import_acdc_hdf5(source: Path, target: Path) -> Imported:
    """Import ACDC from ``patientNNN_frameXX_slice_N.h5`` files, or from ``patientNNN_frameXX.h5`` volumes.

    Each holds ``image`` and, where known, ``label`` and ``scribble`` (4 = unlabelled), row by column, slices first in
    volumes. Slices are stacked to volumes in the order of their numbers; where a case is there in both forms the
    slices are taken. The intensities are the ones of the files (normalised by their authors).

    Args:
        source: folder or zip archive, in any nesting.
        target: the new dataset.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    files = open_source(source)
    cases = _files_by_case(files)
    if not cases:
        raise nothing_found(files, "patientNNN_frameXX_slice_N.h5 or patientNNN_frameXX.h5")
    marked = 0
    with DatasetBuilder(target, name="ACDC", spec=SPEC, ending=".nii.gz", kind="acdc-hdf5") as builder:
        for case, names in sorted(cases.items()):
            new = _read_case(case, names, files)
            marked += new.base is not None
            builder.add(new)
        groups = builder.training_groups()
        splits = acdc_folds(groups) if groups else []
        builder.finish(splits, (_NOTE,))
    return Imported(target, len(groups), len(cases) - len(groups), marked, len(splits), (_NOTE,))


def holds_hdf5(source: Source) -> bool:
    """Whether a source holds ACDC as HDF5 files."""
    return any(_FILE.fullmatch(PurePosixPath(name).name) for name in source.names)


def _files_by_case(source: Source) -> dict[str, list[str]]:
    matches = [(match, name) for name in source.names if (match := _FILE.fullmatch(PurePosixPath(name).name))]
    volumes = one_file_each(((m["case"], name) for m, name in matches if m["slice"] is None), source)
    numbered = one_file_each(((f"{m['case']} {int(m['slice'])}", name) for m, name in matches if m["slice"]), source)
    slices: dict[str, dict[int, str]] = {}
    for key, name in numbered.items():
        case, number = key.split()
        slices.setdefault(case, {})[int(number)] = name
    for case, of_case in slices.items():
        missing = sorted(set(range(min(of_case), max(of_case))) - of_case.keys())
        if missing:
            raise DatasetError(
                "a volume lacks slices",
                where=f"{source.root}, {case}",
                expected=f"slices {min(of_case)} … {max(of_case)}",
                received=f"all but {missing}",
                todo="complete the copy",
            )
    stacks = {case: [of_case[number] for number in sorted(of_case)] for case, of_case in slices.items()}
    return {case: [name] for case, name in volumes.items()} | stacks


def _read_case(case: str, names: list[str], source: Source) -> NewCase:
    parts = [_read_file(source, name) for name in names]
    image = _image([part["image"] for part in parts], source.path(names[0]))
    dense = _labels(parts, "label", DENSE_VALUES, image)
    base = _labels(parts, "scribble", SCRIBBLE_VALUES, image)
    if base is not None and dense is not None:
        check_agreement(base, dense, image.where)
    return NewCase(
        id=case,
        image=image,
        group=case.split("_")[0],
        base=base,
        dense=dense,
        side=side_of(case.split("_")[0]),
        files={name: source.hashes[name] for name in names},
        notes=(_NOTE,),
    )


def _image(parts: list[AnyArray], where: Path) -> Image:
    array = _stack(parts, where)
    if not np.isfinite(array).all():
        raise DamagedFileError(
            "the image holds values that are not numbers",
            where=where,
            expected="finite values everywhere",
            received=f"{int((~np.isfinite(array)).sum())} that are not",
            todo="get the file from its original source",
        )
    identity = np.array([[0, 1], [1, 1], [2, 1]], dtype=np.float64)
    grid = Grid(tuple(array.shape), (1.0, 1.0, 1.0), np.eye(4), identity)
    return Image(array.astype(np.float32), grid, (_NOTE,), str(where))


def _labels(parts: list[dict[str, AnyArray]], key: str, values: dict[int, int], like: Image) -> LabelMap | None:
    having = sum(key in part for part in parts)
    if having == 0:
        return None
    if having < len(parts):
        raise DamagedFileError(
            f"some slices of a volume have a {key} and some have none",
            where=like.where,
            expected=f"{len(parts)} slices with one",
            received=having,
            todo="complete the copy",
        )
    array = _stack([part[key] for part in parts], Path(like.where))
    if array.shape != like.array.shape:
        raise GeometryError(
            f"image and {key} have different shapes",
            where=like.where,
            expected=like.array.shape,
            received=array.shape,
            todo=f"check that image and {key} belong to the same case",
        )
    if (array != np.round(array)).any():
        raise LabelError(
            "a label image holds fractions",
            where=f"{like.where}, {key}",
            expected="whole numbers",
            received=f"for example {float(array[array != np.round(array)][0]):.6g}",
            todo="check that this is the label and not an image or a probability map",
        )
    return translate(on_grid(array, like), values)


def _stack(parts: list[AnyArray], where: Path) -> AnyArray:
    """One volume ``(column, row, slice)`` of 2-D slices or of one volume stored slices first."""
    if len(parts) == 1 and parts[0].ndim == 3:
        return np.ascontiguousarray(parts[0].transpose(2, 1, 0))
    shapes = sorted({part.shape for part in parts})
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise GeometryError(
            "the slices of a volume have different shapes",
            where=where,
            expected="one 2-D shape",
            received=shapes,
            todo="check that no slice of another case is among them",
        )
    return np.stack([part.T for part in parts], axis=-1)


def _read_file(source: Source, name: str) -> dict[str, AnyArray]:
    try:
        import h5py  # an extra: few users have HDF5 files
    except ImportError as error:
        raise InputError(
            "HDF5 files need one more package",
            where=source.path(name),
            expected="the package h5py",
            received=error,
            todo="pip install 'pointillist[hdf5]'",
        ) from error
    data = source.read(name)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            arrays = {key: _array(file, key, h5py, source.path(name)) for key in file if key in _KEYS}
    except DamagedFileError:
        raise
    except Exception as error:  # OSError, KeyError, RuntimeError, ValueError, OverflowError …
        raise DamagedFileError(
            "the HDF5 file cannot be read to its end",
            where=source.path(name),
            expected="image, label and scribble as arrays",
            received=f"{type(error).__name__}: {error}",
            todo="copy the file again from its source",
        ) from error
    if "image" not in arrays:
        raise DamagedFileError(
            "the HDF5 file holds no image",
            where=source.path(name),
            expected="a dataset named 'image'",
            received=", ".join(arrays) or "none of the datasets of ACDC",
            todo="check that this is a slice or volume of ACDC, or remove the file",
        )
    return arrays


_DEEPEST_RATIO = 1100  # deflate cannot do better than 1032:1; what was never written is no image
_KEYS = ("image", "label", "scribble")


def _array(file: Any, key: str, h5py: Any, where: Path) -> AnyArray:
    """A dataset that really lies in this file: no link, no virtual or external storage."""
    inside = isinstance(file.get(key, getlink=True), h5py.HardLink) and isinstance(file[key], h5py.Dataset)
    own = inside and not file[key].is_virtual and not file[key].external and file[key].dtype.kind in "buif"
    if not own or file[key].nbytes > min(MAX_DECODED_BYTES, _DEEPEST_RATIO * file[key].id.get_storage_size()):
        raise DamagedFileError(
            "the HDF5 file does not hold its own data",
            where=f"{where}, {key}",
            expected="a plain array of real numbers of at most 4 GiB",
            received="a link, a virtual or external dataset, other values, or a larger one",
            todo="get the file from its original source",
        )
    return np.asarray(file[key])
