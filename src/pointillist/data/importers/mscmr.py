"""MSCMRseg late-enhancement cardiac MRI with CycleMix's scribbles."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import numpy as np
from scipy import ndimage

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import HeaderRule, Image
from pointillist.data.importers._common import (
    Imported,
    check_agreement,
    one_file_each,
    tally,
    translate,
)
from pointillist.data.importers._scribbled import ScribbledFiles, counted
from pointillist.data.source import Source
from pointillist.data.split import Split, group_folds, listed_folds
from pointillist.errors import LabelError
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, LabelMap, Mask

SPEC = TaskSpec(("background", "RV", "Myo", "LV"), ("MRI",))
SMALL_VALUES = {0: 0, 1: 1, 2: 2, 3: 3}
OFFICIAL_VALUES = {0: 0, 600: 1, 200: 2, 500: 3}
SCRIBBLE_VALUES = {**SMALL_VALUES, 4: IGNORE}
_RV, _MYO, _LV = 1, 2, 3

_FILE = re.compile(r"(?P<group>(subject|patient)\d+)_(DE|LGE)(?P<kind>_manual|_scribble)?\.nii(\.gz)?")

# CycleMix's division of the 45 subjects (its folders TestSet and val; the other 25 have scribbles).
_TEST = frozenset(f"subject{n}" for n in (3, 5, 10, 11, 12, 16, 17, 23, 28, 30, 33, 35, 38, 40, 43))
_VALIDATION = frozenset(f"subject{n}" for n in (1, 8, 29, 36, 41))
_OTHER_FOLDS, _SEED = 5, 0


def import_mscmr(
    source: Path, target: Path, *, scribbles: Path | None = None, header_rule: HeaderRule = "auto"
) -> Imported:
    """Import the late-enhancement images of MSCMRseg.

    As CycleMix passes them around: ``subjectN_DE.nii.gz``, ``…_DE_scribble.nii.gz`` (1 RV, 2 Myo, 3 LV, 4 unlabelled)
    for the 25 training subjects and ``…_DE_manual.nii.gz`` (dense) for the others. Its 15 test subjects become
    held-out cases; the one fold holds out its 5 validation subjects. As the organisers do: ``patientN_LGE.nii.gz``
    and ``…_LGE_manual.nii.gz`` (200 Myo, 500 LV, 600 RV); their numbers are not known to be CycleMix's, so these get
    five folds of nearly equal size (seed 0) and no test set. Truth may be coded either way in both.

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
        _by_subject,
        truth="_manual",
        examples=("subjectN_DE.nii.gz or patientN_LGE.nii.gz", "subjectN_DE_scribble.nii.gz"),
    )
    notes: list[str] = []
    with DatasetBuilder(target, name="MSCMR", spec=SPEC, ending=".nii.gz", kind="mscmr") as builder:
        for group in sorted(found.images):
            new = _read_case(group, found, header_rule)
            notes += new.notes
            builder.add(new)
        groups = builder.training_groups()
        splits = _splits(groups)
        summary = (*tally(notes), *_left_over(found))
        builder.finish(splits, summary)
    marked = sum(group in found.drawn for group in groups.values())
    return Imported(target, len(groups), len(found.images) - len(groups), marked, len(splits), summary)


def _by_subject(source: Source, kind: str) -> dict[str, str]:
    matches = [(_FILE.fullmatch(PurePosixPath(name).name), name) for name in source.names]
    return one_file_each(((m["group"], name) for m, name in matches if m and (m["kind"] or "") == kind), source)


def _read_case(group: str, found: ScribbledFiles, header_rule: HeaderRule) -> NewCase:
    reader, marks_reader = found.readers(header_rule)
    image = reader.image(found.images[group])
    dense = base = None
    if group in found.truths:
        dense = _truth(reader.labels(found.truths[group], image))
        _check_ventricles(dense, image, str(reader.path(found.truths[group])))
    if group in found.drawn:
        base = translate(marks_reader.labels(found.drawn[group], image), SCRIBBLE_VALUES)
        if dense is not None:
            check_agreement(base, dense, str(marks_reader.path(found.drawn[group])))
    return NewCase(
        id=group,
        image=image,
        group=group,
        base=base,
        dense=dense,
        side="Ts" if group in _TEST else "Tr",
        files={**reader.files, **marks_reader.files},
        notes=(*reader.notes, *marks_reader.notes),
    )


def _truth(labels: Image) -> LabelMap:
    """Classes of a truth in the organisers' coding or in CycleMix's."""
    return translate(labels, OFFICIAL_VALUES if labels.array.max() > max(SMALL_VALUES) else SMALL_VALUES)


def _check_ventricles(dense: LabelMap, image: Image, where: str) -> None:
    """Refuse a coding with the ventricles exchanged; public scripts disagree about which number is which.

    The myocardium surrounds the left ventricle, and the right one only leans against it.

    Raises:
        LabelError: if the right ventricle is the surrounded one.
    """
    if not all((dense == cls).any() for cls in (_RV, _MYO, _LV)):
        return
    left, right = (_surrounded(dense, cls, image.grid.slice_axis) for cls in (_LV, _RV))
    if left <= right:
        raise LabelError(
            "the ventricles are exchanged",
            where=where,
            expected="a left ventricle that the myocardium surrounds more than the right one",
            received=f"{left:.0%} of the left one's border, {right:.0%} of the right one's",
            todo="code RV, Myo and LV as 1, 2, 3 or as 600, 200, 500",
        )


def _surrounded(dense: LabelMap, cls: int, slice_axis: int) -> float:
    """The share of a class's neighbours within the slices that are myocardium."""
    cross = np.moveaxis(ndimage.generate_binary_structure(2, 1)[..., None], -1, slice_axis)
    around: Mask = ndimage.binary_dilation(dense == cls, cross) & (dense != cls)
    return float((dense[around] == _MYO).mean()) if around.any() else 0.0


def _splits(groups: dict[str, str]) -> list[Split]:
    if not groups:
        return []
    if all(group.startswith("subject") for group in groups.values()):
        return listed_folds(groups, [_VALIDATION])
    count = min(_OTHER_FOLDS, len(set(groups.values())))
    return group_folds(groups, count, _SEED) if count >= 2 else []


def _left_over(found: ScribbledFiles) -> list[str]:
    """Images with neither truth nor marks, and truths and marks without an image, counted."""
    bare = found.images.keys() - found.truths.keys() - found.drawn.keys()
    return counted({"images with neither dense truth nor scribbles": len(bare)} | found.without_image())
