"""The server of the annotation app: its routes, and how it starts and ends."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from pointillist.app import answers, cases, exchange, jobs, overlays, suggest, tiles
from pointillist.app.answers import Refused
from pointillist.app.context import Context
from pointillist.app.places import key_of
from pointillist.app.security import Guard
from pointillist.errors import PointillistError

STATIC = Path(__file__).with_name("static")
_GRACE_SECONDS = 2


def routes() -> list[BaseRoute]:
    """Every route: a module of the app has a list ``routes``; its handlers get their ``Context`` by ``context_of``."""
    return [
        *cases.routes,
        *tiles.routes,
        *exchange.routes,
        *jobs.routes,
        *overlays.routes,
        *suggest.routes,
        Route("/", page),
        Mount("/static", _Kept(directory=STATIC, check_dir=False)),
    ]


class _Kept(StaticFiles):
    """The page's files, which a browser keeps under a name that is another one after an upgrade."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file, asked for as ``VERSION/name`` by the page and as ``name`` by others."""
        version, _, name = path.partition("/")
        is_named = version == version_of_page()
        response = await super().get_response(name if is_named else path, scope)
        response.headers["Cache-Control"] = "max-age=31536000, immutable" if is_named else "no-cache"
        return response


@cache
def version_of_page() -> str:
    """Of all files of the page together."""
    return key_of(*sorted(path for path in STATIC.rglob("*") if path.is_file()))


async def page(_: Request) -> Response:
    """``GET /``."""
    index = STATIC / "index.html"
    if not index.exists():
        return PlainTextResponse("the page is not part of this installation", 404)
    content = index.read_text("utf-8").replace('"/static/', f'"/static/{version_of_page()}/')
    return HTMLResponse(content, headers={"Cache-Control": "no-cache"})


def build(context: Context) -> ASGIApp:
    """The guarded application.

    Args:
        context: what handlers use.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with context.running():
            yield

    app = Starlette(
        routes=routes(),
        lifespan=lifespan,
        exception_handlers={
            Refused: answers.on_refused,
            PointillistError: answers.on_named,
            OSError: answers.on_storage,
            HTTPException: answers.on_unknown,
            Exception: answers.on_crash,
        },
    )
    app.state.context = context
    return Guard(app, context.door)


class _Server(uvicorn.Server):
    """Ends streams first when it is asked to end, so that no page holds it back."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.events.close()
        await super().shutdown(sockets)


def serve(context: Context, listening: socket.socket) -> None:
    """Run the server until it is told to end; then everything that was drawn is saved.

    Args:
        context: what handlers use.
        listening: the socket that it listens on.
    """
    config = uvicorn.Config(
        build(context),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    _Server(config, context).run(sockets=[listening])
