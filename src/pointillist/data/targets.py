"""Soft targets that a method remembers for every slice, in generations on disk.

What is put becomes visible with the next commit and not before, so that a run which is resumed from a checkpoint sees
what the uninterrupted run saw. Processes that train together share the folder: each puts targets of its own slices,
and all commit at the same moment.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from pointillist.data.cache.container import open_container, write_container
from pointillist.errors import DamagedFileError, InputError
from pointillist.runtime.distributed import rank, world
from pointillist.types import AnyArray

_HELD = 2  # checkpoints that are kept, each of which needs its generation
_Index = dict[str, tuple[int, tuple[int, int, int]]]


class TargetStore:
    """Soft maps and a weight map for each slice, mapped from disk.

    Args:
        folder: where generations lie; made by the first ``put``.
        stored: ``float16``, or ``uint8`` for values in [0, 1] to within 1/510 in half the space.

    Attributes:
        generation: number of the generation that ``get`` reads; 0 is the empty store.
    """

    def __init__(self, folder: Path, *, stored: Literal["float16", "uint8"] = "float16") -> None:
        self._folder, self._kind = folder, np.dtype(stored)
        self.generation = 0
        self._current: dict[str, AnyArray] = {}
        self._held: list[int] = []
        self._index: _Index = {}

    def put(self, name: str, soft: Tensor, weight: Tensor) -> None:
        """Set the target of one slice, which the next ``commit`` makes visible.

        Args:
            name: the slice, as in ``pointillist.data.batch.Batch.ids``.
            soft: ``(k, h, w)`` on the cached grid.
            weight: ``(h, w)``, 0 where there is no target.

        Raises:
            InputError: if the shapes do not fit each other.
        """
        if soft.ndim != 3 or weight.shape != soft.shape[1:]:
            raise InputError(
                "a target's maps do not fit its weights",
                where=name,
                expected="soft (classes, rows, columns) and weight (rows, columns)",
                received=f"{tuple(soft.shape)} and {tuple(weight.shape)}",
                todo="give both the rows and columns of the cached slice",
            )
        maps = torch.cat([soft.detach().float(), weight.detach().float()[None]]).cpu().numpy()
        stored = np.round(np.clip(maps, 0, 1) * 255) if self._kind == np.uint8 else maps
        self._folder.mkdir(parents=True, exist_ok=True)
        earlier = self._index.get(name)
        with self._pending(rank()).open("r+b" if self._index else "wb") as spool:
            end = spool.seek(0, io.SEEK_END)
            offset = earlier[0] if earlier is not None and earlier[1] == maps.shape else end
            spool.seek(offset)
            spool.write(stored.astype(self._kind).data)
        self._index[name] = offset, (maps.shape[0], maps.shape[1], maps.shape[2])

    def get(self, ids: Sequence[str]) -> tuple[Tensor, Tensor] | None:
        """Read targets of the current generation.

        Args:
            ids: ``b`` slices.

        Returns:
            ``(b, k, h, w)`` float32 and ``(b, h, w)`` float32 weights, 0 where there is no target; slices of several
            sizes lie in the top left corner of the largest. None where none of the slices has a target.
        """
        known = {place: self._current[name] for place, name in enumerate(ids) if name in self._current}
        if not known:
            return None
        shapes = np.array([one.shape for one in known.values()])
        whole = np.zeros((len(ids), *shapes.max(axis=0)), dtype=self._kind)
        for place, one in known.items():
            whole[place, :, : one.shape[1], : one.shape[2]] = one
        maps = torch.from_numpy(whole).float()
        if self._kind == np.uint8:
            maps.mul_(1 / 255)
        return maps[:, :-1], maps[:, -1]

    def commit(self) -> int:
        """Write what was put as a new generation, complete or not at all, and read from it from now on.

        Every process of a run must call it. Generations that neither this store reads nor a kept checkpoint names are
        removed.

        Returns:
            The number of the new generation.
        """
        indices = _of_all(self._index)
        self.generation += 1
        if rank() == 0:
            self._write(indices)
        _wait()
        self._current = self._open(self.generation)
        self._index = {}
        self._pending(rank()).unlink(missing_ok=True)
        return self.generation

    def state(self) -> dict[str, int]:
        """What a checkpoint needs to restore this store exactly; the generation is kept for it."""
        self._held = [*(one for one in self._held if one != self.generation), self.generation][-_HELD:]
        return {"generation": self.generation}

    def restore(self, state: Mapping[str, int]) -> None:
        """Return to the generation of a checkpoint; what was put and not committed is dropped.

        Raises:
            InputError: if that generation is no longer there, or was stored in another kind.
            DamagedFileError: if its file is damaged.
        """
        self._current = self._open(state["generation"])
        self.generation = state["generation"]
        self._held = [self.generation]
        self._index = {}

    def _write(self, indices: Sequence[_Index]) -> None:
        maps = dict(self._current)
        for number, index in enumerate(indices):
            if index:
                spool = np.memmap(self._pending(number), np.uint8, mode="r")
                maps |= {name: _piece(spool, offset, shape, self._kind) for name, (offset, shape) in index.items()}
        names = sorted(maps)
        meta = {"kind": "targets", "stored": self._kind.name, "ids": names, "shapes": [maps[n].shape for n in names]}
        parts = [maps[name].reshape(-1) for name in names]
        write_container(self._file(self.generation), {"maps": [*parts, np.zeros(0, dtype=self._kind)]}, meta)
        keep = {self._file(number) for number in (*self._held, self.generation)}
        for path in self._folder.glob("generation-*.targets"):
            if path not in keep:
                path.unlink()

    def _open(self, generation: int) -> dict[str, AnyArray]:
        if generation == 0:
            return {}
        path = self._file(generation)
        if not path.exists():
            raise InputError(
                "there is no such generation of targets",
                where=path,
                expected="the file that the checkpoint names",
                received="nothing",
                todo="restore the file, or train anew",
            )
        content = open_container(path)
        if content.meta.get("kind") != "targets":
            raise DamagedFileError(
                "this file holds no targets",
                where=path,
                expected="targets",
                received=content.meta.get("kind"),
                todo="restore the file, or train anew",
            )
        if content.meta["stored"] != self._kind.name:
            raise InputError(
                "the targets were stored in another kind",
                where=path,
                expected=self._kind.name,
                received=content.meta["stored"],
                todo="train anew in another folder",
            )
        return _split(content.arrays["maps"], content.meta)

    def _file(self, generation: int) -> Path:
        return self._folder / f"generation-{generation:06d}.targets"

    def _pending(self, process: int) -> Path:
        return self._folder / f"pending-{process}.partial"


def _split(flat: AnyArray, meta: Mapping[str, Any]) -> dict[str, AnyArray]:
    """One view a slice of the maps that lie one after the other."""
    shapes: NDArray[np.int64] = np.array(meta["shapes"], dtype=np.int64).reshape(-1, 3)
    lengths = shapes.prod(axis=1)
    ends = np.cumsum(lengths)
    rows = zip(meta["ids"], (ends - lengths).tolist(), ends.tolist(), shapes.tolist(), strict=True)
    return {name: flat[begin:end].reshape(shape) for name, begin, end, shape in rows}


def _piece(spool: AnyArray, offset: int, shape: tuple[int, int, int], kind: np.dtype[Any]) -> AnyArray:
    end = offset + int(np.prod(shape)) * kind.itemsize
    return spool[offset:end].view(kind).reshape(shape)


def _of_all(index: _Index) -> list[_Index]:
    """The index of every process, by rank."""
    if world() == 1:
        return [index]
    found: list[_Index] = [{} for _ in range(world())]
    dist.all_gather_object(found, index)
    return found


def _wait() -> None:
    if world() > 1:
        dist.barrier()
