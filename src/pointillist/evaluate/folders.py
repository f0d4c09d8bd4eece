"""Which file of predictions belongs to which reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pointillist.data.readers import split_ending
from pointillist.data.source import files_below
from pointillist.errors import DatasetError, InputError
from pointillist.evaluate.classes import find_classes

REFERENCE_SUFFIXES = ("_gt", "_seg", "_label", "_mask", "")
"""What may follow a case's name in the reference's file name, tried in this order."""

_SUFFIX_LIST = ", ".join(filter(None, REFERENCE_SUFFIXES))


@dataclass(frozen=True)
class Pair:
    """One case: its prediction and its reference."""

    case: str
    prediction: Path
    reference: Path


@dataclass(frozen=True)
class Pairing:
    """All pairs, and the references of the same kind that no prediction belongs to."""

    pairs: tuple[Pair, ...]
    without_prediction: tuple[str, ...]


def pair_files(predictions: Path, reference: Path, *, instances: bool = False) -> Pairing:
    """Find every prediction's reference by name.

    Args:
        predictions: a folder of label files (not searched deeper), or one file.
        reference: a folder (searched with all its folders), a dataset in nnU-Net's layout, or, for one prediction,
            a file.
        instances: look for instance maps instead of class maps where the reference is a dataset.

    Returns:
        Pairs in the order of the case names. ``CASE.nii.gz`` belongs to ``CASE_gt.nii.gz`` before it does to
        ``CASE.nii.gz`` (``REFERENCE_SUFFIXES``), whatever the file endings.

    Raises:
        InputError: if a path does not exist, there is no prediction, one has no reference, or two files claim one
            case.
        DatasetError: if the dataset holds no dense truth.
    """
    for path, role in ((predictions, "predictions"), (reference, "reference")):
        if not path.exists():
            raise InputError(
                f"the {role} cannot be found",
                where=path,
                expected="a folder or a file",
                received="nothing",
                todo="correct the path; predictions are made by `pointillist predict`",
            )
    if predictions.is_file() and reference.is_file():
        return Pairing((Pair(split_ending(predictions)[0], predictions, reference),), ())
    cases = _by_stem([predictions] if predictions.is_file() else sorted(predictions.iterdir()))
    if not cases:
        raise InputError(
            "there are no predictions",
            where=predictions,
            expected="label files such as CASE.nii.gz or CASE.png",
            received="none",
            todo="name the folder that holds the files themselves",
        )
    stems = _by_stem(path for folder in _reference_folders(reference, instances) for path in files_below(folder))
    return _pair(cases, stems, predictions, reference)


def _pair(cases: dict[str, list[Path]], stems: dict[str, list[Path]], predictions: Path, reference: Path) -> Pairing:
    suffixes = {case: _suffix(case, stems) for case in cases}
    orphans = [case for case, suffix in suffixes.items() if suffix is None]
    if orphans:
        raise InputError(
            f"{len(orphans)} of {len(cases)} predictions have no reference",
            where=predictions,
            expected=f"files of the same name in {reference}, or with one of {_SUFFIX_LIST} after it",
            received=", ".join(orphans[:5]) + (" …" if len(orphans) > 5 else ""),
            todo="name the predictions as their references, or move those that have none",
        )
    pairs = tuple(
        Pair(case, _only(case, paths, "predictions"), _only(case, stems[f"{case}{suffixes[case]}"], "references"))
        for case, paths in sorted(cases.items())
    )
    used = {f"{case}{suffix}" for case, suffix in suffixes.items()}
    kinds = {suffix for suffix in suffixes.values() if suffix is not None}
    unused = tuple(sorted(stem for stem in stems if stem not in used and _kind(stem) in kinds))
    return Pairing(pairs, unused)


def _suffix(case: str, stems: dict[str, list[Path]]) -> str | None:
    return next((suffix for suffix in REFERENCE_SUFFIXES if f"{case}{suffix}" in stems), None)


def _kind(stem: str) -> str:
    """The suffix that a reference's name ends in; the empty one ends every name, and comes last."""
    return next(suffix for suffix in REFERENCE_SUFFIXES if stem.endswith(suffix))


def _by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Label files by name without ending; hidden files and other kinds are passed over."""
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        stem, ending = split_ending(path)
        if ending and not stem.startswith(".") and not path.is_dir():
            stems[stem].append(path)
    return dict(stems)


def _only(case: str, paths: list[Path], role: str) -> Path:
    if len(paths) > 1:
        raise InputError(
            f"two {role} claim one case",
            where=case,
            expected="one file",
            received=", ".join(str(path) for path in paths[:3]),
            todo="move all but the right one, or name a smaller folder",
        )
    return paths[0]


def _reference_folders(reference: Path, instances: bool) -> list[Path]:
    """Where truth lies: in a dataset in folders of known names, elsewhere everywhere below."""
    if not (reference / "dataset.json").is_file():
        return [reference]
    names = ["instancesTs", "instancesTr"] if instances else ["labelsTs", "denseTr"]
    if not instances and not any((reference / name).is_dir() for name in names) and not _is_sparse(reference):
        names = ["labelsTr"]
    folders = [reference / name for name in names if (reference / name).is_dir()]
    if not folders:
        raise DatasetError(
            "the dataset holds no dense truth to evaluate against",
            where=reference,
            expected="instancesTs or instancesTr"
            if instances
            else "labelsTs or denseTr, or a labelsTr without unlabelled pixels",
            received="none of these",
            todo="import the dataset with its dense labels, or name the folder of references itself",
        )
    return folders


def _is_sparse(dataset: Path) -> bool:
    classes = find_classes([dataset])
    return classes is not None and classes.ignore is not None
