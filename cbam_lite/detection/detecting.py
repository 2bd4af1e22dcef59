"""What a trained detector finds: the slots above a threshold, without those that say the same twice."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from cbam_lite.checks import number, output_of, positive_int, tensor
from cbam_lite.detection.boxed_images import BoxedImages
from cbam_lite.detection.decoding import Slots, decode
from cbam_lite.detection.yolo import Anchors, YoloTiny
from cbam_lite.networks.modes import evaluating


@dataclasses.dataclass(frozen=True)
class Detections:
    """What was found in one image, the most confident first.

    Args:
        boxes: (n, 4), float32, x0, y0, x1, y1 in pixels of the image that the model saw, cut off at its border.
        labels: (n,), int64.
        confidences: (n,), objectness times class, from 0 to 1.
        places: (n, 4), int64: level, anchor, row and column of the slot that found it.
    """

    boxes: Tensor
    labels: Tensor
    confidences: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def above(self, confidence: float) -> "Detections":
        """Those with at least this confidence."""
        kept = self.confidences >= number("confidence", confidence, 0, 1)
        return Detections(self.boxes[kept], self.labels[kept], self.confidences[kept], self.places[kept])


@torch.no_grad()
def detect(
    model: YoloTiny,
    images: Tensor | BoxedImages,
    *,
    confidence: float = 0.25,
    iou: float = 0.45,
    most: int = 100,
    batch_size: int = 64,
) -> list[Detections]:
    """The objects that a detector finds in each image. Needs torchvision, for non-maximum suppression.

    Of two boxes of one class that overlap with more than `iou`, the more confident one is kept. One slot may name two
    classes, because each has its own sigmoid.

    Args:
        model: it runs in eval mode, and is left as it was.
        images: (B, 3, H, W) from 0 to 1, or `BoxedImages`. `letterbox` brings photographs to one size.
        confidence: what is kept; take 0.001 to compute average precision, which wants the whole curve.
        iou: from 0 to 1; 1 keeps all.
        most: so many of each image, the most confident ones.
        batch_size: images for one pass.

    Returns:
        `Detections` for each image. Where nothing is above the threshold, they have length 0.

    Raises:
        ValueError: a number is out of range, or the model cannot run on the images.
        TypeError: `images` are uint8: divide them by 255.
        ImportError: torchvision is not installed.

    Example:
        >>> found = detect(yolo_tiny(num_classes=6, width=0.25), torch.rand(2, 3, 128, 128))
        >>> [len(f) for f in found]
        [0, 0]
    """
    if not isinstance(model, YoloTiny):
        raise TypeError(f"model must be a YoloTiny, got {type(model).__name__}: yolo_tiny(num_classes=...) makes one")
    number("confidence", confidence, 0, 1), number("iou", iou, 0, 1)
    positive_int("most", most), positive_int("batch_size", batch_size)
    device, found = next(model.parameters()).device, []
    pixels = images.images if isinstance(images, BoxedImages) else tensor("images", images, "B, 3, H, W", floating=True)
    with evaluating(model):
        for part in torch.split(pixels, batch_size):
            part = part.to(device).float() / 255 if isinstance(images, BoxedImages) else part.to(device)
            slots = decode(output_of(model, part), model.anchors)
            found += [suppressed(slots, i, part.shape[-2:], confidence, iou, most) for i in range(len(part))]
    return found


def suppressed(slots: Slots, i: int, size: Sequence[int], confidence: float, iou: float, most: int) -> Detections:
    """The slots of one image above the threshold, without those that a better one of their class covers."""
    try:
        from torchvision.ops import batched_nms
    except ImportError as error:
        raise ImportError("non-maximum suppression is torchvision's: pip install torchvision") from error
    confidences = slots.objectness[i].sigmoid()[:, None] * slots.classes[i].sigmoid()  # (S, K)
    slot, labels = (confidences >= confidence).nonzero(as_tuple=True)
    values, limits = confidences[slot, labels], slots.boxes.new_tensor([*size[::-1], *size[::-1]]).float()
    boxes = slots.boxes[i, slot].float().clamp_min(0).minimum(limits)
    seen = (boxes[:, 2:] > boxes[:, :2]).all(1)  # a box may lie outside the image altogether
    boxes, values, labels, slot = boxes[seen], values[seen], labels[seen], slot[seen]
    kept = batched_nms(boxes, values.float(), labels, iou)[:most]
    found = (boxes[kept], labels[kept], values[kept].float(), slots.place[slot[kept]])
    return Detections(*(x.cpu() for x in found))


def anchors_for(data: BoxedImages, seed: int = 0) -> Anchors:
    """Six anchors for the boxes of a data set, the three largest for the coarse level: k-means of log width and height.

    Redmon and Farhadi, "YOLO9000", CVPR 2017, cluster by IoU; on a logarithmic scale plain k-means does much the same,
    for it then compares ratios.

    Args:
        data: at least six boxes.
        seed: of the boxes to begin with; the best of 20 beginnings is taken.

    Raises:
        ValueError: there are fewer than six boxes of different size.

    Example:
        >>> [len(level) for level in anchors_for(make_boxed_defects(32))]
        [3, 3]
    """
    boxes = torch.cat([objects.boxes for objects in data.objects])
    points = (boxes[:, 2:] - boxes[:, :2]).log()  # (n, 2)
    different = torch.unique(points, dim=0)
    if len(different) < 6:
        raise ValueError(f"{len(different)} boxes of different size are not enough for six anchors: give more images")
    g = torch.Generator().manual_seed(seed)
    starts = [different[torch.randperm(len(different), generator=g)[:6]] for _ in range(20)]
    middles = min((k_means(points, start) for start in starts), key=lambda m: torch.cdist(points, m).amin(1).sum())
    found = sorted(((round(w, 1), round(h, 1)) for w, h in middles.exp().tolist()), key=lambda wh: wh[0] * wh[1])
    return tuple(found[3:]), tuple(found[:3])


def k_means(points: Tensor, middles: Tensor, rounds: int = 30) -> Tensor:
    """Lloyd's algorithm: each middle becomes the mean of the points that are nearest to it. (n, 2), (k, 2) -> (k, 2)"""
    for _ in range(rounds):
        nearest = torch.cdist(points, middles).argmin(1)
        parts = [points[nearest == k] for k in range(len(middles))]
        middles = torch.stack([part.mean(0) if len(part) else middles[k] for k, part in enumerate(parts)])
    return middles
