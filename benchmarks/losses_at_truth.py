"""Does a loss point at the truth? Its value and its gradient at predictions and at dense truth of held-out images.

Run: python benchmarks/losses_at_truth.py RUN…

RUN is a finished run, such as OUT/runs/pscv-readings/pce/fold5-seed1: trained on marks alone, so that its predictions
are what an auxiliary loss has to correct. Batches of its held-out slices are augmented as in training. The minimum of a
loss that is higher at the truth than at the prediction is not the truth, whatever its weight; and from a prediction a
gradient that is turned away from that of cross-entropy with the truth does not lead there. Nothing is trained. Writes
benchmarks/results/losses_at_truth.json; results_page.py makes a section of it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from _forms import write
from pointillist.data.augment.loader import Slices, batches
from pointillist.data.augment.recipes import augmentation_named
from pointillist.data.augment.source import SliceSource
from pointillist.data.batch import Batch
from pointillist.data.cache.build import cached
from pointillist.data.cache.settings import CacheSettings
from pointillist.data.dataset import Dataset
from pointillist.losses import (
    contour,
    contrastive_variance,
    dense_crf,
    gated_crf,
    intensity_variance,
    mumford_shah,
    normalized_cut,
    total_variation,
)
from pointillist.predict.model import load_model
from pointillist.train.plan import Plan, read_plan

RESULT = Path(__file__).parent / "results" / "losses_at_truth.json"
GEOMETRIES = {  # augmentation, where it is not the run's, and whether one draw serves a batch
    "": (None, False),
    ", one geometry a batch": (None, True),
    ", not augmented": ("none", False),
}
Loss = Callable[[Tensor], Tensor]


def contrast(batch: Batch, **reading: object) -> Loss:
    """PSCV's contrast alone, of all classes that an image shows: here each has a point."""
    label = batch.label.where(batch.valid, batch.label.new_tensor(0))
    draws = torch.rand(len(label), len(label), generator=torch.Generator().manual_seed(0))
    options = {"lambda_cv": 1.0, "mu": 0.0, "mask": batch.valid, "draws": draws} | reading
    return lambda p: contrastive_variance(p, batch.image, label, **options)  # type: ignore[arg-type]


def others(batch: Batch, classes: int) -> Iterator[tuple[str, Loss]]:
    """Losses of intensities and boundaries, each with its method's default constants."""
    image, valid = batch.image, batch.valid
    present = torch.stack([((batch.label == k) & valid).flatten(1).any(1) for k in range(classes)], 1)
    yield "gated CRF", partial(gated_crf, image=image, source=valid, destination=valid)
    yield "dense CRF", partial(dense_crf, image=image, valid=valid)
    yield "normalised cut", partial(normalized_cut, image=image, valid=valid)
    yield "Mumford–Shah, regions alone", partial(mumford_shah, image=image, mu=0.0, mask=valid)
    yield "intensity variance", partial(intensity_variance, image=image, present=present, mask=valid)
    yield "total variation", total_variation
    yield "contour", contour


def readings(batch: Batch, classes: int) -> Iterator[tuple[str, Loss]]:
    """What is asked of batches that are augmented as in training."""
    yield "contrastive variance", contrast(batch)
    yield "contrastive variance, without background", contrast(batch, include_background=False)
    yield "contrastive variance, τ = 0.5", contrast(batch, tau=0.5)
    yield "contrastive variance, every class of every image", contrast(batch, literal=True)
    yield from others(batch, classes)


def measured(loss: Loss, logits: Tensor, batch: Batch) -> dict[str, float]:
    """The loss at a prediction, at its likeliest classes and at the truth, and where its gradient leads."""
    label, classes = batch.label.where(batch.valid, batch.label.new_tensor(0)), logits.shape[1]
    places = (logits.argmax(1), label, grown(label, classes))
    likeliest, truth, larger = (F.one_hot(one, classes).movedim(-1, 1).float() for one in places)
    logits = logits.detach().requires_grad_()
    value = loss(logits.softmax(1))
    ours = torch.autograd.grad(value, logits)[0]
    dense = (F.cross_entropy(logits, label, reduction="none") * batch.valid).sum()
    theirs = torch.autograd.grad(dense, logits)[0]
    found = {"likeliest": loss(likeliest).item(), "truth": loss(truth).item(), "grown": loss(larger).item()}
    return {
        "prediction": value.item(),
        **found,
        "lower": float(found["truth"] < found["likeliest"]),
        "cosine": F.cosine_similarity(ours.flatten(), theirs.flatten(), 0).item(),
    }


def grown(label: Tensor, classes: int) -> Tensor:
    """The truth with every class but the background a pixel larger, where background was."""
    objects = F.one_hot(label, classes).movedim(-1, 1).float()[:, 1:]
    reach, nearest = F.max_pool2d(objects, 3, stride=1, padding=1).max(1)
    return torch.where((label == 0) & (reach > 0), nearest + 1, label)


def held_out(plan: Plan) -> tuple[str, SliceSource, Slices]:
    """The dataset's name, and its slices with dense truth that the run did not learn from."""
    dataset = Dataset.open(Path(plan.dataset))
    settings = CacheSettings(plan.size, truth=True, grid=plan.grid, normalisation=plan.normalisation)
    source = SliceSource.open(cached(dataset, settings), labels="truth")
    return dataset.name, source, source.cache.subset(dataset.splits()[plan.fold - 1].val)


def of_run(run: Path) -> dict[str, object]:
    """Means over batches of what every loss says at the predictions of one run."""
    plan, (net, _) = read_plan(run), load_model(run)
    dataset, source, slices = held_out(plan)
    net.eval()
    found = defaultdict(list)
    for suffix, (augmentation, shared) in GEOMETRIES.items():
        how = augmentation_named(augmentation or plan.augmentation)
        options = {"seed": plan.seed, "epoch": 0, "drop_last": True, "shared_geometry": shared}
        for batch in batches(source, slices, plan.batch, how, **options):
            with torch.no_grad():
                logits = net(batch.image).logits
            named = [("contrastive variance", contrast(batch))] if suffix else readings(batch, logits.shape[1])
            for name, loss in named:
                found[name + suffix].append(measured(loss, logits, batch))
    return {
        "what": f"{plan.method} on {dataset}, fold {plan.fold}, {plan.iterations} iterations at {plan.size}²",
        "batch": plan.batch,
        "batches": len(found["contrastive variance"]),
        "rows": {
            name: {key: float(np.mean([one[key] for one in each])) for key in each[0]} for name, each in found.items()
        },
    }


def main() -> None:
    torch.set_num_threads(1)
    write(RESULT, {"runs": [of_run(Path(run)) for run in sys.argv[1:]]})


if __name__ == "__main__":
    main()
