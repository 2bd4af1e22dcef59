"""How many channels does a module give? Read from its layers where that is certain, else by running it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.networks.modes import evaluating

# What leaves the channels as they are; a PReLU has a weight for each channel, but is no norm.
SAME_CHANNELS = (
    *(nn.Identity, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Upsample),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Sigmoid, nn.Tanh),
)


def by_their_layers(model: nn.Module, names: Sequence[str]) -> dict[str, int]:
    """The channels after each named module, from its last convolution or norm, or an error where that is a guess."""
    found = {}
    for name in names:
        place = model.get_submodule(name)
        channels = certain_channels(place)
        if channels is None:
            raise ValueError(
                f"cannot tell the channels after {name} ({type(place).__name__} is no convolution, no norm and no "
                "chain that ends in one): give an input of the model as example=..., or insert after a convolution "
                "or a norm"
            )
        found[name] = channels
    return found


def certain_channels(module: nn.Module) -> int | None:
    """Channels of a convolution, a norm, a residual block or a chain that ends in one of them; else None."""
    if type(module).forward is nn.Sequential.forward:
        for layer in reversed(list(module.children())):
            if type(layer) not in SAME_CHANNELS:
                return certain_channels(layer)
        return None
    norm = getattr(module, "bn3", getattr(module, "bn2", None))
    if hasattr(module, "downsample") and isinstance(norm, nn.Module):  # a residual block
        return certain_channels(norm)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return module.out_channels
    if isinstance(module, nn.GroupNorm):
        return module.num_channels
    if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm | nn.InstanceNorm2d):
        return module.num_features
    mean = getattr(module, "running_mean", None)  # of a frozen norm
    if isinstance(mean, Tensor) and not isinstance(module, nn.modules.batchnorm._NormBase):
        return len(mean)
    return None


def run(model: nn.Module, example: Any) -> Any:
    """The output for an example, in evaluation mode, without gradients; the model stays as it is."""
    with evaluating(model), torch.no_grad():
        return model(*example) if isinstance(example, tuple) else model(example)


def by_running(model: nn.Module, names: Sequence[str], example: Any) -> tuple[dict[str, int], Any]:
    """The channels of the maps that the named modules give while the model runs on an example, and its output."""
    shapes: dict[str, list[Any]] = {name: [] for name in names}

    def listen(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, out: shapes[name].append(tuple(out.shape) if isinstance(out, Tensor) else out)

    handles = [model.get_submodule(name).register_forward_hook(listen(name)) for name in names]
    try:
        output = run(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return {name: channels_of(name, shapes[name]) for name in names}, output


def channels_of(name: str, shapes: Sequence[Any]) -> int:
    """The channels of what one module gave, once or several times."""
    if not shapes:
        raise ValueError(f"{name} does not run for this example: insert where the model comes by")
    for shape in shapes:
        if not isinstance(shape, tuple) or len(shape) != 4 or not all(isinstance(size, int) for size in shape):
            given = shape if isinstance(shape, tuple) else type(shape).__name__
            raise ValueError(f"{name} gives {given}, not a map (B, C, H, W): insert after a convolution or a norm")
    if len({shape[1] for shape in shapes}) > 1:
        raise ValueError(
            f"{name} runs several times and gives maps of several widths, {list(shapes)}: insert elsewhere"
        )
    return int(shapes[0][1])
