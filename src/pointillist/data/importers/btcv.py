"""BTCV ("Synapse") abdominal CT: the official layout in Hounsfield units, or NIfTI pairs that were windowed before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.image import HeaderRule, Image
from pointillist.data.importers._common import CaseReader, Imported, files_by_number, nothing_found, tally, translate
from pointillist.data.importers._organs import check_organs
from pointillist.data.source import open_source
from pointillist.data.split import Split, listed_folds
from pointillist.errors import DatasetError
from pointillist.spec import TaskSpec

SPEC = TaskSpec(
    ("background", "spleen", "right kidney", "left kidney", "gallbladder", "liver", "stomach", "aorta", "pancreas"),
    ("CT",),
)
# Oesophagus, inferior vena cava, portal and splenic vein and the adrenals are background (METHODS A3).
DENSE_VALUES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 0, 6: 5, 7: 6, 8: 7, 9: 0, 10: 0, 11: 8, 12: 0, 13: 0}
LAST_LABELLED = 40  # img0061–img0080 are the official test set

_OFFICIAL = re.compile(r"(?P<kind>img|label)(?P<id>\d{4})\.nii(\.gz)?")
_NUMBERED = re.compile(r"(?P<kind>image|label)_(?P<id>\d+)\.nii(\.gz)?")

# TransUNet lists/lists_Synapse: held out by everyone who compares on the thirty labelled cases.
_TRANSUNET_TEST = (1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38)
_MOST_FOLDS = 4


def import_btcv(source: Path, target: Path, *, header_rule: HeaderRule = "auto") -> Imported:
    """Import the abdominal CT of BTCV with the eight organs that the literature evaluates.

    Official layout: ``img0001.nii.gz`` and ``label0001.nii.gz`` in Hounsfield units, stored as they are (the cache's
    rule ``ct`` clips them to −125 … 275); one fold, TransUNet's 18 training and 12 test cases as far as they are
    there; ``img0061`` … ``img0080``, whose labels are not public, become held-out cases. Numbered pairs:
    ``image_N.nii.gz`` and ``label_N.nii.gz``, windowed to 8 bits; their numbers are not the official ones, so
    TransUNet's split cannot be applied. They get up to four folds of consecutive numbers, the highest held out in
    fold 1.

    Args:
        source: folder or zip archive, in any nesting.
        target: the new dataset.
        header_rule: for NIfTI headers that contradict themselves other than by unit columns.

    Raises:
        PointillistError: the first thing that is wrong; nothing is written then.
    """
    files = open_source(source)
    official, numbered = files_by_number(files, _OFFICIAL, "img"), files_by_number(files, _NUMBERED, "image")
    if not official and not numbered:
        raise nothing_found(files, "img0001.nii.gz and label0001.nii.gz, or image_N.nii.gz and label_N.nii.gz")
    if official and numbered:
        raise DatasetError(
            "the source holds BTCV twice",
            where=source,
            expected="imgNNNN.nii.gz or image_N.nii.gz",
            received=f"{len(official)} of the one and {len(numbered)} of the other",
            todo="name the folder that holds only one of them",
        )
    images = official or numbered
    labels = files_by_number(files, _OFFICIAL if official else _NUMBERED, "label")
    notes: list[str] = []
    units: dict[str, str] = {}
    with DatasetBuilder(target, name="BTCV", spec=SPEC, ending=".nii.gz", kind="btcv") as builder:
        for number, name in sorted(images.items()):
            held_out = bool(official) and number > LAST_LABELLED and number not in labels
            case = f"case{number:04d}" if official else f"volume{number:02d}"
            new = _read_case(case, name, labels.get(number), CaseReader(files, header_rule), "Ts" if held_out else "Tr")
            units.setdefault(_units(new.image), name)
            notes += new.notes
            builder.add(new)
        if len(units) > 1:
            raise DatasetError(
                "some volumes are in Hounsfield units and some were windowed before",
                where=source,
                expected="one kind",
                received=", ".join(f"{name}: {kind}" for kind, name in units.items()),
                todo="import each kind as a dataset of its own",
            )
        groups = builder.training_groups()
        splits = _official_split(groups) if official else _consecutive(groups)
        summary = (*tally(notes), *units, *_left_over(images, labels))
        builder.finish(splits, summary)
    return Imported(target, len(groups), len(images) - len(groups), 0, len(splits), summary)


def _read_case(
    case: str, image_name: str, label_name: str | None, reader: CaseReader, side: Literal["Tr", "Ts"]
) -> NewCase:
    image = reader.image(image_name)
    dense = None if label_name is None else translate(reader.labels(label_name, image), DENSE_VALUES)
    if dense is not None:
        reader.notes += check_organs(dense, SPEC.classes, label_name or image.where)
    return NewCase(case, image, case, dense=dense, side=side, files=reader.files, notes=tuple(reader.notes))


def _units(image: Image) -> str:
    if image.array.dtype == np.uint8:
        return "intensities are 8-bit, windowed before: train with --normalisation unit"
    return "intensities are Hounsfield units: train with --normalisation ct"


def _official_split(groups: dict[str, str]) -> list[Split]:
    return listed_folds(groups, [{f"case{number:04d}" for number in _TRANSUNET_TEST}]) if groups else []


def _consecutive(groups: dict[str, str]) -> list[Split]:
    """Folds of consecutive cases, the last ones held out first, as equal in size as they can be."""
    cases = sorted(groups, key=lambda case: int(case.removeprefix("volume")))
    count = min(_MOST_FOLDS, len(cases))
    parts = np.array_split(np.array(cases), count) if count >= 2 else []
    return listed_folds(groups, [set(part.tolist()) for part in reversed(parts)])


def _left_over(images: dict[int, str], labels: dict[int, str]) -> list[str]:
    """Images without truth, and labels without an image, counted."""
    counts = {
        "images without dense truth": len(images.keys() - labels.keys()),
        "labels without an image (left out)": len(labels.keys() - images.keys()),
    }
    return [f"{what}: {count}" for what, count in counts.items() if count]
