"""From what the student hands in, a class, a factory, a module or a function, to a module on the measuring stand.

What is read of it is R = out / F, the product of all gates, of shape (B, C, H, W).
"""

import copy
import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from cbam_lite.practice.casts import casts
from cbam_lite.practice.trial import Refused, Trial, arguments, build, called, copy_of, shake

SIZE = (9, 13)  # H and W differ, so that one taken for the other shows
Shape = tuple[int, ...]


def maps(channels: int, seed: int, batch: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    """Fresh maps (B, C, H, W), float64: no value near zero; the averages over places differ from channel to channel."""
    g = torch.Generator().manual_seed(1000 + seed)
    F = torch.randn(batch, channels, *size, generator=g, dtype=torch.float64)
    F = F + torch.randn(batch, channels, 1, 1, generator=g, dtype=torch.float64)
    return F + 0.1 * F.sign()


@dataclass
class Subject:
    """A copy of the student's module on the measuring stand, float64, with shaken weights.

    Attributes:
        trial: what runs it.
        module: the copy.
        channels: C of the maps that it takes.
        made: whether it was built by us, from a class, a factory or a function (else C and r are the student's).
        returns: "map", or "gate" where it gives the gate alone.
        notes: what is right, but worth a word.
    """

    trial: Trial
    module: nn.Module
    channels: int
    made: bool = True
    returns: str = "map"
    notes: list[str] = field(default_factory=list)

    def __call__(self, F: Tensor) -> Tensor:
        """What the module gives for F, whatever shape that has. F is a copy, with gradients if F has them."""
        out = self.trial.run(self.module, F.clone())
        if not isinstance(out, Tensor):
            what = "None: is a return missing?" if out is None else f"a {kind(out)}, not one tensor"
            self.trial.refuse("no_return", f"F is a tensor of shape {tuple(F.shape)}, what comes back is {what}")
        return out

    def R(self, F: Tensor) -> Tensor:
        """The product of the gates at every channel and place, (B, C, H, W), without gradients."""
        with torch.no_grad():
            out = self(F)
            return out / F if self.returns == "map" else spread(out, F)

    def maps(self, seed: int = 0, batch: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
        return maps(self.channels, seed, batch, size)

    def parameters(self) -> dict[str, Tensor]:
        """Those weights that change what comes out, by their names."""
        F = self.maps(7, batch=12)
        with torch.no_grad():
            before = self(F)
            found: dict[str, Tensor] = {}
            for name, parameter in self.module.named_parameters():
                kept = parameter.detach().clone()
                parameter.mul_(1.03125).add_(0.01)
                if not close(self(F), before, 1e-13):
                    found[name] = parameter
                parameter.copy_(kept)
        return found


def kind(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__


def spread(gate: Tensor, F: Tensor) -> Tensor:
    """A gate (B, C), (B, C, 1, 1) or (B, 1, H, W) at every channel and place, (B, C, H, W)."""
    return (gate[:, :, None, None] if gate.dim() == 2 else gate).expand(F.shape)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-6) -> bool:
    """Whether two tensors have one shape and agree, relative to 1 and to the larger one."""
    if a.shape != b.shape:
        return False
    return bool(((a - b).abs() <= tolerance * (1 + b.abs())).all())


def quietly(function: Callable[..., Any], *inputs: Any) -> Any:
    """What the function gives, or None where it fails. For trying what fits, never for judging."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*inputs)
    except (Exception, SystemExit):
        return None


# ---- from what is handed in to a module ------------------------------------------------------------------------------


class OfWeights(nn.Module):
    """A function of the map and its weights, f(F, W_0, W_1), as a module which has these weights."""

    def __init__(self, function: Callable[..., Any], shapes: tuple[Shape, ...]) -> None:
        super().__init__()
        self.function = function
        self.names = named_only(function)
        self.weights = nn.ParameterList([nn.Parameter(torch.rand(shape)) for shape in shapes])

    def forward(self, F: Tensor) -> Any:
        by_order = len(self.weights) - len(self.names)
        return self.function(F, *self.weights[:by_order], **dict(zip(self.names, self.weights[by_order:], strict=True)))


def named_only(function: Callable[..., Any]) -> list[str]:
    """Parameters that are passed by name only and have no default: f(F, *, W_0, W_1)."""
    parameters = parameters_of(function)
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def subject(
    trial: Trial,
    thing: Any,
    values: Mapping[str, float],
    layouts: tuple[tuple[Shape, ...], ...] = (),
    gate_alone: bool = False,
    gates: int = 1,
) -> Subject:
    """What the student handed in as a `Subject` that takes F of shape (3, C, 9, 13).

    Args:
        values: what a maker is called with, by name or in this order: {"channels": 16, "reduction": 4}.
        layouts: the shapes of the weights that a function of (F, weights...) is offered, the likeliest first.
        gate_alone: whether giving the gate alone is right, too.
        gates: how many gates it has; of two, each may have been taken for one that scales its map.

    Raises:
        Refused: unfilled, raises..., square_only, view_mixup, wrong_axes, no_padding, even_kernel_shift, wrong_shape,
            fixed_size, weights_not_registered, not_a_module, not_deterministic, dtype_changed, no_return,
            returns_the_gate, gates_not_applied.
    """
    trial.tries(f"F of shape (3, C, {SIZE[0]}, {SIZE[1]}): a map of the same shape comes back")
    if isinstance(thing, nn.Module):
        found = instance(trial, thing)
    elif callable(thing):
        found = made(trial, thing, values, layouts)
    else:
        trial.refuse("", f"a class, a module or a function is needed, not an object of type {kind(thing)}")
    shake(found.module, seed=1)
    found.returns = what_returns(found, gate_alone, gates)
    other_sizes(found)
    return found


def other_sizes(s: Subject) -> None:
    """Maps of other sizes pass, too."""
    H, W = SIZE
    passes = f"maps of {H}x{W} pass, maps of"
    if not isinstance(quietly(s.module, s.maps(size=(W, H))), Tensor):
        s.trial.refuse("square_only", f"{passes} {W}x{H} stop with an error")
    for size in ((2 * H, 2 * W), (5, 7)):
        try:
            s(s.maps(size=size))
        except Refused as found:
            s.trial.refuse("fixed_size", f"{passes} {size[0]}x{size[1]} stop with an error: {found.says}")


def instance(trial: Trial, module: nn.Module) -> Subject:
    """A built module: its C is the first that it takes."""
    weights = [w for w in (*module.parameters(), *module.buffers()) if not nn.parameter.is_lazy(w)]
    sizes = sorted({n for w in weights for n in w.shape}, reverse=True)
    for C in dict.fromkeys([16, *sizes[:8], 24, 64, 32, 8]):
        twin = ready(trial, module, C)
        if isinstance(quietly(twin, maps(C, 0)), Tensor):
            return Subject(trial, twin, C, made=False)
    C = max([n for n in sizes if n >= 8], default=16)
    return why(Subject(trial, ready(trial, module, C), C, made=False))


def ready(trial: Trial, module: nn.Module, C: int) -> nn.Module:
    """A copy for measuring; lazy layers get their shapes from a first map."""
    if any(nn.parameter.is_lazy(p) for p in module.parameters()):
        module = copy.deepcopy(module)
        quietly(module, maps(C, 0).float())
    return copy_of(trial, module).cpu()


def made(trial: Trial, thing: Callable[..., Any], values: Mapping[str, float], layouts: Any) -> Subject:
    """A class, a factory, or a function of (F, weights...)."""
    failed = None
    try:
        C, module = from_maker(trial, thing, values)
    except Refused as found:
        if inspect.isclass(thing) or found.key == "unfilled" or is_maker(thing, len(values)):
            raise
        failed, module = found, None
    if isinstance(module, nn.Module):
        if not any(arguments(thing, values)):  # made without a number of channels
            return instance(trial, module)
        found_one = Subject(trial, ready(trial, module, C), C)
        if not isinstance(quietly(found_one.module, maps(C, 0)), Tensor):
            why(found_one)
        return found_one
    if inspect.isclass(thing):
        name = thing.__name__
        trial.refuse("not_a_module", f"{name}(...) makes a {kind(module)}, no torch.nn.Module: class {name}(nn.Module)")
    if callable(module) and not inspect.isclass(module):  # a closure: no optimiser finds what it holds
        trial.refuse(
            "weights_not_registered", f"what it makes is a {kind(module)}, not a torch.nn.Module with parameters()"
        )
    return of_weights(trial, thing, int(values.get("channels", 16)), layouts, failed)


def is_maker(thing: Callable[..., Any], values: int) -> bool:
    """Whether the first parameter, by its name, is a number of channels, and no more is needed than makers get."""
    parameters = parameters_of(thing)
    needed = sum(p.default is p.empty and p.kind is not p.VAR_POSITIONAL for p in parameters)
    return bool(parameters) and called(parameters[0], "channels") and needed <= values


def from_maker(trial: Trial, maker: Callable[..., Any], values: Mapping[str, float]) -> tuple[int, Any]:
    """C, and what the maker makes. Where it takes no r, its default needs room: C is 64."""
    C = int(values.get("channels", 16))
    positional, by_name = arguments(maker, values)
    if "reduction" in values and len(positional) + len(by_name) < 2 and not takes_anything(maker):
        C = 4 * C
    if any(called(p, "reduction") and isinstance(p.default, float) and p.default < 1 for p in parameters_of(maker)):
        values = {**values, "reduction": 1 / values.get("reduction", 4)}  # a share of C, 0.25 for r = 4
    return C, build(trial, maker, {**values, "channels": C})


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(quietly(lambda: inspect.signature(function).parameters.values()) or [])


def takes_anything(maker: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in parameters_of(maker))


def of_weights(trial: Trial, function: Callable[..., Any], C: int, layouts: Any, failed: Refused | None) -> Subject:
    """A function: weights are offered in each layout that has as many as it takes."""
    fitting = [shapes for n in numbers(function) for shapes in layouts if len(shapes) == n]
    if not fitting and failed is not None:
        raise failed
    for shapes in fitting:
        for turned in turns(shapes):
            found = Subject(trial, copy_of(trial, OfWeights(function, turned)), C)
            if isinstance(quietly(found.module, maps(C, 0)), Tensor):
                return found
    if not fitting:
        trial.refuse("", f"a class, a module or a function of (F, weights...) is needed; it gave a {kind(function)}")
    return why(Subject(trial, copy_of(trial, OfWeights(function, fitting[0])), C))


def turns(shapes: tuple[Shape, ...]) -> list[tuple[Shape, ...]]:
    """A layout as it is, with matrices transposed, and with matrices as 1x1 convolutions."""
    transposed = tuple(shape[::-1] if len(shape) == 2 else shape for shape in shapes)
    convolutions = tuple((*shape, 1, 1) if len(shape) == 2 else shape for shape in shapes)
    return [shapes, transposed, convolutions]


def numbers(function: Callable[..., Any]) -> list[int]:
    """How many weights it takes: those without a default, then all."""
    parameters = parameters_of(function)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return list(range(1, 8))
    named = len(named_only(function))
    needed = sum(p.default is p.empty for p in positional)
    return [n - 1 for n in range(max(needed + named, 2), len(positional) + named + 1)]


# ---- it does not run: why? -------------------------------------------------------------------------------------------


def why(s: Subject) -> NoReturn:
    """Run it again to see the error, and find out when there is none."""
    C, (H, W) = s.channels, SIZE
    F = maps(C, 0)
    runs = quietly(s.module.float(), F.float())
    again = quietly(s.module, F.float())
    s.module.double()
    if isinstance(runs, Tensor) and isinstance(again, Tensor):
        if not close(runs, again, 1e-5):
            s.trial.refuse("not_deterministic", "two runs with one F give different maps: are layers made in forward?")
        if casts(s.module, F):
            s.trial.refuse(
                "dtype_changed", "all weights and F are float64, your code turns F, or what follows, to float32"
            )
        s.trial.refuse("weights_not_registered", "module.double() does not reach all weights: some stay float32")
    if runs_on(s, (3, C, W, W)):
        s.trial.refuse("square_only", f"maps of {W}x{W} pass; a map of {H}x{W} stops with an error")
    try:
        s(F)
    except Refused as found:
        failed = found
    else:
        s.trial.refuse("not_deterministic", "it stops with an error at some runs, not at others")
    if failed.key == "no_return":
        raise failed
    key, says = error_key(failed.says, C)
    if key:
        raise Refused(key, f"{failed.says}{says}")
    for shape, one in (((3, C, H, C), "the width"), ((3, C, C, W), "the height")):
        if runs_on(s, shape):
            s.trial.refuse("wrong_axes", f"it runs only where {one} is C = {C}, too: {failed.says}")
    if runs_on(s, (C, C, C, C)) or runs_on(s, (3, C, C, C)):
        s.trial.refuse(
            "view_mixup", f"it runs only where batch, height and width are C = {C}, too: an axis is mixed up"
        )
    for size in (7, 8, 14, 16, 28, 32, 56, 64, 224):
        if runs_on(s, (3, C, size, size)):
            s.trial.refuse("fixed_size", f"maps of {size}x{size} pass; maps of {H}x{W} stop: {failed.says}")
    raise failed


def runs_on(s: Subject, shape: Shape) -> bool:
    out = quietly(s.module, torch.ones(shape, dtype=torch.float64))
    return isinstance(out, Tensor) and out.shape == shape


def error_key(says: str, C: int) -> tuple[str, str]:
    """The mistake behind torch's message about shapes, and a word about its numbers; "" if it has another cause."""
    if re.search(rf"expected input\[\d+, {2 * C}, 1, 1\] to have 2 channels", says):
        return "pooled_over_places", f"; F has C = {C} channels: one number for each of them is left, and no place"
    found = re.search(
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)( at .* dimension 1)?", says
    )
    if not found:
        return "", ""
    a, b = sorted(int(n) for n in found.groups()[:2])
    across = C in (a, b) and found.group(3) and a not in SIZE and b not in SIZE  # gates for channels
    counts = f"; {a + b - C} gates for {C} channels"
    if (a, b) == SIZE:
        return "square_only", ""
    if b in SIZE and b != C and b - a in (2, 4, 6, 8):
        return "no_padding", ""
    if across and b == C and b - a in (2, 4, 6, 8):
        return "no_padding", f"{counts}: without padding, a kernel of size k leaves C - k + 1"
    if (a in SIZE or b in SIZE) and b - a == 1 and C not in (a, b):
        return "even_kernel_shift", ""
    if across and b - a == 1:
        return "even_kernel_shift", counts
    return ("wrong_shape" if C in (a, b) else ""), ""


def what_returns(s: Subject, gate_alone: bool, gates: int) -> str:
    """Which of "map" and "gate"; every other shape is refused."""
    F = s.maps()
    B, C, (H, W) = len(F), s.channels, SIZE
    shape = tuple(s(F).shape)
    if shape == tuple(F.shape):
        return "map"
    if shape in ((B, C), (B, C, 1, 1), (B, 1, H, W)):
        if gate_alone:
            s.trial.tried[-1] = f"F of shape {tuple(F.shape)}: {shape} comes back, taken as the gate: out is F times it"
            s.notes.append("it gives the gate: multiply F by it where you use it")
            return "gate"
        s.trial.refuse(
            "returns_the_gate", f"F is {tuple(F.shape)}, what comes back is {shape}: the gate, not F scaled by it"
        )
    if gates > 1 and shape == (B, 1, 1, 1):
        says = f"F is {tuple(F.shape)}, what comes back is {shape}: the spatial gate seems to read a gate, not F'"
        s.trial.refuse("gates_not_applied", says)
    off = {h - n for h, n in zip(shape[2:], SIZE, strict=False)} if len(shape) == 4 else {0}
    grown = off.pop() if len(off) == 1 else 0  # one row and one column more or less: an even kernel
    key = "even_kernel_shift" if abs(grown) == 1 else "no_padding" if grown in (-2, -4, -6, -8) else "wrong_shape"
    return s.trial.refuse(key, f"F is {tuple(F.shape)}, what comes back is {shape}")
