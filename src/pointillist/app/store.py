"""The marks of every case: kept in logs as they come, written to marks/ and labelsTr soon after."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread

from pointillist.app.answers import LOG, error_fields, missing, server_mistake, storage_error
from pointillist.app.events import Events
from pointillist.app.log import LogFile, new_log, read_log
from pointillist.app.ops import Batch, Draw, Op, check_stroke
from pointillist.app.places import log_folder, log_path, read_saved
from pointillist.app.state import CaseState
from pointillist.app.workers import Worker
from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.errors import PointillistError

_SAVE_AFTER_SECONDS = 1.0
_REST = 3.0  # saving takes at most a quarter of the time
_MOST_LOADED = 32
_RETRY_SECONDS = 5.0


@dataclass
class _Loaded:
    """A case in memory.

    Attributes:
        state: its marks.
        log: where they are appended; it exists once something was drawn.
        lock: held while something is appended, or the log replaced.
        has_log: whether the log exists.
        gone: whether it is no longer the one in memory.
    """

    state: CaseState
    log: LogFile
    has_log: bool
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    gone: bool = False


class Store:
    """The marks of a dataset.

    Args:
        dataset: whose marks.
        worker: writes the label files.
        events: where changes are told.
    """

    def __init__(
        self,
        dataset: Dataset,
        worker: Worker,
        events: Events,
    ) -> None:
        self._dataset, self._worker, self._events = dataset, worker, events
        self._cases = {case.id: case for case in dataset.training}
        self._loaded: dict[str, _Loaded] = {}
        self._loading = asyncio.Lock()
        self._due: dict[str, float] = {}
        self._saving = asyncio.Lock()
        self._failing: set[str] = set()
        self._wake = asyncio.Event()
        self.on_change: Callable[[str, dict[str, Any] | None], None] = lambda *_: None
        """Called with a case that was drawn on, and with what its files hold where they were saved."""

    def case(self, case_id: str) -> Case:
        """A training case.

        Raises:
            Refused: if there is none (404).
        """
        if case_id not in self._cases:
            raise missing("the dataset has no such case", self._dataset.root, case_id[:100])
        return self._cases[case_id]

    @property
    def cases(self) -> Iterable[Case]:
        """Training cases, in order."""
        return self._cases.values()

    def use(self, dataset: Dataset) -> None:
        """Go on with the dataset as it is described now."""
        self._dataset = dataset
        self._cases = {case.id: case for case in dataset.training}

    async def state(self, case_id: str) -> CaseState:
        """The marks of a case."""
        return (await self._load(case_id)).state

    def loaded_state(self, case_id: str) -> CaseState | None:
        """The marks of a case if they are in memory."""
        return self._loaded[case_id].state if case_id in self._loaded else None

    async def apply(self, case_id: str, batch: Batch, shape: tuple[int, ...], slice_axis: int | None) -> int:
        """Keep operations: they are on the disk when this returns.

        Args:
            case_id: on which case.
            batch: what was done.
            shape: spatial shape of its image.
            slice_axis: of a volume.

        Returns:
            The revision.

        Raises:
            PointillistError: if one of them cannot be; none is kept then.
            OSError: if the disk does not take them; none is kept then.
        """
        classes = len(self._dataset.spec.classes)
        async with self._held(case_id) as loaded:
            state = loaded.state
            new = list({op.id: op for op in batch.ops if op.id not in state.applied}.values())
            for op in new:
                if isinstance(op, Draw):
                    check_stroke(op.stroke, shape, slice_axis, classes, case_id)
            if new:
                await anyio.to_thread.run_sync(self._append, case_id, loaded, new)
                for op in new:
                    state.apply(op)
                self._tell(case_id, state.revision, new)
            return state.revision

    async def flush(self, cases: Iterable[str] | None = None) -> None:
        """Write marks/ and labelsTr of what was drawn.

        Args:
            cases: these alone; None: all.

        Raises:
            PointillistError, OSError: what keeps them from being written.
        """
        for case_id in list(self._due if cases is None else cases):
            if case_id in self._due:
                await self.save(case_id)

    async def save(self, case_id: str) -> None:
        """Write marks/ and labelsTr of a case, or take over what another program made of them."""
        async with self._saving:
            due = self._due.pop(case_id, None)
            try:
                result = await self._worker.do("save", case=case_id)
                if "changed" in result:
                    await self._adopt(case_id)
                    result = await self._worker.do("save", case=case_id)
            except BaseException:
                self._due[case_id] = time.monotonic() + _RETRY_SECONDS if due is None else due
                raise
        if result.get("edited"):
            self._notice(case_id, "labelsTr was edited by another program and is now the base under the strokes")
        self.on_change(case_id, result["summary"])

    async def refresh(self, case_id: str) -> None:
        """Look whether another program changed the files of a case."""
        if log_path(self._dataset.root, case_id).exists():
            self._due.setdefault(case_id, 0.0)
            await self.save(case_id)
        elif case_id in self._loaded:
            async with self._held(case_id) as loaded:
                loaded.gone = not loaded.has_log
                if loaded.gone:
                    del self._loaded[case_id]

    def recover(self) -> None:
        """Have everything saved that a killed server left in logs."""
        for path in sorted(log_folder(self._dataset.root).glob("*.jsonl")):
            case_id = path.name.removesuffix(".jsonl")
            if case_id in self._cases:
                saved = read_saved(self._dataset.root, case_id)
                if saved is None or saved.writing is not None or saved.log_bytes != path.stat().st_size:
                    self._due[case_id] = 0.0
        self._wake.set()

    async def keep_saving(self) -> None:
        """Save what is due, for as long as the server runs."""
        while True:
            now = time.monotonic()
            ready = [case_id for case_id, due in self._due.items() if due <= now]
            if not ready:
                wait = min((due - now for due in self._due.values()), default=None)
                self._wake.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
                continue
            try:
                await self.save(ready[0])
            except Exception as error:  # a mistake of ours must not end the saving of all other cases either
                self._due[ready[0]] = time.monotonic() + _RETRY_SECONDS
                self._failing.add(ready[0])
                self._problem(ready[0], error)
            else:
                self._failing.discard(ready[0])
                if not self._failing:
                    self._events.relief()
            await asyncio.sleep(_REST * (time.monotonic() - now))

    async def _load(self, case_id: str) -> _Loaded:
        self.case(case_id)
        async with self._loading:
            if case_id not in self._loaded:
                loaded = await anyio.to_thread.run_sync(self._read, case_id)
                self._make_room()
                self._loaded[case_id] = loaded
            else:
                self._loaded[case_id] = self._loaded.pop(case_id)  # the least recently used comes first
            return self._loaded[case_id]

    def _read(self, case_id: str) -> _Loaded:
        path = log_path(self._dataset.root, case_id)
        if path.exists():
            return _Loaded(read_log(path), LogFile(path), has_log=True)
        marks = self._dataset.read_marks(self._cases[case_id])
        state = CaseState.from_strokes(() if marks is None else marks.strokes)
        return _Loaded(state, LogFile(path), has_log=False)

    def _make_room(self) -> None:
        for case_id in [one for one in self._loaded if one not in self._due][
            : max(0, len(self._loaded) - _MOST_LOADED)
        ]:
            if not self._loaded[case_id].lock.locked():
                self._loaded[case_id].gone = True
                self._loaded.pop(case_id).log.close()

    @asynccontextmanager
    async def _held(self, case_id: str) -> AsyncIterator[_Loaded]:
        """A case in memory that nobody else appends to."""
        while True:
            loaded = await self._load(case_id)
            async with loaded.lock:
                if not loaded.gone:
                    yield loaded
                    return

    def _append(self, case_id: str, loaded: _Loaded, ops: list[Op]) -> None:
        if not loaded.has_log:
            new_log(log_path(self._dataset.root, case_id), loaded.state)
            loaded.has_log = True
        loaded.log.append(ops)

    def _tell(self, case_id: str, revision: int, ops: list[Op]) -> None:
        content = [json.loads(op.model_dump_json(by_alias=True)) for op in ops]
        self._events.publish("ops", {"case": case_id, "revision": revision, "ops": content})
        self._due.setdefault(case_id, time.monotonic() + _SAVE_AFTER_SECONDS)
        self._wake.set()
        self.on_change(case_id, None)

    async def _adopt(self, case_id: str) -> None:
        async with self._held(case_id) as loaded:
            loaded.log.close()
            result = await self._worker.do("adopt", case=case_id)
            fresh = await anyio.to_thread.run_sync(self._read, case_id)
            loaded.state, loaded.has_log = fresh.state, fresh.has_log
        if result["archived"]:
            self._notice(case_id, f"another program changed the marks; the log before is {result['archived']}")

    def _notice(self, case_id: str, text: str) -> None:
        LOG.warning("%s: %s", case_id, text)
        self._events.publish("case", {"id": case_id, "reload": True, "notice": text})

    def _problem(self, case_id: str, error: Exception) -> None:
        if isinstance(error, OSError):
            kind, named = storage_error(error)
        elif isinstance(error, PointillistError):
            kind, named = "case", error
        else:
            LOG.error("saving %s failed", case_id, exc_info=error)
            kind, named = "case", server_mistake(error, f"case {case_id}")
        LOG.error("%s: %s", case_id, str(named).replace("\n", ";"))
        self._events.trouble({"case": case_id, **error_fields(named, kind)})
