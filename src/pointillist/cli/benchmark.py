"""``pointillist benchmark``: methods compared on the same data, with the same network and budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointillist.benchmark.estimate import Estimate
    from pointillist.benchmark.jobs import Machine
    from pointillist.benchmark.runner import Tally


def benchmark(
    suite: Annotated[str, typer.Argument(help="A shipped suite, or a .yaml file.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Folder for datasets, runs and results.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of raw data, as the suite names it.", envvar="POINTILLIST_DATA", show_default=False),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(help="A dataset of your own in place of the suite's data.", show_default=False),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Only these rows, by commas, as tables name them: pce, pscv lambda_cv=0.01; or pscv* for all of pscv.",
            metavar="METHOD,…",
            show_default=False,
        ),
    ] = None,
    folds: Annotated[
        str | None, typer.Option(help="Only these folds, by commas.", metavar="K,…", show_default=False)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Only these seeds, by commas.", metavar="N,…", show_default=False)
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="A trial: so many optimiser steps, kept apart.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    precision: Annotated[
        Literal["auto", "32-true", "bf16-mixed"], typer.Option(help="auto: bf16 where the hardware has it.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: idle cores.", show_default=False)] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Results files in a repository: taken from it, and copied to it.", show_default=False),
    ] = None,
    published_rules: Annotated[
        str | None,
        typer.Option(help="Also score finished runs as this public code does, e.g. pclmix.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and their expected hours.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the dry run as JSON.")] = False,
) -> None:
    """Run a suite: train, predict, evaluate and record every method × fold × seed.

    Example: pointillist benchmark acdc-quick bench --data ~/data --only pce,dmpls --seeds 1

    OUT/results/SUITE/METHOD/fold1-seed1.json holds each result, read twice: with the BatchNorm statistics of training
    and with re-estimated ones. Stop it whenever you like: the same command goes on, and several may work on one OUT.
    A run that fails is recorded in OUT/failures and tried again by the next command; the exit code is then 1. With
    --record benchmarks/results the results files are also kept in a repository, as SUITE/METHOD-fold1-seed1.json, and
    runs whose results lie there already, in whatever suite, are not made again, if their data are the same.
    """
    from pointillist.benchmark.comparison import read_suites
    from pointillist.benchmark.estimate import estimates
    from pointillist.benchmark.jobs import jobs_of
    from pointillist.benchmark.runner import run_jobs
    from pointillist.benchmark.suite import load_suite
    from pointillist.benchmark.under_rule import methods_under_rule
    from pointillist.data.dataset import Dataset
    from pointillist.evaluate.published import published_rule
    from pointillist.train.trainer import Stopped

    if published_rules is not None:
        published_rule(published_rules)  # a wrong name is an error before any run
    methods = [word.strip() for word in only.split(",")] if only else []
    wanted = {"folds": _numbers("--folds", folds), "seeds": _numbers("--seeds", seeds)}
    chosen = load_suite(suite)
    if dataset is not None:
        chosen, data = chosen.elsewhere(Dataset.open(dataset.resolve())), dataset.resolve().parent
    if iterations is not None:
        chosen = chosen.shortened(iterations)
    jobs = jobs_of(chosen, out, methods=methods, **wanted)
    machine = _machine(device, precision, threads)
    if dry_run:
        for job in jobs:
            job.check_unchanged()
        _show(suite, estimates(jobs, data, machine, record=record), as_json=as_json)
        return
    try:
        tally = run_jobs(jobs, data, machine, record=record, say=typer.echo)
    except Stopped:
        typer.echo("stopped and saved; the same command goes on", err=True)
        raise typer.Exit(1) from None
    if published_rules is not None and (tally.done or tally.kept):
        entrants = read_suites(out)[chosen.name]
        methods_under_rule(out, chosen.name, entrants, published_rules, say=typer.echo)
    _report(tally, out)


def _machine(device: str, precision: Literal["auto", "32-true", "bf16-mixed"], threads: int | None) -> Machine:
    from pointillist.benchmark.jobs import Machine
    from pointillist.predict.device import choose_device
    from pointillist.train.plan import best_precision, idle_threads

    where = str(choose_device(device))
    return Machine(where, best_precision(where) if precision == "auto" else precision, threads or idle_threads())


def _numbers(option: str, text: str | None) -> list[int]:
    from pointillist.errors import InputError

    try:
        return [int(one) for one in text.split(",")] if text else []
    except ValueError:
        raise InputError(
            "this is no list of numbers",
            where=option,
            expected="1,2,3",
            received=text,
            todo="write whole numbers with commas between them",
        ) from None


def _show(suite: str, found: Sequence[Estimate], *, as_json: bool) -> None:
    """The dry run: a line a run, and the sum."""
    import json

    known = [one.hours for one in found if one.hours is not None]
    if as_json:
        runs = [
            {
                "run": f"{one.job.entry.label}/{one.job.place}",
                "method": one.job.entry.name,
                "settings": one.job.entry.settings,
                "fold": one.job.fold,
                "seed": one.job.seed,
                "state": one.state,
                "hours": one.hours,
                "basis": one.basis,
            }
            for one in found
        ]
        complete = len(known) == len(found)
        typer.echo(json.dumps({"suite": suite, "hours": sum(known) if complete else None, "runs": runs}, indent=2))
        return
    for one in found:
        hours = "" if one.state in ("done", "recorded") else "     ? h" if one.hours is None else f"{one.hours:6.2f} h"
        typer.echo(f"{one.state:8} {hours:9} {one.job.title}" + (f" ({one.basis})" if one.basis else ""))
    unknown = len(found) - len(known)
    typer.echo(f"{len(found)} runs, {sum(known):.2f} h left" + (f", and {unknown} of unknown length" * bool(unknown)))
    if any(one.basis == "timed" for one in found):
        typer.echo("timed: from a few steps of training on made-up images; offline labels and evaluation come on top")


def _report(tally: Tally, out: Path) -> None:
    """The sum; raises where runs failed."""
    from pointillist.errors import PointillistError

    counts = {"done": tally.done, "kept": tally.kept, "failed": tally.failed, "with another process": tally.elsewhere}
    typer.echo(f"{out}: " + ", ".join(f"{len(jobs)} {name}" for name, jobs in counts.items() if jobs))
    if tally.failed:
        raise PointillistError(
            f"{len(tally.failed)} runs failed",
            where=out / "failures",
            expected="every run finished",
            received="; ".join(job.title for job in tally.failed),
            todo="see the messages; the same command tries them again",
        )
