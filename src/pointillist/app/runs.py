"""Training runs as the page sees them, from what their folders hold: nothing is known that a restart could lose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pointillist.app.lock import held
from pointillist.runtime.events import EventReader

REQUEST, END, LOCK, LOG = "job.json", "job.end.json", "job.lock", "job.log"
PREDICTIONS, SUGGESTIONS = "predictions", "suggestions.json"
_MOST_POINTS = 600
_TAIL_BYTES = 4000


@dataclass
class Run:
    """One run, read again whenever it is asked for; of its event log only what came since.

    Args:
        folder: of the run; its name is the run's id.
        starting: whether its process is on its way, and does not hold the lock yet.
    """

    folder: Path
    starting: bool = False
    losses: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    validation: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events = EventReader(self.folder / "events.jsonl")
        self._step, self._ended = 0, False
        self._left: float | None = None

    @property
    def id(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def running(self) -> bool:
        """Whether a process works on it."""
        return self.starting or held(self.folder / LOCK)

    @property
    def trained(self) -> bool:
        """Whether its last training came to its end and its model is written."""
        self._read()
        return self._ended and (self.folder / "model.json").is_file()

    @property
    def predictions(self) -> Path:
        """Folder of what it predicts."""
        return self.folder / PREDICTIONS

    def summary(self) -> dict[str, Any]:
        """How the run is doing, without its curves."""
        running = self.running  # before what it wrote is read, so that no last word is missed
        trained = self.trained
        plan = _json(self.folder / "run.json").get("plan", {})
        request, end = _json(self.folder / REQUEST), _json(self.folder / END)
        state, error = self._state(running, trained, end)
        return {
            "id": self.id,
            "method": plan.get("method") or request.get("method"),
            "settings": plan.get("settings") or request.get("settings") or {},
            "minutes": plan.get("minutes", request.get("minutes")),
            "init": request.get("init"),
            "state": state,
            "stage": _stage(trained, plan) if running else None,
            "step": plan.get("iterations") if trained else self._step,
            "steps": plan.get("iterations"),
            "seconds_left": self._left if running and not trained else None,
            "predicted": (self.predictions / SUGGESTIONS).is_file(),
            "error": error,
        }

    def detail(self) -> dict[str, Any]:
        """The same, with losses by term and validation on held-out marks, ``[[step, value], …]`` each."""
        return self.summary() | {"losses": self.losses, "validation": self.validation}

    def _state(self, running: bool, trained: bool, end: dict[str, Any]) -> tuple[str, str | None]:
        if running:
            return "running", None
        if end.get("state") == "failed":
            return "failed", end.get("error") or tail(self.folder / LOG)
        if end.get("state") == "done" or (not (self.folder / REQUEST).exists() and trained):
            return "done", None
        return "stopped", None

    def _read(self) -> None:
        for event in self._events.new():
            kind = event["event"]
            if kind == "step":
                self._step, self._left = event["step"], event["seconds_left"]
                for name, value in event["terms"].items():
                    _append(self.losses.setdefault(name, []), event["step"], value)
            elif kind == "validation":
                _append(self.validation, event["step"], event["partial_ce"])
            elif kind == "resume":  # steps after the checkpoint are made anew
                self._step = event["step"]
                for curve in (self.validation, *self.losses.values()):
                    curve[:] = [point for point in curve if point[0] <= event["step"]]
            self._ended = kind == "model" or (self._ended and kind not in ("start", "resume"))


def runs_in(folder: Path) -> Iterator[Path]:
    """Folders of runs, the oldest first."""
    found = [path for path in folder.iterdir() if is_run(path)] if folder.is_dir() else []
    yield from sorted(found, key=lambda path: ((path / REQUEST).exists(), path.name))


def is_run(path: Path) -> bool:
    """Whether a folder holds a run, one that was asked for among them; links do not count."""
    return not path.is_symlink() and any((path / name).is_file() for name in (REQUEST, "run.json"))


def tail(path: Path) -> str:
    """The last error message of a log, else its last lines."""
    if not path.exists():
        return "the run left no word"
    text = path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    _, found, message = text.rpartition("error: ")
    return message.strip() if found else "\n".join(text.strip().splitlines()[-5:])


def _stage(trained: bool, plan: dict[str, Any]) -> str:
    return "predicting" if trained else "training" if plan else "preparing"


def _append(curve: list[tuple[int, float]], step: int, value: float) -> None:
    """Add a point; every other one goes when there are too many to draw."""
    curve.append((step, round(value, 5)))
    if len(curve) > _MOST_POINTS:
        curve[:] = curve[::2]  # an odd number: both ends stay


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
