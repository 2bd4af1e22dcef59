"""What a Grad-CAM map may be instead: about fifty wrong maps beside the right one, and which of them a map is.

A map is compared up to a positive factor per image, because a sum for a mean, or a division by the maximum, is the same
picture. Where each map goes from 0 to 1 exactly, an offset per image is free, too.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cbam_lite.practice.trial import Refused

Method = Callable[[Tensor, Tensor], Tensor]  # A and G, both (B, C, h, w) -> (B, h, w)


# ---- of activations and gradients ------------------------------------------------------------------------------------


def mean(x: Tensor) -> Tensor:
    """Over places: (B, C, h, w) -> (B, C, 1, 1)"""
    return x.mean((2, 3), keepdim=True)


def grad_cam(A: Tensor, G: Tensor) -> Tensor:
    return (mean(G) * A).sum(1)


def ranged_weights(A: Tensor, G: Tensor) -> Tensor:
    w = mean(G)
    low, high = w.amin(1, keepdim=True), w.amax(1, keepdim=True)
    return ((w - low) / (high - low) * A).sum(1)


def strongest_channel(A: Tensor, G: Tensor) -> Tensor:
    best = mean(G).argmax(1, keepdim=True).expand(-1, 1, *A.shape[2:])
    return A.gather(1, best)[:, 0]


def plus_plus(A: Tensor, G: Tensor) -> Tensor:
    alpha = G**2 / (2 * G**2 + A.sum((2, 3), keepdim=True) * G**3 + 1e-6)
    return ((alpha * G.relu()).sum((2, 3), keepdim=True) * A).sum(1)


def xgrad(A: Tensor, G: Tensor) -> Tensor:
    return ((G * A).sum((2, 3), keepdim=True) / A.sum((2, 3), keepdim=True) * A).sum(1)


METHODS: list[tuple[str, Method]] = [
    ("no_mean_of_gradients", lambda A, G: (G * A).sum(1)),
    ("layer_cam", lambda A, G: (G.relu() * A).sum(1)),
    ("layer_cam", lambda A, G: (G.relu() * A.relu()).sum(1)),
    ("relu_before_sum", lambda A, G: (mean(G) * A).relu().sum(1)),
    ("relu_before_sum", lambda A, G: (G * A).relu().sum(1)),
    ("relu_on_weights", lambda A, G: (mean(G).relu() * A).sum(1)),
    ("relu_on_gradients", lambda A, G: (mean(G.relu()) * A).sum(1)),
    ("relu_on_gradients", lambda A, G: (mean(G.relu() * (A > 0)) * A).sum(1)),
    ("relu_on_activations", lambda A, G: (mean(G) * A.relu()).sum(1)),
    ("relu_on_activations", lambda A, G: (mean(G).relu() * A.relu()).sum(1)),
    ("relu_on_activations", lambda A, G: (mean(G.relu()) * A.relu()).sum(1)),
    ("activations_only", lambda A, G: A.sum(1)),
    ("activations_only", lambda A, G: A.abs().sum(1)),
    ("activations_only", lambda A, G: A.relu().sum(1)),
    ("activations_only", lambda A, G: A.amax(1)),
    ("activations_only", lambda A, G: (A**2).sum(1)),
    ("gradients_only", lambda A, G: G.sum(1)),
    ("gradients_only", lambda A, G: G.abs().sum(1)),
    ("gradients_only", lambda A, G: G.relu().sum(1)),
    ("gradients_only", lambda A, G: G.amax(1)),
    ("gradients_only", lambda A, G: G.abs().amax(1)),
    ("gradients_only", lambda A, G: (G**2).sum(1)),
    ("gradients_only", lambda A, G: (mean(G) * G).sum(1)),
    ("arguments_swapped", lambda A, G: (mean(A) * G).sum(1)),
    ("absolute_weights", lambda A, G: (mean(G).abs() * A).sum(1)),
    ("absolute_weights", lambda A, G: (mean(G.abs()) * A).sum(1)),
    ("absolute_weights", lambda A, G: (mean(G) ** 2 * A).sum(1)),
    ("absolute_weights", lambda A, G: (mean(G**2) * A).sum(1)),
    ("absolute_value", lambda A, G: (mean(G) * A).abs().sum(1)),
    ("absolute_value", lambda A, G: (mean(G) * A.abs()).sum(1)),
    ("max_for_mean", lambda A, G: (G.amax((2, 3), keepdim=True) * A).sum(1)),
    ("max_over_channels", lambda A, G: (mean(G) * A).amax(1)),
    ("one_channel", strongest_channel),
    ("one_channel", lambda A, G: (mean(G) * A)[:, 0]),
    ("one_channel", lambda A, G: (mean(G) * A)[:, -1]),
    ("weights_normalised", lambda A, G: (mean(G).softmax(1) * A).sum(1)),
    ("weights_normalised", ranged_weights),
    ("weights_normalised", lambda A, G: (mean(G).sigmoid() * A).sum(1)),
    ("weights_normalised", lambda A, G: (mean(G).sign() * A).sum(1)),
    ("mean_over_batch", lambda A, G: (G.mean((0, 2, 3), keepdim=True) * A).sum(1)),
    ("mean_over_batch", lambda A, G: (mean(G) * A).sum(1).mean(0, keepdim=True).expand(len(A), -1, -1)),
    ("mean_over_batch", lambda A, G: (mean(G) * A.mean(0, keepdim=True)).sum(1)),
    ("first_image_only", lambda A, G: (mean(G)[:1] * A).sum(1)),
    ("first_image_only", lambda A, G: (mean(G) * A[:1]).sum(1)),
    ("first_image_only", lambda A, G: (mean(G) * A).sum(1)[:1].expand(len(A), -1, -1)),
    ("wrong_axes", lambda A, G: (G.mean(1, keepdim=True) * A).sum(1)),
    ("wrong_axes", lambda A, G: (G.mean(2, keepdim=True) * A).sum(1)),
    ("wrong_axes", lambda A, G: (G.mean(3, keepdim=True) * A).sum(1)),
    ("wrong_axes", lambda A, G: (G.mean((1, 2), keepdim=True) * A).sum(1)),
    ("wrong_axes", lambda A, G: (G.mean((1, 3), keepdim=True) * A).sum(1)),
    ("wrong_axes", lambda A, G: (G.mean((1, 2, 3), keepdim=True) * A).sum(1)),
    ("grad_cam_plus_plus", plus_plus),
    ("grad_cam_plus_plus", lambda A, G: (mean(G**3) * A).sum(1)),
    ("xgrad_cam", xgrad),
    ("xgrad_cam", lambda A, G: (mean(G * A) * A).sum(1)),
    ("not_centred", lambda A, G: (mean(G) * (A - mean(A))).sum(1)),
    ("weights_not_used", lambda A, G: mean(G).sum(1).expand(-1, *A.shape[2:])),
]


# ---- what came back --------------------------------------------------------------------------------------------------


def as_tensor(value: Any) -> Tensor:
    """The map or maps that came back, float64; the first of several things, the only one of a dictionary."""
    if value is None:
        raise Refused("unfilled", "there is nothing to check yet: None came back; is a return missing?")
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, tuple) and value:
        value = value[0]
    try:
        if isinstance(value, list) and any(isinstance(v, Tensor) for v in value):
            value = torch.stack([torch.as_tensor(v) for v in value])
        found = value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        return found.double()
    except (TypeError, ValueError, RuntimeError):
        raise Refused("wrong_shape", f"{type(value).__name__} came back, not a map") from None


def as_maps(value: Any, B: int) -> Tensor:
    """(B, h, w), from that, (B, 1, h, w) or (h, w); otherwise what came back as it is."""
    found = as_tensor(value)
    if found.dim() == 4 and found.shape[1] == 1:
        found = found[:, 0]
    if found.dim() == 4 and found.shape[3] == 1:
        found = found[..., 0]
    if found.dim() == 3 and found.shape[2] == 1 and B == 1:
        found = found[..., 0]
    return found[None] if found.dim() == 2 and B == 1 else found


# ---- which of them is it? --------------------------------------------------------------------------------------------

# What may be done to a map in the end: the first two are right.
FINISHES: dict[str, Callable[[Tensor], Tensor]] = {
    "signed": lambda L: L,
    "relu": torch.relu,
    "sign_flipped": torch.neg,
    "sign_flipped, relu": lambda L: (-L).relu(),
    "absolute_value": torch.abs,
}


class Fit(NamedTuple):
    finish: str
    ranged: bool  # each map goes from 0 to 1
    factors: Tensor  # (B,), NaN for maps of zeros


def span(m: Tensor) -> tuple[Tensor, Tensor]:
    return m.amin((1, 2), keepdim=True), m.amax((1, 2), keepdim=True)


def ranged(m: Tensor) -> Tensor:
    low, high = span(m)
    return (m - low) / torch.where(high > low, high - low, 1)


def is_ranged(m: Tensor) -> bool:
    """Whether each map, as far as it is not zero, goes from 0 to 1, or to 255."""
    low, high = span(m)
    top = 255.0 if float(m.max()) > 2 else 1.0
    return bool((low.abs() < 1e-3 * top).all() and (((high - top).abs() < 1e-3 * top) | (high.abs() < 1e-12)).all())


def factors_of(m: Tensor, L: Tensor, tolerance: float) -> Tensor | None:
    """The positive factor per image that makes L the map m; None if there is none."""
    size = L.abs().amax((1, 2))
    factor = (m * L).sum((1, 2)) / (L * L).sum((1, 2))
    off = (m - torch.nan_to_num(factor)[:, None, None] * L).abs().amax((1, 2))
    zero = size < 1e-12
    fits = torch.where(zero, m.abs().amax((1, 2)) < 1e-9, (off <= tolerance * m.abs().amax((1, 2))) & (factor > 0))
    return factor.masked_fill(zero, torch.nan) if bool(fits.all()) and not bool(zero.all()) else None


def fit(m: Tensor, L: Tensor, tolerance: float, finishes: Iterable[str] = FINISHES) -> Fit | None:
    """How the map m comes from L, both (B, h, w); None if it does not."""
    if m.shape != L.shape or not bool(torch.isfinite(m).all()):
        return None
    if float(m.max()) == 255 and bool((m == m.round()).all()):
        tolerance = max(tolerance, 6e-3)  # a picture of 256 steps, cut off or rounded
    for finish in finishes:
        done = FINISHES[finish](L)
        factors = factors_of(m, done, tolerance)
        if factors is not None:
            return Fit(finish, is_ranged(m), factors)
        if is_ranged(m) and factors_of(ranged(m), ranged(done), tolerance) is not None:
            return Fit(finish, True, torch.full((len(m),), torch.nan))
    return None


def of_one_range(m: Tensor, L: Tensor, tolerance: float) -> bool:
    """Whether m is L with the smallest and largest value of the whole batch taken to 0 and 1."""
    if m.shape != L.shape or len(m) == 1:
        return False
    whole = [FINISHES[finish](L) for finish in ("signed", "relu")]
    return any(bool((m - (x - x.min()) / (x.max() - x.min())).abs().max() <= tolerance) for x in whole)


def name(m: Tensor, right: Tensor, wrong: Iterable[tuple[str, Tensor]], tolerance: float) -> str:
    """The key of the mistake that gives the map m; "" if none of them does."""
    if of_one_range(m, right, tolerance):
        return "one_scale_for_batch"
    kept = list(wrong)
    found = [(key, f) for key, L in kept if (f := fit(m, L, tolerance, ("signed", "relu")))]
    if found:  # softmax and log-softmax differ by a factor per image only: one that is the same for all comes first
        return max(found, key=lambda pair: steady(pair[1].factors))[0]
    turned = fit(m, right, tolerance)
    if turned:
        return turned.finish.split(",")[0]
    return next((key for key, L in kept if fit(m, L, tolerance)), "")


def steady(factors: Tensor) -> bool:
    """Whether all images have the same factor."""
    known = factors[~factors.isnan()]
    return len(known) > 1 and bool((known - known[0]).abs().max() <= 1e-2 * known[0])


def convention(found: Fit, places: int) -> str:
    """What of the free choices it makes, in words."""
    words = {
        "relu": "with the paper's ReLU",
        "signed": "signed, as cbam_lite's grad_cam: take .relu() to look at it",
    }[found.finish]
    if found.ranged:
        words += "; each map is scaled to go from 0 to 1, or up to 1: good to look at, never score it"
    elif bool((found.factors - places).abs().nan_to_num().max() < 1e-3 * places):
        words += f"; weights are sums, not means: {places} times the same map"
    return words
