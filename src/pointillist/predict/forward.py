"""One batch through the network, as fast as the device allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pointillist.data.cache.normalise import moments
from pointillist.nets.network import SegmentationNet
from pointillist.predict.device import Precision, choose_precision
from pointillist.predict.model import ModelDescription
from pointillist.types import AnyArray


class Forward:
    """A network in eval mode: prepared images in, probabilities out.

    Args:
        net: the network, on its device; its weights are laid out channels-last.
        description: says how batches are standardised.
        precision: of the convolutions; the softmax is always computed in float32.
    """

    def __init__(self, net: SegmentationNet, description: ModelDescription, precision: Precision = "auto") -> None:
        self.device = next(net.parameters()).device
        self.precision = choose_precision(precision, self.device)
        self._net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, deviation = moments(description.normalisation, len(description.channels))
        self._mean, self._deviation = (
            torch.tensor(values, device=self.device).view(1, -1, 1, 1) for values in (mean, deviation)
        )

    def __call__(self, images: AnyArray) -> Tensor:
        """Class probabilities.

        Args:
            images: ``(b, c, h, w)``, normalised.

        Returns:
            ``(b, k, h, w)`` float32 on the network's device.
        """
        batch = torch.from_numpy(images).to(self.device, torch.float32, memory_format=torch.channels_last)
        bf16 = self.precision == "bf16"
        with _evaluating(self._net), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = self._net((batch - self._mean) / self._deviation).logits
        return logits.float().softmax(1)


@contextmanager
def _evaluating(net: SegmentationNet) -> Iterator[None]:
    """Eval mode and no gradients; what mode the network was in comes back, for a trainer that predicts in between."""
    training = net.training
    net.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        net.train(training)
