"""CVM's variational model on 36 contrast maps of 256²: a batch at once against one sparse LU an axis, step and map.

Both get the same edges and constants, so they minimise one energy. The usual form is that of the public code as far as
it is known: additive operator splitting, an exact penalty for [0, 1], one factorisation of a 65,536² matrix an axis and
step. Its step sizes and number of steps were never published; they are those of our own splitting, and 100. It treats
maps one after the other, so a few are timed and the time is multiplied. Everything on one core, in processor seconds.
Writes results/variational.json.

    python benchmarks/variational.py
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import diags_array
from scipy.sparse.linalg import splu

from _forms import write
from pointillist.methods._contrast_map import contrast_maps
from pointillist.runtime.memory import keep_freed_memory
from pointillist.solvers.additive_splitting import splitting
from pointillist.solvers.edges import edge_weight, gaussian
from pointillist.solvers.variational import data_term, two_regions
from pointillist.solvers.weighted_variation import energy, minimise
from pointillist.types import IGNORE

IMAGES, PAIRS, SIDE, CHANNELS = 12, 3, 256, 16
LAM, STEPS, TIMED = 5.0, 100, 1
TAU, SMOOTHING = 0.02, 1e-2
SHARPNESS, LINEAR = 0.01, 161.7127690  # of the public penalty, and of its linearisation
RESULT = Path(__file__).parent / "results" / "variational.json"


def example():
    """Contrast maps of images with two textures, three points in each: ``(36, 256, 256)``."""
    rng = torch.Generator().manual_seed(0)
    region = gaussian(torch.randn(IMAGES, SIDE, SIDE, generator=rng), 12.0) > 0
    texture = torch.randn(2, CHANNELS, generator=rng)[region.long()].permute(0, 3, 1, 2)
    noise = gaussian(torch.randn(IMAGES * CHANNELS, SIDE, SIDE, generator=rng), 1.5)
    noise = noise.view(IMAGES, CHANNELS, SIDE, SIDE) / noise.std()
    label = torch.full((IMAGES, SIDE, SIDE), IGNORE)
    for image in range(IMAGES):
        for k in (0, 1):
            inside = (region[image] == bool(k)).nonzero()
            row, column = inside[torch.randint(len(inside), (PAIRS,), generator=rng)].T
            label[image, row, column] = k
    return contrast_maps(texture + noise, label, (1,), eta=0.6, most=PAIRS).z


def penalty_slope(u):
    """Slope of the public code's smoothed max(0, 2|u − ½| − 1)."""
    root = np.sqrt((2 * u - 1) ** 2 + SHARPNESS)
    over = root - 1
    above = 0.5 * (1 + 2 / np.pi * np.arctan(over / SHARPNESS))
    rise = SHARPNESS / np.pi / (SHARPNESS**2 + over**2)
    return (rise * over + above) * 2 * (2 * u - 1) / root


def along(axis, conducts):
    """The three-point operator along an axis, without flux through its ends, as a sparse matrix."""
    weight = conducts.copy()
    weight[(-1, slice(None)) if axis == 0 else (slice(None), -1)] = 0
    weight, apart = weight.ravel(), SIDE if axis == 0 else 1
    before = np.concatenate([np.zeros(apart), weight[:-apart]])
    return diags_array([-(weight + before), weight[:-apart], weight[:-apart]], offsets=[0, apart, -apart])


def per_map(z, g, r):
    """The usual form, for one map in float64."""
    u, alpha = z.copy(), LAM * np.abs(r).max()
    identity = diags_array(np.ones(SIDE * SIDE))
    for step in range(STEPS):
        tau = max(1e-3, TAU * 0.9 ** (step // 50))
        down = np.diff(u, axis=0, append=u[-1:])
        right = np.diff(u, axis=1, append=u[:, -1:])
        conducts = g / np.sqrt(down**2 + right**2 + SMOOTHING**2)
        near = (np.abs(u) <= SHARPNESS) | (np.abs(u - 1) <= SHARPNESS)
        damped = 1 / (1 + tau * alpha * LINEAR * near)
        known = (u - damped * tau * (LAM * r + alpha * penalty_slope(u))).ravel()
        matrices = (identity - 2 * tau * diags_array(damped.ravel()) @ along(axis, conducts) for axis in (0, 1))
        u = sum(splu(matrix.tocsc()).solve(known) for matrix in matrices).reshape(SIDE, SIDE) / 2
    return np.clip(u, 0, 1)


def timed(call):
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def main():
    torch.set_num_threads(1)
    keep_freed_memory()
    z = example()
    regions = two_regions(z, lam=LAM)
    g, r = edge_weight(z), data_term(z, regions.c1, regions.c2)
    runs = [timed(lambda: minimise(g, r, LAM, u=z)) for _ in range(2)]
    found, seconds = runs[0][0], min(run[1] for run in runs)
    whole = min(timed(lambda: two_regions(z, lam=LAM))[1] for _ in range(2))
    few = [part[:TIMED].double() for part in (g, r)]
    exact = minimise(*few, LAM, u=z[:TIMED].double(), iterations=1000, tolerance=1e-5)
    split, split_seconds = timed(lambda: splitting(g, r, LAM, u=z, iterations=STEPS, step=TAU, smoothing=SMOOTHING))
    maps = [[part[n].double().numpy() for part in (z, g, r)] for n in range(TIMED)]
    usual, usual_seconds = timed(lambda: np.stack([per_map(*one) for one in maps]))
    usual_seconds *= len(z) / TIMED

    def excess(u):
        """Largest share of the least energy that a solution of the timed maps lies above it."""
        return ((energy(u[:TIMED].double(), *few, LAM) - exact.energy) / exact.energy.abs()).max().item()

    report = {
        "what": "CVM's variational model at given constants, one core, processor seconds",
        "shape": list(z.shape),
        "lambda": LAM,
        "primal_dual": {
            "seconds": seconds,
            "iterations": [int(found.iterations.min()), int(found.iterations.max())],
            "largest_relative_gap": found.gap.max().item(),
            "energy_above_least": excess(found.u),
        },
        "two_regions": {
            "seconds": whole,
            "what": "as above, with edges and the alternation of the constants",
            "largest_relative_gap": regions.gap.max().item(),
        },
        "batched_aos": {"seconds": split_seconds, "steps": STEPS, "energy_above_least": excess(split)},
        "per_map_lu_aos": {
            "seconds": usual_seconds,
            "steps": STEPS,
            "maps_timed": TIMED,
            "energy_above_least": excess(torch.from_numpy(usual)),
        },
        "times_faster": {
            "primal_dual": usual_seconds / seconds,
            "two_regions": usual_seconds / whole,
            "batched_aos": usual_seconds / split_seconds,
        },
        "energies_of_timed_maps": {
            "primal_dual": found.energy[:TIMED].tolist(),
            "per_map_lu_aos": energy(torch.from_numpy(usual), *few, LAM).tolist(),
        },
    }
    write(RESULT, report)


if __name__ == "__main__":
    main()
