"""The event log of a run: one JSON line an event, read by the terminal, the report and the app alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pointillist.errors import PointillistError


class EventLog:
    """Append events to ``events.jsonl``; every line is complete or absent.

    Kinds in use of training: ``start`` (method, total, steps_an_epoch), ``resume`` (step), ``step`` (step, lr, loss,
    terms, seconds_left; the first of a session, then every tenth), ``validation`` (step, partial_ce, improved),
    ``checkpoint``, ``warning`` (message), ``stop``, ``end`` (the last step is made), ``model`` (the model is written).

    Args:
        path: the file; events are appended.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _drop_partial_line(path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event with the time of day.

        Raises:
            ValueError: if a field is not JSON.
        """
        line = json.dumps({"event": kind, "time": round(time.time(), 3), **fields}, allow_nan=False)
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class EventReader:
    """Read a log that somebody else is writing: every call gives what came since the last.

    Args:
        path: the file, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._lines = path, 0, 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Complete events that were not given yet; a last line that is still being written is left for the next call.

        Raises:
            PointillistError: if a complete line is not an event.
        """
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._lines += 1
                yield self._event(line)

    def _event(self, line: bytes) -> dict[str, Any]:
        try:
            event: dict[str, Any] = json.loads(line)
            return event | {"event": str(event["event"])}
        except (ValueError, KeyError, TypeError) as error:
            raise PointillistError(
                "the event log is damaged",
                where=f"{self._path}, line {self._lines}",
                expected="one JSON object with an 'event'",
                received=line[:80].decode(errors="replace").strip(),
                todo="remove the line",
            ) from error


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Every complete event of a log; a last line that is still being written is left out.

    Raises:
        PointillistError: if a complete line is not an event.
    """
    yield from EventReader(path).new()


def _drop_partial_line(path: Path) -> None:
    """Cut what a killed process left after the last complete line."""
    if not path.exists():
        return
    data = path.read_bytes()
    complete = data.rfind(b"\n") + 1
    if complete != len(data):
        with path.open("r+b") as file:
            file.truncate(complete)
