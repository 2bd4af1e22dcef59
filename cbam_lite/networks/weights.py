"""Weights that load: the same network under five names.

The released CBAM code, timm and pytorchcv call the parts of one network differently, and stack the two maps of the
spatial gate in different orders. `load_weights` reads all of them into a network of this package, `export_weights`
writes them. What a target cannot hold is refused by name, and so is what a network here would compute differently.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from cbam_lite.attention.spatial_attention import ChannelPool, SpatialAttention
from cbam_lite.checks import choose
from cbam_lite.networks.resnet import LAYOUTS, ResNet
from cbam_lite.networks.weight_checks import (
    attention_names,
    differences,
    same_attention,
    same_strides,
    usual_strides,
    writable,
)
from cbam_lite.networks.weight_files import read_weights as read_weights
from cbam_lite.networks.weight_files import tensors_of, without_prefixes
from cbam_lite.networks.weight_names import MAPS_BEGIN_WITH, Layout, State, known, layout_of, renamed


def load_weights(
    model: nn.Module,
    weights: str | Path | Mapping[str, Any],
    *,
    layout: Layout | None = None,
    keep: str | None = None,
    strides: str | None = None,
) -> str:
    """Load weights of any known layout into a network of this package, all or nothing.

    The order of the spatial gate's two maps is that of the project, and is changed to that of the model.

    Args:
        model: `resnet50(CBAM.official)`, for example; it may be compiled. It is untouched if anything does not fit.
        weights: a file, a state dict, or a checkpoint with one under "state_dict", "model_state_dict", "model",
            "state_dict_ema" or "model_ema" (the first of these that is there). The prefixes ``module.``,
            ``_orig_mod.``, ``model.`` and ``backbone.`` are taken off.
        layout: "ours", "torchvision", "official", "timm" or "pytorchcv"; None recognises it. "ours" says that the
            weights come from a network built like this one.
        keep: parts of the model whose own values stay, and are not asked for in the file, as the beginning or the
            middle of their names: "fc." for another number of classes, ".attention." for a plain file in a network with
            attention.
        strides: "v1" or "v1.5", where the bottlenecks have their stride in the network that the weights come from.
            None takes v1.5 for torchvision, the released code and timm, and for pytorchcv with CBAM. Plain pytorchcv
            and recognised files of our own may be of either kind, and must be told.

    Returns:
        The layout.

    Raises:
        ValueError: the file is not readable, the layout is unknown, names or shapes differ (the error lists them and
            says which attention would fit), a number is NaN or infinite, the attention of the model computes something
            else than that of the project, or the strides stand elsewhere or are not told.
        TypeError: an argument is of another type than told here.
        FileNotFoundError: there is no such file.

    Names and shapes cannot tell all, so some files load without an error and compute something else:

    - Files of our own do not say the order of the maps, nor the gate, the pools and the order of the two gates. Load
      them into what they were saved from. A plain one has torchvision's names and is taken for torchvision's, v1.5.
    - timm's resnetaa50 (it blurs where it strides), timm's ``attn_layer="ceca"`` (its convolution goes round) and
      files of networks for CIFAR (3x3 of stride 1 at the start) in ``stem="half"``.
    - Files with a damaged byte inside a weight, as long as the number stays finite. Only `load_checkpoint` compares a
      hash; compare that of a download yourself.

    Example:
        >>> model = resnet18(CBAM, num_classes=10)
        >>> torch.save(model.state_dict(), "trained.pth")
        >>> load_weights(resnet18(CBAM, num_classes=10), "trained.pth")
        'ours'
        >>> other = resnet18(CBAM, num_classes=3)
        >>> load_weights(other, "trained.pth", keep="fc.")  # three classes instead of ten: the last layer stays new
        'ours'
    """
    model = bare(model)
    own = model.state_dict()
    check_options(own, layout, keep, strides)
    content = tensors_of(weights, "weights") if isinstance(weights, Mapping) else read_weights(weights)
    state = without_prefixes(content, own)
    project = layout_of(state) if layout is None else layout
    state = renamed(state, project, to_ours=True)
    stays = {name for name in own if keep is not None and keep in name}
    stays |= {name for name in own if name.endswith("num_batches_tracked") and name not in state}  # old files lack them
    if problems := differences(own, state, stays, project):
        raise ValueError(f"the weights ({project}) do not fit {type(model).__name__}, nothing was loaded. {problems}")
    if project != "ours":
        same_attention(model, project, keep)
    theirs = usual_strides(project, bool(attention_names(state))) if strides is None else strides
    built_alike = theirs is None and project == "ours" and (layout == "ours" or not isinstance(model, ResNet))
    if not built_alike:
        same_strides(model, theirs, project, "say with strides=... that the weights have it there, too")
    state = in_order_of(model, {name: tensor for name, tensor in state.items() if name not in stays}, project)
    all_finite(state, own)
    model.load_state_dict(own | state)
    return project


def export_weights(model: nn.Module, layout: Layout) -> State:
    """The state dict of a network of this package under the names of another project.

    Args:
        model: a `ResNet` of this package; it may be compiled.
        layout: "official", "timm", "pytorchcv" or "torchvision"; "ours" writes any network under its own names.

    Raises:
        ValueError: the target has no names for the model, or cannot hold what it computes; the error names it.
        TypeError: the model is no module.

    The first layer has the same name in each stem of a ResNet: what is written from ``stem="half"`` or "small" fits
    only a network with that first layer.

    Example:
        >>> state = export_weights(resnet50(CBAM.official), "official")
        >>> next(name for name in state if "SpatialGate" in name)
        'layer1.0.cbam.SpatialGate.spatial.conv.weight'
    """
    model = bare(model)
    if known(layout) != "ours":
        writable(model, layout)
        attentive = bool(attention_names(model.state_dict()))
        if theirs := usual_strides(layout, attentive):
            same_strides(model, theirs, layout, "write it as layout='ours'")
    return renamed(in_order_of(model, model.state_dict(), layout), layout, to_ours=False)


def bare(model: nn.Module) -> nn.Module:
    """The network itself, without torch.compile, DataParallel and DistributedDataParallel around it."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a network, such as resnet50(CBAM.official), got {type(model).__name__}")
    inner = getattr(model, "_orig_mod", None)
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = model.module
    if inner is not None:
        return bare(inner)
    if on_meta := [name for name, tensor in model.state_dict().items() if tensor.is_meta]:
        raise ValueError(
            f"{on_meta[0]} of the model is on the meta device, which holds no numbers: build the model on the CPU, or "
            "call model.to_empty(device='cpu') first"
        )
    return model


def check_options(own: State, layout: str | None, keep: str | None, strides: str | None) -> None:
    if layout is not None:
        known(layout)
    if strides is not None:
        choose("strides", strides, LAYOUTS)
    if keep is not None and not isinstance(keep, str):
        raise TypeError(f"keep must be a part of names, such as 'fc.', got {keep!r} of type {type(keep).__name__}")
    if keep is not None and all(keep in name for name in own):
        raise ValueError(f"keep={keep!r} is in every name, nothing would be loaded: say more of it, such as 'fc.'")


def in_order_of(model: nn.Module, state: State, layout: str) -> State:
    """Flip the two input maps of each spatial convolution where model and layout stack them differently."""
    first = MAPS_BEGIN_WITH[layout]
    result = dict(state)
    for name, module in model.named_modules():
        key = f"{name}.conv.weight"
        if isinstance(module, SpatialAttention) and isinstance(module.descriptors, ChannelPool) and key in result:
            pools = module.descriptors.pools
            if first is not None and pools[0] != first:
                result[key] = result[key].flip(1)
    return result


def all_finite(state: State, own: State) -> None:
    """Refuse NaN and infinity, also those that come from a smaller dtype of the model."""
    for name, tensor in state.items():
        if bad := int((~tensor.to(own[name].dtype).isfinite()).sum()):
            raise ValueError(
                f"{bad} of {tensor.numel()} numbers in {name} are NaN or infinite in {own[name].dtype}, nothing was "
                "loaded: fetch the file again, or load weights from before the training went wrong"
            )
