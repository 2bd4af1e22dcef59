"""CBAM with its two gates put together in another way: R = out / F is no product of a channel's and a place's gate.

Each formula takes F (B, C, H, W) and the student's own weights, and gives R (B, C, H, W).
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from cbam_lite.practice import formulas
from cbam_lite.practice.formulas import MLP, avg, both_gate, mlp, most
from cbam_lite.practice.weights import Formula, Pattern, Weights
from cbam_lite.practice.windows import MEAN_AND_MAX

ALONE: Pattern = {"beta?": (1,), "gamma?": (1,), "bias?": (1,)}
ALL: Pattern = {**MLP, "kernel": (2, "k", "k"), **ALONE}
PER_CHANNEL: Pattern = {**MLP, "kernel": ("C", 2, "k", "k"), "beta?": ("C",)}
DEPTHWISE: Pattern = {**MLP, "kernel": ("C", 1, "k", "k"), "beta?": ("C",)}
FULL: Pattern = {**MLP, "kernel": ("C", "C", "k", "k"), "beta?": ("C",)}

Logits = Callable[[Tensor, Weights], Tensor]  # (B, C, H, W) -> (B, 1, H, W)


def spatial_logits(module: nn.Module, flip: bool) -> Logits:
    """The convolution of [mean; max] or [max; mean], then the batch norm of one channel that the module has, if any."""
    statistics = [(name, b.item()) for name, b in module.named_buffers() if b.is_floating_point() and b.numel() == 1]
    means = [value for name, value in statistics if "mean" in name]
    variances = [value for name, value in statistics if "var" in name]

    def logits(x: Tensor, w: Weights) -> Tensor:
        d = MEAN_AND_MAX(x)
        z = fn.conv2d(d.flip(1) if flip else d, w["kernel"][None], w.get("bias"), padding=w["kernel"].shape[-1] // 2)
        if "gamma" in w and variances:
            z = (z - means[0]) / (variances[0] + 1e-5) ** 0.5 * w["gamma"]
        return z + w["beta"] if "beta" in w else z

    return logits


def channel_logits(F: Tensor, w: Weights) -> Tensor:
    return mlp(avg(F), w) + mlp(most(F), w)


# From both gates and their logits: what R is, under the key of the mistake.
Together = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
TOGETHER: list[tuple[str, Together]] = [
    ("gates_added", lambda M_c, M_s, z_c, z_s: M_c + M_s),
    ("gates_added", lambda M_c, M_s, z_c, z_s: (M_c + M_s) / 2),
    ("spatial_before_sigmoid", lambda M_c, M_s, z_c, z_s: (z_c + z_s).sigmoid()),
    ("spatial_before_sigmoid", lambda M_c, M_s, z_c, z_s: (z_c * z_s).sigmoid()),
    ("spatial_before_sigmoid", lambda M_c, M_s, z_c, z_s: (M_c * M_s).sigmoid()),
    ("spatial_before_sigmoid", lambda M_c, M_s, z_c, z_s: 1 + (z_c + z_s).sigmoid()),
    ("gates_maximum", lambda M_c, M_s, z_c, z_s: torch.maximum(M_c, M_s)),
    ("input_added", lambda M_c, M_s, z_c, z_s: 1 + M_c * M_s),
    ("input_added", lambda M_c, M_s, z_c, z_s: 1 + M_c + M_s),
    ("gate_inverted", lambda M_c, M_s, z_c, z_s: 1 - M_c * M_s),
]


def wrong_arrangements(module: nn.Module) -> Iterator[Formula]:
    """Those whose R is no product, under the key of the mistake."""
    yield from per_channel()
    for flip in (False, True):
        logits = spatial_logits(module, flip)
        for first in ("none", "channels", "places"):
            for key, R in TOGETHER:
                yield Formula(key, ALL, partial(arranged, logits=logits, together=R, first=first))
        for formula in formulas.both_wrong(torch.sigmoid):
            if formula.key in ("pool_of_size_1", "pooled_one_axis"):
                yield Formula(formula.key, ALL, partial(chained, logits=logits, M_c=formula.gates))


def arranged(F: Tensor, w: Weights, logits: Logits, together: Together, first: str) -> Tensor:
    """R from both gates: both read F, or the second reads what the first one gives."""
    z_s = logits(both_gate(F, w) * F if first == "channels" else F, w)
    z_c = channel_logits(z_s.sigmoid() * F if first == "places" else F, w)
    return together(z_c.sigmoid(), z_s.sigmoid(), z_c, z_s)


def chained(F: Tensor, w: Weights, logits: Logits, M_c: Callable[[Tensor, Weights], Tensor]) -> Tensor:
    """R of a CBAM whose channel gate is another one, which differs from place to place."""
    gate = M_c(F, w)
    return gate * logits(gate * F, w).sigmoid()


def per_channel() -> Iterator[Formula]:
    """The spatial gate differs from channel to channel."""

    def after(groups: Callable[[Tensor], int], descriptors: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        def R(F: Tensor, w: Weights) -> Tensor:
            M_c = both_gate(F, w)
            kernel = w["kernel"]
            d = descriptors(M_c * F)
            z = fn.conv2d(d, kernel, w.get("beta"), padding=kernel.shape[-1] // 2, groups=groups(F))
            return M_c * z.sigmoid()

        return R

    yield Formula("gate_per_channel", PER_CHANNEL, after(lambda F: 1, MEAN_AND_MAX))
    yield Formula("gate_per_channel", PER_CHANNEL, after(lambda F: 1, lambda x: MEAN_AND_MAX(x).flip(1)))
    yield Formula("gate_per_channel", DEPTHWISE, after(lambda F: F.shape[1], lambda x: x))
    yield Formula("gate_per_channel", FULL, after(lambda F: 1, lambda x: x))
