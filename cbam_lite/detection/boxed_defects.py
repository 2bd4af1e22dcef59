"""Surfaces with several defects each, and a true box and a true mask for every one of them."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Generator, Tensor

from cbam_lite.checks import choose, number, positive_int, whole
from cbam_lite.detection.boxed_images import BoxedImages, Objects
from cbam_lite.training.flaws import DEFECTS, add_clutter, one_hole
from cbam_lite.training.images import boxes_of
from cbam_lite.training.materials import MATERIALS, Frame, frame, painted, part, photographed

CHUNK = 64  # images computed at once; the random numbers of a chunk depend on the seed and its number only
TRIES = 2  # more places than defects are tried, because some come too near to another defect or to the border
APART = 3  # pixels of a picture of 128 between two boxes, at least


def one_pit(f: Frame, surface: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A single hole, so that a box is around one thing."""
    hole, shade = one_hole(f, f.x - f.uniform(0.25, 0.75), f.y - f.uniform(0.25, 0.75), scale)
    return shade, hole


# Each kind, its tone, the share of the picture's side that its own frame covers, and its scale in there. A missing
# thread is left out: it belongs to a whole weave.
KINDS = {
    "scratch": (*DEFECTS["scratch"], 0.5, 1.2),
    "pit": (one_pit, DEFECTS["pit"][1], 0.5, 3.6),
    "crack": (*DEFECTS["crack"], 0.5, 0.9),
    "stain": (*DEFECTS["stain"], 0.6, 1.0),
    "dent": (*DEFECTS["dent"], 0.6, 1.0),
    "inclusion": (*DEFECTS["inclusion"], 0.8, 1.5),
}
NAMES = tuple(KINDS)


def make_boxed_defects(
    n: int,
    *,
    size: int = 128,
    seed: int = 0,
    contrast: float = 1.0,
    clutter: float = 0.5,
    most: int = 4,
    kinds: Iterable[str] = NAMES,
) -> BoxedImages:
    """n images of surfaces with several defects, each with its box and its mask: what a detector learns from.

    At 128 pixels the longer side of a box is mostly 14 to 60 pixels, which strides of 16 and 32 can see. Boxes do not
    overlap, and no defect leaves the picture; one that finds no place is left out, so that there are fewer than asked
    for now and then. Equal arguments give equal bytes, the first images of a larger set are those of a smaller one, and
    another contrast changes nothing but the contrast.

    Args:
        n: how many images.
        size: height and width in pixels, at least 64; a detector wants a multiple of 32.
        seed: another seed, other images.
        contrast: how much a defect differs from its surface; 1 is easy to see, 0.3 hard.
        clutter: reflections, dust and ink marks, which are no defects, from 0 (none) to 1.
        most: each image is to have 0 to so many defects, all numbers equally often.
        kinds: which defects, some of `KINDS`; all are equally frequent. Label k is the k-th of them.

    Returns:
        `BoxedImages` with `masks`. A mask is where a defect covers at least half of a pixel, a box is the smallest
        around it.

    Raises:
        ValueError: a number is outside its range; the error names it.
        TypeError: an argument is no number, or `kinds` is a single name.

    Example:
        >>> data = make_boxed_defects(8)
        >>> data.images.shape, data.classes
        (torch.Size([8, 3, 128, 128]), ('scratch', 'pit', 'crack', 'stain', 'dent', 'inclusion'))
        >>> boxes, labels = data.objects[0]
        >>> data.masks[0].shape == (len(boxes), 128, 128)
        True
    """
    number("contrast", contrast, 0, 2)
    number("clutter", clutter, 0, 1)
    if positive_int("size", size) < 64:
        raise ValueError(f"size={size} is too small for several defects: use size>=64")
    whole("seed", seed)
    whole("most", most, 1, 8)
    names = checked_kinds(kinds)
    images, objects, masks = [], list[Objects](), list[Tensor]()
    for chunk in range(-(-positive_int("n", n) // CHUNK)):
        some, marked = one_chunk(seed, chunk, size, contrast, clutter, most, names)
        images.append(some)
        for labels, own in marked:
            objects.append(Objects(boxes_of(own).float(), labels))
            masks.append(own)
    return BoxedImages(torch.cat(images)[:n], tuple(objects[:n]), names, tuple(masks[:n]))


def checked_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """The names of some kinds, each once."""
    if isinstance(kinds, str) or not isinstance(kinds, Iterable):
        raise TypeError(f"kinds={kinds!r} must be a tuple of names, ({str(kinds)!r},) for a single one")
    names = tuple(choose(f"kinds[{i}]", kind, KINDS) for i, kind in enumerate(kinds))
    if not names or len(set(names)) < len(names):
        raise ValueError(f"kinds={names!r} must hold at least one of {', '.join(KINDS)}, and each only once")
    return names


def one_chunk(
    seed: int, chunk: int, size: int, contrast: float, clutter: float, most: int, names: tuple[str, ...]
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Images of `CHUNK` surfaces, and labels (n,) and masks (n, S, S) of the defects in each."""
    digest = hashlib.sha256(f"boxes, {seed}, {chunk}".encode()).digest()
    g = Generator().manual_seed(int.from_bytes(digest[:4], "big"))  # torch's CPU generator takes 32 bits of its seed
    kinds = torch.randint(len(MATERIALS), (CHUNK,), generator=g)
    f = frame(g, CHUNK, size)
    surface, tint = painted(f, kinds)
    images = surface[:, None] * tint[:, :, None, None]  # (n, 3, S, S)
    add_clutter(f, images, clutter)
    wanted = torch.randint(most + 1, (CHUNK,), generator=g)
    taken, marked = torch.zeros(CHUNK, size, size, dtype=torch.bool), [list[tuple[int, Tensor]]() for _ in range(CHUNK)]
    for _ in range(most + TRIES):
        labels = torch.randint(len(names), (CHUNK,), generator=g)
        change, masks = one_each(f, surface, labels, names)
        strength = contrast * f.uniform(0.6, 1)
        for i, (x0, y0, x1, y1) in enumerate(boxes_of(masks).tolist()):
            if len(marked[i]) < wanted[i] and fits(masks[i], taken[i], x0, y0, x1, y1):
                gap = -(-APART * size // 128)
                taken[i, max(0, y0 - gap) : y1 + gap, max(0, x0 - gap) : x1 + gap] = True
                images[i] += strength[i] * change[i]
                marked[i].append((int(labels[i]), masks[i]))
    return photographed(f, images, clutter), [stacked(found, size) for found in marked]


def one_each(f: Frame, surface: Tensor, labels: Tensor, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """One defect for each surface, somewhere, of the kind that its label names: its change (n, 3, S, S), its mask."""
    n, size, _ = surface.shape
    change, masks = torch.zeros(n, 3, size, size), torch.zeros(n, size, size, dtype=torch.bool)
    middle = [f.uniform(0.05, 0.95) for _ in range(2)]
    for label, (draw, tone, share, scale) in enumerate(KINDS[name] for name in names):
        members = (labels == label).nonzero()[:, 0]
        own = part(f, members)
        x, y = ((axis - m[members]) / share + 0.5 for axis, m in zip((own.x, own.y), middle, strict=True))
        of_kind, cover = draw(own._replace(x=x, y=y, share=share), surface[members], scale)
        change[members] = of_kind[:, None] * torch.tensor(tone)[:, None, None]
        masks[members] = cover >= 0.5
    return change, masks


def fits(mask: Tensor, taken: Tensor, x0: int, y0: int, x1: int, y1: int) -> bool:
    """Whether a defect is whole inside the picture, large enough to see, and away from the others."""
    S = mask.shape[-1]
    inside = 0 < x0 and x1 < S and 0 < y0 and y1 < S
    seen = max(x1 - x0, y1 - y0) >= 12 * S / 128
    return inside and seen and not bool(taken[y0:y1, x0:x1].any())


def stacked(found: list[tuple[int, Tensor]], size: int) -> tuple[Tensor, Tensor]:
    """Labels and masks of one image; of none, too."""
    masks = [mask for _, mask in found] or [torch.zeros(0, size, size, dtype=torch.bool)]
    return torch.tensor([label for label, _ in found], dtype=torch.long), torch.stack(masks) if found else masks[0]
