"""Mask files of every kind: row A 5 of the review of first use."""

from pathlib import Path

import numpy as np
import pytest
from layouts import hole, photo, save
from PIL import Image

from cbam_lite import masked_folder
from cbam_lite.photographs.masks import mask_values, refuse_inverted


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


# ---- edges that a small mistake would move ---------------------------------------------------------------------------


def test_half_of_the_masks_decide_and_half_of_the_image() -> None:
    assert refuse_inverted({"a": 0.5, "b": 0.9, "c": 0}, None) is None
    with pytest.raises(
        ValueError, match=r"^half of the 2 masks with content mark 51% of their image or more, so they seem"
    ):
        refuse_inverted({"a": 0.51, "b": 0.9, "c": 0}, None)
    assert refuse_inverted({"a": 0.1, "b": 0.2, "c": 0.95, "d": 0.96}, None) is not None
    assert refuse_inverted({"a": 0.95, "b": 0.99}, False) is None
    assert refuse_inverted({"a": 0, "b": 0}, None) is None


def test_the_first_three_large_masks_are_named() -> None:
    shares = {"e": 0.1, "f": 0.1, "g": 0.1, "h": 0.1, "a": 0.9, "b": 0.901, "c": 0.95, "d": 0.99, "i": 1.0, "j": 0.0}
    shares |= {"k": 0.1, "l": 0.1}
    said = "4 of 11 masks mark more than 90% of their image, as an inverted mask does: b 90.1%, c 95.0%, d 99.0%"
    assert refuse_inverted(shares, None) == said


def test_a_mask_of_another_size_says_both(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo(12, 16))
    save(tmp_path / "crack/1.png", hole(11, 15))
    with pytest.raises(ValueError, match=r"1\.jpg is 16x12, its mask 15x11: a mask needs the size of its image$"):
        masked_folder(tmp_path, 8)


def test_a_mask_with_a_tag_of_its_own_is_turned_by_that(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.rot90(hole(), 2).copy()).save(tmp_path / "crack/1.png", exif=exif)
    assert masked_folder(tmp_path, 48).boxes.tolist() == [[15, 16, 24, 24]]


def test_a_transposed_mask_of_an_image_without_a_tag_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo(12, 16))
    save(tmp_path / "crack/1.png", hole().T)
    with pytest.raises(ValueError, match="is 16x12, its mask 12x16"):
        masked_folder(tmp_path, 8)


def test_grey_palettes_keep_their_greys_and_the_threshold(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    picture = Image.fromarray(hole(marked=1))
    picture.putpalette([0, 0, 0, 100, 100, 100])
    picture.save(tmp_path / "crack/1.png")
    with pytest.raises(ValueError, match="its largest value is 100: use threshold=0 if every value but 0 is marked"):
        masked_folder(tmp_path, 48)
    assert masked_folder(tmp_path, 48, threshold=99).boxes.tolist() == [[15, 16, 24, 24]]


def test_16_bits_are_divided_by_257_where_they_need_it(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    values = np.full((12, 16), 127 * 257, np.uint16)
    values[4:6, 5:8] += 1
    Image.fromarray(values).save(tmp_path / "crack/1.png")
    assert masked_folder(tmp_path, 48).boxes.tolist() == [[15, 16, 24, 24]]
    Image.fromarray(hole(marked=200).astype(np.uint16)).save(tmp_path / "crack/1.png")
    assert masked_folder(tmp_path, 48, threshold=199).boxes.tolist() == [[15, 16, 24, 24]]
    Image.fromarray(np.where(hole() > 0, 256, 255).astype(np.uint16)).save(tmp_path / "crack/1.png")
    with pytest.raises(ValueError, match="no pixel above threshold=127"):
        masked_folder(tmp_path, 48)


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_masks_are_small_floats(kind: str, tmp_path: Path) -> None:
    write_mask(tmp_path / "1.png", kind)
    with Image.open(tmp_path / "1.png") as picture:
        values = mask_values(tmp_path / "1.png", picture, 127)
    assert values.dtype == np.float32
    assert (values.shape, values.min(), values.max()) == ((12, 16), 0, 255)
