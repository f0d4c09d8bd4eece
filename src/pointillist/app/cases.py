"""The dataset and its cases, as the page asks for them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pointillist.app.answers import answer
from pointillist.app.classes import read_classes
from pointillist.app.context import Context, context_of
from pointillist.app.ops import read_batch
from pointillist.app.workers import SOON
from pointillist.data.case import Case
from pointillist.data.readers import NIFTI_ENDINGS
from pointillist.errors import PointillistError


async def dataset(request: Request) -> Response:
    """``GET /api/dataset``."""
    context = context_of(request)
    return answer(
        {
            **describe(context),
            "fresh": context.is_fresh,
            "cases": [context.summary(case.id) for case in context.store.cases],
            "seen": context.events.last,
            "run": context.run,
        }
    )


def describe(context: Context) -> dict[str, Any]:
    """Name, classes and kind of the dataset."""
    spec = context.dataset.spec
    volumes = context.dataset.ending in NIFTI_ENDINGS
    return {
        "id": hashlib.sha256(str(context.dataset.root.resolve()).encode()).hexdigest()[:16],
        "name": context.dataset.name,
        "root": str(context.dataset.root),
        "kind": "volume" if volumes else "colour" if len(spec.channels) == 3 else "plane",
        "channels": list(spec.channels),
        "classes": [
            {"name": name, "colour": colour} for name, colour in zip(spec.classes, context.colours, strict=True)
        ],
        "author": context.author,
    }


async def case(request: Request) -> Response:
    """``GET /api/cases/ID``."""
    context = context_of(request)
    found = context.store.case(request.path_params["id"])
    shape, axis = await context.geometry(found)
    planes = await context.planes(found)
    state = await context.store.state(found.id)
    _prepare_next(context, found)
    head = answer_fields(context, found, shape, axis) | {
        "window": {"lo": planes.low, "hi": planes.high, "min": planes.least, "max": planes.most},
        "channels": planes.channels,
        "colour": planes.colour,
        "revision": state.revision,
        "done": state.done,
        "seconds": round(state.seconds, 1),
    }
    strokes = b",".join(kept.data for kept in state.active)
    return answer(json.dumps(head).encode()[:-1] + b', "strokes": [' + strokes + b"]}")


def answer_fields(context: Context, found: Case, shape: tuple[int, ...], axis: int | None) -> dict[str, Any]:
    """What a case is, apart from its marks."""
    return {
        "id": found.id,
        "shape": list(shape),
        "slice_axis": axis,
        "spacing": context.summary(found.id)["spacing"],
        "base": context.has_base(found),
        "base_slices": context.base_slices(found.id),
        "hints": context.hints(found.id),
    }


async def rename(request: Request) -> Response:
    """``PATCH /api/dataset``: name, add and take away classes."""
    context = context_of(request)
    wanted = read_classes(await request.body())
    await context.store.flush()
    await context.marks.do("rename", classes=[one.model_dump() for one in wanted.classes])
    context.reopen()
    described = describe(context)
    context.events.publish("dataset", described)
    return answer(described)


async def hints(request: Request) -> Response:
    """``GET /api/cases/ID/hints``."""
    context = context_of(request)
    return answer(context.hints(context.store.case(request.path_params["id"]).id))


async def ops(request: Request) -> Response:
    """``POST /api/cases/ID/ops``."""
    context = context_of(request)
    found = context.store.case(request.path_params["id"])
    batch = read_batch(await request.body(), f"case {found.id}")
    shape, axis = await context.geometry(found)
    return answer({"revision": await context.store.apply(found.id, batch, shape, axis)})


async def events(request: Request) -> Response:
    """``GET /api/events?seen=``: what comes, after what came since an event was seen."""
    last = request.headers.get("last-event-id") or request.query_params.get("seen")
    stream = context_of(request).events.stream(last)
    return StreamingResponse(
        stream, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


_ahead: set[asyncio.Task[None]] = set()


def _prepare_next(context: Context, found: Case) -> None:
    """Decode the case that is probably next while somebody looks at this one."""
    cases = list(context.store.cases)
    place = cases.index(found) + 1
    if place < len(cases):
        task = asyncio.create_task(_prepare(context, cases[place]))
        _ahead.add(task)
        task.add_done_callback(_ahead.discard)


async def _prepare(context: Context, found: Case) -> None:
    try:
        await context.planes(found, urgency=SOON)
    except (PointillistError, OSError):
        return  # it is said when the case is opened


routes = [
    Route("/api/dataset", dataset),
    Route("/api/dataset", rename, methods=["PATCH"]),
    Route("/api/cases/{id}/hints", hints),
    Route("/api/cases/{id}", case),
    Route("/api/cases/{id}/ops", ops, methods=["POST"]),
    Route("/api/events", events),
]
