"""What a training is of: the classes, the data, the loss, the augmentation, so that none is mistaken for another."""

import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from cbam_lite.checks import function, sequence
from cbam_lite.training.batches import cross_entropy, logits_for, whole_labels
from cbam_lite.training.images import LabelledImages

Loss = Callable[[Tensor, Tensor], Tensor]  # logits (B, classes), labels (B,) -> one number


# ---- names that can be compared and stored ---------------------------------------------------------------------------


def fingerprint(data: Dataset[Any] | None) -> str:
    """A short hash of images, labels and class names; of data sets that are not in memory, their kind and size only."""
    if data is None:
        return "none"
    if isinstance(data, LabelledImages):
        tensors: tuple[Tensor, ...] = (data.images, data.labels)
        words = repr(data.classes)
    elif isinstance(data, TensorDataset):
        tensors, words = data.tensors, ""
    else:
        return f"{type(data).__qualname__} of {len(data)}"  # type: ignore[arg-type]
    return hash_of(words, tensors)


def hash_of(words: str, tensors: Iterable[Tensor]) -> str:
    """A short hash of a text and some tensors."""
    digest = hashlib.sha256(words.encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def name_of(chosen: Callable[..., Any] | None) -> str:
    """A name for a function: its own, with the arguments of a `functools.partial`; of other objects, what they print.

    Two lambdas have one name, and a function may change behind its name: what such names promise is no more than that.
    """
    if chosen is None:
        return "none"
    if isinstance(chosen, functools.partial):
        words = [*map(repr, chosen.args), *(f"{name}={value!r}" for name, value in sorted(chosen.keywords.items()))]
        return f"{name_of(chosen.func)}({', '.join(words)})"
    if isinstance(chosen, nn.Module):
        return repr(chosen)
    return str(getattr(chosen, "__qualname__", type(chosen).__qualname__))


# ---- the loss --------------------------------------------------------------------------------------------------------


def loss_of(loss: Loss | None, class_weights: Sequence[float] | str | None, train: Dataset[Any]) -> Loss:
    """The loss of a batch: the one given, or cross-entropy with or without class weights."""
    if loss is not None and class_weights is not None:
        raise ValueError(
            "loss and class_weights are both given: weigh the classes in the loss, nn.CrossEntropyLoss(weight=...)"
        )
    if loss is not None:
        return checked_loss(function("loss", loss, "give one of logits and labels, nn.CrossEntropyLoss() for example"))
    if class_weights is None:
        return cross_entropy
    if isinstance(class_weights, str):
        if class_weights != "balanced":
            raise ValueError(f"class_weights={class_weights!r} must be 'balanced' or one number for each class")
        weights = balanced(labels_of(train))
    else:
        weights = torch.tensor(sequence("class_weights", class_weights, 0))

    def weighted(logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits, labels, weights)

    return weighted


def balanced(labels: Tensor) -> Tensor:
    """N / (K n_k) for each class k: each of the K classes that occur weighs the same in the sum over all images."""
    counts = torch.bincount(labels).float()
    return torch.where(counts > 0, len(labels) / ((counts > 0).sum() * counts.clamp(min=1)), 0)


def labels_of(data: Dataset[Any]) -> Tensor:
    """All labels (N,) of a data set that can tell them without loading its images."""
    if isinstance(data, LabelledImages):
        return data.labels.long()
    if isinstance(data, TensorDataset):
        return whole_labels(data.tensors[1]).long()
    if hasattr(data, "targets"):  # torchvision's word
        return whole_labels(torch.as_tensor(data.targets)).long()
    raise ValueError(
        f"class_weights='balanced' needs the labels, and {type(data).__name__} has no `targets`: give the weights, "
        "N / (K n_k) for each class k of K with n_k images"
    )


def checked_loss(loss: Loss) -> Loss:
    """A loss of the user's own, or an error that says what it gave instead of one number."""

    def checked(logits: Tensor, labels: Tensor) -> Tensor:
        value = loss(logits_for(logits, labels), labels)
        if not isinstance(value, Tensor) or value.dim():
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss gave {found} for {len(labels)} images: it has to give one number, their mean")
        return value

    return checked
