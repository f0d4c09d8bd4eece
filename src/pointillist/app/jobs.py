"""Training from the page: runs are started through the command line, watched, stopped, resumed and deleted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import pointillist
from pointillist.app.answers import LOG, Refused, answer
from pointillist.app.context import Context, context_of
from pointillist.app.lock import check_system, held, holder
from pointillist.app.places import key_of
from pointillist.app.recipe import training_arguments
from pointillist.app.runs import END, LOCK, REQUEST, Run, is_run, runs_in
from pointillist.app.runs import LOG as JOB_LOG
from pointillist.data.writers import atomic_write_bytes, write_json
from pointillist.errors import InputError, PointillistError

_LOOK_SECONDS = 1.0
_LAUNCH_SECONDS = 20.0
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Value = bool | int | Annotated[float, Field(allow_inf_nan=False)] | Annotated[str, Field(max_length=200)]
_children: list[subprocess.Popen[bytes]] = []  # of this process, which ends before them or sees them out


class Wish(BaseModel):
    """What the page asks to be trained."""

    model_config = ConfigDict(extra="forbid")
    method: _Key
    settings: dict[_Key, _Value] = {}
    minutes: Annotated[float, Field(gt=0, le=10_080, allow_inf_nan=False)] | None = None
    iterations: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    init: Annotated[str, Field(pattern=f"^{_RUN_ID.pattern}$")] | None = None


class Jobs:
    """The runs of a server.

    Args:
        context: of the server.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._runs: dict[str, Run] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._methods: bytes | None = None
        self._busy, self._listing, self._starting = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    def run(self, name: str) -> Run:
        """The run of this id.

        Raises:
            Refused: if there is none (404).
        """
        folder = self._context.runs / name
        if not _RUN_ID.fullmatch(name) or not is_run(folder):
            error = InputError(
                "there is no such run",
                where=self._context.runs,
                expected="an id that GET /api/runs lists",
                received=name[:100],
                todo="reload the page",
            )
            raise Refused(404, error)
        return self._runs.setdefault(name, Run(folder))

    async def summaries(self) -> list[dict[str, Any]]:
        """All runs, the oldest first; from now on pages are told what changes."""
        self._watch()
        async with self._busy:
            return await anyio.to_thread.run_sync(self._look)

    async def detail(self, name: str) -> dict[str, Any]:
        """One run with its curves."""
        run = self.run(name)
        async with self._busy:
            return await anyio.to_thread.run_sync(run.detail)

    async def start(self, wish: Wish) -> dict[str, Any]:
        """Start training; every stroke that was acknowledged is in the label files before.

        Raises:
            Refused: if a run is going on (409), or the one to begin with has no model (422).
        """
        async with self._starting:
            self._refuse_second()
            init = None if wish.init is None else self.run(wish.init)
            await self._context.store.flush()
            arguments = await training_arguments(self._context, wish.model_dump(), init)
            folder = self._new_folder(wish.method)
            request = wish.model_dump(mode="json") | {
                "format": 1,
                "dataset": str(self._context.dataset.root.resolve()),
                "arguments": arguments,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            write_json(folder / REQUEST, request)
            return await self._launch(self.run(folder.name))

    async def resume(self, name: str) -> dict[str, Any]:
        """Go on with a run that was stopped, or failed; a run of the command line is predicted."""
        async with self._starting:
            self._refuse_second()
            run = self.run(name)
            await self._context.store.flush()
            if not (run.folder / REQUEST).exists():
                dataset = str(self._context.dataset.root.resolve())
                write_json(run.folder / REQUEST, {"format": 1, "dataset": dataset, "arguments": []})
            return await self._launch(run)

    async def stop(self, name: str) -> None:
        """Ask a run to save and end; it says by an event when it has."""
        process = holder(self.run(name).folder / LOCK)
        if process is not None:
            os.killpg(process, signal.SIGTERM)

    async def delete(self, name: str) -> None:
        """Remove a run, its weights and predictions.

        Raises:
            Refused: while it runs (409).
        """
        run = self.run(name)
        if run.running:
            raise _busy(run.folder, "stop it first")
        await anyio.to_thread.run_sync(shutil.rmtree, run.folder)
        self._runs.pop(name, None)
        self._told.pop(name, None)
        self._context.events.publish("job", {"id": name, "deleted": True})

    async def methods(self) -> bytes:
        """What ``pointillist methods --json`` says, asked once for every version of the methods."""
        async with self._listing:
            if self._methods is None:
                self._methods = await _list_methods(self._context.cache)
            return self._methods

    async def _launch(self, run: Run) -> dict[str, Any]:
        """Start the job's process; when this returns it holds its lock, or has ended."""
        (run.folder / END).unlink(missing_ok=True)
        command = [sys.executable, "-m", "pointillist.app.job", str(run.folder)]
        run.starting = True
        try:
            with (run.folder / JOB_LOG).open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - returns at once; our own module
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            _children.append(process)
            with anyio.move_on_after(_LAUNCH_SECONDS):
                while process.poll() is None and not held(run.folder / LOCK):
                    await asyncio.sleep(0.02)
        finally:
            run.starting = False
        self._watch()
        summary = await self.detail(run.id)
        return {name: value for name, value in summary.items() if name not in ("losses", "validation")}

    def _refuse_second(self) -> None:
        check_system()
        for folder in runs_in(self._context.runs):
            if held(folder / LOCK):
                raise _busy(folder, "stop it, or wait for its end: two at once would take more than twice the time")

    def _new_folder(self, method: str) -> Path:
        runs = self._context.runs
        runs.mkdir(parents=True, exist_ok=True)
        taken = [int(path.name[:3]) for path in runs.iterdir() if path.name[:3].isdigit()]
        folder = runs / f"{max(taken, default=0) + 1:03d}-{method}"
        folder.mkdir()
        return folder

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        """Tell pages what changes."""
        while True:
            try:
                async with self._busy:
                    summaries = await anyio.to_thread.run_sync(self._look)
            except (OSError, PointillistError) as error:
                LOG.error("runs cannot be read: %s", error)
                summaries = []
            for summary in summaries:
                if self._told.get(summary["id"]) != summary:
                    self._told[summary["id"]] = summary
                    self._context.events.publish("job", summary)
            await asyncio.sleep(_LOOK_SECONDS)

    def _look(self) -> list[dict[str, Any]]:
        _children[:] = [process for process in _children if process.poll() is None]
        return [self.run(folder.name).summary() for folder in runs_in(self._context.runs)]


def jobs_of(request: Request) -> Jobs:
    """The runs of the server that a request came to."""
    state = request.app.state
    if not hasattr(state, "jobs"):
        state.jobs = Jobs(context_of(request))
    jobs: Jobs = state.jobs
    return jobs


async def list_runs(request: Request) -> Response:
    """``GET /api/runs``."""
    return answer(await jobs_of(request).summaries())


async def show_run(request: Request) -> Response:
    """``GET /api/runs/RUN``."""
    return answer(await jobs_of(request).detail(request.path_params["run"]))


async def start_run(request: Request) -> Response:
    """``POST /api/runs``."""
    try:
        wish = Wish.model_validate_json(await request.body())
    except ValidationError as error:
        raise Refused(422, _bad_wish(error)) from error
    if wish.minutes is not None and wish.iterations is not None:
        raise Refused(422, _bad_wish(None))
    return answer(await jobs_of(request).start(wish), 201)


async def stop_run(request: Request) -> Response:
    """``POST /api/runs/RUN/stop``."""
    jobs = jobs_of(request)
    await jobs.stop(request.path_params["run"])
    return answer({"id": request.path_params["run"]}, 202)


async def resume_run(request: Request) -> Response:
    """``POST /api/runs/RUN/resume``."""
    return answer(await jobs_of(request).resume(request.path_params["run"]))


async def delete_run(request: Request) -> Response:
    """``DELETE /api/runs/RUN``."""
    await jobs_of(request).delete(request.path_params["run"])
    return answer({"id": request.path_params["run"], "deleted": True})


async def list_methods(request: Request) -> Response:
    """``GET /api/methods``."""
    return answer(await jobs_of(request).methods())


async def _list_methods(cache: Path) -> bytes:
    """The list as JSON; kept, because the command takes seconds. It ends with the server."""
    sources = Path(pointillist.__file__).parent / "methods"
    kept = cache / f"methods.{key_of(*sorted(sources.glob('*.py')))}.json"
    if kept.is_file():
        return kept.read_bytes()
    command = [sys.executable, "-m", "pointillist", "methods", "--json"]
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    try:
        methods = json.loads(said)
    except ValueError as error:
        raise PointillistError(
            "the methods cannot be listed",
            where="pointillist methods --json",
            expected="JSON",
            received=complaint.decode(errors="replace")[-300:] or "nothing",
            todo="run the command in a terminal",
        ) from error
    # `train` takes it in a method's place
    auto = {"summary": "The method that served such images and marks best.", "settings": {}}
    listed = json.dumps({"auto": auto} | methods, ensure_ascii=False).encode()
    with suppress(OSError):  # it is asked again
        atomic_write_bytes(kept, listed)
    return listed


def _busy(folder: Path, todo: str) -> Refused:
    error = InputError("a run is going on", where=folder, expected="none", received=folder.name, todo=todo)
    return Refused(409, error)


def _bad_wish(error: ValidationError | None) -> InputError:
    place, received = "minutes, iterations", "both"
    if error is not None:
        first = error.errors(include_url=False, include_input=False)[0]
        place, received = ".".join(map(str, first["loc"])) or "(whole body)", first["msg"]
    return InputError(
        "the run cannot be started as it was asked for",
        where=f"field {place}",
        expected='{"method": name, "settings": {…}, "minutes" or "iterations": number, "init": run}',
        received=received,
        todo="correct the form",
    )


routes = [
    Route("/api/methods", list_methods),
    Route("/api/runs", list_runs),
    Route("/api/runs", start_run, methods=["POST"]),
    Route("/api/runs/{run}", show_run),
    Route("/api/runs/{run}", delete_run, methods=["DELETE"]),
    Route("/api/runs/{run}/stop", stop_run, methods=["POST"]),
    Route("/api/runs/{run}/resume", resume_run, methods=["POST"]),
]
