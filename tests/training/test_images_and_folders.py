"""Labelled images: the container, the split by groups, and loaders on miniature copies of each layout."""

import dataclasses
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from cbam_lite import LabelledImages, image_folder, make_defects, masked_folder, pcb_folder, split, torchvision_data
from cbam_lite.training.folders import resized
from cbam_lite.training.images import boxes_of, similar_groups


def pictures(n: int = 4, size: int = 8, **options: object) -> LabelledImages:
    labels = options.pop("labels", torch.zeros(n, dtype=torch.long))
    return LabelledImages(torch.randint(256, (n, 3, size, size), dtype=torch.uint8), labels, ("a", "b"), **options)  # type: ignore[arg-type]


# ---- the container --------------------------------------------------------------------------------------------------


def test_it_is_a_torch_data_set() -> None:
    data = make_defects(10)
    image, label = data[3]
    assert image.shape == (3, 64, 64)
    assert 0 <= image.min() < image.max() <= 1
    assert label == data.labels[3]
    images, labels = next(iter(DataLoader(data, batch_size=5)))
    assert torch.equal(images, data.images[:5] / 255)
    assert torch.equal(labels, data.labels[:5])


def test_take_keeps_everything_together() -> None:
    data = make_defects(50)
    chosen = data.take(data.labels == 3)
    assert (chosen.labels == 3).all()
    assert torch.equal(chosen.masks, data.masks[data.labels == 3])  # type: ignore[arg-type, index]
    assert torch.equal(data.take(slice(5)).images, data.images[:5])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"images": torch.zeros(4, 3, 8, 8)}, TypeError, r"\(images \* 255\).byte\(\)"),
        ({"images": torch.zeros(4, 8, 8, dtype=torch.uint8)}, ValueError, r"expected \(N, 3, H, W\)"),
        ({"labels": torch.zeros(3, dtype=torch.long)}, ValueError, r"shape \(3,\), but 4 images need \(4,\)"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, ValueError, "run from 0 to 2, but there are 2 classes"),
        ({"labels": torch.tensor([0, -1, 1, 0])}, ValueError, "run from -1 to 1"),
        ({"masks": torch.zeros(4, 8, 9, dtype=torch.bool)}, ValueError, "masks have the shape"),
        ({"groups": torch.zeros(2, dtype=torch.long)}, ValueError, "groups have the shape"),
    ],
)
def test_parts_that_do_not_fit(change: dict[str, torch.Tensor], error: type[Exception], said: str) -> None:
    parts = {"images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8), "labels": torch.zeros(4, dtype=torch.long)}
    with pytest.raises(error, match=said):
        LabelledImages(**(parts | change), classes=("a", "b"))


def test_no_masks_no_boxes() -> None:
    with pytest.raises(ValueError, match="no masks"):
        _ = pictures().boxes


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), max_size=6))
def test_boxes_by_hand(points: list[tuple[int, int]]) -> None:
    mask = torch.zeros(1, 7, 9, dtype=torch.bool)
    for row, column in points:
        mask[0, row, column] = True
    rows, columns = [p[0] for p in points], [p[1] for p in points]
    expected = [min(columns), min(rows), max(columns) + 1, max(rows) + 1] if points else [0, 0, 0, 0]
    assert boxes_of(mask)[0].tolist() == expected


# ---- splitting ------------------------------------------------------------------------------------------------------


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


# ---- folders --------------------------------------------------------------------------------------------------------


def save(path: Path, pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Three photographs of two classes in the layout of the magnetic tiles, not square, one pixel masked."""
    random = np.random.default_rng(0)
    for number, kind in enumerate(("MT_Crack", "MT_Crack", "MT_Free")):
        save(tmp_path / kind / "Imgs" / f"exp1_num_{number}.jpg", random.integers(0, 255, (60, 90)))
        mask = np.zeros((60, 90))
        if kind == "MT_Crack":
            mask[30, 45] = 255
            mask[31, 45] = 100  # a grey edge
        save(tmp_path / kind / "Imgs" / f"exp1_num_{number}.png", mask)
    return tmp_path


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


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """One board of 100x80 with two defects, one of them at the border, in DeepPCB's layout."""
    save(tmp_path / "group1/0001/00010_test.jpg", np.full((80, 100), 200))
    save(tmp_path / "group1/0001/00010_temp.jpg", np.full((80, 100), 50))
    notes = tmp_path / "group1/0001_not/00010.txt"
    notes.parent.mkdir()
    notes.write_text("50 40 60 46 3\n90 0 100 8 1\n\n")
    return tmp_path


def test_pcb_folder(boards: Path) -> None:
    data = pcb_folder(boards, size=32)
    assert data.images.shape == (3, 3, 32, 32)
    assert [data.classes[label] for label in data.labels] == ["mousebite", "open", "clean"]
    assert data.boxes.tolist() == [[11, 13, 21, 19], [22, 0, 32, 8], [0, 0, 0, 0]]
    assert data.images[:2].min() > 190  # the board
    assert data.images[2].max() < 60  # its template
    assert data.groups.tolist() == [0, 0, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1 2 3", "expected 'x0 y0 x1 y1 type', got '1 2 3'"),
        ("a 2 3 4 1", "got 'a 2 3 4 1'"),
        ("50 40 160 46 3", "no box inside 100x80"),
        ("50 40 50 46 3", "no box inside"),
        ("50 40 60 46 7", "type from 1 to 6"),
    ],
)
def test_pcb_annotations_that_are_wrong(boards: Path, line: str, said: str) -> None:
    (boards / "group1/0001_not/00010.txt").write_text(line)
    with pytest.raises(ValueError, match=said):
        pcb_folder(boards, size=32)


def test_pcb_boards_without_defects(boards: Path) -> None:
    (boards / "group1/0001_not/00010.txt").write_text("\n")
    with pytest.raises(ValueError, match="holds 1 boards, but no defect is noted"):
        pcb_folder(boards, size=32)


def test_pcb_board_that_is_too_small(boards: Path) -> None:
    with pytest.raises(ValueError, match="use size<=80"):
        pcb_folder(boards, size=81)


def test_pcb_without_its_template(boards: Path) -> None:
    (boards / "group1/0001/00010_temp.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"00010_temp\.jpg, which is not there"):
        pcb_folder(boards)


# ---- torchvision's data sets ----------------------------------------------------------------------------------------


def test_fashion_mnist(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 5), ("t10k", 2)):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">iiii", 2051, n, 28, 28) + bytes(range(n)) * 784)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, n) + bytes(range(n)))
    data = torchvision_data("fashion-mnist", tmp_path, train=True)
    assert data.images.shape == (5, 3, 28, 28)
    assert torch.equal(data.images[:, 0], data.images[:, 2])
    assert data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.classes[0] == "T-shirt/top"
    assert len(torchvision_data("fashion-mnist", tmp_path, train=False)) == 2


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    content = {"data": np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8), "labels": [9, 1]}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = torchvision_data("cifar10", tmp_path, train=False)
    assert data.images.shape == (2, 3, 32, 32)
    assert data.images[0, 1, 0, :3].tolist() == [0, 1, 2]  # green begins at 1024 = 0 modulo 256
    assert data.labels.tolist() == [9, 1]
    assert len(torchvision_data("cifar10", tmp_path, train=True)) == 10


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="use download=True"):
        torchvision_data("cifar10", tmp_path, train=True)
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        torchvision_data("cifar", tmp_path, train=True)


def test_without_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ImportError, match="pip install torchvision"):
        torchvision_data("cifar10", tmp_path, train=True)


# ---- what a small change would move ---------------------------------------------------------------------------------


def test_a_pixel_above_the_threshold_belongs_to_the_mask(tmp_path: Path) -> None:
    mask = np.zeros((4, 4))
    mask[0, 0], mask[3, 3] = 127, 128
    save(tmp_path / "MT_Crack/Imgs/1.jpg", np.zeros((4, 4)))
    save(tmp_path / "MT_Crack/Imgs/1.png", mask)
    assert masked_folder(tmp_path, 4).masks.nonzero().tolist() == [[0, 3, 3]]  # type: ignore[union-attr]


def test_stripes_are_averaged_not_picked() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (60, 30))  # 60 x 60; every third pixel alone is black or white
    small = resized(stripes, 20).float()
    assert 60 < small.min()
    assert small.max() < 195


def test_resized_pixels_are_rounded() -> None:
    assert resized(np.array([[0, 3]], np.uint8).repeat(2, 0), 4)[0].tolist() == [0, 1, 2, 3]  # 0, 0.75, 2.25, 3


def test_each_board_is_a_group(boards: Path) -> None:
    for name in ("00020_test.jpg", "00020_temp.jpg"):
        save(boards / "group1/0001" / name, np.full((80, 100), 90))
    (boards / "group1/0001_not/00020.txt").write_text("1 2 3 4 2")
    assert pcb_folder(boards, size=32).groups.tolist() == [0, 0, 0, 1, 1]  # type: ignore[union-attr]


def test_pcb_type_0_is_refused(boards: Path) -> None:
    (boards / "group1/0001_not/00010.txt").write_text("50 40 60 46 0")
    with pytest.raises(ValueError, match="type from 1 to 6"):
        pcb_folder(boards, size=32)


def test_the_clean_square_stands_at_the_first_defect(boards: Path) -> None:
    template = np.full((80, 100), 10)
    template[:, 68:] = 250  # the square of the second defect
    save(boards / "group1/0001/00010_temp.jpg", template)
    assert pcb_folder(boards, size=16).images[2].max() < 30


def test_endings_may_be_upper_case(tmp_path: Path) -> None:
    for name in ("a/1.PNG", "a/2.Jpg", "b/3.JPEG"):
        save(tmp_path / name, np.zeros((4, 4)))
    assert image_folder(tmp_path, 4).labels.tolist() == [0, 0, 1]


def test_data_set_is_printed_in_a_line() -> None:
    data = LabelledImages(torch.zeros(3, 3, 4, 5, dtype=torch.uint8), torch.tensor([1, 0, 1]), ("good", "bad"))
    assert repr(data) == "LabelledImages(3 of 4x5 pixels: 1 good, 2 bad)"
    with_more = dataclasses.replace(data, masks=torch.zeros(3, 4, 5, dtype=torch.bool), groups=torch.arange(3))
    assert repr(with_more).endswith("2 bad; with masks and groups)")
