"""Three parts of methods' steps, ours and as the public codes take them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.data.batch import Batch
from pointillist.data.targets import TargetStore
from pointillist.methods import build_method
from pointillist.methods._ema import mean_prediction, noisy
from pointillist.methods._running_average import update_averages
from pointillist.methods.pclmix import PCLMix
from pointillist.nets.unet import UNet
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

_BATCH, _SWEPT, _SIDE, _PASSES, _ALPHA = 4, 12, 128, 8, 0.2
_SPEC = TaskSpec(("background", "a", "b", "c"), ("grey",))


@dataclass(frozen=True)
class Mixed:
    """A mixed batch and its labels, for a network of two decoders."""

    method: PCLMix
    image: Tensor
    label: Tensor


@dataclass(frozen=True)
class Teacher:
    """A mean teacher and what it sees."""

    net: UNet
    image: Tensor


@dataclass
class Run:
    """As much of a run as a sweep over its images needs.

    Attributes:
        net: in eval mode.
        batches: all images.
        targets: where our averages are kept.
        averages: where the public form's are, by image.
    """

    net: UNet
    batches: list[Batch]
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    averages: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.targets = TargetStore(Path(self.folder.name))

    def sweep(self) -> Iterator[Batch]:
        yield from self.batches

    def autocast(self) -> AbstractContextManager[None]:
        return nullcontext()


def two_decoders() -> Mixed:
    method = build_method("pclmix", _net(), _SPEC, {})
    generator = torch.Generator().manual_seed(0)
    image, label = _images(_BATCH), torch.randint(4, (_BATCH, _SIDE, _SIDE), generator=generator)
    return Mixed(method.eval(), image, label)  # the Swin decoder draws paths to drop while it trains


def network_once_a_decoder(x: Mixed) -> Tensor:
    """PCLMix: every call runs encoder and both decoders, and one output of each is used."""
    cnn, _ = x.method._decoded(x.method.net.encode(x.image))
    _, swin = x.method._decoded(x.method.net.encode(x.image))
    return F.cross_entropy(cnn, x.label) + F.cross_entropy(swin, x.label)


def encoder_once(x: Mixed) -> Tensor:
    cnn, swin = x.method._decoded(x.method.net.encode(x.image))
    return F.cross_entropy(cnn, x.label) + F.cross_entropy(swin, x.label)


def teacher() -> Teacher:
    return Teacher(_net(), _images(_BATCH))


@torch.no_grad()
def passes_one_by_one(x: Teacher) -> Tensor:
    """The mean of softmaxes, from a list of all passes."""
    passes = [x.net(noisy(x.image, 0.0)).logits.softmax(1) for _ in range(_PASSES)]
    return torch.stack(passes).mean(0)


def passes_two_by_two(x: Teacher) -> Tensor:
    return mean_prediction(x.net, x.image, passes=_PASSES, sigma=0.0)


def refreshed() -> Run:
    images = _images(2 * _SWEPT)
    nothing = torch.full((_SWEPT, _SIDE, _SIDE), IGNORE)
    batches = [
        Batch(some, nothing, nothing == IGNORE, None, tuple(f"{number}/{i}" for i in range(_SWEPT)))
        for number, some in enumerate(images.split(_SWEPT))
    ]
    return Run(_net().eval(), batches)


@torch.no_grad()
def averages_image_by_image(x: Run) -> Tensor:
    """Scribble2Label in WSL4MIS: one image a pass, averages as arrays that the data set holds."""
    for batch in x.sweep():
        for name, image in zip(batch.ids, batch.image, strict=True):
            now = x.net(image[None]).logits.softmax(1)[0].numpy()
            x.averages[name] = _ALPHA * now + (1 - _ALPHA) * x.averages.get(name, 0)
    return torch.stack([torch.from_numpy(x.averages[name]) for batch in x.batches for name in batch.ids])


def averages_batch_by_batch(x: Run) -> Tensor:
    update_averages(x.net, x, _ALPHA)
    return torch.cat([x.targets.get(batch.ids)[0] for batch in x.batches])


def _net() -> UNet:
    """The published U-Net, without the dropout that would make two forms differ."""
    torch.manual_seed(0)
    return UNet(1, 4, dropout=(0.0,) * 5)


def _images(count: int) -> Tensor:
    return torch.rand(count, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
