"""The judge of ECA: the weights of its convolution are read off the gates."""

from typing import Any

import torch
import torch.nn.functional as fn
from torch import Tensor

from cbam_lite.practice import formulas
from cbam_lite.practice.gates import contract, limits
from cbam_lite.practice.sizes import uses
from cbam_lite.practice.structure import INVERSES, structure, three
from cbam_lite.practice.subject import Subject, close, subject
from cbam_lite.practice.trial import Trial, shake

VALUES = {"channels": 16, "kernel": 3}
ECA_LAYOUTS = (((1, 1, 3),), ((3,),), ((1, 3),), ((1, 1, 3, 1),), ((1, 1, 1, 3),), ((1, 1, 3), (1,)), ((3,), (1,)))


def eca(trial: Trial, thing: Any) -> str:
    """ECA: one gate for each channel, from a short 1-D convolution across the averages of neighbouring channels."""
    s = subject(trial, thing, VALUES, ECA_LAYOUTS)
    contract(s)
    structure(s)
    limits(s)
    C = s.channels
    s.trial.tries(f"logit(M_c) is a linear function of the {C} averages of F, in two draws of weights")
    for seed in (1, 2):
        shake(s.module, seed)
        words, T, bias = linear(s)
    s.trial.tries("each gate reads its own channel and the same number on both sides, with one kernel, zeros outside")
    k = band(s, T)
    fresh(s, words, T, bias)
    sign(s, T, k)
    uses(s, thing, VALUES, "kernel", (5, 7))
    size = f"k = {k}"
    with_bias = ["with a bias, which the paper has not"] if bias.abs().max() > 1e-6 else []
    return "; ".join([size, *with_bias, *([words] if words else []), *s.notes])


def small_maps(s: Subject, seed: int) -> Tensor:
    """Many maps (4C, C, 3, 5) whose logits stay small, so that the inverse of the gate is exact."""
    return 0.5 * s.maps(seed, batch=4 * s.channels, size=(3, 5))


def linear(s: Subject) -> tuple[str, Tensor, Tensor]:
    """The gate function's words, T (C, C) and t (C,) with logit(M_c) = T a + t for the averages a; else a refusal."""
    F = small_maps(s, 11)
    M = s.R(F)[:, :, 0, 0]
    for words, (high, inverse) in INVERSES.items():
        inner = (M > 1e-9) & (M < high - 1e-9)
        rows = inner.all(1)
        if high < 2 and (M > 1 + 1e-9).any():
            continue
        if rows.sum() > 2 * s.channels and (fit := solved(formulas.avg(F[rows]), inverse(M[rows]))) is not None:
            return words, *fit
    return not_linear(s, F, M)


def solved(d: Tensor, logits: Tensor) -> tuple[Tensor, Tensor] | None:
    """T and t with logits = T d + t by least squares, or None if that is not exact. d: (B, D, 1, 1), logits: (B, C)."""
    d = torch.cat([d.flatten(1), d.new_ones(len(d), 1)], 1)
    if len(d) < d.shape[1] + 4 or not logits.isfinite().all():
        return None
    T = torch.linalg.lstsq(d, logits).solution
    return (T[:-1].T, T[-1]) if close(d @ T, logits, 1e-7) else None


def not_linear(s: Subject, F: Tensor, M: Tensor) -> tuple[str, Tensor, Tensor]:
    logits = torch.logit(M.clamp(1e-12, 1 - 1e-12))
    pools = {"max_for_average": formulas.most, "min_for_max": formulas.least}
    for key, pool in pools.items():
        if solved(pool(F), logits) is not None:
            s.trial.refuse(key, "logit(M_c) is linear in another descriptor than the averages of F")
    both = torch.cat([formulas.avg(F), formulas.most(F)], 1)
    if solved(both, logits) is not None:
        s.trial.refuse(
            "maximum_added", "logit(M_c) is linear in the averages and the maxima of F; ECA reads averages only"
        )
    for key, _ in formulas.CLOSINGS[5:]:
        if key == "gate_squared" and solved(formulas.avg(F), torch.logit(M.sqrt())) is not None:
            s.trial.refuse(key, "the gate is the square of a sigmoid: F is scaled twice")
    flat = formulas.avg(F).expand_as(F)
    if close(s.R(flat)[:, :, 0, 0], M, 1e-9):
        return s.trial.refuse("hidden_layer", "logit(M_c) is a function of the averages of F, but not a linear one")
    return s.trial.refuse("other_pool", "M_c changes although the averages of F stay as they are")


def band(s: Subject, T: Tensor) -> int:
    """k of the band matrix T of a convolution with zeros outside; any other matrix is refused."""
    C = len(T)
    used = T.abs() > 1e-7
    offsets = [o for o in range(-C + 1, C) if used.diagonal(o).any()]
    low, high = min(offsets, default=0), max(offsets, default=0)
    shown = f"channel {C // 2} reads the channels {(used[C // 2].nonzero().flatten()).tolist()}"
    if used.double().mean() > 0.9:
        s.trial.refuse("wrong_axis", f"{shown}: all of them; ECA's convolution runs along the channels")
    if high >= C - 3 or low <= -C + 3:
        if not used.flip(0).triu(C // 2).any() and not used.flip(0).tril(-(C // 2)).any():
            s.trial.refuse("channels_permuted", f"channel 0 reads the channels {used[0].nonzero().flatten().tolist()}")
        s.trial.refuse("circular_padding", f"channel 0 reads the channels {used[0].nonzero().flatten().tolist()}")
    uneven = max((T.diagonal(o).max() - T.diagonal(o).min()).item() for o in range(low, high + 1))
    inner = T[high - low : C - (high - low), :]
    same = all(
        close(inner.diagonal(o + high - low), inner.diagonal(o + high - low)[:1].expand(len(inner)), 1e-7)
        for o in offsets
    )
    if uneven > 1e-7:
        key = "edge_padding" if same and len(inner) > 2 else "per_channel_kernels"
        s.trial.refuse(key, f"{shown}; the weights of one offset differ by up to {uneven:.3f} from channel to channel")
    if low == high == 0:
        s.trial.refuse("kernel_of_size_1", f"{shown} only: k is 1, channels do not interact")
    if len(offsets) < high - low + 1:
        s.trial.refuse("dilated_kernel", f"{shown}: those between are left out")
    if -low != high:
        s.trial.refuse("even_kernel_shift", f"{shown}: {-low} before it and {high} after it")
    return high - low + 1


def fresh(s: Subject, words: str, T: Tensor, t: Tensor) -> None:
    """The proof: gates of fresh maps, large ones among them, follow from T and t."""
    s.trial.tries("fresh maps, up to 50 times as large: the gates follow from the convolution that was found")
    for F in (s.maps(21), 50 * s.maps(22)):
        z = formulas.avg(F)[:, :, 0, 0] @ T.T + t
        expected = formulas.RIGHT_CLOSINGS[words](z)
        M = s.R(F)[:, :, 0, 0]
        if not close(M, expected, 1e-6):
            apart = (M - expected).abs().max().item()
            s.trial.refuse(
                "other_gate_function", f"for large F the gates differ from the sigmoid's by up to {apart:.3f}"
            )


def sign(s: Subject, T: Tensor, k: int) -> None:
    """The kernel that was found against the module's own weight."""
    row = T[k, : 2 * k + 1]
    found = row[row.abs() > 1e-7]
    for weight in s.parameters().values():
        if (
            weight.numel() == k == len(found)
            and close(found, -weight.flatten(), 1e-6)
            and not close(fn.relu(found), found)
        ):
            s.trial.refuse(
                "gate_inverted",
                f"the gate is 1 - sigmoid: its kernel is {three(found)}, your weight {three(weight.flatten())}",
            )
