"""Surface defects with known truth: a seeded, procedural data set of five materials and seven defects.

Every image is computed from random numbers, so each pixel of each defect is known, and contrast, size and clutter can
be set. Lengths are shares of the image's side; a picture of 224 shows the same things as one of 64, only sharper.
"""

import hashlib

import torch
from torch import Generator, Tensor

from cbam_lite.checks import choose, number, positive_int
from cbam_lite.training.flaws import DEFECTS, add_clutter
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.materials import MATERIALS, frame, painted, part, photographed

CHUNK = 256  # images computed at once; the random numbers of a chunk depend on the seed and its number only
CLASSES = ("clean", *DEFECTS)


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
        TypeError: an argument is no number.

    Example:
        >>> data = make_defects(100, size=64, seed=0)
        >>> data.images.shape, data.masks.shape
        (torch.Size([100, 3, 64, 64]), torch.Size([100, 64, 64]))
        >>> data.classes
        ('clean', 'scratch', 'pit', 'crack', 'stain', 'dent', 'inclusion', 'missing thread')
    """
    ranges = {"contrast": (contrast, 0, 2), "scale": (scale, 0.1, 1.5), "clutter": (clutter, 0, 1)}
    for name, (value, low, high) in ranges.items():
        number(name, value, low, high)
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
    g = Generator().manual_seed(int.from_bytes(digest[:4], "big"))  # torch's CPU generator takes 32 bits of its seed
    possible = len(CLASSES) if material in (None, "weave") else len(CLASSES) - 1  # only a weave can miss a thread
    labels = torch.randperm(CHUNK, generator=g) % possible
    kinds = torch.randint(len(MATERIALS), (CHUNK,), generator=g)
    if material is not None:
        kinds[:] = list(MATERIALS).index(material)
    kinds[labels == CLASSES.index("missing thread")] = list(MATERIALS).index("weave")
    f = frame(g, CHUNK, size)
    surface, tint = painted(f, kinds)
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
    return photographed(f, images, clutter), labels, masks
