"""Claims: one process at a time works on a run or a dataset, and what a dead process held is free again."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pointillist.data.writers import atomic_write_bytes

BEAT_SECONDS = 10.0
LOST_SECONDS = 900.0
"""A claim of another machine whose heart has not beaten for so long is taken over."""


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold a claim while the block runs.

    The claim is a file that names process and machine; its time of change is the heartbeat. A claim whose process on
    this machine is dead, or whose heart on another machine stopped beating, is taken over.

    Args:
        path: the claim's file; what it stands for is the caller's affair.

    Yields:
        Whether the claim is held; False if a living process has it.
    """
    held = _take(path)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    if held:
        heart.start()
    try:
        yield held
    finally:
        if held:
            stop.set()
            heart.join()
            path.unlink(missing_ok=True)


@contextmanager
def claim_when_free(path: Path) -> Iterator[None]:
    """Hold a claim while the block runs, after waiting for whoever has it."""
    while True:
        with claim(path) as held:
            if held:
                yield
                return
        time.sleep(0.5)


def is_claimed(path: Path) -> bool:
    """Whether a living process holds the claim."""
    try:
        owner: dict[str, Any] = json.loads(path.read_bytes())
        age = time.time() - path.stat().st_mtime
    except (FileNotFoundError, ValueError):
        return False
    if owner["host"] != socket.gethostname():
        return age < LOST_SECONDS
    born = _born(owner["pid"])
    return born is not None and born == owner["born"]


def _take(path: Path) -> bool:
    """Look and write as one act: the kernel's lock on a file of the folder, which no death leaves behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".claims").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        if is_claimed(path):
            return False
        atomic_write_bytes(path, json.dumps(_myself()).encode())
        return True


def _myself() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}


def _born(pid: int) -> str | None:
    """When a process of this machine began, so that a number used again is not taken for it; None if it is dead."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, and belongs to somebody else
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return "alive"
    fields = stat.read_text().rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        if path.exists():
            os.utime(path)
