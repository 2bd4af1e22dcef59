"""Parts of a data set that share nothing: groups of images that show the same thing stay on one side."""

import torch
from torch import Tensor

from cbam_lite.checks import number, tensor, whole
from cbam_lite.training.images import LabelledImages


def split(data: LabelledImages, share: float, seed: int = 0) -> tuple[LabelledImages, LabelledImages]:
    """Two parts; the second holds about `share` of the images. Images of one group stay on one side.

    Without groups every image is a group of its own. Near-duplicates on both sides would make a test score worthless.

    Raises:
        ValueError: the share is not between 0 and 1, or one part would be empty.
        TypeError: `data` are no `LabelledImages`.

    Example:
        >>> train, test = split(make_defects(100), share=0.2)
        >>> len(train), len(test)
        (80, 20)
    """
    if not isinstance(data, LabelledImages):
        raise TypeError(f"data must be LabelledImages, got {type(data).__name__}: see torch.utils.data.random_split")
    number("share", share)
    groups = torch.arange(len(data)) if data.groups is None else data.groups
    names, sizes = torch.unique(groups, return_counts=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(whole("seed", seed, -(2**63))))
    before = sizes[order].cumsum(0) - sizes[order]  # images in the groups drawn earlier
    second = torch.isin(groups, names[order][before < share * len(data)])
    if not 0 < share < 1 or second.all() or not second.any():
        raise ValueError(
            f"share={share} of {len(data)} images in {len(names)} groups leaves one part empty: "
            "use a share between 0 and 1, and more groups"
        )
    return data.take(~second), data.take(second)


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
