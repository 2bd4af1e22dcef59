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
    correlation, so brightness and contrast do not count. Memory grows as N^2.
    """
    N, C, H, W = tensor("images", images, "N, C, H, W", least=1).shape
    number("threshold", threshold, -1, 1)
    thumbnails = torch.nn.functional.interpolate(images.float().mean(1, keepdim=True), (48, 48), mode="area").flatten(1)
    thumbnails = torch.nn.functional.normalize(thumbnails - thumbnails.mean(1, keepdim=True))  # (N, 2304)
    alike = thumbnails @ thumbnails.T > threshold
    alike |= torch.eye(len(images), dtype=torch.bool, device=images.device)
    groups = torch.arange(len(images), device=images.device)
    while True:  # each image takes the smallest number among those it is like, until nothing changes
        smallest = torch.where(alike, groups, len(images)).amin(1)
        if torch.equal(smallest, groups):
            return groups
        groups = smallest
