"""Folders of photographs, on miniature copies of each layout."""

from pathlib import Path

import numpy as np
import pytest
from layouts import save
from PIL import Image

from cbam_lite import image_folder, masked_folder, mvtec_folder, pcb_folder
from cbam_lite.photographs.folders import class_of


def test_masked_folder(tiles: Path) -> None:
    data = masked_folder(tiles, size=30)
    assert data.classes == ("Crack", "Free")
    assert data.images.shape == (3, 3, 30, 30)
    assert data.labels.tolist() == [0, 0, 1]
    assert data.masks is not None
    assert data.masks.sum((1, 2)).tolist() == [1, 1, 0]  # one pixel of 60x90 does not get lost
    assert data.masks[0, 15, 15]
    assert data.groups is not None
    assert len(data.groups.unique()) == 3
    assert masked_folder(tiles, size=60, threshold=50).masks.sum().item() > 2  # type: ignore[union-attr]


def test_masked_folder_without_a_mask(tiles: Path) -> None:
    (tiles / "MT_Crack/Imgs/exp1_num_1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"exp1_num_1\.jpg has no mask: put exp1_num_1.png beside it"):
        masked_folder(tiles)


def test_mask_of_another_size(tiles: Path) -> None:
    save(tiles / "MT_Crack/Imgs/exp1_num_1.png", np.zeros((60, 80)))
    with pytest.raises(ValueError, match="is 90x60, its mask 80x60"):
        masked_folder(tiles)


def test_file_that_is_no_image(tiles: Path) -> None:
    (tiles / "MT_Crack/Imgs/exp1_num_1.jpg").write_bytes(b"\xff\xd8 cut short")
    with pytest.raises(ValueError, match=r"exp1_num_1.jpg cannot be read as an image"):
        masked_folder(tiles)


@pytest.mark.parametrize("load", [masked_folder, pcb_folder, lambda folder: image_folder(folder, 8)])
def test_missing_and_empty_folders(load: object, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        load(tmp_path / "nowhere")  # type: ignore[operator]
    with pytest.raises(FileNotFoundError, match="expected"):
        load(tmp_path)  # type: ignore[operator]


def test_image_folder(tmp_path: Path) -> None:
    save(tmp_path / "train/cat/1.png", np.full((10, 20, 3), (200, 100, 0)))
    save(tmp_path / "train/ant/1.jpg", np.full((10, 20), 7))
    (tmp_path / "train/ant/notes.txt").write_text("no image")
    data = image_folder(tmp_path / "train", 16)
    assert data.classes == ("ant", "cat")
    assert data.labels.tolist() == [0, 1]
    assert data.images[1].amax((1, 2)).tolist() == [200, 100, 0]


def test_a_pixel_above_the_threshold_belongs_to_the_mask(tmp_path: Path) -> None:
    mask = np.zeros((4, 4))
    mask[0, 0], mask[3, 3] = 127, 128
    save(tmp_path / "MT_Crack/Imgs/1.jpg", np.zeros((4, 4)))
    save(tmp_path / "MT_Crack/Imgs/1.png", mask)
    assert masked_folder(tmp_path, 4).masks.nonzero().tolist() == [[0, 3, 3]]  # type: ignore[union-attr]


def test_endings_may_be_upper_case(tmp_path: Path) -> None:
    for value, name in enumerate(("a/1.PNG", "a/2.Jpg", "b/3.JPEG")):
        save(tmp_path / name, np.full((4, 4), 50 * value))
    assert image_folder(tmp_path, 4).labels.tolist() == [0, 0, 1]


# ---- names and parts -------------------------------------------------------------------------------------------------


def test_a_class_is_called_as_its_folder_is() -> None:
    root = Path("root")
    names = ("MT_Crack/Imgs", "Crack", "a/Imgs", "a/b", "a/MT_b", "Imgs/c")
    assert [class_of(root / name / "1.jpg", root) for name in names] == [
        "Crack",
        "Crack",
        "a",
        "a/b",
        "a/MT_b",
        "Imgs/c",
    ]


def test_bits_reach_every_folder(tmp_path: Path) -> None:
    for name in ("crack/1.tif", "test/crack/1.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / name)
    mask = np.zeros((8, 8))
    mask[2, 3] = 255
    save(tmp_path / "crack/1.png", mask)
    save(tmp_path / "ground_truth/crack/1_mask.png", mask)
    (tmp_path / "plain").mkdir()
    (tmp_path / "crack").rename(tmp_path / "plain/crack")
    masked = masked_folder(tmp_path / "plain", 8, bits=12)
    mvtec = mvtec_folder(tmp_path, 8, part="test", bits=12)
    for data in (masked, mvtec):
        assert data.images.unique().tolist() == [62]
        assert data.boxes.tolist() == [[3, 2, 4, 3]]
    assert (mvtec.classes, mvtec.paths, mvtec.groups) == (("good", "crack"), ("crack/1.tif",), None)
    assert masked.groups is not None


def test_thresholds_reach_the_masks_of_every_layout(tmp_path: Path) -> None:
    save(tmp_path / "test/crack/1.png", np.arange(64).reshape(8, 8))
    save(tmp_path / "ground_truth/crack/1_mask.png", np.full((8, 8), 100))
    assert mvtec_folder(tmp_path, 8, part="test", threshold=99).masks.all()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="no pixel above threshold=127"):
        mvtec_folder(tmp_path, 8, part="test")


def test_mvtec_s_kinds_come_from_both_parts_and_stray_images_are_said(tmp_path: Path) -> None:
    for name in ("train/good/0.png", "test/good/0.png", "train/odd/1.png"):
        save(tmp_path / name, np.arange(64).reshape(8, 8) + len(name))
    save(tmp_path / "ground_truth/odd/1_mask.png", np.full((8, 8), 255) * np.eye(8))
    (tmp_path / "test/.hidden").mkdir()
    (tmp_path / "test/notes").write_text("")
    save(tmp_path / "test/stray.png", np.zeros((8, 8)))
    with pytest.warns(UserWarning, match=r"1 image in no class folder left out: stray.png"):
        data = mvtec_folder(tmp_path, 8, part="test")
    assert data.classes == ("good", "odd")
    assert data.paths == ("good/0.png",)
    assert any("stray.png" in note for note in data.notes)
    assert mvtec_folder(tmp_path, 8, part="train", classes=["odd", "good"]).labels.tolist() == [1, 0]


def test_groups_by_likeness_are_the_default_where_tiles_come_in_several_exposures(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (48, 48))
    for number, image in enumerate((pixels, pixels + 30, pixels.T)):
        save(tmp_path / f"crack/{number}.jpg", image)
        save(tmp_path / f"crack/{number}.png", np.eye(48) * 255)
    data = masked_folder(tmp_path)
    assert data.images.shape[-1] == 224
    assert data.groups is not None
    assert data.groups.tolist() == [0, 0, 2]


def test_of_large_masks_one_is_said_after_all_else(tmp_path: Path) -> None:
    for number in range(4):
        mask = np.zeros((8, 8))
        mask[: 8 if number == 3 else 1] = 255
        save(tmp_path / f"crack/{number}.jpg", np.random.default_rng(number).integers(0, 255, (8, 8)))
        save(tmp_path / f"crack/{number}.png", mask)
    (tmp_path / "notes.txt").write_text("")
    with pytest.warns(UserWarning, match="1 of 4 masks mark more than 90% of their image"):
        data = masked_folder(tmp_path, 8)
    assert len(data.notes) == 2
    assert data.notes[0] == "1 file that is no image left out: notes.txt"
