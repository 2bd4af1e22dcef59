"""Attention of ours that a student's block or network is given: it scales by known numbers and remembers what it got.

And `Chain`, which remembers which convolutions, norms and activations led to a map.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Log:
    """What all probes of one trial have seen. Copies of a network share it.

    Attributes:
        made: the channels that `attention` was called with, in order.
        calls: (probe, map) for each call of a probe, in order.
        odd: a probe that was made for other channels than its map has, in words, or "".
        not_made: a call of `attention` with a map in place of a number, in words, or "".
        reply: what a probe gives back in place of the scaled map, or None.
        scaling: whether a probe scales; if not, it is the identity.
        chain, path: while there is a chain, the path is that of the steps to the first map that a probe gets.
    """

    def __init__(self) -> None:
        self.made: list[int] = []
        self.calls: list[tuple[Probe, Tensor]] = []
        self.odd = self.not_made = ""
        self.reply: Tensor | None = None
        self.scaling = True
        self.chain: Chain | None = None
        self.path: list[Step] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Log:
        return self

    def attention(self, *args: Any, **options: Any) -> Probe:
        """What the student calls: channels in, a probe out. Other arguments, a reduction or a start, do not matter."""
        channels = next(iter([*args, *options.values()]), None)
        if not isinstance(channels, int):
            self.not_made = f"attention was called with {type(channels).__name__}, not with a number of channels"
            raise TypeError("attention(channels) takes a number of channels and makes a module; call that with the map")
        self.made.append(channels)
        return Probe(self, channels)


class Probe(nn.Module):
    """Scales each channel by a number of its own, between 0.5 and 1.5, which differs from probe to probe."""

    def __init__(self, log: Log, channels: int) -> None:
        super().__init__()
        self.log, self.channels, self.number = log, channels, len(log.made)
        self.scale = nn.Parameter(scales(channels, self.number).to(torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        if self.log.chain is not None and not self.log.calls:
            self.log.path = self.log.chain.before(x)
        self.log.calls.append((self, x.detach().clone()))
        if x.dim() < 2 or x.shape[1] != self.channels:
            self.log.odd = self.log.odd or f"attention({self.channels}) got a map of shape {tuple(x.shape)}"
            return x * 1.0
        if self.log.reply is not None and self.log.reply.shape == x.shape:
            return self.log.reply.clone()
        return x * self.scale.to(x.dtype) if self.log.scaling else x + 0.0 * self.scale.to(x.dtype)


def scales(channels: int, number: int) -> Tensor:
    """(1, C, 1, 1): the numbers of the probe that was made as the `number`-th."""
    return (0.5 + (torch.arange(channels) * 0.37 + number * 0.61) % 1).view(1, -1, 1, 1)


# ---- which steps led to a map ----------------------------------------------------------------------------------------

OTHERS = "gelu silu elu celu selu leaky_relu rrelu relu6 prelu tanh sigmoid hardswish hardtanh mish softplus logsigmoid"
RELUS = "relu clamp clamp_min threshold maximum gt ge __gt__ __ge__ abs"


def kind(name: str) -> str:
    """The kind of a step of PyTorch: "conv", "norm", "act" (a ReLU), "other" (another activation) or "" (the rest)."""
    if name.startswith("conv"):
        return "conv"
    if name.endswith(("batch_norm", "group_norm", "layer_norm", "instance_norm")):
        return "norm"
    name = name.removesuffix("_") if not name.endswith("__") else name
    return "act" if name in RELUS.split() else "other" if name in OTHERS.split() else ""


def tensors_in(values: list[Any]) -> list[Tensor]:
    """The tensors of a list, and those of the lists in it."""
    flat = [inner for value in values for inner in (value if isinstance(value, list | tuple) else [value])]
    return [value for value in flat if isinstance(value, Tensor)]


class Step:
    """One step: its kind, what it came from, and the weights of a convolution or norm."""

    def __init__(self, kind: str, parents: list[Step], weight: Tensor | None) -> None:
        self.kind, self.parents, self.weight = kind, parents, weight


class Chain(TorchFunctionMode):
    """Inside, every step of PyTorch is remembered, wherever it is written: in a module, a function or an operator."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.alive: list[Any] = [x]  # an id belongs to one tensor only as long as that lives
        self.steps = {id(x): Step("x", [], None)}
        self.weighted: list[Step] = []  # all convolutions and norms, whatever they lead to

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = tensors_in([*args, *(kwargs or {}).values()])
        parents = [self.steps[id(t)] for t in tensors if id(t) in self.steps]
        name = kind(getattr(func, "__name__", ""))
        made = tensors_in([out])
        if parents and made:
            weights = [t for t in tensors[1:] if name and isinstance(t, nn.Parameter)] or tensors[1:2]
            step = Step(name, parents, weights[0] if weights else None)
            self.steps |= {id(t): step for t in made}
            self.weighted += [step] if name in ("conv", "norm") else []
        self.alive.append((out, args))
        return out

    def before(self, y: Tensor) -> list[Step]:
        """The steps from x to y, in order. Where ways join, along the first; h * (h > 0) is a ReLU on the second."""
        path: list[Step] = []
        step = self.steps.get(id(y))
        while step is not None:
            if step.kind not in ("", "x"):
                path.append(step)
            elif len(step.parents) > 1:
                first = ancestors(step.parents[0])
                beside = [s for parent in step.parents[1:] for s in ancestors(parent) if s not in first]
                path += [s for s in beside if s.kind == "act"][:1]
            step = step.parents[0] if step.parents else None
        return path[::-1]


def ancestors(step: Step) -> list[Step]:
    """The step and all that it came from."""
    found, todo = [step], [step]
    while todo:
        new = [parent for parent in todo.pop().parents if parent not in found]
        found += new
        todo += new
    return found
