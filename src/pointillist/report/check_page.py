"""The page that ``pointillist check`` writes: what to mend, how many marks there are, and a picture a case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pointillist.data.check import CheckedCase, CheckResult, Finding
from pointillist.report.page import render
from pointillist.report.picture import marked_picture
from pointillist.spec import TaskSpec

_SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class CasePicture:
    """One picture and what to say under it.

    Attributes:
        case: id of the case.
        jpeg: the picture.
        slice_number: of a volume, else None.
        marked: marked pixels of each class, empty for a held-out case.
    """

    case: str
    jpeg: bytes
    slice_number: int | None
    marked: tuple[int, ...]


def case_picture(checked: CheckedCase, spec: TaskSpec) -> CasePicture:
    """The picture of one case."""
    jpeg, number = marked_picture(checked.image, checked.labels, spec)
    return CasePicture(checked.case.id, jpeg, number, checked.health.marked if checked.health else ())


def check_page(result: CheckResult, pictures: list[CasePicture]) -> str:
    """The HTML page of a check.

    Args:
        result: the findings.
        pictures: one a case that could be read.
    """
    dataset = result.dataset
    return render(
        "check.html",
        dataset=dataset,
        groups=_grouped(result.findings),
        classes=list(zip(dataset.spec.classes, dataset.spec.colours, _totals(result), strict=True)),
        pictures=pictures,
        cases=len(result.health),
        ok=result.ok,
    )


def _grouped(findings: list[Finding]) -> list[dict[str, Any]]:
    """Findings of one kind together, errors first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    ordered = sorted(groups.items(), key=lambda item: (_SEVERITIES.index(item[0][0]), item[0][1]))
    return [{"severity": severity, "rule": rule, "findings": group} for (severity, rule), group in ordered]


def _totals(result: CheckResult) -> list[dict[str, float]]:
    """Marked pixels, their share of all pixels, and cases with a mark, for each class."""
    pixels = sum(health.pixels for health in result.health.values())
    return [
        {
            "marked": sum(health.marked[index] for health in result.health.values()),
            "share": sum(health.marked[index] for health in result.health.values()) / max(pixels, 1),
            "cases": sum(health.marked[index] > 0 for health in result.health.values()),
        }
        for index in range(len(result.dataset.spec.classes))
    ]
