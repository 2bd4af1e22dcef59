"""Is it Grad-CAM: as a function of activations and gradients? End to end is in `end_to_end`."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cbam_lite.practice import wrong_maps
from cbam_lite.practice.end_to_end import grad_cam as grad_cam  # the judge of "Grad-CAM"
from cbam_lite.practice.trial import Refused, Trial
from cbam_lite.practice.wrong_maps import METHODS, as_maps, as_tensor, convention, fit

B, C, H, W = 3, 4, 5, 7
TOLERANCE = 1e-4  # of the map's peak, so that float32 inside is no mistake


class Form(NamedTuple):
    """How A and G are handed in."""

    says: str  # for the convention; "" for the usual one
    batch: bool  # all images at once
    turn: Callable[[Tensor], Any]  # of (B, C, h, w)


FORMS = [
    Form("", True, lambda x: x.clone()),
    Form("it takes NumPy arrays", True, lambda x: x.numpy().copy()),
    Form("it takes one image, (C, H, W)", False, lambda x: x[0].clone()),
    Form("it takes one image, (C, H, W), as a NumPy array", False, lambda x: x[0].numpy().copy()),
    Form("it takes one image, (1, C, H, W)", False, lambda x: x.clone()),
    Form("it takes one image, (1, C, H, W), as a NumPy array", False, lambda x: x.numpy().copy()),
]


def random_pair(seed: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A and G, signed, such that each right map has both signs and the mean gradient is far from zero."""
    g = torch.Generator().manual_seed(seed)
    A, G = (torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2))
    shift = torch.randn(*shape[:2], 1, 1, generator=g, dtype=torch.float64)
    size = 1.0 + torch.arange(shape[0], dtype=torch.float64).view(-1, 1, 1, 1)  # images differ in strength
    return A, size * (0.5 * G + shift)


def gradient_first(thing: Any) -> bool:
    """Whether the names of the parameters say (G, A)."""
    try:
        names = [p.lower().lstrip("_") for p in inspect.signature(thing).parameters]
    except (TypeError, ValueError):
        return False
    return len(names) > 1 and names[0].startswith(("g", "dy", "da")) and not names[1].startswith(("g", "dy", "da"))


def called(trial: Trial, thing: Any, A: Tensor, G: Tensor, form: Form) -> Tensor:
    """The maps that come back, (b, h, w) if it is right; an error of the student's code refuses."""
    swap = gradient_first(thing)

    def one(a: Tensor, g: Tensor) -> Tensor:
        first, second = (form.turn(g), form.turn(a)) if swap else (form.turn(a), form.turn(g))
        return as_maps(trial.run(thing, first, second), len(a))

    if form.batch:
        return one(A, G)
    maps = [one(A[b : b + 1], G[b : b + 1]) for b in range(len(A))]
    return torch.cat(maps) if len({m.shape for m in maps}) == 1 and maps[0].dim() > 0 else maps[0]


def chosen(trial: Trial, thing: Any, A: Tensor, G: Tensor) -> tuple[Form, Tensor]:
    """The first form that gives a map for each image, one that passes before one that does not; or the first answer."""
    right = wrong_maps.grad_cam(A, G)
    usable: list[tuple[Form, Tensor]] = []
    others: list[tuple[Form, Tensor]] = []
    errors: list[Refused] = []
    for form in FORMS:
        batches = [m for other, m in (*usable, *others) if other.batch]
        if not form.batch and any(m.shape == right.shape or one_for_all(m, A, G) for m in batches):
            break
        try:
            m = called(trial, thing, A, G, form)
        except Refused as error:
            errors.append(error)
            continue
        if fit(m, right, TOLERANCE, ("signed", "relu")):
            return form, m
        (usable if m.shape == right.shape else others).append((form, m))
    if usable or others:
        return max((usable or others), key=lambda pair: bool(one_for_all(pair[1], A, G)))
    raise next((error for error in errors if error.key == "unfilled"), errors[0])


def one_for_all(m: Tensor, A: Tensor, G: Tensor) -> str:
    """The key of the mistake by which a batch gives one map, if it does: the first image's, or a mean."""
    right = wrong_maps.grad_cam(A, G)
    if m.dim() < 2 or m.shape[-2:] != right.shape[-2:] or m.numel() != right[0].numel():
        return ""
    pooled = (G.mean((0, 2, 3))[None, :, None, None] * A).sum(1)
    means = [L.mean(0, keepdim=True) for L in (right, right.relu(), pooled, pooled.relu())]
    known = [("first_image_only", right[:1]), *(("mean_over_batch", L) for L in (*means, pooled[:1]))]
    return next((key for key, L in known if fit(m.reshape(1, *m.shape[-2:]), L, TOLERANCE)), "")


def judged_shape(trial: Trial, m: Tensor, A: Tensor, G: Tensor) -> None:
    """Refuse what is no map for each image."""
    right = wrong_maps.grad_cam(A, G)
    if m.shape == right.shape:
        return
    says = f"{tuple(m.shape)} came back, right is {tuple(right.shape)}"
    if key := one_for_all(m, A, G):
        trial.refuse(key, says)
    if m.shape == A.shape:
        trial.refuse("channels_kept", says)
    axes = sorted(m.shape[-2:]) != sorted(right.shape[-2:]) or m.shape[-2:] == right.shape[:0:-1]
    trial.refuse("wrong_axes" if m.dim() >= 2 and axes else "wrong_shape", says)


def judged_values(trial: Trial, m: Tensor, A: Tensor, G: Tensor) -> wrong_maps.Fit:
    """How the maps come from A and G, or a refusal that names the mistake."""
    if not bool(torch.isfinite(m).all()):
        trial.refuse("nan", f"{int((~torch.isfinite(m)).sum())} of {m.numel()} values are NaN or infinite")
    right = wrong_maps.grad_cam(A, G)
    found = fit(m, right, TOLERANCE, ("relu", "signed"))
    if not found:
        key = wrong_maps.name(m, right, ((key, method(A, G)) for key, method in METHODS), TOLERANCE)
        row, column = divmod(int(right[0].argmax()), right.shape[2])
        trial.refuse(
            key,
            f"the first map goes from {m[0].min():.3g} to {m[0].max():.3g}, the right one from {right[0].min():.3g} to "
            f"{right[0].max():.3g} before the ReLU, and no positive factor makes them equal. The right peak is in row "
            f"{row}, column {column}; your map has {m[0, row, column]:.3g} there",
        )
    return found


def judged_alone(trial: Trial, thing: Any, m: Tensor, A: Tensor, G: Tensor, form: Form) -> None:
    """Refuse maps that depend on the other images of the batch."""
    for b in range(len(A)):
        alone = called(trial, thing, A[b : b + 1], G[b : b + 1], form)
        if alone.shape != m[b : b + 1].shape:
            trial.refuse("wrong_shape", f"a batch of one gives {tuple(alone.shape)}, right is {(1, *m.shape[1:])}")
        if (alone - m[b]).abs().max() > TOLERANCE * m.abs().max():
            proportional = fit(alone, m[b : b + 1], TOLERANCE, ("signed",))
            trial.refuse(
                "one_scale_for_batch" if proportional else "batch_mixed",
                f"image {b} has the peak {m[b].max():.3g} in the batch and {alone.max():.3g} alone",
            )


def unchanged(trial: Trial, thing: Any, A: Tensor, G: Tensor, form: Form) -> None:
    """Refuse a function that writes into A or G."""
    a, g = form.turn(A[: None if form.batch else 1]), form.turn(G[: None if form.batch else 1])
    before = as_tensor(a).clone(), as_tensor(g).clone()
    trial.run(thing, *((g, a) if gradient_first(thing) else (a, g)))
    for what, x, y in (("A", a, before[0]), ("G", g, before[1])):
        if not torch.equal(as_tensor(x), y):
            trial.refuse("input_changed", f"after the call, {what} holds other values than before")


def grad_cam_map(trial: Trial, thing: Any) -> str:
    """A function of activations and gradients, (C, H, W) or (B, C, H, W) each, that gives a map for each image."""
    if not callable(thing):
        trial.refuse("not_a_function", f"a function of A and G is expected, not {type(thing).__name__}")
    thing = trial.run(thing) if inspect.isclass(thing) else thing
    A, G = random_pair(0, (B, C, H, W))
    trial.tries(f"A and G of shape {(B, C, H, W)}, three images: a map of {H} x {W} for each")
    form, m = chosen(trial, thing, A, G)
    judged_shape(trial, m, A, G)
    trial.tries("each map is sum_k w_k A_k, up to a positive factor, with w_k the mean of G_k over all places")
    found = judged_values(trial, m, A, G)
    if form.batch:
        trial.tries("each image alone gives the same map as in the batch")
        judged_alone(trial, thing, m, A, G, form)
    trial.tries("two other sizes, (2, 6, 8, 3) and (4, 2, 3, 3): the same rule")
    for seed, shape in ((1, (2, 6, 8, 3)), (2, (4, 2, 3, 3))):
        pair = random_pair(seed, shape)
        other = called(trial, thing, *pair, form)
        judged_shape(trial, other, *pair)
        judged_values(trial, other, *pair)
    trial.tries("A and G are the same after the call")
    unchanged(trial, thing, A, G, form)
    return "; ".join(part for part in (convention(found, H * W), form.says) if part)
