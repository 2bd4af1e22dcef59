"""A convolution as it should be, and with one thing wrong: small pure functions.

`KNOWN` holds (key, function): the function gives the map of the mistake that the key names in `words_hand`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Inputs(NamedTuple):
    """image (C, H, W), kernels (O, C, k, k), bias (O,)"""

    image: Tensor
    kernels: Tensor
    bias: Tensor
    stride: int
    padding: int


Map = Callable[[Inputs], Tensor]  # to (O, H', W'), or another shape if that is the mistake


def right(i: Inputs) -> Tensor:
    """(O, H', W'): cross-correlation over all channels, plus the bias."""
    return functional.conv2d(i.image[None], i.kernels, i.bias, i.stride, i.padding)[0]


def each_channel(i: Inputs) -> Tensor:
    """(O, C, H', W'): before the channels are added; each has the whole bias."""
    maps = [right(i._replace(image=i.image[c : c + 1], kernels=i.kernels[:, c : c + 1])) for c in range(len(i.image))]
    return torch.stack(maps, 1)


def with_kernels(turn: Callable[[Tensor], Tensor]) -> Map:
    return lambda i: right(i._replace(kernels=turn(i.kernels)))


def after(turn: Callable[[Tensor], Tensor]) -> Map:
    return lambda i: turn(right(i))


def padded(mode: str, both: bool = True) -> Map:
    """The padding of another kind: `mode` of functional.pad; zeros at the top and left only if not `both`."""

    def pad(i: Inputs) -> Tensor:
        p = i.padding
        image = functional.pad(i.image[None], (p, p if both else 0) * 2, mode=mode)[0]
        return right(i._replace(image=image, padding=0))

    return pad


def windows(i: Inputs) -> Tensor:
    """(O, C k k, H', W'): all products, before they are added."""
    image = functional.pad(i.image, (i.padding,) * 4)
    k = i.kernels.shape[-1]
    views = image.unfold(1, k, i.stride).unfold(2, k, i.stride)  # (C, H', W', k, k)
    return torch.einsum("ocuv,chwuv->ocuvhw", i.kernels, views).flatten(1, 3)


def bias_times(i: Inputs, n: int) -> Tensor:
    return right(i) + (n - 1) * i.bias[:, None, None]


def stride_of(rows: bool, columns: bool) -> Map:
    """The stride along one axis only, or along none."""
    return lambda i: functional.conv2d(
        i.image[None], i.kernels, i.bias, (i.stride if rows else 1, i.stride if columns else 1), i.padding
    )[0]


def stride_in_the_size_only(i: Inputs) -> Tensor:
    """As many windows as the stride leaves, but next to each other."""
    _, height, width = right(i).shape
    return right(i._replace(stride=1))[:, :height, :width]


def in_a_full_map(corner: bool) -> Map:
    """A map as large as the image; what no window gives stays 0."""

    def full(i: Inputs) -> Tensor:
        inner, out = right(i), i.image.new_zeros(len(i.kernels), *i.image.shape[1:])
        top = 0 if corner else i.kernels.shape[-1] // 2
        if max(0, inner.shape[1] + top - out.shape[1], inner.shape[2] + top - out.shape[2]):
            return inner
        out[:, top : top + inner.shape[1], top : top + inner.shape[2]] = inner
        return out

    return full


def one_bias(i: Inputs) -> Tensor:
    return right(i._replace(bias=i.bias[:1].expand_as(i.bias)))


def larger(i: Inputs) -> Tensor:
    """One row and one column more than there are windows: the last ones reach over the edge."""
    return right(i._replace(image=functional.pad(i.image, (0, i.stride, 0, i.stride))))


def without_padding_in_the_size(i: Inputs) -> Tensor:
    """The image is padded, the map is as large as without it."""
    _, height, width = right(i._replace(padding=0)).shape
    return right(i)[:, :height, :width]


KNOWN: list[tuple[str, Map]] = [
    ("kernel_flipped", with_kernels(lambda w: w.flip(-1, -2))),
    ("kernel_flipped", with_kernels(lambda w: w.flip(-1))),
    ("kernel_flipped", with_kernels(lambda w: w.flip(-2))),
    ("kernel_flipped", with_kernels(lambda w: w.flip(1, 2, 3))),
    ("transposed_kernel", with_kernels(lambda w: w.mT)),
    ("transposed_kernel", with_kernels(lambda w: w.mT.flip(-1, -2))),
    ("transposed_kernel", with_kernels(lambda w: w.mT.flip(-1))),
    ("transposed_kernel", with_kernels(lambda w: w.mT.flip(-2))),
    ("channels_reversed", with_kernels(lambda w: w.flip(1))),
    ("channels_not_added", lambda i: each_channel(i)[:, 0]),
    ("channels_not_added", lambda i: each_channel(i)[:, -1]),
    ("channels_not_added", each_channel),
    ("channels_not_added", lambda i: each_channel(i).flatten(0, 1)),
    ("channels_not_added", lambda i: each_channel(i).transpose(0, 1)),
    ("channels_not_added", lambda i: each_channel(i).transpose(0, 1).flatten(0, 1)),
    ("channels_not_added", lambda i: each_channel(i).amax(1)),
    ("channels_swapped_with_kernels", lambda i: each_channel(i).sum(0)),
    ("one_kernel_channel", with_kernels(lambda w: w[:, :1].expand_as(w))),
    ("one_kernel_channel", with_kernels(lambda w: w[:, -1:].expand_as(w))),
    ("one_kernel_for_all", with_kernels(lambda w: w[:1].expand_as(w))),
    ("one_kernel_for_all", with_kernels(lambda w: w[-1:].expand_as(w))),
    ("one_kernel_only", after(lambda y: y[:1])),
    ("one_kernel_only", after(lambda y: y[0])),
    ("one_kernel_only", after(lambda y: y[-1])),
    ("one_kernel_only", after(lambda y: torch.cat([y[:1], torch.zeros_like(y[1:])]))),
    ("kernels_added", after(lambda y: y.sum(0))),
    ("kernels_added", after(lambda y: y.sum(0, keepdim=True))),
    ("wrong_output_size", after(lambda y: y[:, :-1, :-1])),
    ("wrong_output_size", after(lambda y: y[:, 1:, 1:])),
    ("wrong_output_size", in_a_full_map(corner=True)),
    ("wrong_output_size", in_a_full_map(corner=False)),
    ("wrong_output_size", larger),
    ("axes_swapped", after(lambda y: y.mT)),
    ("channels_last", after(lambda y: y.movedim(0, -1))),
    ("mean_for_sum", lambda i: (right(i) - i.bias[:, None, None]) / i.kernels[0].numel() + i.bias[:, None, None]),
    ("mean_for_sum", lambda i: right(i) / i.kernels[0].numel()),
    ("mean_for_sum", lambda i: each_channel(i).mean(1)),
    ("mean_for_sum", lambda i: right(i) / i.kernels[0, 0].numel()),
    ("max_for_sum", lambda i: windows(i).amax(1) + i.bias[:, None, None]),
    ("last_product_only", lambda i: windows(i)[:, -1] + i.bias[:, None, None]),
    ("bias_missing", lambda i: bias_times(i, 0)),
    ("bias_many_times", lambda i: bias_times(i, len(i.image))),
    ("bias_many_times", lambda i: bias_times(i, i.kernels[0].numel())),
    ("bias_many_times", lambda i: bias_times(i, i.kernels[0, 0].numel())),
    ("one_bias_for_all", one_bias),
    ("bias_subtracted", lambda i: bias_times(i, -1)),
    ("stride_ignored", stride_of(rows=False, columns=False)),
    ("stride_one_axis", stride_of(rows=True, columns=False)),
    ("stride_one_axis", stride_of(rows=False, columns=True)),
    ("stride_ignored", stride_in_the_size_only),
    ("padding_ignored", lambda i: right(i._replace(padding=0))),
    ("wrong_output_size", without_padding_in_the_size),
    ("padding_always", lambda i: right(i._replace(padding=i.kernels.shape[-1] // 2))),
    ("padding_always", lambda i: right(i._replace(padding=1))),
    ("padding_always", lambda i: right(i._replace(padding=i.kernels.shape[-1] - 1))),
    ("circular_padding", padded("circular")),
    ("padding_not_zero", padded("reflect")),
    ("padding_not_zero", padded("replicate")),
    ("padding_one_side", padded("constant", both=False)),
    ("padding_twice", lambda i: right(i._replace(padding=2 * i.padding))),
    ("relu_inside", after(torch.relu)),
    ("rounded", after(torch.trunc)),
    ("rounded", after(torch.round)),
]
