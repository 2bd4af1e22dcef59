"""Batches of any data set, random changes of the images in them, and what a network says about all of them."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from cbam_lite.checks import a_module, output_of, positive_int, tensor, whole
from cbam_lite.networks.modes import evaluating
from cbam_lite.training.images import LabelledImages

Augmentation = Callable[[Tensor, Generator], Tensor]  # images (B, 3, H, W), randomness -> images


BRIGHTEST = 30  # of images without negative values: those from 0 to 255 have more, and scaled ones less


def batch(data: Dataset[Any], index: Tensor, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) as float32 and labels (B,) at these positions of any map-style data set."""
    if isinstance(data, LabelledImages):
        images, labels = data.images[index].to(device).float() / 255, data.labels[index]
    else:
        images, labels = collated([data[i] for i in index.tolist()])
    return images.to(device), labels.long().to(device)


def collated(items: list[Any]) -> tuple[Tensor, Tensor]:
    """Images and labels of items (image, label), or an error that says what else the data set gives."""
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise TypeError(
                f"the data set gives {type(item).__name__}, not (image, label): use TensorDataset, for example"
            )
    try:
        images, labels = default_collate(items)
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"images of the data set make no batch: give tensors (3, H, W) of one size ({error})"
        ) from error
    if not isinstance(images, Tensor) or not images.is_floating_point():
        found = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images of the data set are {found}: give float32 from 0 to 1, uint8 divided by 255")
    if images.numel() and images.min() >= 0 and images.max() > BRIGHTEST:
        raise ValueError(
            f"images of the data set run from {images.min():g} to {images.max():g}: divide them by 255, so that they "
            "run from 0 to 1 as the images of this package do"
        )
    return images, whole_labels(labels)


def whole_labels(labels: Any) -> Tensor:
    """Labels (B,) if they are whole numbers."""
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
        found = labels.dtype if isinstance(labels, Tensor) else f"{labels[0]!r}, ..."
        raise TypeError(f"labels are {found}: give whole numbers, for names classes.index(name)")
    if labels.dim() != 1:
        raise ValueError(
            f"labels of a batch have the shape {tuple(labels.shape)}, expected (B,): one number for each image"
        )
    return labels


def flips(images: Tensor, g: Generator) -> Tensor:
    """Each image mirrored left to right, and top to bottom, with probability 1/2: surfaces have no "up".

    Example:
        >>> flips(torch.rand(8, 3, 64, 64), torch.Generator().manual_seed(0)).shape
        torch.Size([8, 3, 64, 64])
        >>> history = fit(defect_net("SE"), make_defects(16), epochs=1, augment=flips)
    """
    B, C, H, W = randomly("images", images, g).shape
    for dim in (2, 3):
        mirrored = torch.rand(len(images), 1, 1, 1, generator=g) < 0.5
        images = torch.where(mirrored.to(images.device), images.flip(dim), images)
    return images


def lights_and_flips(images: Tensor, g: Generator) -> Tensor:
    """Each image in other light, and mirrored as `flips` does: what photographs of one surface differ in.

    The values are multiplied by 0.6 to 1.4, then up to 0.15 is added or taken away; what leaves 0 to 1 is cut off.

    Example:
        >>> lights_and_flips(torch.rand(8, 3, 64, 64), torch.Generator().manual_seed(0)).shape
        torch.Size([8, 3, 64, 64])
    """
    B, C, H, W = randomly("images", images, g).shape
    gain, offset = torch.rand(2, B, 1, 1, 1, generator=g).to(images)
    return (flips(images, g) * (0.6 + 0.8 * gain) + 0.3 * offset - 0.15).clamp(0, 1)


def shifts_and_mirrors(images: Tensor, g: Generator, pixels: int = 4) -> Tensor:
    """What CIFAR-10 is trained with: each image moved by up to 4 pixels (zeros come in), half of them mirrored.

    Example:
        >>> shifts_and_mirrors(torch.rand(8, 3, 32, 32), torch.Generator().manual_seed(0), pixels=2).shape
        torch.Size([8, 3, 32, 32])
    """
    B, C, H, W = randomly("images", images, g).shape
    whole("pixels", pixels)
    padded = nn.functional.pad(images, [pixels] * 4)  # (B, C, H + 8, W + 8)
    top, left = torch.randint(2 * pixels + 1, (2, B, 1), generator=g).to(images.device)
    rows, columns = torch.arange(H, device=images.device) + top, torch.arange(W, device=images.device) + left  # (B, H)
    moved = padded.gather(2, rows[:, None, :, None].expand(-1, C, -1, W + 2 * pixels))  # (B, C, H, W + 8)
    moved = moved.gather(3, columns[:, None, None, :].expand(-1, C, H, -1))  # (B, C, H, W)
    mirrored = torch.rand(B, 1, 1, 1, generator=g) < 0.5
    return torch.where(mirrored.to(images.device), moved.flip(3), moved)


def randomly(name: str, images: Tensor, g: Generator) -> Tensor:
    """Images (B, C, H, W), or an error that says what is wrong with them or with the randomness."""
    if not isinstance(g, Generator) or g.device.type != "cpu":
        found = g.device if isinstance(g, Generator) else repr(g)
        raise TypeError(f"g must be a torch.Generator on the CPU, got {found}: use torch.Generator().manual_seed(0)")
    return tensor(name, images, "B, C, H, W")


@torch.no_grad()
def predict(model: nn.Module, data: Dataset[Any], *, batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """The logits (N, classes) of a model for every image, and the true labels (N,), both on the CPU.

    The model runs in eval mode, on its device; afterwards each of its modules has the mode it had.

    Raises:
        ValueError: there are no images, the model cannot run on them, or it was trained on other classes.
        TypeError: `data` is a tensor or a `DataLoader`, not a data set.

    A model that `fit` trained carries the names of its classes, ``model.classes``. Data whose names differ have other
    labels, so they are refused.

    Example:
        >>> model, card = trained_defect_net("CBAM")
        >>> logits, labels = predict(model, make_defects(16, seed=1))
        >>> logits.shape
        torch.Size([16, 8])
    """
    tensors = itertools.chain(a_module("model", model).parameters(), model.buffers())
    same_classes("model", model, "data", data)
    device, parts = next(tensors, torch.empty(0)).device, []
    index = torch.arange(size_of("data", data))
    with evaluating(model):
        for some in torch.split(index, positive_int("batch_size", batch_size)):
            images, labels = batch(data, some, device)
            logits = one_for_each(output_of(model, images), len(labels))
            parts.append((logits.float().cpu(), labels.cpu()))
    return torch.cat([logits for logits, _ in parts]), torch.cat([labels for _, labels in parts])


def evaluate(model: nn.Module, data: Dataset[Any], *, batch_size: int = 256) -> tuple[float, float]:
    """Mean cross-entropy, and accuracy from 0 to 1, of a model on a data set.

    Example:
        >>> model, card = trained_defect_net("CBAM")
        >>> loss, accuracy = evaluate(model, make_defects(64, seed=1))
    """
    logits, labels = predict(model, data, batch_size=batch_size)
    return cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


def one_for_each(output: Any, B: int) -> Tensor:
    """What a model gave for B images, if it is one tensor with a row for each."""
    if not isinstance(output, Tensor) or output.shape[:1] != (B,):
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"the model gives {found} for {B} images, expected logits ({B}, classes): wrap it in one that does"
        )
    return output


def classes_of(thing: object) -> list[str] | None:
    """The class names that a data set or a model carries; None if it has none."""
    found = getattr(thing, "classes", None)
    return [*found] if isinstance(found, tuple | list) and all(isinstance(name, str) for name in found) else None


def same_classes(first: str, a: object, second: str, b: object) -> None:
    """An error if both carry class names, and other ones: then label 0 of one is not label 0 of the other."""
    there, here = classes_of(a), classes_of(b)
    if there is not None and here is not None and there != here:
        raise ValueError(
            f"{first} has the classes {there}, {second} has {here}, so equal labels mean different things: load the "
            f"images with classes={there}, or train with these"
        )


def size_of(name: str, data: Dataset[Any]) -> int:
    """How many images a data set has, or an error that says what to give instead."""
    if isinstance(data, DataLoader):
        raise TypeError(
            f"{name} is a DataLoader: give its data set, {name}.dataset; batches are made here, of batch_size"
        )
    map_style = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if not map_style or isinstance(data, Tensor | np.ndarray | str | Mapping):
        raise TypeError(
            f"{name} must be LabelledImages or a map-style data set of (image, label), got {type(data).__name__}: "
            "use TensorDataset(images, labels); for the logits of images without labels call model(images)"
        )
    N = len(data)  # type: ignore[arg-type]
    if N == 0:
        raise ValueError(f"{name}: the data set is empty: give at least one image")
    return N


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean loss of logits (B, classes) and labels (B,), or an error that says why there is none."""
    B, classes = logits_for(logits, labels).shape
    if weights is None:
        return nn.functional.cross_entropy(logits, labels)
    if len(weights) > classes:
        raise ValueError(f"there are {len(weights)} class weights for {classes} outputs of the model: give {classes}")
    padded = nn.functional.pad(weights, (0, classes - len(weights)))  # classes that never occur weigh nothing
    return nn.functional.cross_entropy(logits, labels, padded.to(logits))


def logits_for(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits, if they have an output for each label."""
    if one_for_each(logits, len(labels)).dim() != 2:
        raise ValueError(
            f"the model gives {tuple(logits.shape)}, expected logits (B, classes): pool the map, and flatten it"
        )
    if int(labels.max()) >= logits.shape[1] or int(labels.min()) < 0:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but the model has {logits.shape[1]} outputs: build it "
            f"with num_classes={int(labels.max()) + 1}, and count classes from 0"
        )
    return logits
