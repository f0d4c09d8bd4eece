"""What every handler of the server may use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request

from pointillist.app.answers import LOG, error_fields, storage_error
from pointillist.app.classes import colours_of, was_named
from pointillist.app.events import Events
from pointillist.app.hints import hints
from pointillist.app.places import base_path, cache_folder, image_path, key_of, log_path, thumbnail_path
from pointillist.app.planes import Planes
from pointillist.app.security import Door
from pointillist.app.store import Store
from pointillist.app.workers import SOMETIME, URGENT, Worker
from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.writers import write_json
from pointillist.errors import PointillistError

_SCAN = 4


@dataclass
class Context:
    """What every handler of the server may use.

    Attributes:
        dataset: that is annotated.
        door: address and token of the server.
        runs: folder of the training runs.
        run: id of the run that is shown first, if one was named.
        author: who draws, noted in the strokes.
        cache: folder of what can be made again: decoded images, summaries, thumbnails.
        events: what pages are told.
        pictures: the worker that decodes images.
        marks: the worker that writes label files.
        store: the marks.
    """

    dataset: Dataset
    door: Door
    runs: Path
    run: str | None = None
    author: str | None = None
    cache: Path = field(init=False)
    events: Events = field(default_factory=Events)
    pictures: Worker = field(init=False)
    marks: Worker = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.cache = cache_folder(self.dataset.root)
        self.pictures, self.marks = Worker(self.dataset.root), Worker(self.dataset.root)
        self.store = Store(self.dataset, self.marks, self.events)
        self.store.on_change = self._on_change
        self._colours, self._named = colours_of(self.dataset), was_named(self.dataset)
        self._summaries: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Save marks and look through the cases, until the server ends; then everything that was drawn is saved."""
        self._summaries, self._keys = _read_index(self.cache)
        self.store.recover()
        saving, self._scanning = asyncio.create_task(self.store.keep_saving()), asyncio.create_task(self._scan())
        warming = [asyncio.create_task(worker.do("warm_up")) for worker in (self.pictures, self.marks)]
        try:
            yield
        finally:
            self.events.close()
            tasks = [saving, self._scanning, *warming]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                await self.store.flush()
            except (PointillistError, OSError) as error:
                LOG.error("what was drawn last is in the log, and is saved at the next start: %s", error)
            self._write_index()
            await self.pictures.close()
            await self.marks.close()

    async def planes(self, case: Case, *, urgency: int = URGENT) -> Planes:
        """The decoded image of a case."""
        return await self._prepared("prepare_image", case, urgency)

    async def base(self, case: Case) -> Planes:
        """What lies under the strokes of a case, decoded."""
        return await self._prepared("prepare_base", case, URGENT)

    async def geometry(self, case: Case) -> tuple[tuple[int, ...], int | None]:
        """Shape and slice axis of a case's image.

        Raises:
            PointillistError: if the case cannot be read.
        """
        if "shape" not in self._summaries.get(case.id, {}):
            await self.look_again([case.id])
        known = self._summaries[case.id]
        if "error" in known:
            fields = dict(known["error"])
            raise PointillistError(fields.pop("what"), **fields)
        return tuple(known["shape"]), known["slice_axis"]

    def summary(self, case_id: str) -> dict[str, Any]:
        """What the list of cases shows of one; fields that are not known yet are null."""
        unknown: dict[str, Any] = {"id": case_id, "shape": None, "slice_axis": None, "spacing": None, "marked": None}
        unknown |= {"marked_slices": None, "strokes": None, "seconds": 0, "done": False}
        shown = unknown | self._summaries.get(case_id, {})
        state = self.store.loaded_state(case_id)
        if state is not None:
            count = len(state.active)
            shown |= {"strokes": count, "seconds": round(state.seconds, 1), "done": state.done}
            shown["marked"] = shown["marked"] or count > 0
        return {name: value for name, value in shown.items() if name not in ("health", "base_slices")}

    def health(self, case_id: str) -> dict[str, Any] | None:
        """The marks of a case counted, as they were saved last."""
        health: dict[str, Any] | None = self._summaries.get(case_id, {}).get("health")
        return health

    @property
    def colours(self) -> tuple[str, ...]:
        """One ``#rrggbb`` a class: chosen in the page, or the dataset's own."""
        return self._colours

    def has_base(self, case: Case) -> bool:
        """Whether there is anything under the strokes of a case."""
        if case.base.exists():
            return True
        health = self.health(case.id)
        return not case.marks.exists() and (health is None or any(health["marked"]))

    def base_slices(self, case_id: str) -> list[int]:
        """Slices that hold marks under the strokes, as they were saved last."""
        slices: list[int] = self._summaries.get(case_id, {}).get("base_slices", [])
        return slices

    @property
    def is_fresh(self) -> bool:
        """Whether a folder became this dataset and nobody has named its classes yet, or marked anything."""
        unmarked = not any(one.get("marked") for one in self._summaries.values())
        return unmarked and self.dataset.spec.classes == ("background", "object") and not self._named

    def reopen(self) -> None:
        """Read the dataset's description again, here and in the workers."""
        self.dataset = Dataset.open(self.dataset.root)
        self.store.use(self.dataset)
        self._colours, self._named = colours_of(self.dataset), was_named(self.dataset)
        self.pictures.forget()
        self.marks.forget()
        self.scan_soon()

    def scan_soon(self) -> None:
        """Look again through the cases whose files changed."""
        self._scanning.cancel()
        self._scanning = asyncio.create_task(self._scan())

    async def look_again(self, cases: Iterable[str]) -> None:
        """Look at cases whose files changed before this returns."""
        for case_id in cases:
            self._learn(*await self.pictures.do("scan", cases=[case_id]))
            self.events.publish("case", self.summary(case_id))

    def hints(self, case_id: str) -> list[dict[str, Any]]:
        """What would help the marks of a case."""
        names = self.dataset.spec.classes
        known = [one["health"]["marked"] for one in self._summaries.values() if "health" in one]
        others = [any(place < len(marked) and marked[place] for marked in known) for place in range(len(names))]
        return hints(self.health(case_id), names, others)

    async def thumbnail(self, case: Case) -> Path:
        """The small picture of a case."""
        path = thumbnail_path(self.cache, case)
        if not path.exists():
            await self.pictures.do("thumbnail", urgency=SOMETIME, case=case.id, cache=str(self.cache))
        return thumbnail_path(self.cache, case)

    async def _prepared(self, task: str, case: Case, urgency: int) -> Planes:
        where = image_path if task == "prepare_image" else base_path
        planes = Planes.read(where(self.cache, case))
        if planes is None:
            await self.pictures.do(task, urgency=urgency, case=case.id, cache=str(self.cache))
            planes = Planes.read(where(self.cache, case))
        if planes is None:
            raise PointillistError(
                "a decoded image is gone",
                where=self.cache,
                expected=f"the image of {case.id}",
                received="nothing",
                todo="reload the page; see that the disk has room",
            )
        return planes

    def _on_change(self, case_id: str, saved: dict[str, Any] | None) -> None:
        if saved is not None:
            self._learn(saved)
        self.events.publish("case", self.summary(case_id))

    def _learn(self, summary: dict[str, Any]) -> None:
        case = self.store.case(summary["id"])
        self._summaries[case.id] = summary
        self._keys[case.id] = self._key(case)

    def _key(self, case: Case) -> str:
        files = (case.sparse, case.marks, case.base, log_path(self.dataset.root, case.id))
        return key_of(*(path for path in files if path is not None))

    async def _scan(self) -> None:
        """Look through the cases that are not known, or whose files changed."""
        changed = [case.id for case in self.store.cases if self._keys.get(case.id) != self._key(case)]
        for first in range(0, len(changed), _SCAN):
            for summary in await self._scanned(changed[first : first + _SCAN]):
                self._learn(summary)
                self.events.publish("case", self.summary(summary["id"]))
        self._write_index()

    async def _scanned(self, cases: list[str]) -> list[dict[str, Any]]:
        try:
            summaries: list[dict[str, Any]] = await self.pictures.do("scan", urgency=SOMETIME, cases=cases)
        except (PointillistError, OSError) as error:  # the worker died over one of them: which?
            if len(cases) > 1:
                return [summary for one in cases for summary in await self._scanned([one])]
            named = storage_error(error)[1] if isinstance(error, OSError) else error
            LOG.error("%s: %s", cases[0], str(named).replace("\n", ";"))
            return [{"id": cases[0], "error": error_fields(named)}]
        return summaries

    def _write_index(self) -> None:
        with suppress(OSError):  # it is made again
            write_json(self.cache / "index.json", {"summaries": self._summaries, "keys": self._keys})


def context_of(request: Request) -> Context:
    """The context of the server that a request came to."""
    context: Context = request.app.state.context
    return context


def _read_index(cache: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    try:
        content = json.loads((cache / "index.json").read_bytes())
        return dict(content["summaries"]), dict(content["keys"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}
