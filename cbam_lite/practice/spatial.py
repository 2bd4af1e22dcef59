"""The judge of the spatial gate, and of the convolution inside it, which CBAM's judge asks, too."""

from collections.abc import Callable, Iterable
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from cbam_lite.practice import windows
from cbam_lite.practice.gates import contract, limits
from cbam_lite.practice.sizes import uses
from cbam_lite.practice.subject import Subject, subject
from cbam_lite.practice.trial import Trial, shake
from cbam_lite.practice.windows import Kernel, Pairs, Reading

VALUES = {"kernel": 7, "channels": 16}
LAYOUTS = (
    ((1, 2, 7, 7),),
    ((1, 2, 7, 7), (1,)),
    ((2, 7, 7),),
    ((2, 7, 7), ()),
    ((1, 1, 7, 7), (1, 1, 7, 7)),
    ((7, 7), (7, 7)),
)
EQUATION = "sigmoid(conv([mean; max])), mean and max over the channels of F"


def spatial_attention(trial: Trial, thing: Any) -> str:
    """CBAM's spatial gate: one k x k convolution of the mean and the maximum over the channels, one sigmoid."""
    s = subject(trial, thing, VALUES, LAYOUTS, gate_alone=True)
    contract(s)
    trial.tries("one gate for each place: R = out / F is the same for all channels, and differs from place to place")
    one_for_all_channels(s)
    trial.tries(f"two draws of weights, three batches each: the gates M_s = out / F are {EQUATION}, to 6 digits")
    for seed in (1, 2):
        shake(s.module, seed)
        found = convolution(s, measured(s), s.parameters().values(), lambda: rows(s))
        if found is None:
            limits(s)
            return trial.refuse("", f"no kernel up to 11x11 gives these gates as {EQUATION}")
        reading, kernel = found
    trial.tries(
        "fresh maps, of other sizes and up to 50 times as large: the gates follow from the kernel that was found"
    )
    fresh = [s.maps(21), s.maps(22, size=(1, 5)), 50 * s.maps(23, size=(16, 4))]
    agree(s, reading, kernel, [(F, s.R(F)[:, :1]) for F in fresh])
    uses(s, thing, VALUES, "kernel", (3,))
    return convention(s, reading, kernel)


def measured(s: Subject) -> Pairs:
    """Maps and gates (B, 1, H, W): usual maps, larger and smaller ones."""
    given = [s.maps(0, batch=4), 5 * s.maps(4, size=(6, 7)), 0.2 * s.maps(5, size=(8, 9))]
    return [(F, s.R(F)[:, :1]) for F in given]


def rows(s: Subject) -> Pairs:
    """Many maps of one row: there a kernel of all C channels has few weights."""
    F = s.maps(31, batch=3 * s.channels, size=(1, 9))
    return [(F, s.R(F)[:, :1])]


def competing(s: Subject, M: Tensor) -> None:
    """Refuse gates (B, C, H, W) whose sum over the places is the same for every map."""
    total = M.sum((2, 3))
    if (total - total[0, 0]).abs().max() < 1e-9:
        says = f"the gates of all places of an image add up to {total[0, 0].item():.3f}, for every F: they compete"
        s.trial.refuse("softmax_over_places", says)


def one_for_all_channels(s: Subject) -> None:
    M = s.R(s.maps(0))
    within = (M.amax((2, 3)) - M.amin((2, 3))).max().item()
    across = (M.amax(1) - M.amin(1)).max().item()
    if within < 1e-9:
        says = f"all places of a channel have the same gate, {M[0, 0, 0, 0].item():.3f} in the first one"
        s.trial.refuse("pooled_over_places", says)
    competing(s, M)
    if across > 1e-9:
        if (M.sum(1) - 1).abs().max() < 1e-9:
            s.trial.refuse("softmax_over_channels", "the gates of all channels at one place add up to 1: they compete")
        says = f"at one place the gates of the {s.channels} channels differ by up to {across:.3f}"
        s.trial.refuse("gate_per_channel", says)


# ---- the convolution, which CBAM has, too ----------------------------------------------------------------------------


def convolution(
    s: Subject, pairs: Pairs, weights: Iterable[Tensor], rows: Callable[[], Pairs]
) -> tuple[Reading, Kernel] | None:
    """The reading and the kernel that explain the gates, if they are right. A known mistake is refused.

    Args:
        pairs: maps that the gate reads, and its gates.
        weights: the student's, to tell an average from a sum and the order of the two maps.
        rows: pairs of many maps of one row, for a convolution of all channels.
    """
    found = explained(pairs, right=True)
    if found is None:
        refuse_known(s, pairs, rows)
        return None
    reading, kernel = found
    mistake = windows.shape_mistake(kernel)
    if mistake is not None:
        s.trial.refuse(*by_weights(mistake, kernel, weights))
    compared(s, reading, kernel, weights)
    return reading, kernel


def explained(pairs: Pairs, right: bool) -> tuple[Reading, Kernel] | None:
    """By a kernel up to 7x7, then up to 11x11."""
    found = windows.first_fit(windows.readings(right), pairs)
    if found is None and right:
        found = windows.first_fit(windows.readings(right), pairs, k=11)
    return found


def refuse_known(s: Subject, pairs: Pairs, rows: Callable[[], Pairs]) -> None:
    """Refuse with a name, if the right convolution with one thing wrong explains the gates."""
    M = pairs[0][1]
    shown = f"the gates of the first image lie between {M[0].min().item():.3f} and {M[0].max().item():.3f}"
    found = explained(pairs, right=False)
    if found is not None:
        s.trial.refuse(found[0].key, f"{shown}; they do not follow from one convolution of [mean; max]")
    pairs = rows()
    for words, inverse, close in windows.RIGHT:
        whole = Reading(words, lambda x: x, inverse, close)
        if windows.fitted(whole, pairs, 7) is not None:
            says = f"{shown}; they follow from a convolution of all {s.channels} channels, not of two maps"
            s.trial.refuse("convolves_the_map", says)


def by_weights(mistake: tuple[str, str], kernel: Kernel, weights: Iterable[Tensor]) -> tuple[str, str]:
    """One descriptor missing, or the other one taken twice? The number of weights tells."""
    key, says = mistake
    if key not in ("average_only", "max_only"):
        return mistake
    only = windows.cut(kernel)[0 if key == "average_only" else 1]
    for pair, _ in stacked(weights, only.shape[-1]):
        if ratio(only, pair.sum(0)) is not None:
            return key.replace("_only", "_twice"), says.replace("only", "twice")
    return mistake


def stacked(weights: Iterable[Tensor], k: int) -> list[tuple[Tensor, bool]]:
    """The student's kernels as (2, k, k): one of two maps (True), or two of one map."""
    weights = [w.detach() for w in weights]
    whole = [w.reshape(2, k, k) for w in weights if w.numel() == 2 * k * k and 2 in w.shape]
    single = [w.reshape(k, k) for w in weights if w.numel() == k * k and w.dim() >= 2]
    return [(w, True) for w in whole] + [(torch.stack(pair), False) for pair in permutations(single, 2)]


def ratio(measured: Tensor, weight: Tensor) -> float | None:
    """c, if the measured kernel is c times the weight."""
    c = ((measured * weight).sum() / (weight * weight).sum().clamp(min=1e-30)).item()
    return c if (measured - c * weight).abs().max() < 1e-6 * (1e-2 + measured.abs().max()) else None


def ratios(kernel: Kernel, weights: Iterable[Tensor]) -> tuple[float, float, str] | None:
    """What the student's kernels of mean and max are multiplied by, and their order; None if they are not found."""
    of_mean, of_max = windows.cut(kernel)
    for pair, one in stacked(weights, of_mean.shape[-1]):
        for mean, most, words in ((0, 1, "[mean; max]"), (1, 0, "[max; mean]")):
            a, b = ratio(of_mean, pair[mean]), ratio(of_max, pair[most])
            if a is not None and b is not None:
                return a, b, words if one else "one kernel for each map"
    return None


def compared(s: Subject, reading: Reading, kernel: Kernel, weights: Iterable[Tensor]) -> None:
    """The measured kernel against the student's weights: a sum in place of the mean, 1 - sigmoid."""
    found = ratios(kernel, weights)
    if found is None:
        return
    a, b, _ = found
    C = s.channels
    if abs(a / b - C) < 1e-3 * C:
        s.trial.refuse("sum_over_channels", f"the kernel of the mean is {C} times your weight: a sum over {C} channels")
    scales = [1.0, *norm_scales(s)]
    if reading.key == windows.TWICE:  # M_c may be twice the sigmoid, too: then F' is twice as large as we took it for
        scales += [2 * c for c in scales]
    if any(abs(b - c) < 1e-3 * abs(c) for c in scales):
        return
    if any(abs(b + c) < 1e-3 * abs(c) for c in scales):
        s.trial.refuse("gate_inverted", "the gates fall where your convolution is large: 1 - sigmoid, or a minus sign")
    if reading.key == windows.HARD and any(abs(b - slope) < 1e-3 for slope in (6.0, 1.2)):  # clamp(z, 0, 1), Keras
        s.trial.refuse("other_gate_function", f"the gate rises by {b / 6:.2g} for each 1 of your convolution")
    alone = [p.item() for p in s.parameters().values() if p.numel() == 1]
    if not norm_scales(s) and all(abs(p * b - kernel.bias.item()) < 1e-6 for p in alone):  # no weight scales it
        s.trial.refuse("logits_scaled", f"the logits are {b:.4g} times your convolution")


def norm_scales(s: Subject) -> list[float]:
    """What a batch norm of one channel may multiply by: gamma / sqrt(variance)."""
    deviations = [(b.item() + 1e-5) ** 0.5 for name, b in s.module.named_buffers() if b.numel() == 1 and "var" in name]
    gammas = [1.0, *(p.item() for p in s.module.parameters() if p.numel() == 1)]
    return [gamma / deviation for gamma in gammas for deviation in deviations]


def agree(s: Subject, reading: Reading, kernel: Kernel, pairs: Pairs) -> None:
    """The proof: fresh gates follow from the measured kernel."""
    for x, M in pairs:
        expected = windows.predicted(reading, kernel, x)
        apart = (expected - M).abs().max().item()
        if not apart < 1e-6 * (1 + M.abs().max().item()):
            s.trial.refuse(
                "", f"gates of fresh maps {tuple(x.shape)} differ from the convolution's by up to {apart:.3g}"
            )


def convention(s: Subject, reading: Reading, kernel: Kernel) -> str:
    """Which of the right variants it is, in words."""
    k = windows.cut(kernel).shape[-1]
    found = ratios(kernel, s.parameters().values())
    order = [found[2]] if found else []
    norm = any(b.numel() == 1 and "var" in name for name, b in s.module.named_buffers())
    bias = "a batch norm after the convolution" if norm else "a bias" if kernel.bias.abs() > 1e-9 else "no bias"
    return "; ".join([f"k = {k}", *order, bias, *([reading.key] if reading.key else []), *s.notes])
