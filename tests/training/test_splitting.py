"""Parts of a data set: groups stay together, and near-duplicates are found."""

import pytest
import torch

from cbam_lite import LabelledImages, make_defects, split
from cbam_lite.training.splitting import similar_groups


def pictures(n: int = 4, size: int = 8, **options: object) -> LabelledImages:
    labels = options.pop("labels", torch.zeros(n, dtype=torch.long))
    return LabelledImages(torch.randint(256, (n, 3, size, size), dtype=torch.uint8), labels, ("a", "b"), **options)  # type: ignore[arg-type]


def test_split_keeps_groups_together() -> None:
    groups = torch.arange(100) // 5
    first, second = split(pictures(100, groups=groups), 0.3, seed=1)
    assert not set(first.groups.tolist()) & set(second.groups.tolist())  # type: ignore[union-attr]
    assert len(first) + len(second) == 100
    assert len(second) == 30


def test_split_without_groups_is_random_and_repeats() -> None:
    data = make_defects(100)
    parts = [split(data, 0.25, seed=seed)[1].labels for seed in (0, 0, 1)]
    assert len(parts[0]) == 25
    assert torch.equal(parts[0], parts[1])
    assert not torch.equal(parts[0], parts[2])


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5])
def test_split_leaves_no_part_empty(share: float) -> None:
    with pytest.raises(ValueError, match="one part empty"):
        split(pictures(10), share)


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="in 1 groups"):
        split(pictures(10, groups=torch.zeros(10, dtype=torch.long)), 0.5)


def test_other_exposures_of_one_thing_are_one_group() -> None:
    images = make_defects(12, seed=4).images
    darker = (images.float() * 0.6 + 20).byte()
    groups = similar_groups(torch.cat([images, darker]))
    assert torch.equal(groups[:12], groups[12:])
    assert len(groups.unique()) == 12


def test_likeness_is_handed_on_along_a_chain() -> None:
    a, b = (make_defects(1, seed=seed).images[0].float() for seed in (1, 2))
    chain = torch.stack([a + (b - a) * share for share in torch.linspace(0, 1, 12)]).byte()
    assert similar_groups(chain).unique().tolist() == [0]
    assert len(similar_groups(chain[[0, -1]]).unique()) == 2
