"""Mask files of every kind: row A 5 of the review of first use."""

from pathlib import Path

import numpy as np
import pytest
from layouts import hole, photo, save
from PIL import Image

from cbam_lite import masked_folder


def write_mask(path: Path, kind: str) -> None:
    """The hole, as one of the many programs writes it."""
    mask = hole()
    black, white = np.zeros_like(mask), np.full_like(mask, 255)
    picture = {
        "grey": lambda: Image.fromarray(mask),
        "two colours": lambda: Image.fromarray(mask).convert("1"),
        "16 bits": lambda: Image.fromarray(mask.astype(np.uint16) * 257),
        "red": lambda: Image.fromarray(np.dstack([mask, black, black])),
        "palette": lambda: Image.fromarray(mask // 255),
        "alpha of black": lambda: Image.fromarray(np.dstack([black, black, black, mask])),
        "alpha of white": lambda: Image.fromarray(np.dstack([white, white, white, mask])),
        "painted": lambda: Image.fromarray(np.dstack([mask, black, black, mask])),
        "opaque": lambda: Image.fromarray(np.dstack([mask, mask, mask, white])),
        "grey and alpha": lambda: Image.fromarray(np.dstack([black, mask]), "LA"),
        "0 and 1": lambda: Image.fromarray(mask // 255),
    }[kind]()
    if kind == "palette":
        picture.putpalette([0, 0, 0, 64, 0, 0])  # a dark red, as VOC's eighth class has it
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


KINDS = (
    "grey", "two colours", "16 bits", "red", "palette", "alpha of black", "alpha of white", "painted", "opaque",
    "grey and alpha",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a5_each_kind_of_mask_marks_the_same(kind: str, tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    write_mask(tmp_path / "crack/1.png", kind)
    data = masked_folder(tmp_path, 48)
    assert data.boxes.tolist() == [[15, 16, 24, 24]]
    assert data.masks is not None
    assert data.masks.sum() == 9 * 8


def test_a5_masks_of_0_and_1_are_refused_with_the_fix(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    write_mask(tmp_path / "crack/1.png", "0 and 1")
    with pytest.raises(ValueError, match=r"1.png has content, but .* above threshold=127.* value is 1: use thresh"):
        masked_folder(tmp_path, 48)
    assert masked_folder(tmp_path, 48, threshold=0).boxes.tolist() == [[15, 16, 24, 24]]


def test_a5_colour_and_alpha_that_disagree_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    Image.fromarray(np.dstack([hole(), hole(), hole(), 255 - hole()])).save(tmp_path / "crack/1.png")
    with pytest.raises(ValueError, match=r"1.png has colours and transparency that mark different pixels"):
        masked_folder(tmp_path, 8)


def test_a5_inverted_masks_are_refused_with_the_fix(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"crack/{number}.jpg", photo())
        save(tmp_path / f"crack/{number}.png", 255 - hole())
    with pytest.raises(ValueError, match=r"of the 3 masks with content mark 97% .* inverted=True if white is good"):
        masked_folder(tmp_path, 48)
    assert masked_folder(tmp_path, 48, inverted=True).boxes.tolist() == [[15, 16, 24, 24]] * 3
    assert masked_folder(tmp_path, 48, inverted=False).masks.float().mean() > 0.9  # type: ignore[union-attr]


def test_a5_one_inverted_mask_among_others_is_named(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"crack/{number}.jpg", photo())
        save(tmp_path / f"crack/{number}.png", 255 - hole() if number == 1 else hole())
    with pytest.warns(UserWarning, match=r"1 of 3 masks mark more than 90% .*: crack/1.jpg 96.9%"):
        data = masked_folder(tmp_path, 8)
    assert "crack/1.jpg 96.9%" in data.notes[-1]
