"""Where to click next, as ``pointillist.data.suggest`` ranks it; places that were clicked since are left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pointillist.app.answers import Refused, answer
from pointillist.app.context import Context, context_of
from pointillist.app.jobs import Jobs, jobs_of
from pointillist.app.places import log_path
from pointillist.app.runs import SUGGESTIONS, Run
from pointillist.app.workers import SOMETIME
from pointillist.errors import InputError

DEFINITION = (
    "Places that the run is unsure of (entropy over ln K, smoothed), near marks which it contradicts, or where another "
    "run says otherwise; away from marks, and from each other. Images count the mean of that score over their pixels."
)
_CLICKED = 0.06  # of the side: three times the width that places are smoothed with


async def suggest(request: Request) -> Response:
    """``GET /api/suggestions?run=RUN&other=RUN2``."""
    context, jobs = context_of(request), jobs_of(request)
    run = jobs.run(request.query_params.get("run", ""))
    path = await _listed(context, jobs, run, request.query_params.get("other"))
    content = json.loads(path.read_bytes())
    places, scores = content["places"], {one["id"]: one["score"] for one in content["cases"]}
    made = path.stat().st_mtime
    for case in [case for case in context.store.cases if case.id in places]:
        strokes = await _drawn_since(context, case.id, made)
        shape = context.summary(case.id)["shape"]
        if strokes and shape:
            left = unclicked(places[case.id], strokes, tuple(shape))
            scores[case.id] *= len(left) / len(places[case.id])
            places[case.id] = left
    ranked = sorted(scores, key=lambda name: -scores[name])
    cases = [{"id": name, "score": round(scores[name], 6)} for name in ranked]
    return answer({"definition": DEFINITION, "cases": cases, "places": places})


def unclicked(
    places: list[dict[str, Any]], strokes: list[list[list[float]]], shape: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Places that lie away from every vertex that was drawn.

    Args:
        places: of a case.
        strokes: their vertices.
        shape: of the case's image.
    """
    vertices = np.array([vertex for points in strokes for vertex in points])
    near = _CLICKED * float(np.sqrt(np.prod(sorted(shape)[-2:])))
    left = []
    for place in places:
        away = np.hypot(vertices[:, 0] - place["row"], vertices[:, 1] - place["col"])
        if place["slice"] is not None:
            away[vertices[:, 2] != place["slice"]] = np.inf
        if away.min() >= near:
            left.append(place)
    return left


async def _drawn_since(context: Context, case: str, moment: float) -> list[list[list[float]]]:
    """Vertices of the strokes that were drawn on a case after a moment."""
    log = log_path(context.dataset.root, case)
    if not log.exists() or log.stat().st_mtime <= moment:
        return []
    strokes = [json.loads(kept.data) for kept in (await context.store.state(case)).active]
    return [stroke["points"] for stroke in strokes if _seconds(stroke.get("time")) > moment]


def _seconds(time: str | None) -> float:
    """A stroke's time in seconds since 1970; 0 where it has none."""
    try:
        moment = datetime.fromisoformat(time or "")
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


async def _listed(context: Context, jobs: Jobs, run: Run, other: str | None) -> Path:
    """The file of suggestions; those of two runs are made when they are asked for.

    Raises:
        Refused: if a run has not predicted yet (404).
    """
    path = run.predictions / SUGGESTIONS
    if not path.is_file():
        raise Refused(404, none_yet(run))
    if other is None:
        return path
    second = jobs.run(other)
    if not (second.predictions / SUGGESTIONS).is_file():
        raise Refused(404, none_yet(second))
    path = run.folder / "app" / f"suggestions-{second.id}.json"
    newest = max((one.predictions / SUGGESTIONS).stat().st_mtime_ns for one in (run, second))
    if not path.is_file() or path.stat().st_mtime_ns <= newest:  # equal: within one tick of the clock
        folders = [str(one.predictions) for one in (run, second)]
        await context.marks.do("suggest", urgency=SOMETIME, predictions=folders[0], other=folders[1], target=str(path))
    return path


def none_yet(run: Run) -> InputError:
    """The run has not predicted anything."""
    return InputError(
        "the run has not predicted the images yet",
        where=run.folder,
        expected="predictions with their uncertainty",
        received="none",
        todo="wait for its end, or resume it",
    )


routes = [Route("/api/suggestions", suggest)]
