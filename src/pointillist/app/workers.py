"""Starts worker processes, sends them tasks one at a time, and starts them again when they end."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from pointillist import errors
from pointillist.errors import DamagedFileError, PointillistError

_LONGEST_ANSWER = 1 << 26
URGENT, SOON, SOMETIME = 0, 1, 2
"""Whether somebody waits for a task: an image on the screen, a neighbour, a thumbnail."""


class Worker:
    """One worker process; tasks wait in the order of their urgency.

    Args:
        root: the dataset's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._waiting: asyncio.PriorityQueue[tuple[int, int, bytes, asyncio.Future[Any]]] = asyncio.PriorityQueue()
        self._count = itertools.count()
        self._process: asyncio.subprocess.Process | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._fresh = False

    async def do(self, task: str, *, urgency: int = URGENT, **arguments: Any) -> Any:
        """Have a task done.

        Args:
            task: its name in ``pointillist.app.worker``.
            urgency: who goes first.
            arguments: JSON.

        Raises:
            PointillistError: what the task says, or that the process died over it.
            OSError: from the disk.
        """
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.create_task(self._serve())
        request = {"task": task, "arguments": arguments, "fresh": self._fresh}
        self._fresh = False
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        line = json.dumps(request, allow_nan=False).encode() + b"\n"
        self._waiting.put_nowait((urgency, next(self._count), line, future))
        return _outcome(await future)

    def forget(self) -> None:
        """Let the worker open the dataset anew before its next task."""
        self._fresh = True

    async def close(self) -> None:
        """End the process. Nobody waits for a task any more; what it may be writing appears whole or not at all."""
        if self._loop_task is not None:
            self._loop_task.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def _serve(self) -> None:
        while True:
            _, _, line, future = await self._waiting.get()
            if future.cancelled():
                continue
            try:
                result = await self._ask(line)
            except Exception as error:  # whoever waits is told; the next task gets a new process
                result = {"died": str(error)}
            if not future.cancelled():
                future.set_result(result)

    async def _ask(self, line: bytes) -> Any:
        for _ in range(2):  # it may have ended, for its size, as we began to write
            process = await self._running()
            try:
                process.stdin.write(line)  # type: ignore[union-attr]  # a pipe, by its construction
                await process.stdin.drain()  # type: ignore[union-attr]
            except (BrokenPipeError, ConnectionResetError):
                await process.wait()
                continue
            answer = await process.stdout.readline()  # type: ignore[union-attr]
            if answer:
                return json.loads(answer)
            if await process.wait() != 0:
                break
        return {"died": f"exit code {process.returncode}"}

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pointillist.app.worker",
                str(self._root),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_ANSWER,
                start_new_session=os.name != "nt",  # Ctrl-C ends the server, which lets a worker finish its file
            )
        return self._process


def _outcome(result: Any) -> Any:
    if "result" in result:
        return result["result"]
    if "error" in result:
        fields = dict(result["error"])
        kind: type[PointillistError] = getattr(errors, result["kind"], PointillistError)
        raise kind(fields.pop("what"), **fields)
    if "os_error" in result:
        raise OSError(*result["os_error"])
    raise DamagedFileError(
        "the process that reads and writes images ended over a file",
        where="dataset",
        expected="an image that fits into memory",
        received=result.get("died", "nothing"),
        todo="see the terminal; look at the file with `pointillist check`",
    )
