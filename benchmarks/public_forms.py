"""Losses, and three parts of methods' steps, against what the public codes compute, on the same inputs, in turns.

Run: python benchmarks/public_forms.py [--only NAME,…]

Writes benchmarks/results/public_forms.json. Times are of the processor, forward and backward, on one thread, best of
many turns (public, ours, public, ours …). ``ours_ms`` is our default; where it deliberately differs from the public
code, ``literal_ms`` is our form of what that code computes, and the difference of values and gradients is between
those two. Gated CRF, contrastive variance and attentive similarity have benchmarks of their own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import _public as public
import _public_steps as steps
from _forms import write
from pointillist import losses
from pointillist.runtime.memory import keep_freed_memory
from pointillist.types import IGNORE

RESULT = Path(__file__).parent / "results" / "public_forms.json"
BATCH, CLASSES, SIDE = 12, 4, 128
PAIRS = {"sigma_xy": 50.0, "sigma_rgb": 0.1}  # of dense CRF and normalised cut, on 64 × 64
SHARE, BETA, TAU, MU = 0.9, 0.3, 0.07, 1e-3
SECONDS, TURNS = 2.0, (5, 40)  # of the processor a form, and turns at least and at most


@dataclass(frozen=True)
class Maps:
    """Predictions, images and labels of one batch.

    Attributes:
        z: logits, with gradient.
        other: logits of another prediction, with gradient.
        p: probabilities, with gradient.
        q: other probabilities, with gradient.
        image: one channel.
        dense: classes everywhere.
        label: a few marks.
        alike: classes, unlabelled in the same pixels of every image.
        everywhere: a mask of all pixels.
    """

    z: Tensor
    other: Tensor
    p: Tensor
    q: Tensor
    image: Tensor
    dense: Tensor
    label: Tensor
    alike: Tensor
    everywhere: Tensor


class Vectors(NamedTuple):
    """Vectors with gradient and a memory, with what tells them apart."""

    vectors: Tensor
    memory: Tensor
    of_vectors: Tensor
    of_memory: Tensor


class Row(NamedTuple):
    """One comparison.

    Attributes:
        inputs: what all forms are given.
        leaves: the inputs that gradients are taken to.
        public: the public code's form.
        ours: our default.
        literal: our form of the public quantity, where that is not the default.
        note: what to know about the row.
    """

    inputs: Callable[[], Any]
    leaves: Callable[[Any], Sequence[Tensor]]
    public: Callable[[Any], Tensor]
    ours: Callable[[Any], Tensor]
    literal: Callable[[Any], Tensor] | None = None
    note: str = ""


def maps(count: int = BATCH, side: int = SIDE) -> Maps:
    """Smooth predictions of smooth images; one pixel in fifty is marked."""
    generator = torch.Generator().manual_seed(0)

    def smooth(channels: int, grain: int) -> Tensor:
        coarse = torch.randn(count, channels, side // grain, side // grain, generator=generator)
        return F.interpolate(coarse, size=(side, side), mode="bilinear")

    def scores() -> Tensor:
        noise = torch.randn(count, CLASSES, side, side, generator=generator)  # so that no two neighbours are equal
        return 2 * smooth(CLASSES, 8) + 0.1 * noise

    z, other = scores(), scores()
    dense = (z + other).argmax(1)
    unmarked = torch.rand(count, side, side, generator=generator) > 0.02
    leaves = (x.requires_grad_() for x in (z, other, z.softmax(1), other.softmax(1)))
    label, alike = dense.masked_fill(unmarked, IGNORE), dense.masked_fill(unmarked[:1], IGNORE)
    return Maps(*leaves, smooth(1, 8).sigmoid(), dense, label, alike, torch.ones_like(unmarked))


def small_maps() -> Maps:
    return maps(4, 64)


def anchors() -> Vectors:
    """As many anchors, classes and entries of the queue as PCLMix has at most."""
    generator = torch.Generator().manual_seed(0)
    vectors, memory = (torch.randn(n, 256, generator=generator) for n in (1024, 2000))
    of_vectors, of_memory = (torch.randint(CLASSES, (n,), generator=generator) for n in (1024, 2000))
    return Vectors(vectors.requires_grad_(), memory, of_vectors, of_memory)


def attracted() -> Vectors:
    """Features of one class, its memory, and their scores, as SC-Net has them."""
    generator = torch.Generator().manual_seed(0)
    vectors, memory = (torch.randn(n, 32, generator=generator) for n in (4096, 32))
    of_vectors, of_memory = (torch.randn(n, generator=generator) for n in (4096, 32))
    return Vectors(vectors.requires_grad_(), memory, of_vectors.requires_grad_(), of_memory.requires_grad_())


def marked_features() -> Vectors:
    """Features near the direction of their class, as ``vectors``, and marks as ``of_vectors``."""
    given, generator = maps(), torch.Generator().manual_seed(1)
    directions = torch.randn(CLASSES, 16, generator=generator)
    features = directions[given.dense].permute(0, 3, 1, 2)
    features = features + 0.3 * torch.randn(features.shape, generator=generator)
    return Vectors(features.contiguous(), directions, given.label, given.dense)


def certain_consistency(x: Maps, literal: bool = False) -> Tensor:
    certain = losses.certain_pixels(x.q.detach(), SHARE, literal=literal)
    return losses.soft_consistency(x.z, x.other.detach().softmax(1), certain, literal=literal)


ROWS = {
    "partial_ce": Row(
        maps,
        lambda x: [x.z],
        lambda x: public.partial_ce(x.z, x.label),
        lambda x: losses.partial_ce(x.z, x.label),
        note="ours checks labels, counts them, and keeps NaN in unmarked pixels out of the gradient",
    ),
    "soft_ce": Row(
        maps,
        lambda x: [x.z],
        lambda x: public.soft_ce(x.z, x.q.detach()),
        lambda x: losses.soft_ce(x.z, x.q.detach()),
        lambda x: losses.soft_ce(x.z, x.q.detach(), reduction="sum") / x.label.numel(),
    ),
    "partial_dice, dense": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.dice(x.p, x.dense),
        lambda x: losses.partial_dice(x.p, x.dense),
    ),
    "partial_dice, marks": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.partial_dice(x.p, x.alike),
        lambda x: losses.partial_dice(x.p, x.alike),
        note="the public form applies every image's mask to all images: equal where all masks are",
    ),
    "mixed_pseudo": Row(
        maps,
        lambda x: [x.p, x.q],
        lambda x: public.mixed_pseudo(x.p, x.q, BETA),
        lambda x: losses.mixed_pseudo(x.p, x.q, BETA),
        note="the public form multiplies every image with the masks of all images, here of ones",
    ),
    "noise_robust_dice": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.noise_robust_dice(x.p, x.dense),
        lambda x: losses.noise_robust_dice(x.p, x.dense),
        note="the public form does not leave unlabelled pixels out; dense labels",
    ),
    "entropy": Row(
        maps,
        lambda x: [x.z],
        lambda x: public.entropy(x.z),
        lambda x: losses.entropy(x.z),
    ),
    "total_variation": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.total_variation(x.p[:, 1:]) / x.p[:, 1:].numel(),
        lambda x: losses.total_variation(x.p),
    ),
    "contour": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.contour(x.p[1:]),
        lambda x: losses.contour(x.p),
        lambda x: losses.contour(x.p, literal=True),
    ),
    "mumford_shah": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.mumford_shah(x.p, x.image, x.p, MU),
        lambda x: losses.mumford_shah(x.p, x.image, mu=MU),
        note="Kim & Ye's code",
    ),
    "mumford_shah, WSL4MIS": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.mumford_shah(x.image, x.p, x.p, 1.0),
        lambda x: losses.mumford_shah(x.p, x.image),
        lambda x: losses.mumford_shah(x.p, x.image, literal=True),
        note="the public form exchanges prediction and image",
    ),
    "intensity_variance": Row(
        maps,
        lambda x: [x.p],
        lambda x: public.intensity_variance(x.p, x.image),
        lambda x: losses.intensity_variance(x.p, x.image),
        lambda x: losses.intensity_variance(x.p, x.image, literal=True),
    ),
    "certain_pixels, soft_consistency": Row(
        maps,
        lambda x: [x.z],
        lambda x: public.certain_consistency(x.z, x.other.detach(), x.q.detach(), SHARE),
        certain_consistency,
        lambda x: certain_consistency(x, literal=True),
        note="ours keeps NaN outside the mask out of value and gradient",
    ),
    "mutual_consistency, logits": Row(
        maps,
        lambda x: [x.z, x.other],
        lambda x: public.mutual_consistency(x.z, x.other),
        lambda x: losses.mutual_consistency(x.z, x.other, x.everywhere, literal=True),
        note="ours takes a mask, and keeps NaN outside it out of value and gradient",
    ),
    "mutual_consistency": Row(
        maps,
        lambda x: [x.z, x.other],
        lambda x: public.mutual_probabilities(x.z, x.other),
        lambda x: losses.mutual_consistency(x.z, x.other, x.everywhere),
        note="the paper's equation, by library calls; ours takes a mask, and keeps NaN outside it out of the gradient",
    ),
    "pixel_cosine": Row(
        maps,
        lambda x: [x.p, x.q],
        lambda x: public.pixel_cosine(x.p, x.q),
        lambda x: losses.pixel_cosine(x.p, x.q),
    ),
    "pixel_contrast": Row(
        anchors,
        lambda x: [x.vectors],
        lambda x: public.pixel_contrast(x.vectors, x.of_vectors, x.memory, x.of_memory, TAU),
        lambda x: losses.pixel_contrast(x.vectors, x.of_vectors, x.memory, x.of_memory, tau=TAU),
        lambda x: losses.pixel_contrast(x.vectors, x.of_vectors, x.memory, x.of_memory, tau=TAU, literal=True),
        note="1,024 anchors, 2,000 remembered vectors of 256",
    ),
    "class_attraction": Row(
        attracted,
        lambda x: [x.vectors, x.of_vectors, x.of_memory],
        lambda x: public.class_attraction(x.vectors, x.memory, x.of_vectors, x.of_memory),
        lambda x: losses.class_attraction(x.vectors, x.memory, x.of_vectors, x.of_memory),
        note="4,096 features, 32 remembered, of 32",
    ),
    "prototype_label": Row(
        marked_features,
        lambda _: [],
        lambda x: public.prototype_label(x.vectors, x.of_vectors, CLASSES),
        lambda x: losses.prototype_label(x.vectors, x.of_vectors, CLASSES),
        note="no public code: against a loop over images and classes; 16 features; no gradient",
    ),
    "dense_crf": Row(
        small_maps,
        lambda x: [x.p],
        lambda x: public.dense_crf(x.p, x.image, **PAIRS),
        lambda x: losses.dense_crf(x.p, x.image, **PAIRS),
        note="4 × 4 × 64²; the public lattice is compiled: against all pairs at once",
    ),
    "dense_crf, fast": Row(
        small_maps,
        lambda x: [x.p],
        lambda x: public.dense_crf(x.p, x.image, **PAIRS),
        lambda x: losses.dense_crf(x.p, x.image, **PAIRS, form="fast"),
        note="4 × 4 × 64²; the grid's kernel is near the exact one, as the public lattice's is",
    ),
    "normalized_cut": Row(
        small_maps,
        lambda x: [x.p],
        lambda x: public.normalized_cut(x.p, x.image, **PAIRS),
        lambda x: losses.normalized_cut(x.p, x.image, **PAIRS),
        note="4 × 4 × 64²; the public lattice is compiled: against all pairs at once",
    ),
    "normalized_cut, fast": Row(
        small_maps,
        lambda x: [x.p],
        lambda x: public.normalized_cut(x.p, x.image, **PAIRS),
        lambda x: losses.normalized_cut(x.p, x.image, **PAIRS, form="fast"),
        note="4 × 4 × 64²; the grid's kernel is near the exact one, as the public lattice's is",
    ),
    "step of pclmix, mixed batch": Row(
        steps.two_decoders,
        lambda x: [*x.method.net.parameters(), *x.method.auxiliary.parameters()],
        steps.network_once_a_decoder,
        steps.encoder_once,
        note="4 × 1 × 128², U-Net and Swin decoder: the public code calls the whole network once a decoder",
    ),
    "step of uamt and ustm, teacher": Row(
        steps.teacher,
        lambda _: [],
        steps.passes_one_by_one,
        steps.passes_two_by_two,
        note="8 passes of 4 × 1 × 128²; on a processor two copies a pass gain nothing; UA-MT's code takes two as well",
    ),
    "refresh of scribble2label": Row(
        steps.refreshed,
        lambda _: [],
        steps.averages_image_by_image,
        steps.averages_batch_by_batch,
        note="24 slices of 128², batches of 12; ours also writes them to disk in float16, for a resumed run",
    ),
}


def compared(row: Row) -> dict[str, Any]:
    """Times in turns, and how far the two forms of one quantity are apart."""
    given = row.inputs()
    leaves = row.leaves(given)
    forms = {"public": row.public, "ours": row.ours} | ({"literal": row.literal} if row.literal else {})
    milliseconds: dict[str, list[float]] = {name: [] for name in forms}
    results: dict[str, tuple[Tensor, ...]] = {}
    turn, turns = 0, TURNS[1]
    while turn < turns:
        for name, form in forms.items():
            start = time.process_time()
            found = value_and_gradients(form, given, leaves)
            milliseconds[name].append(1e3 * (time.process_time() - start))
            results.setdefault(name, found)
        turn += 1
        turns = min(TURNS[1], max(TURNS[0], round(1e3 * SECONDS / min(milliseconds["public"]))))
    best = {f"{name}_ms": round(min(one), 3) for name, one in milliseconds.items()}
    same = results.get("literal", results["ours"])
    differences = [difference(*pair) for pair in zip(same, results["public"], strict=True)]
    return {
        **best,
        "times_faster": round(best["public_ms"] / best["ours_ms"], 2),
        "value_difference": differences[0],
        "gradient_difference": max(differences[1:], default=None),
        "turns": turn,
        **({"note": row.note} if row.note else {}),
    }


def value_and_gradients(form: Callable[[Any], Tensor], given: Any, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    value = form(given)
    return (value.detach(), *(torch.autograd.grad(value, leaves) if leaves else ()))


def difference(one: Tensor, other: Tensor) -> float:
    """Largest difference over the other's largest entry."""
    return ((one.double() - other.double()).abs().max() / other.double().abs().max()).item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="compare these again, by semicolons, and leave the other rows as they are")
    chosen = parser.parse_args().only
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = json.loads(RESULT.read_text())["rows"] if chosen else {}
    for name in chosen.split(";") if chosen else ROWS:
        rows[name] = compared(ROWS[name])
        print(f"{name:34} {rows[name]}", flush=True)
    what = f"losses forward and backward on {BATCH} × {CLASSES} × {SIDE}² unless noted, float32, best processor time"
    write(RESULT, {"what": what, "rows": rows})


if __name__ == "__main__":
    main()
