"""The fused path of SE and CBAM on a GPU: the same result in fewer passes over the map.

A *pass* reads or writes the whole map once. Written out in PyTorch, CBAM reads F for the mean, again for the maximum,
reads and writes it to make F', and so on: 8 passes. Here it takes 4: one read for both channel descriptors, one for
both place descriptors of F', which is never stored, one read and one write for the output. An addition and a ReLU
behind it, as every block of a residual network has them, cost one more read instead of 5 more passes.

`SqueezeExcitation`, `ChannelAttention`, `CBAM` and the blocks of `ResNet` take this path by themselves where `why_not`
gives no reason against it; ``use_fused(False)`` turns it off. `operators` holds the steps, `kernels` the GPU's code.
"""

import importlib.util
import os
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from cbam_lite.operators import attend_operator, channel_pools, check_interpreted, memory_format, place_pools, refine
from cbam_lite.parts import Gate, check_map

# ---- when the modules take this path --------------------------------------------------------------------------------

DEVICES = ("cuda",)  # the tests add "cpu", where Triton's interpreter runs the kernels
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HAS_TRITON = importlib.util.find_spec("triton") is not None
tried: dict[int | None, str | None] = {}  # the outcome of `trial` on each device
switched_on = os.environ.get("CBAM_LITE_FUSED", "1") != "0"


class use_fused:
    """Turn the fused path on or off, for good or, as a context manager, for the lines inside.

    Args:
        on: whether modules may take the fused path. It is on by default; the environment variable
            ``CBAM_LITE_FUSED=0`` turns it off from the start.

    The kernels have no second derivatives: a gradient penalty or a Hessian on a GPU needs ``use_fused(False)``.

    Example:
        >>> with use_fused(False):
        ...     y = model(x)  # the plain path, also on a GPU
    """

    def __init__(self, on: bool) -> None:
        self.on, self.before = on, switched_on
        self.__enter__()

    def __enter__(self) -> None:
        global switched_on
        switched_on = self.on

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global switched_on
        switched_on = self.before


def why_not(module: nn.Module, F: Tensor, shortcut: Tensor | None = None) -> str | None:
    """The reason why `module` takes the plain path for this map, or None if it takes the fused one.

    Example:
        >>> why_not(CBAM(64), torch.rand(1, 64, 56, 56))
        'the map is on cpu: the kernels need cuda'
    """
    if not isinstance(F, Tensor):
        return f"expected a torch.Tensor, got {type(F).__name__}"
    if F.device.type not in DEVICES:
        return f"the map is on {F.device.type}: the kernels need {' or '.join(DEVICES)}"
    if not switched_on:
        return "use_fused(False) is in force, or CBAM_LITE_FUSED=0"
    return reason_against(module, F, shortcut)


def covers(module: nn.Module, F: Tensor, shortcut: Tensor | None = None) -> bool:
    """Whether `module` takes the fused path for this map."""
    return why_not(module, F, shortcut) is None


def reason_against(module: nn.Module, F: Tensor, shortcut: Tensor | None) -> str | None:
    """`why_not`, wherever the map is and however the switch stands."""
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
    if torch.compiler.is_exporting() or torch._C._is_tracing():
        return "the module is being exported, and the file should need nothing of ours"
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "torch.func or forward-mode derivatives are active"
    return None


def of_module(module: nn.Module) -> str | None:
    """A reason in the module: an option that the kernels do not have, a part that was replaced, a hook."""
    name = type(module).__name__
    channel, spatial = halves(module)
    if channel is None:
        return f"{name} has no fused kernels: SqueezeExcitation, ChannelAttention and CBAM (channel-first) have"
    first, second = layers_of(channel)
    parts = [channel, first, second, channel.gate]
    pools = list(pools_of(channel))
    if [type(part) for part in parts[1:]] != [nn.Linear, nn.Linear, Gate]:
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
        parts += [spatial, descriptors, conv, norm, gate]
    if not {"avg", "max"}.issuperset(pools):
        return f"the pools are {', '.join(pools)}: the kernels have avg and max"
    if any(hooked(part) for part in (module, *parts)):
        return f"a hook on {name} or one of its parts would not be called"
    return None


def halves(module: nn.Module) -> tuple[Any, Any]:
    """The channel half of a module and, if it has one, its spatial half; (None, None) for what is not covered."""
    from cbam_lite.cbam import CBAM, ChannelAttention, NoSpatialAttention, SpatialAttention
    from cbam_lite.channel import SqueezeExcitation

    if type(module) in (SqueezeExcitation, ChannelAttention):
        return module, None
    if type(module) is not CBAM or module.order != "channel-first":
        return None, None
    channel, spatial = module.channel_attention, module.spatial_attention
    if type(channel) is not ChannelAttention or type(spatial) not in (SpatialAttention, NoSpatialAttention):
        return None, None
    return channel, None if type(spatial) is NoSpatialAttention else spatial


def layers_of(channel: Any) -> tuple[Any, Any]:
    """The two layers of a channel half, which the papers on SE and CBAM count from 1 and from 0."""
    return (channel.W_0, channel.W_1) if hasattr(channel, "W_0") else (channel.W_1, channel.W_2)


def pools_of(channel: Any) -> tuple[str, ...]:
    """The pools of a channel half; SE has a single one."""
    return (channel.pool,) if hasattr(channel, "pool") else channel.pools


def own_descriptors(descriptors: nn.Module) -> bool:
    from cbam_lite.cbam import ChannelPool

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
    """Whether anybody listens to a module, or to all: the fused path does not call it, so hooks would be silent."""
    everywhere = nn.modules.module
    hooks = (
        *(module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks),
        *(everywhere._global_forward_hooks, everywhere._global_forward_pre_hooks),
        *(everywhere._global_backward_hooks, everywhere._global_backward_pre_hooks),
    )
    return any(map(len, hooks))


# ---- calling it -----------------------------------------------------------------------------------------------------


def attend(module: nn.Module, F: Tensor, shortcut: Tensor | None = None, relu: bool = False) -> Tensor:
    """``module(F)`` by the fused kernels, on a CUDA device or, where Triton interprets, on any.

    Args:
        module: a `SqueezeExcitation`, `ChannelAttention` or `CBAM` that `why_not` has nothing against.
        F: the map, (B, C, H, W).
        shortcut: added to the result, of the same shape; None adds nothing.
        relu: whether a ReLU follows.

    Returns:
        (B, C, H, W), in the dtype and memory format of F: ``relu(module(F) + shortcut)``. Forward and backward
        pass work in float32 between reading and writing, so float16 and bfloat16 are rounded once, at the end.

    Raises:
        TypeError: F is not a tensor, or not in the dtype of the module.
        ValueError: the kernels do not cover this module or map; the message says why.
        RuntimeError: F is on the CPU and Triton does not interpret.
    """
    if not isinstance(F, Tensor):
        raise TypeError(f"expected a torch.Tensor of shape (B, C, H, W), got {type(F).__name__}: use torch.as_tensor")
    if not F.is_cuda and HAS_TRITON:
        check_interpreted(F)
    reason = reason_against(module, F, shortcut)
    if reason is not None:
        raise ValueError(f"no fused kernel for this: {reason}; call the module itself, which takes the plain path")
    return run(module, F, shortcut, relu)


def run(module: Any, F: Tensor, shortcut: Tensor | None = None, relu: bool = False) -> Tensor:
    """`attend` for what is known to be covered: hand over the weights by name, then keep the batch norm's books."""
    channel, spatial = halves(module)
    (first, second), gate = layers_of(channel), channel.gate
    check_map(F, channel.channels, first.weight)
    named = {"W_0": first.weight, "W_1": second.weight, "b_0": first.bias, "b_1": second.bias}
    norm, places, eps = None, "", 0.0
    if spatial is not None:
        spatial.check(F)
        places = "+".join(spatial.descriptors.pools)
        named |= {"kernel": spatial.conv.weight, "bias": spatial.conv.bias}
    if spatial is not None and isinstance(spatial.norm, nn.BatchNorm2d):
        norm, eps = spatial.norm, spatial.norm.eps
        named |= {"gamma": norm.weight, "beta": norm.bias}
        if not norm.training and norm.running_mean is not None:
            named |= {"mean": norm.running_mean, "variance": norm.running_var}
    named = {name: weight for name, weight in named.items() if weight is not None}
    if shortcut is not None:
        shortcut = shortcut.contiguous(memory_format=memory_format(F))
    channels = "+".join(pools_of(channel))
    out, *_, statistics = attend_operator(
        F, shortcut, relu, list(named.values()), " ".join(named), channels, places, gate.function, gate.init, eps
    )
    if norm is not None and norm.training and norm.running_mean is not None:
        update(norm, statistics)
    return out


@torch.no_grad()
def update(norm: nn.BatchNorm2d, statistics: Tensor) -> None:
    """Running variance and mean as the batch norm itself would move them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
    for running, new in zip((norm.running_var, norm.running_mean), statistics.to(norm.running_var.dtype), strict=True):
        running.lerp_(new, share)
