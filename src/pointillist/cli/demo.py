"""``pointillist demo``: the whole main job on phantom images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pointillist.report.run_page import RunResult

_SIZE = 64
_PATIENTS, _HELD_OUT = 12, 5
# What the demo compares: the lower bound, a method, and the upper bound that sees dense labels.
_METHODS: dict[str, dict[str, str]] = {"pce": {}, "gated_crf": {}, "full": {}}


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for everything; must not exist yet.")] = Path("demo"),
    iterations: Annotated[int, typer.Option(min=1, help="Optimiser steps of each method.")] = 300,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 1,
) -> None:
    """Phantom hearts, one click per class: train, predict, evaluate, report. Minutes on two processor cores.

    Example: pointillist demo my_demo
    """
    from pointillist.data.dataset import Dataset
    from pointillist.data.phantoms import make_phantoms
    from pointillist.data.writers import atomic_write_bytes
    from pointillist.errors import DatasetError
    from pointillist.report.run_page import chosen_cases, compare, run_page

    if out.exists() and any(out.iterdir()):
        raise DatasetError(
            "the demo's folder is in the way",
            where=out,
            expected="a new name",
            received="a folder with files in it",
            todo="remove it, or choose another name",
        )
    typer.echo(f"Drawing {_PATIENTS + _HELD_OUT} phantom hearts and one click per class and slice …")
    folder = make_phantoms(out / "Dataset001_Phantoms", training=_PATIENTS, testing=_HELD_OUT, seed=seed)
    dataset = Dataset.open(folder)
    results = [
        _run(out, folder, method, settings, iterations=iterations, seed=seed) for method, settings in _METHODS.items()
    ]
    cases = [compare(case, why, dataset, results) for case, why in chosen_cases(results[1])]
    page = out / "report.html"
    atomic_write_bytes(page, run_page("Phantom hearts from one click per class", results, cases).encode())
    for result in results:
        mean = next(line["mean"] for line in result.summary if line["class"] == "all classes")
        typer.echo(f"{result.name:12} DSC {mean:.3f}")
    typer.echo(f"Report: {page}")


def _run(out: Path, folder: Path, method: str, settings: dict[str, str], *, iterations: int, seed: int) -> RunResult:
    from dataclasses import replace

    from pointillist.evaluate.evaluation import evaluate_folder
    from pointillist.evaluate.protocol import Protocol
    from pointillist.evaluate.summary import summarise
    from pointillist.methods import Recipe
    from pointillist.predict.cases import find_cases
    from pointillist.predict.model import load_model
    from pointillist.predict.predictor import Predictor
    from pointillist.predict.stream import predict_stream
    from pointillist.report.run_page import read_run
    from pointillist.train.plan import Plan, best_precision, idle_threads
    from pointillist.train.run import train

    typer.echo(f"Training {method} for {iterations} steps …")
    plan = Plan(
        dataset=str(folder.resolve()),
        method=method,
        settings=settings,
        iterations=iterations,
        size=_SIZE,
        seed=seed,
        precision=best_precision("cpu"),
        threads=idle_threads(),
        recalibrate_bn=True,
        recipe=Recipe(lr=0.03),
    )
    run, predictions = out / "runs" / method, out / "predictions" / method
    train(plan, run)
    net, description = load_model(run)
    outcomes = list(predict_stream(Predictor(net, description), find_cases([folder], 1), predictions))
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        raise RuntimeError(failed[0].error)
    evaluation = evaluate_folder(predictions, folder, Protocol())
    return replace(read_run(run), rows=evaluation.rows, summary=summarise(evaluation.rows), predictions=predictions)
