"""Which of a module's weights is which of the paper's? By shape: every assignment that fits is tried.

A layer may be a Linear, a 1x1 convolution or a matrix of either orientation, in any order and under any name. So a
formula of the paper is computed with the student's weights in every order and orientation that fits; the one whose
result agrees is the right one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from torch import Tensor

from cbam_lite.practice.subject import close

Weights = dict[str, Tensor]
Pattern = Mapping[str, tuple[int | str, ...]]  # {"W_0": ("h", "C"), "b_0?": ("h",)}; "?" may be missing
MOST = 96  # assignments of one formula


class Formula(NamedTuple):
    """A formula under a name: what it needs, and the gates R (B, C, ...) that it gives for F (B, C, H, W)."""

    key: str
    needs: Pattern
    gates: Callable[[Tensor, Weights], Tensor]


def views(parameter: Tensor) -> list[Tensor]:
    """The parameter as it is, without its axes of size 1, and its matrix transposed.

    (4, 16, 1, 1) gives (4, 16, 1, 1), (4, 16, 1), (4, 16) and (16, 4).
    """
    parameter = parameter.detach()
    found = [parameter]
    while found[-1].dim() > 1 and found[-1].shape[-1] == 1:
        found.append(found[-1][..., 0])
    start = found[-1]
    while start.dim() > 1 and start.shape[0] == 1:
        start = start[0]
        found.append(start)
    found.append(parameter.squeeze())
    turned = [view.T for view in found if view.dim() == 2]
    distinct = {(view.shape, view.stride()): view for view in [*found, *turned]}
    return list(distinct.values())


def fits(shape: Iterable[int], pattern: tuple[int | str, ...], sizes: Mapping[str, int]) -> dict[str, int] | None:
    """The sizes of the letters, if the shape is this pattern; else None. (4, 16) is ("h", "C") for C = 16, h = 4."""
    shape, sizes = tuple(shape), dict(sizes)
    if len(shape) != len(pattern):
        return None
    for n, letter in zip(shape, pattern, strict=True):
        wanted = letter if isinstance(letter, int) else sizes.setdefault(letter, n)
        if wanted != n:
            return None
    return sizes


def assignments(parameters: Iterable[Tensor], needs: Pattern, **sizes: int) -> Iterator[Weights]:
    """Every way to give each of the parameters one of the names; none is left over, none is used twice.

    Args:
        parameters: of the module, those that are used.
        needs: the names and their shapes in letters; a name with "?" may be missing.
        sizes: of letters that are known: C=16.

    Example:
        >>> import torch
        >>> W_0, W_1 = torch.ones(4, 16), torch.ones(4, 16)  # both (4, 16): one of them is transposed
        >>> ways = assignments([W_0, W_1], {"W_0": ("h", "C"), "W_1": ("C", "h")}, C=16)
        >>> [way["W_1"].shape for way in ways]
        [torch.Size([16, 4]), torch.Size([16, 4])]
    """
    yield from islice(ways([views(p) for p in parameters], list(needs.items()), dict(sizes)), MOST)


def ways(
    left: list[list[Tensor]], names: list[tuple[str, tuple[int | str, ...]]], sizes: dict[str, int]
) -> Iterator[Weights]:
    if not names:
        if not left:
            yield {}
        return
    needed = sum(not name.endswith("?") for name, _ in names)
    if not needed <= len(left) <= len(names):
        return
    (name, pattern), rest = names[0], names[1:]
    for n, candidates in enumerate(left):
        for view in candidates:
            known = fits(view.shape, pattern, sizes)
            if known is not None:
                for way in ways(left[:n] + left[n + 1 :], rest, known):
                    yield {name.removesuffix("?"): view, **way}
    if name.endswith("?"):
        yield from ways(left, rest, sizes)


def matching(
    formulas: Iterable[Formula],
    parameters: Iterable[Tensor],
    pairs: list[tuple[Tensor, Tensor]],
    tolerance: float = 1e-6,
    **sizes: int,
) -> tuple[Formula, Weights] | None:
    """The first formula that gives R for every pair (F, R), and the weights with which it does; None if none does."""
    parameters, found = list(parameters), {}
    for formula in formulas:
        key = tuple(formula.needs.items())
        if key not in found:
            found[key] = list(assignments(parameters, formula.needs, **sizes))
        for way in found[key]:
            if all(agrees(formula, way, F, R, tolerance) for F, R in pairs):
                return formula, way
    return None


def agrees(formula: Formula, way: Weights, F: Tensor, R: Tensor, tolerance: float) -> bool:
    """Whether the formula with these weights gives R for F."""
    gates = formula.gates(F, way)
    return gates.dim() == R.dim() and close(gates.expand_as(R) if broadcasts(gates, R) else gates, R, tolerance)


def broadcasts(gates: Tensor, R: Tensor) -> bool:
    return all(n in (1, m) for n, m in zip(gates.shape, R.shape, strict=True))
