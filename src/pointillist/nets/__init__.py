"""Networks behind one interface: encode, decode, copy afresh, graft. They know no method."""

from pointillist.nets.attention import SpatialAttention
from pointillist.nets.network import NetOut, SegmentationNet, Stages
from pointillist.nets.unet import UNet, UNetDecoder

__all__ = ["NetOut", "SegmentationNet", "SpatialAttention", "Stages", "UNet", "UNetDecoder"]
