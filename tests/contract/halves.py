"""One batch in two halves, and its gradient as one process that treats the halves as two groups computes it."""

from dataclasses import fields, replace

import numpy as np
import torch
import torch.distributed as dist

from pointillist.data.augment.loader import make_batch
from pointillist.data.augment.recipes import augmentation_named
from pointillist.methods import Moment
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.types import IGNORE


def CLOCK(rank):
    """Late in a run, when every term counts."""
    return Clock(seed=5, step=7, epoch=2, total=8, rank=rank)


def seed_of(rank):
    """Of a process's own draws."""
    return derive_seed("halves", rank)


def half_batch(source, rank, *, shared_geometry):
    """Slices 0 and 1 for the first process; 5 and 6 for the second, with marks in a quarter of each image only."""
    chosen = np.array([0, 1]) + 5 * rank
    batch = make_batch(source, chosen, augmentation_named("none"), seed=0, epoch=0, shared_geometry=shared_geometry)
    if rank == 1:
        batch.label[..., batch.label.shape[-1] // 4 :] = IGNORE
    return batch


def joined(one, other):
    """Both halves as one batch."""
    tensors = {
        field.name: torch.cat([getattr(one, field.name), getattr(other, field.name)])
        for field in fields(one)
        if isinstance(getattr(one, field.name), torch.Tensor)
    }
    return replace(one, ids=one.ids + other.ids, **tensors)


def two_groups(method, source, monkeypatch):
    """The mean of both groups' gradients, and the terms of each.

    Each group sees through ``all_gather`` what the other one holds.
    """
    method.eval()
    seen = {0: [], 1: []}
    for _ in range(3):  # what a group gathers may depend on what it gathered before
        gradients, terms, told = [], [], {}
        for rank in (0, 1):
            told[rank] = []
            _pretend(monkeypatch, rank, told[rank], seen)
            method.zero_grad()
            torch.manual_seed(seed_of(rank))
            batch = half_batch(source, rank, shared_geometry=method.needs.shared_geometry)
            out = method(Moment(batch, CLOCK(rank)))
            out["loss"].backward()
            terms.append(out["terms"])
            gradients.append({name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None})
        seen = told
    monkeypatch.undo()
    return {name: (gradients[0][name] + gradients[1][name]) / 2 for name in gradients[0]}, terms


def _pretend(monkeypatch, rank, told, seen):
    """Two processes, of which this is one: what it says is noted, what the other one said is played back."""

    def all_gather(parts, x):
        place = len(told)
        told.append(x.clone())
        others = seen[1 - rank]
        parts[rank].copy_(x)
        parts[1 - rank].copy_(others[place] if place < len(others) else x)

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: rank)
    monkeypatch.setattr(dist, "all_gather", all_gather)
