"""The seven defects that `defects` draws on a surface, and the clutter that is no defect."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cbam_lite.training.materials import Frame

# Each gets the surface, because some replace it, and a scale for its size.


def scratch(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A long thin groove, slightly bent: bright where it reflects, with a dark flank."""
    along, across = f.place()
    across = across - f.uniform(-0.5, 0.5) * along.square()
    half = f.wide(f.uniform(0.007, 0.014) * scale)
    ends = f.inside(along.abs() - f.uniform(0.16, 0.34) * scale)
    core = f.inside(across.abs() - half) * ends
    flank = f.inside((across - 2 * half).abs() - half) * ends
    return 0.42 * core - 0.22 * flank, torch.maximum(core, flank)


def pit(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """One to three small round holes, dark towards the light and bright at the far rim."""
    change, cover = torch.zeros_like(surface), torch.zeros_like(surface)
    for number in range(3):
        dx, dy = f.x - f.uniform(0.2, 0.8), f.y - f.uniform(0.2, 0.8)
        dx = dx + 9.0 * (number > f.uniform(0, 3).floor())  # the number of pits is random: the others lie outside
        hole, shade = one_hole(f, dx, dy, scale)
        change += shade
        cover = torch.maximum(cover, hole)
    return change, cover


def one_hole(f: Frame, dx: Tensor, dy: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A round hole at the origin of dx and dy: its cover, and how it changes the surface."""
    radius = f.wide(f.uniform(0.022, 0.042) * scale)
    hole = f.inside((dx.square() + dy.square()).sqrt() - radius)
    lit = (dx * f.light[:, 0, None, None] + dy * f.light[:, 1, None, None]) / radius
    return hole, hole * (-0.28 - 0.3 * lit)


def crack(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A dark, jagged line that gets thinner towards its ends, with one branch."""
    along, across = f.place()
    L, knots = f.uniform(0.2, 0.4) * scale, 33
    steps = torch.randn(len(surface), knots, generator=f.g) * torch.tensor([1.0, 0.3]).repeat(knots)[:knots]
    path = 0.03 * scale * steps.cumsum(1) / 2
    path = path - path[:, knots // 2, None]
    position = ((along / L + 1) / 2 * (knots - 1)).clamp_(0, knots - 1.001)
    left = position.long()
    low, high = (path.gather(1, (left + k).flatten(1)).view_as(position) for k in (0, 1))
    wander, slope = torch.lerp(low, high, position - left), (high - low) * (knots - 1) / (2 * L)
    half = f.wide(f.uniform(0.007, 0.013) * scale * (1.2 - along.abs() / L))
    trunk = f.inside((across - wander).abs() / (1 + slope.square()).sqrt() - half)
    turn = f.uniform(0.4, 0.9)  # of the branch, which mirrors the trunk's jags
    branch = f.inside((across - turn * along + wander).abs() / (1 + (turn - slope).square()).sqrt() - half)
    branch = branch * (along > 0)
    cover = torch.maximum(trunk, branch) * f.inside(along.abs() - L)
    return -0.42 * cover, cover


def stain(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A dried drop: an uneven patch, a little darker than the surface, with a darker rim."""
    along, across = f.place()
    radius = f.uniform(0.11, 0.2) * scale
    distance = (along.square() + 1.7 * across.square()).sqrt() - radius * (1 + 0.3 * f.noise(9, 9))
    cover = (0.5 - distance / 0.02).clamp_(0, 1)
    rim = (1 - (distance / (0.025 * scale)).abs()).clamp_min_(0)
    return -0.13 * cover - 0.1 * rim, cover


def dent(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A smooth hollow: the slope towards the light is dark, the other one bright. The surface goes on inside."""
    along, across = f.place()
    radius = f.uniform(0.08, 0.14) * scale
    angle = f.uniform(0, 2 * math.pi)  # of the light, in the turned frame
    squared = (along.square() + 1.5 * across.square()) / radius.square()
    slope = (along * angle.cos() + across * angle.sin()) / radius * torch.exp(-squared)
    return 0.7 * slope, (squared < 2.2).to(surface.dtype)


def inclusion(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A chip of foreign matter pressed into the surface: angular, of one even tone."""
    along, across = f.place()
    a, b = f.wide(f.uniform(0.035, 0.075) * scale), f.wide(f.uniform(0.03, 0.05) * scale)
    corner = (along.abs() + across.abs() - 0.75 * (a + b)) / math.sqrt(2)
    cover = f.inside(torch.maximum(torch.maximum((along + 0.4 * across).abs() - a, across.abs() - b), corner))
    tone = torch.where(f.uniform(0, 1) < 0.5, 0.12, 0.92)
    return cover * (tone - surface), cover


def missing_thread(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A weave without one of its upright threads over some length: the lying ones run on, flat, over a dark gap."""
    thread = (f.threads * f.uniform(0.25, 0.75)).floor() + 0.5
    ends = f.inside((f.y - f.uniform(0.3, 0.7)).abs() - f.uniform(0.14, 0.3) * scale)
    cover = f.inside(((f.x * f.threads - thread).abs() - 0.5) / f.threads) * ends
    gap = 0.08 + 0.22 * (math.pi * f.threads * f.y).sin().abs()
    return cover * (gap - surface), cover


NEUTRAL, BROWN = (1.0, 1.0, 1.0), (0.7, 1.0, 1.5)  # how a change of brightness is shared among red, green, blue
DEFECTS: dict[str, tuple[Callable[[Frame, Tensor, float], tuple[Tensor, Tensor]], tuple[float, float, float]]] = {
    "scratch": (scratch, NEUTRAL),
    "pit": (pit, NEUTRAL),
    "crack": (crack, NEUTRAL),
    "stain": (stain, BROWN),
    "dent": (dent, NEUTRAL),
    "inclusion": (inclusion, NEUTRAL),
    "missing thread": (missing_thread, NEUTRAL),
}


def add_clutter(f: Frame, images: Tensor, clutter: float) -> None:
    """What is no defect, drawn into the images (n, 3, S, S): a reflection and an ink mark, more with more clutter."""
    distance = (f.x - f.uniform(0, 1)).square() + (f.y - f.uniform(0, 1)).square()
    images += (clutter * f.uniform(0, 0.35) * torch.exp(-distance / f.uniform(0.01, 0.06)))[:, None]
    dx, dy = (f.x - f.uniform(0.1, 0.9)).abs(), (f.y - f.uniform(0.1, 0.9)).abs()
    ring = f.inside((torch.maximum(dx, dy) - f.uniform(0.04, 0.06)).abs() - 0.01) * (f.uniform(0, 1) < 0.5 * clutter)
    images += ring[:, None] * (torch.tensor([0.15, 0.25, 0.7]).view(3, 1, 1) - images)
