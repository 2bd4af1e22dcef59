"""Convolutions by hand, in many styles: right ones, and those with one mistake that students make."""

import itertools

import numpy as np
import torch
from collection.entries import right, wrong
from torch.nn import functional

# ---- right -----------------------------------------------------------------------------------------------------------


@right("convolution", "six loops over numbers, lists")
def six_loops(image, kernels):
    """Plain Python, one product at a time."""
    C, H, W = len(image), len(image[0]), len(image[0][0])
    O, k = len(kernels), len(kernels[0][0])
    out = [[[0.0] * (W - k + 1) for _ in range(H - k + 1)] for _ in range(O)]
    for o, i, j in itertools.product(range(O), range(H - k + 1), range(W - k + 1)):
        for c, u, v in itertools.product(range(C), range(k), range(k)):
            out[o][i][j] += float(image[c][i + u][j + v] * kernels[o][c][u][v])
    return out


@right("convolution", "float32 inside")
def single_precision(img, filters):
    out = np.zeros((filters.shape[0], img.shape[1] - filters.shape[2] + 1, img.shape[2] - filters.shape[3] + 1), "f4")
    for o, i, j in np.ndindex(*out.shape):
        k = filters.shape[2]
        out[o, i, j] = np.sum(np.asarray(img[:, i : i + k, j : j + k]) * np.asarray(filters[o]))
    return out


@right("convolution", "the library's function, batches and all options")
def by_library(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)


@right("convolution", "batches only")
def batches_only(x, w):
    B, C, H, W = x.shape
    O, _, k, _ = w.shape
    windows = x.unfold(2, k, 1).unfold(3, k, 1)
    return torch.einsum("bchwuv,ocuv->bohw", windows, w)


@right("convolution", "kernels first, by name")
def kernels_first(kernels, image):
    k = kernels.shape[-1]
    return torch.tensordot(kernels, image.unfold(1, k, 1).unfold(2, k, 1), dims=([1, 2, 3], [0, 3, 4]))


@right("convolution", "required bias, stride and padding")
def all_required(image, kernels, bias, stride, padding):
    image = functional.pad(image, (padding,) * 4)
    k = kernels.shape[-1]
    rows, columns = range(0, image.shape[1] - k + 1, stride), range(0, image.shape[2] - k + 1, stride)
    maps = []
    for kernel, b in zip(kernels, bias, strict=True):
        maps.append(
            torch.stack(
                [torch.stack([(image[:, i : i + k, j : j + k] * kernel).sum() + b for j in columns]) for i in rows]
            )
        )
    return torch.stack(maps)


@right("convolution", "one kernel of all channels")
def one_kernel(image, kernel):
    C, H, W = image.shape
    c, k_h, k_w = kernel.shape
    assert C == c
    out = np.zeros((H - k_h + 1, W - k_w + 1))
    for i, j in np.ndindex(*out.shape):
        out[i, j] = float((image[:, i : i + k_h, j : j + k_w] * kernel).sum())
    return out


@right("convolution", "a matrix with the kernel in each row (Toeplitz)")
def by_a_large_matrix(image, kernels):
    (C, H, W), (O, _, k, _) = image.shape, kernels.shape
    h, w = H - k + 1, W - k + 1
    M = torch.zeros(O, h, w, C, H, W, dtype=image.dtype)
    for i, j in itertools.product(range(h), range(w)):
        M[:, i, j, :, i : i + k, j : j + k] = kernels
    return (M.reshape(O * h * w, -1) @ image.reshape(-1)).reshape(O, h, w)


class Filter:
    """An object that can be called."""

    def __call__(self, image, kernels, s=1):
        return functional.conv2d(image[None], kernels, stride=s)[0]


right("convolution", "an object, stride called s")(Filter())


# ---- wrong -----------------------------------------------------------------------------------------------------------


def loops(image, kernel):
    """One map (H', W') of a kernel (C, k, k)."""
    k = kernel.shape[-1]
    windows = image.unfold(1, k, 1).unfold(2, k, 1)
    return torch.einsum("chwuv,cuv->hw", windows, kernel)


@wrong("convolution", "kernel_flipped")
def flipped_columns(image, kernels):
    """Turned round along one axis only."""
    return torch.stack([loops(image, kernel.flip(-1)) for kernel in kernels])


@wrong("convolution", "kernel_flipped")
def by_convolve(image, kernels):
    """np.convolve of each row turns the kernel, and a flip of the rows is added."""
    image, kernels = np.asarray(image), np.asarray(kernels)
    k = kernels.shape[-1]
    out = np.zeros((len(kernels), image.shape[1] - k + 1, image.shape[2] - k + 1))
    for o, i, c, u in itertools.product(range(len(out)), range(out.shape[1]), range(len(image)), range(k)):
        out[o, i] += np.convolve(image[c, i + k - 1 - u], kernels[o, c, u], mode="valid")
    return out


@wrong("convolution", "channels_not_added")
def overwritten_channels(image, kernels):
    """= in place of +=: the last channel remains."""
    k = kernels.shape[-1]
    out = torch.zeros(len(kernels), image.shape[1] - k + 1, image.shape[2] - k + 1, dtype=image.dtype)
    for o in range(len(kernels)):
        for c in range(len(image)):
            out[o] = loops(image[c : c + 1], kernels[o, c : c + 1])
    return out


@wrong("convolution", "channels_not_added")
def depthwise(image, kernels):
    """A map for each pair."""
    return torch.stack(
        [torch.stack([loops(image[c : c + 1], w[c : c + 1]) for c in range(len(image))]) for w in kernels]
    )


@wrong("convolution", "one_kernel_channel")
def same_slice(image, kernels):
    """kernels[o, 0] for all channels."""
    return torch.stack([loops(image.sum(0, keepdim=True), kernel[:1]) for kernel in kernels])


@wrong("convolution", "one_kernel_for_all")
def last_kernel(image, kernels):
    """A lambda in a loop that sees the last kernel."""
    maps = []
    for kernel in kernels:
        maps.append(lambda: loops(image, kernel))  # noqa: B023
    return torch.stack([one() for one in maps])


@wrong("convolution", "one_kernel_only")
def early_return(image, kernels):
    """`return` inside the loop."""
    for kernel in kernels:
        return loops(image, kernel)
    return None


@wrong("convolution", "kernels_added")
def one_sum(image, kernels):
    """All maps end in one."""
    return sum(loops(image, kernel) for kernel in kernels)


@wrong("convolution", "wrong_output_size")
def zeros_around(image, kernels):
    """The map has the image's size; the edge stays 0."""
    k = kernels.shape[-1]
    out = torch.zeros(len(kernels), *image.shape[1:], dtype=image.dtype)
    for o, kernel in enumerate(kernels):
        y = loops(image, kernel)
        out[o, k // 2 : k // 2 + y.shape[0], k // 2 : k // 2 + y.shape[1]] = y
    return out


@wrong("convolution", "fixed_kernel_size")
def always_three(image, kernels):
    """3 is written down."""
    out = torch.zeros(len(kernels), image.shape[1] - 2, image.shape[2] - 2, dtype=image.dtype)
    for o, i, j in itertools.product(*map(range, out.shape)):
        out[o, i, j] = (image[:, i : i + 3, j : j + 3] * kernels[o, :, :3, :3]).sum()
    return out


@wrong("convolution", "square_only")
def one_size(image, kernels):
    """The height stands for both."""
    n, k = image.shape[1], kernels.shape[-1]
    out = torch.zeros(len(kernels), n - k + 1, n - k + 1, dtype=image.dtype)
    for o, i, j in itertools.product(*map(range, out.shape)):
        out[o, i, j] = (image[:, i : i + k, j : j + k] * kernels[o]).sum()
    return out


@wrong("convolution", "channels_last")
def as_pictures(image, kernels):
    """(H', W', O)."""
    return torch.stack([loops(image, kernel) for kernel in kernels], dim=-1)


@wrong("convolution", "mean_for_sum")
def mean_of_channels(image, kernels):
    """The mean over channels of the sum over places."""
    return torch.stack([loops(image, kernel) / len(image) for kernel in kernels])


@wrong("convolution", "max_for_sum")
def largest_product(image, kernels):
    """A maximum, as in pooling."""
    k = kernels.shape[-1]
    windows = image.unfold(1, k, 1).unfold(2, k, 1)
    return torch.stack([(windows * kernel[:, None, None]).amax((0, 3, 4)) for kernel in kernels])


@wrong("convolution", "last_product_only")
def overwritten(image, kernels):
    """= in place of += in the innermost loop."""
    k = kernels.shape[-1]
    return torch.stack([image[-1, k - 1 :, k - 1 :] * kernel[-1, -1, -1] for kernel in kernels])


@wrong("convolution", "bias_many_times")
def bias_in_the_loop(image, kernels, bias=None):
    """Added with every channel."""
    b = torch.zeros(len(kernels), dtype=image.dtype) if bias is None else bias
    return torch.stack(
        [sum(loops(image[c : c + 1], w[c : c + 1]) + b[o] for c in range(len(w))) for o, w in enumerate(kernels)]
    )


@wrong("convolution", "one_bias_for_all")
def first_bias(image, kernels, bias=(0.0,)):
    return torch.stack([loops(image, kernel) + bias[0] for kernel in kernels])


@wrong("convolution", "stride_ignored")
def stride_for_the_size(image, kernels, stride=1):
    """The size is right, the windows lie side by side."""
    k = kernels.shape[-1]
    h, w = ((n - k) // stride + 1 for n in image.shape[1:])
    return torch.stack([loops(image, kernel)[:h, :w] for kernel in kernels])


@wrong("convolution", "stride_one_axis")
def stride_down(image, kernels, stride=1):
    return torch.stack([loops(image, kernel)[::stride] for kernel in kernels])


@wrong("convolution", "padding_not_zero")
def mirrored(image, kernels, padding=0):
    image = functional.pad(image[None], (padding,) * 4, mode="reflect")[0]
    return torch.stack([loops(image, kernel) for kernel in kernels])


@wrong("convolution", "padding_one_side")
def padded_at_the_top(image, kernels, padding=0):
    image = functional.pad(image, (padding, 0, padding, 0))
    return torch.stack([loops(image, kernel) for kernel in kernels])


@wrong("convolution", "padding_always")
def default_padding(image, kernels, padding=1):
    """Pads by 1 unless told otherwise."""
    return functional.conv2d(image[None], kernels, padding=padding)[0]


@wrong("convolution", "rounded")
def whole_numbers(image, kernels):
    """Writes into a map of whole numbers."""
    return torch.stack([loops(image, kernel) for kernel in kernels]).to(torch.int64)


@wrong("convolution", "relu_inside")
def with_relu(image, kernels):
    return torch.stack([loops(image, kernel).clamp(min=0) for kernel in kernels])


@wrong("convolution", "unfilled")
def nothing_returned(image, kernels):
    """The return is missing."""
    torch.stack([loops(image, kernel) for kernel in kernels])


@wrong("convolution", "raises")
def wrong_index(image, kernels):
    return image[len(image)] * kernels
