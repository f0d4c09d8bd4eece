"""One job, in a process group of its own: train, predict the training cases, and say where to click next.

It needs no server: started by one, it goes on when that ends, and the next one finds it by its lock. Everything it does
goes through the command line. Run: python -m pointillist.app.job RUN
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from pointillist.app.lock import take
from pointillist.app.runs import END, LOCK, PREDICTIONS, REQUEST, SUGGESTIONS, tail
from pointillist.data.dataset import Dataset
from pointillist.data.suggest import Suggestion, suggestions
from pointillist.data.writers import write_json
from pointillist.errors import PointillistError

_PLACES = 12


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
        self._asked_to_stop = False

    def stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        """Have the command that runs save and end, and begin no other."""
        self._asked_to_stop = True
        if self._child is not None:
            self._child.terminate()

    def do(self) -> dict[str, Any]:
        """Do what is left to do; how it ended."""
        dataset = Path(self._request["dataset"])
        predict = ["predict", self._run, dataset / "imagesTr", self._run / PREDICTIONS, "--uncertainty"]
        trained = (self._run / "model.json").is_file() and _finished(self._run)
        for command in ([] if trained else [self._training(dataset)]) + [predict]:
            code = self._call(command)
            if self._asked_to_stop:
                return {"state": "stopped"}
            if code != 0:
                return {"state": "failed", "error": _said(self._run, code)}
        try:
            found = list(suggestions(Dataset.open(dataset), self._run / PREDICTIONS))
        except PointillistError as error:
            return {"state": "failed", "error": str(error)}
        write_json(self._run / PREDICTIONS / SUGGESTIONS, listed(found))
        return {"state": "done"}

    def _training(self, dataset: Path) -> list[Any]:
        if (self._run / "run.json").is_file():
            return ["train", dataset, self._run, "--resume"]
        return ["train", dataset, self._run, *self._request["arguments"]]

    def _call(self, command: list[Any]) -> int:
        if self._asked_to_stop:
            return 1
        line = [sys.executable, "-m", "pointillist", *map(str, command)]
        self._child = subprocess.Popen(line, stdin=subprocess.DEVNULL, pass_fds=[self._lock])  # noqa: S603 - ours
        if self._asked_to_stop:  # asked while it started
            self._child.terminate()
        return self._child.wait()


def listed(found: list[Suggestion]) -> dict[str, Any]:
    """Suggestions as the page takes them, cases with most to gain first."""
    ranked = sorted(found, key=lambda one: -one.score)
    places = {
        one.case: [_place(asdict(place)) for place in one.places[:_PLACES]] for one in ranked if one.places
    }
    return {"cases": [{"id": one.case, "score": round(one.score, 4)} for one in ranked], "places": places}


def _place(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "row": fields["row"],
        "col": fields["column"],
        "slice": fields["slice"],
        "score": round(fields["score"], 4),
        "class": fields["cls"],
    }


def _finished(run: Path) -> bool:
    from pointillist.runtime.events import read_events

    last = ""
    for event in read_events(run / "events.jsonl"):
        last = event["event"]
    return last == "model"


def _said(run: Path, code: int) -> str:
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}; the machine may be short of memory"
    return tail(run / "job.log")


def main(run: Path) -> None:
    """Do a run's job, unless somebody does already."""
    lock = take(run / LOCK)
    if lock is None:
        return
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
