"""One file: pixels, bits, pages, resizing and rounding."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cbam_lite import image_folder
from cbam_lite.photographs.reading import (
    Survey,
    bits_of,
    read_image,
    resized,
    resized_mask,
    survey,
    turned,
    whole_values,
)


def test_stripes_are_averaged_not_picked() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (60, 30))  # 60 x 60; every third pixel alone is black or white
    small = resized(stripes, 20).float()
    assert 60 < small.min()
    assert small.max() < 195


def test_resized_pixels_are_rounded() -> None:
    assert resized(np.array([[0, 3]], np.uint8).repeat(2, 0), 4)[0].tolist() == [0, 1, 2, 3]  # 0, 0.75, 2.25, 3


# ---- files with more than 8 bits, several pages, or damage -----------------------------------------------------------


def png_of_16_bit_colours(path: Path, values: np.ndarray) -> None:  # type: ignore[type-arg]
    """A PNG (H, W, 3) with 16 bits for each colour, which Pillow reads but does not write."""
    H, W, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", W, H, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def test_a3_sixteen_bit_colours_are_read_by_their_upper_half(tmp_path: Path) -> None:
    colours = np.broadcast_to(np.array([65535, 32768, 257 * 10]), (8, 8, 3))
    png_of_16_bit_colours(tmp_path / "a/1.png", colours)
    data = image_folder(tmp_path, 8)
    assert data.images[0, :, 0, 0].tolist() == [255, 128, 10]
    assert data.notes == ("1 image with 16 bits for each colour read by the upper 8",)


def test_a3_twelve_bits_in_sixteen_bit_colours_are_refused_with_the_fix(tmp_path: Path) -> None:
    png_of_16_bit_colours(tmp_path / "a/1.png", np.full((8, 8, 3), 4095))
    with pytest.raises(
        ValueError, match=r"brightest of the upper 8 bits is 15; multiply the values so that white is 65535"
    ):
        image_folder(tmp_path, 8)


def test_of_several_pages_the_first_is_read_and_said(tmp_path: Path) -> None:
    first, second = Image.new("L", (8, 8), 50), Image.new("L", (8, 8), 200)
    (tmp_path / "a").mkdir()
    first.save(tmp_path / "a/1.tif", save_all=True, append_images=[second])
    data = image_folder(tmp_path, 8)
    assert data.images.unique().tolist() == [50]
    assert data.notes == ("1 file with several pages: the first is read",)


@pytest.mark.parametrize("damage", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_damaged_files_are_named_once(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(damage)
    with pytest.raises(ValueError, match=r"a.1.png cannot be read as an image: replace it or take it away") as said:
        image_folder(tmp_path, 8)
    assert str(said.value).count("cannot be read as an image") == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_gives_three_channels(mode: str, tmp_path: Path) -> None:
    end = "tif" if mode in ("CMYK", "YCbCr") else "png"
    Image.new("L", (5, 4), 255).convert(mode).save(tmp_path / f"1.{end}")
    pixels = read_image(tmp_path / f"1.{end}", "RGB")
    assert (pixels.shape, pixels.dtype) == ((4, 5, 3), np.uint8)
    assert pixels.min() >= 254


# ---- edges that a small mistake would move ---------------------------------------------------------------------------


def deep(path: Path, values: np.ndarray) -> Path:  # type: ignore[type-arg]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def test_bits_are_the_fewest_that_hold_the_value() -> None:
    path = Path("a.png")
    found = [bits_of(path, value) for value in (0, 255, 256, 1023, 1024, 4095, 4096, 16383, 16384, 65535)]
    assert found == [8, 8, 10, 10, 12, 12, 14, 14, 16, 16]
    with pytest.raises(
        ValueError, match=r"^a\.png holds the value 65536, more than 16 bits: save it with 8 or 16 bits$"
    ):
        bits_of(path, 65536)


def test_numbers_below_zero_are_no_brightness(tmp_path: Path) -> None:
    path = deep(tmp_path / "1.tif", np.array([[-5, 3]], np.int32))
    with pytest.raises(
        ValueError, match=r"1\.tif holds negative numbers from -5 to 3, and nothing says which is white: sa"
    ):
        read_image(path, "RGB")
    with Image.open(deep(tmp_path / "2.tif", np.array([[0, 3]], np.int32))) as picture:
        assert whole_values(path, picture).tolist() == [[0, 3]]


def test_heads_are_counted_before_anything_is_loaded(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = Image.new("RGB", (4, 3))
    plain.save(tmp_path / "1.jpg", exif=exif)
    plain.save(tmp_path / "2.png", exif=exif)
    plain.save(tmp_path / "3.jpg")
    paths = [tmp_path / "1.jpg", tmp_path / "2.png", tmp_path / "3.jpg"]
    assert survey(paths) == Survey(None, 0, 0, 2, 0)
    paths += [deep(tmp_path / f"{top}.tif", np.full((2, 2), top, np.uint16)) for top in (300, 5000)]
    plain.save(tmp_path / "4.gif", save_all=True, append_images=[Image.new("RGB", (4, 3), "red")])
    png_of_16_bit_colours(tmp_path / "5.png", np.full((2, 2, 3), 9))
    assert survey([*paths, tmp_path / "4.gif", tmp_path / "5.png"]) == Survey(14, 2, 1, 2, 1)
    assert [turned(path) for path in (*paths[:3],)] == [6, 6, 1]


def test_grey_and_colours_of_a_file(tmp_path: Path) -> None:
    path = deep(tmp_path / "1.tif", np.array([[0, 512, 1023]], np.uint16))
    assert read_image(path, "L").tolist() == [[0, 128, 255]]
    assert read_image(path, "RGB").tolist() == [[[0] * 3, [128] * 3, [255] * 3]]
    assert read_image(path, "L", 12).tolist() == [[0, 32, 64]]
    picture = Image.fromarray(np.array([[[200, 100, 0]]], np.uint8))
    picture.save(tmp_path / "2.png")
    assert read_image(tmp_path / "2.png", "RGB").tolist() == [[[200, 100, 0]]]
    assert read_image(tmp_path / "2.png", "L").tolist() == np.array(picture.convert("L")).tolist()


def test_a_thin_mask_stays_when_it_gets_smaller() -> None:
    mask = torch.zeros(90, 60, dtype=torch.bool)
    mask[89, 0] = True
    small = resized_mask(mask, 20)
    assert small.shape == (20, 20)
    assert small.nonzero().tolist() == [[19, 0]]


def test_colours_are_resized_each_by_itself() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, :3] = (200, 80, 0)
    small = resized(pixels, 2)
    assert small.dtype == torch.uint8
    assert small.tolist() == [[[175, 25]] * 2, [[70, 10]] * 2, [[0, 0]] * 2], "2/3 + 1 + 2/3 of these, and 1/3"
    assert resized(pixels[..., 0], 2).tolist() == [[175, 25]] * 2
