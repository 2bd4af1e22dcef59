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
10. `data`, `defects`: images with labels and masks, from folders or computed.
11. `checkpoints`, `train`: keep a training's state, and train. `defect_nets`: small networks, some of them trained;
    `results`: what the experiments gave.
12. `gradcam`: see where a network looked; `localize`, `faithfulness`: is the map right?
13. `fused`: SE and CBAM in fewer passes over the map, on a GPU; `operators`, `kernels`: how.
14. `plot`, `samples`: the book's pictures and its photograph.
"""

from cbam_lite.cbam import CBAM, ChannelAttention, SpatialAttention
from cbam_lite.channel import (
    EfficientChannelAttention,
    SqueezeExcitation,
    eca_kernel_size,
)
from cbam_lite.checkpoints import load_checkpoint, save_checkpoint
from cbam_lite.convolution import multiply_adds, output_size, partial_maps
from cbam_lite.cost import Cost, cost
from cbam_lite.data import (
    LabelledImages,
    image_folder,
    masked_folder,
    pcb_folder,
    split,
    torchvision_data,
)
from cbam_lite.defect_nets import defect_net, trained_defect_net
from cbam_lite.defects import make_defects
from cbam_lite.fused import attend, use_fused, why_not
from cbam_lite.gradcam import cam
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
from cbam_lite.results import final_accuracy, mean_interval, provenance, read_results, read_scores, read_speed
from cbam_lite.samples import cat_photo
from cbam_lite.split_attention import SplitAttention, resnest50
from cbam_lite.train import History, evaluate, fit, flips, predict, shifts_and_mirrors
from cbam_lite.version import __version__
from cbam_lite.weights import export_weights, load_weights

__all__ = [
    "CBAM",
    "AttentionMaps",
    "ChannelAttention",
    "Cost",
    "EfficientChannelAttention",
    "History",
    "LabelledImages",
    "MobileNet",
    "ResNet",
    "SpatialAttention",
    "SplitAttention",
    "SqueezeExcitation",
    "__version__",
    "attend",
    "cam",
    "cat_photo",
    "cost",
    "defect_net",
    "eca_kernel_size",
    "evaluate",
    "export_weights",
    "final_accuracy",
    "fit",
    "flips",
    "image_folder",
    "insert_attention",
    "load_checkpoint",
    "load_weights",
    "make_defects",
    "masked_folder",
    "mean_interval",
    "multiply_adds",
    "network_of",
    "output_size",
    "overlay",
    "partial_maps",
    "pcb_folder",
    "predict",
    "printed_tables",
    "provenance",
    "read_results",
    "read_scores",
    "read_speed",
    "record_attention",
    "resnest50",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "resnext101",
    "save_checkpoint",
    "shifts_and_mirrors",
    "split",
    "torchvision_data",
    "trained_defect_net",
    "use_fused",
    "why_not",
    "wide_resnet18",
]
