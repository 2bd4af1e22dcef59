"""One file: pixels, bits, pages, resizing and rounding."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbam_lite import image_folder
from cbam_lite.photographs.reading import read_image, resized


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
