"""A backbone that has seen ImageNet, with a head for your classes and attention that starts as the identity."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.checks import positive_int
from cbam_lite.networks.insertion import insert_attention

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and spread of red, green and blue


class Normalise(nn.Module):
    """Images from 0 to 1 become what the backbone was trained on: (x - mean) / std for each colour."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={values.flatten().tolist()}" for name, values in self.named_buffers())


def pretrained(
    name: str,
    num_classes: int,
    attention: Callable[..., nn.Module] | None = None,
    *,
    weights: str | None = "DEFAULT",
    where: str | Sequence[str] | None = None,
    report: Callable[[str], object] | None = print,
    **options: Any,
) -> nn.Sequential:
    """A network of torchvision with its trained weights, ready for `fit`: its normalisation, attention, a new head.

    Args:
        name: as in `torchvision.models.list_models()`: "resnet18", "efficientnet_b0" ...
        num_classes: outputs of the new head; the last layer of the network is replaced and starts untrained.
        attention: inserted by `insert_attention` with its identity start, so the network computes at first what it
            computed before; None inserts nothing.
        weights: a name of torchvision's weights, "DEFAULT" or "IMAGENET1K_V1" for example; the first time they are
            downloaded. None builds the network untrained.
        where: the places of the attention, as in `insert_attention`; None finds the blocks of a ResNet.
        report: called with one line for each insertion; None keeps silent.
        options: handed on to `insert_attention`: ``reduction=8``, for example.

    Returns:
        A chain of ``normalise`` and ``network``. It takes images from 0 to 1, (B, 3, H, W), as `fit` and `cam` give
        them, and gives logits (B, num_classes). A layer is called ``network.layer4`` in it.

    Raises:
        ImportError: torchvision is not installed.
        ValueError: there is no such network, no such weights, or no last layer that is known.
        OSError: the weights could not be downloaded.

    Example:
        >>> model = pretrained("resnet18", 3, CBAM, weights=None, where="layer4.*.bn2")
        CBAM for 512 channels after layer4.0.bn2
        CBAM for 512 channels after layer4.1.bn2
        >>> model(torch.rand(2, 3, 224, 224)).shape
        torch.Size([2, 3])
    """
    positive_int("num_classes", num_classes)
    network, statistics = of_torchvision(name, weights)
    replace_head(network, num_classes)
    if attention is not None:
        insert_attention(network, attention, where, report=report, **options)
    elif where is not None or options:
        raise ValueError(
            f"where={where!r} and {options} say how to insert, but attention is None: give CBAM, for example"
        )
    return nn.Sequential(OrderedDict(normalise=Normalise(*statistics), network=network))


def of_torchvision(name: str, weights: str | None) -> tuple[nn.Module, tuple[Sequence[float], Sequence[float]]]:
    """The network, and mean and spread of the images that its weights were trained on."""
    try:
        from torchvision import models
    except ImportError as error:
        raise ImportError("pretrained networks come with torchvision: pip install torchvision") from error
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(f"name={name!r} is no network of torchvision: use one of {', '.join(known[:12])}, ...")
    if weights is None:
        return models.get_model(name, weights=None), IMAGENET
    kinds = models.get_model_weights(name)
    if weights not in kinds.__members__:
        raise ValueError(f"weights={weights!r} is not one of {', '.join(kinds.__members__)} for {name}")
    chosen = kinds[weights]
    try:
        network = models.get_model(name, weights=chosen)
    except OSError as error:  # urllib's errors are such
        raise OSError(
            f"the weights of {name} are not here and could not be fetched from {chosen.url}: load that file on another "
            f"machine and put it into {torch.hub.get_dir()}/checkpoints ({error})"
        ) from error
    preset = chosen.transforms()
    return network, (preset.mean, preset.std)


def replace_head(network: nn.Module, num_classes: int) -> None:
    """A new last layer with so many outputs: the last linear one, or SqueezeNet's last 1x1 convolution.

    Raises:
        ValueError: no such layer stands at the end.
    """
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    name, last = layers[-1] if layers else ("", None)
    if isinstance(last, nn.Linear):
        new: nn.Module = nn.Linear(last.in_features, num_classes, last.bias is not None)
    elif isinstance(last, nn.Conv2d) and last.kernel_size == (1, 1):
        new = nn.Conv2d(last.in_channels, num_classes, 1, bias=last.bias is not None)
    else:
        raise ValueError(
            f"{type(network).__name__} ends in {type(last).__name__}, and a head is a linear layer or a 1x1 "
            "convolution: replace it yourself"
        )
    network.set_submodule(name, new)
