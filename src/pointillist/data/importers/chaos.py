"""CHAOS abdominal MR: the official DICOM release, or NIfTI pairs."""

from __future__ import annotations

import re
from pathlib import Path

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import HeaderRule, Image
from pointillist.data.importers._chaos_dicom import SequenceName, Subject, subjects_of
from pointillist.data.importers._common import CaseReader, Imported, files_by_number, nothing_found, tally, translate
from pointillist.data.importers._organs import check_organs
from pointillist.data.source import open_source
from pointillist.data.split import Split, group_folds, listed_folds
from pointillist.errors import InputError
from pointillist.spec import TaskSpec
from pointillist.types import LabelMap

SPEC = TaskSpec(("background", "liver", "right kidney", "left kidney", "spleen"), ("MRI",))
NIFTI_VALUES = {value: value for value in range(5)}

# The subjects with released labels, by AttenScribble's folds (METHODS A4).
_FOLDS = ((1, 2, 3, 5, 8, 10, 13), (15, 19, 20, 21, 22, 31, 32), (33, 34, 36, 37, 38, 39))
_LABELLED = frozenset(number for fold in _FOLDS for number in fold)
_SEED = 0

_NIFTI = re.compile(r"(?P<kind>image|label)_(?P<id>\d+)\.nii(\.gz)?")


def import_chaos(
    source: Path, target: Path, *, sequence: SequenceName | None = None, header_rule: HeaderRule = "auto"
) -> Imported:
    """Import the MR part of CHAOS, one sequence of every subject.

    Official release: ``ID/T1DUAL/DICOM_anon/{InPhase,OutPhase}/*.dcm``, ``ID/T2SPIR/DICOM_anon/*.dcm``, and in
    ``Ground/*.png`` a label image a slice (greys 56–70 liver, 111–135 right kidney, 176–200 left kidney, 241–255
    spleen). Slices are ordered by position, and the label image of a slice is the one of its name; where the names
    differ (the phases of T1 share their label images) files are paired in the order of their names. Subjects of the
    official test set, which have no labels, become held-out cases. NIfTI pairs: ``image_ID.nii.gz`` and
    ``label_ID.nii.gz`` (0–4 in the same order).

    Folds are AttenScribble's three, as far as their subjects are there; a source with other subjects gets three of
    nearly equal size (seed 0).

    Args:
        source: folder or zip archive, in any nesting.
        target: the new dataset.
        sequence: of the official release; None takes T1 in phase. NIfTI pairs do not say which they hold.
        header_rule: for NIfTI headers that contradict themselves other than by unit columns.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    files = open_source(source)
    images, labels = (files_by_number(files, _NIFTI, kind) for kind in ("image", "label"))
    subjects = subjects_of(files, sequence or "t1-in")
    if not images and not subjects:
        raise nothing_found(files, "ID/T1DUAL/DICOM_anon/InPhase/*.dcm …, or image_ID.nii.gz and label_ID.nii.gz")
    if images and (subjects or sequence):
        raise InputError(
            "the source holds NIfTI pairs, which do not say their sequence",
            where=source,
            expected="NIfTI pairs and no --sequence, or DICOM folders alone",
            received=f"{len(images)} NIfTI images, {len(subjects)} subjects in DICOM, --sequence {sequence}",
            todo="leave --sequence out, and name the folder that holds only one of the two kinds",
        )
    notes: list[str] = []
    with DatasetBuilder(target, name="CHAOS", spec=SPEC, ending=".nii.gz", kind="chaos") as builder:
        for number in sorted(images or subjects):
            reader = CaseReader(files, header_rule)
            if images:
                image, dense = _nifti_case(reader, images[number], labels.get(number))
            else:
                image, dense = subjects[number].read(reader)
            new = _case(number, image, dense, reader, labels.get(number))
            notes += new.notes
            builder.add(new)
        groups = builder.training_groups()
        splits = _splits(groups)
        summary = (*tally(notes), *_left_over(images, labels, subjects))
        builder.finish(splits, summary)
    return Imported(target, len(groups), len(images or subjects) - len(groups), 0, len(splits), summary)


def _nifti_case(reader: CaseReader, image_name: str, label_name: str | None) -> tuple[Image, LabelMap | None]:
    image = reader.image(image_name)
    return image, None if label_name is None else translate(reader.labels(label_name, image), NIFTI_VALUES)


def _case(number: int, image: Image, dense: LabelMap | None, reader: CaseReader, label_name: str | None) -> NewCase:
    group = _group(number)
    if dense is not None:
        reader.notes += check_organs(dense, SPEC.classes, label_name or image.where)
    held_out = dense is None and number not in _LABELLED
    return NewCase(
        id=group,
        image=image,
        group=group,
        dense=dense,
        side="Ts" if held_out else "Tr",
        files=reader.files,
        notes=tuple(reader.notes),
    )


def _group(number: int) -> str:
    return f"subject{number:02d}"


def _splits(groups: dict[str, str]) -> list[Split]:
    if set(groups.values()) <= {_group(number) for number in _LABELLED}:
        return listed_folds(groups, [{_group(number) for number in fold} for fold in _FOLDS]) if groups else []
    count = min(len(_FOLDS), len(set(groups.values())))
    return group_folds(groups, count, _SEED) if count >= 2 else []


def _left_over(images: dict[int, str], labels: dict[int, str], subjects: dict[int, Subject]) -> list[str]:
    """What has no labels, and labels without an image, counted."""
    unlabelled = len(images.keys() - labels.keys()) + sum(not subject.ground for subject in subjects.values())
    counts = {
        "images without dense truth": unlabelled,
        "labels without an image (left out)": len(labels.keys() - images.keys()),
    }
    return [f"{what}: {count}" for what, count in counts.items() if count]
