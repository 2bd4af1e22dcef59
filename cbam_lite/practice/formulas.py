"""The channel gates of SE and of CBAM as formulas: the right ones, and the right ones with one thing wrong.

Each takes F (B, C, H, W) and the student's own weights, and gives the gates (B, C, 1, 1), or (B, C, H, W) where they
differ from place to place.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as fn
from torch import Tensor

from cbam_lite.practice.weights import Formula, Pattern, Weights

Step = Callable[[Tensor], Tensor]

MLP: Pattern = {"W_0": ("h", "C"), "W_1": ("C", "h"), "b_0?": ("h",), "b_1?": ("C",)}
TWO_MLPS: Pattern = {**MLP, "V_0": ("g", "C"), "V_1": ("C", "g"), "c_0?": ("g",), "c_1?": ("C",)}
SECOND_LAYERS: Pattern = {**MLP, "V_1": ("C", "h"), "c_1?": ("C",)}
FIRST_LAYERS: Pattern = {**MLP, "V_0": ("h", "C"), "c_0?": ("h",)}
WIDE: Pattern = {"W_0": ("h", "D"), "W_1": ("C", "h"), "b_0?": ("h",), "b_1?": ("C",)}
ONE_LAYER: Pattern = {"W": ("C", "C"), "b?": ("C",)}
THREE: Pattern = {"W_0": ("h", "C"), "b_0?": ("h",), "U": ("g", "h"), "c?": ("g",), "W_1": ("C", "g"), "b_1?": ("C",)}


def same(x: Tensor) -> Tensor:
    return x


# ---- descriptors: what a channel says about its map, (B, C, 1, 1) ----------------------------------------------------


def avg(F: Tensor) -> Tensor:
    return F.mean((2, 3), keepdim=True)


def most(F: Tensor) -> Tensor:
    return F.amax((2, 3), keepdim=True)


def least(F: Tensor) -> Tensor:
    return F.amin((2, 3), keepdim=True)


def total(F: Tensor) -> Tensor:
    return F.sum((2, 3), keepdim=True)


def log_sum_exp(F: Tensor) -> Tensor:
    return F.logsumexp((2, 3), keepdim=True)


# Under the key of the mistake: what is taken in place of the average.
FOR_AVERAGE: list[tuple[str, Step]] = [
    ("max_for_average", most),
    ("min_for_max", least),
    ("sum_for_mean", total),
    ("pool_of_size_1", same),
    ("pooled_one_axis", lambda F: F.mean(2, keepdim=True)),
    ("pooled_one_axis", lambda F: F.mean(3, keepdim=True)),
    ("other_pool", lambda F: F.std((2, 3), keepdim=True)),
    ("other_pool", lambda F: F.std((2, 3), keepdim=True, unbiased=False)),
    ("other_pool", lambda F: F.var((2, 3), keepdim=True)),
    ("other_pool", lambda F: F.pow(2).mean((2, 3), keepdim=True)),
    ("other_pool", lambda F: F.norm(dim=(2, 3), keepdim=True)),
    ("other_pool", lambda F: F.abs().mean((2, 3), keepdim=True)),
    ("other_pool", lambda F: F.flatten(2).median(2).values[:, :, None, None]),
    ("other_pool", log_sum_exp),
    ("relu_before_pool", lambda F: F.relu().mean((2, 3), keepdim=True)),
    ("sum_for_mean", lambda F: total(F) / F.shape[2]),
    ("sum_for_mean", lambda F: total(F) / F.shape[3]),
    ("sum_for_mean", lambda F: total(F) / F.shape[2] ** 2),
    ("sum_for_mean", lambda F: total(F) / F.shape[3] ** 2),
    ("pooled_over_channels", lambda F: F.mean(1, keepdim=True).expand_as(F)),
    ("one_place", lambda F: F[:, :, :1, :1]),
    ("one_place", lambda F: F[:, :, F.shape[2] // 2, None, F.shape[3] // 2, None]),
]
# The same for the maximum in channel attention.
FOR_MAXIMUM: list[tuple[str, Step]] = [
    ("average_twice", avg),
    ("min_for_max", least),
    ("min_for_max", lambda F: -least(F)),
    ("pool_of_size_1", same),
    ("pooled_one_axis", lambda F: F.amax(2, keepdim=True)),
    ("pooled_one_axis", lambda F: F.amax(3, keepdim=True)),
    ("absolute_maximum", lambda F: most(F.abs())),
    ("other_pool", log_sum_exp),
    ("other_pool", total),
    ("other_pool", lambda F: F.std((2, 3), keepdim=True)),
    ("other_pool", lambda F: F.norm(dim=(2, 3), keepdim=True)),
    ("other_pool", lambda F: F.flatten(2).median(2).values[:, :, None, None]),
]
ACTIVATIONS: list[tuple[str, Step]] = [
    ("no_relu", same),
    *[("other_activation", partial(fn.leaky_relu, negative_slope=slope)) for slope in (0.01, 0.1, 0.2, 0.3, 0.05)],
    *[("other_activation", f) for f in (fn.gelu, fn.silu, torch.sigmoid, torch.tanh, fn.elu, fn.selu, fn.softplus)],
    *[
        ("other_activation", f)
        for f in (fn.hardswish, fn.relu6, fn.mish, torch.abs, partial(fn.gelu, approximate="tanh"))
    ],
    ("softmax_over_channels", lambda z: z.softmax(1)),
]
CLOSINGS: list[tuple[str, Step]] = [
    ("no_sigmoid", same),
    ("tanh_gate", torch.tanh),
    ("tanh_gate", lambda z: torch.tanh(z).abs()),
    ("softmax_over_channels", lambda z: z.softmax(1)),
    ("softmax_over_channels", lambda z: z.softmax(1) * z.shape[1]),
    ("sigmoid_twice", lambda z: z.sigmoid().sigmoid()),
    ("gate_inverted", lambda z: 1 - z.sigmoid()),
    ("gate_squared", lambda z: z.sigmoid() ** 2),
    ("relu_before_sigmoid", lambda z: z.relu().sigmoid()),
    ("relu_before_sigmoid", lambda z: fn.leaky_relu(z, 0.01).sigmoid()),
    ("input_added", lambda z: 1 + z.sigmoid()),
    ("input_added", lambda z: 1 + fn.hardsigmoid(z)),
    ("input_added", lambda z: 1 + z),
    ("input_added", lambda z: 1 + z.tanh()),
    ("no_sigmoid", torch.relu),
    ("no_sigmoid", fn.softplus),
    ("no_sigmoid", torch.exp),
    ("other_gate_function", lambda z: z.clamp(0, 1)),
    ("other_gate_function", lambda z: (0.2 * z + 0.5).clamp(0, 1)),
    ("no_channel_gate", lambda z: z.mean(1, keepdim=True).sigmoid()),
    ("other_gate_function", lambda z: 0.5 + z.sigmoid()),
    ("other_gate_function", lambda z: 0.5 + 0.5 * z.sigmoid()),
    ("other_gate_function", lambda z: 0.5 * z.sigmoid()),
    ("other_gate_function", lambda z: (z.tanh() + 1) / 2),
    ("other_gate_function", lambda z: fn.relu6(z) / 6),
]
RIGHT_CLOSINGS: dict[str, Step] = {
    "": torch.sigmoid,
    "the gate is twice the sigmoid, so that the module can start as the identity": lambda z: 2 * z.sigmoid(),
    "the gate is the hard sigmoid relu6(x + 3) / 6, as in MobileNetV3": fn.hardsigmoid,
}


# ---- the MLP ---------------------------------------------------------------------------------------------------------


def layer(x: Tensor, w: Weights, W: str, b: str) -> Tensor:
    """W x + b over the axis of channels: (B, C, h, w) -> (B, C', h, w)."""
    z = torch.einsum("bchw,oc->bohw", x, w[W])
    return z + w[b][:, None, None] if b in w else z


def mlp(x: Tensor, w: Weights, delta: Step = torch.relu, names: str = "W_0 b_0 W_1 b_1") -> Tensor:
    """W_1 delta(W_0 x), the logits (B, C, 1, 1)."""
    W_0, b_0, W_1, b_1 = names.split()
    return layer(delta(layer(x, w, W_0, b_0)), w, W_1, b_1)


def se_gate(F: Tensor, w: Weights, pool: Step = avg, delta: Step = torch.relu, close: Step = torch.sigmoid) -> Tensor:
    """M_c = sigmoid(W_1 relu(W_0 avg(F)))."""
    return close(mlp(pool(F), w, delta))


def se_right() -> Iterator[Formula]:
    for words, close in RIGHT_CLOSINGS.items():
        yield Formula(words, MLP, partial(se_gate, close=close))


def se_wrong(close: Step = torch.sigmoid) -> Iterator[Formula]:
    """SE with one thing wrong, each under the key of the mistake."""
    for key, pool in FOR_AVERAGE:
        yield Formula(key, MLP, partial(se_gate, pool=pool, close=close))
    for key, delta in ACTIVATIONS:
        yield Formula(key, MLP, partial(se_gate, delta=delta, close=close))
    for key, other in CLOSINGS:
        yield Formula(key, MLP, partial(se_gate, close=other))
    yield Formula("maximum_added", MLP, lambda F, w: close(mlp(avg(F), w) + mlp(most(F), w)))
    yield Formula("maximum_added", MLP, lambda F, w: close(mlp(avg(F) + most(F), w)))
    yield Formula("relu_before_sigmoid", MLP, lambda F, w: close(mlp(avg(F), w).relu()))
    yield Formula("relu_misplaced", MLP, lambda F, w: close(mlp(avg(F).relu(), w, same)))
    yield Formula("relu_misplaced", MLP, lambda F, w: close(mlp(avg(F), w, same).relu()))
    yield Formula("sigmoid_twice", MLP, lambda F, w: close(mlp(avg(F), w, torch.sigmoid)))
    yield Formula("one_layer", ONE_LAYER, lambda F, w: close(layer(avg(F), w, "W", "b")))
    yield Formula("one_layer", ONE_LAYER, lambda F, w: close(layer(avg(F), w, "W", "b").relu()))
    yield Formula("three_layers", THREE, lambda F, w: close(three(avg(F), w)))


def three(x: Tensor, w: Weights) -> Tensor:
    return layer(layer(layer(x, w, "W_0", "b_0").relu(), w, "U", "c").relu(), w, "W_1", "b_1")


# ---- CBAM's channel gate ---------------------------------------------------------------------------------------------


def both_gate(
    F: Tensor,
    w: Weights,
    first: Step = avg,
    second: Step = most,
    delta: Step = torch.relu,
    close: Step = torch.sigmoid,
) -> Tensor:
    """M_c = sigmoid(W_1 relu(W_0 avg(F)) + W_1 relu(W_0 max(F)))."""
    return close(mlp(first(F), w, delta) + mlp(second(F), w, delta))


def bias_once(F: Tensor, w: Weights, close: Step = torch.sigmoid) -> Tensor:
    """The hidden units of both descriptors added, then W_1 and its bias once: the same functions, another b_1."""
    hidden = layer(avg(F), w, "W_0", "b_0").relu() + layer(most(F), w, "W_0", "b_0").relu()
    return close(layer(hidden, w, "W_1", "b_1"))


def both_right() -> Iterator[Formula]:
    for words, close in RIGHT_CLOSINGS.items():
        yield Formula(words, MLP, partial(both_gate, close=close))
    for words, close in RIGHT_CLOSINGS.items():
        yield Formula(words, MLP, partial(bias_once, close=close))


def both_wrong(close: Step = torch.sigmoid) -> Iterator[Formula]:
    """CBAM's channel gate with one thing wrong, each under the key of the mistake."""
    yield Formula("average_only", MLP, partial(se_gate, close=close))
    yield Formula("max_only", MLP, partial(se_gate, pool=most, close=close))
    yield from joined(close)
    for key, pool in FOR_MAXIMUM:
        yield Formula(key, MLP, partial(both_gate, second=pool, close=close))
    yield Formula("max_twice", MLP, partial(both_gate, first=most, close=close))
    for key, pool in FOR_AVERAGE[2:]:
        yield Formula(key, MLP, partial(both_gate, first=pool, close=close))
    for one, two in ((same, same), (same, most)):
        yield Formula("pool_of_size_1", MLP, partial(both_gate, first=one, second=two, close=close))
    for axis in (2, 3):
        pools = partial(torch.mean, dim=axis, keepdim=True), partial(torch.amax, dim=axis, keepdim=True)
        yield Formula("pooled_one_axis", MLP, partial(both_gate, first=pools[0], second=pools[1], close=close))
    for key, delta in ACTIVATIONS:
        yield Formula(key, MLP, partial(both_gate, delta=delta, close=close))
    for key, other in CLOSINGS:
        yield Formula(key, MLP, partial(both_gate, close=other))
    for pool in (least, log_sum_exp, lambda F: F.norm(dim=(2, 3), keepdim=True), lambda F: F.std((2, 3), keepdim=True)):
        yield Formula("extra_pools", MLP, partial(one_more, pool=pool, close=close))
    yield from two_mlps(close)


def one_more(F: Tensor, w: Weights, pool: Step, close: Step) -> Tensor:
    return close(mlp(avg(F), w) + mlp(most(F), w) + mlp(pool(F), w))


def joined(close: Step) -> Iterator[Formula]:
    """The two descriptors joined at the wrong step."""
    yield Formula("added_before_relu", MLP, lambda F, w: close(mlp(avg(F) + most(F), w)))
    yield Formula("added_before_relu", MLP, lambda F, w: close(mlp((avg(F) + most(F)) / 2, w)))
    yield Formula("added_before_relu", MLP, lambda F, w: close(inside(F, w)))
    yield Formula("multiplied_descriptors", MLP, lambda F, w: close(mlp(avg(F) * most(F), w)))
    yield Formula("multiplied_descriptors", MLP, lambda F, w: close(mlp(avg(F), w) * mlp(most(F), w)))
    yield Formula("subtracted_descriptors", MLP, lambda F, w: close(mlp(avg(F), w) - mlp(most(F), w)))
    yield Formula("subtracted_descriptors", MLP, lambda F, w: close(mlp(most(F), w) - mlp(avg(F), w)))
    yield Formula("logits_averaged", MLP, lambda F, w: close((mlp(avg(F), w) + mlp(most(F), w)) / 2))
    yield Formula("logits_maximum", MLP, lambda F, w: close(torch.maximum(mlp(avg(F), w), mlp(most(F), w))))
    yield Formula("sigmoid_per_descriptor", MLP, lambda F, w: close(mlp(avg(F), w)) + close(mlp(most(F), w)))
    yield Formula("sigmoid_per_descriptor", MLP, lambda F, w: (close(mlp(avg(F), w)) + close(mlp(most(F), w))) / 2)
    yield Formula("sigmoid_per_descriptor", MLP, lambda F, w: close(mlp(avg(F), w)) * close(mlp(most(F), w)))
    yield Formula("sigmoid_twice", MLP, lambda F, w: close(close(mlp(avg(F), w)) + close(mlp(most(F), w))))
    yield Formula("relu_before_sigmoid", MLP, lambda F, w: close(mlp(avg(F), w).relu() + mlp(most(F), w).relu()))
    yield Formula("concatenated_descriptors", WIDE, lambda F, w: close(wide(torch.cat([avg(F), most(F)], 1), w)))
    yield Formula("concatenated_descriptors", WIDE, lambda F, w: close(wide(torch.cat([most(F), avg(F)], 1), w)))
    yield Formula("one_layer", ONE_LAYER, lambda F, w: close(sum_of(F, w)))
    yield Formula("three_layers", THREE, lambda F, w: close(three(avg(F), w) + three(most(F), w)))


def sum_of(F: Tensor, w: Weights) -> Tensor:
    return layer(avg(F), w, "W", "b") + layer(most(F), w, "W", "b")


def inside(F: Tensor, w: Weights) -> Tensor:
    """W_1 relu(W_0 avg + b_0 + W_0 max + b_0): added at the hidden layer, before its ReLU."""
    return layer((layer(avg(F), w, "W_0", "b_0") + layer(most(F), w, "W_0", "b_0")).relu(), w, "W_1", "b_1")


def wide(d: Tensor, w: Weights) -> Tensor:
    """An MLP of 2C inputs; where the weights have others, something that never agrees."""
    return mlp(d, w) if w["W_0"].shape[1] == d.shape[1] else d.new_full((), torch.nan).expand(d.shape)


def two_mlps(close: Step) -> Iterator[Formula]:
    """Each descriptor has weights of its own, in both layers or in one of them."""
    ways = [(TWO_MLPS, "V_0 c_0 V_1 c_1"), (SECOND_LAYERS, "W_0 b_0 V_1 c_1"), (FIRST_LAYERS, "V_0 c_0 W_1 b_1")]
    for needs, names in ways:
        yield Formula("separate_mlps", needs, partial(separate, names=names, close=close))


def separate(F: Tensor, w: Weights, names: str, close: Step) -> Tensor:
    return close(mlp(avg(F), w) + mlp(most(F), w, names=names))
