"""Forms of one computation, timed each in a process of its own, so that its peak memory can be told apart."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pointillist.benchmark.provenance import code_version
from pointillist.train.plan import processor


def peak_mib() -> float:
    """What this process held at most; unlike ru_maxrss it knows nothing of the process that started this one."""
    return _memory_mib("VmHWM")


def measure(form: str, loss: Callable[[], Tensor], inputs: Sequence[Tensor], runs: int, folder: Path) -> None:
    """In a form's process: seconds and peak memory; its value and gradients go to a file."""
    torch.set_num_threads(1)
    baseline, seconds = _memory_mib("VmRSS"), []
    for _ in range(runs):
        start = time.process_time()  # of this process, whatever else the machine does
        value = loss()
        gradients = torch.autograd.grad(value, inputs)
        seconds.append(time.process_time() - start)
    report = {
        "runs": runs,
        "seconds_best": min(seconds),
        "seconds_median": statistics.median(seconds),
        "baseline_mib": baseline,
        "peak_mib_over_baseline": peak_mib() - baseline,
    }
    torch.save({"value": value.detach(), "gradients": gradients}, folder / f"{form}.pt")
    (folder / f"{form}.json").write_text(json.dumps(report))


def compare(
    script: str,
    forms: Iterable[str],
    exact: Sequence[Tensor],
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run ``script FORM ARGUMENTS… FOLDER`` for our form and then for the usual one, and set them side by side.

    Args:
        script: that hands its arguments to ``measure``.
        forms: names, ours first.
        exact: gradients in float64 that both are held against.
        arguments: of the script, between form and folder.
        environment: variables of the processes, beside those of this one.
    """
    ours, usual = forms
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for form in (ours, usual):
            command = [sys.executable, script, form, *arguments, name]
            subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {}))
        reports = {form: json.loads((folder / f"{form}.json").read_text()) for form in (ours, usual)}
        results = {form: torch.load(folder / f"{form}.pt", weights_only=True) for form in (ours, usual)}
    gradients = {form: result["gradients"] for form, result in results.items()} | {"float64": exact}

    def error(one: str, other: str) -> float:
        """Largest error of any gradient over that gradient's largest entry."""
        triples = zip(gradients[one], gradients[other], exact, strict=True)
        return max(((a - b).abs().max() / c.abs().max()).item() for a, b, c in triples)

    memory = {form: report["peak_mib_over_baseline"] for form, report in reports.items()}
    return {
        **reports,
        "times_faster_best": reports[usual]["seconds_best"] / reports[ours]["seconds_best"],
        "times_faster_median": reports[usual]["seconds_median"] / reports[ours]["seconds_median"],
        "memory_ratio": memory[ours] / memory[usual],
        "values": {form: result["value"].item() for form, result in results.items()},
        "gradient_difference_over_largest": {
            f"{one}_{other}": error(one, other) for one, other in ((ours, usual), (ours, "float64"), (usual, "float64"))
        },
    }


def write(result: Path, report: Mapping[str, Any]) -> None:
    """Keep and print a report with what it was read on."""
    content = {
        **report,
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads": 1, "system": platform.platform()},
        "software": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": code_version()["commit"],
    }
    result.write_text(json.dumps(content, indent=2) + "\n")
    print(result.read_text())


def _memory_mib(field: str) -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1024
