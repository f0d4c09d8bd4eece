"""The runner: every run of a suite, once, whatever stops it in between."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pointillist.benchmark.claims import claim, claim_when_free
from pointillist.benchmark.jobs import BEGIN, Job, Machine
from pointillist.benchmark.measure import Wanted, cache_of, headline, measure, measure_kept
from pointillist.benchmark.provenance import PeakMemory, code_version
from pointillist.benchmark.record import cost_of, names_of, result_of
from pointillist.benchmark.results import read_result, write_result
from pointillist.benchmark.sources import AnySource, prepare
from pointillist.data.cache.slices import SliceCache
from pointillist.data.dataset import Dataset
from pointillist.data.writers import atomic_write_bytes
from pointillist.errors import PointillistError
from pointillist.predict.model import DESCRIPTION
from pointillist.runtime.events import EventLog, read_events
from pointillist.train.plan import Plan, read_plan
from pointillist.train.run import resume, train
from pointillist.train.trainer import Stopped

Outcome = Literal["done", "kept", "failed", "elsewhere"]


@dataclass(frozen=True)
class Tally:
    """What became of the runs.

    Attributes:
        done: finished now.
        kept: finished earlier.
        failed: whose error was recorded.
        elsewhere: that another process is working on.
    """

    done: tuple[Job, ...]
    kept: tuple[Job, ...]
    failed: tuple[Job, ...]
    elsewhere: tuple[Job, ...]


def run_jobs(
    jobs: Sequence[Job],
    data: Path | None,
    machine: Machine,
    *,
    record: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Tally:
    """Bring every run to its end: train, predict, evaluate twice, record.

    What is finished is kept, here or in the record; what was begun goes on from its last checkpoint, what another
    process works on is left to it, and a run that fails leaves the others alone.

    Args:
        jobs: of one suite and folder.
        data: the folder of raw data.
        machine: what to compute on; a run that goes on keeps what it began with.
        record: a folder that results files are copied to besides, with the suite's words of now, as
            ``SUITE/METHOD-fold1-seed1.json``. A result that lies there, in whatever suite, of the same run on the same
            data, is taken from it, without predictions.
        say: called with a line whenever a run starts or ends.

    Raises:
        InputError: before anything runs, if the data is missing or a run was begun with another version of the suite.
        PointillistError: if the dataset cannot be prepared.
        Stopped: when asked to stop; the same call goes on.
    """
    for job in jobs:
        job.check_unchanged()
    datasets = {
        source: prepared(source, jobs[0].out, data).root for source in dict.fromkeys(job.source for job in jobs)
    }
    runner = _Runner(datasets, machine, record, time.time(), say)
    found: dict[Outcome, list[Job]] = {"done": [], "kept": [], "failed": [], "elsewhere": []}
    for number, job in enumerate(jobs, start=1):
        outcome = runner.one(job, f"[{number}/{len(jobs)}] {job.title}")
        found[outcome].append(job)
        if record is not None and outcome in ("done", "kept"):
            write_result(record / job.suite.name / job.kept_as, read_result(job.result) | names_of(job))
    return Tally(**{outcome: tuple(those) for outcome, those in found.items()})


def prepared(source: AnySource, out: Path, data: Path | None) -> Dataset:
    """A dataset of a suite, imported and marked once for all processes.

    Args:
        source: where it comes from.
        out: the folder of the benchmark.
        data: the folder of raw data.
    """
    with claim_when_free(out / "datasets" / "preparing.claim"):
        return prepare(source, data, out / "datasets")


@dataclass(frozen=True)
class _Runner:
    datasets: Mapping[AnySource, Path]
    machine: Machine
    record: Path | None
    began: float
    say: Callable[[str], None]

    def one(self, job: Job, title: str) -> Outcome:
        if job.result.exists():
            return "kept"
        with claim(job.claim) as held:
            if not held:
                self.say(f"{title}: another process is working on it")
                return "elsewhere"
            if job.result.exists() or self._taken_from_record(job, title):
                return "kept"
            if job.failure.exists() and job.failure.stat().st_mtime >= self.began:
                return "failed"  # in another process, since this one began
            return self._attempt(job, title)

    def _taken_from_record(self, job: Job, title: str) -> bool:
        paths = job.recorded(self.record)
        if not paths:
            return False
        key = self._cache(job, job.plan(self.datasets[job.source], self.machine)).key
        for path in paths:
            known = read_result(path)
            if known["data"]["hash"] == key:
                write_result(job.result, known | names_of(job))
                self.say(f"{title}: as recorded, commit {str(known['code']['commit'])[:8]}, {path}")
                return True
        self.say(f"{title}: {paths[0]} is of other data")
        return False

    def _cache(self, job: Job, plan: Plan) -> SliceCache:
        """The training cache, made once and not by every process at the same time."""
        dataset = Path(plan.dataset)
        with claim_when_free(job.out / "datasets" / f"{dataset.name}.claim"):
            return cache_of(plan, Dataset.open(dataset))

    def _attempt(self, job: Job, title: str) -> Outcome:
        step = job.steps_saved
        self.say(f"{title}: goes on from step {step}" if step else f"{title}: starts")
        try:
            self._work(job)
        except Stopped:
            raise
        except Exception as error:
            known = isinstance(error, PointillistError)
            text = str(error) if known else traceback.format_exc()
            atomic_write_bytes(job.failure, (text + "\n").encode(errors="backslashreplace"))
            self.say(f"{title}: failed, see {job.failure}\n  {str(error).replace(chr(10), chr(10) + '  ')}")
            return "failed"
        job.failure.unlink(missing_ok=True)
        self.say(f"{title}: {_line(job)}")
        return "done"

    def _work(self, job: Job) -> None:
        memory = PeakMemory()
        with EventLog(job.folder / "events.jsonl") as log:
            log.write(BEGIN, fingerprint=job.fingerprint, code=code_version())
        started = (job.folder / "run.json").exists()
        dataset = self.datasets[job.source]
        plan = read_plan(job.folder) if started else job.plan(dataset, self.machine)
        self._cache(job, plan)
        if not started:
            train(plan, job.folder)
        elif not (job.folder / DESCRIPTION).exists():
            resume(job.folder)
        began = time.monotonic()
        readings = measure(job.folder, plan, Wanted(job.suite.instances, job.suite.regions, job.suite.border))
        kept = measure_kept(job.folder, plan)
        minutes = (time.monotonic() - began) / 60
        result = result_of(job, plan, readings, kept, evaluation_minutes=minutes, peak_memory_mb=memory.read())
        write_result(job.result, result)


def _line(job: Job) -> str:
    readings = read_result(job.result)["readings"]
    scores = ((name, headline(reading)) for name, reading in readings.items())
    said = ", ".join(f"{name} –" if score is None else f"{name} {score:.3f}" for name, score in scores)
    minutes = cost_of(read_events(job.folder / "events.jsonl"))["train_minutes"]
    return f"DSC {said}; trained in {minutes:.1f} min"
