"""A step of PCLMix in parts against the public form: the whole network once a decoder, all graphs kept to the end.

Each form runs in a process of its own, so that its peak memory can be told apart. The batch and both mixed batches of
12 × 1 × 128², the published U-Net with the Swin decoder, every term counting; no dropout and fixed normalisation, so
that both compute the same. Once with every block of 256 KiB or more mapped by itself, so that a process holds what its
tensors hold, and once with the gaps that glibc leaves between blocks of many sizes. Writes results/step_in_parts.json.

    python benchmarks/step_in_parts.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from _forms import compare, measure, write
from pointillist.data.batch import Batch
from pointillist.methods import Moment, StepOut, Term, build_method, pclmix
from pointillist.methods._parts import Parts
from pointillist.methods.pclmix import PCLMix
from pointillist.nets.unet import UNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

BATCH, SIDE, CLASSES = 12, 128, 4
RUNS = {"parts": 3, "public": 3}
RESULT = Path(__file__).parent / "results" / "step_in_parts.json"


class Together(Parts):
    """Parts whose graphs are kept until the end of the step."""

    def add(self, terms: dict[str, Term]) -> None:
        """Keep a part's terms with their graph."""
        self._terms |= terms

    def step(self, carry: dict[str, Tensor]) -> StepOut:
        """All terms, to be back-propagated together."""
        return StepOut(self._terms, carry)


def example(dtype=torch.float32) -> tuple[PCLMix, Batch]:
    torch.manual_seed(0)
    spec = TaskSpec(("background", "a", "b", "c"), ("grey",))
    method = build_method("pclmix", UNet(1, CLASSES), spec, {}).eval().to(dtype)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(BATCH, 1, SIDE, SIDE, generator=generator).to(dtype)
    label = torch.randint(CLASSES, (BATCH, SIDE, SIDE), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.98] = IGNORE
    return method, Batch(image, label, torch.ones_like(label, dtype=torch.bool), None, tuple("abcdefghijkl"))


def network_once_a_decoder(method: PCLMix) -> None:
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

    method.net.encode, method._decoded = encoded, decoded


def step_of(method: PCLMix, batch: Batch) -> Tensor:
    torch.manual_seed(1)
    return method(Moment(batch, Clock(seed=0, step=90, epoch=0, total=100)))["loss"]


def main() -> None:
    method, batch = example(torch.float64)
    exact = torch.autograd.grad(step_of(method, batch), list(method.parameters()))
    what = f"step of pclmix, forward and backward, {BATCH} × 1 × {SIDE}², U-Net and Swin decoder, float32, one core"
    mapped = compare(__file__, RUNS, exact, environment={"MALLOC_MMAP_THRESHOLD_": str(2**18)})
    write(RESULT, {"what": what, "blocks_mapped": mapped, "with_gaps": compare(__file__, RUNS, exact)})


def measured(form: str, folder: str) -> None:
    method, batch = example()
    if form == "public":
        pclmix.Parts = Together
        network_once_a_decoder(method)
    measure(form, lambda: step_of(method, batch), list(method.parameters()), RUNS[form], Path(folder))


if __name__ == "__main__":
    measured(*sys.argv[1:]) if sys.argv[1:] else main()
