"""Memory that a process keeps between steps."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # as malloc.h has them
_NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Let what tensors free serve the next ones, for the rest of the process.

    glibc maps large blocks one by one and gives them back at once, and the kernel clears every page again when a step
    asks for the same blocks: a sixth of a training step on the processor, and up to a third of a prediction. Kept,
    they cost no more memory than the largest step. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _NEVER)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
