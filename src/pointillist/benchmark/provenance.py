"""Which code and which machine a result was made with."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

import pointillist
from pointillist.train.plan import processor


@cache
def code_version() -> dict[str, Any]:
    """The package's version and, in a checkout, the commit and whether ``src`` differs from it.

    Read once a process: what is imported does not change after that.
    """
    package = Path(pointillist.__file__).resolve().parent
    version: dict[str, Any] = {"version": pointillist.__version__, "commit": None, "dirty": None}
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() / "src" / "pointillist" != package:
        return version
    commit, changes = _git(package, "rev-parse", "HEAD"), _git(package, "status", "--porcelain", "--", ".")
    return version | {"commit": commit, "dirty": None if changes is None else bool(changes)}


def hardware(device: str, precision: str, threads: int) -> dict[str, Any]:
    """What decides how long a run takes.

    Args:
        device: of the run.
        precision: of the run.
        threads: of the run.
    """
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if device.startswith("cuda") else None,
        "threads": threads,
        "precision": precision,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


class PeakMemory:
    """The most memory that the process has held since this object was made, in MB.

    Where the system cannot forget an earlier peak, it is the most since the process began.
    """

    def __init__(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._forgets = False
        else:
            self._forgets = True

    def read(self) -> dict[str, int]:
        """``host`` and, where there is one, ``accelerator``."""
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if self._forgets:
            lines = Path("/proc/self/status").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        peak = {"host": kilobytes // 1024}
        if torch.cuda.is_available():
            peak["accelerator"] = torch.cuda.max_memory_allocated() // 2**20
        return peak


def _git(folder: Path, *arguments: str) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    done = subprocess.run([program, "-C", str(folder), *arguments], capture_output=True, text=True)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else None
