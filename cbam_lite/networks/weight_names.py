"""One network under five names: how the released CBAM code, timm and pytorchcv call the parts of a residual network."""

import re
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from cbam_lite.checks import choose

State = dict[str, Tensor]

# Our name of a part of a block, and theirs. Each pair is read in both directions.
OFFICIAL = [
    (".attention.channel_attention.W_0.", ".cbam.ChannelGate.mlp.1."),
    (".attention.channel_attention.W_1.", ".cbam.ChannelGate.mlp.3."),
    (".attention.spatial_attention.conv.", ".cbam.SpatialGate.spatial.conv."),
    (".attention.spatial_attention.norm.", ".cbam.SpatialGate.spatial.bn."),
]
TIMM = [
    (".attention.channel_attention.W_0.", ".se.channel.fc1."),
    (".attention.channel_attention.W_1.", ".se.channel.fc2."),
    (".attention.spatial_attention.conv.", ".se.spatial.conv.conv."),
    (".attention.spatial_attention.norm.", ".se.spatial.conv.bn."),
    (".attention.W_1.", ".se.fc1."),  # SE
    (".attention.W_2.", ".se.fc2."),
    (".attention.conv.", ".se.conv."),  # ECA
]
PYTORCHCV = [
    (".attention.channel_attention.W_0.", ".cbam.ch_gate.mlp.fc1."),
    (".attention.channel_attention.W_1.", ".cbam.ch_gate.mlp.fc2."),
    (".attention.spatial_attention.conv.", ".cbam.sp_gate.conv.conv."),
    (".attention.spatial_attention.norm.", ".cbam.sp_gate.conv.bn."),
    (".conv1.", ".body.conv1.conv."),
    (".conv2.", ".body.conv2.conv."),
    (".conv3.", ".body.conv3.conv."),
    (".bn1.", ".body.conv1.bn."),
    (".bn2.", ".body.conv2.bn."),
    (".bn3.", ".body.conv3.bn."),
    (".downsample.0.", ".identity_conv.conv."),
    (".downsample.1.", ".identity_conv.bn."),
    ("^conv1.", "^features.init_block.conv.conv."),
    ("^bn1.", "^features.init_block.conv.bn."),
    ("^fc.", "^output."),
]
Layout = Literal["ours", "torchvision", "official", "timm", "pytorchcv"]
NAMES: dict[str, list[tuple[str, str]]] = {
    "ours": [],
    "torchvision": [],
    "official": OFFICIAL,
    "timm": TIMM,
    "pytorchcv": PYTORCHCV,
}
MAPS_BEGIN_WITH = {"ours": None, "torchvision": None, "official": "max", "timm": "avg", "pytorchcv": "max"}
LOSSY = {"luuuyi": "has neither biases in the MLP nor a batch norm in the spatial gate"}


def layout_of(state: Mapping[str, Tensor]) -> str:
    """Which project wrote these names: "ours", "torchvision", "official", "timm" or "pytorchcv"."""
    signs = {"official": ".cbam.ChannelGate.", "pytorchcv": "features.init_block.", "timm": ".se."}
    for layout, sign in (signs | {"ours": ".attention"}).items():
        if any(sign in name for name in state):
            return layout
    if "layer1.0.conv1.weight" in state and "conv1.0.weight" in state:  # a deep stem, as in ResNeSt
        return "timm"
    if "layer1.0.conv1.weight" in state and "conv1.weight" in state:
        return "torchvision"
    if "blocks.0.depthwise.weight" in state:  # our MobileNet
        return "ours"
    raise ValueError(
        f"these names are of no layout that is known ({', '.join(NAMES)}): {', '.join(list(state)[:4])}, ...; rename "
        "them to those of the model and load with model.load_state_dict"
    )


def renamed(state: Mapping[str, Tensor], layout: str, *, to_ours: bool) -> State:
    """The state under our names, or under those of `layout`; timm has 1x1 convolutions for our linear layers."""
    result: State = {}
    for old, tensor in state.items():
        new = our_name(old, layout) if to_ours else their_name(old, layout)
        linear = re.search(r"\.attention\.(.*\.)?W_[012]\.weight$", new if to_ours else old)
        if linear and layout == "timm":
            tensor = tensor[:, :, None, None] if not to_ours else tensor[..., 0, 0] if is_1x1(tensor) else tensor
        if new in result:
            raise ValueError(f"two weights are both {new} in {layout}'s names, one of them is {old}: take one away")
        result[new] = tensor
    return result


def is_1x1(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.shape[2:] == (1, 1)


def our_name(name: str, layout: str) -> str:
    if layout == "pytorchcv":  # counts the units of a stage from 1
        name = re.sub(r"^features\.stage(\d+)\.unit(\d+)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}", name)
    return exchanged(name, [(theirs, ours) for ours, theirs in NAMES[layout]])


def their_name(name: str, layout: str) -> str:
    name = exchanged(name, NAMES[layout])
    if layout == "pytorchcv":
        name = re.sub(r"^layer(\d+)\.(\d+)", lambda m: f"features.stage{m[1]}.unit{int(m[2]) + 1}", name)
    return name


def exchanged(name: str, pairs: list[tuple[str, str]]) -> str:
    """The name with the first part that is found exchanged; ^ stands for its beginning."""
    name = f"^{name}"
    for old, new in pairs:
        if old in name:
            name = name.replace(old, new, 1)
            break
    return name.removeprefix("^")


def known(layout: str) -> str:
    if isinstance(layout, str) and layout in LOSSY:
        raise ValueError(f"{layout}'s CBAM {LOSSY[layout]}: weights would be lost, use another layout")
    return choose("layout", layout, NAMES)
