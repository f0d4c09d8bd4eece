"""``pointillist report``: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)],
    predictions: Annotated[
        Path | None, typer.Option(help="Its predictions, to evaluate and to show.", show_default=False)
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="The dataset that holds their truth.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the page; default: RUN/report.html.", show_default=False)
    ] = None,
) -> None:
    """Write one HTML file: curves, tables, best, median and worst case, settings, hashes, hardware.

    Example: pointillist report runs/gated --predictions predictions/ --dataset Dataset027_ACDC
    """
    from dataclasses import replace

    from pointillist.data.dataset import Dataset
    from pointillist.data.writers import atomic_write_bytes
    from pointillist.errors import InputError
    from pointillist.evaluate.evaluation import evaluate_folder
    from pointillist.evaluate.protocol import Protocol
    from pointillist.evaluate.summary import summarise
    from pointillist.report.run_page import chosen_cases, compare, read_run, run_page

    result, cases = read_run(run), []
    if (predictions is None) != (dataset is None):
        raise InputError(
            "pictures need both predictions and their truth",
            where="--predictions, --dataset",
            expected="--predictions and --dataset, or neither",
            received="--predictions alone" if dataset is None else "--dataset alone",
            todo="add the other one, or leave both out",
        )
    if predictions is not None and dataset is not None:
        evaluation = evaluate_folder(predictions, dataset, Protocol())
        summary = summarise(evaluation.rows)
        result = replace(result, rows=evaluation.rows, summary=summary, predictions=predictions)
        cases = [compare(case, why, Dataset.open(dataset), [result]) for case, why in chosen_cases(result)]
    page = out or run / "report.html"
    atomic_write_bytes(page, run_page(f"Run {run.name}", [result], cases).encode())
    typer.echo(f"Report: {page}")
