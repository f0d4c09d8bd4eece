"""What a cache is made by, and the key that says whether one on disk is still right."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pointillist.data.cache.grids import GRIDS, GridName
from pointillist.data.cache.normalise import NORMALISATIONS, NormalisationName
from pointillist.data.case import Case
from pointillist.data.compressed import read_bytes
from pointillist.data.dataset import Dataset
from pointillist.errors import InputError, nearest

FORMAT = 1
_SMALLEST, _LARGEST = 8, 8192


@dataclass(frozen=True)
class CacheSettings:
    """How slices are prepared.

    Attributes:
        size: rows and columns of a training image: the size of every cached slice, or of the crops that are drawn
            from them (``native``).
        grid: how slices get that size.
        normalisation: how intensities get to [0, 1].
        stored: ``uint8`` keeps a normalised value to within 1/510, in half the space of ``float16``.
        truth: whether dense truth is in the cache, at native size; only for the ``full`` bound and for evaluation.

    Raises:
        InputError: if one of them cannot be.
    """

    size: int
    grid: GridName = "zoom0"
    normalisation: NormalisationName = "acdc"
    stored: Literal["uint8", "float16"] = "uint8"
    truth: bool = False

    def __post_init__(self) -> None:
        if not _SMALLEST <= self.size <= _LARGEST:
            raise InputError(
                "slices cannot have this size",
                where="--size",
                expected=f"{_SMALLEST} … {_LARGEST} pixels",
                received=self.size,
                todo="choose a size in this range",
            )
        choices = {"grid": GRIDS, "normalisation": tuple(NORMALISATIONS), "stored": ("uint8", "float16")}
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"there is no such {field}",
                    where=f"--{field}",
                    expected=", ".join(allowed),
                    received=getattr(self, field),
                    todo=nearest(str(getattr(self, field)), allowed),
                )

    @property
    def name(self) -> str:
        """File name without ending, which tells caches of different settings apart."""
        parts = [str(self.size), self.grid, self.normalisation, self.stored]
        return "-".join([*parts, *(["truth"] if self.truth else [])])


def cache_key(dataset: Dataset, settings: CacheSettings) -> str:
    """SHA-256 over the settings and the SHA-256 of every file that the cache is made from.

    Raises:
        DamagedFileError: if a file cannot be read.
    """
    hashes = {
        path.relative_to(dataset.root).as_posix(): hashlib.sha256(read_bytes(path)).hexdigest()
        for case in (*dataset.training, *dataset.testing)
        for path in _inputs(case, truth=settings.truth)
    }
    hashes["dataset.json"] = hashlib.sha256(read_bytes(dataset.root / "dataset.json")).hexdigest()
    content = {"format": FORMAT, "settings": asdict(settings), "inputs": hashes}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _inputs(case: Case, *, truth: bool) -> list[Path]:
    """The files of a case that the cache reads; dense truth only where it was asked for by name."""
    training = [case.sparse, case.marks, case.base] if case.sparse is not None else []
    dense = [case.dense] if truth else []
    return [*case.images, *(path for path in (*training, *dense) if path is not None and path.exists())]
