"""The arrays of a cache as tensors, where batches are drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointillist.data.cache.grids import placement
from pointillist.data.cache.slices import SliceCache
from pointillist.types import Floats

_SHARE_OF_FREE_MEMORY = 0.5


@dataclass(frozen=True, eq=False)
class SliceSource:
    """A cache whose pixels and labels are tensors on one device.

    Attributes:
        cache: what they are from.
        pixels: ``(sum of c·h·w,)`` uint8 (of 255) or float16.
        labels: ``(sum of h·w,)`` uint8; marks, or dense truth for the ``full`` bound.
        strokes: whether strokes are drawn over the labels; not over dense truth.
        places: ``(n, 2, 2)`` factor and shift, per axis, from native to cached coordinates of every slice.
        gain: ``(c, 1, 1)`` float32 that stored values are multiplied with …
        offset: ``(c, 1, 1)`` float32 … and that is then added.
    """

    cache: SliceCache
    pixels: Tensor
    labels: Tensor
    strokes: bool
    places: Floats
    gain: Tensor
    offset: Tensor

    @classmethod
    def open(
        cls, cache: SliceCache, device: torch.device | str = "cpu", *, labels: Literal["marks", "truth"] = "marks"
    ) -> SliceSource:
        """Hold a cache on a device when it takes at most half of what is free there, else leave it mapped.

        Args:
            cache: what to hold.
            device: where batches are wanted; they are moved there if the cache does not fit.
            labels: what batches are labelled with. Dense truth is for the ``full`` bound alone.

        Raises:
            InputError: if dense truth is asked of a cache without it.
        """
        where = torch.device(device)
        if where.type == "cuda" and cache.nbytes > _SHARE_OF_FREE_MEMORY * torch.cuda.mem_get_info(where)[0]:
            where = torch.device("cpu")
        raster = cache.labels if labels == "marks" else cache.resized_truth()
        full = 255.0 if cache.settings.stored == "uint8" else 1.0
        mean, std = (torch.tensor(one, dtype=torch.float32)[:, None, None] for one in (cache.mean, cache.std))
        return cls(
            cache=cache,
            pixels=torch.from_numpy(cache.pixels).to(where),
            labels=torch.from_numpy(raster).to(where),
            strokes=labels == "marks",
            places=_places(cache),
            gain=(1 / (full * std)).to(where),
            offset=(-mean / std).to(where),
        )

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.pixels.device


def _places(cache: SliceCache) -> Floats:
    grid, size = cache.settings.grid, cache.settings.size
    natives: NDArray[np.int64] = cache.natives
    found = {n: placement(grid, n, size) for n in np.unique(natives).tolist()}
    return np.array([[found[n] for n in pair] for pair in natives.tolist()], dtype=np.float64)
