"""``pointillist simulate``: marks drawn from dense truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def simulate(
    dataset: Annotated[Path, typer.Argument(help="A dataset with dense truth.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The dataset to make; must not exist yet.", show_default=False)],
    annotation: Annotated[
        Literal["points", "pairs", "scribbles", "full"], typer.Option(help="What kind of marks to draw.")
    ],
    generator: Annotated[
        str | None, typer.Option(help="Which generator; default: the usual one of the kind.", show_default=False)
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Points a class, pairs a slice, or whole slices a volume.", show_default=False
        ),
    ] = None,
    width_px: Annotated[float | None, typer.Option(help="Width of the marks in pixels.", show_default=False)] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Share of the objects that get a scribble.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides where marks lie.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Draw marks from dense truth, as the papers' generators do. The result is a dataset of its own.

    Example: pointillist simulate Dataset027_ACDC Dataset028_ACDCPoints --annotation points --seed 1
    """
    from dataclasses import asdict
    from json import dumps

    from pointillist.data.dataset import Dataset
    from pointillist.data.simulate import DEFAULTS, GENERATORS, generator_named
    from pointillist.data.simulate.dataset import Settings, simulate_dataset
    from pointillist.errors import InputError

    chosen = generator_named(generator or DEFAULTS[annotation])
    if chosen.annotation != annotation:
        raise InputError(
            f"generator {chosen.name} does not draw {annotation}",
            where="--generator",
            expected=", ".join(name for name, one in GENERATORS.items() if one.annotation == annotation),
            received=chosen.name,
            todo=f"choose one of these, or --annotation {chosen.annotation}",
        )
    settings = Settings(chosen.name, seed, count, width_px, fraction)
    result = simulate_dataset(Dataset.open(dataset), out, settings)
    if json:
        typer.echo(dumps(asdict(result) | {"dataset": str(result.dataset)}))
        return
    typer.echo(f"{result.dataset}: {result.strokes} strokes on {result.cases} cases ({result.generator}, seed {seed})")
    typer.echo(f"Next: pointillist check {result.dataset}")
