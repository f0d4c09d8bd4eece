"""ACDC cardiac MRI in its official layout, with or without expert scribbles."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Literal

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import HeaderRule
from pointillist.data.importers._common import (
    Imported,
    check_agreement,
    one_file_each,
    tally,
    translate,
)
from pointillist.data.importers._scribbled import ScribbledFiles, counted
from pointillist.data.source import Source
from pointillist.data.split import acdc_folds
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "RV", "Myo", "LV"), ("MRI",))
DENSE_VALUES = {0: 0, 1: 1, 2: 2, 3: 3}
SCRIBBLE_VALUES = {**DENSE_VALUES, 4: IGNORE}
LAST_TRAINING_PATIENT = 100  # 101–150 are the official test set

_FILE = re.compile(r"(?P<case>(?P<group>patient\d{3})_frame\d{2})(?P<kind>_gt|_scribble)?\.nii(\.gz)?")


def import_acdc(
    source: Path, target: Path, *, scribbles: Path | None = None, header_rule: HeaderRule = "auto"
) -> Imported:
    """Import ACDC.

    ``patientNNN_frameXX.nii.gz`` with ``…_gt.nii.gz`` (0 background, 1 RV, 2 Myo, 3 LV) and, beside it or in a second
    folder, ``…_scribble.nii.gz`` (0–3, 4 = unlabelled). ``Info.cfg`` and the 4-D series are left aside. Patients
    101–150, the official test set, become held-out cases. The published five folds are written.

    Args:
        source: folder or zip archive, in any nesting.
        target: the new dataset.
        scribbles: a second folder or archive with the scribbles; there, a file without ``_scribble`` in its name is
            one too.
        header_rule: for NIfTI headers that contradict themselves other than by unit columns.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    found = ScribbledFiles.find(
        source,
        scribbles,
        _by_case,
        truth="_gt",
        examples=("patientNNN_frameXX.nii.gz, as in the official release", "patientNNN_frameXX_scribble.nii.gz"),
    )
    notes: list[str] = []
    with DatasetBuilder(target, name="ACDC", spec=SPEC, ending=".nii.gz", kind="acdc") as builder:
        for case in sorted(found.images):
            new = _read_case(case, found, header_rule)
            notes += new.notes
            builder.add(new)
        groups = builder.training_groups()
        splits = acdc_folds(groups) if groups else []
        summary = (*tally(notes), *_left_over(found))
        builder.finish(splits, summary)
    marked = sum(case in found.drawn for case in groups)
    return Imported(target, len(groups), len(found.images) - len(groups), marked, len(splits), summary)


def side_of(group: str) -> Literal["Tr", "Ts"]:
    """``Ts`` for the patients of the official test set, which no fold trains on."""
    return "Tr" if int(group.removeprefix("patient")) <= LAST_TRAINING_PATIENT else "Ts"


def holds_nifti(source: Source) -> bool:
    """Whether a source holds ACDC as NIfTI files."""
    return any(_FILE.fullmatch(PurePosixPath(name).name) for name in source.names)


def _by_case(source: Source, kind: str) -> dict[str, str]:
    matches = [(_FILE.fullmatch(PurePosixPath(name).name), name) for name in source.names]
    return one_file_each(((m["case"], name) for m, name in matches if m and (m["kind"] or "") == kind), source)


def _read_case(case: str, found: ScribbledFiles, header_rule: HeaderRule) -> NewCase:
    reader, marks_reader = found.readers(header_rule)
    image = reader.image(found.images[case])
    dense = base = None
    if case in found.truths:
        dense = translate(reader.labels(found.truths[case], image), DENSE_VALUES)
    if case in found.drawn:
        base = translate(marks_reader.labels(found.drawn[case], image), SCRIBBLE_VALUES)
        if dense is not None:
            check_agreement(base, dense, str(marks_reader.path(found.drawn[case])))
    group = case.split("_")[0]
    return NewCase(
        id=case,
        image=image,
        group=group,
        base=base,
        dense=dense,
        side=side_of(group),
        files={**reader.files, **marks_reader.files},
        notes=(*reader.notes, *marks_reader.notes),
    )


def _left_over(found: ScribbledFiles) -> list[str]:
    """Files without an image, and images without truth or marks, counted."""
    counts = {
        "images without dense truth": len(found.images.keys() - found.truths.keys()),
        "images without scribbles": len(found.images.keys() - found.drawn.keys()),
    }
    return counted(counts | found.without_image())
