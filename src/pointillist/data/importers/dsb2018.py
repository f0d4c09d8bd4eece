"""Data Science Bowl 2018 nuclei: ``ID/images/ID.png`` and one mask file an instance."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Literal

import numpy as np

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import Image
from pointillist.data.importers._common import CaseReader, Imported, nothing_found, on_grid, one_file_each, tally
from pointillist.data.source import open_source
from pointillist.data.split import group_folds
from pointillist.errors import InputError, LabelError
from pointillist.spec import TaskSpec
from pointillist.types import InstanceMap

SPEC = TaskSpec(("background", "nucleus"), ("R", "G", "B"))
Subset = Literal["BF", "Fluo", "all"]

# Held out in fold 1: 4 of the 16 bright-field images, 54 of the 271 (109 of the 546) fluorescence images.
_FOLDS = {"BF": 4, "Fluo": 5, "all": 5}
_SEED = 0

_IMAGE = re.compile(r"(?:.*/)?(?P<id>[^/]+)/images/(?P=id)\.png")
_MASK = re.compile(r"(?:.*/)?(?P<id>[^/]+)/masks/[^/]+\.png")
_DARK = 0.4  # fluorescence images are grey on black: their median lies far below this share of full brightness


def import_dsb2018(source: Path, target: Path, *, subset: Subset = "all") -> Imported:
    """Import the nuclei of Data Science Bowl 2018 (BBBC038v1, ``stage1_train``).

    Instances become ``instancesTr`` and, together, the class ``nucleus`` in ``denseTr``. Nothing is marked: draw marks
    with ``pointillist simulate``. Which image is bright-field (BF) and which fluorescence (Fluo) is read from
    ``subsets.csv`` (``image_id,subset``) in or beside the source where there is one; else grey images with a dark
    background count as Fluo and everything else as BF. (The literature's k-means on the dominant colour is not
    reproducible: its cluster numbers are arbitrary.)

    Args:
        source: ``stage1_train.zip`` or the folder.
        target: the new dataset.
        subset: which modality to take.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    files = open_source(source)
    images = one_file_each(((m["id"], n) for n in files.names if (m := _IMAGE.fullmatch(n))), files)
    if not images:
        raise nothing_found(files, "ID/images/ID.png and ID/masks/*.png, as in the official release")
    masks: dict[str, list[str]] = {}
    for name in files.names:
        if match := _MASK.fullmatch(name):
            masks.setdefault(match["id"], []).append(name)
    stated = _stated_subsets(source)
    notes: list[str] = []
    with DatasetBuilder(target, name="DSB2018", spec=SPEC, ending=".png", kind="dsb2018") as builder:
        for case, name in sorted(images.items()):
            if subset != "all" and stated.get(case, subset) != subset:
                continue
            reader = CaseReader(files)
            image = reader.image(name)
            if subset not in ("all", stated.get(case) or _guess(image)):
                continue
            image = _as_colour(image)
            instances = _instances(reader, masks.get(case, []), image)
            dense = (instances > 0).astype(np.uint8)
            notes += reader.notes
            builder.add(
                NewCase(
                    case, image, case, dense=dense, instances=instances, files=reader.files, notes=tuple(reader.notes)
                )
            )
        groups = builder.training_groups()
        if not groups:
            raise InputError(
                "the source holds no image of this modality",
                where=source,
                expected=f"at least one image with --subset {subset}",
                received="none",
                todo="choose another --subset, or correct subsets.csv",
            )
        folds = _FOLDS[subset] if len(groups) >= _FOLDS[subset] else 0
        splits = group_folds(groups, folds, _SEED) if folds else []
        summary = (*tally(notes), f"modality from {'subsets.csv' if stated else 'brightness and colour'}")
        builder.finish(splits, summary)
    return Imported(target, len(groups), 0, 0, len(splits), summary)


def _stated_subsets(source: Path) -> dict[str, str]:
    """Modality of an image id from subsets.csv in the folder, or beside the archive."""
    for path in (source / "subsets.csv", source.parent / "subsets.csv"):
        if path.is_file():
            rows = csv.DictReader(io.StringIO(path.read_text("utf-8-sig", errors="replace")))
            if rows.fieldnames is None or not {"image_id", "subset"} <= set(rows.fieldnames):
                raise InputError(
                    "subsets.csv cannot be understood",
                    where=path,
                    expected="columns image_id, subset",
                    received=rows.fieldnames,
                    todo="write image_id,subset into its first line",
                )
            stated = {row["image_id"]: row["subset"] for row in rows}
            unknown = {str(word) for word in stated.values()} - {"BF", "Fluo"}
            if unknown:
                raise InputError(
                    "subsets.csv names a modality that is not known",
                    where=path,
                    expected="BF or Fluo",
                    received=sorted(unknown)[:5],
                    todo="write BF for bright field or Fluo for fluorescence",
                )
            return stated
    return {}


def _guess(image: Image) -> Subset:
    array = image.array
    grey = image.channels == 1 or bool((array == array[..., :1]).all())
    full = float(np.iinfo(array.dtype).max)
    return "Fluo" if grey and float(np.median(array)) < _DARK * full else "BF"


def _as_colour(image: Image) -> Image:
    return image if image.channels == 3 else on_grid(np.repeat(image.array[..., None], 3, axis=-1), image)


def _instances(reader: CaseReader, names: list[str], image: Image) -> InstanceMap:
    """Number the masks 1, 2, … in the order of their names; where two overlap the later keeps the pixel."""
    if not names:
        raise LabelError(
            "an image has no masks",
            where=image.where,
            expected="masks/*.png beside images/",
            received="none",
            todo="complete the copy of stage1_train, or remove this image",
        )
    instances: InstanceMap = np.zeros(image.grid.shape, dtype=np.int32)
    overlap = 0
    for number, name in enumerate(sorted(names), start=1):
        mask = reader.labels(name, image).array > 0
        overlap += int((instances[mask] > 0).sum())
        instances[mask] = number
    lost = len(names) - (len(np.unique(instances)) - int((instances == 0).any()))
    if overlap:
        reader.notes.append(f"overlap: {overlap} pixels belong to two masks, the later keeps them ({image.where})")
    if lost:
        reader.notes.append(f"empty-mask: {lost} masks are empty or fully covered ({image.where})")
    return instances
