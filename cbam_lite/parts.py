"""The parts that SE, ECA and CBAM are composed of: pools, the gate, scaling a map, and the checks on what comes in."""

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

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
    names = tuple(pool.split("+"))
    if not set(names) <= set(POOLS):
        raise ValueError(f"pool={pool!r} is not made of {', '.join(map(repr, POOLS))} joined by '+'{instead}")
    return names


# ---- the gate -------------------------------------------------------------------------------------------------------


def hardsigmoid(z: Tensor) -> Tensor:
    return nn.functional.hardsigmoid(z)


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

    def __init__(self, function: str = "sigmoid", init: str = "default") -> None:
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


def rescale(x: Tensor, gate: Tensor) -> Tensor:
    """`scale` for a map that nobody else holds: without autograd it is overwritten, which saves one full-size map."""
    return scale(x, gate) if x.requires_grad or gate.requires_grad else x.mul_(in_dtype(gate, x.dtype))


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


# ---- running a network ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in eval mode; afterwards each of its modules has the mode it had, also after an error."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


# ---- checks: each error says what was wrong and how to fix it -------------------------------------------------------


def choose(name: str, value: str, options: Iterable[str]) -> str:
    """The value if it is one of the options, else an error that lists them."""
    options = tuple(options)
    if value in options:
        return value
    close = difflib.get_close_matches(str(value), options, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, options))}{hint}")


def positive_int(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1")
    return value


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
    units = int(channels * hidden)
    if units < 1:
        raise ValueError(
            f"hidden={hidden} of channels={channels} leaves {units} hidden units: "
            f"use a share of at least 1/{channels} = {1 / channels:.4g}, or hidden=1"
        )
    return units


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
