"""What must agree before weights move, though names and shapes say nothing of it: gates, pools, orders and strides."""

import re
from collections.abc import Iterable

from torch import Tensor, nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.spatial_attention import ChannelPool, SpatialAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.networks.resnet import ResNet
from cbam_lite.networks.split_attention import SplitAttention
from cbam_lite.networks.weight_names import State

# ---- strides --------------------------------------------------------------------------------------------------------

PLACES = {"v1": "first 1x1", "v1.5": "3x3"}


def strides_of(model: nn.Module) -> tuple[str, str] | None:
    """("v1" or "v1.5", the block that shows it): where bottlenecks have their stride; None without such blocks."""
    for name, block in model.named_modules():
        if hasattr(block, "conv3"):
            for layout, part in (("v1", "conv1"), ("v1.5", "conv2")):
                conv = getattr(block, part, None)
                if isinstance(conv, nn.Conv2d) and conv.stride != (1, 1):
                    return layout, name
    return None


def usual_strides(layout: str, attention: bool) -> str | None:
    """Where the bottlenecks of a project have their stride; None if its files may be of either kind."""
    either = layout == "ours" or (layout == "pytorchcv" and not attention)
    return None if either else "v1.5"


def same_strides(model: nn.Module, theirs: str | None, layout: str, or_else: str) -> None:
    """Refuse strides at another place, and strides that nobody told: all shapes fit, and the network is another."""
    if (found := strides_of(model)) is None:
        return
    own, block = found
    if theirs is None:
        raise ValueError(
            f"{layout} has bottlenecks with the stride in the 3x3 (v1.5) and in the first 1x1 (v1), and names and "
            f"shapes do not tell which. This network is {own}. Say strides='v1.5' or strides='v1', whichever the "
            "network has that the weights come from (of pytorchcv: resnet50b is v1.5, resnet50 is v1)"
        )
    if theirs != own:
        raise ValueError(
            f"{layout} has the stride of a block in its {PLACES[theirs]} ({theirs}), this network in its "
            f"{PLACES[own]} ({own}, see {block}). All shapes fit, and the result would be wrong: build the network "
            f"with layout={theirs!r}, or {or_else}"
        )


# ---- attention ------------------------------------------------------------------------------------------------------


def attention_of_blocks(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if name.endswith(".attention")]


def same_attention(model: nn.Module, layout: str, keep: str | None) -> None:
    """Refuse to fill attention that computes something else than that of the layout; what is kept is not filled."""
    for name, module in attention_of_blocks(model):
        filled = [f"{name}.{part}" for part in module.state_dict()] or [f"{name}."]
        if not (keep is not None and all(keep in part for part in filled)) and (why := lossy(module, layout)):
            raise ValueError(f"the weights ({layout}) fit, but {name} computes something else: {why}")


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
    if channel.gate.function != "sigmoid" or sorted(channel.pools) != ["avg", "max"]:
        return "its channel gate is not the sigmoid of avg+max"
    if not isinstance(spatial, SpatialAttention) or not isinstance(spatial.norm, nn.BatchNorm2d):
        return "it has no batch norm in the spatial gate, and they have one"
    if not isinstance(spatial.descriptors, ChannelPool) or sorted(spatial.descriptors.pools) != ["avg", "max"]:
        return "its spatial gate is not made from avg and max"
    if (spatial.gate.function, spatial.gate.init) != ("sigmoid", "default"):
        return "its spatial gate is not the sigmoid"
    if spatial.conv.bias is not None or (layout != "timm" and spatial.conv.kernel_size != (7, 7)):
        return "its spatial convolution is not 7x7 without a bias"
    if layout != "timm" and channel.W_0.bias is None:
        return "its MLP has no biases, and theirs has: build it with CBAM.official"
    return ""


# ---- what can be written --------------------------------------------------------------------------------------------

ATTENTION = r"attention\.(W_[12]|conv|channel_attention\.W_[01]|spatial_attention\.(conv|norm))"
PLAIN = rf"conv1|bn1|fc|layer\d\.\d+\.(conv[123]|bn[123]|downsample\.[01]|{ATTENTION})"
SPLIT = r"conv1\.\d|layer\d\.\d+\.(conv2\.(conv|bn0|bn1|fc[12])|downsample\.2)"  # ResNeSt; its stem, in any ResNet


def writable(model: nn.Module, layout: str) -> None:
    """Refuse a network that the layout cannot hold, or has no names for."""
    if not isinstance(model, ResNet):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise ValueError(
            f"only a ResNet of this package can be written as {layout}, not {kind}: build one, for example with "
            "resnet50(CBAM.official), or keep model.state_dict() under its own names"
        )
    for name, module in attention_of_blocks(model):
        why = lossy(module, layout)
        block = model.get_submodule(name.removesuffix(".attention"))
        if isinstance(getattr(block, "conv2", None), SplitAttention) and not isinstance(module, nn.Identity):
            why = "nobody else has attention behind split attention"
        if why:
            raise ValueError(f"{name} cannot be written as {layout}: {why}")
    known = re.compile(rf"({PLAIN}|{SPLIT})\.\w+" if layout == "timm" else rf"({PLAIN})\.\w+")
    if strangers := [name for name in model.state_dict() if not known.fullmatch(name)]:
        raise ValueError(
            f"{layout} has no name for {', '.join(strangers[:3])}{', ...' if len(strangers) > 3 else ''}: undo what "
            "was put into the network after it was built (deep stems and split attention can be written as timm only)"
        )


# ---- names and shapes -----------------------------------------------------------------------------------------------


def differences(own: State, state: State, stays: set[str], layout: str) -> str:
    """What differs between the model and a file, in words; empty if nothing does. What stays is not compared."""
    missing = [name for name in own if name not in state and name not in stays]
    extra = [name for name in state if name not in own]
    both = [name for name in own if name in state and name not in stays]
    shapes = [name for name in both if state[name].shape != own[name].shape]
    kinds = [name for name in both if own[name].is_floating_point() and not state[name].is_floating_point()]
    groups = {
        "missing in the file": missing,
        "not in the model": extra,
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}" for name in shapes
        ],
        "of another kind": [f"{name} {state[name].dtype} instead of {own[name].dtype}" for name in kinds],
    }
    told = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        for what, names in groups.items()
        if names
    ]
    told.append(about_attention(state, [*missing, *extra, *shapes], layout))
    if "fc.weight" in shapes:
        told.append("For another number of classes load with keep='fc.'")
    return "; ".join(filter(None, told))


def about_attention(state: State, differing: list[str], layout: str) -> str:
    """What to do if attention differs: leave it out, or build what the file has."""
    theirs, unlike = attention_names(state), attention_names(differing)
    if not unlike:
        return ""
    if not theirs:
        keep = ".attention." if all(".attention." in name for name in unlike) else ".attention"
        return f"The file has no attention: load with keep={keep!r}, or use insert_attention on a plain network"
    made_by = preset(state, layout)
    if made_by is None:
        return f"The file has attention that nothing in this package computes ({theirs[0]})"
    return f"The file has attention of its own, and it fits {made_by}: build the network with that"


def attention_names(names: Iterable[str]) -> list[str]:
    return [name for name in names if re.search(r"\.(attention(_in)?|se|cbam)\.", name)]


def preset(state: State, layout: str) -> str | None:
    """What makes the attention that a file has, in words; None if nothing here does."""
    if any(re.search(r"\.(se|cbam)\.", name) for name in state):  # names that we have none for
        return None
    first = next(name.partition(".attention")[0] for name in state if ".attention" in name)
    block = f"{first}.attention."
    parts = {name.removeprefix(block): tensor for name, tensor in state.items() if name.startswith(block)}
    return preset_of_cbam(parts, layout) or preset_of_channels(parts, layout)


def preset_of_cbam(parts: State, layout: str) -> str | None:
    conv = parts.get("spatial_attention.conv.weight")
    if conv is None or conv.shape[1:2] != (2,) or "channel_attention.W_0.weight" not in parts:
        return None
    bias, norm = "channel_attention.W_0.bias" in parts, "spatial_attention.norm.weight" in parts
    with_both = "CBAM or CBAM.official" if layout == "ours" else "CBAM.official"
    names = {(True, True): with_both, (False, True): "CBAM.timm", (True, False): "CBAM.keras"}
    return names.get((bias, norm), "CBAM.paper") + units(parts["channel_attention.W_0.weight"])


def preset_of_channels(parts: State, layout: str) -> str | None:
    """SE or ECA."""
    if parts.keys() == {"conv.weight"}:
        return "EfficientChannelAttention.timm" if layout == "timm" else "EfficientChannelAttention"
    if parts.keys() == {"W_1.weight", "W_2.weight"}:
        return "SqueezeExcitation.paper" + units(parts["W_1.weight"])
    if parts.keys() == {"W_1.weight", "W_1.bias", "W_2.weight", "W_2.bias"}:
        return ("SqueezeExcitation.timm" if layout == "timm" else "SqueezeExcitation") + units(parts["W_1.weight"])
    return None


def units(weight: Tensor) -> str:
    return f" with {len(weight)} hidden units for {weight.shape[1]} channels" if weight.dim() == 2 else ""
