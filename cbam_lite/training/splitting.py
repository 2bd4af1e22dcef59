"""Parts of a data set that share nothing: groups of images that show the same thing stay on one side."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cbam_lite.checks import number, sequence, tensor, whole
from cbam_lite.training.images import LabelledImages


def split(data: LabelledImages, share: float | Sequence[float], seed: int = 0) -> tuple[LabelledImages, ...]:
    """Two parts, or more; the second holds about `share` of the images. Images of one group stay on one side.

    Each part has the classes in about the same shares, as far as the groups allow. Without groups every image is a
    group of its own. Near-duplicates on both sides would make a test score worthless.

    Args:
        data: the images, with `groups` if some show the same thing.
        share: the share of the second part, between 0 and 1; for more parts a list, (0.2, 0.1) gives train, valid and
            test with 70, 20 and 10 percent.
        seed: which of the groups go where; the same seed gives the same parts.

    Returns:
        The parts as `LabelledImages`: first what is left, then one for each share.

    Warns:
        UserWarning: a class is missing in a part, or a part is off its share by more than a fifth, with the numbers.

    Raises:
        ValueError: the shares are not between 0 and 1 together, or a part would be empty.
        TypeError: `data` are no `LabelledImages`, or the share is no number.

    Example:
        >>> train, test = split(make_defects(100), share=0.2)
        >>> len(train), len(test)
        (80, 20)
        >>> [len(part) for part in split(make_defects(100), share=(0.2, 0.2))]
        [60, 20, 20]
    """
    if not isinstance(data, LabelledImages):
        raise TypeError(f"data must be LabelledImages, got {type(data).__name__}: see torch.utils.data.random_split")
    several = isinstance(share, Sequence) and not isinstance(share, str)
    rest = sequence("share", share) if several else [number("share", share)]  # type: ignore[arg-type]
    seed = whole("seed", seed, -(2**63))
    shares = np.array([1 - sum(rest), *rest])
    names, group = torch.unique(torch.arange(len(data)) if data.groups is None else data.groups, return_inverse=True)
    fits = (shares > 1e-9).all() and len(names) >= len(shares)
    parts = dealt(class_counts(data, group, len(names)), shares, seed) if fits else np.zeros(len(names), int)
    if len(set(parts.tolist())) < len(shares):
        raise ValueError(
            f"share={share} of {len(data)} images in {len(names)} groups leaves one part empty: "
            "use a share between 0 and 1, and more groups"
        )
    found = tuple(data.take(torch.from_numpy(parts == part)[group]) for part in range(len(shares)))
    for sentence in astray(data, found, shares):
        warnings.warn(sentence, UserWarning, stacklevel=2)
    return found


def class_counts(data: LabelledImages, group: Tensor, groups: int) -> NDArray[np.float64]:
    """How many images of each class each group has, (groups, classes), and in the last column all of them."""
    counts = np.zeros((groups, len(data.classes) + 1))
    np.add.at(counts, (group.numpy(), data.labels.numpy()), 1)
    counts[:, -1] = counts.sum(1)
    return counts


def dealt(counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The part of each group, (groups,): large groups first, each to the part that lacks most of what it has.

    A part should hold share * n images of a class with n images, and at least one. What counts is the sum over
    classes, and over all images together, of the squared distance from that, as a share of n.
    """
    order = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed)).numpy()
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    n = counts.sum(0)
    counts, wanted = counts[:, n > 0] / n[n > 0], np.maximum(shares[:, None], 1 / n[n > 0])
    wanted[:, -1] = shares
    weight = np.append(np.ones(len(wanted[0]) - 1), len(wanted[0]) ** 2)  # an image too many counts as one of its class
    there = np.zeros_like(wanted)  # (parts, classes), as shares of n
    parts = np.zeros(len(counts), int)
    for group in order:
        change = (counts[group] * (2 * (there - wanted) + counts[group])) @ weight
        parts[group] = change.argmin()
        there[parts[group]] += counts[group]
    return parts


def astray(data: LabelledImages, parts: Sequence[LabelledImages], shares: NDArray[np.float64]) -> Iterator[str]:
    """Sentences on parts that are not what was asked for."""
    total = torch.bincount(data.labels, minlength=len(data.classes))
    for n, (part, share) in enumerate(zip(parts, shares, strict=True), 1):
        wanted = share * len(data)
        if abs(len(part) - wanted) > max(wanted / 5, 0.5):
            yield (
                f"part {n} of the split has {len(part)} of {len(data)} images, {len(part) / len(data):.0%} "
                f"instead of {share:.0%}: its groups are too large or too few, the largest has {largest(data)} images"
            )
        there = torch.bincount(part.labels, minlength=len(data.classes))
        for name, all_of, here in zip(data.classes, total.tolist(), there.tolist(), strict=True):
            if all_of and not here:
                yield f"part {n} of the split has no {name!r}: its {all_of} images are in too few groups"


def largest(data: LabelledImages) -> int:
    """The number of images in the largest group."""
    return 1 if data.groups is None else int(torch.unique(data.groups, return_counts=True)[1].max())


def similar_groups(images: Tensor, threshold: float = 0.9) -> Tensor:
    """A number for each image, (N,); images whose thumbnails correlate above `threshold` get the same one, in chains.

    Two exposures of one thing are almost the same picture. Thumbnails are grey, 48x48, and compared by Pearson's
    correlation, so brightness and contrast do not count. The work grows as N^2. It is a guess: parts that look alike
    are chained though they differ, and two photographs of one part from two places are not found. Where a path names
    the part, give the loader a function of the path as its `groups`.
    """
    N, C, H, W = tensor("images", images, "N, C, H, W", least=1).shape
    number("threshold", threshold, -1, 1)
    thumbnails = torch.empty(N, 48 * 48, device=images.device)
    for some in torch.split(torch.arange(N), 8):  # all at once would take four times the memory of the images
        thumbnails[some] = thumbnail(images[some])
    groups = torch.arange(N, device=images.device)
    while True:  # each image takes the smallest number among those it is like, until nothing changes
        before = groups.clone()
        for rows in torch.split(torch.arange(N, device=images.device), 512):
            alike = thumbnails[rows] @ thumbnails.T > threshold
            alike[torch.arange(len(rows)), rows] = True
            groups[rows] = torch.where(alike, groups, N).amin(1)
        if torch.equal(groups, before):
            return groups


def thumbnail(images: Tensor) -> Tensor:
    """Grey thumbnails with mean 0 and length 1, (N, 2304), whose products are correlations."""
    grey = images.float().mean(1, keepdim=True)
    small = torch.nn.functional.interpolate(grey, (48, 48), mode="area").flatten(1)
    return torch.nn.functional.normalize(small - small.mean(1, keepdim=True))
