"""What a channel gate reads and how, where no formula says it: places, descriptors, bends."""

from collections.abc import Callable

import torch
from torch import Tensor

from cbam_lite.practice import formulas
from cbam_lite.practice.network import logits_of, mlp_of
from cbam_lite.practice.subject import Subject, close

# The gate functions that are right, by their words: the largest value, and the inverse, which gives the logits.
INVERSES: dict[str, tuple[float, Callable[[Tensor], Tensor]]] = {
    "": (1.0, torch.logit),
    "the gate is twice the sigmoid, so that the module can start as the identity": (2.0, lambda M: torch.logit(M / 2)),
    "the gate is the hard sigmoid relu6(x + 3) / 6, as in MobileNetV3": (1.0, lambda M: 6 * M - 3),
}


def three(values: Tensor) -> str:
    return ", ".join(f"{value:.3f}" for value in values.tolist())


def structure(s: Subject) -> None:
    """No formula agrees: what does a gate differ by, and what does it read?"""
    s.trial.tries("one gate for each channel: R = out / F is the same at all places")
    F = s.maps(0)
    M = s.R(F)
    spread = (M.amax((2, 3)) - M.amin((2, 3))).max().item()
    if bool((M[F < 0] == 0).all()):
        s.trial.refuse("relu_on_output", "where F is negative comes out 0: out / F is 0 there, and no gate elsewhere")
    if spread > 1e-9:
        changed = F.clone()
        changed[:, :, 0, 0] += 1
        local = close(s.R(changed).flatten(2)[..., 1:], M.flatten(2)[..., 1:], 1e-12)  # all other places
        key = "pool_of_size_1" if local else "gates_differ_by_place"
        s.trial.refuse(key, f"within one channel the gates differ by up to {spread:.3f} from place to place")
    if (M.amax(1) - M.amin(1)).max().item() < 1e-9:
        s.trial.refuse("no_channel_gate", f"all {s.channels} channels have the same gate, {M[0, 0, 0, 0].item():.3f}")
    s.trial.tries("two copies of F side by side: the average, the maximum and so the gates stay as they are")
    apart = (s.R(F.repeat(1, 1, 1, 2))[..., :1] - M[..., :1]).abs().max().item()
    if apart > 1e-3:
        s.trial.refuse("sum_for_mean", f"two copies of F side by side change the gates by up to {apart:.3f}")
    s.trial.tries("the places of F in another order: the gates stay as they are")
    apart = (s.R(F.flip(2))[..., :1, :1] - M[..., :1, :1]).abs().max().item()
    if apart > 1e-9:
        s.trial.refuse("reads_places", f"F turned upside down changes the gates by up to {apart:.3f}")


def same_averages(F: Tensor) -> Tensor:
    """Every place of a channel has its average."""
    return formulas.avg(F).expand_as(F).contiguous()


def same_averages_and_maxima(F: Tensor) -> Tensor:
    """One place of a channel has its maximum, all others share what is left of the average."""
    n, most = F[0, 0].numel(), formulas.most(F)
    flat = ((n * formulas.avg(F) - most) / (n - 1)).expand_as(F).clone()
    flat[:, :, 3, 4] = most[:, :, 0, 0]
    return flat


def descriptors(s: Subject, alike: Callable[[Tensor], Tensor]) -> None:
    """The gates change, although all that the equation reads stays as it is."""
    s.trial.tries("another map with the same descriptors in each channel: the gates stay as they are")
    F = s.maps(0)
    apart = (s.R(alike(F)) - s.R(F))[..., 0, 0].abs().max().item()
    if apart > 1e-9:
        s.trial.refuse(
            "other_pool", f"the descriptors of the equation stay as they are, the gates change by {apart:.3f}"
        )


def bends(s: Subject) -> None:
    """The logits along a line of averages: straight between the kinks of a ReLU."""
    s.trial.tries("logit(M_c) along a line of averages: straight, with one kink for each hidden unit")
    g = torch.Generator().manual_seed(9)
    line = (
        torch.linspace(-3, 3, 241, dtype=torch.float64)[:, None] * torch.randn(2, 1, s.channels, generator=g).double()
    )
    z = [logits_of(s, torch.logit)(a) for a in line]
    bent = torch.stack([(x[2:] - 2 * x[1:-1] + x[:-2]).abs().amax(1) > 1e-8 for x in z]).double().mean().item()
    if bent == 0:
        s.trial.refuse("no_relu", "logit(M_c) is straight all along the line: nothing is bent by a ReLU")
    if bent > 0.5:
        s.trial.refuse(
            "other_activation", f"logit(M_c) is bent at {bent:.0%} of the line; a ReLU bends it at single points"
        )
    if mlp_of(s, torch.logit) is None:
        s.trial.refuse("other_activation", "logit(M_c) has kinks, but no unit is silent on one side of its kink")
