"""What a run predicts, as tiles to lay over the image: classes, uncertainty, and where two runs differ."""

from __future__ import annotations

import anyio.to_thread
import imagecodecs
import numpy as np
from PIL import ImageColor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pointillist.app.answers import Refused
from pointillist.app.context import context_of
from pointillist.app.jobs import jobs_of
from pointillist.app.overlay_files import CLASSES, UNCERTAINTY, overlay_path, source_of
from pointillist.app.planes import Planes
from pointillist.app.runs import Run
from pointillist.app.tiles import tile_asked_for
from pointillist.data.case import Case
from pointillist.errors import InputError
from pointillist.types import AnyArray

_DIFFERENCE = "difference"
_DOUBT = (255, 214, 10)
_NOTHING = (128, 128, 128)  # background where another run sees something
_OPAQUE = 255


async def overlay_tile(request: Request) -> Response:
    """``GET /api/runs/RUN/overlay/CASE/AXIS/INDEX/LEVEL/X_Y?what=classes|uncertainty|difference&other=RUN2``."""
    context, jobs = context_of(request), jobs_of(request)
    run = jobs.run(request.path_params["run"])
    case = context.store.case(request.path_params["id"])
    what = request.query_params.get("what", CLASSES)
    if what == UNCERTAINTY:
        tile = encode_uncertainty(await _tile(request, run, case, UNCERTAINTY))
    elif what == CLASSES:
        tile = encode_found(await _tile(request, run, case, CLASSES), context.colours)
    elif what == _DIFFERENCE:
        other = jobs.run(request.query_params.get("other", ""))
        mine, theirs = await _tile(request, run, case, CLASSES), await _tile(request, other, case, CLASSES)
        tile = encode_difference(mine, theirs, context.colours)
    else:
        raise Refused(400, _unknown(what))
    data = await anyio.to_thread.run_sync(lambda: bytes(imagecodecs.png_encode(tile, level=1)))
    return Response(data, media_type="image/png", headers={"Cache-Control": "no-cache"})


def encode_found(labels: AnyArray, colours: tuple[str, ...]) -> AnyArray:
    """``(h, w, 4)`` class colours; background is transparent."""
    table = _table(colours)
    table[0] = 0
    return table[labels]


def encode_uncertainty(doubt: AnyArray) -> AnyArray:
    """``(h, w, 4)`` one colour, the denser the less certain: opaque where all classes are as likely."""
    tile = np.empty((*doubt.shape, 4), np.uint8)
    tile[..., :3], tile[..., 3] = _DOUBT, doubt
    return tile


def encode_difference(mine: AnyArray, theirs: AnyArray, colours: tuple[str, ...]) -> AnyArray:
    """``(h, w, 4)`` what this run says where the other says something else, background in grey."""
    table = _table(colours)
    table[0, :3] = _NOTHING
    tile = table[mine]
    tile[mine == theirs] = 0
    return tile


def _table(colours: tuple[str, ...]) -> AnyArray:
    table = np.zeros((256, 4), np.uint8)
    for index, colour in enumerate(colours):
        table[index] = (*ImageColor.getrgb(colour)[:3], _OPAQUE)
    return table


async def _tile(request: Request, run: Run, case: Case, what: str) -> AnyArray:
    """A tile of a prediction, decoded once.

    Raises:
        Refused: if the case was not predicted (404).
    """
    context = context_of(request)
    source = source_of(run.predictions, case.id, context.dataset.ending, what)
    if not source.is_file():
        raise Refused(404, _not_predicted(run, case))
    path = overlay_path(run.folder, case.id, source, what)
    planes = Planes.read(path)
    if planes is None:
        run_folder, predictions = str(run.folder), str(run.predictions)
        await context.pictures.do("prepare_overlay", run=run_folder, predictions=predictions, case=case.id, what=what)
        planes = Planes.read(path)
    if planes is None:  # predicted anew while it was read
        raise Refused(404, _not_predicted(run, case))
    return await tile_asked_for(request, planes, case, 0)


def _unknown(what: str) -> InputError:
    return InputError(
        "there is no such overlay",
        where="query parameter what",
        expected=f"{CLASSES}, {UNCERTAINTY} or {_DIFFERENCE}",
        received=what[:40],
        todo="reload the page",
    )


def _not_predicted(run: Run, case: Case) -> InputError:
    return InputError(
        "the run has not predicted this case",
        where=run.folder,
        expected=f"a prediction of {case.id}",
        received="none",
        todo="wait for the run to end, or train again",
    )


routes = [Route("/api/runs/{run}/overlay/{id}/{axis}/{index:int}/{level:int}/{place}", overlay_tile)]
