"""A residual block with attention: relu(shortcut(x) + attention(F)), F the output of the last norm.

The student's block gets an attention of ours, a probe. It cuts the block in two: the head gives F, what the probe got;
the tail makes the output y of x and of what the probe gave back, which can be any map Z. So each is judged alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.practice.block_maker import Built, build, expansion_of
from cbam_lite.practice.inserted import identity_insertion as identity_insertion  # the judge of "identity insertion"
from cbam_lite.practice.probes import Chain, Step
from cbam_lite.practice.trial import RAISES, Refused, Trial

# ---- running it ------------------------------------------------------------------------------------------------------


def run(trial: Trial, b: Built, x: Tensor, reply: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """y, what the block gives, and F, what the probe got. `reply` is Z, what the probe gives back."""
    b.log.calls, b.log.reply = [], reply
    given = x.clone()
    with torch.no_grad():
        y = trial.run(b.block, given)
    if not isinstance(y, Tensor):
        missing = "; is a return missing?" if y is None else ""
        trial.refuse("unfilled" if y is None else "not_a_module", f"{type(y).__name__} came back, not a map{missing}")
    if not b.log.calls:
        trial.refuse("attention_not_called", "attention(channels) was made, but its module never got a map")
    if not torch.equal(given, x):
        trial.refuse("input_changed", "after the call x holds other numbers than before: the shortcut adds them")
    return y, b.log.calls[0][1]


def in_train_mode(trial: Trial, b: Built, x: Tensor) -> Tensor:
    """F where norms use the statistics of the batch; afterwards the block is as before."""
    state = {name: value.clone() for name, value in b.block.state_dict().items()}
    b.block.train()
    F = run(trial, b, x)[1]
    b.block.eval()
    b.block.load_state_dict(state)
    return F


def close(a: Tensor, b: Tensor, tolerance: float = 1e-6) -> bool:
    return a.shape == b.shape and bool(((a - b).abs() <= tolerance * (1 + b.abs())).all())


def like(F: Tensor, seed: int) -> Tensor:
    return torch.randn(F.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affine(f: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether f has no kink between x and another map: f of the middle is the middle of f."""
    other = like(x, 77)
    return close(f((x + other) / 2), (f(x) + f(other)) / 2, 1e-8)


# ---- judging ---------------------------------------------------------------------------------------------------------


def residual_block(trial: Trial, thing: Any) -> str:
    """Block(in_channels, out_channels, stride, attention) -> a module (B, C_in, H, W) -> (B, C_out, H/s, W/s)."""
    if isinstance(thing, nn.Module) or not callable(thing):
        said = "hand in the class itself, MyBlock, not MyBlock(...)"
        trial.refuse("not_a_class", f"a class or a function is expected, not {type(thing).__name__}: {said}")
    trial.tries("Block(64, 64, stride 1, attention), x of shape (4, 64, 9, 13): attention gets one map F of that shape")
    expansion = expansion_of(trial, thing)
    b = build(trial, thing, 64, 64, 1, expansion)
    y, F = first_run(trial, b)
    trial.tries("if attention gives back any Z of shape (4, 64, 9, 13), the output is relu(x + Z)")
    activated = tail(trial, b, y, F)
    trial.tries("F is what the last norm gives: in train mode the same mean and spread for any x; a ReLU stands inside")
    convention = head(trial, b, F, activated)
    for C_in, stride, shape in ((32, 2, "(4, 64, 4, 6)"), (64, 2, "(4, 64, 4, 6)"), (32, 1, "(4, 64, 9, 13)")):
        trial.tries(
            f"Block({C_in}, 64, stride {stride}): {shape} comes out; the shortcut is a 1x1 convolution or slices"
        )
        projected(trial, build(trial, thing, C_in, 64, stride, expansion), activated)
    trial.tries("weights are registered and all of them get a gradient through attention")
    registered(trial, b)
    return convention


def first_run(trial: Trial, b: Built) -> tuple[Tensor, Tensor]:
    """One call in evaluation mode; attention must be called once, with a map of the right shape."""
    made = len(b.log.made)
    try:
        y, F = run(trial, b, b.x)
    except Refused as refusal:
        misfit(trial, b, refusal)
        raise
    if len(b.log.made) > made:
        trial.refuse("not_registered", "each call makes a new attention: make it once, in __init__")
    if b.log.odd:
        trial.refuse("wrong_channels", f"{b.log.odd}: out_channels is {b.out[1]}")
    if len(b.log.calls) > 1:
        shapes = " and ".join(str(tuple(F.shape)) for _, F in b.log.calls)
        trial.refuse("attention_twice", f"attention got {len(b.log.calls)} maps in one call of the block: {shapes}")
    if tuple(y.shape) != b.out:
        key = "stride_ignored" if b.stride > 1 and y.shape[2:] == b.x.shape[2:] else "wrong_block_shape"
        trial.refuse(key, f"x of shape {tuple(b.x.shape)} gives {tuple(y.shape)}, right is {b.out}")
    if not close(run(trial, b, b.x)[0], y):
        trial.refuse("not_deterministic", "the same x gives two different maps, in evaluation mode")
    return y, F


def misfit(trial: Trial, b: Built, refusal: Refused) -> None:
    """Why the block stops with an error, if the shapes of its two ways to the addition say so."""
    size = any(words in refusal.says for words in ("must match", "size of tensor", "broadcast", "shape"))
    if b.log.not_made:
        trial.refuse("attention_not_made", f"{b.log.not_made}: make the module once, in __init__")
    if b.log.odd:
        trial.refuse("wrong_channels", f"{b.log.odd}: out_channels is {b.out[1]}; {refusal}")
    if b.log.calls and size and refusal.key in RAISES:
        F = tuple(b.log.calls[0][1].shape)
        if F == b.out and (b.stride > 1 or b.x.shape[1] != b.out[1]):
            change = f"{b.x.shape[1]} to {b.out[1]} channels, stride {b.stride}"
            trial.refuse(
                "no_projection", f"F has the shape {F}, as it should, but x does not fit ({change}): {refusal}"
            )
        if b.stride > 1 and F[2:] == tuple(b.x.shape[2:]):
            trial.refuse("stride_ignored", f"with stride {b.stride}, F has the shape {F}, right is {b.out}: {refusal}")
        if F[2] < b.out[2]:
            trial.refuse("wrong_block_shape", f"F has the shape {F}, right is {b.out}: {refusal}")


# What the block does with Z, what attention gives back; P is the shortcut, F what attention got.
TAILS: list[tuple[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = [
    ("relu_before_addition", lambda x, Z, F: x + Z.relu()),
    ("relu_before_addition", lambda x, Z, F: (x + Z.relu()).relu()),
    ("relu_before_addition", lambda x, Z, F: x.relu() + Z.relu()),
    ("relu_on_shortcut", lambda x, Z, F: (x.relu() + Z).relu()),
    ("relu_on_shortcut", lambda x, Z, F: x.relu() + Z),
    ("attention_unused", lambda x, Z, F: (x + F).relu()),
    ("attention_unused", lambda x, Z, F: x + F),
    ("attention_added", lambda x, Z, F: (x + F + Z).relu()),
    ("attention_added", lambda x, Z, F: x + F + Z),
    ("map_times_attention", lambda x, Z, F: (x + F * Z).relu()),
    ("map_times_attention", lambda x, Z, F: x + F * Z),
    ("no_shortcut", lambda x, Z, F: (F + Z).relu()),
    ("no_shortcut", lambda x, Z, F: F + Z),
    ("product_for_sum", lambda x, Z, F: (x * Z).relu()),
    ("product_for_sum", lambda x, Z, F: x * Z),
    ("shortcut_subtracted", lambda x, Z, F: (Z - x).relu()),
    ("shortcut_subtracted", lambda x, Z, F: (x - Z).relu()),
    ("gate_for_map", lambda x, Z, F: (x + F * Z.sigmoid()).relu()),
]


def tail(trial: Trial, b: Built, y: Tensor, F: Tensor) -> bool:
    """Whether a ReLU stands after the addition; anything but relu(x + Z) and x + Z is refused."""
    x, Z = b.x, like(F, 101)
    if F.shape != y.shape:
        inside(trial, F, f"attention got a map of shape {tuple(F.shape)}, the block gives {tuple(y.shape)}")
    y = run(trial, b, x, Z)[0]
    if close(y, (x + Z).relu()):
        return True
    if close(y, x + Z):
        return False
    place = tuple(int(p[0]) for p in ((y - (x + Z).relu()).abs() > 1e-6).nonzero(as_tuple=True))
    at = f"at {place} x is {x[place]:.3f} and attention gives {Z[place]:.3f}, the output is {y[place]:.3f}"
    says = f"{at}; relu of the sum is {(x + Z).relu()[place]:.3f}"
    if close(y, Z.relu()) or close(y, Z):
        if holds_x(trial, b):
            trial.refuse("attention_after_addition", f"{at}: attention got the sum, with x inside")
        trial.refuse("no_shortcut", f"{says}: x is not added")
    for key, function in TAILS:
        if close(y, function(x, Z, F)):
            trial.refuse(key, says)
    behind(trial, b, F, Z, says)
    return True


def holds_x(trial: Trial, b: Built) -> bool:
    """Whether x is inside what attention gets: in train mode norms keep a branch small, so a huge x shows."""
    F = in_train_mode(trial, b, 1e6 * b.x) / 1e6
    return any(bool((F - x).abs().mean() < 0.01) for x in (b.x, b.x.relu()))


def inside(trial: Trial, F: Tensor, says: str) -> None:
    """A convolution follows attention: it stands inside the branch."""
    if bool((F >= 0).all()):
        trial.refuse("attention_after_relu", f"{says}; a convolution follows, and F holds no negative number")
    trial.refuse("attention_before_convolution", f"{says}; a convolution follows")


def behind(trial: Trial, b: Built, F: Tensor, Z: Tensor, says: str) -> None:
    """What stands between attention and the addition, or on the shortcut: it is found by changing Z or x a little."""
    x, big = b.x, Z + 50
    shortcut = [run(trial, b, x, big + n)[0] - big - n for n in (0, 9)]
    if close(shortcut[0], shortcut[1], 1e-9):  # an addition: y = relu(P(x) + Z)

        def P(x: Tensor) -> Tensor:
            return run(trial, b, x, big)[0] - big

        if close(P(x), torch.zeros_like(x)):
            trial.refuse("no_shortcut", f"{says}: x is not added")
        if close(P(x), x):
            trial.refuse("other_activation_in_block", f"{says}: no ReLU stands after the addition, but something else")
        if affine(lambda x: run(trial, b, x)[1], x) and not affine(P, x):
            trial.refuse("attention_on_shortcut", f"{says}: attention got the shortcut, the branch is added as it is")
        if affine(P, x):
            changed = (P(x + one_channel(x)) - P(x)).abs().amax((0, 2, 3)) > 1e-9
            key = "norm_on_shortcut" if changed.sum() == 1 else "projection_on_every_shortcut"
            trial.refuse(key, f"{says}: the shortcut changes x though 64 channels come in and out, stride 1")
        trial.refuse("", f"{says}: something else than x is added")
    changed = (run(trial, b, x, Z + one_channel(Z))[0] - run(trial, b, x, Z)[0]).abs().amax((0, 2, 3)) > 1e-9
    y, moved = run(trial, b, x, Z)[0], run(trial, b, x + 0.1, Z)[0]
    active = (y > 0) & (moved > 0)
    if changed.sum() == 1 and close(moved[active], y[active] + 0.1):
        trial.refuse("attention_before_last_norm", f"{says}: what attention gives is scaled and shifted again")
    if close(F, x):
        trial.refuse("attention_on_input", f"{says}: attention got x itself, the branch reads what it gives")
    if changed.sum() > 1 and close(moved[active], y[active] + 0.1):
        inside(trial, F, says)
    trial.refuse("", says)


def one_channel(x: Tensor) -> Tensor:
    d = torch.zeros_like(x)
    d[:, 3] = 2.0
    return d


# ---- the head --------------------------------------------------------------------------------------------------------


def normed(trial: Trial, b: Built) -> bool:
    """Whether mean and variance of each channel of F are the same for two quite different inputs, in train mode."""
    moments = []
    for x in (b.x, 3 * like(b.x, 5) + b.x.flip(3) ** 2):
        F = in_train_mode(trial, b, x)
        moments.append(torch.stack([F.mean((0, 2, 3)), F.std((0, 2, 3))]))
    return bool(((moments[0] - moments[1]).abs() <= 0.01 * (0.05 + moments[1].abs())).all())


def head(trial: Trial, b: Built, F: Tensor, activated: bool) -> str:
    """F must be norm(conv(relu(norm(conv x)))), or pre-activated and without a ReLU at the end; gives its name."""
    steps = chain(trial, b)
    kinds = " ".join(step.kind for step in steps)
    if bool((F >= 0).all()):
        trial.refuse("relu_before_addition", "F holds no negative number: a ReLU stands before the addition")
    if affine(lambda x: run(trial, b, x)[1], b.x):
        one = kinds.split().count("conv") == 1
        trial.refuse(
            "one_convolution" if one else "no_relu_between", "F of the middle of two maps is the middle of both F"
        )
    if not activated and pre_activated(trial, b):
        sequence(trial, steps, pre=True)
        return "pre-activation: norm and ReLU stand before each convolution, none after the addition"
    known_norm = kinds.endswith("norm")
    if not normed(trial, b) and not known_norm:
        trial.refuse("no_last_norm", "mean and spread of F change with x in train mode: no norm made it")
    if not activated:
        trial.refuse("no_relu_after_addition", "the output is x + Z, with negative numbers: no ReLU after the addition")
    sequence(trial, steps, pre=False)
    if not {"conv", "norm"} <= {step.kind for step in steps}:
        coupled(trial, b)
    convs = kinds.split().count("conv")
    return {2: "a basic block: two convolutions", 3: "a bottleneck: three convolutions"}.get(convs, "")


def chain(trial: Trial, b: Built) -> list[Step]:
    """The steps of PyTorch between x and F. On no way through the block may weights be used twice."""
    x = b.x.clone()
    b.log.calls, b.log.reply, b.log.path = [], None, []
    with torch.no_grad(), Chain(x) as b.log.chain:
        trial.run(b.block, x)
    weighted = b.log.chain.weighted
    b.log.chain = None
    for kind, key in (("norm", "one_norm_for_two"), ("conv", "one_convolution_for_two")):
        pointers = [step.weight.data_ptr() for step in weighted if step.kind == kind and step.weight is not None]
        if len(set(pointers)) < len(pointers):
            trial.refuse(key, f"{len(pointers)} steps of this kind have only {len(set(pointers))} different weights")
    return b.log.path


def pre_activated(trial: Trial, b: Built) -> bool:
    """Whether the branch starts with a norm, so that scaling and shifting x change nothing, or with a ReLU."""
    factor = 1 + torch.arange(b.x.shape[1], dtype=torch.float64).view(1, -1, 1, 1) % 5
    F = in_train_mode(trial, b, 9 * b.x)
    by_norm = close(in_train_mode(trial, b, 9 * factor * b.x + factor), F, 1e-4)
    by_group = close(in_train_mode(trial, b, 27 * b.x), F, 1e-3) and not normed(trial, b)
    return by_norm or by_group or close(run(trial, b, b.x.relu())[1], run(trial, b, b.x)[1])


def sequence(trial: Trial, steps: list[Step], pre: bool) -> None:
    """The steps in their order: conv norm act conv norm, or act and norm first."""
    kinds = [step.kind for step in steps]
    order = ", ".join({"act": "ReLU", "other": "another activation"}.get(k, k) for k in kinds)
    says = f"between x and attention stand: {order}"
    if "other" in kinds:
        trial.refuse("other_activation_in_block", says)
    convs, norms = kinds.count("conv"), kinds.count("norm")
    if convs == 1 and norms:
        trial.refuse("one_convolution", says)
    if convs < 2 or not norms or pre:
        if pre and convs > 1 and 0 < norms < convs:
            trial.refuse("norm_missing", says)
        return
    for n, (step, following) in enumerate(zip(kinds, [*kinds[1:], "end"], strict=True)):
        if step == "conv" and following == "act" and kinds[n + 1 : n + 3] == ["act", "norm"]:
            trial.refuse("relu_before_norm", says)
        if step == "conv" and following != "norm":
            trial.refuse("norm_missing", says)
        if step == "norm" and following == "conv" and n:
            trial.refuse("no_relu_between", says)


def coupled(trial: Trial, b: Built) -> None:
    """A norm of the student's own: if none stands before the ReLU, the rest of a batch only shifts and scales F."""
    first, rest = b.x[:1], like(b.x, 9)[1:]
    F = [in_train_mode(trial, b, torch.cat([first, r]))[0] for r in (b.x[1:], 3 * rest + 1)]
    u, v = (f.flatten(1) - f.flatten(1).mean(1, keepdim=True) for f in F)
    r = (u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1)).clamp(min=1e-12)
    if not close(F[0], F[1]) and bool((r > 1 - 1e-7).all()):
        trial.refuse("norm_missing", "no norm stands between the first convolution and its ReLU")


# ---- other channels, stride 2, gradients -----------------------------------------------------------------------------


def projected(trial: Trial, b: Built, activated: bool) -> None:
    """y = relu(P(x) + Z), where P is a 1x1 convolution, with or without a norm, or takes pixels and adds zeros."""
    y, F = first_run(trial, b)
    if F.shape != y.shape:
        inside(trial, F, f"attention got a map of shape {tuple(F.shape)}, the block gives {tuple(y.shape)}")
    chain(trial, b)
    Z = like(F, 102)

    def P(x: Tensor) -> Tensor:
        return run(trial, b, x, Z + 90)[0] - Z - 90

    p = P(b.x)
    y = run(trial, b, b.x, Z)[0]
    if not close(y, (p + Z).relu() if activated else p + Z, 1e-5):
        trial.refuse("", f"with {b.x.shape[1]} channels in, the output is not relu(P(x) + Z), with P the shortcut")
    if close(p, torch.zeros_like(p)):
        trial.refuse("no_projection", "the shortcut is left out where the shape changes")
    if activated and bool((p > -1e-9).all()):
        trial.refuse("relu_on_shortcut", "the shortcut brings no negative number: a ReLU stands on it")
    moved = torch.zeros_like(b.x)
    moved[:, :, 3, 5] = 1.0
    places = (P(b.x + moved) - p).abs().amax((0, 1)) > 1e-9
    if activated and affine(P, b.x) and places.sum() > 1:
        trial.refuse(
            "projection_too_wide", f"one pixel of x changes {int(places.sum())} places of the shortcut, not one"
        )


def registered(trial: Trial, b: Built) -> None:
    b.block.train()
    x, through = (b.x.clone().requires_grad_() for _ in range(2))
    b.log.reply, b.log.calls = None, []
    trial.run(b.block, 1.0 * x).square().sum().backward()
    if not b.log.calls:
        trial.refuse("attention_not_called", "in training mode attention gets no map")
    probe, F = b.log.calls[0]
    if not any(module is probe for module in b.block.modules()):
        trial.refuse("not_registered", "block.modules() does not hold the attention: its weights would not be trained")
    if probe.scale.grad is None or x.grad is None:
        trial.refuse("detached", "no gradient reaches attention's weights or x: is there a detach() or no_grad?")
    if not any(p is not probe.scale and p.grad is not None for p in b.block.parameters()):
        trial.refuse("not_registered", "block.parameters() holds no weight of a convolution")
    b.log.reply = like(F, 103)
    y = trial.run(b.block, 1.0 * through)
    if not y.requires_grad or torch.autograd.grad(y.sum(), through, allow_unused=True)[0] is None:
        trial.refuse("detached", "no gradient comes back through the shortcut: is there a detach() or no_grad?")
