"""A lock that says whether a job lives: the system frees it when the last process that holds it ends, in any way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pointillist.errors import InputError

if sys.platform != "win32":
    import fcntl


def check_system() -> None:
    """Refuse to start jobs where there are no such locks.

    Raises:
        InputError: on Windows.
    """
    if sys.platform == "win32":
        raise InputError(
            "runs cannot be started from the page on Windows",
            where="this machine",
            expected="Linux or macOS, or the Windows subsystem for Linux",
            received=sys.platform,
            todo="save, and run `pointillist train` in a terminal",
        )


def take(path: Path) -> int | None:
    """Hold the lock, with this process's number in it, and hand it down to children that are given its descriptor.

    Returns:
        The descriptor; None if somebody else holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def held(path: Path) -> bool:
    """Whether anybody holds the lock."""
    return _probe(path) is not None


def holder(path: Path) -> int | None:
    """The process that took the lock, which leads the group of all that hold it; None if nobody holds it."""
    content = _probe(path)
    return int(content) if content and content.isdigit() else None


def _probe(path: Path) -> bytes | None:
    """What a lock that is held says; None if it is not."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(descriptor, 32)
    else:
        return None
    finally:
        os.close(descriptor)
