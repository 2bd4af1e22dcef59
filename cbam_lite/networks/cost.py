"""What a network costs: parameters, multiply-adds, and how many numbers it moves to and from memory.

Multiply-adds are what papers print as "FLOPs": one for each product in a convolution, a linear layer or a matrix
product; biases, norms, activations and pools count nothing. Moved numbers are what those others cost.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cbam_lite.checks import a_module, positive_int

aten = torch.ops.aten


def of_convolution(args: Any, out: Tensor) -> int:
    """Each output is the sum over one kernel; transposed, each input is spread over one kernel."""
    x, weight, transposed = args[0], args[1], args[6]
    return (x if transposed else out).numel() * weight[0].numel()


# operation -> multiply-adds, from its arguments and its output; "addmm" is also "addmm_", which works in place
MULTIPLY_ADDS: dict[str, Callable[[Any, Tensor], int]] = {
    "convolution": of_convolution,
    "dot": lambda args, out: args[0].numel(),
    "mv": lambda args, out: args[0].numel(),
    "addmv": lambda args, out: args[1].numel(),
    "mm": lambda args, out: out.numel() * args[0].shape[1],
    "addmm": lambda args, out: out.numel() * args[1].shape[1],
    "bmm": lambda args, out: out.numel() * args[0].shape[2],
    "baddbmm": lambda args, out: out.numel() * args[1].shape[2],
    "addbmm": lambda args, out: args[1].numel() * args[2].shape[2],
}
FREE = {aten.detach, aten.empty, aten.empty_strided}  # besides views: nothing is read or written


@dataclass
class Row:
    """One module, without the modules inside it."""

    name: str
    kind: str
    parameters: int
    output: tuple[int, ...] = ()
    multiply_adds: int = 0
    moved: int = 0


@dataclass
class Cost:
    """The rows of all modules that do something, in the order in which they first ran, and their sums.

    Example:
        >>> counted = cost(resnet50(CBAM.official))
        >>> counted.of("attention").parameters
        2532592
    """

    rows: list[Row] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.rows)

    @property
    def moved(self) -> int:
        """Numbers read and written, weights included."""
        return sum(row.moved for row in self.rows)

    def of(self, part: str) -> "Cost":
        """The cost of the modules whose name holds `part`: "attention", "layer1." ..."""
        return Cost([row for row in self.rows if part in row.name])

    def __str__(self) -> str:
        sums = Row("together", "", self.parameters, (), self.multiply_adds, self.moved)
        cells = [("module", "kind", "output", "parameters", "multiply-adds", "moved")]
        for row in [*self.rows, sums]:
            size = " x ".join(map(str, row.output))
            cells.append((row.name, row.kind, size, f"{row.parameters:,}", f"{row.multiply_adds:,}", f"{row.moved:,}"))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in cells
        )


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation that PyTorch runs, and books it to the module that is running."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running: list[Row] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        operation = func.overloadpacket
        row = self.running[-1]
        name = operation.__name__.removesuffix("_")
        if name in MULTIPLY_ADDS:
            row.multiply_adds += MULTIPLY_ADDS[name](args, out)
        if not func.is_view and operation not in FREE:
            row.moved += numbers(tree_leaves(args)) + numbers(tree_leaves(out))
        return out


def numbers(leaves: Iterable[Any]) -> int:
    return sum(leaf.numel() for leaf in leaves if isinstance(leaf, Tensor))


def cost(model: nn.Module, input_size: tuple[int, ...] = (3, 224, 224)) -> Cost:
    """Count one forward pass of one image in evaluation mode. Nothing is computed, so large networks take no time.

    Args:
        model: any network whose forward pass takes one tensor; it is left as it is.
        input_size: of one image, without the batch dimension.

    Returns:
        A `Cost`; print it for a table of every module, or ask for its sums.

    Raises:
        ValueError: the model does not take an image of this size.
        TypeError: the model is no module, or the size is not made of whole numbers.

    Example:
        >>> cost(resnet50(CBAM.official)).multiply_adds / 1e9
        4.09557311
    """
    if not isinstance(input_size, tuple | list):
        raise TypeError(f"input_size={input_size!r:.60} must be a tuple such as (3, 224, 224)")
    for size in input_size:
        positive_int("each number of input_size", size)
    shadow = copy.deepcopy(a_module("model", model)).to("meta").eval()
    counter = Counter()
    rows: dict[str, Row] = {}
    handles = []
    seen: set[int] = set()
    for (name, module), original in zip(shadow.named_modules(), model.modules(), strict=True):
        own = [p for p in original.parameters(recurse=False) if id(p) not in seen]  # the shadow unties tied weights
        seen.update(map(id, own))
        row = Row(name or type(model).__name__, type(module).__name__, sum(p.numel() for p in own))
        rows[name] = row
        handles.append(module.register_forward_pre_hook(lambda _m, _i, row=row: counter.running.append(row)))
        handles.append(module.register_forward_hook(lambda _m, _i, out, row=row: leave(counter, row, out)))
    weight = next((p for p in shadow.parameters() if p.is_floating_point()), torch.empty(0))
    image = torch.empty(1, *input_size, device="meta", dtype=weight.dtype)
    try:
        with torch.no_grad(), counter:
            shadow(image)
    except RuntimeError as error:
        raise ValueError(f"{type(model).__name__} does not take input_size={input_size}: {error}") from error
    return Cost([row for row in rows.values() if row.parameters or row.moved])


def leave(counter: Counter, row: Row, out: Any) -> None:
    counter.running.pop()
    row.output = tuple(out.shape[1:]) if isinstance(out, Tensor) else ()
