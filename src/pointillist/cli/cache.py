"""``pointillist cache``: slices prepared once for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def cache(
    dataset: Annotated[Path, typer.Argument(help="The dataset to prepare.", show_default=False)],
    size: Annotated[int, typer.Option(help="Rows and columns of a training image.", show_default=False)],
    grid: Annotated[
        Literal["zoom0", "bilinear", "area", "native"],
        typer.Option(help="How slices get that size; native keeps them for random crops."),
    ] = "zoom0",
    normalisation: Annotated[
        Literal["acdc", "minmax", "ct", "unit", "imagenet"] | None,
        typer.Option(help="How intensities get to 0 … 1; default: acdc for volumes, unit for 2-D.", show_default=False),
    ] = None,
    stored: Annotated[Literal["uint8", "float16"], typer.Option(help="How values are stored.")] = "uint8",
    pack: Annotated[bool, typer.Option("--pack", help="Compress into one file to carry to another machine.")] = False,
    with_truth: Annotated[
        bool, typer.Option("--with-truth", help="Add dense truth, for the full bound and for evaluation elsewhere.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The file; default: in DATASET/cache.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Normalise and resize every slice once, into one checked file; dense truth stays out unless asked for.

    Example: pointillist cache Dataset027_ACDC --size 256 --pack --out acdc.pack
    """
    from json import dumps

    from pointillist.data.cache import CacheSettings, build_cache, cached
    from pointillist.data.cache.build import default_path
    from pointillist.data.dataset import Dataset

    opened = Dataset.open(dataset)
    volumes = opened.ending.startswith(".nii")
    settings = CacheSettings(size, grid, normalisation or ("acdc" if volumes else "unit"), stored, with_truth)
    path = out or default_path(opened, settings, packed=pack)
    made = build_cache(opened, settings, path, packed=True) if pack else cached(opened, settings, path)
    size_mb = path.stat().st_size / 1e6
    if json:
        summary = {"file": str(path), "cases": len(made.cases), "slices": len(made), "megabytes": round(size_mb, 1)}
        typer.echo(dumps(summary | {"contains_dense_truth": with_truth, "key": made.key}))
        return
    truth = " It contains DENSE TRUTH." if with_truth else ""
    typer.echo(f"{path}: {len(made)} slices of {len(made.cases)} cases, {size_mb:.1f} MB.{truth}")
