"""Train a classifier: `fit`, whose loop is in `loop`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cbam_lite.checks import function, output_of
from cbam_lite.training.batches import (
    Augmentation,
    batch,
    classes_of,
    evaluate,
    one_for_each,
    same_classes,
    size_of,
)
from cbam_lite.training.loop import autocast, checked_device, run
from cbam_lite.training.settings import Loss, fingerprint, loss_of, name_of
from cbam_lite.training.store import History

# ---- one batch ------------------------------------------------------------------------------------------------------


def augmented(augment: Augmentation | None, images: Tensor, g: Generator) -> Tensor:
    """The images of one step after `augment`."""
    if augment is None:
        return images
    try:
        changed = augment(images, g)
    except TypeError as error:
        raise TypeError(
            f"augment({tuple(images.shape)}, generator) failed: {error}. It gets a batch of images and a "
            "torch.Generator; a transform of torchvision takes the images only: augment=lambda images, g: "
            "transform(images), whose random numbers `fit` seeds in each epoch"
        ) from error
    if not isinstance(changed, Tensor) or changed.shape[:1] != images.shape[:1]:
        found = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise ValueError(
            f"augment gave {found} for images {tuple(images.shape)}: it has to give as many images; a transform of "
            "torchvision takes the images only, augment=lambda images, g: transform(images)"
        )
    return changed


def loss_and_right(model: nn.Module, images: Tensor, labels: Tensor, loss_of_batch: Loss) -> tuple[Tensor, int]:
    """The loss of one batch, and how many of its images were right."""
    with autocast(images.device):
        logits = one_for_each(logits_of(model, images), len(images))
    return loss_of_batch(logits.float(), labels), int((logits.argmax(1) == labels).sum())


def logits_of(model: nn.Module, images: Tensor) -> Any:
    """What the model gives in training, or an error that tells a batch of one image from other mistakes."""
    try:
        return output_of(model, images)
    except ValueError as error:
        if len(images) > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "a batch of 1 image has no spread for the batch norm behind a 1x1 map: choose batch_size so that the last "
            "batch of an epoch has at least 2 images, or give larger images"
        ) from error


# ---- all of them ----------------------------------------------------------------------------------------------------


def fit(
    model: nn.Module,
    train: Dataset[Any],
    valid: Dataset[Any] | None = None,
    *,
    epochs: int,
    batch_size: int = 64,
    lr: float = 3e-3,
    weight_decay: float = 1e-2,
    augment: Augmentation | None = None,
    class_weights: Sequence[float] | Literal["balanced"] | None = None,
    loss: Loss | None = None,
    keep: Literal["last", "best"] = "last",
    seed: int = 0,
    device: torch.device | str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> History:
    """Train a classifier with AdamW and cross-entropy; the learning rate rises linearly, then falls along a cosine.

    On CUDA the forward pass runs in bfloat16, or in float16 with a scaled loss where the GPU has no bfloat16; the
    weights stay float32, and cuDNN is asked for deterministic kernels.

    Args:
        model: (B, 3, H, W) -> (B, classes). It is changed in place, moved to `device`, and left in eval mode.
        train: `LabelledImages`, or any map-style data set of (image, label).
        valid: measured after each epoch, never trained on.
        epochs: passes over `train`, each in a new order.
        batch_size: images for one step. The last batch of an epoch may be smaller.
        lr: the highest learning rate.
        weight_decay: AdamW's.
        augment: called with each training batch and a `torch.Generator`, `flips` for example.
        class_weights: one number for each class, by which cross-entropy weighs its images; "balanced" takes N / (K n_k)
            for each of K classes with n_k of N images, so that a rare defect counts as much as the good parts. The
            probabilities then are those of classes that are equally frequent.
        loss: called with logits (B, classes) and labels (B,) instead of cross-entropy, for example
            ``nn.CrossEntropyLoss(label_smoothing=0.1)``. Validation keeps plain cross-entropy.
        keep: "last" leaves the weights of the last epoch in the model, "best" those of the epoch with the highest
            ``valid_accuracy``. The validation score of an epoch that was chosen so is a little too good.
        seed: of order, augmentation and dropout. The initial weights are those that the model has.
        device: None takes CUDA where there is one, else the CPU.
        checkpoint: a folder. It holds the state after the ``last`` epoch and the ``best`` weights; where it holds some
            already, training goes on from there, on the CPU bit for bit as if it had never stopped. It remembers hashes
            of both data sets, the class names and the other settings, and refuses to go on with others. Functions are
            known by their name only, and data sets that load their images late by kind and size. Needs safetensors.
        progress: show a bar, with the loss of the step and the last ``valid_accuracy``. Needs tqdm.

    Returns:
        `History`. The model holds the weights of the last epoch, or the best. After Ctrl-C it holds the best so far, by
        ``valid_accuracy``, or by ``train_loss`` without `valid`; then ``history.interrupted`` is True. From data with
        class names the model gets them as ``model.classes``, and `evaluate` refuses data with others.

    Raises:
        FloatingPointError: the loss or a weight became NaN or infinite. The model holds the best so far, and so does
            the checkpoint: weights that are no numbers are never kept.
        ValueError: labels do not fit the model, `train` and `valid` have other classes, a number is out of range, or
            the checkpoint is damaged or comes from a training with other settings, other data or another network.
        TypeError: an argument is of another kind, `train` is a `DataLoader`, or labels are not whole numbers.
        ImportError: tqdm or safetensors is missing and asked for.
        KeyboardInterrupt: Ctrl-C came before the first epoch was over.

    Example:
        >>> train, valid = make_defects(64), make_defects(32, seed=1)  # thousands, in earnest
        >>> history = fit(defect_net("CBAM"), train, valid, epochs=2, augment=flips)
        >>> history["epoch"]
        [1, 2]
    """
    N = size_of("train", train)
    if valid is not None:
        size_of("valid", valid)
        same_classes("train", train, "valid", valid)
    loss_of_batch = loss_of(loss, class_weights, train)
    if augment is not None:
        function("augment", augment, "give one of images and a torch.Generator, flips for example")
    device = checked_device(device)
    settings: dict[str, Any] = {"augment": name_of(augment), "loss": name_of(loss), "classes": classes_of(train)}
    settings |= {"class_weights": class_weights if isinstance(class_weights, str | None) else [*class_weights]}
    if checkpoint is not None:
        settings |= {"train": fingerprint(train), "valid": fingerprint(valid)}

    def forward(index: Tensor, g: Generator) -> tuple[Tensor, tuple[float]]:
        images, labels = batch(train, index, device)
        loss, right = loss_and_right(model, augmented(augment, images, g), labels, loss_of_batch)
        return loss, (right,)

    def measure() -> tuple[float, float]:
        return (math.nan, math.nan) if valid is None else evaluate(model, valid)

    return run(
        model,
        N,
        forward,
        measure,
        History(),
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
        prepare=lambda: remember_classes(model, train),
    )


def remember_classes(model: nn.Module, data: Dataset[Any]) -> None:
    """Put the class names of the data into the model, ``model.classes``: label 0 means the first of them."""
    names = classes_of(data)
    if names is not None:
        model.classes = names  # type: ignore[assignment]
