"""One server a dataset: two would each keep a list of strokes, and only one of them would know all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pointillist.app.places import log_folder
from pointillist.errors import DatasetError


@contextmanager
def only_server(root: Path) -> Iterator[None]:
    """Hold the dataset until the block ends; the system lets go of it when the process is killed.

    Args:
        root: the dataset.

    Raises:
        DatasetError: if another server holds it.
    """
    if os.name == "nt":
        yield
        return
    import fcntl

    try:
        log_folder(root).mkdir(parents=True, exist_ok=True)
        handle = os.open(log_folder(root) / ".server", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError:  # a dataset that cannot be written can be looked at by many
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DatasetError(
                "the dataset is open in another server",
                where=root,
                expected="one server a dataset",
                received=f"process {os.read(handle, 20).decode(errors='replace') or 'unknown'} has it open",
                todo="use the page of that server in as many tabs as you like, or end it with Ctrl-C",
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
