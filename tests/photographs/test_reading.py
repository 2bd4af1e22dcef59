"""One file: pixels, resizing and rounding."""

import numpy as np

from cbam_lite.photographs.reading import resized


def test_stripes_are_averaged_not_picked() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (60, 30))  # 60 x 60; every third pixel alone is black or white
    small = resized(stripes, 20).float()
    assert 60 < small.min()
    assert small.max() < 195


def test_resized_pixels_are_rounded() -> None:
    assert resized(np.array([[0, 3]], np.uint8).repeat(2, 0), 4)[0].tolist() == [0, 1, 2, 3]  # 0, 0.75, 2.25, 3
