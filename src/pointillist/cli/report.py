"""``pointillist report``: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run, or of a benchmark.", show_default=False)],
    predictions: Annotated[
        Path | None, typer.Option(help="Its predictions, to evaluate and to show.", show_default=False)
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="The dataset that holds their truth.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the page; default: RUN/report.html.", show_default=False)
    ] = None,
    reading: Annotated[
        Literal["plain", "bordered", "recalibrated"], typer.Option(help="Of a benchmark: what comparisons are made on.")
    ] = "plain",
    published_rules: Annotated[
        str | None,
        typer.Option(help="Of a benchmark: also score it as this public code does, e.g. pclmix.", show_default=False),
    ] = None,
    reference: Annotated[
        str, typer.Option(help="Of a benchmark: the method, or the row's title, that others are compared with.")
    ] = "pce",
) -> None:
    """Write one HTML file: curves, tables, best, median and worst case, settings, hashes, hardware.

    Example: pointillist report runs/gated --predictions predictions/ --dataset Dataset027_ACDC

    Of a folder of `pointillist benchmark`, or of results that it recorded: published figures beside those obtained, who
    differs from whom, cost against quality, pictures; and a CSV file of the same name with every number.
    """
    if not (run / "run.json").is_file() and run.is_dir() and any(run.rglob("*-seed*.json")):
        _benchmark(run, out or run / "report.html", reading, published_rules, reference)
        return
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


def _benchmark(folder: Path, page: Path, reading: str, rule: str | None, reference: str) -> None:
    from pointillist.benchmark.comparison import read_suites
    from pointillist.benchmark.long_table import long_table
    from pointillist.benchmark.page import benchmark_page
    from pointillist.benchmark.panels import panels
    from pointillist.benchmark.under_rule import methods_under_rule
    from pointillist.data.writers import atomic_write_bytes

    suites = read_suites(folder, reading=reading)
    cases = {name: panels(folder, name, entrants, reading) for name, entrants in suites.items()}
    ruled = (
        {} if rule is None else {name: methods_under_rule(folder, name, those, rule) for name, those in suites.items()}
    )
    text = benchmark_page(suites, reading=reading, cases=cases, rule=rule, ruled=ruled, reference=reference)
    atomic_write_bytes(page, text.encode())
    atomic_write_bytes(page.with_suffix(".csv"), long_table(suites).encode())
    typer.echo(f"Report: {page}, {page.with_suffix('.csv').name}")
    if rule is not None and not any(ruled.values()):
        typer.echo(f"as {rule}: nothing, since no run's predictions are there any more", err=True)
