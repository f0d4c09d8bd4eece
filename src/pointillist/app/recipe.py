"""Which options a run of the app gets: what suits the images, unless it begins with an earlier run, whose it keeps."""

from __future__ import annotations

import json
from typing import Any

from pointillist.app.context import Context
from pointillist.app.planes import Planes
from pointillist.app.runs import Run
from pointillist.errors import InputError

_MINUTES = 2.0
_SMALL_SIDE = 320  # larger 2-D images are learned from in crops
_ENOUGH_GROUPS = 10  # of which a tenth can be spared


async def training_arguments(context: Context, wish: dict[str, Any], init: Run | None) -> list[str]:
    """What follows ``pointillist train DATASET RUN``.

    Args:
        context: of the server.
        wish: ``method``, ``settings``, ``minutes``, ``iterations``.
        init: the run to begin with.

    Raises:
        InputError: if that has no model.
    """
    arguments = ["--method", wish["method"], "--only-marked", "--recalibrate-bn"]
    for name, value in wish["settings"].items():
        arguments += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    if wish["iterations"] is not None:
        arguments += ["--iterations", str(wish["iterations"])]
    else:
        arguments += ["--minutes", f"{wish['minutes'] or _MINUTES:g}"]
    cases = list(context.store.cases)
    marked = {case.group for case in cases if context.summary(case.id)["marked"]}
    if len(marked) >= _ENOUGH_GROUPS:
        arguments += ["--hold-out", "--validate-every", "100"]
    form = form_for(await context.planes(cases[0])) if init is None else form_of(init)
    for name, value in form.items():
        arguments += [f"--{name}", str(value)]
    return arguments if init is None else [*arguments, "--init", str(init.folder.resolve())]


def form_for(planes: Planes) -> dict[str, Any]:
    """Size, grid, normalisation and augmentation for images like this one: the suites' for slices, and for tissue."""
    if planes.slice_axis is not None or (not planes.colour and max(planes.size(None)) <= _SMALL_SIDE):
        return {"size": 128, "grid": "zoom0", "normalisation": "acdc", "augmentation": "acdc"}
    eight_bit = planes.dtype.endswith("u1")
    normalisation = "unit" if eight_bit else "minmax"
    return {"size": 256, "grid": "native", "normalisation": normalisation, "augmentation": "cells", "batch": 8}


def form_of(run: Run) -> dict[str, Any]:
    """The earlier run's network and form of images; weights fit no other.

    Raises:
        InputError: if it has no model yet.
    """
    try:
        plan = json.loads((run.folder / "run.json").read_bytes())["plan"]
        model = json.loads((run.folder / "model.json").read_bytes())
        names = ("size", "grid", "normalisation", "net")
        return {name: model[name] for name in names} | {"augmentation": plan["augmentation"]}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "the run to begin with has no model",
            where=run.folder,
            expected="run.json and model.json",
            received=f"{type(error).__name__}: {error}",
            todo="let it come to its end first",
        ) from error
