"""The measuring stand: a copy of the student's thing, run on inputs of ours, which leaves nothing changed behind.

A judge gets a `Trial`. It says what it tries (`trial.tries`), runs the student's code (`trial.run`), and stops at the
first thing that is wrong (`trial.refuse`). Nothing else may call the student's code.
"""

import contextlib
import copy
import inspect
import random
import re
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn


class Refused(Exception):
    """The first thing that is wrong: the key of a known mistake, or "", and what was found in words and numbers."""

    def __init__(self, key: str, says: str) -> None:
        super().__init__(says)
        self.key, self.says = key, says


class TimeUp(BaseException):
    """The student's code ran too long. No `except Exception` of the student's catches it."""


class Trial:
    """What was tried so far, and the one way to run the student's code.

    Attributes:
        tried: the sentences of `tries`, in order.
    """

    def __init__(self) -> None:
        self.tried: list[str] = []

    def tries(self, what: str) -> None:
        """Say what comes next, in words and shapes: "F of shape (3, 16, 9, 13): a map of the same shape comes back"."""
        self.tried.append(what)

    def refuse(self, key: str, says: str) -> NoReturn:
        """Stop here. `key` names a known mistake ("" if none fits); `says` has what was found, with numbers."""
        raise Refused(key, says)

    def run(self, function: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        """What the student's code gives; an error of it refuses, with the input that caused it and the line."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return function(*inputs, **options)
        except NotImplementedError as error:
            raise Refused("unfilled", unfilled(error)) from error
        except (Exception, SystemExit) as error:
            given = ", ".join([*map(in_words, inputs), *(f"{k}={in_words(v)}" for k, v in options.items())])
            raise Refused(error_kind(error), f"{named(error)} on the input {given}{where(error)}") from error


# What torch and NumPy say, in which of their errors. `words_errors` has the words for each key.
ERROR_TEXTS = {
    "raises_max": r"return_types\.(max|min|median)"
    r"|^(max|min)\(\) received an invalid combination .* got \((tuple|list)",
    "raises_integer": r"tuple of ints|'float' object cannot be interpreted as an integer|tuple of \(float",
    "raises_shape": r"mat1 and mat2 shapes|but got \d+ channels|input to conv\dd, but got input of size"
    r"|size of tensor a .* must match|Sizes of tensors must match|must have same number of dimensions"
    r"|does not broadcast|could not be broadcast",
}
RAISES = ("raises", *ERROR_TEXTS)


def error_kind(error: BaseException) -> str:
    """The key of an error of the student's code, by its text."""
    text = " ".join(str(error).split())
    return next((key for key, pattern in ERROR_TEXTS.items() if re.search(pattern, text)), "raises")


def unfilled(error: NotImplementedError) -> str:
    """What is missing: the code, or a method of a module that torch looks for."""
    if 'missing the required "forward"' in str(error):
        return "the module has no method `forward`: is it written, and its name spelled right?"
    return "there is nothing to check yet: it raises NotImplementedError"


def named(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def where(error: BaseException) -> str:
    """The student's own last line, not one of torch's or of ours."""
    ours = ("/torch/", "/numpy/", "/cbam_lite/")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not any(o in f.filename for o in ours)]
    return f", in the line `{frames[-1].line}`" if frames and frames[-1].line else ""


def in_words(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    return repr(value) if isinstance(value, int | float | str | tuple | None) else type(value).__name__


# ---- nothing is changed behind ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Inside, seeds are fixed; afterwards the random states and the global settings are what they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    dtype, grad, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    settings = torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled()
    try:
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != settings[0]:  # the first call costs 3 seconds
            torch.use_deterministic_algorithms(settings[0])
        torch.autograd.set_detect_anomaly(settings[1])


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop what runs inside after so many seconds. It needs Unix and the main thread; elsewhere nothing is stopped."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> NoReturn:
        raise TimeUp

    handler = signal.signal(signal.SIGALRM, stop)
    left = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)  # again and again: a bare `except:` swallows one
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)
        signal.signal(signal.SIGALRM, handler)


# ---- from what the student hands in to a module ----------------------------------------------------------------------

# What students call the same number.
SYNONYMS = {
    "channels": "channel channels in_channels in_channel in_planes inplanes planes c dim ch gate_channels num_channels "
    "n_channels in_ch inp in_features features chan width nc n in_chan num_features input_channels in_dim filters size",
    "reduction": "reduction r ratio reduction_ratio red rd squeeze reduction_factor rr reduc",
    "kernel": "kernel kernel_size k k_size ks ksize window",
}


def arguments(maker: Callable[..., Any], values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What to call a maker with: values by the names of its parameters, by their order where the names say nothing."""
    try:
        parameters = list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):
        return list(values.values())[:1], {}
    kind = inspect.Parameter
    if [p.kind for p in parameters] == [kind.VAR_POSITIONAL]:
        return list(values.values()), {}
    free, named_ones = dict(values), {}
    for p in parameters:
        name = next((name for name in free if called(p, name)), None)
        if name is not None:
            named_ones[p.name] = free.pop(name)
    by_order = []
    for p in parameters:
        if p.default is kind.empty and p.name not in named_ones and free:
            value = free[next(iter(free))]
            if p.kind is kind.POSITIONAL_ONLY:
                by_order.append(value)
            elif p.kind is kind.POSITIONAL_OR_KEYWORD:
                named_ones[p.name] = value
            else:
                continue
            free.pop(next(iter(free)))
    return by_order, named_ones


def called(parameter: inspect.Parameter, name: str) -> bool:
    """Whether this parameter, by its name, takes what we call `name`."""
    by_name = parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return by_name and parameter.name.lower() in (name, *SYNONYMS.get(name, "").split())


def build(trial: Trial, maker: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """What the maker makes, with these values passed by name or by order."""
    positional, named_ones = arguments(maker, values)
    return trial.run(maker, *positional, **named_ones)


def copy_of(trial: Trial, module: nn.Module) -> nn.Module:
    """A copy for measuring, float64 and in evaluation mode; the student's module stays as it is."""
    try:
        twin = copy.deepcopy(module)
    except Exception as error:
        trial.refuse("raises", f"the module cannot be copied: {named(error)}")
    return twin.double().eval()


def shake(module: nn.Module, seed: int, scale: float = 1.0) -> None:
    """Weights far from zero: at least 0.3 of the spread, random signs; small biases; running statistics at random.

    Initial values hide mistakes: a zero weight or bias makes a wrong path silent.
    """
    g = torch.Generator().manual_seed(seed)

    def far(shape: torch.Size, spread: float) -> Tensor:
        size = 0.3 + torch.rand(shape, generator=g, dtype=torch.float64)
        return spread * size * (torch.randint(0, 2, shape, generator=g) * 2 - 1)

    with torch.no_grad():
        for parameter in module.parameters():
            fan = parameter[0].numel() if parameter.dim() > 1 else 1
            parameter.copy_(far(parameter.shape, scale / fan**0.5 if parameter.dim() > 1 else 0.2 * scale))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(far(buffer.shape, 0.2))
            elif name.endswith("running_var"):
                buffer.copy_(1 + torch.rand(buffer.shape, generator=g, dtype=torch.float64))
