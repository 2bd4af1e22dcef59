"""Folders of photographs, on miniature copies of each layout."""

from pathlib import Path

import numpy as np
import pytest
from layouts import save

from cbam_lite import image_folder, masked_folder, pcb_folder


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
