"""Killed while it trains, killed between two runs, and started twice at once: nothing is lost, nothing done twice."""

import signal
import subprocess
import sys
import time

import pytest

from pointillist.benchmark.results import read_result
from pointillist.benchmark.runner import run_jobs
from pointillist.runtime.events import read_events
from tests.benchmark.suites import MACHINE, small_jobs, suite_file
from tests.patience import PATIENCE_S

CHANGES = {"methods": ["pce", "entropy_min"], "iterations": 60, "checkpoint_every": 5}
PROGRAM = "import typer; from pointillist.cli.benchmark import benchmark; typer.run(benchmark)"


@pytest.fixture
def start(tmp_path):
    """Starts the program on a suite of two runs; what still runs at the end is killed."""
    path = suite_file(tmp_path, **CHANGES)
    command = [sys.executable, "-c", PROGRAM, str(path), str(tmp_path / "out"), "--threads", "1"]
    command += ["--precision", "32-true", "--device", "cpu"]
    started = []

    def starter():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield starter
    for process in started:
        process.kill()
        process.communicate()


def kill_when(process, ready):
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def kinds(job):
    return [event["event"] for event in read_events(job.folder / "events.jsonl")]


@pytest.mark.slow
def test_killed_twice_and_resumed(tmp_path, start):
    first, second = small_jobs(tmp_path, **CHANGES)
    kill_when(start(), lambda: first.steps_saved >= 10)
    assert (first.state, second.state) == ("partly", "to do")
    assert first.claim.exists()
    kill_when(start(), first.result.exists)
    finished = first.result.read_bytes(), (first.folder / "events.jsonl").read_bytes()
    last = start()
    out, err = last.communicate(timeout=PATIENCE_S)
    assert last.returncode == 0, err
    assert "1 done, 1 kept" in out
    assert (first.result.read_bytes(), (first.folder / "events.jsonl").read_bytes()) == finished
    assert (kinds(first).count("start"), kinds(first).count("resume"), kinds(first).count("end")) == (1, 1, 1)
    assert kinds(second).count("end") == 1
    assert read_result(first.result)["cost"]["processes"] == 2
    unbroken = tmp_path / "unbroken"
    unbroken.mkdir()
    jobs = small_jobs(unbroken, **CHANGES)
    run_jobs(jobs, None, MACHINE)
    for job, again in zip((first, second), jobs, strict=True):
        assert read_result(job.result)["readings"] == read_result(again.result)["readings"]


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path, start):
    jobs = small_jobs(tmp_path, **CHANGES)
    processes = [start(), start()]
    outputs = [process.communicate(timeout=PATIENCE_S) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    for job in jobs:
        assert job.state == "done"
        assert (kinds(job).count("start"), kinds(job).count("end")) == (1, 1)
    assert len([path for path in (tmp_path / "out" / "datasets").iterdir() if path.is_dir()]) == 1
