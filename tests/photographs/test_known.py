"""DeepPCB and what torchvision fetches, on miniature copies."""

import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import save

from cbam_lite import pcb_folder, torchvision_data
from cbam_lite.photographs.known import boxes_in, clean_square, square_around


def test_pcb_folder(boards: Path) -> None:
    data = pcb_folder(boards, size=32, jitter=0)
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


def test_a_clean_square_of_the_board_itself_stands_away_from_every_box(boards: Path) -> None:
    (boards / "group1/0001/00010_temp.jpg").unlink()
    for seed in range(20):
        data = pcb_folder(boards, size=32, seed=seed)
        assert data.labels.tolist() == [3, 1, 0]
        assert data.images[2].min() > 190, "the board"
    assert "1 board of 1 without NAME_temp.jpg" in data.notes[0]
    assert data.notes[0].endswith("1 were found")
    board = np.full((80, 100), 10)
    board[38:48, 48:62], board[:10, 88:] = 250, 250  # the boxes, with the fringe that JPEG gives them
    save(boards / "group1/0001/00010_test.jpg", board)
    assert all(pcb_folder(boards, size=32, seed=seed).images[2].max() < 130 for seed in range(20))
    (boards / "group1/0001_not/00010.txt").write_text("2 2 98 78 1")
    assert pcb_folder(boards, size=32).labels.tolist() == [1], "no place is clean"


def test_pcb_without_its_boxes(boards: Path) -> None:
    (boards / "group1/0001_not/00010.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"00010_test.jpg needs .*00010\.txt, which is not there"):
        pcb_folder(boards)


def test_a8_defects_do_not_stand_in_the_centre(boards: Path) -> None:
    (boards / "group1/0001_not/00010.txt").write_text("50 40 60 46 3\n" * 200)
    centred = pcb_folder(boards, size=32, jitter=0).boxes[:200]
    assert centred.unique(dim=0).tolist() == [[11, 13, 21, 19]]
    x0, y0, x1, y1 = pcb_folder(boards, size=32).boxes[:200].unbind(1)
    assert (x0.min(), x1.max(), y0.min(), y1.max()) == (0, 32, 0, 32), "anywhere in the square"
    assert (x1 - x0).min() == 5 + 1, "its centre is always in the square"
    in_the_centre = (x0 <= 16) & (x1 > 16) & (y0 <= 16) & (y1 > 16)
    assert in_the_centre.float().mean() < 0.15, "a map of the centre points at it by chance only: 0.06"
    half = pcb_folder(boards, size=32, jitter=0.5).boxes[:200]
    assert (half[:, 0].min(), half[:, 0].max()) == (11 - 7, 11 + 7)


def test_a8_jitter_is_drawn_from_the_seed(boards: Path) -> None:
    places = [pcb_folder(boards, size=32, seed=seed).boxes.tolist() for seed in (0, 0, 1)]
    assert places[0] == places[1] != places[2]
    with pytest.raises(ValueError, match=r"jitter=1\.5 is outside its range"):
        pcb_folder(boards, size=32, jitter=1.5)


def test_pcb_boxes_paths_and_groups(boards: Path) -> None:
    (boards / "group1/0001_not/00010.txt").write_text("50 40 60 46 3\n58 44 70 50 1\n90 0 100 8 2\n")
    data = pcb_folder(boards, size=32, jitter=0)
    assert data.objects is not None
    assert [boxes.tolist() for boxes in data.objects] == [
        [[11, 13, 21, 19, 3], [19, 17, 31, 23, 1]],
        [[2, 9, 12, 15, 3], [10, 13, 22, 19, 1]],
        [[22, 0, 32, 8, 2]],
        [],
    ]
    assert data.paths == ("group1/0001/00010_test.jpg",) * 4
    other = boards / "group2/0002"
    for name in ("00030_test.jpg", "00030_temp.jpg"):
        save(other / name, np.full((80, 100), 90))
    (boards / "group2/0002_not").mkdir()
    (boards / "group2/0002_not/00030.txt").write_text("1 2 3 4 2")
    by_group = pcb_folder(boards, size=32, groups=lambda path: path.parts[0])
    assert by_group.groups.tolist() == [0, 0, 0, 0, 1, 1]  # type: ignore[union-attr]


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
    assert pcb_folder(boards, size=16, jitter=0).images[2].max() < 30


# ---- places in whole pixels ------------------------------------------------------------------------------------------


def test_a_square_as_large_as_the_board_and_boxes_at_its_ends(boards: Path) -> None:
    (boards / "group1/0001_not/00010.txt").write_text("0, 0, 100, 80, 6\n")
    data = pcb_folder(boards, size=80)
    assert data.images.shape == (2, 3, 80, 80)
    assert data.labels.tolist() == [6, 0]
    assert data.boxes[0].tolist() == [0, 0, 80, 80]


@pytest.mark.parametrize("line", ["-1 0 9 9 1", "0 -1 9 9 1", "0 0 101 9 1", "0 0 9 81 1", "9 0 9 9 1", "0 9 9 9 1"])
def test_boxes_outside_of_the_board_are_refused(boards: Path, line: str) -> None:
    (boards / "group1/0001_not/00010.txt").write_text(line)
    with pytest.raises(ValueError, match=f"'{line}' is no box inside 100x80 with a type from 1 to 6$"):
        pcb_folder(boards, size=32)


def test_a_square_stands_around_its_box_inside_of_the_board() -> None:
    g = torch.Generator()
    for box, rows, columns in (
        ((50, 40, 60, 46, 1), slice(27, 59), slice(39, 71)),
        ((0, 0, 3, 3, 1), slice(0, 32), slice(0, 32)),
        ((97, 77, 100, 80, 1), slice(48, 80), slice(68, 100)),
    ):
        assert square_around(box, (80, 100), 32, 0, g) == (rows, columns)


def test_boxes_that_only_touch_a_square_are_not_in_it() -> None:
    boxes = [(0, 0, 10, 10, 1), (10, 10, 30, 30, 2), (30, 10, 40, 20, 3), (12, 30, 20, 40, 4), (29, 29, 50, 50, 5)]
    assert boxes_in(boxes, slice(10, 30), slice(10, 30)) == [(0, 0, 20, 20, 2), (19, 19, 20, 20, 5)]


@pytest.mark.parametrize("place", [(0, 0), (4, 0), (0, 6), (4, 6), (2, 3)])
def test_the_only_clean_square_is_found_wherever_it_is(place: tuple[int, int]) -> None:
    mask = torch.ones(12, 14, dtype=torch.bool)
    top, left = place
    mask[top : top + 8, left : left + 8] = False
    expected = (slice(top, top + 8), slice(left, left + 8))
    assert clean_square(mask, 8, torch.Generator().manual_seed(0)) == expected
    mask[top, left] = True
    assert clean_square(mask, 8, torch.Generator().manual_seed(0)) is None


def test_boards_without_templates_are_counted(boards: Path) -> None:
    for number in ("20", "30"):
        save(boards / f"group1/0001/000{number}_test.jpg", np.full((80, 100), 90))
        (boards / f"group1/0001_not/000{number}.txt").write_text("1 2 3 4 2")
    assert pcb_folder(boards, size=16).notes == (
        "2 boards of 3 without NAME_temp.jpg: clean squares come from the boards themselves, away from every box; 3"
        " were found",
    )
    for number in ("20", "30"):
        save(boards / f"group1/0001/000{number}_temp.jpg", np.full((80, 100), 90))
    data = pcb_folder(boards, size=16)
    assert data.notes == ()
    assert data.labels.tolist() == [3, 1, 0, 2, 0, 2, 0]


def test_a_board_without_a_defect_gives_no_square(boards: Path) -> None:
    save(boards / "group1/0001/00020_test.jpg", np.full((80, 100), 90))
    (boards / "group1/0001_not/00020.txt").write_text("\n")
    assert pcb_folder(boards, size=16).paths == ("group1/0001/00010_test.jpg",) * 3


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
