"""Answers of the server: JSON, and errors with what, where, expected, received and what to do."""

from __future__ import annotations

import errno
import json
import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pointillist.errors import PointillistError

LOG = logging.getLogger("pointillist.app")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class Refused(Exception):  # noqa: N818 - an answer, not a failure of the program
    """A request that is answered by an error.

    Args:
        status: of the answer.
        error: what is wrong.
    """

    def __init__(self, status: int, error: PointillistError) -> None:
        super().__init__(str(error))
        self.status, self.error = status, error


def answer(value: Any, status: int = 200) -> Response:
    """A JSON answer, never kept by the browser."""
    data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return Response(data, status, {"Cache-Control": "no-store"}, "application/json")


def error_fields(error: PointillistError, kind: str = "") -> dict[str, str]:
    """An error as the page shows it."""
    fields = {
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "received": error.received,
        "todo": error.todo,
    }
    return fields | ({"kind": kind} if kind else {})


def refusal(error: Refused) -> Response:
    """The answer to a request that is refused."""
    return answer({"error": error_fields(error.error)}, error.status)


def missing(what: str, where: object, received: object) -> Refused:
    """There is no such thing."""
    error = PointillistError(
        what, where=where, expected="a name that GET /api/dataset lists", received=received, todo="reload the page"
    )
    return Refused(404, error)


def storage_error(error: OSError) -> tuple[str, PointillistError]:
    """A full disk or a folder that cannot be written, as one message and its kind for the page."""
    kind = "disk-full" if error.errno in _FULL else "read-only" if error.errno in _READ_ONLY else "storage"
    what = {"disk-full": "the disk is full", "read-only": "the dataset's folder cannot be written"}
    todo = {"disk-full": "make room", "read-only": "make the folder writable"}
    return kind, PointillistError(
        what.get(kind, "the marks cannot be written"),
        where=error.filename or "the dataset's folder",
        expected="a folder that can be written, with room",
        received=error.strerror or str(error),
        todo=f"{todo.get(kind, 'see that the place exists')}; the page keeps the strokes and sends them again",
    )


async def on_refused(_: Request, error: Exception) -> Response:
    """Answer ``Refused``."""
    assert isinstance(error, Refused)  # noqa: S101 - registered for this kind alone
    LOG.warning("refused (%d): %s", error.status, str(error).replace("\n", ";"))
    return refusal(error)


async def on_named(_: Request, error: Exception) -> Response:
    """Answer a named failure."""
    assert isinstance(error, PointillistError)  # noqa: S101 - registered for this kind alone
    LOG.warning("refused (422): %s", str(error).replace("\n", ";"))
    return answer({"error": error_fields(error)}, 422)


async def on_storage(request: Request, error: Exception) -> Response:
    """Answer a disk that does not take or give what it should, and tell every page."""
    assert isinstance(error, OSError)  # noqa: S101 - registered for this kind alone
    kind, named = storage_error(error)
    LOG.error("%s", str(named).replace("\n", ";"))
    fields = {"case": request.path_params.get("id"), **error_fields(named, kind)}
    request.app.state.context.events.trouble(fields)
    return answer({"error": error_fields(named, kind)}, 507)


async def on_unknown(request: Request, error: Exception) -> Response:
    """Answer a path or a way of asking that there is not."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this kind alone
    named = PointillistError(
        "the server has no such address" if error.status_code == 404 else error.detail,
        where=request.url.path[:200],
        expected="an address that the page asks for",
        received=f"{request.method} {request.url.path[:200]}",
        todo="reload the page",
    )
    LOG.warning("refused (%d): %s %s", error.status_code, request.method, request.url.path[:200])
    return answer({"error": error_fields(named)}, error.status_code)


async def on_crash(request: Request, error: Exception) -> Response:
    """Answer a mistake of ours without a traceback; the log has it."""
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer({"error": error_fields(server_mistake(error, request.url.path))}, 500)


def server_mistake(error: Exception, where: str) -> PointillistError:
    """A mistake of ours, as the page shows it."""
    return PointillistError(
        "the server made a mistake",
        where=where,
        expected="an answer",
        received=type(error).__name__,
        todo="reload the page, and report what the terminal shows; acknowledged strokes are saved",
    )
