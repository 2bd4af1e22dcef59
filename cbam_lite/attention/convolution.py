"""What a convolution computes, one channel at a time, and what it costs."""

import math

import torch
from torch import Tensor

from cbam_lite.checks import number, positive_int


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Rows (or columns) of the output: floor((n + 2 p - d (k - 1) - 1) / s) + 1.

    Args:
        size: n, rows of the input.
        kernel, stride, padding, dilation: k, s, p, d, as in `torch.nn.Conv2d`.

    Raises:
        ValueError: the kernel does not fit into the padded input.

    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Example:
        >>> output_size(224, kernel=7, stride=2, padding=3)
        112
    """
    for name, value in (
        ("size", size),
        ("kernel", kernel),
        ("stride", stride),
        ("dilation", dilation),
    ):
        positive_int(name, value)
    if number("padding", padding) < 0:
        raise ValueError(f"padding={padding} must be 0 or more")
    reach = dilation * (kernel - 1) + 1
    if size + 2 * padding < reach:
        raise ValueError(
            f"a kernel that reaches over {reach} rows does not fit into {size} rows padded to {size + 2 * padding}: "
            f"use padding>={-(-(reach - size) // 2)} or a smaller kernel"
        )
    return (size + 2 * padding - reach) // stride + 1


def partial_maps(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Every input channel filtered by its own slice of every kernel, before anything is added.

    Args:
        x: (B, C, H, W).
        weight: (O, C, k, k), as in `torch.nn.Conv2d` without groups.

    Returns:
        Maps of shape (B, O, C, H', W'). Their sum over C is the convolution, so ``partial_maps(x, w).sum(2)`` equals
        ``conv2d(x, w)``.

    Raises:
        ValueError: the channels of x and of the kernels differ.
        TypeError: one of them is no tensor.

    Example:
        >>> x, kernels = torch.rand(1, 3, 32, 32), torch.rand(8, 3, 3, 3)
        >>> maps = partial_maps(x, kernels, padding=1)
        >>> maps.shape
        torch.Size([1, 8, 3, 32, 32])
        >>> torch.allclose(maps.sum(2), torch.nn.functional.conv2d(x, kernels, padding=1), atol=1e-5)
        True
    """
    if not isinstance(x, Tensor) or not isinstance(weight, Tensor):
        raise TypeError(f"x and weight must be tensors, got {type(x).__name__} and {type(weight).__name__}")
    if x.dim() != 4 or weight.dim() != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x of shape {tuple(x.shape)} and kernels of shape {tuple(weight.shape)} do not fit: "
            "expected (B, C, H, W) and (O, C, k, k) with the same C"
        )
    B, C, H, W = x.shape
    O = weight.shape[0]
    slices = weight.transpose(0, 1).reshape(C * O, 1, *weight.shape[2:])  # O slices for each input channel
    maps = torch.nn.functional.conv2d(x, slices, stride=stride, padding=padding, groups=C)  # (B, C*O, H', W')
    return maps.reshape(B, C, O, *maps.shape[2:]).transpose(1, 2)


def multiply_adds(
    in_channels: int,
    out_channels: int,
    kernel: int,
    out_height: int,
    out_width: int,
    groups: int = 1,
) -> int:
    """Multiply-adds of a convolution for one image: H' W' O (C / groups) k^2, biases not counted.

    Raises:
        ValueError: the groups do not divide the channels.

    Example:
        >>> multiply_adds(64, 128, kernel=3, out_height=56, out_width=56)
        231211008
    """
    sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel": kernel}
    sizes |= {"out_height": out_height, "out_width": out_width, "groups": groups}
    for name, value in sizes.items():
        positive_int(name, value)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}: "
            f"use a common divisor such as {math.gcd(in_channels, out_channels)}"
        )
    return out_height * out_width * out_channels * (in_channels // groups) * kernel**2
