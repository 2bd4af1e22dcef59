"""A convolution by hand: the student's function on cases that tell mistakes apart.

A convolution is linear and has no weights of its own, so a few cases prove it: each mistake of
`wrong_convolutions` gives another map than the right one in some of them.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cbam_lite.practice.trial import RAISES, Refused, Trial
from cbam_lite.practice.wrong_convolutions import KNOWN, Inputs, Map, right

TOLERANCE = 1e-5  # a student may compute in float32
NAMES = {
    "image": "image images img x inp input map maps f picture photo signal data a",
    "kernels": "kernels kernel weights weight w k filters filter filt kern ker weight_matrix b",
    "bias": "bias biases b offset",
    "stride": "stride strides s step",
    "padding": "padding pad p pads",
}


class Case(NamedTuple):
    """One call. `options` are passed where the function has such a parameter; else the case is left out."""

    tries: str
    image: tuple[int, int, int]  # C, H, W
    kernels: tuple[int, int, int]  # O, k, k
    options: tuple[str, ...] = ()
    stride: int = 1
    padding: int = 0


BASE = "image (3, 7, 9), kernels (4, 3, 3, 3): a map (4, 5, 7), each number the sum of 27 products"
SIZES = "other sizes: kernels of 5x5, 2x2 and 1x1, one channel, a square image, a kernel as large as the image"
CASES = [
    Case(BASE, (3, 7, 9), (4, 3, 3)),
    Case(SIZES, (3, 6, 6), (2, 3, 3)),
    Case(SIZES, (2, 8, 6), (3, 5, 5)),
    Case(SIZES, (4, 5, 6), (2, 1, 1)),
    Case(SIZES, (1, 6, 5), (3, 2, 2)),
    Case(SIZES, (2, 3, 3), (1, 3, 3)),
    Case("a bias for each of the 4 kernels is added", (3, 7, 9), (4, 3, 3), ("bias",)),
    Case("stride 2, image (3, 8, 11): a map (4, 3, 5)", (3, 8, 11), (4, 3, 3), ("stride",), stride=2),
    Case("padding 1 keeps (7, 9): zeros around", (3, 7, 9), (4, 3, 3), ("padding",), padding=1),
    Case("padding 2, stride 3 and 5x5 together", (3, 8, 12), (4, 5, 5), ("stride", "padding"), stride=3, padding=2),
]


# ---- calling ---------------------------------------------------------------------------------------------------------


class Form(NamedTuple):
    """What the inputs may have to be. `axes` is (C, H, W) and (O, C, k, k), or "batch", "kernel" (O = 1), "plane"."""

    convention: str
    turn: Callable[[Tensor], Any]
    axes: str = ""


FORMS = [
    Form("", lambda t: t.clone()),
    Form("it takes float32", lambda t: t.float()),
    Form("it takes NumPy arrays", lambda t: t.numpy().copy()),
    Form("it takes lists", lambda t: t.tolist()),
    Form("it takes batches", lambda t: t.clone(), "batch"),
    Form("it takes batches, float32", lambda t: t.float(), "batch"),
    Form("it takes batches of NumPy arrays", lambda t: t.numpy().copy(), "batch"),
]
SMALLER = [
    Form("one channel and one kernel: an image (H, W), a kernel (k, k)", lambda t: t.clone(), "plane"),
    Form("one channel and one kernel: NumPy arrays (H, W) and (k, k)", lambda t: t.numpy().copy(), "plane"),
    Form("one channel and one kernel: lists (H, W) and (k, k)", lambda t: t.tolist(), "plane"),
    Form("one kernel of all channels: an image (C, H, W), a kernel (C, k, k)", lambda t: t.clone(), "kernel"),
    Form("one kernel of all channels: NumPy arrays (C, H, W), (C, k, k)", lambda t: t.numpy().copy(), "kernel"),
]


def parameters(thing: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(thing).parameters.values())
    except (TypeError, ValueError):
        return []


def options_of(thing: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Which of bias, stride and padding the function takes, found by name behind the first two parameters."""
    found = {}
    for name in ("bias", "stride", "padding"):
        for p in parameters(thing)[2:]:
            text = isinstance(p.default, str) or p.kind is inspect.Parameter.POSITIONAL_ONLY
            if p.name.lower() in NAMES[name].split() and not text and name not in found:
                found[name] = p
    return found


def swapped(thing: Callable[..., Any]) -> bool:
    """Whether the names say (kernels, image)."""
    names = [p.name.lower() for p in parameters(thing)[:2]]
    kernels = [n for n in NAMES["kernels"].split() if n != "b"]
    return len(names) == 2 and names[0] in kernels and names[1] in NAMES["image"].split()


def inputs_of(case: Case, form: Form, seed: int) -> Inputs:
    """Random numbers of the case's shapes; the bias is 0 where none is passed."""
    g = torch.Generator().manual_seed(seed)
    C, O = (1 if form.axes == "plane" else case.image[0]), (case.kernels[0] if form.axes in ("", "batch") else 1)
    image = torch.randn(C, *case.image[1:], generator=g, dtype=torch.float64)
    kernels = torch.randn(O, C, *case.kernels[1:], generator=g, dtype=torch.float64)
    bias = 3 * torch.randn(O, generator=g, dtype=torch.float64) * ("bias" in case.options)
    return Inputs(image, kernels, bias, case.stride, case.padding)


def shaped(form: Form, i: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    if form.axes == "plane":
        return i.image[0], i.kernels[0, 0], i.bias[0]
    if form.axes == "kernel":
        return i.image, i.kernels[0], i.bias[0]
    return (i.image[None] if form.axes == "batch" else i.image), i.kernels, i.bias


def answer(trial: Trial, thing: Callable[..., Any], case: Case, form: Form, i: Inputs) -> Tensor:
    """What came back, as float64 (O, H', W') if it is right; the inputs must be what they were."""
    image, kernels, bias = (form.turn(t) for t in shaped(form, i))
    has, options = options_of(thing), {}
    for name, value in (("bias", bias), ("stride", i.stride), ("padding", i.padding)):
        if name in has and (name in case.options or has[name].default is inspect.Parameter.empty):
            options[has[name].name] = value
    found = trial.run(thing, *((kernels, image) if swapped(thing) else (image, kernels)), **options)
    if found is None:
        trial.refuse("unfilled", "there is nothing to check yet: None came back; is a return missing?")
    for name, given, before in (("image", image, shaped(form, i)[0]), ("kernels", kernels, shaped(form, i)[1])):
        if not np.allclose(np.asarray(given), before.numpy(), atol=1e-6):
            trial.refuse("input_changed", f"after the call the {name} holds other numbers than before")
    try:
        found = np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found, dtype=np.float64)
    except (TypeError, ValueError):
        trial.refuse("not_a_map", f"{type(found).__name__} came back: a tensor (O, H', W') is expected")
    y = torch.from_numpy(found.copy())
    if form.axes == "batch" and y.dim() > 3 and len(y) == 1:
        return y[0]
    return y[None] if form.axes in ("plane", "kernel") and y.dim() == 2 else y


def agree(found: Tensor | Refused, wanted: Tensor | None) -> bool:
    if isinstance(found, Refused) or wanted is None or found.shape != wanted.shape or not found.numel():
        return False
    return bool(((found - wanted).abs() <= TOLERANCE * (1 + wanted.abs())).all())


def value(function: Map, i: Inputs) -> Tensor | None:
    try:
        return function(i)
    except (RuntimeError, IndexError):  # a mistake that cannot be made here, such as a reflection larger than the image
        return None


# ---- judging ---------------------------------------------------------------------------------------------------------


def convolution(trial: Trial, thing: Any) -> str:
    """(image (C, H, W), kernels (O, C, k, k)[, bias][, stride][, padding]) -> (O, H', W')."""
    if not callable(thing):
        trial.refuse("not_a_function", f"a function (image, kernels) is expected, not {type(thing).__name__}")
    thing = trial.run(thing) if inspect.isclass(thing) else thing
    has = options_of(thing)
    cases = [case for case in CASES if set(case.options) <= set(has)]
    first: tuple[Form, list[Tensor | Refused], str] | None = None
    for form in [*FORMS, *SMALLER]:
        seen = first is not None and ran(first[1][0])
        start = answers(trial, thing, cases[:1], form)[0]
        if first and (not ran(start) or (seen and not agree(start, right(inputs_of(cases[0], form, 0))))):
            continue
        found = answers(trial, thing, cases, form)
        key = named(found, cases, form)
        if key == "right":
            return accepted(trial, cases, form, has)
        if not seen:
            first = form, found, key
        if ran(start) and key:
            break
    assert first is not None
    refuse(trial, cases, *first)
    raise AssertionError("what is not right has a case that fails")


def ran(found: Tensor | Refused) -> bool:
    """Whether something came back that is a map, right or wrong, or is wrong in another way than its form."""
    return not isinstance(found, Refused) or found.key not in (*RAISES, "not_a_map")


def answers(trial: Trial, thing: Any, cases: Sequence[Case], form: Form) -> list[Tensor | Refused]:
    found: list[Tensor | Refused] = []
    for seed, case in enumerate(cases):
        try:
            found.append(answer(trial, thing, case, form, inputs_of(case, form, seed)))
        except Refused as refusal:
            found.append(refusal)
    return found


def accepted(trial: Trial, cases: Sequence[Case], form: Form, has: Mapping[str, Any]) -> str:
    for sentence in dict.fromkeys(case.tries for case in cases):
        trial.tries(sentence)
    takes = ", ".join(name for name in ("bias", "stride", "padding") if name in has)
    return "; ".join(part for part in (form.convention, f"with {takes}" if takes else "") if part)


def named(found: Sequence[Tensor | Refused], cases: Sequence[Case], form: Form) -> str:
    """ "right", or the mistake that gives these maps: all of them, or at least the first wrong one; else ""."""
    given = [inputs_of(case, form, seed) for seed, case in enumerate(cases)]
    good = [agree(f, right(i)) for f, i in zip(found, given, strict=True)]
    if all(good):
        return "right"
    first = good.index(False)
    if isinstance(refusal := found[first], Refused) and ran(refusal):
        return refusal.key
    scores = {}
    for n, (_, function) in enumerate(KNOWN):
        fits = [agree(f, value(function, i)) for f, i in zip(found, given, strict=True)]
        if fits[first]:
            scores[n] = sum(fits)
    return KNOWN[max(scores, key=lambda n: scores[n])][0] if scores else ""


def refuse(trial: Trial, cases: Sequence[Case], form: Form, found: Sequence[Tensor | Refused], key: str) -> None:
    """Walk to the first case that is wrong and say what came there."""
    good = [agree(f, right(inputs_of(c, form, n))) for n, (f, c) in enumerate(zip(found, cases, strict=True))]
    n = good.index(False)
    for sentence in dict.fromkeys(case.tries for case in cases[: n + 1]):
        trial.tries(sentence)
    y, wanted = found[n], right(inputs_of(cases[n], form, n))
    if isinstance(y, Refused):
        square = good[1] and cases[n].image[1] != cases[n].image[2]
        raise Refused("square_only", f"it works on a square image, but: {y}") if square and n == 0 else y
    C, H, W = cases[n].image
    where = f"image ({C}, {H}, {W}), kernels of {cases[n].kernels[1]}x{cases[n].kernels[2]}"
    if y.shape != wanted.shape:
        sizes = f"a map of shape {tuple(y.shape)} came back, {tuple(wanted.shape)} is right"
        unnamed = "fixed_kernel_size" if n and good[0] else "square_only" if good[1] else "wrong_output_size"
        trial.refuse(key or unnamed, f"{where}: {sizes}")
    place = tuple(int(p) for p in np.unravel_index(int((y - wanted).abs().argmax()), y.shape))
    says = f"{where}: at {place} the map is {y[place]:.4f}, right is {wanted[place]:.4f}"
    trial.refuse(key or ("square_only" if n == 0 and good[1] else ""), says)
