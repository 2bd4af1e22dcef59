"""Train a detector: `fit_detector`, with the loop, the checkpoints and the promises of `fit`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from cbam_lite.checks import function
from cbam_lite.detection.average_precision import average_precision
from cbam_lite.detection.boxed_images import BoxedImages, Objects, checked_objects
from cbam_lite.detection.changes import Change
from cbam_lite.detection.detecting import detect
from cbam_lite.detection.loss import detection_loss
from cbam_lite.detection.yolo import YoloTiny
from cbam_lite.training.loop import autocast, checked_device, run
from cbam_lite.training.settings import hash_of, name_of
from cbam_lite.training.store import History

COLUMNS = ("epoch", "lr", "train_loss", "train_box", "train_objectness", "train_classes", "valid_AP50", "seconds")


def fit_detector(
    model: YoloTiny,
    train: BoxedImages,
    valid: BoxedImages | None = None,
    *,
    epochs: int,
    batch_size: int = 32,
    lr: float = 3e-3,
    weight_decay: float = 1e-2,
    change: Change | None = None,
    keep: Literal["last", "best"] = "last",
    seed: int = 0,
    device: torch.device | str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train a detector with AdamW and `detection_loss`; the rest is as in `fit`.

    Args:
        model: it is changed in place, moved to `device`, and left in eval mode.
        train: `BoxedImages`, of a size whose sides are multiples of 32, unless `change` cuts them so.
        valid: after each epoch its AP50 (COCO's rule) is measured; never trained on.
        change: called with the images of a batch, their objects and a `torch.Generator`; `flips_with_boxes`, for
            example, or `crops(128)`.
        epochs, batch_size, lr, weight_decay, keep, seed, device, checkpoint, progress: as in `fit`. "best" is the epoch
            with the highest ``valid_AP50``.

    Returns:
        `History` with the columns "epoch", "lr", "train_loss", its parts "train_box", "train_objectness" and
        "train_classes", "valid_AP50" (NaN without `valid`) and "seconds".

    Raises:
        FloatingPointError, ValueError, TypeError, ImportError, KeyboardInterrupt: as in `fit`. Validation needs
            torchvision.

    Example:
        >>> model = yolo_tiny(num_classes=6, width=0.25)
        >>> history = fit_detector(model, make_boxed_defects(8), epochs=1, batch_size=4, progress=False)
        >>> history["epoch"]
        [1]
    """
    boxed_images("train", train, model)
    if valid is not None:
        boxed_images("valid", valid, model)
        if valid.classes != train.classes:
            raise ValueError(f"train has the classes {list(train.classes)}, valid {list(valid.classes)}: use the same")
    if change is not None:
        function("change", change, "give one of images, objects and a torch.Generator, flips_with_boxes for example")
    device = checked_device(device)
    settings: dict[str, Any] = {"change": name_of(change), "classes": list(train.classes)}
    settings["anchors"] = [[list(wh) for wh in level] for level in model.anchors]
    if checkpoint is not None:
        settings |= {"train": fingerprint(train), "valid": "none" if valid is None else fingerprint(valid)}

    def forward(index: Tensor, g: Generator) -> tuple[Tensor, tuple[float, float, float]]:
        images, objects = boxed_batch(train, index, device)
        images, objects = changed(change, images, objects, g, train.classes)
        with autocast(images.device):
            levels = model(images)
        losses = detection_loss(levels, objects, model.anchors)
        box, objectness, classes = (part.item() * len(images) for part in losses)
        return losses.total, (box, objectness, classes)

    def measure() -> tuple[float]:
        if valid is None:
            return (math.nan,)
        AP50 = average_precision(detect(model, valid, confidence=0.001), valid).AP50
        return (math.nan if AP50 is None else AP50,)

    def remember() -> None:
        model.classes = list(train.classes)  # type: ignore[assignment]

    return run(
        model,
        len(train),
        forward,
        measure,
        History({name: [] for name in COLUMNS}, score="valid_AP50"),
        settings,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        keep=keep,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        progress=progress,
        prepare=remember,
    )


def boxed_images(name: str, data: BoxedImages, model: YoloTiny) -> None:
    """An error unless these are images with boxes that the model has outputs for."""
    if isinstance(data, DataLoader) or not isinstance(data, BoxedImages):
        raise TypeError(
            f"{name} must be BoxedImages, got {type(data).__name__}: read them with yolo_folder or coco_boxes, or turn "
            "LabelledImages with objects into them with boxed(data)"
        )
    if not isinstance(model, YoloTiny):
        raise TypeError(f"model must be a YoloTiny, got {type(model).__name__}: yolo_tiny(num_classes=...) makes one")
    if not len(data) or not any(len(objects.labels) for objects in data.objects):
        raise ValueError(f"{name} has {len(data)} images without a single object: there is nothing to learn from")
    if len(data.classes) != model.num_classes:
        raise ValueError(
            f"{name} has {len(data.classes)} classes, the model {model.num_classes}: build it with "
            f"num_classes={len(data.classes)}"
        )
    named = getattr(model, "classes", None)
    if named is not None and list(named) != list(data.classes):
        raise ValueError(f"model was trained on {list(named)}, {name} has {list(data.classes)}: use a new model")


def fingerprint(data: BoxedImages) -> str:
    """A short hash of images, boxes, labels and class names. Of grey images, three equal channels, one is enough."""
    images = data.images[:, :1] if data.images.stride(1) == 0 else data.images
    counts = torch.tensor([len(objects.labels) for objects in data.objects])
    parts = (torch.cat(part) for part in zip(*data.objects, strict=True))
    return hash_of(repr(data.classes), [images, counts, *parts])


def boxed_batch(data: BoxedImages, index: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, list[Objects]]:
    """Images (B, 3, H, W), float32 from 0 to 1, and the objects of each."""
    return data.images[index].to(device).float() / 255, [data.objects[i] for i in index.tolist()]


def changed(
    change: Change | None, images: Tensor, objects: list[Objects], g: Generator, classes: Sequence[str]
) -> tuple[Tensor, list[Objects]]:
    """The batch after `change`, whose boxes are checked against the images it gives."""
    if change is None:
        return images, objects
    new, boxes = change(images, objects, g)
    if not isinstance(new, Tensor) or new.shape[:2] != images.shape[:2] or len(boxes) != len(images):
        found = tuple(new.shape) if isinstance(new, Tensor) else type(new).__name__
        raise ValueError(f"change gave images {found} and {len(boxes)} objects for {tuple(images.shape)}: give as many")
    H, W = new.shape[2:]
    return new, [checked_objects(f"objects[{i}] after change", one, H, W, classes) for i, one in enumerate(boxes)]
