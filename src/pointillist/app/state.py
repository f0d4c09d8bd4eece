"""The marks of one case as its operations leave them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pointillist.app.ops import Done, Draw, Op, Remove, Spent
from pointillist.data.marks import stroke_record
from pointillist.types import IGNORE, Stroke


@dataclass
class Kept:
    """One stroke: as JSON, because ten thousand of them are then a few megabytes.

    Attributes:
        data: its JSON object.
        cls: class, None for an eraser.
        active: False after it was undone.
    """

    data: bytes
    cls: int | None
    active: bool = True


@dataclass
class CaseState:
    """Everything that was done to a case.

    Attributes:
        revision: number of operations.
        strokes: by id, in drawing order, undone ones included.
        applied: ids of the operations.
        seconds: that somebody worked on it.
        done: whether it is finished.
    """

    revision: int = 0
    strokes: dict[str, Kept] = field(default_factory=dict)
    applied: set[str] = field(default_factory=set)
    seconds: float = 0.0
    done: bool = False

    def apply(self, op: Op) -> None:
        """Apply one operation, once. Ids of strokes that are not known are passed over: operations never conflict."""
        if op.id in self.applied:
            return
        self.applied.add(op.id)
        self.revision += 1
        if isinstance(op, Draw):
            data = op.stroke.model_dump_json(by_alias=True).encode()
            self.strokes.setdefault(op.stroke.id, Kept(data, op.stroke.cls))
        elif isinstance(op, Spent):
            self.seconds += op.seconds
        elif isinstance(op, Done):
            self.done = op.value
        else:
            for name in op.ids:
                if name in self.strokes:
                    self.strokes[name].active = not isinstance(op, Remove)

    @property
    def active(self) -> list[Kept]:
        """Strokes that count, in drawing order."""
        return [kept for kept in self.strokes.values() if kept.active]

    def marks(self) -> tuple[Stroke, ...]:
        """The strokes that count, as the dataset keeps them."""
        return tuple(as_stroke(json.loads(kept.data)) for kept in self.active)

    def start(self) -> dict[str, Any]:
        """The state as the first line of a log."""
        return {
            "revision": self.revision,
            "seconds": self.seconds,
            "done": self.done,
            "applied": sorted(self.applied),
            "strokes": [json.loads(kept.data) for kept in self.strokes.values()],
            "removed": [name for name, kept in self.strokes.items() if not kept.active],
        }

    @classmethod
    def from_start(cls, content: dict[str, Any]) -> CaseState:
        """The inverse of ``start``."""
        removed = set(content["removed"])
        strokes = {one["id"]: Kept(_compact(one), one["class"], one["id"] not in removed) for one in content["strokes"]}
        return cls(
            int(content["revision"]), strokes, set(content["applied"]), float(content["seconds"]), bool(content["done"])
        )

    @classmethod
    def from_strokes(cls, strokes: Iterable[Stroke]) -> CaseState:
        """The state of a case whose strokes come from its marks file; their ids are f0, f1 and so on."""
        named = zip(_numbers(()), strokes, strict=False)
        return cls(strokes={name: kept_stroke(name, stroke) for name, stroke in named})

    def adopt(self, strokes: Iterable[Stroke], names: CaseState) -> CaseState:
        """A state with other strokes, as another program left them.

        Args:
            strokes: in drawing order.
            names: a state whose strokes keep their ids, where they are among these.
        """
        known: dict[tuple[int, float, bytes], list[str]] = {}
        for name, kept in names.strokes.items():
            known.setdefault(stroke_key(as_stroke(json.loads(kept.data))), []).append(name)
        fresh = _numbers(names.strokes)
        new: dict[str, Kept] = {}
        for stroke in strokes:
            same = known.get(stroke_key(stroke))
            name = same.pop(0) if same else next(fresh)
            new[name] = kept_stroke(name, stroke)
        undone = {name: kept for name, kept in self.strokes.items() if not kept.active and name not in new}
        return CaseState(self.revision, undone | new, set(self.applied), self.seconds, self.done)


def kept_stroke(name: str, stroke: Stroke) -> Kept:
    """A stroke of a marks file under an id."""
    record = {"id": name, **stroke_record(stroke)}
    return Kept(_compact(record), record["class"])


def as_stroke(record: dict[str, Any]) -> Stroke:
    """A stroke from its JSON object."""
    return Stroke(
        IGNORE if record["class"] is None else record["class"],
        np.array(record["points"]),
        record.get("width_px", 1.0),
        record.get("author"),
        record.get("time"),
    )


def stroke_key(stroke: Stroke) -> tuple[int, float, bytes]:
    """What makes two strokes the same one: class, width and vertices."""
    return stroke.cls, stroke.width_px, stroke.points.tobytes()


def _compact(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _numbers(taken: Iterable[str]) -> Iterator[str]:
    """Ids f0, f1, … beyond those that are taken."""
    used = [int(name[1:]) for name in taken if name[:1] == "f" and name[1:].isdigit()]
    number = max(used, default=-1)
    while True:
        number += 1
        yield f"f{number}"
