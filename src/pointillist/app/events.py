"""Server-sent events: what pages are told, and what they missed while they were away."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

_KEPT_BYTES = 4 << 20
_WAITING = 1000
_HEARTBEAT_SECONDS = 10.0


class Events:
    """Publishes events to every page that listens.

    Kinds: ``ops``, ``case``, ``dataset``, ``job``, ``problem``, and ``reset``: a page that was away for too long asks
    for everything anew.
    """

    def __init__(self) -> None:
        self._start = secrets.token_hex(4)
        self._number = 0
        self._recent: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._is_troubled = False

    @property
    def last(self) -> str:
        """The id of the newest event."""
        return f"{self._start}-{self._number}"

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Tell every page.

        Args:
            kind: of the event.
            data: JSON.
        """
        self._number += 1
        message = self._message(kind, json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
        self._recent.append((self._number, message))
        self._bytes += len(message)
        while self._bytes > _KEPT_BYTES and len(self._recent) > 1:
            self._bytes -= len(self._recent.popleft()[1])
        for queue in list(self._listeners):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:  # it comes back with the last number that it saw
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)

    def trouble(self, problem: dict[str, Any]) -> None:
        """Tell every page what keeps marks from being written."""
        self._is_troubled = True
        self.publish("problem", problem)

    def relief(self) -> None:
        """Tell every page that this is over."""
        if self._is_troubled:
            self._is_troubled = False
            self.publish("problem", {})

    def close(self) -> None:
        """End every stream."""
        for queue in list(self._listeners):
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)

    async def stream(self, last: str | None) -> AsyncIterator[bytes]:
        """Events from now on, after those that came since ``last``.

        Args:
            last: the id of the last event that the page saw, if it saw any.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._listeners.add(queue)  # before the first word goes out: what happens meanwhile must not be missed
        try:
            for missed in self._missed(last):
                yield missed
            while (message := await _next(queue)) is not None:
                yield message
        finally:
            self._listeners.discard(queue)

    def _message(self, kind: str, data: str) -> bytes:
        return f"id: {self.last}\nevent: {kind}\ndata: {data}\n\n".encode()

    def _missed(self, last: str | None) -> list[bytes]:
        """What came since; a first comment makes the browser see the stream as open."""
        if not last:
            return [f"id: {self.last}\n: welcome\n\n".encode()]
        start, _, number = last.partition("-")
        oldest = self._recent[0][0] if self._recent else self._number + 1
        if start != self._start or not number.isdigit() or int(number) + 1 < oldest:
            return [self._message("reset", "{}")]
        return [b": welcome back\n\n", *(message for count, message in self._recent if count > int(number))]


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    """The next message, a heartbeat where none comes; None at the end."""
    try:
        async with asyncio.timeout(_HEARTBEAT_SECONDS):
            return await queue.get()
    except TimeoutError:
        return b"event: heartbeat\ndata: {}\n\n"
