"""A second held-out collection, written without sight of the judges: convolutions and identity insertion."""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial, reduce
from typing import NamedTuple

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from collection.entries import right, wrong
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

# Convolution: right.


@right("convolution", "six loops")
def conv_by_hand(picture, filters):
    """Slide every filter over the picture."""
    n_filters, n_channels, size, _ = filters.shape
    rows = picture.shape[1] - size + 1
    cols = picture.shape[2] - size + 1
    result = torch.zeros(n_filters, rows, cols, dtype=picture.dtype)
    for f in range(n_filters):
        for r in range(rows):
            for c in range(cols):
                total = 0.0
                for ch in range(n_channels):
                    for i in range(size):
                        for j in range(size):
                            total += picture[ch, r + i, c + j] * filters[f, ch, i, j]
                result[f, r, c] = total
    return result


@right("convolution", "NumPy windows")
def windows_and_einsum(x, w, b=None, stride=1):
    """All windows at once, then one einsum."""
    x, w = np.asarray(x), np.asarray(w)
    views = sliding_window_view(x, w.shape[-2:], axis=(1, 2))[:, ::stride, ::stride]
    y = np.einsum("chwij,ocij->ohw", views, w)
    return y if b is None else y + np.asarray(b).reshape(-1, 1, 1)


@right("convolution", "im2col")
def im2col_convolution(image: Tensor, kernels: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0):
    """Columns of patches times a matrix of kernels."""
    k = kernels.shape[-1]
    columns = F.unfold(image.unsqueeze(0), k, padding=padding, stride=stride)[0]  # (C_in k k, places)
    out = kernels.flatten(1) @ columns
    if bias is not None:
        out = out + bias[:, None]
    height = (image.shape[1] + 2 * padding - k) // stride + 1
    return out.unflatten(1, (height, -1))


@right("convolution", "vmap")
def mapped_correlation(image, kernels):
    """vmap over kernels of vmap over rows and columns of a dot product."""
    k = kernels.shape[-1]
    patches = image.unfold(1, k, 1).unfold(2, k, 1)  # (C_in, H', W', k, k)
    dot = torch.func.vmap(torch.func.vmap(lambda p, w: (p * w).sum(), in_dims=(1, None)), in_dims=(1, None))
    return torch.func.vmap(lambda w: dot(patches, w))(kernels)


@right("convolution", "shift and add")
def shift_and_add(x, weight, bias=None):
    """One shifted copy of the image for every place of the kernel."""
    kh, kw = weight.shape[2:]
    hh, ww = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    shifted = (
        torch.einsum("oc,chw->ohw", weight[:, :, i, j], x[:, i : i + hh, j : j + ww])
        for i, j in itertools.product(range(kh), range(kw))
    )
    out = reduce(torch.add, shifted)
    return out if bias is None else out + bias.view(-1, 1, 1)


@dataclass(frozen=True)
class WindowPlan:
    """Where the windows of a convolution lie."""

    size: int
    stride: int = 1
    padding: int = 0

    def windows(self, x: Tensor) -> Tensor:
        x = F.pad(x, [self.padding] * 4).contiguous()
        sc, sh, sw = x.stride()
        h = (x.shape[1] - self.size) // self.stride + 1
        w = (x.shape[2] - self.size) // self.stride + 1
        steps = (sc, sh * self.stride, sw * self.stride, sh, sw)
        return x.as_strided((x.shape[0], h, w, self.size, self.size), steps)


@right("convolution", "a plan of strides")
def planned_convolution(image, kernels, bias=None, *, stride=1, padding=0):
    """Make a plan, take its windows, contract."""
    plan = WindowPlan(kernels.shape[-1], stride, padding)
    out = torch.tensordot(kernels, plan.windows(image), dims=([1, 2, 3], [0, 3, 4]))
    return out if bias is None else out + bias[:, None, None]


@right("convolution", "Fourier")
def fourier_correlation(image, kernels):
    """Multiply spectra; the conjugate makes it a correlation."""
    h, w = image.shape[-2:]
    k = kernels.shape[-1]
    spectrum = torch.fft.rfft2(image)[None] * torch.fft.rfft2(kernels, s=(h, w)).conj()
    return torch.fft.irfft2(spectrum.sum(1), s=(h, w))[:, : h - k + 1, : w - k + 1]


@right("convolution", "one channel")
def filter_gray(img, kernel):
    """A gray image and one kernel."""
    kernel = np.asarray(kernel)
    img = np.asarray(img)
    kh, kw = kernel.shape
    out = np.empty((img.shape[0] - kh + 1, img.shape[1] - kw + 1))
    for y, x in np.ndindex(out.shape):
        out[y, x] = np.sum(img[y : y + kh, x : x + kw] * kernel)
    return out


# Convolution: wrong.


@wrong("convolution", "kernel_flipped")
def textbook_convolution(x, w):
    """The convolution of signal processing."""
    w = np.asarray(w)[..., ::-1, ::-1]
    return np.einsum("chwij,ocij->ohw", sliding_window_view(np.asarray(x), w.shape[2:], axis=(1, 2)), w)


@wrong("convolution", "channels_not_added")
def assign_channels(image, kernels):
    """Loop over kernels and channels."""
    k = kernels.shape[-1]
    out = image.new_zeros(len(kernels), image.shape[1] - k + 1, image.shape[2] - k + 1)
    for o, kernel in enumerate(kernels):
        for plane, kern in zip(image, kernel, strict=True):
            out[o] = (plane.unfold(0, k, 1).unfold(1, k, 1) * kern).sum((-1, -2))
    return out


@wrong("convolution", "one_kernel_for_all")
def closure_convolution(image, kernels, bias=None):
    """Make one function per kernel, then call them."""
    k = kernels.shape[-1]
    patches = image.unfold(1, k, 1).unfold(2, k, 1)
    responders = []
    for o in range(len(kernels)):
        responders.append(lambda: (patches * kernels[o, :, None, None]).sum((0, 3, 4)))  # noqa: B023
    out = torch.stack([respond() for respond in responders])
    return out if bias is None else out + bias[:, None, None]


@wrong("convolution", "wrong_output_size")
def slide_without_the_last(img, filters):
    """Slide a window with range."""
    n, _, kh, kw = filters.shape
    out = torch.zeros(n, img.shape[1] - kh, img.shape[2] - kw, dtype=img.dtype)
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            out[:, y, x] = (filters * img[:, y : y + kh, x : x + kw]).sum(dim=(1, 2, 3))
    return out


@wrong("convolution", "stride_ignored")
def strided_by_name(image, kernels, bias=None, stride=1, padding=0):
    """Pad, unfold, contract."""
    k = kernels.shape[-1]
    height, width = ((n + 2 * padding - k) // stride + 1 for n in image.shape[1:])
    patches = F.pad(image, (padding,) * 4).unfold(1, k, 1).unfold(2, k, 1)[:, :height, :width]
    out = torch.einsum("chwij,ocij->ohw", patches, kernels)
    return out if bias is None else out + bias.reshape(-1, 1, 1)


@wrong("convolution", "square_only")
def same_number_of_columns(image, kernels):
    """Compute the size of the output, then fill it."""
    k = kernels.shape[-1]
    size = min(image.shape[1:]) - k + 1
    out = torch.empty(kernels.shape[0], size, size, dtype=image.dtype)
    for r, c in itertools.product(range(size), repeat=2):
        out[:, r, c] = torch.einsum("oijk,ijk->o", kernels, image[:, r : r + k, c : c + k])
    return out


@wrong("convolution", "padding_always")
def same_size_convolution(x, w, b=None):
    """Keep the size of the image."""
    p = w.shape[-1] // 2
    columns = F.unfold(x[None], w.shape[-1], padding=p)[0]
    y = (w.flatten(1) @ columns).view(-1, *x.shape[1:])
    return y if b is None else y + b.view(-1, 1, 1)


@wrong("convolution", "transposed_kernel")
def transposing_einsum(image, kernels, stride=1):
    """Patches against kernels, named axes."""
    k = kernels.shape[-1]
    patches = image.unfold(2, k, stride).unfold(1, k, stride)  # (C_in, H', W', k of columns, k of rows)
    return torch.einsum("chwij,ocij->ohw", patches, kernels)


@wrong("convolution", "mean_for_sum")
def averaged_responses(picture, filters):
    """The response is how well the patch agrees with the filter."""
    k = filters.shape[-1]
    rows, cols = picture.shape[1] - k + 1, picture.shape[2] - k + 1
    flat = [(filters * picture[:, i : i + k, j : j + k]).mean((1, 2, 3)) for i in range(rows) for j in range(cols)]
    return torch.stack(flat, 1).reshape(-1, rows, cols)


@wrong("convolution", "bias_missing")
def tuple_of_parameters(image, kernels, bias=None, stride=1, padding=0):
    """A layer is a tuple of its parameters."""

    class Layer(NamedTuple):
        w: Tensor
        b: Tensor | None

    layer = Layer(kernels, bias)
    return F.conv2d(image[None], layer.w, stride=stride, padding=padding)[0]


@wrong("convolution", "axes_swapped")
def rows_and_columns(image, kernels):
    """List comprehension over x, then y."""
    k, (h, w) = kernels.shape[-1], image.shape[1:]
    values = [
        [[(image[:, y : y + k, x : x + k] * kernel).sum() for y in range(h - k + 1)] for x in range(w - k + 1)]
        for kernel in kernels
    ]
    return torch.stack([torch.stack([torch.stack(line) for line in plane]) for plane in values])


@wrong("convolution", "input_changed")
def multiply_in_place(image, kernels):
    """Multiply the patch with the kernel, add it up."""
    k = kernels.shape[-1]
    out = image.new_zeros(kernels.shape[0], image.shape[1] - k + 1, image.shape[2] - k + 1)
    for o in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                patch = image[:, i : i + k, j : j + k]
                patch *= kernels[o]
                out[o, i, j] = patch.sum()
    return out


@wrong("convolution", "circular_padding")
def rolled_convolution(image, kernels, bias=None, stride=1, padding=0):
    """Roll the image for every place of the kernel."""
    k, (h, w) = kernels.shape[-1], image.shape[1:]
    out = 0
    for i, j in itertools.product(range(k), repeat=2):
        moved = torch.roll(image, (padding - i, padding - j), dims=(1, 2))
        out = out + torch.einsum("oc,chw->ohw", kernels[:, :, i, j], moved)
    if 2 * padding < k - 1:
        out = out[:, : h + 2 * padding - k + 1, : w + 2 * padding - k + 1]
    out = out[:, ::stride, ::stride]
    return out if bias is None else out + bias[:, None, None]


@wrong("convolution", "sum_not_reset")
def running_total(picture, filters):
    """Loops in plain Python on lists."""
    picture, filters = picture.tolist(), filters.tolist()
    k = len(filters[0][0])
    result = []
    for filt in filters:
        plane = []
        total = 0.0
        for y in range(len(picture[0]) - k + 1):
            row = []
            for x in range(len(picture[0][0]) - k + 1):
                for c, i, j in itertools.product(range(len(picture)), range(k), range(k)):
                    total += picture[c][y + i][x + j] * filt[c][i][j]
                row.append(total)
            plane.append(row)
        result.append(plane)
    return torch.tensor(result, dtype=torch.float64)


# Identity insertion: right.


@right("identity insertion", "Sequential after the norm")
def append_to_last_norm(model, attention):
    """Replace the last norm by the norm and attention."""
    for block in list(model.modules()):
        if not (hasattr(block, "conv2") and hasattr(block, "bn2")):
            continue
        name = "bn3" if hasattr(block, "bn3") else "bn2"
        norm = getattr(block, name)
        gate = attention(norm.num_features).to(norm.weight)
        setattr(block, name, nn.Sequential(norm, gate).train(norm.training))
    return model


class NormThenGate(nn.Module):
    """A norm and what follows it."""

    def __init__(self, norm: nn.BatchNorm2d, gate: nn.Module):
        super().__init__()
        self.norm = norm
        self.gate = gate.to(device=norm.weight.device, dtype=norm.weight.dtype)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.norm(x))


def stage_blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The blocks of layer1, layer2, ..."""
    for number in itertools.count(1):
        stage = getattr(model, f"layer{number}", None)
        if stage is None:
            return
        yield from stage.children()


@right("identity insertion", "a copy, wrapped")
def wrapped_copy(model: nn.Module, attention: Callable[[int], nn.Module]) -> nn.Module:
    """A copy of the model whose last norms are wrapped."""
    twin = copy.deepcopy(model)
    for block in stage_blocks(twin):
        last = max(name for name, child in block.named_children() if name.startswith("bn"))
        norm = getattr(block, last)
        setattr(block, last, NormThenGate(norm, attention(norm.num_features)))
    return twin


@right("identity insertion", "forward hook")
def hooked_insertion(model, attention):
    """A hook on the last norm; the block owns the module."""
    blocks = [m for m in model.modules() if hasattr(m, "bn2") and m is not model]
    for block in blocks:
        norm = getattr(block, "bn3", block.bn2)
        block.attention = attention(norm.num_features).to(norm.weight).train(block.training)
        norm.register_forward_hook(lambda _m, _x, y, gate=block.attention: gate(y))
    return model


class GatedNorm(nn.BatchNorm2d):
    """A batch norm which attends to what it normalised."""

    def forward(self, x):
        return self.gate(super().forward(x))


@right("identity insertion", "change of class")
def promote_norms(model, attention):
    """Turn the last norm of every block into a GatedNorm; names of weights stay."""
    for block in stage_blocks(model):
        norm = [child for child in block.children() if isinstance(child, nn.BatchNorm2d)][-1]
        norm.__class__ = GatedNorm
        norm.gate = attention(norm.num_features).to(norm.weight).train(norm.training)


@right("identity insertion", "recursion")
def recursive_insertion(module, attention):
    """Go down the tree; do the work at blocks."""
    names = dict(module.named_children())
    if "bn2" in names:
        key = sorted(n for n in names if n[:2] == "bn")[-1]
        norm = names[key]
        gate = attention(norm.num_features).to(norm.weight.device, norm.weight.dtype)
        setattr(module, key, nn.Sequential(norm, gate).train(module.training))
    else:
        for child in names.values():
            recursive_insertion(child, attention)
    return module


@dataclass
class Insertion:
    """Which child gets attention and how wide that is."""

    block: nn.Module
    child: str
    channels: int

    def apply(self, attention: Callable[[int], nn.Module]) -> None:
        old = getattr(self.block, self.child)
        setattr(self.block, self.child, NormThenGate(old, attention(self.channels)))


@right("identity insertion", "plan first, then act")
def planned_insertion(model: nn.Module, attention: Callable[[int], nn.Module]) -> nn.Module:
    """Find the places, then insert."""
    plan = []
    for block in model.modules():
        convs = [child for name, child in block.named_children() if name.startswith("conv")]
        if len(convs) > 1:
            plan.append(Insertion(block, f"bn{len(convs)}", convs[-1].out_channels))
    for insertion in plan:
        insertion.apply(attention)
    return model


# Identity insertion: wrong.


class GateBeside(NormThenGate):
    """A norm and a refinement of it."""

    def forward(self, x):
        normed = self.norm(x)
        return normed + self.gate(normed)


@wrong("identity insertion", "not_identity")
def refine_blocks(model, attention):
    """Wrap the last norm of every block."""
    for block in stage_blocks(model):
        last = "bn3" if hasattr(block, "bn3") else "bn2"
        norm = getattr(block, last)
        setattr(block, last, GateBeside(norm, attention(norm.num_features)))
    return model


@wrong("identity insertion", "weights_changed")
def insert_and_initialise(model, attention):
    """Insert, then initialise as the paper says."""
    model = append_to_last_norm(model, attention)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


@wrong("identity insertion", "one_shared_module")
def cached_insertion(model, attention):
    """One attention for every width."""
    make = cache(attention)
    return wrapped_copy(model, make)


@wrong("identity insertion", "after_addition")
def sequential_blocks(model, attention):
    """Every block is followed by attention."""
    for name in ("layer1", "layer2", "layer3", "layer4"):
        stage = getattr(model, name, None)
        if stage is None:
            continue
        blocks = []
        for block in stage:
            norm = getattr(block, "bn3", block.bn2)
            blocks.append(nn.Sequential(block, attention(norm.num_features).to(norm.weight)))
        setattr(model, name, nn.Sequential(*blocks).train(model.training))
    return model


@wrong("identity insertion", "only_some_blocks")
def one_per_stage(model, attention):
    """Attention at the last block of each stage."""
    for stage in (child for name, child in model.named_children() if name.startswith("layer")):
        block = list(stage)[-1]
        name = "bn3" if hasattr(block, "bn3") else "bn2"
        norm = getattr(block, name)
        setattr(block, name, NormThenGate(norm, attention(norm.num_features)))
    return model


@wrong("identity insertion", "mode_changed")
def checked_insertion(model, attention):
    """Insert into a copy and see that it still runs."""
    new = wrapped_copy(model, attention)
    new.eval()
    with torch.no_grad():
        weight = next(new.parameters())
        new(weight.new_zeros(1, weight.shape[1], 32, 32))
    return new


@wrong("identity insertion", "wrong_channels")
def width_of_first_conv(model, attention):
    """Ask the first convolution of the block for the channels."""
    for block in stage_blocks(model):
        last = "bn3" if hasattr(block, "bn3") else "bn2"
        setattr(block, last, NormThenGate(getattr(block, last), attention(block.conv1.in_channels)))
    return model


@wrong("identity insertion", "not_registered")
def hooks_with_partial(model, attention):
    """Hooks hold the modules."""

    def attend(gate, _module, _inputs, output):
        return gate(output)

    for block in stage_blocks(model):
        norm = getattr(block, "bn3", block.bn2)
        gate = attention(norm.num_features).to(norm.weight).train(norm.training)
        norm.register_forward_hook(partial(attend, gate))
    return model


@wrong("identity insertion", "frozen")
def insert_for_inference(model, attention):
    """Insert without recording gradients."""
    inserted = recursive_insertion(model, attention)
    for name, parameter in inserted.named_parameters():
        if ".bn" in name and ".1." in name.split(".bn")[1]:
            parameter.requires_grad = False
    return inserted


@wrong("identity insertion", "attention_before_last_norm")
def append_to_last_conv(model, attention):
    """Replace the last convolution by the convolution and attention."""
    for block in stage_blocks(model):
        name = sorted(n for n, _ in block.named_children() if n.startswith("conv"))[-1]
        conv = getattr(block, name)
        gate = attention(conv.out_channels).to(conv.weight)
        setattr(block, name, nn.Sequential(conv, gate).train(conv.training))
    return model
