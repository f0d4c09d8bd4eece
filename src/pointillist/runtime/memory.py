"""Memory that a process keeps between steps."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # as malloc.h has them
_NEVER = 2**31 - 1
_LARGE = 2**27  # bytes; a map of 16 × 1024² in bfloat16 has a quarter of it


def keep_freed_memory() -> None:
    """Let what tensors free serve the next ones, for the rest of the process.

    glibc maps large blocks one by one and gives them back at once, and the kernel clears every page again when a step
    asks for the same blocks: a sixth of a training step on the processor, and up to a third of a prediction. Kept,
    they cost no more memory than the largest step. Blocks from 128 MiB on, which only images of thousands of pixels
    have, are given back as before: too few alike follow one another, and the gaps that they leave would add up to more
    than a step needs. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
