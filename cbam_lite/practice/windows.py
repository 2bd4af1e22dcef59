"""The convolution of a spatial gate, measured from outside: by least squares on the windows of its descriptors.

logit(M_s) is a linear function of the k x k windows of [mean; max] over the channels. So the kernel follows from maps
and gates alone, however it is written: one kernel or two, with a bias, with a batch norm, or packed with other weights.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as fn
from torch import Tensor

Step = Callable[[Tensor], Tensor]
Pairs = list[tuple[Tensor, Tensor]]  # maps x (B, C, H, W) which the gate reads, and gates M_s (B, 1, H, W)
NEAR = 1e-6  # nearer to 0 or to 1, rounding decides about the logit


class Kernel(NamedTuple):
    """weight (D, k, k) for D descriptors, and a bias."""

    weight: Tensor
    bias: Tensor

    def logits(self, d: Tensor, mode: str = "constant") -> Tensor:
        """Descriptors (B, D, H, W) -> (B, 1, H, W)."""
        return fn.conv2d(padded(d, self.weight.shape[-1], mode), self.weight[None]) + self.bias


class Reading(NamedTuple):
    """What a spatial gate may be: its descriptors, its padding and the function which closes it.

    Attributes:
        key: the mistake, or the words of a right variant.
        descriptors: (B, C, H, W) -> (B, D, H, W).
        inverse: gates -> logits, nan where they say nothing.
        close: logits -> gates.
        mode: of the padding, as in `torch.nn.functional.pad`.
    """

    key: str
    descriptors: Step
    inverse: Step
    close: Step
    mode: str = "constant"


# ---- what closes the gate, and back ----------------------------------------------------------------------------------


def logit(M: Tensor, high: float = 1.0, low: float = 0.0) -> Tensor:
    """z with low + (high - low) sigmoid(z) = M; nan near the ends."""
    share = (M - low) / (high - low)
    return torch.where((share > NEAR) & (share < 1 - NEAR), torch.logit(share.clamp(NEAR, 1 - NEAR)), torch.nan)


def inside(M: Tensor, inverse: Step, low: float, high: float) -> Tensor:
    """The inverse of the gate function, nan near the ends."""
    return torch.where((M > low + NEAR) & (M < high - NEAR), inverse(M.clamp(low + NEAR, high - NEAR)), torch.nan)


def above_floor(M: Tensor) -> Tensor:
    """logit(M), nan where M has its smallest value: there a ReLU is silent."""
    return torch.where(M > M.min() + NEAR, logit(M), torch.nan)


def leaky(M: Tensor, slope: float) -> Tensor:
    """z with sigmoid(leaky_relu(z)) = M."""
    z = logit(M)
    return torch.where(z < 0, z / slope, z)


TWICE = "its gate is twice the sigmoid, so that the module can start as the identity"
HARD = "its gate is the hard sigmoid relu6(x + 3) / 6, as in MobileNetV3"
RIGHT: list[tuple[str, Step, Step]] = [
    ("", logit, torch.sigmoid),
    (TWICE, partial(logit, high=2.0), lambda z: 2 * z.sigmoid()),
    (TWICE, partial(logit, high=4.0), lambda z: 4 * z.sigmoid()),  # of both gates of a CBAM
    (HARD, lambda M: inside(6 * M - 3, lambda z: z, -3, 3), fn.hardsigmoid),
]
WRONG: list[tuple[str, Step, Step]] = [
    ("input_added", partial(logit, low=1.0, high=2.0), lambda z: 1 + z.sigmoid()),
    ("tanh_gate", lambda M: inside(M, torch.atanh, -1, 1), torch.tanh),
    ("no_sigmoid", lambda M: M, lambda z: z),
    ("no_sigmoid", lambda M: torch.where(M > NEAR, M, torch.nan), torch.relu),
    ("no_sigmoid", lambda M: torch.where(M > NEAR, M.clamp(min=NEAR).log(), torch.nan), torch.exp),
    ("gate_squared", lambda M: logit(M.clamp(min=0).sqrt()), lambda z: z.sigmoid() ** 2),
    ("sigmoid_twice", lambda M: logit(logit(M)), lambda z: z.sigmoid().sigmoid()),
    ("relu_before_sigmoid", above_floor, lambda z: z.relu().sigmoid()),
    ("relu_before_sigmoid", partial(leaky, slope=0.01), lambda z: fn.leaky_relu(z, 0.01).sigmoid()),
    ("relu_before_sigmoid", partial(leaky, slope=0.1), lambda z: fn.leaky_relu(z, 0.1).sigmoid()),
    ("other_gate_function", lambda M: inside(M, lambda z: z, 0, 6), lambda z: z.clamp(0, 6)),
    ("other_gate_function", partial(logit, high=0.5), lambda z: 0.5 * z.sigmoid()),
    ("other_gate_function", partial(logit, low=0.5, high=1.5), lambda z: 0.5 + z.sigmoid()),
]


# ---- what the gate reads ---------------------------------------------------------------------------------------------


def mean(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True)


def most(x: Tensor) -> Tensor:
    return x.amax(1, keepdim=True)


def least(x: Tensor) -> Tensor:
    return x.amin(1, keepdim=True)


def stack(*pools: Step) -> Step:
    return lambda x: torch.cat([pool(x) for pool in pools], 1)


OTHER_POOLS: list[Step] = [
    lambda x: x.std(1, keepdim=True),
    lambda x: x.std(1, keepdim=True, unbiased=False),
    lambda x: x.var(1, keepdim=True),
    lambda x: x.norm(dim=1, keepdim=True),
    lambda x: x.pow(2).mean(1, keepdim=True),
    lambda x: x.abs().mean(1, keepdim=True),
    lambda x: x.logsumexp(1, keepdim=True),
    lambda x: x.median(1, keepdim=True).values,
]
MEAN_AND_MAX = stack(mean, most)


def other_descriptors() -> Iterator[tuple[str, Step]]:
    """Under the key of the mistake: what is read in place of the mean and the maximum over the channels."""
    yield "min_for_max", stack(mean, least)
    yield "min_for_max", stack(least, most)
    yield "absolute_maximum", stack(mean, lambda x: most(x.abs()))
    for pool in OTHER_POOLS:
        yield "other_pool", stack(mean, pool)
        yield "other_pool", stack(pool, most)
    for pool in (least, *OTHER_POOLS):
        yield "extra_pools", stack(mean, most, pool)
    yield "relu_before_pool", lambda x: MEAN_AND_MAX(x.relu())
    yield "channels_not_pooled", lambda x: x[:, :2]
    yield "channels_not_pooled", lambda x: x[:, [0, -1]]
    yield "multiplied_descriptors", lambda x: mean(x) * most(x)
    yield "softmax_over_channels", lambda x: MEAN_AND_MAX(x.softmax(1))


def readings(right: bool, others: bool = True) -> Iterator[Reading]:
    """The right ones, or those with one thing wrong."""
    if right:
        for words, inverse, close in RIGHT:
            yield Reading(words, MEAN_AND_MAX, inverse, close)
        return
    for mode, key in (("circular", "circular_padding"), ("reflect", "reflect_padding"), ("replicate", "edge_padding")):
        yield Reading(key, MEAN_AND_MAX, logit, torch.sigmoid, mode)
    for key, inverse, close in WRONG:
        yield Reading(key, MEAN_AND_MAX, inverse, close)
    for key, descriptors in other_descriptors() if others else ():
        yield Reading(key, descriptors, logit, torch.sigmoid)
    for key, descriptors in list(other_descriptors())[:2] if others else ():
        yield Reading(key, descriptors, partial(logit, high=2.0), lambda z: 2 * z.sigmoid())


# ---- least squares ---------------------------------------------------------------------------------------------------


def padded(d: Tensor, k: int, mode: str = "constant") -> Tensor:
    return fn.pad(d, (k // 2,) * 4, mode=mode)


def fitted(reading: Reading, pairs: Pairs, k: int) -> Kernel | None:
    """The kernel k x k and the bias which give these gates at all places, or None if none does to 6 digits.

    There are more equations than weights: those left over, and the places where the gate is near its ends, prove it.
    """
    rows, logits = [], []
    for x, M in pairs:
        d = reading.descriptors(x)
        z = reading.inverse(M).flatten(1)  # (B, HW)
        windows = fn.unfold(padded(d, k, reading.mode), k).transpose(1, 2)  # (B, HW, D k k)
        known = z.isfinite()
        rows.append(windows[known])
        logits.append(z[known])
    X, z = torch.cat(rows), torch.cat(logits)
    solution = solved(X, z)
    if solution is None:
        return None
    kernel = Kernel(solution[:-1].reshape(-1, k, k), solution[-1])
    return kernel if gives(reading, kernel, pairs) else None


def solved(X: Tensor, z: Tensor) -> Tensor | None:
    """w and b, in one vector, with z = X w + b for all rows; None if there are none. A column of zeros gets a 0."""
    X = torch.cat([X, X.new_ones(len(X), 1)], 1)
    used = X.abs().sum(0) > 0
    if len(X) < max(8, 1.3 * int(used.sum())):
        return None
    solution = X.new_zeros(X.shape[1])
    solution[used] = torch.linalg.lstsq(X[:, used], z[:, None]).solution[:, 0]
    return solution if (X @ solution - z).abs().max() < 1e-6 * (1 + z.abs().max()) else None


def gives(reading: Reading, kernel: Kernel, pairs: Pairs, tolerance: float = 1e-6) -> bool:
    """Whether these gates follow from the kernel, everywhere."""
    return all(bool(((predicted(reading, kernel, x) - M).abs() <= tolerance * (1 + M.abs())).all()) for x, M in pairs)


def predicted(reading: Reading, kernel: Kernel, x: Tensor) -> Tensor:
    """M_s (B, 1, H, W) for the map x (B, C, H, W)."""
    return reading.close(kernel.logits(reading.descriptors(x), reading.mode))


def first_fit(candidates: Iterator[Reading], pairs: Pairs, k: int = 7) -> tuple[Reading, Kernel] | None:
    """The first reading that explains all gates."""
    for reading in candidates:
        kernel = fitted(reading, pairs, k)
        if kernel is not None:
            return reading, kernel
    return None


# ---- what the measured kernel says -----------------------------------------------------------------------------------


def not_zero(kernel: Kernel) -> Tensor:
    """Which of its weights are not zero, (D, k, k)."""
    return kernel.weight.abs() > 1e-7 * (1e-3 + kernel.weight.abs().max())


def cut(kernel: Kernel) -> Tensor:
    """The kernel without zeros around it, (D, k, k) with the smallest odd k."""
    k = kernel.weight.shape[-1]
    reach = int((not_zero(kernel).any(0).nonzero() - k // 2).abs().max()) if not_zero(kernel).any() else 0
    return kernel.weight[:, k // 2 - reach : k // 2 + reach + 1, k // 2 - reach : k // 2 + reach + 1]


def shape_mistake(kernel: Kernel) -> tuple[str, str] | None:
    """The key and what was found, if the kernel has not the odd square shape of the paper or misses a descriptor."""
    there = not_zero(kernel)
    k = there.shape[-1]
    offsets = there.any(0).nonzero() - k // 2  # of all its weights, from the middle
    if not len(offsets):
        return "gate_constant", "the gate does not depend on the map"
    low, high = offsets.amin(0).tolist(), offsets.amax(0).tolist()
    rows = f"rows {low[0]} to {high[0]}, columns {low[1]} to {high[1]}, from the place itself"
    if low == high == [0, 0]:
        return "kernel_of_size_1", "a gate depends on its own place only: the kernel is 1x1"
    if [-low[0], -low[1]] != high:
        return "even_kernel_shift", f"a gate reads {rows}: more on one side than on the other"
    if high[0] != high[1]:
        return "kernel_not_square", f"a gate reads {rows}"
    middle = there.any(0)[k // 2 + low[0] : k // 2 + high[0] + 1, k // 2 + low[1] : k // 2 + high[1] + 1]
    if middle.double().mean() < 0.6:
        return "dilated_kernel", f"a gate reads {rows}, but only {int(middle.sum())} of those {middle.numel()} places"
    return descriptor_mistake(kernel) if len(there) == 2 else None


def descriptor_mistake(kernel: Kernel) -> tuple[str, str] | None:
    """One of [mean; max] is not read, or both by one kernel."""
    of_mean, of_max = kernel.weight
    has_mean, has_max = not_zero(kernel).flatten(1).any(1).tolist()
    if not has_max:
        return "average_only", "the maximum over the channels changes nothing: only the mean is read"
    if not has_mean:
        return "max_only", "the mean over the channels changes nothing: only the maximum is read"
    size = 1e-7 + 1e-6 * of_max.abs().max()
    if (of_mean - of_max).abs().max() < size:
        return "descriptors_added", "mean and maximum are read by one and the same kernel: they are added before it"
    if (of_mean + of_max).abs().max() < size:
        return "subtracted_descriptors", "mean and maximum are read by one kernel with opposite signs"
    return None
