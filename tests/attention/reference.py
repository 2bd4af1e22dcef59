"""The attention modules once more, in NumPy float64, from the papers' equations and without torch operations.

Weights come as a dictionary of arrays with the names of the module's state dict. Gates have the shapes that
`record_attention` gives: (B, C) for channels, (B, H, W) for places.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def arrays(module: nn.Module) -> dict[str, Array]:
    """The state dict of a module as float64 arrays."""
    return {name: value.detach().double().cpu().numpy() for name, value in module.state_dict().items()}


# ---- pools and gates ------------------------------------------------------------------------------------------------


def pool(x: Array, name: str, axes: tuple[int, ...]) -> Array:
    if name == "avg":
        return x.sum(axes) / np.prod([x.shape[axis] for axis in axes])
    if name == "max":
        return x.max(axes)
    if name == "lse":
        top = x.max(axes, keepdims=True)
        return np.log(np.exp(x - top).sum(axes)) + top.squeeze(axes)
    if name == "lp":
        return np.sqrt((x**2).sum(axes))
    raise KeyError(name)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


GATES: dict[tuple[str, str], Callable[[Array], Array]] = {
    ("sigmoid", "default"): sigmoid,
    ("hardsigmoid", "default"): lambda z: np.clip(z + 3, 0, 6) / 6,
    ("tanh", "default"): np.tanh,
    ("relu", "default"): lambda z: np.maximum(z, 0),
    ("sigmoid", "identity"): lambda z: 2 * sigmoid(z),
    ("hardsigmoid", "identity"): lambda z: np.clip(z + 3, 0, 6) / 3,
    ("tanh", "identity"): lambda z: 1 + np.tanh(z),
}


# ---- layers ---------------------------------------------------------------------------------------------------------


def linear(x: Array, weights: Weights, layer: str) -> Array:
    return x @ weights[f"{layer}.weight"].T + weights.get(f"{layer}.bias", np.zeros(1))


def conv2d(x: Array, weight: Array, bias: Array | None = None, stride: int = 1, padding: int = 0) -> Array:
    """Cross-correlation, one output place at a time."""
    B, C, H, W = x.shape
    O, _, k, _ = weight.shape
    padded = np.zeros((B, C, H + 2 * padding, W + 2 * padding))
    padded[:, :, padding : padding + H, padding : padding + W] = x
    rows, columns = (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1
    y = np.zeros((B, O, rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = padded[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            y[:, :, i, j] = (window[:, None] * weight[None]).sum((2, 3, 4))
    return y if bias is None else y + bias[None, :, None, None]


def batch_norm(z: Array, weights: Weights, layer: str, eps: float = 1e-5) -> Array:
    """Evaluation mode, one channel: with the running statistics."""
    mean, variance = weights[f"{layer}.running_mean"], weights[f"{layer}.running_var"]
    return (z - mean) / np.sqrt(variance + eps) * weights[f"{layer}.weight"] + weights[f"{layer}.bias"]


# ---- gates of the modules -------------------------------------------------------------------------------------------


def squeeze_excitation(x: Array, weights: Weights, pool_name: str = "avg", gate: str = "sigmoid", init="default"):
    """s = sigma(W_2 relu(W_1 z)), (B, C)."""
    z = pool(x, pool_name, (2, 3))
    return GATES[gate, init](linear(np.maximum(linear(z, weights, "W_1"), 0), weights, "W_2"))


def efficient_channel_attention(
    x: Array, weights: Weights, pool_name: str = "avg", gate: str = "sigmoid", init="default"
):
    """Each channel's number from its k neighbours in channel order, zeros outside, (B, C)."""
    y = pool(x, pool_name, (2, 3))
    kernel = weights["conv.weight"].reshape(-1)
    z = np.zeros_like(y)
    for c in range(y.shape[1]):
        for tap, w in enumerate(kernel):
            neighbour = c + tap - len(kernel) // 2
            if 0 <= neighbour < y.shape[1]:
                z[:, c] += w * y[:, neighbour]
    return GATES[gate, init](z)


def channel_attention(x: Array, weights: Weights, pools: list[str], gate: str = "sigmoid", init="default") -> Array:
    """sigma(MLP(d_1) + MLP(d_2) + ...), the MLP called once for each descriptor, (B, C)."""
    z = np.zeros(x.shape[:2])
    for name in pools:
        z = z + linear(np.maximum(linear(pool(x, name, (2, 3)), weights, "W_0"), 0), weights, "W_1")
    return GATES[gate, init](z)


def spatial_attention(x: Array, weights: Weights, pools: list[str], gate: str = "sigmoid", init="default") -> Array:
    """sigma(norm(conv([d_1; d_2; ...]))), (B, H, W); the pools ["conv"] are the learnt 1x1 convolution."""
    if pools == ["conv"]:
        descriptors = np.einsum("bchw,c->bhw", x, weights["descriptors.weight"].reshape(-1))[:, None]
    else:
        descriptors = np.stack([pool(x, name, (1,)) for name in pools], axis=1)
    kernel = weights["conv.weight"]
    z = conv2d(descriptors, kernel, weights.get("conv.bias"), padding=kernel.shape[2] // 2)
    if "norm.weight" in weights:
        z = batch_norm(z, weights, "norm")
    return GATES[gate, init](z[:, 0])


def below(weights: Weights, prefix: str) -> dict[str, Array]:
    """The weights of one submodule, without its name."""
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def cbam(
    x: Array,
    weights: Weights,
    pools: list[str],
    spatial_pools: list[str],
    order: str = "channel-first",
    gate: str = "sigmoid",
    init: str = "default",
) -> Array:
    """F'' of equation (1), (B, C, H, W)."""

    def M_c(F: Array) -> Array:
        return channel_attention(F, below(weights, "channel_attention."), pools, gate, init)[:, :, None, None]

    def M_s(F: Array) -> Array:
        if spatial_pools == ["none"]:
            return np.ones((1, 1, 1, 1))
        return spatial_attention(F, below(weights, "spatial_attention."), spatial_pools, gate, init)[:, None]

    if order == "channel-first":
        return M_s(M_c(x) * x) * (M_c(x) * x)
    if order == "spatial-first":
        return M_c(M_s(x) * x) * (M_s(x) * x)
    return M_c(x) * M_s(x) * x
