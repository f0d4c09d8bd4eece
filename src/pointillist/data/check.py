"""Look through a whole dataset: damage, geometry, class values, and the health of its labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.image import Image, same_grid
from pointillist.data.label_health import LabelHealth, label_health
from pointillist.data.marked import read_base
from pointillist.data.marks import Marks, raster_hash, write_marks
from pointillist.data.readers import read_label
from pointillist.data.writers import atomic_write_bytes
from pointillist.errors import GeometryError, LabelError, PointillistError
from pointillist.types import LabelMap

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that the user should know.

    Attributes:
        severity: an error must be mended before training; a warning should be; a note is for information.
        rule: short name of what was looked at, the same for all findings of a kind.
        where: case or file.
        message: what was found and what to do.
    """

    severity: Severity
    rule: str
    where: str
    message: str


@dataclass(frozen=True, eq=False)
class CheckedCase:
    """A case that was read, for the picture of it.

    Attributes:
        case: its files.
        image: its pixels.
        labels: ``(*s)`` what training sees; None for a held-out case.
        health: its marks counted; None for a held-out case.
    """

    case: Case
    image: Image
    labels: LabelMap | None
    health: LabelHealth | None


@dataclass
class CheckResult:
    """All findings about a dataset.

    Attributes:
        dataset: what was checked.
        findings: in order of the cases, those about the whole dataset last.
        health: marks counted, by case id.
    """

    dataset: Dataset
    findings: list[Finding] = field(default_factory=list)
    health: dict[str, LabelHealth] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return not any(finding.severity == "error" for finding in self.findings)

    def add(self, severity: Severity, rule: str, where: str, message: str) -> None:
        """Record a finding."""
        self.findings.append(Finding(severity, rule, where, message))


def check_dataset(
    dataset: Dataset,
    *,
    mend: bool = False,
    only: Collection[str] | None = None,
    on_case: Callable[[CheckedCase], None] = lambda _: None,
) -> CheckResult:
    """Read every file of a dataset and say what must be mended, should be, or is worth knowing.

    Dense truth of training cases is read for damage, grid and class values alone.

    Args:
        dataset: what to check.
        mend: where labelsTr was edited by another tool, make it the new base under the strokes.
        only: ids of the cases to look at, and at nothing else; None: the whole dataset.
        on_case: called with every case that could be read, one at a time, for example to draw its picture.

    Returns:
        The findings; an unreadable file is one of them, not an exception.
    """
    result = CheckResult(dataset)
    hashes: dict[str, Case] = {}
    for side in ("training", "testing"):
        cases = _listed(dataset, side, result)
        for case in (one for one in cases if only is None or one.id in only):
            for checked in _checked(dataset, case, result, mend=mend):
                _look_for_twin(checked, hashes, result)
                on_case(checked)
    if only is None:
        _check_whole(dataset, result)
    return result


def _listed(dataset: Dataset, side: str, result: CheckResult) -> tuple[Case, ...]:
    try:
        cases: tuple[Case, ...] = getattr(dataset, side)
    except PointillistError as error:
        result.add("error", "complete", dataset.name, str(error))
        return ()
    return cases


def _checked(dataset: Dataset, case: Case, result: CheckResult, *, mend: bool) -> Iterator[CheckedCase]:
    """The case, if everything about it could be read; otherwise an error among the findings."""
    try:
        image = dataset.image(case)
        _note_repairs(image, case.id, result)
        _check_truth(dataset, case, image, result)
        if case.sparse is None:
            yield CheckedCase(case, image, None, None)
            return
        labels = dataset.sparse_labels(case)
        _note_repairs(labels, case.id, result, same_grid(image, labels))
        marks = dataset.read_marks(case)
        base = read_base(dataset, case, labels)
        if marks is not None:
            _check_marks(case, labels, marks, result, mend=mend)
        health = label_health(labels.array, marks, base, len(dataset.spec.classes))
    except PointillistError as error:
        result.add("error", type(error).__name__.removesuffix("Error").lower(), case.id, str(error))
        return
    result.health[case.id] = health
    _judge(health, case.id, result)
    yield CheckedCase(case, image, labels.array, health)


def _note_repairs(image: Image, case: str, result: CheckResult, more: tuple[str, ...] = ()) -> None:
    for note in (*image.notes, *more):
        rule, _, _ = note.partition(":")
        result.add("warning", rule, case, f"{note} ({image.where})")


def _check_truth(dataset: Dataset, case: Case, image: Image, result: CheckResult) -> None:
    truths = [dataset.dense_labels(case)] if case.dense is not None else []
    truths += [read_label(case.instances)] if case.instances is not None else []
    for truth in truths:
        _note_repairs(truth, case.id, result, same_grid(image, truth))


def _check_marks(case: Case, labels: Image, marks: Marks, result: CheckResult, *, mend: bool) -> None:
    if marks.shape != labels.grid.shape:
        raise GeometryError(
            "the marks were drawn on an image of another shape",
            where=case.marks,
            expected=labels.grid.shape,
            received=marks.shape,
            todo="check that the marks belong to this case",
        )
    digest = raster_hash(labels.array)
    if digest == marks.raster_sha256:
        return
    if not mend:
        result.add(
            "warning",
            "edited-labels",
            case.id,
            "labelsTr was edited by another tool since the marks were saved; `check --mend` makes it the new base "
            "under the strokes",
        )
        return
    if case.sparse is None:  # only training cases have marks
        raise LabelError(
            "marks without a label file",
            where=case.marks,
            expected=f"labelsTr/{case.id}",
            received="none",
            todo="import the dataset anew",
        )
    atomic_write_bytes(case.base, case.sparse.read_bytes())
    mended = Marks(marks.strokes, marks.shape, marks.slice_axis, digest)
    write_marks(case.marks, case.id, mended)
    result.add("note", "edited-labels", case.id, "the edited labelsTr is now the base under the strokes")


def _judge(health: LabelHealth, case: str, result: CheckResult) -> None:
    outside, unknown = len(health.outside), len(health.unknown_class)
    if outside:
        result.add("warning", "outside", case, f"{outside} strokes lie outside the image")
    if unknown:
        result.add("error", "unknown-class", case, f"{unknown} strokes are of a class that the dataset does not state")
    if health.contradictory:
        message = f"marks of two classes cover {health.contradictory} pixels; the later counts"
        result.add("warning", "contradictory", case, message)
    if not any(health.marked):
        result.add("warning", "unmarked", case, "nothing is marked")
    elif not health.marked[0]:
        message = "no background is marked, but a network learns where a class ends from background marks"
        result.add("warning", "no-background", case, message)


def _look_for_twin(checked: CheckedCase, hashes: dict[str, Case], result: CheckResult) -> None:
    """The same image under two patients would be on both sides of a fold."""
    digest = hashlib.sha256(np.ascontiguousarray(checked.image.array).tobytes()).hexdigest()
    twin = hashes.setdefault(digest, checked.case)
    if twin is not checked.case:
        severity: Severity = "note" if twin.group == checked.case.group else "warning"
        result.add(severity, "same-image", checked.case.id, f"the image is the same as that of {twin.id}")


def _check_whole(dataset: Dataset, result: CheckResult) -> None:
    training = _listed(dataset, "training", CheckResult(dataset))
    if not training:
        result.add("error", "complete", dataset.name, "there are no training cases in imagesTr")
    if training and len(training) != dataset.stated_training:
        result.add(
            "error",
            "complete",
            "dataset.json",
            f"numTraining is {dataset.stated_training}, but imagesTr holds {len(training)} cases",
        )
    known = {f"{case.id}{dataset.ending}" for case in training}
    strays = [path for path in (dataset.root / "labelsTr").glob(f"*{dataset.ending}") if path.name not in known]
    for path in sorted(strays):
        result.add("warning", "complete", path.name, "a label file in labelsTr belongs to no image")
    try:
        dataset.splits()
        for note in dataset.import_notes():
            result.add("note", "import", "import.json", note)
    except PointillistError as error:
        result.add("error", "complete", dataset.name, str(error))
    _check_totals(dataset, result, marks_wanted=bool(training))


def _check_totals(dataset: Dataset, result: CheckResult, *, marks_wanted: bool) -> None:
    totals = np.zeros(len(dataset.spec.classes), dtype=np.int64)
    for health in result.health.values():
        totals += health.marked
    if marks_wanted and not totals.any():
        message = "no case has a mark, so only the `full` bound can be trained; draw marks with `pointillist simulate`"
        result.add("warning", "never-marked", dataset.name, message)
    if totals.any():
        for name, total in zip(dataset.spec.classes, totals, strict=True):
            if not total:
                result.add("warning", "never-marked", name, "no case has a mark of this class, so it cannot be learned")
