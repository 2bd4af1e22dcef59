"""Every trap of the review's part A in one folder: what is read is right, and what is not is said, with the numbers."""

from pathlib import Path

import numpy as np
import pytest
from layouts import hole, photo, save
from PIL import Image

from cbam_lite import LabelledImages, describe, image_folder, masked_folder, split

HOLE = [15, 16, 24, 24]  # the hole of 12 x 16 pixels in 48 x 48


def mask(path: Path, kind: str) -> None:
    """The hole in another form than black and white, as another program writes it."""
    picture = Image.fromarray(hole())
    if kind == "palette":
        picture = Image.fromarray(hole(marked=1))
        picture.putpalette([0, 0, 0, 128, 0, 0])
    if kind == "alpha":
        picture = Image.merge("LA", (Image.new("L", (16, 12)), picture))
    picture.convert("1").save(path) if kind == "two colours" else picture.save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Masked photographs with all that real folders have."""
    root = tmp_path / "data"
    exposure = photo()
    for name in ("MT_Crack/1.jpg", "MT_Crack/2.JPEG", "MT_Crack/3.tif", "MT_Crack/4.bmp"):
        save(root / name, photo())
    for name, kind in (("1.png", "palette"), ("2.PNG", "alpha"), ("3.png", "two colours"), ("4_mask.png", "grey")):
        mask(root / "MT_Crack" / name, kind)
    Image.fromarray((photo() * 16).astype(np.uint16)).save(root / "MT_Crack/5.tiff")  # 12 bits in 16
    save(root / "MT_Crack/5.png", hole())
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = photo(16, 12)
    Image.fromarray(np.rot90(upright).astype(np.uint8)).save(root / "MT_Crack/6.tiff", exif=exif)
    save(root / "MT_Crack/6.png", np.zeros((16, 12)))  # an empty mask among others
    save(tmp_path / "elsewhere/7.jpg", exposure)
    save(tmp_path / "elsewhere/8.jpg", exposure * 0.6 + 20)  # another exposure of the same part
    save(tmp_path / "elsewhere/9.png", np.full((12, 16), 255))
    (root / "Free").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(root)
    save(root / "Copies/10.jpg", exposure)  # the same picture in another class
    save(root / "Copies/10.png", hole())
    save(root / "overview.png", photo())
    save(root / ".ipynb_checkpoints/1-checkpoint.jpg", photo())
    (root / "MT_Crack/._1.jpg").write_bytes(b"\0\5\26\7")
    (root / "MT_Crack/readme.txt").write_text("text")
    (root / "Empty").mkdir()
    return root


@pytest.fixture
def data(tree: Path) -> LabelledImages:
    with pytest.warns(UserWarning, match="left out|so no class|equal to another"):
        return masked_folder(tree, 48)


def test_what_is_there_is_read(data: LabelledImages) -> None:
    assert data.classes == ("Copies", "Crack", "Free")
    assert data.paths == (
        "Copies/10.jpg", "Free/7.jpg", "Free/8.jpg", "Free/9.png",
        "MT_Crack/1.jpg", "MT_Crack/2.JPEG", "MT_Crack/3.tif", "MT_Crack/4.bmp", "MT_Crack/5.tiff", "MT_Crack/6.tiff",
    )  # fmt: skip
    assert data.labels.tolist() == [0, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert data.boxes.tolist() == [HOLE] + [[0] * 4] * 3 + [HOLE] * 5 + [[0] * 4]
    assert data.groups is not None
    assert data.groups.tolist() == [0, 0, 0, 3, 4, 5, 6, 7, 8, 9]
    means = data.images.float().mean((1, 2, 3))
    assert 100 < means[4:].min() <= means[4:].max() < 150, "none is white or black, 16 bits or not"


def test_what_is_not_read_is_said(data: LabelledImages) -> None:
    assert data.notes == (
        "2 hidden files or folders left out: .ipynb_checkpoints, MT_Crack/._1.jpg",
        "1 file that is no image left out: MT_Crack/readme.txt",
        "1 image in no class folder left out: overview.png",
        "1 folder without an image, so no class: Empty",
        "'Free' has no mask file, so its 3 images count as clean",
        "1 16-bit image divided by 4095 (12 bits), one rule for all: pass bits=12 for other folders of this camera",
        "1 image turned upright, as the EXIF tag says",
        "1 image equal to another of another class: Copies/10.jpg = Free/7.jpg",
    )


def test_it_is_described_with_its_numbers(data: LabelledImages) -> None:
    found = describe(data)
    assert (found.images, found.size) == (10, (48, 48))
    assert found.counts == {"Copies": 1, "Crack": 6, "Free": 3}
    assert (found.groups, found.largest_group) == (8, 3)
    assert (found.white, found.black, found.flat) == ((3,), (), ())
    assert (found.empty, found.full) == ((1, 2, 3, 9), ())
    assert [(i, j) for i, j, _ in found.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert found.masked == {"Copies": 0.0312, "Crack": 0.0312}
    assert found.notes == data.notes
    assert found.warnings == (
        "'Copies' has 1 image: a score for it says little below 10",
        "'Crack' has 6 images: a score for it says little below 10",
        "'Free' has 3 images: a score for it says little below 10",
        "1 image all white: Free/9.png",
        "1 empty mask in a class whose other masks have content: MT_Crack/6.tiff",
        "2 pairs of near-duplicates in different classes: Copies/10.jpg, Free/7.jpg",
    )


@pytest.mark.filterwarnings("ignore:part 2")
def test_a_split_of_it_keeps_exposures_together(data: LabelledImages) -> None:
    for seed in range(5):
        train, test = split(data, 0.3, seed)
        found = describe(train, test)
        assert found.across == ()
        assert not any("on both sides" in sentence for sentence in found.warnings)


def test_the_loader_without_masks_refuses_it(tree: Path) -> None:
    with pytest.raises(ValueError, match=r"7 images of 18 .* use masked_folder\(folder, size\)"):
        image_folder(tree, 48)
