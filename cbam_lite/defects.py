"""Surface defects with known truth: a seeded, procedural data set of five materials and seven defects.

Every image is computed from random numbers, so each pixel of each defect is known, and contrast, size and clutter can
be set. Lengths are shares of the image's side; a picture of 224 shows the same things as one of 64, only sharper.
"""

import hashlib
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from cbam_lite.data import LabelledImages
from cbam_lite.parts import choose, positive_int

CHUNK = 256  # images computed at once; the random numbers of a chunk depend on the seed and its number only


class Frame(NamedTuple):
    """What the drawing steps of n images share."""

    g: Generator
    x: Tensor  # (n, 1, S), from 0 to 1
    y: Tensor  # (n, S, 1)
    light: Tensor  # (n, 2), the direction from which the light comes, unit length
    threads: Tensor  # (n, 1, 1), threads along one side of a weave

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
        return (0.5 - distance * self.x.shape[-1]).clamp_(0, 1)

    def wide(self, width: Tensor) -> Tensor:
        """The half-width of a line, but at least 0.6 pixels, so that its mask is never empty."""
        return width.clamp_min(0.6 / self.x.shape[-1])


def spline(size: int, bumps: int) -> Tensor:
    """Cubic B-spline weights (size, bumps + 3): from random knots to a smooth curve of `size` pixels."""
    position = (torch.arange(size) + 0.5) / size * bumps
    distance = (position[:, None] - torch.arange(-1, bumps + 2)).abs()
    near = (2 - distance).clamp_min(0) ** 3 / 6
    return near - 4 * (1 - distance).clamp_min(0) ** 3 / 6


# ---- materials: brightness (n, S, S), about 0 to 1 ------------------------------------------------------------------


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


# ---- defects: change of brightness, and cover from 0 to 1, both (n, S, S) -------------------------------------------
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
        radius = f.wide(f.uniform(0.022, 0.042) * scale)
        hole = f.inside((dx.square() + dy.square()).sqrt() - radius)
        lit = (dx * f.light[:, 0, None, None] + dy * f.light[:, 1, None, None]) / radius
        change += hole * (-0.28 - 0.3 * lit)
        cover = torch.maximum(cover, hole)
    return change, cover


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
CLASSES = ("clean", *DEFECTS)


def add_clutter(f: Frame, images: Tensor, clutter: float) -> None:
    """What is no defect, drawn into the images (n, 3, S, S): a reflection and an ink mark, more with more clutter."""
    distance = (f.x - f.uniform(0, 1)).square() + (f.y - f.uniform(0, 1)).square()
    images += (clutter * f.uniform(0, 0.35) * torch.exp(-distance / f.uniform(0.01, 0.06)))[:, None]
    dx, dy = (f.x - f.uniform(0.1, 0.9)).abs(), (f.y - f.uniform(0.1, 0.9)).abs()
    ring = f.inside((torch.maximum(dx, dy) - f.uniform(0.04, 0.06)).abs() - 0.01) * (f.uniform(0, 1) < 0.5 * clutter)
    images += ring[:, None] * (torch.tensor([0.15, 0.25, 0.7]).view(3, 1, 1) - images)


# ---- the data set ---------------------------------------------------------------------------------------------------


def make_defects(
    n: int,
    *,
    size: int = 64,
    seed: int = 0,
    contrast: float = 1.0,
    scale: float = 1.0,
    clutter: float = 0.5,
    material: str | None = None,
) -> LabelledImages:
    """n images of surfaces, clean or with one kind of defect, with masks.

    All classes are equally frequent. A missing thread occurs on weave only, so other materials have seven classes.
    Equal arguments give equal bytes, and the first images of a larger set are those of a smaller one. Another contrast
    changes nothing but the contrast: with ``contrast=0`` the same surfaces come without their defects.

    Args:
        n: how many images.
        size: height and width in pixels, at least 32: 64, 128 or 224, for example.
        seed: another seed, other images. Train and test sets take different ones.
        contrast: how much a defect differs from its surface; 1 is easy to see, 0.3 hard. Each image has a random share
            of it, from 0.6 to 1.
        scale: the size of the defects, from above 0 to 1.5; 1 is as described at each defect.
        clutter: reflections, dust and ink marks, which are no defects, from 0 (none) to 1.
        material: one of `MATERIALS`; None takes all of them.

    Returns:
        `LabelledImages`: uint8 images (n, 3, size, size), labels, `CLASSES`, masks. A mask is where a defect covers at
        least half of a pixel; clean images have an empty one.

    Raises:
        ValueError: a number is outside its range; the error names it.
    """
    ranges = {"contrast": (contrast, 0, 2), "scale": (scale, 0.1, 1.5), "clutter": (clutter, 0, 1)}
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise ValueError(f"{name}={value} is outside its range: use {low} to {high}")
    if positive_int("size", size) < 32:
        raise ValueError(f"size={size} is too small to see a scratch: use size>=32")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed={seed!r} must be a whole number from 0 on")
    if material is not None:
        choose("material", material, MATERIALS)
    chunks = [
        one_chunk(seed, number, size, contrast, scale, clutter, material)
        for number in range(-(-positive_int("n", n) // CHUNK))
    ]
    images, labels, masks = (torch.cat(parts)[:n] for parts in zip(*chunks, strict=True))
    return LabelledImages(images, labels, CLASSES, masks)


def one_chunk(
    seed: int, number: int, size: int, contrast: float, scale: float, clutter: float, material: str | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and masks of `CHUNK` images; a chunk is always computed in full."""
    digest = hashlib.sha256(f"{seed}, {number}".encode()).digest()
    g = Generator().manual_seed(int.from_bytes(digest[:4]))  # torch's CPU generator takes 32 bits of its seed
    possible = len(CLASSES) if material in (None, "weave") else len(CLASSES) - 1  # only a weave can miss a thread
    labels = torch.randperm(CHUNK, generator=g) % possible
    kinds = torch.randint(len(MATERIALS), (CHUNK,), generator=g)
    if material is not None:
        kinds[:] = list(MATERIALS).index(material)
    kinds[labels == CLASSES.index("missing thread")] = list(MATERIALS).index("weave")
    axis = (torch.arange(size) + 0.5) / size
    x, y = axis.expand(CHUNK, 1, -1), axis[:, None].expand(CHUNK, -1, -1)
    light = torch.nn.functional.normalize(torch.randn(CHUNK, 2, generator=g))
    f = Frame(g, x, y, light, torch.randint(9, 14, (CHUNK, 1, 1), generator=g).float())

    surface, tint = torch.empty(CHUNK, size, size), torch.empty(CHUNK, 3)
    for kind, (draw, colour) in enumerate(MATERIALS.values()):
        members = (kinds == kind).nonzero()[:, 0]
        surface[members] = draw(part(f, members))
        tint[members] = torch.tensor(colour)
    surface *= 1 + f.uniform(-0.25, 0.25) * (f.x - 0.5) + f.uniform(-0.25, 0.25) * (f.y - 0.5)
    tint += 0.02 * torch.randn(CHUNK, 3, generator=g)
    images = surface[:, None] * tint[:, :, None, None]  # (n, 3, S, S)
    add_clutter(f, images, clutter)

    strength, masks = contrast * f.uniform(0.6, 1), torch.zeros(CHUNK, size, size, dtype=torch.bool)
    for label, (draw_defect, tone) in enumerate(DEFECTS.values(), start=1):
        members = (labels == label).nonzero()[:, 0]
        change, cover = draw_defect(part(f, members), surface[members], scale)
        images[members] += (strength[members] * change)[:, None] * torch.tensor(tone)[:, None, None]
        masks[members] = cover >= 0.5
    turned = torch.rand(CHUNK, generator=g) < 0.5  # half of the pictures lie on their side
    images[turned], masks[turned] = images[turned].transpose(2, 3), masks[turned].transpose(1, 2)
    # Random numbers for single pixels come last: before them, pictures of all sizes share the same ones.
    images += 0.018 * torch.randn(CHUNK, 1, size, size, generator=g)  # the camera
    images += 0.3 * (torch.rand(CHUNK, 1, size, size, generator=g) < 16 * clutter / size**2)  # dust
    return images.mul_(255).round_().clamp_(0, 255).byte(), labels, masks


def part(f: Frame, members: Tensor) -> Frame:
    """The frame of some of its images."""
    return Frame(f.g, f.x[members], f.y[members], f.light[members], f.threads[members])
