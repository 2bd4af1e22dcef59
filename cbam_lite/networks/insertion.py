"""Put attention into an existing network without changing what it computes.

A fresh CBAM gives about a quarter of its input, so a pretrained network that receives fresh ones loses what it knew.
A module that starts as the exact identity changes nothing at step 0, and learns from there.
"""

import contextlib
import fnmatch
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.channel_attention import ChannelAttention
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.spatial_attention import SpatialAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.checks import a_module, choose, made
from cbam_lite.networks.channels import by_running, by_their_layers, run

ATTENTION = (
    SqueezeExcitation,
    EfficientChannelAttention,
    ChannelAttention,
    SpatialAttention,
    CBAM,
)
ROUNDING = 1e-5  # the share of an output that a network on a GPU may move by itself
TWICE = "already has attention: insert once, or name another place with where=..."


class Attended(nn.Sequential):
    """An existing module, then its attention: ``layer`` keeps the old module, ``attention`` holds the new one."""

    def __init__(self, layer: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.attention = attention


class Blend(nn.Module):
    """x + a (module(x) - x) with a learnt a, 0 at first: somebody's attention that starts as the exact identity.

    At step 0 only a has a gradient; as soon as it has left 0, the module learns, too.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.a = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a * (self.module(x) - x)


Model = TypeVar("Model", bound=nn.Module)


def insert_attention(
    model: Model,
    attention: Callable[..., nn.Module] = CBAM,
    where: str | Sequence[str] | None = None,
    *,
    init: str | None = "identity",
    example: Any = None,
    report: Callable[[str], object] | None = print,
    **options: Any,
) -> Model:
    """Insert attention after chosen modules of `model`, in place; after an error the model is as it was.

    Args:
        model: the network to change. Load pretrained weights first: what stood at ``layer1.0.bn2`` stands at
            ``layer1.0.bn2.layer`` afterwards.
        attention: called as ``attention(channels, init=init, **options)``: a class (`CBAM`), a preset
            (`CBAM.official`) or a function of your own.
        where: names of modules to insert after, as in ``model.named_modules()``, with ``*`` as a wild card
            (``"layer4.*.bn2"``). None finds the residual blocks of a ResNet (torchvision's or timm's layout: ``bn2``
            or ``bn3`` beside ``downsample``) and inserts where the papers do: after the last norm, before the addition.
        init: "identity" keeps the network's output as it is at step 0, "default" starts with fresh gates. "blend" and
            None are for an `attention` without such an option, and are not handed on: "blend" makes any module start
            as the identity, by ``x + a (module(x) - x)`` with a learnt a = 0; None inserts it as it is.
        example: an input that the model takes, or a tuple of them. The model runs on it, in evaluation mode, without
            gradients, and so tells the channels of every place; without it they are read from convolutions, norms,
            chains (`nn.Sequential`) and residual blocks, and any other place is refused. Afterwards the model runs
            again, and `report` is told by how much its output moved, if it did.
        report: called with one line per insertion; None keeps silent.
        options: handed on to `attention`.

    Returns:
        `model` itself, changed. New modules have the device, dtype and train/eval mode of the place they stand at.

    Raises:
        ValueError: no place is found, a place already has attention, or its number of channels cannot be told.
        TypeError: `attention` does not give a module, or another argument is of the wrong kind.

    Example:
        >>> model = insert_attention(torchvision.models.resnet18(), CBAM, where="layer4.*.bn2")
        CBAM for 512 channels after layer4.0.bn2
        CBAM for 512 channels after layer4.1.bn2
    """
    names = last_norms_of_residual_blocks(a_module("model", model)) if where is None else matching(model, where)
    for name in names:
        refuse_twice(model, name)
    before = None
    if example is None:
        places = by_their_layers(model, names)
    else:
        places, before = by_running(model, names, example)
    inserted = [like(model, name, start(attention, channels, init, options)) for name, channels in places.items()]
    with undone_after_an_error(model, names):
        for name, module in reversed(list(zip(names, inserted, strict=True))):  # what stands inside a place goes first
            model.set_submodule(name, Attended(model.get_submodule(name), module))
        lines = [f"{kind(m)} for {places[name]} channels after {name}" for name, m in zip(names, inserted, strict=True)]
        if example is not None and not (share := moved(before, run(model, example))) <= ROUNDING:
            keep = "init='identity', or 'blend' for modules of others, keeps it"
            lines.append(f"the output for the example moved by {100 * share:.2g} % of its norm: {keep}")
        if example is None and init is None:
            lines.append("init=None may move the output: example=... tells by how much, init='blend' keeps it")
        if report is not None:
            for line in lines:
                report(line)
    return model


def last_norms_of_residual_blocks(model: nn.Module) -> list[str]:
    """Names of the last norm of each residual block: the third in a bottleneck, else the second."""
    names = []
    for name, block in model.named_modules():
        norms = [norm for norm in ("bn3", "bn2") if hasattr(block, norm)]
        if norms and hasattr(block, "downsample"):
            if has_attention(block):
                raise ValueError(f"{name} {TWICE}")
            names.append(f"{name}.{norms[0]}".lstrip("."))
    if not names:
        raise ValueError(
            f"no residual blocks (bn2 or bn3 beside downsample) in {type(model).__name__}: say where to insert, for "
            f"example where={next((n for n, _ in model.named_modules() if n), 'features.0')!r}"
        )
    return names


def matching(model: nn.Module, where: str | Sequence[str], argument: str = "where") -> list[str]:
    """Names that match the patterns, each once, in the order of the model."""
    patterns = [where] if isinstance(where, str) else where
    if not isinstance(patterns, Sequence) or not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(
            f"{argument}={where!r:.60} must be a name or a list of names, as in model.named_modules(), with * as a "
            "wild card"
        )
    names = [name for name, _ in model.named_modules() if name]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"{argument}={pattern!r} matches no module of {type(model).__name__}; the names are those of "
                f"model.named_modules(): {', '.join(names[:6])}, ..."
            )
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def has_attention(module: nn.Module) -> bool:
    """Whether attention of ours, or something that was inserted, stands anywhere inside."""
    return any(isinstance(part, (*ATTENTION, Attended)) for part in module.modules())


def refuse_twice(model: nn.Module, name: str) -> None:
    inside = isinstance(model.get_submodule(name.rpartition(".")[0]), Attended)
    if inside or has_attention(model.get_submodule(name)):
        raise ValueError(f"{name} {TWICE}")


def start(attention: Callable[..., nn.Module], channels: int, init: str | None, options: dict[str, Any]) -> nn.Module:
    """The new module, with the first values that `init` asks for."""
    if init is None:
        return made(attention, channels, **options)
    if choose("init", init, ("identity", "default", "blend")) == "blend":
        return Blend(made(attention, channels, **options))
    try:
        return made(attention, channels, init=init, **options)
    except TypeError as error:
        if "'init'" not in str(error):
            raise
        raise TypeError(f"{error}: for an attention without that option use init='blend' (or None)") from error


def like(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """The new module on the device, in the dtype and in the mode of the place; without weights there, of the model."""
    place = model.get_submodule(name)
    weights = [*place.parameters(), *place.buffers(), *model.parameters()]
    floating = next((tensor for tensor in weights if tensor.is_floating_point()), None)
    if floating is not None:
        module.to(floating.device, floating.dtype)
    return module.train(place.training)


def kind(module: nn.Module) -> str:
    return type(module.module if isinstance(module, Blend) else module).__name__


@contextlib.contextmanager
def undone_after_an_error(model: nn.Module, names: list[str]) -> Iterator[None]:
    """Whatever goes wrong inside, the old modules stand in their places again."""
    try:
        yield
    except BaseException:
        for name in names:  # in the order of the model: what holds others comes before them
            if isinstance(place := model.get_submodule(name), Attended):
                model.set_submodule(name, place.layer)
        raise


# ---- the example ----------------------------------------------------------------------------------------------------


def moved(before: Any, after: Any) -> float:
    """|after - before| / |before| over all numbers of two outputs."""
    pairs = [pair for pair in zip(tree_leaves(before), tree_leaves(after), strict=True) if isinstance(pair[0], Tensor)]
    difference = sum(float((b.double() - a.double()).square().sum()) for a, b in pairs)
    size = sum(float(a.double().square().sum()) for a, _ in pairs)
    return (difference / size) ** 0.5 if size else float(difference > 0)
