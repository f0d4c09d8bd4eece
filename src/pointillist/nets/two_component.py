"""CVM's network for large images: a ResNet-34 without its last stage, and a U-Net on the map that it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pointillist.nets.network import NetOut, SegmentationNet, Stages
from pointillist.nets.resnet import ResNet
from pointillist.nets.unet import ConvBlock, UNetDecoder

# Bytes of a step on one image of 4096² in bfloat16. A map of the stem, 64 × 2048², is 0.5 GiB; of layer1, 64 × 1024²,
# 0.13; of layer2, 128 × 512², 0.06; of layer3, 256 × 256², 0.03. What backward needs of them at once would be 2 + 1.6 +
# 1 + 0.8 GiB, and the gradients besides. With each of the four computed again when its turn comes, 0.3 GiB of inputs
# are kept, and the most is needed at the stem: the convolution's and the normalised map, the pool's places (64-bit
# numbers, 0.5 GiB), and two gradients, 2.6 GiB. The image is 0.2 GiB in float32; logits of two classes, their float32
# copies and gradients, and targets with the losses on them take 0.13 GiB each, a dozen at a time. The U-Net on the map
# takes 0.1 GiB, and weights with Adam's moments as much. A whole process of `cvm` was measured at 6.6 GiB
# (benchmarks/large_image.py).
_AGAIN = 2**22  # pixels of a batch from which on the extractor's maps are computed again instead of kept


class TwoComponentNet(SegmentationNet):
    """A feature extractor, and a segmentation network on its map, trained together: for crops of thousands of pixels.

    The extractor is a ResNet-34 up to its third stage: 256 channels at stride 16, so that a crop of 4096² becomes a map
    of 256². The U-Net of this package takes the map; its logits are enlarged bilinearly to the image. The first stage
    is the image, which the decoder needs for its size alone, the second the extractor's map, the others are the
    U-Net's, at strides 16 to 256; decoder levels lie at strides 16 to 128. From four million pixels a batch on, a
    training step keeps the input of the stem and of each of the extractor's layers, and computes the rest again in the
    backward pass: a third more time, and the same gradients. Three channels and two classes make 10,020,498 parameters.

    Args:
        in_channels: channels of the image.
        classes: K, background included.
        channels: of the U-Net's five stages, finest first.
        dropout: of the five stages' blocks, finest first.

    Raises:
        ValueError: if an image is too small or has other channels.

    Source: Zhang et al., CVPR 2023, section 4.1 and figure 2a: a map of 256×256×256 from images of 4096² by "the
    convolutional component of a ResNet-34", then a U-Net. The U-Net's width, and the enlargement, are not published.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256),
        dropout: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5),
    ) -> None:
        super().__init__()
        self.in_channels, self.classes = in_channels, classes
        self.extractor = ResNet(in_channels, 34, stages=4)
        width, stride = self.extractor.channels[-1], 16
        self.channels = (in_channels, width, *channels)
        self.strides = (1, stride, *(stride * 2**i for i in range(len(channels))))
        self.level_channels, self.level_strides = channels[:-1], self.strides[2:-1]
        widths = zip((width, *channels[:-1]), channels, dropout, strict=True)
        self.encoder = nn.ModuleList(ConvBlock(*one) for one in widths)
        self.decoder = self.new_decoder()

    def encode(self, x: Tensor, side: dict[str, Tensor] | None = None) -> Stages:
        """The image ``(b, c, h, w)``, the extractor's map, and the U-Net's features at strides 16 to 256."""
        least = self.strides[-1]
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < least:
            msg = (
                f"the image must be (batch, {self.in_channels}, height, width) with sides of at least {least} pixels, "
                f"got {tuple(x.shape)}"
            )
            raise ValueError(msg)
        stages = [self._grafted(0, x, side)]
        stages.append(self._grafted(1, self._extracted(stages[0]), side))
        for number, block in enumerate(self.encoder):
            deeper = F.max_pool2d(stages[-1], 2) if number else stages[-1]
            stages.append(self._grafted(number + 2, block(deeper), side))
        return tuple(stages)

    def _extracted(self, x: Tensor) -> Tensor:
        """The extractor's map of the image."""
        net = self.extractor
        again = torch.is_grad_enabled() and len(x) * x.shape[2] * x.shape[3] >= _AGAIN
        parts: list[Callable[[Tensor], Tensor]] = [net.stem, *(net.get_submodule(f"layer{i}") for i in (1, 2, 3))]
        for part in parts:
            x = _computed_again(part, net, x) if again else part(x)
        return x

    def decode(self, stages: Stages) -> NetOut:
        """Logits of encoded features, on the grid of ``stages[0]``."""
        out: NetOut = self.decoder(stages)
        return out

    def new_decoder(self) -> nn.Module:
        """Another U-Net decoder on the map, with weights of its own."""
        return MapDecoder(self.channels[2:], self.classes)

    def load_encoder(self, path: Path) -> None:
        """Put the weights of a ResNet-34 into the extractor: ``ResNet.load``."""
        self.extractor.load(path)


class MapDecoder(nn.Module):
    """A U-Net's decoder whose logits are enlarged to the image.

    Args:
        channels: of the U-Net's stages, finest first.
        classes: K, background included.
    """

    def __init__(self, channels: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.unet = UNetDecoder(channels, classes)

    def forward(self, stages: Stages) -> NetOut:
        """Logits, in float32, on the grid of ``stages[0]``, the image, which is not read."""
        image, _, *maps = stages
        out = self.unet(tuple(maps))
        logits = F.interpolate(out.logits.float(), size=image.shape[2:], mode="bilinear", align_corners=False)
        return NetOut(logits, stages, out.levels)


def _computed_again(part: Callable[[Tensor], Tensor], net: nn.Module, x: Tensor) -> Tensor:
    """``part(x)``, of which backward keeps x alone; BatchNorm's statistics of the network run on once, not twice."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_at_rest(net)

    y = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return cast("Tensor", y)


@contextmanager
def _statistics_at_rest(net: nn.Module) -> Iterator[None]:
    """Normalise by the batch as before, and leave running statistics and the count of batches as they are.

    They are still handed over, with a momentum of 0, since backward keeps them among its tensors.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
