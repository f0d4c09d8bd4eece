"""Steps of PSCV, AttenScribble and PCLMix against their public forms: forward and backward, one core.

PSCV, which has no public code: one cosine after the other. AttenScribble: whole attention maps, and every window of
the CRF gathered. PCLMix: the whole network once a decoder, all graphs kept to the end. Each form runs in a process of
its own, so that its peak memory can be told apart; the published U-Net, every term counting, no dropout and fixed
normalisation, so that both compute the same. Once with every block of 256 KiB or more mapped by itself, so that a
process holds what its tensors hold, and once with the gaps that glibc leaves between blocks of many sizes. Writes
results/steps.json.

    python benchmarks/steps.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import _public as public
from _forms import compare, measure, write
from pointillist.data.batch import Batch
from pointillist.methods import Method, Moment, StepOut, Term, attenscribble, build_method, pclmix, pscv
from pointillist.methods._parts import Parts
from pointillist.nets.unet import UNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

RUNS = {"ours": 3, "public": 3}
MARKED = 0.02  # share of the pixels
RESULT = Path(__file__).parent / "results" / "steps.json"


def cosines_one_by_one(_: Method) -> None:
    def looped(p, image, label, *, lambda_cv, mu, tau, **_):
        draws = torch.rand(len(p), len(p))
        return public.contrastive_variance(p, image, label, draws, lambda_cv=lambda_cv, mu=mu, tau=tau)

    pscv.contrastive_variance = looped


def whole_maps(_: Method) -> None:
    """The layer keeps its attention maps for the loss; the CRF gathers windows."""
    kept = []

    def attended(query, key, value):
        kept[:] = [public.attention(query, key)]
        return kept[0] @ value

    def crf(p, image, **options):
        del options["literal"]
        return public.gated_crf(p, image, **options)

    def similarity(p, query, _, weight, bias, *, radius, sigma, mask, **__):
        near = distances(query.shape[2:4], radius, sigma, p.dtype)
        learned = (x.to(p.dtype) for x in (kept.pop(), weight, bias))
        return public.attentive_similarity(p, *learned, near, mask)

    distances = cache(public.near)
    torch.nn.functional.scaled_dot_product_attention = attended
    attenscribble.gated_crf, attenscribble.attentive_similarity = crf, similarity


class Together(Parts):
    """Parts whose graphs are kept until the end of the step."""

    def add(self, terms: dict[str, Term]) -> None:
        """Keep a part's terms with their graph."""
        self._terms |= terms

    def step(self, carry: dict[str, Tensor]) -> StepOut:
        """All terms, to be back-propagated together."""
        return StepOut(self._terms, carry)


def network_once_a_decoder(method: Method) -> None:
    """Every output of a decoder takes a call of encoder and both decoders; the other one's output is dropped."""
    encode, seen = method.net.encode, []

    def encoded(image):
        seen[:] = [image]
        return encode(image)

    def decoded(stages):
        method.auxiliary(stages)
        again = encode(*seen)
        method.net.decode(again)
        return method.net.decode(stages).logits, method.auxiliary(again).logits

    method.net.encode, method._decoded, pclmix.Parts = encoded, decoded, Together


@dataclass(frozen=True)
class Case:
    """A step, and what makes it the public form."""

    method: str
    publish: Callable[[Method], None]
    batch: int = 12
    side: int = 128
    classes: int = 4


CASES = {
    "pscv-4": Case("pscv", cosines_one_by_one),
    "pscv-9": Case("pscv", cosines_one_by_one, classes=9),  # as many as its abdomens have
    "attenscribble-128": Case("attenscribble", whole_maps),
    "attenscribble-256": Case("attenscribble", whole_maps, batch=4, side=256),  # the published size
    "pclmix": Case("pclmix", network_once_a_decoder),
}


def example(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Method, Batch]:
    torch.manual_seed(0)
    spec = TaskSpec(("background", *"abcdefgh"[: case.classes - 1]), ("grey",))
    method = build_method(case.method, UNet(1, case.classes), spec, {}).eval().to(dtype)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(case.batch, 1, case.side, case.side, generator=generator).to(dtype)
    label = torch.randint(case.classes, (case.batch, case.side, case.side), generator=generator)
    label[torch.rand(label.shape, generator=generator) >= MARKED] = IGNORE
    ids = tuple(map(str, range(case.batch)))
    return method, Batch(image, label, torch.ones_like(label, dtype=torch.bool), None, ids)


def step_of(method: Method, batch: Batch) -> Tensor:
    torch.manual_seed(1)
    return method(Moment(batch, Clock(seed=0, step=90, epoch=0, total=100)))["loss"]


def side_by_side(name: str) -> dict[str, object]:
    case = CASES[name]
    method, batch = example(case, torch.float64)
    exact = torch.autograd.grad(step_of(method, batch), list(method.parameters()))
    mapped = compare(__file__, RUNS, exact, [name], environment={"MALLOC_MMAP_THRESHOLD_": str(2**18)})
    shape = [case.batch, 1, case.side, case.side]
    return {
        "method": case.method,
        "shape": shape,
        "classes": case.classes,
        "blocks_mapped": mapped,
        "with_gaps": compare(__file__, RUNS, exact, [name]),
    }


def main() -> None:
    what = "a step, forward and backward, U-Net 16–256 (PCLMix with its Swin decoder), float32, one core"
    write(RESULT, {"what": what, "steps": {name: side_by_side(name) for name in CASES}})


def measured(form: str, name: str, folder: str) -> None:
    case = CASES[name]
    method, batch = example(case)
    if form == "public":
        case.publish(method)
    measure(form, lambda: step_of(method, batch), list(method.parameters()), RUNS[form], Path(folder))


if __name__ == "__main__":
    measured(*sys.argv[1:]) if sys.argv[1:] else main()
