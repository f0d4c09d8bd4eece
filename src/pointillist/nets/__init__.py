"""Networks behind one interface: encode, decode, copy afresh, graft. They know no method."""

from pointillist.nets.network import NetOut, SegmentationNet, Stages
from pointillist.nets.unet import UNet, UNetDecoder

__all__ = ["NetOut", "SegmentationNet", "Stages", "UNet", "UNetDecoder"]
