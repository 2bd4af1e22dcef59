"""Arguments: each check gives the value back, or an error that says what was wrong and how to fix it."""

import difflib
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=str)


def choose(name: str, value: S, options: Iterable[str]) -> S:
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


def number(name: str, value: float | Tensor, low: float = -math.inf, high: float = math.inf) -> float:
    """The value if it is one finite number from low to high, as Python's; a scalar of NumPy or PyTorch is a number."""
    value = value.item() if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0 else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    if not math.isfinite(value) and (low, high) == (-math.inf, math.inf):
        raise ValueError(f"{name}={value} must be a finite number")
    if not (low <= value <= high and math.isfinite(value)):
        raise ValueError(f"{name}={value} is outside its range: use {low:g} to {high:g}")
    return value


def whole(name: str, value: int, low: int = 0, high: int = 2**63 - 1) -> int:
    """The value if it is a whole number from low to high, as Python's."""
    value = value.item() if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0 else value
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name}={value} must be at {f'least {low}' if value < low else f'most {high}'}")
    return value


def sequence(name: str, values: Iterable[float], low: float = -math.inf, high: float = math.inf) -> list[float]:
    """The values if they are numbers from low to high, and at least one."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of numbers, got {values!r} of type {type(values).__name__}")
    found = [number(f"{name}[{i}]", value, low, high) for i, value in enumerate(values)]
    if not found:
        raise ValueError(f"{name} is empty: give at least one number")
    return found


def tensor(name: str, value: Tensor, axes: str, *, floating: bool = False, least: int = 0) -> Tensor:
    """The value if it is a tensor of real numbers with these axes, "N, H, W" or "N, ..." for example.

    No axis but the first may be empty; that one has at least `least`.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor ({axes}), got {type(value).__name__}: use torch.as_tensor on numbers"
        )
    expected = max(value.dim(), 1) if axes.endswith("...") else axes.count(",") + 1
    if value.dim() != expected or 0 in value.shape[1:]:
        fix = f"for a single one use {name}[None]" if value.dim() == expected - 1 else "reshape it, or pick a part"
        fix = "it holds no values" if 0 in value.shape[1:] else fix
        raise ValueError(f"{name} has the shape {tuple(value.shape)}, expected ({axes}): {fix}")
    if len(value) < least:
        raise ValueError(
            f"{name} has the shape {tuple(value.shape)}, but at least {least} is needed along the first axis"
        )
    if value.is_complex() or (floating and not value.is_floating_point()):
        fix = f"{name}.abs()" if value.is_complex() else f"{name}.float(), uint8 images divided by 255"
        raise TypeError(f"{name} is {value.dtype}: give real floating-point numbers, e.g. {fix}")
    return value


def height_and_width(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """The size of a map as two numbers of at least 1."""
    if isinstance(size, str) or not isinstance(size, Sequence) or len(size) != 2:
        raise TypeError(f"{name}={size!r} must be (height, width), as images.shape[2:] is")
    return whole(f"{name}[0]", size[0], 1), whole(f"{name}[1]", size[1], 1)


def a_module(name: str, value: nn.Module) -> nn.Module:
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {value!r} of type {type(value).__name__}")
    return value


def a_path(name: str, value: str | os.PathLike[str]) -> Path:
    """The path, with ``~`` as the home folder."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {value!r} of type {type(value).__name__}")
    return Path(value).expanduser()


def function(name: str, value: F, fix: str) -> F:
    """The value if it can be called; the fix says what to give instead."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {value!r} of type {type(value).__name__}: {fix}")
    return value


def output_of(model: nn.Module, images: Tensor) -> Any:
    """What the model gives, or an error that names the images which it cannot take."""
    try:
        return model(images)
    except (RuntimeError, ValueError) as error:
        if type(error) not in (RuntimeError, ValueError, NotImplementedError):  # out of memory, for example
            raise
        raise ValueError(
            f"the model cannot run on images of shape {tuple(images.shape)}, {images.dtype} on {images.device}: give "
            f"them in the shape and dtype it was built for, mostly (B, 3, H, W) and float32 ({error})"
        ) from error


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
