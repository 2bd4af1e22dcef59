"""What every gate module must do: F comes in, F scaled by gates comes out.

The same for SE, ECA, CBAM and the two gates of CBAM; what they differ in is judged in their own files.
"""

import torch
from torch import Tensor

from cbam_lite.practice.subject import SIZE, Subject, close, quietly
from cbam_lite.practice.trial import named

# Steps of finite differences, and their tolerances. A gate that is computed in float32 on purpose needs the large one.
STEPS = ((1e-6, 1e-5), (1e-2, 2e-2))


def contract(s: Subject) -> None:
    """F stays as it is; nothing is random; images are independent; memory does not matter; gradients are right.

    Raises:
        Refused: input_changed, not_finite, not_deterministic, gate_constant, not_scaled, multiplied_by_F_twice,
            weights_not_registered, batch_of_one, batch_mixed, view_mixup, softmax_over_batch, frozen, detached.
    """
    s.trial.tries(
        f"the same F, (3, {s.channels}, {SIZE[0]}, {SIZE[1]}), twice: F stays as it is, the results are equal"
    )
    stays(s)
    s.trial.tries("where F is 0 comes out 0, and elsewhere out / F depends on F: F is scaled, not added to")
    scales(s)
    s.trial.tries("the weights are among module.parameters(), and they change what comes out")
    registered(s)
    s.trial.tries("each image alone gives what it gives in a batch of 3")
    independent(s)
    s.trial.tries("the same numbers in channels_last memory, and as a slice of a larger tensor, give the same")
    any_memory(s)
    s.trial.tries("gradients for F and for each weight: autograd agrees with finite differences")
    gradients(s)


def stays(s: Subject) -> None:
    F = s.maps()
    given = F.clone()
    with torch.no_grad():
        first = s.trial.run(s.module, given)
        if not torch.equal(given, F):
            changed = (given != F).double().mean().item()
            s.trial.refuse(
                "input_changed", f"after the call {100 * changed:.0f} % of the values of F are others than before"
            )
        if not bool(first.isfinite().all()):
            s.trial.refuse(
                "not_finite", f"{(~first.isfinite()).double().mean():.0%} of the values that come out are not finite"
            )
        second = s(F)
    if not close(first, second, 1e-12):
        apart = (first - second).abs().max().item()
        s.trial.refuse("not_deterministic", f"two runs with the same F differ by up to {apart:.3g}, in evaluation mode")


def scales(s: Subject) -> None:
    F = s.maps(0)
    if s.returns == "map":
        F[:, ::2, ::3, ::2] = 0
        with torch.no_grad():
            there = s(F)[:, ::2, ::3, ::2].abs().max().item()
        if there > 1e-9:
            s.trial.refuse("not_scaled", f"where F is 0, up to {there:.3f} comes out; 0 times a gate is 0")
    R = torch.cat([s.R(s.maps(0)), s.R(s.maps(1, batch=8))])
    if close(R, R[:1].expand_as(R), 1e-12):
        value = f"{R.min().item():.3f} to {R.max().item():.3f}"
        s.trial.refuse("gate_constant", f"{len(R)} images with nothing in common have the same gates, {value}")
    twice(s)


def twice(s: Subject) -> None:
    """Refuse out = gates F F: out / F grows as F does, out / F^2 has bounds, and no sign."""
    large, larger = (torch.cat([s.R(scale * s.maps(seed)) for seed in (0, 1)]) for scale in (1e4, 1e6))
    F = torch.cat([s.maps(seed) for seed in (0, 1)])
    ratios = larger / (1e6 * F)
    if not bool(ratios.isfinite().all()) or s.returns == "gate":
        return
    low, high = ratios.min().item(), ratios.max().item()
    if low > -1e-12 and 1e-3 < high < 16.1 and (large / (1e4 * F)).max() < 16.1:
        says = f"out / F reaches {large.abs().max():.3g} for F times 1e4, {larger.abs().max():.3g} for F times 1e6"
        s.trial.refuse("multiplied_by_F_twice", f"{says}: it grows as F does; out / F^2 stays below {high:.3f}")


def registered(s: Subject) -> None:
    if s.parameters():
        return
    buffers = [name for name, b in s.module.named_buffers() if b.is_floating_point()]
    what = f"it has buffers ({', '.join(buffers)}), but an optimiser sees parameters only" if buffers else "it has none"
    s.trial.refuse("weights_not_registered", f"no weight among module.parameters() changes what comes out: {what}")


def independent(s: Subject) -> None:
    """One image does not depend on the others."""
    F = s.maps()
    with torch.no_grad():
        together = s(F)
        if not isinstance(quietly(s.module, F[:1]), Tensor):
            s.trial.refuse("batch_of_one", "a batch of 3 images passes, a batch of 1 stops with an error")
        alone = torch.cat([s(F[b : b + 1]) for b in range(len(F))])
    if alone.shape != together.shape:
        s.trial.refuse("batch_of_one", f"a batch of 1 gives {tuple(s(F[:1]).shape)}, F is {tuple(F[:1].shape)}")
    if close(alone, together):
        return
    R = s.R(F)
    if close(R.sum(0), torch.ones_like(R[0]), 1e-9):
        s.trial.refuse("softmax_over_batch", "the gates of the 3 images of a batch add up to 1: they compete")
    reads = read_by_first(s, F)
    apart = (alone - together).abs().max().item()
    if reads <= s.channels:  # as many descriptors as it should read, but not its own
        s.trial.refuse(
            "view_mixup", f"the first image's gates read {reads} channels, some of other images of the batch"
        )
    s.trial.refuse("batch_mixed", f"an image alone and the same in a batch of 3 differ by up to {apart:.3g}")


def read_by_first(s: Subject, F: Tensor) -> int:
    """How many of all B * C channels of the batch the gates of the first image depend on."""
    F = F.clone().requires_grad_()
    out = s(F)
    R = out / F if s.returns == "map" else out
    if not R.requires_grad:
        return F.shape[0] * F.shape[1]
    weights = torch.linspace(1, 2, R[0].numel(), dtype=R.dtype).reshape(R[0].shape)
    (gradient,) = derivatives(s, (R[0] * weights).sum(), [F])
    if gradient is None:
        return F.shape[0] * F.shape[1]
    own = gradient[0].flatten(1).abs().amax(1) > 1e-12
    others = gradient[1:].flatten(2).abs().amax(2) > 1e-12
    return int(own.sum() + others.sum()) if not own.all() else F.shape[0] * F.shape[1]


def any_memory(s: Subject) -> None:
    """Channels last, and a slice: the same numbers at other addresses."""
    F = s.maps()
    wide = torch.zeros(F.shape[0], 2 * F.shape[1], F.shape[2], F.shape[3] + 4, dtype=F.dtype)
    wide[:, ::2, :, 2:-2] = F
    kinds = {"in channels_last memory": F.to(memory_format=torch.channels_last), "as a slice": wide[:, ::2, :, 2:-2]}
    with torch.no_grad():
        expected = s(F)
        for name, given in kinds.items():
            out = quietly(s.module, given)
            if not isinstance(out, Tensor):
                note = "maps in channels_last memory stop it with an error: .reshape takes them, .view does not"
                s.notes += [] if note in s.notes else [note]
            elif not close(out, expected):
                s.trial.refuse(
                    "view_mixup", f"the same F {name} gives another result: the memory is read in its own order"
                )


def gradients(s: Subject) -> None:
    """Autograd against finite differences, along one direction for F and one for each weight."""
    F, names = s.maps(2), s.parameters()
    for name, p in names.items():
        if not p.requires_grad:
            s.trial.refuse("frozen", f"the parameter {name} {tuple(p.shape)} has requires_grad=False")
    g = torch.Generator().manual_seed(5)
    v = torch.randn(s(F).shape, generator=g, dtype=F.dtype)
    leaf = F.clone().requires_grad_()
    out = s.trial.run(lambda F: s.module(F.clone()), leaf)
    wanted = [leaf, *(p for p in names.values() if p.requires_grad)]
    if not out.requires_grad:
        s.trial.refuse("detached", "what comes out has no gradient: is it computed under no_grad, or detached?")
    gradient_of = dict(zip(map(id, wanted), derivatives(s, (v * out).sum(), wanted), strict=True))
    for name, tensor in {"F": leaf, **names}.items():
        d = torch.randn(tensor.shape, generator=g, dtype=F.dtype)
        gradient = gradient_of.get(id(tensor))
        given = 0.0 if gradient is None else (gradient * d).sum().item()
        weight = None if name == "F" else tensor
        slopes = [slope(s, F, weight, d, v, step) for step, _ in STEPS]
        if all(abs(given - found) > bound * (1 + abs(found)) for found, (_, bound) in zip(slopes, STEPS, strict=True)):
            what = "F" if name == "F" else f"the weight {name} {tuple(tensor.shape)}"
            says = f"along one direction of {what} the output changes by {slopes[0]:.4f}, autograd says {given:.4f}"
            s.trial.refuse("detached", says)


def derivatives(s: Subject, y: Tensor, by: list[Tensor]) -> tuple[Tensor | None, ...]:
    try:
        return torch.autograd.grad(y, by, allow_unused=True)
    except RuntimeError as error:
        return s.trial.refuse("detached", f"autograd stops: {named(error)}")


def slope(s: Subject, F: Tensor, weight: Tensor | None, d: Tensor, v: Tensor, size: float) -> float:
    """The derivative of sum(v * out) along the direction d, of F or of a weight, by two runs."""
    ends = []
    with torch.no_grad():
        for step in (size, -size):
            if weight is None:
                ends.append((v * s(F + step * d)).sum().item())
            else:
                kept = weight.clone()
                weight.add_(step * d)
                ends.append((v * s(F)).sum().item())
                weight.copy_(kept)
    return (ends[0] - ends[1]) / (2 * size)


# ---- from which values to which do gates go? -------------------------------------------------------------------------


def limits(s: Subject, gates: int = 1, unit: str = "gate") -> None:
    """The values of R for very large inputs name what closes the gate. `gates` is how many factors R has.

    Raises:
        Refused: softmax_over_channels, softmax_over_places, no_sigmoid, tanh_gate, input_added, relu_before_sigmoid,
            sigmoid_per_descriptor, sigmoid_twice.
    """
    s.trial.tries(f"F times 10 000: each {unit} goes to 0 or to 1, as sigmoids do, for both signs of F")
    found = at_limits(s, gates)
    if found:
        s.trial.refuse(*found)


def at_limits(s: Subject, gates: int = 1) -> tuple[str, str] | None:
    """What `closing` finds for this module."""
    usual = torch.cat([s.R(sign * s.maps(seed)) for seed in range(2) for sign in (1, -1)])
    large = torch.cat([s.R(sign * 1e4 * s.maps(seed)) for seed in range(2) for sign in (1, -1)])
    larger = torch.cat([s.R(sign * 1e6 * s.maps(seed)) for seed in range(2) for sign in (1, -1)])
    return closing(usual, large, larger, gates)


def closing(usual: Tensor, large: Tensor, larger: Tensor, gates: int = 1) -> tuple[str, str] | None:
    """The key and what was found, from R at usual inputs, at 1e4 and at 1e6 times those; None if nothing is wrong."""
    low, high = large.min().item(), large.max().item()
    between = f"for very large F the gates lie between {low:.3f} and {high:.3f}"
    if close(usual.sum(1), torch.ones_like(usual.sum(1)), 1e-9):
        return (
            "softmax_over_channels",
            f"the gates of all {usual.shape[1]} channels add up to 1 at each place: they compete",
        )
    if close(usual.sum((2, 3)), torch.ones_like(usual.sum((2, 3))), 1e-9):
        return "softmax_over_places", "the gates of all places add up to 1: they compete"
    if not larger.isfinite().all() or larger.abs().max() > 10 * max(large.abs().max().item(), 1.0):
        return (
            "no_sigmoid",
            f"gates reach {high:.3g} for F times 1e4, {larger.max().item():.3g} for F times 1e6: nothing bounds them",
        )
    if low < -1e-9:
        return "tanh_gate", f"{between}; a sigmoid is never negative"
    return bounded(usual, large, gates, between)


def bounded(usual: Tensor, large: Tensor, gates: int, between: str) -> tuple[str, str] | None:
    """The same for gates which have bounds and are not negative."""
    low, high = large.min().item(), large.max().item()
    share_of_one = ((large - 1).abs() < 1e-3).double().mean().item()
    if low > 1 - 1e-9 and high > 1.2:
        return "input_added", f"{between}: never below 1, so F is added to F times its gate"
    if 0.495 < low and high < 0.735 and gates == 1:
        return "sigmoid_twice", f"{between}; the sigmoid of a sigmoid lies between 0.500 and 0.731"
    if abs(low - 0.5) < 1e-6 and usual.min() > 0.5 + 1e-9 and high <= 1 + 1e-9 and gates == 1:
        return "other_gate_function", f"{between}; the sigmoid of a large negative number is near 0, not 0.5"
    if abs(low - 0.5) < 1e-6 and high <= 1 + 1e-9 and gates == 1:
        return "relu_before_sigmoid", f"{between}; the sigmoid of a large negative number is near 0, not 0.5"
    if gates == 1 and high > 1.9 and share_of_one > 0.1:
        return (
            "sigmoid_per_descriptor",
            f"for very large F the gates are near 0, 1 and 2 ({share_of_one:.0%} near 1): two sigmoids are added",
        )
    return None
