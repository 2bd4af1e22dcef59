"""One network under five names: how the released CBAM code, timm and pytorchcv call the parts of a residual network."""

import re
from collections.abc import Mapping

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
    if "conv1.weight" in state and "layer1.0.conv1.weight" in state:
        return "torchvision"
    raise ValueError(
        f"these names are of no layout that is known ({', '.join(NAMES)}): {', '.join(list(state)[:4])}, ...; rename "
        "them to those of the model and load with model.load_state_dict"
    )


def renamed(state: Mapping[str, Tensor], layout: str, *, to_ours: bool) -> State:
    """The state under our names, or under those of `layout`; linear layers there may be 1x1 convolutions."""
    result: State = {}
    for name, tensor in state.items():
        if layout == "pytorchcv" and to_ours:
            name = re.sub(r"^features\.stage(\d+)\.unit(\d+)", lambda m: f"layer{m[1]}.{int(m[2]) - 1}", name)
        name = f"^{name}"
        for ours, theirs in NAMES[layout]:
            old, new = (theirs, ours) if to_ours else (ours, theirs)
            if old in name:
                name = name.replace(old, new)
                break
        name = name.removeprefix("^")
        if layout == "pytorchcv" and not to_ours:
            name = re.sub(r"^layer(\d+)\.(\d+)", lambda m: f"features.stage{m[1]}.unit{int(m[2]) + 1}", name)
        if re.search(r"\.(W_[012]|fc[12])\.weight$", name) and layout == "timm":
            tensor = tensor.flatten(1) if to_ours else tensor[:, :, None, None]
        result[name] = tensor
    return result


def known(layout: str) -> str:
    if layout in LOSSY:
        raise ValueError(f"{layout}'s CBAM {LOSSY[layout]}: weights would be lost, use another layout")
    return choose("layout", layout, NAMES)
