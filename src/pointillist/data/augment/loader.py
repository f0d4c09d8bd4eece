"""Batches for training, augmented, and the sweep over every slice as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointillist.data.augment.geometry import Geometry, draw_geometry, plain_geometry
from pointillist.data.augment.order import epoch_order
from pointillist.data.augment.recipes import Augmentation
from pointillist.data.augment.source import SliceSource
from pointillist.data.augment.warp import draw_marks, gather, gather_smooth, move_maps, nearest_index
from pointillist.data.batch import Batch, MarkPoints

Slices = NDArray[np.int64]


class SoftTargets(Protocol):
    """Where soft targets come from: ``pointillist.data.targets.TargetStore``."""

    def get(self, ids: tuple[str, ...]) -> tuple[Tensor, Tensor] | None:
        """``(b, k, h, w)`` targets and ``(b, h, w)`` weights on the cached grid; None where there are none yet."""
        ...


def batches(
    source: SliceSource,
    slices: Slices,
    batch: int,
    augmentation: Augmentation,
    *,
    seed: int,
    epoch: int,
    drop_last: bool = False,
    shared_geometry: bool = False,
    targets: SoftTargets | None = None,
) -> Iterator[Batch]:
    """Visit slices in the epoch's order, augmented on the source's device.

    Args:
        source: where pixels come from.
        slices: which slices to visit, for example ``source.cache.subset(fold.train)``.
        batch: images a batch.
        augmentation: what may happen to them.
        seed: of the run.
        epoch: from 0.
        drop_last: leave out the last batch if it is smaller.
        shared_geometry: one draw for all images of a batch.
        targets: soft targets to move along.
    """
    order = slices[epoch_order(source.cache.keys[slices], seed, epoch)]
    stop = len(order) - len(order) % batch if drop_last else len(order)
    for begin in range(0, stop, batch):
        chosen = order[begin : min(begin + batch, stop)]
        yield make_batch(
            source,
            chosen,
            augmentation,
            seed=seed,
            epoch=epoch,
            shared_geometry=shared_geometry,
            targets=targets,
        )


def make_batch(
    source: SliceSource,
    slices: Slices,
    augmentation: Augmentation,
    *,
    seed: int,
    epoch: int,
    shared_geometry: bool = False,
    targets: SoftTargets | None = None,
) -> Batch:
    """Augment these slices; each looks the same whatever other slices are in the batch.

    Args:
        source: as for ``batches``.
        slices: ``(b,)`` numbers of slices.
        augmentation: as for ``batches``.
        seed: as for ``batches``.
        epoch: as for ``batches``.
        shared_geometry: one draw for all, the first slice's.
        targets: as for ``batches``.
    """
    cache = source.cache
    keys = cache.keys[slices]
    geometry = draw_geometry(
        augmentation,
        np.broadcast_to(keys[:1], keys.shape) if shared_geometry else keys,
        cache.natives[slices],
        source.places[slices],
        cache.settings.grid,
        cache.settings.size,
        seed=seed,
        epoch=epoch,
    )
    return _batch(source, slices, geometry, smooth=augmentation.smooth, targets=targets)


def sweep(source: SliceSource, slices: Slices, batch: int, targets: SoftTargets | None = None) -> Iterator[Batch]:
    """Visit every slice once as it is in the cache, in the given order; only slices of one size share a batch.

    Args:
        source: as for ``batches``.
        slices: ``(n,)`` numbers of slices.
        batch: at most so many images a batch.
        targets: as for ``batches``.
    """
    cache = source.cache
    sizes = cache.sizes[slices]
    changes = 1 + np.flatnonzero((sizes[1:] != sizes[:-1]).any(axis=1))
    for run in np.split(slices, changes):
        for begin in range(0, len(run), batch):
            chosen = run[begin : begin + batch]
            geometry = plain_geometry(
                cache.natives[chosen], source.places[chosen], cache.settings.grid, cache.settings.size
            )
            yield _batch(source, chosen, geometry, smooth=False, targets=targets)


def _batch(
    source: SliceSource, slices: Slices, geometry: Geometry, *, smooth: bool, targets: SoftTargets | None
) -> Batch:
    cache, device = source.cache, source.device
    planes = len(cache.spec.channels)
    ids = tuple(cache.ids[number] for number in slices.tolist())
    start = torch.from_numpy(cache.plane_start[slices]).to(device, non_blocking=True)
    sizes = torch.from_numpy(cache.sizes[slices].astype(np.int32)).to(device, non_blocking=True)
    area = sizes.long().prod(dim=1)
    places, inside = geometry.sources(device, smooth=smooth)
    index = nearest_index(places, sizes)
    if smooth:
        image = gather_smooth(source.pixels, start * planes, places, sizes, planes)
    else:
        image = gather(source.pixels, start * planes, index, planes, area).float()
    image = image.mul_(inside[:, None]).mul_(source.gain).add_(source.offset)
    label = gather(source.labels, start, index, 1, area)[:, 0]
    marks = _marks(source, slices, geometry)
    label = draw_marks(label, marks).bitwise_or_(inside.view(torch.uint8) - 1).long()  # outside: | 255 = IGNORE
    if targets is None:
        return Batch(image, label, inside, marks, ids)
    soft, weight = _moved_targets(targets.get(ids), geometry, inside, len(cache.spec.classes))
    return Batch(image, label, inside, marks, ids, soft, weight)


def _moved_targets(
    found: tuple[Tensor, Tensor] | None, geometry: Geometry, inside: Tensor, classes: int
) -> tuple[Tensor, Tensor]:
    if found is None:
        count, height, width = inside.shape
        nothing = torch.zeros(count, classes + 1, height, width, device=inside.device)
        return nothing[:, :-1], nothing[:, -1]
    soft, weight = found
    maps = torch.cat([soft, weight[:, None]], dim=1).to(inside.device, non_blocking=True)
    places, _ = geometry.sources(inside.device, smooth=True)
    moved = move_maps(maps, places).mul_(inside[:, None])
    return moved[:, :-1], moved[:, -1]


def _marks(source: SliceSource, slices: Slices, geometry: Geometry) -> MarkPoints:
    """The sample points of these slices, moved; on the host, where their number is known without waiting."""
    cache = source.cache
    begin, end = cache.mark_start[slices], cache.mark_start[slices + 1]
    counts = (end - begin) if source.strokes else np.zeros_like(begin)
    image = np.repeat(np.arange(len(slices)), counts)
    first = np.cumsum(counts) - counts
    place = np.arange(len(image)) - first[image] + begin[image]
    points = geometry.moved(image, cache.mark_points[place])
    return MarkPoints(
        torch.from_numpy(image),
        torch.from_numpy(points),
        torch.from_numpy(cache.mark_classes[place].astype(np.int64)),
        torch.from_numpy(cache.mark_strokes[place].astype(np.int64)),
    ).to(source.device)
