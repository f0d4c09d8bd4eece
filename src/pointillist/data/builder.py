"""Build a dataset beside its final name and put it there complete, or leave nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

import pointillist
from pointillist.data.dataset import labels_to_disk
from pointillist.data.image import Image
from pointillist.data.marks import Marks, raster_hash, write_marks
from pointillist.data.readers import NIFTI_ENDINGS
from pointillist.data.split import Split, check_splits
from pointillist.data.writers import write_image, write_json, write_label
from pointillist.errors import DatasetError, InputError
from pointillist.geometry.strokes import rasterise
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, InstanceMap, LabelMap, Stroke

_CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class NewCase:
    """What a dataset is to hold of one case.

    Attributes:
        id: name of letters, digits, dots, dashes and underscores.
        image: pixels and grid.
        group: patient or slide.
        base: ``(*s)`` marks that come as a raster, IGNORE elsewhere; None if there are none.
        strokes: marks that come as coordinates, drawn over the base.
        dense: ``(*s)`` dense truth, IGNORE where it is not known; None if there is none.
        instances: ``(*s)`` instance numbers of the dense truth.
        side: ``Tr`` for a training case, ``Ts`` for one that is held out from every fold.
        files: SHA-256 of the files it was read from, by name.
        notes: repairs that were applied while reading.
    """

    id: str
    image: Image
    group: str
    base: LabelMap | None = None
    strokes: tuple[Stroke, ...] = ()
    dense: LabelMap | None = None
    instances: InstanceMap | None = None
    side: Literal["Tr", "Ts"] = "Tr"
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class DatasetBuilder:
    """Write cases one by one; on success the folder appears under its name, on failure nothing does.

    Args:
        target: the dataset's folder; must not exist, or be empty.
        name: the dataset's name.
        spec: classes and channels.
        ending: ``.nii.gz`` for volumes, ``.png``, ``.bmp`` or ``.tif`` for 2-D images.
        kind: what it was made by, for import.json.

    Raises:
        DatasetError: if the target is in the way.
    """

    def __init__(self, target: Path, *, name: str, spec: TaskSpec, ending: str, kind: str) -> None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DatasetError(
                "the dataset's folder is in the way",
                where=target,
                expected="a new name, or an empty folder",
                received="a folder with files in it" if target.is_dir() else "a file",
                todo="choose another name, or remove it",
            )
        self.spec = spec
        self._target, self._name, self._ending, self._kind = target, name, ending, kind
        self._groups: dict[str, str] = {}
        self._sides: dict[str, str] = {}
        self._record: dict[str, Any] = {}

    def __enter__(self) -> DatasetBuilder:
        self._made = [folder for folder in self._target.parents if not folder.exists()]
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._work = Path(tempfile.mkdtemp(dir=self._target.parent, prefix=f".{self._target.name}.", suffix=".partial"))
        for folder in ("imagesTr", "labelsTr"):
            (self._work / folder).mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._work, ignore_errors=True)  # already renamed away when all went well
        if not self._target.exists():
            for folder in self._made:
                folder.rmdir()

    def add(self, case: NewCase) -> None:
        """Write one case.

        Raises:
            InputError: if its id cannot be a file name or comes twice.
        """
        if not _CASE_ID.fullmatch(case.id) or case.id in self._sides:
            raise InputError(
                "a case needs a name of its own made of letters, digits, dots, dashes and underscores",
                where=case.image.where,
                expected="for example patient001_frame01",
                received=f"{case.id!r}{' twice' if case.id in self._sides else ''}",
                todo="rename the file",
            )
        grid, name = case.image.grid, f"{case.id}{self._ending}"
        self._write_image(case)
        if case.side == "Tr":
            self._write_marks(case, name)
        if case.dense is not None:
            folder = "denseTr" if case.side == "Tr" else "labelsTs"
            write_label(self._work / folder / name, labels_to_disk(case.dense, self.spec), grid)
        if case.instances is not None:
            write_label(self._work / f"instances{case.side}" / name, case.instances, grid)
        self._sides[case.id], self._groups[case.id] = case.side, case.group
        self._record[case.id] = {"files": dict(case.files), "notes": list(case.notes)}

    def training_groups(self) -> dict[str, str]:
        """Group of every training case added so far, for dividing them into folds."""
        return {case: group for case, group in self._groups.items() if self._sides[case] == "Tr"}

    def finish(self, splits: Sequence[Split], notes: Sequence[str] = ()) -> None:
        """Write the description and give the folder its name.

        Args:
            splits: folds over the training cases; may be empty.
            notes: what the user should know about the whole import.

        Raises:
            DatasetError: if there are no cases, or a fold parts a group.
        """
        if not self._sides:
            raise DatasetError(
                "there is no case to make a dataset of",
                where=self._target,
                expected="one image or more",
                received="none",
                todo="check the source's folder",
            )
        groups = self.training_groups()
        check_splits(splits, groups)
        if splits:
            write_json(self._work / "splits_final.json", [asdict(split) for split in splits])
        made_by = {"format": 1, "kind": self._kind, "version": pointillist.__version__, "notes": list(notes)}
        write_json(self._work / "import.json", {**made_by, "cases": self._record})
        labels = {name: value for value, name in enumerate(self.spec.classes)}
        write_json(
            self._work / "dataset.json",
            {
                "name": self._name,
                "channel_names": {str(i): name for i, name in enumerate(self.spec.channels)},
                "labels": {**labels, "ignore": self.spec.ignore_on_disk},
                "numTraining": len(groups),
                "file_ending": self._ending,
                "pointillist": {"format": 1, "groups": self._groups},
            },
        )
        self._work.chmod(0o755)
        self._work.replace(self._target)

    def _write_image(self, case: NewCase) -> None:
        folder, grid = self._work / f"images{case.side}", case.image.grid
        if case.image.channels == 1 or self._ending not in NIFTI_ENDINGS:
            write_image(folder / f"{case.id}_0000{self._ending}", case.image.array, grid)
            return
        for channel in range(case.image.channels):
            write_image(folder / f"{case.id}_{channel:04d}{self._ending}", case.image.array[..., channel], grid)

    def _write_marks(self, case: NewCase, name: str) -> None:
        grid = case.image.grid
        axis = grid.slice_axis if len(grid.shape) == 3 else None
        base = np.full(grid.shape, IGNORE, dtype=np.uint8) if case.base is None else case.base
        sparse = base
        if case.strokes:
            sparse = rasterise(case.strokes, grid.shape, slice_axis=-1 if axis is None else axis, onto=base)
        write_label(self._work / "labelsTr" / name, labels_to_disk(sparse, self.spec), grid)
        if case.base is not None:
            write_label(self._work / "marks" / "base" / name, labels_to_disk(base, self.spec), grid)
        if case.base is not None or case.strokes:
            marks = Marks(case.strokes, grid.shape, axis, raster_hash(sparse))
            write_marks(self._work / "marks" / f"{case.id}.json", case.id, marks)
