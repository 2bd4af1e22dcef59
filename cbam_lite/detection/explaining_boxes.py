"""Why this box? A map for each detection, from the score of the one slot that found it.

`cam` explains one number of each image. A detector gives thousands, and a detection comes from one slot of them: an
anchor in a cell of a level. With its raw numbers t_o and t_k::

    score = log confidence = log sigmoid(t_o) + log sigmoid(t_k)        d score / d t = 1 - sigmoid(t)

So of objectness and class, the one that is less sure weighs more. Confidence itself would make both gradients vanish
where the detector is certain. Choosing detections and suppressing those that say the same are outside of the gradient:
choose first, explain then.

One cell sees little of the last maps. Its gradient is zero outside of 3x3 cells of the map that its head reads, so
Grad-CAM's weights are the mean over a map of which 9 places count, and its map lights up wherever the same channels
are active, also where this slot sees nothing. LayerCAM and HiResCAM keep the place. In front of an attention module the
gradient is everywhere, because a gate depends on the whole map: so layers are taken behind it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cbam_lite.checks import choose, tensor
from cbam_lite.detection.boxes import sides
from cbam_lite.detection.decoding import decode
from cbam_lite.detection.detecting import Detections, detect
from cbam_lite.detection.letterboxing import Letterbox, letterbox, picture, size_of
from cbam_lite.detection.yolo import STRIDES, YoloTiny
from cbam_lite.explaining.faithfulness import Fill, deletion, mean_colour
from cbam_lite.explaining.gradcam import Score, cam, class_numbers, of_class, positive, resize
from cbam_lite.explaining.layers import layer_of, names_of
from cbam_lite.explaining.methods import METHODS, Method, Name
from cbam_lite.networks.modes import evaluating
