"""Put attention into an existing network without changing what it computes.

A fresh CBAM gives about a quarter of its input, so a pretrained network that receives fresh ones loses what it knew.
A module that starts as the exact identity changes nothing at step 0, and learns from there.
"""

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.channel_attention import ChannelAttention
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.spatial_attention import SpatialAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation

ATTENTION = (
    SqueezeExcitation,
    EfficientChannelAttention,
    ChannelAttention,
    SpatialAttention,
    CBAM,
)
TWICE = "already has attention: insert once, or name another place with where=..."


class Attended(nn.Sequential):
    """An existing module, then its attention: ``layer`` keeps the old module, ``attention`` holds the new one."""

    def __init__(self, layer: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.attention = attention


Model = TypeVar("Model", bound=nn.Module)


def insert_attention(
    model: Model,
    attention: Callable[..., nn.Module] = CBAM,
    where: str | Sequence[str] | None = None,
    *,
    init: str | None = "identity",
    report: Callable[[str], object] | None = print,
    **options: Any,
) -> Model:
    """Insert attention after chosen modules of `model`, in place; everything is checked before anything is changed.

    Args:
        model: the network to change. Load pretrained weights first: what stood at ``layer1.0.bn2`` stands at
            ``layer1.0.bn2.layer`` afterwards.
        attention: called as ``attention(channels, init=init, **options)``: a class (`CBAM`), a preset
            (`CBAM.official`) or a function of your own.
        where: names of modules to insert after, as in ``model.named_modules()``, with ``*`` as a wild card
            (``"layer4.*.bn2"``). None finds the residual blocks of a ResNet (torchvision's or timm's layout: ``bn2``
            or ``bn3`` beside ``downsample``) and inserts where the papers do: after the last norm, before the addition.
        init: "identity" keeps the network's output as it is at step 0, "default" starts with fresh gates. None is not
            handed on, for an `attention` that has no such option.
        report: called with one line per insertion; None keeps silent.
        options: handed on to `attention`.

    Returns:
        `model` itself, changed. New modules have the device, dtype and train/eval mode of the place they stand at.

    Raises:
        ValueError: no place is found, a place already has attention, or its number of channels cannot be told.
        TypeError: `attention` does not give a module.

    Example:
        >>> model = insert_attention(torchvision.models.resnet18(), CBAM, where="layer4.*.bn2")
    """
    names = last_norms_of_residual_blocks(model) if where is None else matching(model, where)
    if init is not None:
        options["init"] = init
    places = [(name, channels_after(model, name)) for name in names]
    inserted = [like(model.get_submodule(name), build(attention, channels, options)) for name, channels in places]
    for name, module in reversed(list(zip(names, inserted, strict=True))):  # what stands inside a place goes first
        model.set_submodule(name, Attended(model.get_submodule(name), module))
    for (name, channels), module in zip(places, inserted, strict=True):
        if report is not None:
            report(f"{type(module).__name__} for {channels} channels after {name}")
    return model


def last_norms_of_residual_blocks(model: nn.Module) -> list[str]:
    """Names of the last norm of each residual block: the third in a bottleneck, else the second."""
    names = []
    for name, block in model.named_modules():
        norms = [norm for norm in ("bn3", "bn2") if hasattr(block, norm)]
        if norms and hasattr(block, "downsample"):
            if any(isinstance(module, ATTENTION) for module in block.modules()):
                raise ValueError(f"{name} {TWICE}")
            names.append(f"{name}.{norms[0]}".lstrip("."))
    if not names:
        raise ValueError(
            f"no residual blocks (bn2 or bn3 beside downsample) in {type(model).__name__}: say where to insert, for "
            f"example where={next((n for n, _ in model.named_modules() if n), 'features.0')!r}"
        )
    return names


def matching(model: nn.Module, where: str | Sequence[str]) -> list[str]:
    """Names that match the patterns, each once, in the order of the model."""
    patterns = [where] if isinstance(where, str) else list(where)
    names = [name for name, _ in model.named_modules() if name]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"where={pattern!r} matches no module of {type(model).__name__}; the names are those of "
                f"model.named_modules(): {', '.join(names[:6])}, ..."
            )
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def channels_after(model: nn.Module, name: str) -> int:
    """Channels of what the named module gives: those of its last norm or convolution."""
    place = model.get_submodule(name)
    inside = isinstance(model.get_submodule(name.rpartition(".")[0]), Attended)
    if inside or any(isinstance(module, ATTENTION) for module in place.modules()):
        raise ValueError(f"{name} {TWICE}")
    for module in reversed(list(place.modules())):
        for attribute in ("num_features", "num_channels", "out_channels"):  # of batch norm, group norm, convolution
            if isinstance(channels := getattr(module, attribute, None), int):
                return channels
        if isinstance(weight := getattr(module, "weight", None), Tensor) and weight.dim() == 1:  # of a frozen norm
            return len(weight)
    raise ValueError(
        f"cannot tell the channels after {name} ({type(place).__name__} has no norm and no convolution): "
        "insert after a convolution or a norm instead"
    )


def build(attention: Callable[..., nn.Module], channels: int, options: dict[str, Any]) -> nn.Module:
    if isinstance(attention, nn.Module):
        raise TypeError(f"attention is a module, built already: pass {type(attention).__name__}, not an instance of it")
    module = attention(channels, **options)
    if not isinstance(module, nn.Module):
        raise TypeError(f"attention({channels}) gave {type(module).__name__}, not a module: pass CBAM, for example")
    return module


def like(place: nn.Module, module: nn.Module) -> nn.Module:
    """The new module on the device, in the dtype and in the mode of the place."""
    weights = [tensor for tensor in (*place.parameters(), *place.buffers()) if tensor.is_floating_point()]
    if weights:
        module.to(weights[0].device, weights[0].dtype)
    return module.train(place.training)
