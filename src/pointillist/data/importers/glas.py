"""GlaS (Warwick-QU): glands of the colon, ``NAME.bmp`` with ``NAME_anno.bmp`` and one list of patients."""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath

import numpy as np

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.importers._common import CaseReader, Imported, nothing_found, one_file_each, tally
from pointillist.data.source import Source, open_source
from pointillist.data.split import group_folds
from pointillist.errors import DatasetError, LabelError
from pointillist.spec import TaskSpec

SPEC = TaskSpec(("background", "gland"), ("R", "G", "B"))
FOLDS = 4
_SEED = 0

_FILE = re.compile(r"(?P<id>(?:train|testA|testB)_\d+)(?P<anno>_anno)?\.bmp")
_LIST = "Grade.csv"


def import_glas(source: Path, target: Path) -> Imported:
    """Import the glands of the GlaS challenge.

    All images, those of the challenge's test sets too, are divided into four folds by patient: the official training
    and test sets share patients, which makes a test on the latter too easy. Glands keep their numbers as instances,
    and are together the class ``gland``. Nothing is marked: draw marks with ``pointillist simulate``.

    Args:
        source: the official zip archive, or the folder in it.
        target: the new dataset.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    files = open_source(source)
    named = [(m, name) for name in files.names if (m := _FILE.fullmatch(PurePosixPath(name).name))]
    images = one_file_each(((m["id"], name) for m, name in named if not m["anno"]), files)
    annotations = one_file_each(((m["id"], name) for m, name in named if m["anno"]), files)
    if not images:
        raise nothing_found(files, "train_1.bmp, train_1_anno.bmp, … and Grade.csv, as in the official archive")
    patients = _patients(files, images)
    notes: list[str] = []
    with DatasetBuilder(target, name="GlaS", spec=SPEC, ending=".png", kind="glas") as builder:
        for case, name in sorted(images.items()):
            new = _read_case(case, name, annotations.get(case), patients[case], files)
            notes += new.notes
            builder.add(new)
        groups = builder.training_groups()
        folds = min(FOLDS, len(set(groups.values())))
        splits = group_folds(groups, folds, _SEED) if folds >= 2 else []
        left_over = len(annotations.keys() - images.keys())
        summary = (
            *tally(notes),
            f"{len(groups)} images of {len(set(groups.values()))} patients; folds part no patient",
            *([f"annotations without an image (left out): {left_over}"] if left_over else []),
        )
        builder.finish(splits, summary)
    return Imported(target, len(groups), 0, 0, len(splits), summary)


def _read_case(case: str, image_name: str, annotation: str | None, patient: str, files: Source) -> NewCase:
    reader = CaseReader(files)
    image = reader.image(image_name)
    if annotation is None:
        raise LabelError(
            "an image has no annotation",
            where=image.where,
            expected=f"{case}_anno.bmp beside it",
            received="nothing",
            todo="complete the copy of the archive, or remove this image",
        )
    instances = reader.labels(annotation, image).array.astype(np.int32)
    dense = (instances > 0).astype(np.uint8)
    return NewCase(
        case, image, patient, dense=dense, instances=instances, files=reader.files, notes=tuple(reader.notes)
    )


def _patients(files: Source, images: dict[str, str]) -> dict[str, str]:
    """Patient of every image. The list ends its lines as old Macintoshes did, and has spaces after its commas."""
    lists = [name for name in files.names if PurePosixPath(name).name == _LIST]
    if len(lists) != 1:
        raise DatasetError(
            "the list of patients cannot be found" if not lists else "there are several lists of patients",
            where=files.root,
            expected=f"one {_LIST}",
            received=", ".join(lists) or "none",
            todo="copy it from the official archive: without it one patient's images would lie in several folds",
        )
    where = files.path(lists[0])
    rows = csv.DictReader(files.read(lists[0]).decode("utf-8-sig", "replace").splitlines(), skipinitialspace=True)
    if rows.fieldnames is None or not {"name", "patient ID"} <= set(rows.fieldnames):
        raise DatasetError(
            "the list of patients cannot be understood",
            where=where,
            expected="columns name, patient ID",
            received=rows.fieldnames,
            todo="copy it from the official archive",
        )
    stated = {row["name"].strip(): (row["patient ID"] or "").strip() for row in rows}
    without = [case for case in images if not stated.get(case, "").isdigit()]
    if without:
        raise DatasetError(
            "the list of patients lacks an image",
            where=where,
            expected="a line with a patient's number for every image",
            received=", ".join(sorted(without)[:5]),
            todo="copy it from the official archive",
        )
    return {case: f"patient{int(stated[case]):02d}" for case in images}
