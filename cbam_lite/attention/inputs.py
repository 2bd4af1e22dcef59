"""Sizes and maps that fit an attention module, or an error that says what was wrong and how to fix it."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from cbam_lite.attention.parts import autocast_is_on
from cbam_lite.checks import number, positive_int


def odd_kernel(kernel_size: int) -> int:
    if positive_int("kernel_size", kernel_size) % 2 == 0:
        raise ValueError(
            f"kernel_size={kernel_size} is even, so its output would not line up with the map: "
            f"use kernel_size={kernel_size - 1} or {kernel_size + 1}"
        )
    return kernel_size


def hidden_units(channels: int, reduction: int, hidden: int | float | None) -> int:
    """Units of the hidden layer: C // reduction, or `hidden` as a number (int) or as a share of C (float)."""
    positive_int("channels", channels)
    if hidden is None:
        units = channels // positive_int("reduction", reduction)
        if units == 0:
            raise ValueError(
                f"channels={channels} with reduction={reduction} leaves 0 hidden units: "
                f"use reduction<={channels} or hidden=1"
            )
        return units
    if not isinstance(hidden, float):
        return positive_int("hidden", hidden)
    units = int(channels * number("hidden", hidden))
    if units < 1:
        raise ValueError(
            f"hidden={hidden} of channels={channels} leaves {units} hidden units: "
            f"use a share of at least 1/{channels} = {1 / channels:.4g}, or hidden=1"
        )
    return units


def like_weight(layer: Any) -> Tensor:
    """A tensor of the dtype and device that a layer works in: its weight.

    Dynamic quantization makes `weight` a method, and such a layer takes float32 on the CPU.
    """
    weight = layer.weight
    return weight if isinstance(weight, Tensor) else torch.empty(0, dtype=torch.float32, device="cpu")


def check_map(x: Tensor, channels: int, weight: Tensor) -> tuple[int, int, int, int]:
    """B, C, H, W of a feature map that fits the module, or an error that names the fix."""
    if not isinstance(x, Tensor):
        raise TypeError(f"expected a torch.Tensor of shape (B, C, H, W), got {type(x).__name__}: use torch.as_tensor")
    if x.dim() != 4:
        fix = "add the batch dimension with x.unsqueeze(0)" if x.dim() == 3 else "reshape it to (B, C, H, W)"
        raise ValueError(f"expected a map of shape (B, C, H, W), got {tuple(x.shape)}: {fix}")
    B, C, H, W = x.shape
    if C != channels:
        fix = "for a map of shape (B, H, W, C) use x.permute(0, 3, 1, 2)" if W == channels else f"build it for {C}"
        raise ValueError(f"this module was built for channels={channels}, got C={C} in {tuple(x.shape)}: {fix}")
    if H * W == 0:
        raise ValueError(f"the map is empty: H={H}, W={W} in {tuple(x.shape)}; pool or pad less before this module")
    if x.device != weight.device:
        raise ValueError(f"x is on {x.device} but the module is on {weight.device}: use module.to(x.device)")
    if x.dtype != weight.dtype and not (x.is_floating_point() and autocast_is_on(x)):
        fix = f"module.to({x.dtype})" if x.is_floating_point() else f"x.to({weight.dtype}), scaled as in training"
        raise TypeError(f"x is {x.dtype} but the module is {weight.dtype}: use {fix}")
    return B, C, H, W


Module = TypeVar("Module", bound=nn.Module)


def one_node(forward: Callable[[Module, Tensor], Tensor]) -> Callable[[Module, Tensor], Tensor]:
    """For `forward`: ``torch.fx`` sees the module as one node, as it sees torch's own layers.

    FX runs a network on stand-ins for tensors, which have no shape and no device to check. One node keeps the check
    and the autocast rule for the run of the traced network, where `record_attention` still finds the gates.
    """

    @functools.wraps(forward)
    def forward_or_node(self: Module, F: Tensor) -> Tensor:
        if isinstance(F, fx.Proxy):
            return node_of(self, F)
        return forward(self, F)

    return forward_or_node


def node_of(module: nn.Module, F: fx.Proxy) -> Any:
    """The call of a module as one node of the graph that is being traced."""
    path = F.tracer.path_of_module(module)  # type: ignore[attr-defined]
    if not path:
        raise TypeError(
            f"{type(module).__name__} is one node for torch.fx, so alone it has nothing to trace: trace "
            "nn.Sequential(module), or the network around it"
        )
    return F.tracer.create_proxy("call_module", path, (F,), {})
