"""How long the runs that are left will take: from finished ones on this machine, else from a few steps of each."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pointillist.benchmark.jobs import Job, Machine, State
from pointillist.benchmark.provenance import hardware
from pointillist.benchmark.results import read_result
from pointillist.benchmark.sources import prepared_path
from pointillist.data.batch import Batch, MarkPoints
from pointillist.data.dataset import Dataset
from pointillist.errors import InputError
from pointillist.methods import build_method
from pointillist.nets.registry import build_net
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.train.pace import seconds_a_step
from pointillist.types import IGNORE


@dataclass(frozen=True)
class Estimate:
    """What one run is expected to take from here.

    Attributes:
        job: the run.
        state: how far it is.
        hours: left; None where nothing is known.
        basis: ``finished runs`` (training and evaluation), ``timed`` (training alone, from a few steps on made-up
            images), or empty for a run that is done or recorded.
    """

    job: Job
    state: State
    hours: float | None
    basis: str


def estimates(
    jobs: Sequence[Job], data: Path | None, machine: Machine, *, record: Path | None = None
) -> list[Estimate]:
    """What every run is expected to take.

    Args:
        jobs: of one suite and folder.
        data: the folder of raw data; not needed if the suite's importer knows its classes.
        machine: what would be computed on.
        record: a folder of recorded results, which are not to be had again where the data are the same.
    """
    measured = {entry.label: _measured(jobs[0], entry.label, machine) for entry in jobs[0].suite.methods}
    spec = _task(jobs[0], data)
    timed: dict[str, float] = {}
    found = []
    for job in jobs:
        label, state = job.entry.label, job.state
        if state != "done" and job.recorded(record):
            state = "recorded"
        left = 1 - job.steps_saved / job.suite.iterations
        seconds = measured[label]
        if state in ("done", "recorded"):
            found.append(Estimate(job, state, 0.0, ""))
        elif seconds is not None:
            training, evaluation = seconds
            hours = (training * job.suite.iterations * left + evaluation) / 3600
            found.append(Estimate(job, state, hours, "finished runs"))
        elif spec is None:
            found.append(Estimate(job, state, None, "unknown until the data is imported"))
        else:
            if label not in timed:
                timed[label] = _seconds_a_step(job, spec, machine)
            found.append(Estimate(job, state, timed[label] * job.suite.iterations * left / 3600, "timed"))
    return found


def _measured(job: Job, label: str, machine: Machine) -> tuple[float, float] | None:
    """Medians of seconds a step, and of seconds of evaluation, over finished runs on this hardware."""
    here = hardware(machine.device, machine.precision, machine.threads)
    paths = sorted((job.out / "results" / job.suite.name / label).glob("*.json"))
    results = [result for result in map(read_result, paths) if result["hardware"] == here]
    costs = [result["cost"] for result in results if result["cost"]["seconds_per_iteration"] is not None]
    if not costs:
        return None
    training = statistics.median(cost["seconds_per_iteration"] for cost in costs)
    return training, 60 * statistics.median(cost["evaluation_minutes"] for cost in costs)


def _task(job: Job, data: Path | None) -> TaskSpec | None:
    """Classes and channels: of the prepared dataset where there is one, else those that the importer always gives."""
    source = job.source
    try:
        path = prepared_path(source, data, job.out / "datasets")
    except InputError:
        return source.spec
    return Dataset.open(path).spec if (path / "dataset.json").is_file() else source.spec


def _seconds_a_step(job: Job, spec: TaskSpec, machine: Machine) -> float:
    """Median time of a step half-way through the run, on random images and sparse random labels, without loading."""
    torch.set_num_threads(machine.threads)
    torch.manual_seed(0)
    shape = (job.batch, job.suite.size, job.suite.size)
    net = build_net(job.net, len(spec.channels), len(spec.classes))
    method = build_method(job.entry.name, net, spec, job.entry.settings)
    label = torch.randint(len(spec.classes), shape).masked_fill(torch.rand(shape) > 0.01, IGNORE)
    label[:, 0, 0] = 0
    nothing = torch.zeros(0, dtype=torch.int64)
    batch = Batch(
        torch.rand(shape[0], len(spec.channels), *shape[1:]),
        label,
        torch.ones(shape, dtype=torch.bool),
        MarkPoints(nothing, torch.zeros(0, 2), nothing, nothing),
        tuple(map(str, range(job.batch))),
        torch.full((shape[0], len(spec.classes), *shape[1:]), 1 / len(spec.classes)),
        torch.ones(shape),
    )
    clock = Clock(job.seed, job.suite.iterations // 2, 0, job.suite.iterations)
    return seconds_a_step(
        method, job.recipe, lambda _: batch, device=machine.device, precision=machine.precision, clock=clock
    )
