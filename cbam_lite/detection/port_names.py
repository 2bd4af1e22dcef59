"""The names of the PyTorch port that the founding article belongs to, bubbliiiing's yolov4-tiny-pytorch.

Its layers are ours under other names, and so is its attention: a linear layer of our channel gate is a 1x1 convolution
there. `load_port` reads its files, `to_port_names` writes a network so that its code can load it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.parts import Gate
from cbam_lite.attention.spatial_attention import ChannelPool, SpatialAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.detection.darknet_file import LAYERS, OUTPUTS, yolo
from cbam_lite.detection.yolo import PLACES, YoloTiny
from cbam_lite.networks.insertion import Attended
from cbam_lite.networks.weight_checks import differences
from cbam_lite.networks.weight_files import read_weights, tensors_of, without_prefixes
from cbam_lite.networks.weight_names import State
from cbam_lite.networks.weights import all_finite

# The port's names of our layers, in the order of LAYERS.
STAGES = [f"backbone.resblock_body{s}.conv{part}" for s in (1, 2, 3) for part in (1, 2, 3, 4)]
NECK = ["conv_for_P5", "yolo_headP5.0", "yolo_headP5.1", "upsample.upsample.0", "yolo_headP4.0", "yolo_headP4.1"]
PARTS = dict(zip(LAYERS, ["backbone.conv1", "backbone.conv2", *STAGES, "backbone.conv3", *NECK], strict=True))
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
WITH_NORM = {"conv.weight": "conv.weight", **{f"norm.{part}": f"bn.{part}" for part in NORM}}
PLAIN = {
    f"{ours}.{our}": f"{theirs}.{their}"
    for ours, theirs in PARTS.items()
    for our, their in ({"weight": "weight", "bias": "bias"} if ours in OUTPUTS else WITH_NORM).items()
}
# And of attention, for phi = 0 to 3.
ATTENDED = dict(zip(PLACES, ("feat1_att", "feat2_att", "upsample_att"), strict=True))
KINDS: list[tuple[type[nn.Module], dict[str, str]]] = [
    (nn.Identity, {}),
    (SqueezeExcitation, {"W_1.weight": "fc.0.weight", "W_2.weight": "fc.2.weight"}),
    (
        CBAM,
        {
            "channel_attention.W_0.weight": "channelattention.fc1.weight",
            "channel_attention.W_1.weight": "channelattention.fc2.weight",
            "spatial_attention.conv.weight": "spatialattention.conv1.weight",
        },
    ),
    (EfficientChannelAttention, {"conv.weight": "conv.weight"}),
]
CALLED = ("nothing", "SE", "CBAM", "ECA")


def load_port(model: nn.Module, weights: str | Path | Mapping[str, Any]) -> None:
    """Load weights of the PyTorch port into a `YoloTiny`, all or nothing.

    Args:
        model: `yolo_tiny(phi, num_classes)` with the phi and the classes of the file, and with ``init="default"``,
            because a gate that starts as the identity is twice the port's. It is untouched after an error.
        weights: a file, a state dict, or a checkpoint with one, as `load_weights` takes them.

    Raises:
        ValueError: names or shapes differ (the error lists some, and says which phi, classes or width would fit), a
            number is NaN or infinite, the file is not readable, or the attention of the model computes something else
            than the port's.
        TypeError: the model is no `YoloTiny`, or the weights are no path and no dict.
        FileNotFoundError: there is no such file.

    Source: the names of https://github.com/bubbliiiing/yolov4-tiny-pytorch.

    Example:
        >>> from cbam_lite.detection.port_names import to_port_names
        >>> torch.save(to_port_names(yolo_tiny(phi=2, num_classes=6, width=0.25)), "boards.pth")
        >>> load_port(yolo_tiny(phi=2, num_classes=6, width=0.25), "boards.pth")
    """
    model = yolo(model)
    own = to_port_names(model)
    content = tensors_of(weights, "weights") if isinstance(weights, Mapping) else read_weights(weights)
    state = without_prefixes(content, own)
    stays = {name for name in own if name.endswith("num_batches_tracked") and name not in state}  # old files lack them
    if problems := differences(own, state, stays, "port"):
        raise ValueError(
            f"the weights do not fit {type(model).__name__} by the port's names, nothing was loaded. {problems}. "
            + likely_cause(own, state)
        )
    all_finite({name: state[name] for name in own if name not in stays}, own)
    values = model.state_dict()
    for ours, theirs in names_of(model).items():
        if theirs not in stays:
            values[ours] = state[theirs].view_as(values[ours])
    model.load_state_dict(values)


def to_port_names(model: nn.Module) -> State:
    """The state dict of a `YoloTiny` under the port's names, in the port's shapes.

    Args:
        model: `yolo_tiny(phi)`, with ``init="default"`` where it has attention.

    Raises:
        ValueError: the port computes something else than the model, or has no name for a part; the error names it.
        TypeError: the model is no `YoloTiny`.

    Source: the names of https://github.com/bubbliiiing/yolov4-tiny-pytorch.

    Example:
        >>> state = to_port_names(yolo_tiny(phi=2))
        >>> state["upsample_att.channelattention.fc1.weight"].shape  # a linear layer, as a 1x1 convolution
        torch.Size([16, 128, 1, 1])
    """
    model = yolo(model)
    values = model.state_dict()
    return {
        theirs: values[ours][:, :, None, None] if ".channelattention." in theirs else values[ours]
        for ours, theirs in names_of(model).items()
    }


# ---- names ----------------------------------------------------------------------------------------------------------


def names_of(model: YoloTiny) -> dict[str, str]:
    """The port's name for each of ours, or an error where the port's network is another."""
    phis = [phi_at(model, place) for place in PLACES]
    if len(set(phis)) > 1:
        found = ", ".join(f"{CALLED[phi]} at {place}" for place, phi in zip(PLACES, phis, strict=True))
        raise ValueError(f"the port has the same attention at its three places, the model has {found}")
    names = dict(PLAIN)
    for place, theirs in ATTENDED.items():
        ours = f"{place}.attention" if isinstance(getattr(model, place), Attended) else place
        names |= {f"{ours}.{our}": f"{theirs}.{their}" for our, their in KINDS[phis[0]][1].items()}
    own = model.state_dict()
    if unlike := [name for name in own if name not in names] + [name for name in names if name not in own]:
        raise ValueError(
            f"the port's network is another: {', '.join(unlike[:3])}{', ...' if unlike[3:] else ''} "
            f"{'is' if unlike[0] in own else 'is not'} in the model. Load and write what yolo_tiny(phi) builds, and "
            "prune, fuse or insert afterwards"
        )
    return names


def phi_at(model: YoloTiny, place: str) -> int:
    """Which of the article's four modules stands there, or an error if what stands there is none of them."""
    module = getattr(model, place)
    if isinstance(module, Attended) and isinstance(module.layer, nn.Identity):
        module = module.attention
    phi = next((phi for phi, (kind, _) in enumerate(KINDS) if isinstance(module, kind)), None)
    why = f"it has no {type(module).__name__}" if phi is None else unlike_the_port(module)
    if phi is None or why:
        raise ValueError(f"the port cannot hold what stands at {place}: {why}. yolo_tiny(phi) builds what it holds")
    return phi


def unlike_the_port(module: nn.Module) -> str:
    """What the module computes otherwise, with weights of the same names and shapes; empty if nothing."""
    if isinstance(module, CBAM):
        spatial = module.spatial_attention
        if module.order != "channel-first" or sorted(module.channel_attention.pools) != ["avg", "max"]:
            return "its CBAM looks at the channels first, by average and maximum"
        if not isinstance(spatial, SpatialAttention) or not isinstance(spatial.descriptors, ChannelPool):
            return "its CBAM has a spatial gate of two maps"
        if spatial.descriptors.pools != ("avg", "max"):
            return f"its spatial gate stacks avg, max, this one {', '.join(spatial.descriptors.pools)}"
    elif isinstance(module, SqueezeExcitation | EfficientChannelAttention) and module.pool != "avg":
        return f"its attention takes the average, this one pool={module.pool!r}"
    for gate in module.modules():
        if isinstance(gate, Gate) and (gate.function, gate.init) != ("sigmoid", "default"):
            twice = ", twice the port's" if gate.init == "identity" else ""
            return f"its gates are the plain sigmoid, this one is {gate.function!r} with init={gate.init!r}{twice}"
    return ""


# ---- why weights do not fit -----------------------------------------------------------------------------------------


def likely_cause(own: State, state: State) -> str:
    """In words: another phi, other classes, another width, or no file of the port."""
    if not any(name in state for name in PLAIN.values()):
        ours = any(name in state for name in PLAIN)
        fix = "these are the names of this package: use model.load_state_dict" if ours else "is it a file of the port?"
        return f"None of the port's names is there, such as {next(iter(PLAIN.values()))}; {fix}"
    told = []
    for what, found in {"phi": phi_by_names, "num_classes": classes_by_shape, "width": width_by_shape}.items():
        mine, theirs = found(own), found(state)
        if theirs is not None and mine != theirs:
            told.append(f"{what}={theirs:g}, the model has {mine:g}")
    return (
        f"The weights have {'; and '.join(told)}: build the model like them" if told else "Is a part of them missing?"
    )


def phi_by_names(state: State) -> int | None:
    place = ATTENDED[PLACES[0]]
    if not any(name.startswith(f"{place}.") for name in state):
        return 0
    return next((phi for phi in (1, 2, 3) if all(f"{place}.{name}" in state for name in KINDS[phi][1].values())), None)


def classes_by_shape(state: State) -> int | None:
    fives, left = divmod(length(state, "yolo_headP5.1.bias"), 3)
    return fives - 5 if fives > 5 and not left else None


def width_by_shape(state: State) -> float | None:
    return length(state, "backbone.conv1.conv.weight") / 32 or None


def length(state: State, name: str) -> int:
    tensor = state.get(name)
    return len(tensor) if isinstance(tensor, Tensor) and tensor.dim() else 0
