"""Does the student's code change the dtype of what it computes with? Run it with casts that do nothing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16, Tensor.to, Tensor.type)


class KeepsDtype(TorchFunctionMode):
    """Inside, x.float(), x.half(), x.to(...) and x.type(...) of a map give x as it is."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options: Mapping[str, Any] = kwargs or {}
        asked = len(args) > 1 or bool(options) or func not in (Tensor.to, Tensor.type)  # x.type() gives a name
        if func in CASTS and asked and args[0].is_floating_point():
            return args[0]
        return func(*args, **options)


def casts(module: nn.Module, F: Tensor) -> bool:
    """Whether a module in float64, which stops with an error for F in float64, runs where casts do nothing."""
    try:
        with torch.no_grad(), KeepsDtype():
            return isinstance(module(F), Tensor)
    except Exception:
        return False
