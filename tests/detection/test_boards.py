"""Whole boards of DeepPCB, on miniature copies, and the counts of the real ones where they are there."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cbam_lite import pcb_folder
from cbam_lite.detection.boards import board_of, groups_unseen, listed, pcb_boards, unseen_boards
from cbam_lite.photographs.known import pcb_boxes

REAL = (
    Path(os.environ.get("CBAM_LITE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "deeppcb/PCBData"
)
CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
BOARDS = (("group1/0001/00010", 40), ("group1/0001/00020", 80), ("group2/0002/00030", 120), ("group3/0003/00040", 160))


def board(root: Path, name: str, value: int, lines: str, shape: tuple[int, int] = (80, 80)) -> None:
    """A board of one grey value with a white pixel in its corner, and the boxes of its defects."""
    image, pixels = root / f"{name}_test.jpg", np.full(shape, value, np.uint8)
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(image)
    notes = image.parent.with_name(f"{image.parent.name}_not") / f"{Path(name).name}.txt"
    notes.parent.mkdir(exist_ok=True)
    notes.write_text(lines)


def line(name: str) -> str:
    """How the official lists name a board."""
    group, _, number = name.rpartition("/")
    return f"{name}.jpg {group}_not/{number}.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four boards of three groups; the second has no defect."""
    texts = ("50 40 60 46 3\n70 0 80 8 1\n", "", "1 2 30 40 6", "0 0 80 80 2")
    for (name, value), text in zip(BOARDS, texts, strict=True):
        board(tmp_path, name, value, text)
    return tmp_path


# ---- boards ---------------------------------------------------------------------------------------------------------


def test_all_boards(root: Path) -> None:
    data = pcb_boards(root)
    assert data.classes == CLASSES
    assert data.paths == tuple(f"{name}_test.jpg" for name, _ in BOARDS)
    assert data.images.shape == (4, 3, 80, 80)
    assert [int(image.float().mean()) for image in data.images] == [value for _, value in BOARDS]
    assert [objects.boxes.tolist() for objects in data.objects] == [
        [[50, 40, 60, 46], [70, 0, 80, 8]],
        [],
        [[1, 2, 30, 40]],
        [[0, 0, 80, 80]],
    ]
    assert [objects.labels.tolist() for objects in data.objects] == [[2, 0], [], [5], [1]]


def test_boxes_and_classes_are_those_of_pcb_folder(root: Path) -> None:
    squares, data = pcb_folder(root, size=80), pcb_boards(root)
    assert squares.objects is not None
    assert squares.paths is not None
    assert data.paths is not None
    for path, objects in zip(data.paths, data.objects, strict=True):
        if path in squares.paths:  # a square of the size of the board is the board
            expected = squares.objects[squares.paths.index(path)]
            assert objects.boxes.tolist() == expected[:, :4].tolist()
            names = [squares.classes[kind] for kind in expected[:, 4]]
            assert [data.classes[label] for label in objects.labels] == names
    assert len(set(squares.paths)) == 3, "all but the board without defects"


def test_one_channel_is_stored_and_three_are_seen(root: Path) -> None:
    data = pcb_boards(root)
    assert data.images.untyped_storage().nbytes() == 4 * 80 * 80
    assert data.images.stride(1) == 0
    image, objects = data[2]
    assert image.shape == (3, 80, 80)
    assert torch.equal(image[0], image[2])
    assert float(image.mean()) == pytest.approx(120 / 255)
    assert objects.labels.tolist() == [5]
    assert data.take(slice(1, 3)).images.stride(1) == 0, "a slice copies nothing"
    for index in ([3, 0], torch.tensor([3, 0])):
        part = data.take(index)
        assert part.paths == ("group3/0003/00040_test.jpg", "group1/0001/00010_test.jpg")
        assert part.images[:, :, 0, 0].tolist() == [[160] * 3, [40] * 3]
        assert part.objects[0].labels.tolist() == [1]
    assert data.take(torch.tensor([False, True, False, True])).images[:, 2, 5, 5].tolist() == [80, 160]


def test_boards_of_the_size_that_is_asked_for(root: Path) -> None:
    board(root, "group9/0009/00090", 200, "10 20 30 40 4", (60, 100))
    with pytest.raises(ValueError, match=r"00090_test.jpg is 100x60, .*00010_test.jpg 80x80: give size=640"):
        pcb_boards(root)
    data = pcb_boards(root, size=50)
    assert data.images.shape == (5, 3, 50, 50)
    assert data.images.stride(1) == 0
    assert torch.allclose(data.objects[0].boxes[0], torch.tensor([50, 40, 60, 46]) * 50 / 80)
    assert data.objects[4].boxes.tolist() == [[5, 20, 15, 30]], "half the size, and 10 rows of grey above"
    assert data.images[4, :, 9, 0].tolist() == [128] * 3
    assert data.images[4, :, 12, 0].tolist() == [200] * 3


# ---- lists ----------------------------------------------------------------------------------------------------------


def test_an_official_list(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [BOARDS[2][0], BOARDS[0][0]]
    (root / "test.txt").write_text("\n".join(map(line, names)))  # no line end after the last, as in the original
    expected = tuple(f"{name}_test.jpg" for name in names)
    for given in (root / "test.txt", str(root / "test.txt"), "test.txt", list(map(line, names)), expected):
        assert pcb_boards(root, given).paths == expected, given
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "test.txt").write_text(line(BOARDS[3][0]) + "\r\n\r\n")
    monkeypatch.chdir(elsewhere)
    assert pcb_boards(root, "test.txt").paths == ("group3/0003/00040_test.jpg",), "from here first"


def test_a_line_of_a_list() -> None:
    assert board_of("here", "group1/0001/7.jpg group1/0001_not/7.txt") == "group1/0001/7_test.jpg"
    assert board_of("here", r"group1\0001\7.jpg group1\0001_not\7.txt") == "group1/0001/7_test.jpg"
    assert board_of("here", "group1/0001/7_test.jpg") == "group1/0001/7_test.jpg"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("group1/0001/00010.jpg group1/0001_not/00020.txt", ValueError, "line 2: expected .* the second of the same"),
        ("group1/0001/00010.jpg group1/0001_not/00010.txt 3", ValueError, "line 2: expected"),
        ("group1/0001/00010.txt", ValueError, "line 2: expected 'group/NUMBER/NAME.jpg"),
        ("00010.jpg", ValueError, "line 2: expected"),
        (line(BOARDS[3][0]), ValueError, "line 2: group3/0003/00040_test.jpg stands in line 1 already"),
        (
            "group1/0001/99.jpg group1/0001_not/99.txt",
            FileNotFoundError,
            "line 2: .*99_test.jpg is not there: is .* the",
        ),
    ],
)
def test_lines_that_are_wrong(text: str, kind: type[Exception], said: str, root: Path) -> None:
    lines = [line(BOARDS[3][0]), text]
    (root / "test.txt").write_text("\n".join(lines))
    for given, where in ((lines, "names"), (root / "test.txt", "test.txt")):
        with pytest.raises(kind, match=f"{where}, {said}"):
            pcb_boards(root, given)


@pytest.mark.parametrize(
    ("names", "kind", "said"),
    [
        ([], ValueError, "names names no board"),
        (["", "  "], ValueError, "names names no board"),
        ([3], TypeError, "names must be a path or a list of lines"),
        (3, TypeError, "names must be a path or a list of lines"),
        ("no.txt", FileNotFoundError, "neither no.txt nor .*no.txt is a file: give trainval.txt or test.txt"),
    ],
)
def test_lists_that_are_none(names: Any, kind: type[Exception], said: str, root: Path) -> None:
    with pytest.raises(kind, match=said):
        pcb_boards(root, names)


def test_a_list_that_is_no_text(root: Path) -> None:
    (root / "test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"test.txt is no text: expected a path of a board in each line"):
        pcb_boards(root, "test.txt")


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_folders_that_are_none(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    above = tmp_path_factory.mktemp("above")
    with pytest.raises(FileNotFoundError, match=r"holds no board: expected group\*/NUMBER/NAME_test.jpg"):
        pcb_boards(above)
    with pytest.raises(FileNotFoundError, match="is not a folder: give the one that holds DeepPCB"):
        pcb_boards(above / "nowhere")
    root.rename(above / "PCBData")
    with pytest.raises(ValueError, match=r"is the folder above the boards: give .*PCBData"):
        pcb_boards(above)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("50 40 90 46 3", "no box inside 80x80"),
        ("50 40 60 46 0", "type from 1 to 6"),
        ("50 40 60 46 7", "type from 1 to 6"),
        ("50.5 40 60 46 3", "expected 'x0 y0 x1 y1 type'"),
    ],
)
def test_boxes_that_are_wrong(text: str, said: str, root: Path) -> None:
    board(root, BOARDS[0][0], 40, text)
    with pytest.raises(ValueError, match=said):
        pcb_boards(root)


def test_files_that_are_missing_or_damaged(root: Path) -> None:
    (root / "group3/0003/00040_test.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"00040_test.jpg cannot be read as an image"):
        pcb_boards(root)
    (root / "group2/0002_not/00030.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"00030_test.jpg needs .*00030.txt, which is not there"):
        pcb_boards(root)


@pytest.mark.parametrize(("size", "kind"), [(0, ValueError), (64.0, TypeError), ((64, 64), TypeError)])
def test_sizes_that_are_none(size: Any, kind: type[Exception], root: Path) -> None:
    with pytest.raises(kind, match="size"):
        pcb_boards(root, size=size)


# ---- groups ---------------------------------------------------------------------------------------------------------


def test_unseen_boards(root: Path) -> None:
    data, train = pcb_boards(root), pcb_boards(root, [line(BOARDS[1][0])])
    index = unseen_boards(data, train)
    assert index.dtype == torch.int64
    assert index.tolist() == [2, 3], "group2 and group3"
    assert data.take(index).paths == ("group2/0002/00030_test.jpg", "group3/0003/00040_test.jpg")
    assert unseen_boards(train, data).tolist() == []


def test_a_group_is_a_whole_folder() -> None:
    names = ["group1/1/a_test.jpg", "group10/1/a.jpg group10/1_not/a.txt", r"group2\1\a.jpg"]
    assert groups_unseen(names, ["group1/9/z_test.jpg"]) == [1, 2]
    assert groups_unseen(names, ["group2/1/b.jpg group2/1_not/b.txt"]) == [0, 1]
    assert groups_unseen(names, []) == [0, 1, 2]


def test_boards_whose_group_is_not_known(root: Path) -> None:
    import dataclasses

    data = pcb_boards(root)
    bare = dataclasses.replace(data, paths=None)
    for a, b, name in ((bare, data, "data"), (data, bare, "train")):
        with pytest.raises(ValueError, match=f"{name} has no paths"):
            unseen_boards(a, b)
    for name in ("a_test.jpg", "/1/a.jpg"):
        with pytest.raises(ValueError, match="has no group folder"):
            groups_unseen([name], [])
        with pytest.raises(ValueError, match="has no group folder"):
            groups_unseen([], [name])


# ---- the real boards ------------------------------------------------------------------------------------------------


@pytest.fixture
def pcb_data() -> Path:
    if not REAL.is_dir():
        pytest.skip(f"{REAL} is not there: name the folder of the real data with CBAM_LITE_DATA")
    return REAL


def test_the_official_lists(pcb_data: Path) -> None:
    """1,000 and 500 boards, none in both, all that there are; 332 of the test boards are of an unseen design."""
    train, test = (listed(pcb_data, name) for name in ("trainval.txt", "test.txt"))
    assert (len(train), len(test)) == (1000, 500)
    assert set(train) | set(test) == {p.relative_to(pcb_data).as_posix() for p in pcb_data.rglob("*_test.jpg")}
    assert not set(train) & set(test)
    unseen = groups_unseen(test, train)
    assert len(unseen) == 332
    assert {test[i].split("/")[0] for i in unseen} == {"group12000", "group12100", "group12300", "group90100"}
    lines = [(pcb_data / name).read_text().splitlines() for name in ("trainval.txt", "test.txt")]
    assert groups_unseen(lines[1], lines[0]) == unseen


def test_all_boxes_of_the_official_lists(pcb_data: Path) -> None:
    counts = torch.zeros(7, dtype=torch.long)
    sides: list[int] = []
    for name in (*listed(pcb_data, "trainval.txt"), *listed(pcb_data, "test.txt")):
        image = pcb_data / name
        notes = image.parent.with_name(f"{image.parent.name}_not") / f"{image.name.removesuffix('_test.jpg')}.txt"
        for x0, y0, x1, y1, kind in pcb_boxes(notes, 640, 640, 1):
            counts[kind] += 1
            sides += [x1 - x0, y1 - y0]
    assert counts.sum() == 10013
    assert counts.min() == counts[0] == 0
    assert (min(sides), max(sides)) == (18, 173)
    assert np.median(sides) == 34, "half of all sides are of 34 pixels or less, as the docstring says"


def test_real_boards(pcb_data: Path) -> None:
    lines = (pcb_data / "test.txt").read_text().splitlines()[-3:]
    data = pcb_boards(pcb_data, lines)
    assert data.images.shape == (3, 3, 640, 640)
    assert data.paths is not None
    assert data.paths[-1] == "group12000/12000/12000593_test.jpg"
    assert all(len(objects.boxes) for objects in data.objects)
    with Image.open(pcb_data / data.paths[-1]) as picture:
        assert torch.equal(data.images[-1, 0], torch.from_numpy(np.array(picture.convert("L")))), "no pixel changes"
    small = pcb_boards(pcb_data, lines, size=320)
    for a, b in zip(data.objects, small.objects, strict=True):
        assert torch.equal(a.boxes / 2, b.boxes)
