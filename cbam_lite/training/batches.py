"""Batches of any data set, random changes of the images in them, and what a network says about all of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset, default_collate

from cbam_lite.networks.modes import evaluating
from cbam_lite.training.images import LabelledImages

Augmentation = Callable[[Tensor, Generator], Tensor]  # images (B, 3, H, W), randomness -> images


def batch(data: Dataset[Any], index: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) as float32 and labels (B,) at these positions of any map-style data set."""
    if isinstance(data, LabelledImages):
        images, labels = data.images[index].to(device).float() / 255, data.labels[index]
    else:
        images, labels = default_collate([data[i] for i in index.tolist()])
    return images.to(device), labels.to(device)


def flips(images: Tensor, g: Generator) -> Tensor:
    """Each image mirrored left to right, and top to bottom, with probability 1/2: surfaces have no "up"."""
    for dim in (2, 3):
        mirrored = torch.rand(len(images), 1, 1, 1, generator=g) < 0.5
        images = torch.where(mirrored.to(images.device), images.flip(dim), images)
    return images


def shifts_and_mirrors(images: Tensor, g: Generator, pixels: int = 4) -> Tensor:
    """What CIFAR-10 is trained with: each image moved by up to 4 pixels (zeros come in), half of them mirrored."""
    B, C, H, W = images.shape
    padded = nn.functional.pad(images, [pixels] * 4)  # (B, C, H + 8, W + 8)
    top, left = torch.randint(2 * pixels + 1, (2, B, 1), generator=g).to(images.device)
    rows, columns = torch.arange(H, device=images.device) + top, torch.arange(W, device=images.device) + left  # (B, H)
    moved = padded.gather(2, rows[:, None, :, None].expand(-1, C, -1, W + 2 * pixels))  # (B, C, H, W + 8)
    moved = moved.gather(3, columns[:, None, None, :].expand(-1, C, H, -1))  # (B, C, H, W)
    mirrored = torch.rand(B, 1, 1, 1, generator=g) < 0.5
    return torch.where(mirrored.to(images.device), moved.flip(3), moved)


@torch.no_grad()
def predict(model: nn.Module, data: Dataset[Any], *, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """The logits (N, classes) of a model for every image, and the true labels (N,), both on the CPU.

    The model runs in eval mode, on its device; afterwards each of its modules has the mode it had.

    Raises:
        ValueError: there are no images.
    """
    device, parts = next(model.parameters()).device, []
    with evaluating(model):
        for index in torch.split(torch.arange(size_of(data)), batch_size):
            images, labels = batch(data, index, device)
            parts.append((model(images).float().cpu(), labels.cpu()))
    return torch.cat([logits for logits, _ in parts]), torch.cat([labels for _, labels in parts])


def evaluate(model: nn.Module, data: Dataset[Any], *, batch_size: int = 256) -> tuple[float, float]:
    """Mean cross-entropy, and accuracy from 0 to 1, of a model on a data set."""
    logits, labels = predict(model, data, batch_size=batch_size)
    return cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


def size_of(data: Dataset[Any]) -> int:
    N = len(data)  # type: ignore[arg-type]
    if N == 0:
        raise ValueError("the data set is empty: give at least one image")
    return N


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    if int(labels.max()) >= logits.shape[1] or int(labels.min()) < 0:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but the model has {logits.shape[1]} outputs: build it "
            f"with num_classes={int(labels.max()) + 1}, and count classes from 0"
        )
    return nn.functional.cross_entropy(logits, labels)
