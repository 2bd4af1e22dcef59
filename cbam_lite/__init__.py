"""Attention in convolutional networks, small enough to read in one sitting.

The folders are the parts of the book, and each says in which order its files are read:

1. `attention`: convolution, squeeze-and-excitation (SE), efficient channel attention (ECA), CBAM.
2. `networks`: attention in networks of yours and of ours; what it costs; weights of other projects.
3. `training`: images with labels and masks, and training on them.
4. `explaining`: where did the network look, and is the map right?
5. `speed`: SE and CBAM in fewer passes over the map, on a GPU.
6. `photographs`: your own, from a folder to a report.
7. `detection`: from classes to boxes, and why each box is there.
8. `practice`: is my implementation right? Checks that name the mistake, and the answers to the exercises.

Beside them stand `checks` (of arguments), `plot`, `diagrams` and `samples` (the book's pictures and its photograph),
`results` (what the experiments gave) and `seeds` (what a few runs can say). `from cbam_lite import ...` has all that
users need.
"""

# ruff: noqa: E402 (what is imported below needs the versions that are checked first)
from cbam_lite.version import __version__, check_versions

check_versions()

from cbam_lite import plot as plot
from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.channel_attention import ChannelAttention
from cbam_lite.attention.convolution import multiply_adds, output_size, partial_maps
from cbam_lite.attention.eca import EfficientChannelAttention, eca_kernel_size
from cbam_lite.attention.spatial_attention import SpatialAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.detection.average_precision import average_precision
from cbam_lite.detection.boards import pcb_boards
from cbam_lite.detection.boxed_defects import make_boxed_defects
from cbam_lite.detection.boxed_images import BoxedImages, Objects, boxed
from cbam_lite.detection.changes import crops, flips_with_boxes
from cbam_lite.detection.darknet_file import read_darknet, write_darknet
from cbam_lite.detection.decoding import decode
from cbam_lite.detection.detecting import anchors_for, detect
from cbam_lite.detection.detectors import trained_detector
from cbam_lite.detection.explaining_boxes import explain_boxes
from cbam_lite.detection.letterboxing import letterbox
from cbam_lite.detection.port_names import load_port
from cbam_lite.detection.reading_boxes import coco_boxes, yolo_folder
from cbam_lite.detection.train import fit_detector
from cbam_lite.detection.yolo import YoloTiny, yolo_tiny
from cbam_lite.explaining import faithfulness as faithfulness
from cbam_lite.explaining import gradcam as gradcam
from cbam_lite.explaining import localize as localize
from cbam_lite.explaining.gradcam import cam
from cbam_lite.explaining.scoring import score
from cbam_lite.networks.cost import Cost, cost
from cbam_lite.networks.insertion import insert_attention
from cbam_lite.networks.mobilenet import MobileNet
from cbam_lite.networks.papers import network_of, printed_tables
from cbam_lite.networks.pretrained import pretrained
from cbam_lite.networks.recording import AttentionMaps, record_attention
from cbam_lite.networks.resnet import (
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
from cbam_lite.networks.split_attention import SplitAttention, resnest50
from cbam_lite.networks.weights import export_weights, load_weights
from cbam_lite.photographs.annotations import coco_file, labelme_folder, voc_folder
from cbam_lite.photographs.describing import describe
from cbam_lite.photographs.exporting import export_onnx
from cbam_lite.photographs.folders import image_folder, masked_folder, mvtec_folder
from cbam_lite.photographs.known import pcb_folder, torchvision_data
from cbam_lite.photographs.measuring import measure
from cbam_lite.photographs.predicting import predict_folder
from cbam_lite.photographs.report import report
from cbam_lite.photographs.tables import csv_file
from cbam_lite.photographs.tiling import predict_tiles
from cbam_lite.plot import overlay
from cbam_lite.practice.exercises import check_answer
from cbam_lite.practice.judging import check
from cbam_lite.results import (
    final_accuracy,
    provenance,
    read_boards,
    read_box_maps,
    read_checks,
    read_detections,
    read_faithfulness,
    read_results,
    read_scores,
    read_speed,
)
from cbam_lite.samples import cat_photo
from cbam_lite.seeds import Comparison, compare, mean_interval, seeds_needed
from cbam_lite.speed.fused import attend, fuse, unfuse, use_fused, why_not
from cbam_lite.training.batches import evaluate, flips, lights_and_flips, predict, shifts_and_mirrors
from cbam_lite.training.checkpoints import load_checkpoint, save_checkpoint
from cbam_lite.training.defect_nets import defect_net, trained_defect_net
from cbam_lite.training.defects import make_defects
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.splitting import split
from cbam_lite.training.store import History
from cbam_lite.training.train import fit

__all__ = [
    "CBAM",
    "AttentionMaps",
    "BoxedImages",
    "ChannelAttention",
    "Comparison",
    "Cost",
    "EfficientChannelAttention",
    "History",
    "LabelledImages",
    "MobileNet",
    "Objects",
    "ResNet",
    "SpatialAttention",
    "SplitAttention",
    "SqueezeExcitation",
    "YoloTiny",
    "__version__",
    "anchors_for",
    "attend",
    "average_precision",
    "boxed",
    "cam",
    "cat_photo",
    "check",
    "check_answer",
    "coco_boxes",
    "coco_file",
    "compare",
    "cost",
    "crops",
    "csv_file",
    "decode",
    "defect_net",
    "describe",
    "detect",
    "eca_kernel_size",
    "evaluate",
    "explain_boxes",
    "export_onnx",
    "export_weights",
    "final_accuracy",
    "fit",
    "fit_detector",
    "flips",
    "flips_with_boxes",
    "fuse",
    "image_folder",
    "insert_attention",
    "labelme_folder",
    "letterbox",
    "lights_and_flips",
    "load_checkpoint",
    "load_port",
    "load_weights",
    "make_boxed_defects",
    "make_defects",
    "masked_folder",
    "mean_interval",
    "measure",
    "multiply_adds",
    "mvtec_folder",
    "network_of",
    "output_size",
    "overlay",
    "partial_maps",
    "pcb_boards",
    "pcb_folder",
    "predict",
    "predict_folder",
    "predict_tiles",
    "pretrained",
    "printed_tables",
    "provenance",
    "read_boards",
    "read_box_maps",
    "read_checks",
    "read_darknet",
    "read_detections",
    "read_faithfulness",
    "read_results",
    "read_scores",
    "read_speed",
    "record_attention",
    "report",
    "resnest50",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50",
    "resnext101",
    "save_checkpoint",
    "score",
    "seeds_needed",
    "shifts_and_mirrors",
    "split",
    "torchvision_data",
    "trained_defect_net",
    "trained_detector",
    "unfuse",
    "use_fused",
    "voc_folder",
    "why_not",
    "wide_resnet18",
    "write_darknet",
    "yolo_folder",
    "yolo_tiny",
]
