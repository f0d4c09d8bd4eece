"""One job, in a process group of its own: train, predict the training cases, and say where to click next.

It needs no server: started by one, it goes on when that ends, and the next one finds it by its lock. Everything it does
goes through the command line. Run: python -m pointillist.app.job RUN
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

from pointillist.app.lock import take
from pointillist.app.runs import END, LOCK, PREDICTIONS, REQUEST, SUGGESTIONS, Run, tail
from pointillist.app.suggesting import write_suggestions
from pointillist.data.dataset import Dataset
from pointillist.data.writers import write_json
from pointillist.errors import PointillistError

_NICE = 5


class Job:
    """What is to be done in a run's folder.

    Args:
        run: with ``job.json``.
        lock: descriptor of the lock, handed down so that the run counts as running while any of its processes lives.
    """

    def __init__(self, run: Path, lock: int) -> None:
        self._run, self._lock = run, lock
        self._request: dict[str, Any] = json.loads((run / REQUEST).read_bytes())
        self._child: subprocess.Popen[bytes] | None = None
        self._asked_to_stop = Event()

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        """Have the command that runs save and end, and begin no other."""
        self._asked_to_stop.set()
        if self._child is not None:
            self._child.terminate()

    def do(self) -> dict[str, Any]:
        """Do what is left to do; how it ended."""
        dataset = Path(self._request["dataset"])
        predict = ["predict", self._run, dataset / "imagesTr", self._run / PREDICTIONS, "--uncertainty"]
        for command in [predict] if Run(self._run).trained else [self._training(dataset), predict]:
            code = self._call(command)
            if self._asked_to_stop.is_set():
                return {"state": "stopped"}
            if code != 0:
                return {"state": "failed", "error": _said(self._run, code)}
        try:
            predictions = self._run / PREDICTIONS
            write_suggestions(Dataset.open(dataset), predictions=predictions, target=predictions / SUGGESTIONS)
        except PointillistError as error:
            return {"state": "failed", "error": str(error)}
        return {"state": "done"}

    def _training(self, dataset: Path) -> list[Any]:
        if (self._run / "run.json").is_file():
            return ["train", dataset, self._run, "--resume"]
        return ["train", dataset, self._run, *self._request["arguments"]]

    def _call(self, command: list[Any]) -> int:
        if self._asked_to_stop.is_set():
            return 1
        line = [sys.executable, "-m", "pointillist", *map(str, command)]
        self._child = subprocess.Popen(line, stdin=subprocess.DEVNULL, pass_fds=[self._lock])  # noqa: S603 - ours
        if self._asked_to_stop.is_set():  # asked while it started
            self._child.terminate()
        return self._child.wait()


def _said(run: Path, code: int) -> str:
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}; the machine may be short of memory"
    return tail(run / "job.log")


def main(run: Path) -> None:
    """Do a run's job, unless somebody does already."""
    lock = take(run / LOCK)
    if lock is None:
        return
    if hasattr(os, "nice"):
        os.nice(_NICE)  # whoever draws goes first
    job = Job(run, lock)
    signal.signal(signal.SIGTERM, job.stop)
    signal.signal(signal.SIGINT, job.stop)
    (run / END).unlink(missing_ok=True)
    end: dict[str, Any] = {"state": "failed", "error": "the job made a mistake; its log says which"}
    try:
        end = job.do()
    finally:
        write_json(run / END, end)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
