"""``pointillist check``: what to mend in a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pointillist.data.check import CheckResult


def check(
    dataset: Annotated[Path, typer.Argument(help="The dataset to look through.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the page; default: DATASET/check.html.", show_default=False)
    ] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Take label files edited by other tools as the new base under the strokes.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look for damage, wrong geometry and unhealthy labels; write a page with a picture a case.

    Exit code 1 if something must be mended. Example: pointillist check Dataset027_ACDC
    """
    from pointillist.data.check import CheckedCase, check_dataset
    from pointillist.data.dataset import Dataset
    from pointillist.data.writers import atomic_write_bytes
    from pointillist.report.check_page import CasePicture, case_picture, check_page

    opened = Dataset.open(dataset)
    pictures: list[CasePicture] = []

    def keep(checked: CheckedCase) -> None:
        pictures.append(case_picture(checked, opened.spec))

    result = check_dataset(opened, mend=mend, on_case=keep)
    page = out or dataset / "check.html"
    atomic_write_bytes(page, check_page(result, pictures).encode())
    if json:
        _print_json(result)
    else:
        _print_summary(result, page)
    if not result.ok:
        raise typer.Exit(1)


def _print_json(result: CheckResult) -> None:
    from dataclasses import asdict
    from json import dumps

    findings = [asdict(finding) for finding in result.findings]
    health = {case: asdict(one) for case, one in result.health.items()}
    typer.echo(dumps({"ok": result.ok, "findings": findings, "health": health}, ensure_ascii=False))


def _print_summary(result: CheckResult, page: Path) -> None:
    from collections import Counter

    counts = Counter((finding.severity, finding.rule) for finding in result.findings)
    first = {(finding.severity, finding.rule): finding for finding in reversed(result.findings)}
    for (severity, rule), count in sorted(counts.items()):
        finding = first[severity, rule]
        typer.echo(f"{severity}: {rule} ({count}), for example {finding.where}: {finding.message}")
    marked = sum(any(health.marked) for health in result.health.values())
    typer.echo(f"{len(result.health)} training cases read, {marked} with marks. Page: {page}")
