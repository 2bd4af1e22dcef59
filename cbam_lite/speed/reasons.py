"""When the fused path is taken, and why not: reasons in the machine, in the map, in the caller, in the module."""

import importlib.util
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.channel_attention import ChannelAttention
from cbam_lite.attention.parts import Gate
from cbam_lite.attention.spatial_attention import ChannelPool, NoSpatialAttention, SpatialAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.speed.operators import channel_pools, place_pools, refine

DEVICES = ("cuda",)  # the tests add "cpu", where Triton's interpreter runs the kernels
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HAS_TRITON = importlib.util.find_spec("triton") is not None
tried: dict[int | None, str | None] = {}  # the outcome of `trial` on each device


def reason_against(module: nn.Module, F: Tensor, shortcut: Tensor | None) -> str | None:
    """Why the kernels do not cover this module and map, wherever the map is; None if they do."""
    return of_map(F, shortcut) or of_caller() or of_module(module) or of_device(F.device.index)


def of_device(index: int | None) -> str | None:
    """A reason in the machine: a small map, once for each device, shows whether Triton runs there and computes right.

    Triton needs a C compiler and a GPU of compute capability 7.0 or newer. Whatever is missing becomes the reason. A
    module that is compiled before it ever ran is not asked.
    """
    if not HAS_TRITON:
        return "Triton is not installed"
    if torch.compiler.is_dynamo_compiling():
        return None
    if index not in tried:
        tried[index] = trial(index)
    return tried[index]


def trial(index: int | None) -> str | None:
    """Run the forward kernels once, and compare."""
    device = torch.device("cpu") if index is None else torch.device("cuda", index)
    x = torch.arange(-6, 6, dtype=torch.float32, device=device).view(1, 2, 2, 3).sin()
    M_c = torch.tensor([[0.5, 2.0]], dtype=torch.float32, device=device)
    scaled = x * M_c[:, :, None, None]
    try:
        found = channel_pools(x)[0], place_pools(x, M_c)[0], refine(x, M_c, None, None, True)
    except Exception as error:
        return f"Triton does not run on this device: {type(error).__name__}: {error}"
    right = (
        torch.stack([x.mean((2, 3)), x.amax((2, 3))]),
        torch.stack([scaled.mean(1), scaled.amax(1)], 1),
        scaled.relu(),
    )
    close = all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(found, right, strict=True))
    return None if close else "the kernels gave another result than PyTorch on this device"


def of_map(F: Tensor, shortcut: Tensor | None) -> str | None:
    """A reason in the map, or in what is added."""
    if F.dtype not in DTYPES:
        return f"the map is {F.dtype}: the kernels take float32, float16 and bfloat16"
    if F.dim() != 4 or F.numel() == 0:
        return f"the map is empty or not (B, C, H, W): {tuple(F.shape)}"
    if F.shape[1:].numel() >= 2**31:
        return f"one image has {F.shape[1:].numel():,} numbers: the kernels count them in 32 bits, up to {2**31 - 1:,}"
    if not (F.is_contiguous() or F.is_contiguous(memory_format=torch.channels_last)):
        return f"the map is neither contiguous nor channels_last: its strides are {F.stride()}"
    if shortcut is not None and (shortcut.shape, shortcut.dtype, shortcut.device) != (F.shape, F.dtype, F.device):
        return f"the shortcut is {tuple(shortcut.shape)} {shortcut.dtype}, the map {tuple(F.shape)} {F.dtype}"
    return None


def of_caller() -> str | None:
    """A reason in who is calling: what transforms or records operations does not know ours."""
    if torch.compiler.is_dynamo_compiling():
        return None
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # torch 2.6 has the second alone
    if exporting() or torch._C._is_tracing():
        return "the module is being exported, and the file should need nothing of ours"
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "torch.func or forward-mode derivatives are active"
    return None


def of_module(module: nn.Module, hooks: bool = True) -> str | None:
    """A reason in the module: an option that the kernels do not have, a part that was replaced, a hook that listens."""
    name = plain_class(module).__name__
    channel, spatial = halves(module)
    if channel is None and isinstance(getattr(module, "attention", None), nn.Module):
        return f"{name} has no fused kernels of its own: ask its attention, with the map that reaches it"
    if channel is None:
        return f"{name} has no fused kernels: SqueezeExcitation, ChannelAttention and CBAM (channel-first) have"
    first, second = layers_of(channel)
    pools = list(pools_of(channel))
    if [type(part) for part in (first, second, channel.gate)] != [nn.Linear, nn.Linear, Gate]:
        return "a part of the channel gate was replaced"
    if spatial is not None:
        descriptors, conv, norm, gate = spatial.descriptors, spatial.conv, spatial.norm, spatial.gate
        if isinstance(descriptors, nn.Conv2d):
            return "the spatial gate has a learnt descriptor: the kernels have avg and max"
        if not (own_descriptors(descriptors) and own_convolution(conv) and own_norm(norm) and type(gate) is Gate):
            return "a part of the spatial gate was replaced"
        if (gate.function, gate.init) != (channel.gate.function, channel.gate.init):
            return "the two gates have different functions"
        pools += descriptors.pools
    if not all(pool in ("avg", "max") for pool in pools):
        return f"the pools are {', '.join(pools)}: the kernels have avg and max"
    if hooks and any(map(hooked, module.modules())):
        return f"a hook on {name} or one of its parts, or a forward set there, would not be called"
    return None


def halves(module: nn.Module) -> tuple[Any, Any]:
    """The channel half of a module and, if it has one, its spatial half; (None, None) for what is not covered."""
    if plain_class(module) in (SqueezeExcitation, ChannelAttention):
        return module, None
    if plain_class(module) is not CBAM or module.order != "channel-first":
        return None, None
    channel: Any = module.channel_attention
    spatial = module.spatial_attention
    if plain_class(channel) is not ChannelAttention or type(spatial) not in (SpatialAttention, NoSpatialAttention):
        return None, None
    return channel, None if type(spatial) is NoSpatialAttention else spatial


def plain_class(module: nn.Module) -> type[nn.Module]:
    """What `fused` made a module from, or its own class; a subclass of somebody else is neither."""
    plain: type[nn.Module] = type(module).__dict__.get("_fused_from", type(module))
    return plain


def layers_of(channel: Any) -> tuple[Any, Any]:
    """The two layers of a channel half, which the papers on SE and CBAM count from 1 and from 0."""
    return (channel.W_0, channel.W_1) if hasattr(channel, "W_0") else (channel.W_1, channel.W_2)


def pools_of(channel: Any) -> tuple[str, ...]:
    """The pools of a channel half; SE has a single one."""
    return (channel.pool,) if hasattr(channel, "pool") else channel.pools


def own_descriptors(descriptors: nn.Module) -> bool:
    return type(descriptors) is ChannelPool


def own_convolution(conv: nn.Module) -> bool:
    """Whether it is a convolution as `SpatialAttention` makes it."""
    if type(conv) is not nn.Conv2d or conv.out_channels != 1 or conv.padding_mode != "zeros":
        return False
    k = conv.kernel_size[0]
    return k % 2 == 1 and (conv.kernel_size, conv.padding, conv.stride, conv.dilation) == (
        (k, k), (k // 2, k // 2), (1, 1), (1, 1)
    )  # fmt: skip


def own_norm(norm: nn.Module) -> bool:
    return type(norm) is nn.Identity or (type(norm) is nn.BatchNorm2d and norm.affine)


def hooked(module: nn.Module) -> bool:
    """Whether anybody listens to a module, or to all, or gave it a forward of its own: the fused path calls none."""
    everywhere = nn.modules.module
    hooks = (
        *(module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks),
        *(everywhere._global_forward_hooks, everywhere._global_forward_pre_hooks),
        *(everywhere._global_backward_hooks, everywhere._global_backward_pre_hooks),
    )
    return any(map(len, hooks)) or "forward" in module.__dict__
