"""Attention in convolutional networks, small enough to read in one sitting.

The modules stand in the order of the book's chapters:

1. `convolution`: what a convolution computes, channel by channel, and what it costs.
2. `parts`: the pools, the gate and the checks that every attention module is made of.
3. `channel`: squeeze-and-excitation (SE) and efficient channel attention (ECA).
4. `cbam`: channel attention, spatial attention, and CBAM, which applies one after the other.
5. `insertion`: put attention into an existing network without changing what it computes.
6. `recording`: see the gates of a network while it runs.
7. `plot`, `samples`: the book's pictures and its photograph.
"""

from cbam_lite.cbam import CBAM, ChannelAttention, SpatialAttention
from cbam_lite.channel import (
    EfficientChannelAttention,
    SqueezeExcitation,
    eca_kernel_size,
)
from cbam_lite.convolution import multiply_adds, output_size, partial_maps
from cbam_lite.insertion import insert_attention
from cbam_lite.plot import overlay
from cbam_lite.recording import AttentionMaps, record_attention
from cbam_lite.samples import cat_photo
from cbam_lite.version import __version__

__all__ = [
    "CBAM",
    "AttentionMaps",
    "ChannelAttention",
    "EfficientChannelAttention",
    "SpatialAttention",
    "SqueezeExcitation",
    "__version__",
    "cat_photo",
    "eca_kernel_size",
    "insert_attention",
    "multiply_adds",
    "output_size",
    "overlay",
    "partial_maps",
    "record_attention",
]
