"""The log of a case: one line an operation, on the disk before it is acknowledged.

The first line is the state that the operations start from. A line is complete when it ends in a newline: what a killed
process left after the last one was never acknowledged.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pointillist.app.ops import ONE_OP, Op
from pointillist.app.state import CaseState
from pointillist.data.writers import atomic_write_bytes
from pointillist.errors import DamagedFileError

_FORMAT = 1


def read_log(path: Path, *, until: int | None = None) -> CaseState:
    """Replay a log.

    Args:
        path: the log.
        until: stop at this revision; None replays everything.

    Raises:
        DamagedFileError: if a complete line cannot be understood.
    """
    return split_log(path, math.inf if until is None else until)[0]


def split_log(path: Path, revision: float) -> tuple[CaseState, list[Op]]:
    """The state at a revision (at least the log's start), and the operations after it.

    Raises:
        DamagedFileError: as ``read_log``.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    state = _start(lines, path)
    later: list[Op] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            op: Op = ONE_OP.validate_json(line)
        except ValidationError as error:
            raise _damaged(f"{path}, line {number}", line) from error
        if state.revision < revision:
            state.apply(op)
        else:
            later.append(op)
    return state, later


def new_log(path: Path, state: CaseState, ops: list[Op] | None = None) -> None:
    """Write a log that starts from a state; it appears complete or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    first = json.dumps({"format": _FORMAT, "start": state.start()}, ensure_ascii=False, separators=(",", ":"))
    atomic_write_bytes(path, b"".join(line + b"\n" for line in [first.encode(), *map(op_line, ops or ())]))
    sync_folder(path.parent)


def op_line(op: Op) -> bytes:
    """An operation as a line of the log, without the newline."""
    return op.model_dump_json(by_alias=True).encode()


def mend_end(path: Path) -> None:
    """Cut what a killed process left after the last complete line."""
    with path.open("r+b") as file:
        data = file.read()
        complete = data.rfind(b"\n") + 1
        if complete != len(data):
            file.truncate(complete)
            os.fsync(file.fileno())


class LogFile:
    """Appends to a log.

    Args:
        path: an existing log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def append(self, ops: list[Op]) -> None:
        """Append operations; they are on the disk when this returns.

        Raises:
            OSError: if the disk is full or gone; the log is then as it was before.
        """
        data = memoryview(b"".join(op_line(op) + b"\n" for op in ops))
        try:
            if self._file is None:
                mend_end(self._path)  # of a process that was killed, or of ourselves on a full disk
                self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            before = os.fstat(self._file).st_size
            try:
                while data:
                    data = data[os.write(self._file, data) :]
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, before)
                raise
        except OSError as error:
            self.close()
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _start(lines: list[bytes], path: Path) -> CaseState:
    try:
        content: Any = json.loads(lines[0])
        if content["format"] == _FORMAT:
            return CaseState.from_start(content["start"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise _damaged(f"{path}, line 1", lines[0] if lines else b"") from error
    raise _damaged(f"{path}, line 1", lines[0])


def _damaged(where: str, line: bytes) -> DamagedFileError:
    return DamagedFileError(
        "the log of a case's marks is damaged",
        where=where,
        expected="one operation a line, as the annotation app writes it",
        received=repr(line[:80]),
        todo="remove the line, or move the log away: marks/ and labelsTr hold what was saved before",
    )
