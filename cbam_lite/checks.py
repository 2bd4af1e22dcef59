"""Arguments: each check gives the value back, or an error that says what was wrong and how to fix it."""

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

# ---- checks: each error says what was wrong and how to fix it -------------------------------------------------------


def choose(name: str, value: str, options: Iterable[str]) -> str:
    """The value if it is one of the options, else an error that lists them."""
    options = tuple(options)
    if isinstance(value, str) and value in options:
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


def finite(name: str, value: float) -> float:
    """A number, whole or not; neither infinite nor NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name}={value} must be a finite number")
    return value


def a_module(name: str, value: nn.Module) -> nn.Module:
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {value!r:.60} of type {type(value).__name__}")
    return value


def made(attention: Callable[..., nn.Module], channels: int, **options: Any) -> nn.Module:
    """What `attention` makes for a map of these channels: a module, or an error that says what to pass instead."""
    if isinstance(attention, nn.Module):
        raise TypeError(f"attention is a module, built already: pass {type(attention).__name__}, not an instance of it")
    if not callable(attention):
        raise TypeError(
            f"attention={attention!r:.60} of type {type(attention).__name__} cannot make a module: pass a class such "
            "as CBAM, or a function of the channels"
        )
    module = attention(channels, **options)
    if not isinstance(module, nn.Module):
        raise TypeError(f"attention({channels}) gave {type(module).__name__}, not a module: pass CBAM, for example")
    return module
