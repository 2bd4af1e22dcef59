"""The MLP of a channel gate, measured from outside: for weights that no shape tells apart (packed, normalised, shared).

With constant maps the averages a are what we choose, and logit(M_c) is W_1 relu(W_0 a + b_0) + b_1: linear between
kinks. At each kink one hidden unit k wakes up, and the Jacobian changes by the rank-one matrix u v of its two weights.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from cbam_lite.practice.subject import Subject, close
from cbam_lite.practice.weights import Weights

Logits = Callable[[Tensor], Tensor]  # (n, C) averages -> (n, C) logits
Unit = tuple[Tensor, Tensor, Tensor]  # v (C,), c (): where v a + c = 0 the Jacobian changes by u v; u (C,)
POINTS, LINES, STEP = 241, 12, 1e-5
LARGEST = 14.0  # of the logits that are measured: closer to 0 or 1 a gate says too little about them


def logits_of(s: Subject, inverse: Callable[[Tensor], Tensor]) -> Logits:
    """logit(M_c) as a function of the averages, on constant maps."""
    return lambda a: inverse(s.R(a[:, :, None, None].expand(-1, -1, 3, 5))[:, :, 0, 0])


def mlp_of(s: Subject, inverse: Callable[[Tensor], Tensor]) -> Weights | None:
    """W_0 (h, C), b_0, W_1 (C, h), b_1 of an MLP that gives these logits for all constant maps; None if none does."""
    g = torch.Generator().manual_seed(3)
    C, logits = s.channels, logits_of(s, inverse)
    units: list[Unit] = []
    fresh = torch.randn(60, C, generator=g, dtype=torch.float64) * torch.tensor([1.0, 4.0, 16.0]).repeat(20)[:, None]
    there = logits(fresh)
    said = there.abs() < LARGEST
    for n in range(LINES):
        start, along = torch.randn(2, C, generator=g, dtype=torch.float64)
        kinks = kinks_on(logits, start, along, reach=(5.0, 25.0)[n % 2])
        if kinks is None:
            return None
        units += [unit for unit in kinks if not any(same_unit(unit, other) for other in units)]
        found = assembled(logits, units, start)
        if found is not None and close(mlp(fresh, found)[said], there[said], 1e-5):
            return found
    return None


def mlp(a: Tensor, w: Weights) -> Tensor:
    """(n, C) averages -> (n, C) logits."""
    return (a @ w["W_0"].T + w["b_0"]).relu() @ w["W_1"].T + w["b_1"]


def kinks_on(logits: Logits, start: Tensor, along: Tensor, reach: float = 5.0) -> list[Unit] | None:
    """The hidden units that wake or fall silent along a line; None if the logits are bent elsewhere, too."""
    t, z = torch.zeros(0), torch.full((), torch.inf)
    while not z.abs().max() < LARGEST and reach > 0.1:  # a shorter line where the logits are too large
        t = torch.linspace(-reach, reach, POINTS, dtype=torch.float64)
        z = logits(start + t[:, None] * along)  # (n, C)
        reach /= 2
    if not z.abs().max() < LARGEST:
        return None
    bent = torch.zeros(POINTS, dtype=torch.bool)
    bent[1:-1] = (z[2:] - 2 * z[1:-1] + z[:-2]).abs().amax(1) > 1e-7
    if bent.double().mean() > 0.6:
        return None
    found = []
    for i in range(2, POINTS - 4):
        if bent[i : i + 2].all() and not bent[i - 1] and not bent[i + 2]:  # one kink, between t[i] and t[i + 1]
            before = jacobian(logits, start + (t[i - 1] + t[i]) / 2 * along)
            after = jacobian(logits, start + (t[i + 1] + t[i + 2]) / 2 * along)
            left, right = z[i] - z[i - 1], z[i + 2] - z[i + 1]
            c = (right - left).abs().argmax()  # z[i] + x left = z[i + 1] - (1 - x) right
            x = (z[i + 1, c] - z[i, c] - right[c]) / (left[c] - right[c])
            found += unit_of(after - before, start + (t[i] + x * (t[1] - t[0])) * along, along)
    return found


def jacobian(logits: Logits, a: Tensor) -> Tensor:
    """The derivative (C, C) of the logits by the averages: row by output, column by input."""
    z = logits(torch.cat([a[None], a + STEP * torch.eye(len(a), dtype=a.dtype)]))
    return (z[1:] - z[0]).T / STEP


def unit_of(change: Tensor, at: Tensor, along: Tensor) -> list[Unit]:
    """The unit behind a change of the Jacobian, if that has rank one: else there were two kinks at once."""
    U, S, V = torch.linalg.svd(change)
    if S[1] > 1e-5 * S[0]:
        return []
    sign = torch.sign(V[0] @ along)  # v a grows along the line
    return [(sign * V[0], -sign * (V[0] @ at), sign * S[0] * U[:, 0])]


def same_unit(one: Unit, other: Unit) -> bool:
    sign = torch.sign(one[0] @ other[0])
    return close(one[0], sign * other[0], 1e-4) and close(one[1], sign * other[1], 1e-4)


def assembled(logits: Logits, units: list[Unit], a: Tensor) -> Weights | None:
    """The weights from the units: each is awake on one side of its kink; the Jacobian at a must say on which."""
    if not units:
        return None
    V, c, U = (torch.stack(parts) for parts in zip(*units, strict=True))  # (h, C), (h,), (h, C)
    products = torch.einsum("ho,hi->hoi", U, V).flatten(1)  # the change of the Jacobian at each kink
    awake = (a @ V.T + c > 0).double()
    left = (jacobian(logits, a).flatten() - awake @ products)[:, None]
    turned = torch.linalg.lstsq(products.T, left).solution[:, 0]  # 0, or -1: this unit is awake on the other side
    if not close(turned, turned.round().clamp(-1, 0), 1e-4):
        return None
    sign = 1 + 2 * turned.round()
    weights = {"W_0": sign[:, None] * V, "b_0": sign * c, "W_1": U.T, "b_1": torch.zeros_like(a)}
    weights["b_1"] = (logits(a[None]) - mlp(a[None], weights))[0]
    return weights
