"""A student's residual block is made: with channels, a stride and an attention of ours, by name or by order."""

import inspect
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from cbam_lite.practice.probes import Log
from cbam_lite.practice.trial import Refused, Trial, shake

NAMES = {
    "in_channels": "in_channels in_channel in_ch in_planes inplanes in_c in_dim in_features cin c_in inp n_in ch_in",
    "out_channels": "out_channels out_channel out_ch out_planes planes outplanes out_c out_dim out_features cout c_out "
    "oup n_out ch_out",
    "stride": "stride strides s step",
    "attention": "attention att attn attention_layer attention_module attention_maker make_attention attention_fn gate "
    "attn_layer attention_factory attention_class attention_cls cbam se module attention_block attend maker make",
}
MORE: dict[str, Any] = {
    "groups": 1,
    "layout": "v1.5",
    "kernel_size": 3,
    "reduction": 4,
    "dilation": 1,
    "base_width": 64,
}
MIDDLE = "width mid mid_channels mid_planes hidden bottleneck_channels bottleneck mid_ch"
DOWN = "downsample shortcut skip projection down_sample identity_downsample i_downsample"


class Built(NamedTuple):
    """A block of the student's with one probe inside, and what it was made for."""

    block: nn.Module
    log: Log
    stride: int
    x: Tensor  # (B, C_in, H, W)
    out: tuple[int, int, int, int]  # the shape that must come back


def is_called(name: str, word: str) -> bool:
    return name.lower() in NAMES[word].split() or (word == "attention" and "att" in name.lower())


def arguments(trial: Trial, maker: Any, values: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any] | None:
    """Values by the names of the parameters, by their order where a name says nothing; None: all by their order.

    `values` are the four that the block must take, `extra` are others that it may take.
    """
    try:
        parameters = list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in parameters):
        return None
    free, given = dict(values), {}
    for p in parameters:
        word = next((word for word in free if is_called(p.name, word)), None)
        if word is not None:
            given[p.name] = free.pop(word)
    for p in parameters:
        if p.name.lower() in extra and p.name not in given and (p.default is p.empty or p.default is None):
            given[p.name] = extra[p.name.lower()]
    for p in parameters:  # what is left, by its order, where there is no default
        if free and p.name not in given and p.default is p.empty and p.kind is not p.VAR_KEYWORD:
            given[p.name] = free.pop(next(iter(free)))
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return given | free
    for p in parameters:  # names that say nothing, with defaults: what would fit there?
        if p.name in given or p.name.lower() in extra or not free:
            continue
        word = next(iter(free))
        fits = p.default is None or callable(p.default) if word == "attention" else type(p.default) is int
        if fits:
            given[p.name] = free.pop(word)
    if free:
        lacking(trial, [p.name for p in parameters], list(free))
    return given


def lacking(trial: Trial, names: list[str], free: list[str]) -> NoReturn:
    found = f"the block is made with ({', '.join(names)})"
    if "attention" in free:
        trial.refuse(
            "no_attention_parameter",
            f"{found}: a parameter `attention` is missing, a function channels -> module. Make it "
            "Block(in_channels, out_channels, stride, attention) and call attention(out_channels) inside",
        )
    trial.refuse("no_size_parameter", f"{found}: {' and '.join(free)} is missing")


def build(trial: Trial, maker: Any, C_in: int, C_out: int, stride: int, expansion: int = 1) -> Built:
    """The block for these channels and this stride, float64, weights far from zero, in evaluation mode."""
    log = Log()
    down = None
    if stride != 1 or C_in != C_out:
        down = nn.Sequential(nn.Conv2d(C_in, C_out, 1, stride, bias=False), nn.BatchNorm2d(C_out))
    values = {"in_channels": C_in, "out_channels": C_out // expansion, "stride": stride, "attention": log.attention}
    extra = MORE | dict.fromkeys(MIDDLE.split(), C_out // 4) | dict.fromkeys(DOWN.split(), down)
    by_name = arguments(trial, maker, values, extra)
    H, W = (9, 13) if stride == 1 else (8, 12)
    x = torch.randn(4, C_in, H, W, generator=torch.Generator().manual_seed(stride), dtype=torch.float64)
    try:
        block = trial.run(maker, *values.values()) if by_name is None else trial.run(maker, **by_name)
        if isinstance(block, nn.Module) and (not log.made or lazy(block)):
            trial.run(block, x.float())  # a lazy module learns its channels from its first input
    except Refused as refusal:
        if log.not_made:
            trial.refuse("attention_not_made", f"{log.not_made}; in __init__, write attention(out_channels)")
        raise refusal
    if not isinstance(block, nn.Module):
        trial.refuse("not_a_module", f"{type(block).__name__} came back, not an nn.Module")
    if not log.made:
        trial.refuse("attention_not_called", "attention(channels) was not called when the block was made")
    block = block.double().eval()
    shake(block, seed=C_in + C_out + stride, scale=3.0)
    return Built(block, log, stride, x, (4, C_out, H // stride, W // stride))


def lazy(block: nn.Module) -> bool:
    return any(isinstance(p, nn.parameter.UninitializedParameter) for p in block.parameters())


def expansion_of(trial: Trial, maker: Any) -> int:
    """1, or how many times as many channels as `planes` come out of the block, as in torchvision's bottleneck."""
    made = build(trial, maker, 16, 16, 1).log.made[-1]
    return made // 16 if made in (32, 64) else 1
