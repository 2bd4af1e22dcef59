"""Attention in convolutional networks, small enough to read in one sitting.

The modules stand in the order of the book's chapters:

1. `convolution`: what a convolution computes, channel by channel, and what it costs.
2. `parts`: the pools, the gate and the checks that every attention module is made of.
3. `channel`: squeeze-and-excitation (SE) and efficient channel attention (ECA).
4. `cbam`: channel attention, spatial attention, and CBAM, which applies one after the other.
5. `insertion`: put attention into an existing network without changing what it computes.
6. `recording`: see the gates of a network while it runs.
7. `resnet`, `mobilenet`, `split_attention`: networks with attention inside.
8. `cost`: parameters, multiply-adds and moved numbers of any network; `papers`: the printed tables to compare with.
9. `weights`: load and write the weights of other projects.
10. `plot`, `samples`: the book's pictures and its photograph.
"""

from cbam_lite.cbam import CBAM, ChannelAttention, SpatialAttention
from cbam_lite.channel import (
    EfficientChannelAttention,
    SqueezeExcitation,
    eca_kernel_size,
)
from cbam_lite.convolution import multiply_adds, output_size, partial_maps
from cbam_lite.cost import Cost, cost
from cbam_lite.insertion import insert_attention
from cbam_lite.mobilenet import MobileNet
from cbam_lite.papers import network_of, printed_tables
from cbam_lite.plot import overlay
from cbam_lite.recording import AttentionMaps, record_attention
from cbam_lite.resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50,
    resnext101,
    wide_resnet18,
)
from cbam_lite.samples import cat_photo
from cbam_lite.split_attention import SplitAttention, resnest50
from cbam_lite.version import __version__
from cbam_lite.weights import export_weights, load_weights

__all__ = [
    "CBAM",
    "AttentionMaps",
    "ChannelAttention",
    "Cost",
    "EfficientChannelAttention",
    "MobileNet",
    "ResNet",
    "SpatialAttention",
    "SplitAttention",
    "SqueezeExcitation",
    "__version__",
    "cat_photo",
    "cost",
    "eca_kernel_size",
    "export_weights",
    "insert_attention",
    "load_weights",
    "multiply_adds",
    "network_of",
    "output_size",
    "overlay",
    "partial_maps",
    "printed_tables",
    "record_attention",
    "resnest50",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "resnext101",
    "wide_resnet18",
]
