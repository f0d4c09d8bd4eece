"""``pointillist train``: a method learns from marks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointillist.benchmark.auto import Choice
    from pointillist.train.plan import Plan
    from pointillist.train.trainer import Progress

_ITERATIONS = 1500


def train(
    context: typer.Context,
    dataset: Annotated[Path, typer.Argument(help="The dataset to learn from.", show_default=False)],
    run: Annotated[Path, typer.Argument(help="The folder of the run.", show_default=False)],
    method: Annotated[str, typer.Option(help="See `pointillist methods`; auto: what served such data best.")] = "pce",
    fold: Annotated[
        int | None, typer.Option(min=1, help="Hold out this fold; 1 is the papers' first.", show_default=False)
    ] = None,
    groups: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many patients or slides alone.", show_default=False)
    ] = None,
    only_marked: Annotated[
        bool, typer.Option("--only-marked", help="Leave slices without a mark out; a small rest makes small batches.")
    ] = False,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps; default: 1500.", show_default=False)
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Instead: as many steps as fit into this time; a few are timed first.", show_default=False),
    ] = None,
    size: Annotated[int, typer.Option(min=16, help="Rows and columns of a training image.")] = 128,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a step; default: the method's.")] = None,
    net: Annotated[str, typer.Option(help="Network: unet, resnet34_unet, resnet50_unet or two_component.")] = "unet",
    pretrained: Annotated[
        Path | None, typer.Option(help="Weights of the ResNet's encoder.", show_default=False)
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Begin with the weights of an earlier run's model.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    precision: Annotated[
        Literal["auto", "32-true", "bf16-mixed"], typer.Option(help="auto: bf16 where the hardware has it.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: idle cores.", show_default=False)] = None,
    select: Annotated[
        Literal["last", "marks"], typer.Option(help="Keep the last iterate, or the best on held-out marks.")
    ] = "last",
    hold_out: Annotated[
        bool, typer.Option("--hold-out", help="Validate on the marks of held-out patients or slides.")
    ] = False,
    hold_out_share: Annotated[float, typer.Option(help="Share of them, where marks are held out.")] = 0.1,
    keep: Annotated[int, typer.Option(min=0, help="Also keep so many models on the way, in RUN/kept.")] = 0,
    validate_every: Annotated[
        int, typer.Option(min=1, help="Steps between validations on held-out marks, where there are any.")
    ] = 250,
    recalibrate_bn: Annotated[
        bool, typer.Option("--recalibrate-bn", help="Re-estimate BatchNorm statistics before saving.")
    ] = False,
    augmentation: Annotated[str, typer.Option(help="none, acdc, chaos or cells.")] = "acdc",
    normalisation: Annotated[
        Literal["acdc", "minmax", "ct", "unit", "imagenet"], typer.Option(help="Of intensities.")
    ] = "acdc",
    grid: Annotated[
        Literal["zoom0", "bilinear", "area", "native"], typer.Option(help="How slices get their size.")
    ] = "zoom0",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the method, key=value.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run from its last checkpoint.")] = False,
) -> None:
    """Train a method on a dataset's marks; dense truth of training cases is never read (but by the `full` bound).

    Example: pointillist train Dataset027_ACDC runs/gated --method gated_crf --fold 1 --set weight=0.2
    """
    from pointillist.benchmark.auto import AUTO
    from pointillist.methods import method_named
    from pointillist.predict.device import choose_device
    from pointillist.runtime.distributed import leave
    from pointillist.train.plan import Plan, best_precision, idle_threads, read_plan
    from pointillist.train.run import resume as go_on
    from pointillist.train.run import train as start
    from pointillist.train.trainer import Stopped

    _refuse_both(iterations, minutes)
    try:
        with _progress() as show:
            if resume:
                _same_as_begun(context, read_plan(run))
                go_on(run, on_progress=show)
                leave()
                typer.echo(f"Model: {run}")
                return
            where = str(choose_device(device))
            given, chosen = _pairs(settings or []), ""
            data: dict[str, Any] = {
                "size": size,
                "augmentation": augmentation,
                "normalisation": normalisation,
                "grid": grid,
            }
            if method == AUTO:
                choice = _chosen(dataset, fold, iterations or _ITERATIONS, data | ({"batch": batch} if batch else {}))
                method, given, recipe, chosen = choice.method, choice.settings | given, choice.recipe, choice.reason
                net = net if _stated(context, "net") else choice.net
                typer.echo(f"auto: {chosen}")
            else:
                recipe = method_named(method).recipe
            plan = Plan(
                dataset=str(dataset.resolve()),
                method=method,
                settings=given,
                fold=fold,
                groups=groups,
                only_marked=only_marked,
                iterations=iterations or _ITERATIONS,
                minutes=minutes,
                batch=batch or recipe.batch,
                net=net,
                pretrained=None if pretrained is None else str(pretrained.resolve()),
                init=None if init is None else str(init.resolve()),
                seed=seed,
                device=where,
                precision=best_precision(where) if precision == "auto" else precision,
                threads=threads or idle_threads(),
                select=select,
                hold_out=hold_out,
                hold_out_share=hold_out_share,
                keep=keep,
                validate_every=validate_every,
                recalibrate_bn=recalibrate_bn,
                recipe=recipe,
                chosen=chosen,
                **data,
            )
            start(plan, run, on_progress=show)
            leave()
    except Stopped:
        typer.echo(f"stopped and saved; go on with: pointillist train {dataset} {run} --resume", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"Model: {run}\nNext: pointillist predict {run} {dataset} predictions")


def _refuse_both(iterations: int | None, minutes: float | None) -> None:
    from pointillist.errors import InputError

    if iterations is not None and minutes is not None:
        raise InputError(
            "a run is as long as its steps or as its time, not both",
            where="--iterations, --minutes",
            expected="one of them",
            received=f"--iterations {iterations} --minutes {minutes:g}",
            todo="leave one out",
        )


def _same_as_begun(context: typer.Context, plan: Plan) -> None:
    """Refuse options on the line of a resumed run that are not those it was begun with.

    Raises:
        InputError: naming the first option that differs.
    """
    from pointillist.benchmark.auto import AUTO
    from pointillist.errors import InputError

    given = dict(context.params) | {"dataset": str(context.params["dataset"].resolve())}
    given["settings"] = _pairs(given["settings"] or [])
    for name in ("pretrained", "init"):
        given[name] = given[name] and str(given[name].resolve())
    if plan.chosen and given["method"] == AUTO:
        given |= {"method": plan.method, "settings": plan.settings | given["settings"]}
    for name, value in given.items():
        if _stated(context, name) and getattr(plan, name, value) != value:
            raise InputError(
                "a resumed run keeps what it was begun with",
                where=name,
                expected=getattr(plan, name),
                received=value,
                todo="leave the option out, or start another run",
            )


def _stated(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _chosen(dataset: Path, fold: int | None, iterations: int, data: dict[str, Any]) -> Choice:
    """What ``--method auto`` stands for; the marks of the fold's held-out cases are not looked at."""
    from pointillist.benchmark.auto import choose
    from pointillist.data.dataset import Dataset

    opened = Dataset.open(dataset)
    folds = opened.splits()
    cases = folds[fold - 1].train if fold is not None and fold <= len(folds) else None
    return choose(opened, iterations, data, cases=cases)


def _pairs(entries: list[str]) -> dict[str, str]:
    from pointillist.errors import InputError

    pairs = dict(entry.partition("=")[::2] for entry in entries)
    for key, value in pairs.items():
        if not key or not value:
            raise InputError(
                "a setting needs a key and a value",
                where="--set",
                expected="key=value, for example weight=0.1",
                received=f"{key}={value}",
                todo="see `pointillist methods --json` for the settings",
            )
    return pairs


class _progress:  # noqa: N801 - a context manager, used as a verb
    """A bar on a terminal; elsewhere a line every tenth of the run."""

    def __enter__(self) -> Callable[[Progress], None]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._tenth = -1
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, progress: Progress) -> None:
        terms = "  ".join(f"{name} {value:.4f}" for name, value in progress.terms.items())
        self._bar.update(self._task, completed=progress.step, total=progress.total, description=terms)
        tenth = progress.step * 10 // progress.total
        if self._bar.disable and tenth != self._tenth:
            self._tenth = tenth
            minutes = progress.seconds_left / 60
            typer.echo(f"step {progress.step} of {progress.total}, {minutes:.1f} min left  {terms}", err=True)
