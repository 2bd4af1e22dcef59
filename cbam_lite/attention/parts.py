"""The parts that SE, ECA and CBAM are composed of: pools, the gate, scaling a map, and initial values."""

import contextlib
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from cbam_lite.checks import choose

# ---- pools: each takes a map and the dimensions to pool over -------------------------------------------------------


def _at_least_float32(x: Tensor) -> Tensor:
    """Exponentials and squares overflow float16 early, so these pools work in float32 (float64 stays)."""
    return x if x.dtype == torch.float64 else x.float()


def average(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    return x.mean(dim, keepdim=True)


def maximum(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Use `amax`: it shares the gradient between ties and, unlike adaptive max pooling, is deterministic on CUDA."""
    return x.amax(dim, keepdim=True)


def log_sum_exp(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    return torch.logsumexp(_at_least_float32(x), dim, keepdim=True)


def l2_norm(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """The power-average pool with p = 2, as a sum: sqrt(sum x^2). Its gradient at an all-zero map is 0, not NaN."""
    return torch.linalg.vector_norm(_at_least_float32(x), 2, dim, keepdim=True)


POOLS: dict[str, Callable[[Tensor, tuple[int, ...]], Tensor]] = {
    "avg": average,
    "max": maximum,
    "lse": log_sum_exp,
    "lp": l2_norm,
}


def pool_names(pool: str, *, instead: str = "") -> tuple[str, ...]:
    """Split ``"avg+max"`` into its pools; the order is the order of the descriptors.

    `instead` names what a caller accepts in place of pools, for the error.
    """
    names = tuple(pool.split("+")) if isinstance(pool, str) else (pool,)
    if not isinstance(pool, str) or not set(names) <= set(POOLS):
        raise ValueError(f"pool={pool!r} is not made of {', '.join(map(repr, POOLS))} joined by '+'{instead}")
    return names


# ---- the gate -------------------------------------------------------------------------------------------------------


def hardsigmoid(z: Tensor) -> Tensor:
    return nn.functional.hardsigmoid(z)


GateFunction = Literal["sigmoid", "hardsigmoid", "tanh", "relu"]
Init = Literal["default", "identity"]

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hardsigmoid": hardsigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}

# The same functions, moved so that a pre-activation of 0 gives a gate of exactly 1 in every dtype.
IDENTITY_GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda z: 2 * torch.sigmoid(z),
    "hardsigmoid": lambda z: 2 * hardsigmoid(z),
    "tanh": lambda z: 1 + torch.tanh(z),
}


def gate_function(function: str, init: str) -> Callable[[Tensor], Tensor]:
    """The function of a `Gate` with these settings."""
    return (IDENTITY_GATES if init == "identity" else GATES)[function]


class Gate(nn.Module):
    """The last step of an attention branch: pre-activation z in, gate out, shape kept.

    With ``init="identity"`` the gate is 2 sigmoid(z) (or 2 hardsigmoid(z), 1 + tanh(z)): it is exactly 1 at z = 0 and
    still has a slope there, so a branch that starts at z = 0 changes nothing and can learn from the first step on.

    `recording.record_attention` listens to this module.
    """

    def __init__(self, function: GateFunction = "sigmoid", init: Init = "default") -> None:
        super().__init__()
        self.function = choose("gate", function, GATES)
        self.init = choose("init", init, ("default", "identity"))
        if init == "identity" and function not in IDENTITY_GATES:
            raise ValueError(
                f"gate={function!r} cannot start as the identity, because its slope at 0 is 0 and nothing would be "
                f"learnt: use gate={' or '.join(map(repr, IDENTITY_GATES))}, or init='default'"
            )

    def forward(self, z: Tensor) -> Tensor:
        return gate_function(self.function, self.init)(z)

    def extra_repr(self) -> str:
        return f"{self.function!r}, init={self.init!r}"


# ---- steps that every module shares ---------------------------------------------------------------------------------


def in_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x.to(dtype)`, but free when there is nothing to do: a call of `to` costs as much as a sigmoid of a gate."""
    return x if x.dtype == dtype else x.to(dtype)


def scale(x: Tensor, gate: Tensor) -> Tensor:
    """x times its gate, in the dtype and memory format of x."""
    return x * in_dtype(gate, x.dtype)


def autocast_is_on(x: Tensor) -> bool:
    """Whether autocast is on for the device of x; some devices, "meta" for one, have none.

    The compiler of PyTorch 2.9 cannot follow the question whether there is one; it compiles for devices that have.
    """
    device = x.device.type
    if not torch.compiler.is_compiling() and not torch.amp.is_autocast_available(device):
        return False
    return torch.is_autocast_enabled(device)


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Inside, the gate is computed in the dtype of the weights (float32) although autocast is on around it."""
    return torch.autocast(x.device.type, enabled=False) if autocast_is_on(x) else contextlib.nullcontext()


def start_at_zero(layer: nn.Module) -> None:
    """Zero the last layer of a branch, so that its pre-activation is 0 whatever the input."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def he_normal(*layers: nn.Module) -> None:
    """Keras' ``he_normal``: a normal cut at two deviations, of variance 2 / fan_in after the cut; biases 0."""
    for layer in layers:
        assert isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
        std = (2 / layer.weight[0].numel()) ** 0.5 / 0.87962566103423978  # deviation of a unit normal cut at +-2
        nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
