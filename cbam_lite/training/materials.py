"""The five surfaces that `defects` draws on, and the frame of coordinates and random numbers behind them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor


class Frame(NamedTuple):
    """What the drawing steps of n images share."""

    g: Generator
    x: Tensor  # (n, 1, S), from 0 to 1
    y: Tensor  # (n, S, 1)
    light: Tensor  # (n, 2), the direction from which the light comes, unit length
    threads: Tensor  # (n, 1, 1), threads along one side of a weave
    share: Tensor | float = 1.0  # of the picture's side that x and y go from 0 to 1 along

    def uniform(self, low: float, high: float) -> Tensor:
        """One random number for each image, (n, 1, 1)."""
        return torch.rand(len(self.x), 1, 1, generator=self.g) * (high - low) + low

    def noise(self, rows: int, columns: int) -> Tensor:
        """Smooth noise (n, S, S) of about unit variance, with so many bumps from top to bottom and left to right."""
        S = self.x.shape[-1]
        knots = torch.randn(len(self.x), rows + 3, columns + 3, generator=self.g)
        return 1.5 * spline(S, rows) @ knots @ spline(S, columns).T

    def place(self) -> tuple[Tensor, Tensor]:
        """x and y of each pixel seen from a random place, turned by a random angle: along and across, (n, S, S)."""
        dx, dy = self.x - self.uniform(0.25, 0.75), self.y - self.uniform(0.25, 0.75)
        angle = self.uniform(0, 2 * math.pi)
        return dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()

    def inside(self, distance: Tensor) -> Tensor:
        """1 where the signed distance to an edge is negative, 0 where it is positive, soft over one pixel."""
        return (0.5 - distance * (self.x.shape[-1] * self.share)).clamp_(0, 1)

    def wide(self, width: Tensor) -> Tensor:
        """The half-width of a line, but at least 0.6 pixels, so that its mask is never empty."""
        return torch.maximum(width, torch.as_tensor(0.6 / (self.x.shape[-1] * self.share)))


def spline(size: int, bumps: int) -> Tensor:
    """Cubic B-spline weights (size, bumps + 3): from random knots to a smooth curve of `size` pixels."""
    position = (torch.arange(size) + 0.5) / size * bumps
    distance = (position[:, None] - torch.arange(-1, bumps + 2)).abs()
    near = (2 - distance).clamp_min(0) ** 3 / 6
    return near - 4 * (1 - distance).clamp_min(0) ** 3 / 6


def brushed(f: Frame) -> Tensor:
    """Sheet metal with brushing marks and a broad reflection."""
    marks = 0.05 * f.noise(60, 3) + 0.04 * f.noise(28, 5)
    return 0.55 + marks + 0.14 * torch.cos(math.pi * (1.5 * f.x - f.uniform(0, 1.5)))


def weave(f: Frame) -> Tensor:
    """Plain weave: at each crossing either the upright thread is on top, or the lying one."""
    upright, lying = (math.pi * f.threads * f.x).sin(), (math.pi * f.threads * f.y).sin()
    over = upright * lying > 0
    return 0.22 + torch.where(over, 0.5 * upright.abs(), 0.42 * lying.abs()) + 0.04 * f.noise(20, 20)


def grain(f: Frame) -> Tensor:
    """Smooth wood: year rings that wander, and fine fibres."""
    ring = torch.sin(2 * math.pi * (f.uniform(4, 8) * f.y + 0.6 * f.noise(3, 2)))
    return 0.52 + 0.11 * ring * ring.abs() + 0.045 * f.noise(50, 4)


def cast(f: Frame) -> Tensor:
    """A cast skin: bumps of several sizes, lit from one side."""
    height = f.noise(14, 14) + 0.6 * f.noise(30, 30)
    slope_x, slope_y = torch.gradient(height, dim=(2, 1))
    lit = f.light[:, 0, None, None] * slope_x + f.light[:, 1, None, None] * slope_y
    return 0.42 + 0.13 * lit * height.shape[-1] / 64 + 0.04 * f.noise(5, 5)


def tile(f: Frame) -> Tensor:
    """A glazed tile with speckles, and the joint to its neighbours."""
    speckles = ((f.noise(34, 34) - 1.3) * 4).clamp_(0, 1)
    joint = torch.maximum(f.inside((f.x - f.uniform(-0.2, 1.2)).abs() - 0.016), f.inside((f.y - 0.9).abs() - 0.016))
    return (0.72 + 0.03 * f.noise(4, 4) - 0.2 * speckles) * (1 - 0.35 * joint)


MATERIALS: dict[str, tuple[Callable[[Frame], Tensor], tuple[float, float, float]]] = {
    "brushed metal": (brushed, (0.96, 1.0, 1.06)),
    "weave": (weave, (1.12, 1.02, 0.86)),
    "wood grain": (grain, (1.28, 0.98, 0.70)),
    "cast iron": (cast, (0.98, 0.98, 1.02)),
    "glazed tile": (tile, (0.92, 1.03, 1.05)),
}


def frame(g: Generator, n: int, size: int) -> Frame:
    """The coordinates of n pictures, and the light on each."""
    axis = (torch.arange(size) + 0.5) / size
    x, y = axis.expand(n, 1, -1), axis[:, None].expand(n, -1, -1)
    light = torch.nn.functional.normalize(torch.randn(n, 2, generator=g))
    return Frame(g, x, y, light, torch.randint(9, 14, (n, 1, 1), generator=g).float())


def part(f: Frame, members: Tensor) -> Frame:
    """The frame of some of its images."""
    share = f.share[members] if isinstance(f.share, Tensor) else f.share
    return Frame(f.g, f.x[members], f.y[members], f.light[members], f.threads[members], share)


def painted(f: Frame, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Surfaces (n, S, S) of these materials, numbers in `MATERIALS`, with uneven light, and their tints (n, 3)."""
    n, size = len(kinds), f.x.shape[-1]
    surface, tint = torch.empty(n, size, size), torch.empty(n, 3)
    for kind, (draw, colour) in enumerate(MATERIALS.values()):
        members = (kinds == kind).nonzero()[:, 0]
        surface[members] = draw(part(f, members))
        tint[members] = torch.tensor(colour)
    surface *= 1 + f.uniform(-0.25, 0.25) * (f.x - 0.5) + f.uniform(-0.25, 0.25) * (f.y - 0.5)
    tint += 0.02 * torch.randn(n, 3, generator=f.g)
    return surface, tint


def photographed(f: Frame, images: Tensor, clutter: float) -> Tensor:
    """Noise of the camera, and dust, in images (n, 3, S, S); then uint8.

    Random numbers for single pixels come last: before them, pictures of all sizes share the same ones.
    """
    n, _, size, _ = images.shape
    images += 0.018 * torch.randn(n, 1, size, size, generator=f.g)
    images += 0.3 * (torch.rand(n, 1, size, size, generator=f.g) < 16 * clutter / size**2)
    return images.mul_(255).round_().clamp_(0, 255).byte()
