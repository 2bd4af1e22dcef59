"""Weights that load: the same network under five names.

The released CBAM code, timm and pytorchcv call the parts of one network differently, and stack the two maps of the
spatial gate in different orders. `load_weights` reads all of them into a network of this package, `export_weights`
writes them. What a target cannot hold is refused by name.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.spatial_attention import ChannelPool, SpatialAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.networks.resnet import Bottleneck
from cbam_lite.networks.weight_names import MAPS_BEGIN_WITH, State, known, layout_of, renamed


def in_order_of(model: nn.Module, state: State, layout: str) -> State:
    """Flip the two input maps of each spatial convolution where model and layout stack them differently."""
    first = MAPS_BEGIN_WITH[layout]
    result = dict(state)
    for name, module in model.named_modules():
        key = f"{name}.conv.weight"
        if isinstance(module, SpatialAttention) and isinstance(module.descriptors, ChannelPool) and key in result:
            pools = module.descriptors.pools
            if first is not None and len(pools) == 2 and pools[0] != first:
                result[key] = result[key].flip(1)
    return result


def same_strides(model: nn.Module, layout: str) -> None:
    """Refuse to move weights between a network of layout v1 and projects whose bottlenecks are v1.5: all shapes fit."""
    v1 = [name for name, m in model.named_modules() if isinstance(m, Bottleneck) and m.conv1.stride != (1, 1)]
    if v1 and layout in ("torchvision", "official", "timm"):
        raise ValueError(
            f"{layout} has the stride of a block in its 3x3 (v1.5), this network in its first 1x1 (v1, see {v1[0]}). "
            "All shapes fit, and the result would be wrong: build the network with layout='v1.5', or say layout='ours' "
            "if the weights are its own"
        )


# ---- reading --------------------------------------------------------------------------------------------------------


def read_weights(path: str | Path) -> State:
    """The tensors of a file (.safetensors, or what torch.save wrote), on the CPU; no code in it is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or holds more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give the path of a .safetensors or .pth file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors, or is damaged. A pickle can run code when it is read, so it is refused; "
            f"ask its author for a .safetensors file. ({str(error).splitlines()[0]})"
        ) from error
    except ImportError as error:
        raise ImportError("reading .safetensors needs the safetensors package: pip install safetensors") from error
    except Exception as error:  # each format has its own errors for a damaged file
        raise ValueError(f"{path} cannot be read, it may be cut short: fetch it again ({error})") from error
    return tensors_of(content, path)


def tensors_of(content: Any, path: Path) -> State:
    """A checkpoint may keep its weights under "state_dict" or "model", beside the epoch and the optimiser."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state dict: expected names and tensors, got {type(content).__name__}")
    return dict(content)


def load_weights(
    model: nn.Module,
    weights: str | Path | Mapping[str, Tensor],
    *,
    layout: str | None = None,
    keep: str | None = None,
) -> str:
    """Load weights of any known layout into a network of this package, all or nothing.

    The order of the spatial gate's two maps is that of the project, and is changed to that of the model. Files of our
    own do not say their order: load them into the preset that they come from.

    Args:
        model: `resnet50(CBAM.official)`, for example. It is untouched if anything does not fit.
        weights: a file or a state dict. A prefix ``module.`` is taken off.
        layout: "ours", "torchvision", "official", "timm" or "pytorchcv"; None recognises it.
        keep: parts of the model whose own values stay, and are not asked for in the file, as the beginning or the
            middle of their names: "fc." for another number of classes, ".attention." for a plain file in a network with
            attention.

    Returns:
        The layout.

    Raises:
        ValueError: the file is not readable, the layout is unknown, names or shapes differ (the error lists them), or
            the strides of the bottlenecks stand elsewhere.
        FileNotFoundError: there is no such file.
    """
    state = dict(weights) if isinstance(weights, Mapping) else read_weights(weights)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    layout = layout_of(state) if layout is None else known(layout)
    same_strides(model, layout)
    state = in_order_of(model, renamed(state, layout, to_ours=True), layout)
    own = model.state_dict()
    for name, tensor in own.items():
        if (keep is not None and keep in name) or (name.endswith("num_batches_tracked") and name not in state):
            state[name] = tensor
    if problems := differences(own, state):
        raise ValueError(f"the weights ({layout}) do not fit {type(model).__name__}, nothing was loaded. {problems}")
    model.load_state_dict(state)
    return layout


def differences(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What differs, in words; empty if nothing does."""
    groups = {
        "missing in the file": [name for name in own if name not in state],
        "not in the model": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    told = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for what, names in groups.items()
        if names
    ]
    missing = groups["missing in the file"]
    if missing and all(".attention" in name for name in missing):
        told.append(
            "The file has no attention: load with keep='.attention.', or use insert_attention on a plain network"
        )
    if any(name.startswith("fc.") for name in groups["of another shape"]):
        told.append("For another number of classes load with keep='fc.'")
    return "; ".join(told)


# ---- writing --------------------------------------------------------------------------------------------------------


def export_weights(model: nn.Module, layout: str) -> State:
    """The state dict of a network of this package under the names of another project.

    Args:
        model: a `ResNet` of this package.
        layout: "official", "timm", "pytorchcv" or "torchvision".

    Raises:
        ValueError: the target cannot hold what the model computes; the error names it.
    """
    same_strides(model, known(layout))
    for name, module in model.named_modules():
        if name.endswith(".attention") and layout != "ours" and (reason := lossy(module, layout)):
            raise ValueError(f"{name} cannot be written as {layout}: {reason}")
    return renamed(in_order_of(model, model.state_dict(), layout), layout, to_ours=False)


def lossy(module: nn.Module, layout: str) -> str:
    """Why the layout cannot hold the attention of a block; empty if it can."""
    if isinstance(module, nn.Identity):
        return ""
    if layout == "torchvision":
        return "torchvision's ResNet has no attention"
    if isinstance(module, CBAM):
        return lossy_cbam(module, layout)
    kind = type(module).__name__
    if not isinstance(module, SqueezeExcitation | EfficientChannelAttention):
        return f"nobody else has a place for {kind}"
    if layout != "timm":
        return f"only timm has a place for {kind}"
    if module.gate.init == "identity":
        return "its gate is twice the sigmoid (init='identity'), which only this package has"
    return "" if (module.pool, module.gate.function) == ("avg", "sigmoid") else "it is not the sigmoid of the average"


def lossy_cbam(cbam: CBAM, layout: str) -> str:
    channel, spatial = cbam.channel_attention, cbam.spatial_attention
    if cbam.order != "channel-first":
        return f"order={cbam.order!r}, everybody else has channel-first only"
    if channel.gate.init == "identity":
        return "its gates are twice the sigmoid (init='identity'), which only this package has"
    if channel.gate.function != "sigmoid" or set(channel.pools) != {"avg", "max"}:
        return "its channel gate is not the sigmoid of avg+max"
    if not isinstance(spatial, SpatialAttention) or not isinstance(spatial.norm, nn.BatchNorm2d):
        return "it has no batch norm in the spatial gate, and they have one"
    if not isinstance(spatial.descriptors, ChannelPool) or set(spatial.descriptors.pools) != {"avg", "max"}:
        return "its spatial gate is not made from avg and max"
    if spatial.conv.bias is not None or (layout != "timm" and spatial.conv.kernel_size != (7, 7)):
        return "its spatial convolution is not 7x7 without a bias"
    if layout != "timm" and channel.W_0.bias is None:
        return "its MLP has no biases, and theirs has: build it with CBAM.official"
    return ""
