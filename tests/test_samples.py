"""The photograph that ships with the package."""

import torch

from cbam_lite import cat_photo


def test_the_cat_is_an_image() -> None:
    photo = cat_photo()
    assert photo.shape == (3, 192, 192)
    assert photo.dtype == torch.float32
    assert photo.is_contiguous()
    assert photo.min() >= 0
    assert 0.5 < photo.max() <= 1
    assert photo[0].mean() > photo[2].mean()  # Chelsea is ginger: more red than blue, so the channels are RGB


def test_each_call_gives_a_photo_of_its_own() -> None:
    cat_photo().zero_()
    assert cat_photo().any()
