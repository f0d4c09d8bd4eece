"""Marks in and out, as ``pointillist marks`` reads and writes them; segmentations out, as ``predict --as`` does."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pointillist.app.answers import Refused, answer
from pointillist.app.context import Context, context_of
from pointillist.app.jobs import jobs_of
from pointillist.app.runs import SUGGESTIONS
from pointillist.app.suggest import none_yet
from pointillist.data.dataset import Dataset
from pointillist.data.readers import NIFTI_ENDINGS
from pointillist.errors import InputError

FORMATS = ("qupath", "imagej", "napari", "nrrd", "labels")
_MOST_FILES = 500
_PLAIN = re.compile(r"[^/\\\x00-\x1f]{1,200}")
_NUMBERS = {"width_px": float, "unlabelled": int}
_TEXTS = ("case", "format", "default_class", "axes", "author")
_LARGE = 1 << 16


async def bring(request: Request) -> Response:
    """``POST /api/import?case=&dry_run=&format=&class_map=&default_class=&width_px=&unlabelled=&replace=``.

    The body is a multipart form of files. With ``dry_run`` nothing changes: the answer shows where the marks would lie.
    """
    context = context_of(request)
    options = _options(request)
    dry_run = _truth(request, "dry_run")
    folder = Path(tempfile.mkdtemp(prefix="pointillist-import-"))
    try:
        names = await _receive(request, folder)
        await context.store.flush()
        brought = await context.marks.do("bring", folder=str(folder), names=names, options=options, dry_run=dry_run)
        if not dry_run:
            for case_id in brought["cases"]:
                await context.store.refresh(case_id)
            await context.look_again(brought["cases"])
            for case_id in brought["cases"]:
                context.events.publish("case", context.summary(case_id) | {"reload": True})
        return answer(brought)
    finally:
        await anyio.to_thread.run_sync(shutil.rmtree, folder, True)


async def take(request: Request) -> Response:
    """``GET /api/export?format=&case=&axes=``: a zip archive."""
    context = context_of(request)
    form = request.query_params.get("format", "labels")
    if form not in FORMATS:
        raise _wrong("format", ", ".join(FORMATS), form)
    axes = request.query_params.get("axes", "ijk")
    if axes not in ("ijk", "kji"):
        raise _wrong("axes", "ijk, kji", axes)
    cases = [context.store.case(one).id for one in request.query_params.getlist("case")]
    await context.store.flush()
    return await _sent(context, form, "take", form=form, cases=cases, axes=axes)


async def segmentations(request: Request) -> Response:
    """``GET /api/runs/RUN/segmentations?as=``: a zip archive of what a run found in the training cases."""
    context, run = context_of(request), jobs_of(request).run(request.path_params["run"])
    kinds = kinds_of(context.dataset)
    kind = request.query_params.get("as", "")
    if kind not in kinds:
        raise _wrong("as", ", ".join(kinds), kind)
    if not (run.predictions / SUGGESTIONS).is_file():
        raise Refused(404, none_yet(run))
    name = f"{run.id}-{kind}"
    return await _sent(context, name, "take_found", form=kinds[kind], predictions=str(run.predictions))


def kinds_of(dataset: Dataset) -> dict[str, str]:
    """Kinds of files that hold segmentations of the dataset's images, and their endings."""
    if dataset.ending in NIFTI_ENDINGS:
        return {"nifti": ".nii.gz"}
    return {"png": ".png", "tiff": ".tif", "geojson": ".geojson"}


async def _sent(context: Context, name: str, task: str, **arguments: Any) -> Response:
    """An archive that the worker makes; it goes when it is sent."""
    folder = Path(tempfile.mkdtemp(prefix="pointillist-export-"))
    try:
        await context.marks.do(task, folder=str(folder), **arguments)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(
        folder / "all.zip",
        filename=f"{re.sub(r'[^A-Za-z0-9._-]', '_', context.dataset.name)}-{name}.zip",
        media_type="application/zip",
        headers={"Cache-Control": "no-store"},
        background=BackgroundTask(shutil.rmtree, folder, True),
    )


async def thumbnail(request: Request) -> Response:
    """``GET /api/cases/ID/thumbnail``: the busiest slice with its marks."""
    context = context_of(request)
    case = context.store.case(request.path_params["id"])
    path = await context.thumbnail(case)
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})


async def _receive(request: Request, folder: Path) -> list[str]:
    """Save the files of a form; their names, which say their cases."""
    async with request.form(max_files=_MOST_FILES, max_fields=0) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        names = [Path(file.filename or "").name for file in files]
        if not files or len(set(names)) != len(names) or not all(map(_is_plain, names)):
            raise _wrong("body", "a multipart form of files, each with a plain name of its own", names[:5])
        for file, name in zip(files, names, strict=True):
            with (folder / name).open("xb") as target:
                while chunk := await file.read(_LARGE):
                    await anyio.to_thread.run_sync(target.write, chunk)
    return names


def _is_plain(name: str) -> bool:
    return bool(_PLAIN.fullmatch(name)) and not name.startswith(".")


def _options(request: Request) -> dict[str, Any]:
    query = request.query_params
    options: dict[str, Any] = {name: query[name] for name in _TEXTS if query.get(name)}
    if options.get("format", "labels") not in FORMATS:
        raise _wrong("format", ", ".join(FORMATS), options["format"])
    if options.get("axes", "ijk") not in ("ijk", "kji"):
        raise _wrong("axes", "ijk, kji", options["axes"])
    if "case" in options:
        context_of(request).store.case(options["case"])
    for name, kind in _NUMBERS.items():
        try:
            options |= {name: kind(query[name])} if query.get(name) else {}
        except ValueError as error:
            raise _wrong(name, "a number", query[name]) from error
    if not 0 < options.get("width_px", 1.0) <= 1000:
        raise _wrong("width_px", "0.01 … 1000", options["width_px"])
    return options | {"class_map": query.getlist("class_map"), "replace": _truth(request, "replace")}


def _truth(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("1", "true", "yes")


def _wrong(where: str, expected: str, received: object) -> Refused:
    error = InputError(
        "the request cannot be understood",
        where=where,
        expected=expected,
        received=str(received)[:200],
        todo="choose one of these",
    )
    return Refused(400, error)


routes = [
    Route("/api/import", bring, methods=["POST"]),
    Route("/api/export", take),
    Route("/api/runs/{run}/segmentations", segmentations),
    Route("/api/cases/{id}/thumbnail", thumbnail),
]
