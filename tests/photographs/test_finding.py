"""What is below a folder, said in whole sentences; and layouts that are taken for another, with the right call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layouts import hole, photo, save

from cbam_lite import image_folder, labelme_folder, masked_folder, mvtec_folder
from cbam_lite.photographs.finding import Found, count, empty_folders, files_below, images_below, owner_of, some


def test_names_and_numbers_in_words() -> None:
    assert some(["a", 2, "c"]) == "a, 2, c"
    assert some("abcd") == "a, b, c and 1 more"
    assert some("abcd", most=2) == "a, b and 2 more"
    assert [count(1, "file"), count(2, "file"), count(0, "class"), count(1, "class")] == [
        "1 file", "2 files", "0 classes", "1 class"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("01_mask", "01"), ("01-MASK", "01"), ("01.mask", "01"), ("a_gt", "a"), ("a_seg", "a"), ("a_segmentation", "a"),
        ("a_Label", "a"), ("_mask", None), ("mask", None), ("01_masks", None), ("a_mask_b", None),
    ],
)  # fmt: skip
def test_whose_mask_it_is_by_its_name(name: str, owner: str | None) -> None:
    assert owner_of(Path("x") / name) == (None if owner is None else Path("x") / owner)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    for name in (".a", "Thumbs.db", "desktop.ini", "x.txt", "y.doc"):
        (tmp_path / name).write_text("")
    (tmp_path / "__MACOSX").mkdir()
    save(tmp_path / "__MACOSX/1.png", photo())
    (tmp_path / "one.json").write_text("{}")
    found = images_below(tmp_path, known=(".json",))
    assert (found.images, found.root) == ((), tmp_path)
    assert found.notes == (
        "4 hidden files or folders left out: .a, Thumbs.db, __MACOSX and 1 more",
        "2 files that are no images left out: x.txt, y.doc",
    )
    assert images_below(tmp_path).notes[1] == "3 files that are no images left out: one.json, x.txt, y.doc"


def test_images_stand_in_the_order_of_their_paths_on_every_system(tmp_path: Path) -> None:
    for name in ("b/1.png", "a.png", "b.png", "a/2.png", "a-1/3.png"):
        save(tmp_path / name, photo())
    assert images_below(tmp_path).names() == ["a-1/3.png", "a.png", "a/2.png", "b.png", "b/1.png"]


def test_links_that_go_nowhere_are_said(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", photo())
    for name in ("2.png", "3.png"):
        (tmp_path / "a" / name).symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match="2 links to a file that is not there left out: .*2.png, .*3.png$"):
        found = images_below(tmp_path)
    assert found.names() == ["a/1.png"]
    assert len(found.notes) == 1, "they are not said to be no images, too"


def test_a_circle_of_links_ends_and_a_second_way_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "a/b/1.png", photo())
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "a/b")
    files, hidden = files_below(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    assert hidden == []
    assert names[0] == "a/b/1.png"
    assert "c/1.png" in names
    assert all(name.count("up") <= 1 for name in names)


def test_empty_folders_are_those_that_a_class_could_be(tmp_path: Path) -> None:
    save(tmp_path / "a/b/1.png", photo())
    for name in ("c", ".d", "__pycache__", "e"):
        (tmp_path / name).mkdir()
    assert empty_folders(images_below(tmp_path)) == ["c", "e"]


# ---- layouts that are taken for another ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "names", "said"),
    [
        (
            image_folder,
            ("1.png",),
            r"in holds 1 image but no folder for each class: move them into in/CLASS/ for image_f",
        ),
        (masked_folder, ("1.jpg", "1.png"), r"in holds 1 image but no folder .* in/CLASS/ for masked_folder, or name"),
        (
            image_folder,
            ("train/a/1.png", "Test/a/1.png"),
            r"in holds Test and train, which are no classes: load each, train = image_folder\(folder / 'train', size\)"
            r", Test = image_folder\(folder / 'Test', size, classes=train.classes\)$",
        ),
        (
            masked_folder,
            ("val/a/1.jpg",),
            r"in holds val, which are no classes: load each, train = masked_folder\(folder / 'val', size\)$",
        ),
        (
            masked_folder,
            ("train/good/1.png", "test/a/1.png", "ground_truth/a/1_mask.png"),
            r"in is laid out as MVTec AD is, with test, train and ground_truth: use mvtec_folder\(folder, size, part=",
        ),
        (
            image_folder,
            ("a/1.png", "a/1_mask.png", "b/2.png", "b/2.bmp"),
            r"^2 images of 4 below .*in have another beside them with the same name, a/1_mask for example: where",
        ),
        (
            image_folder,
            ("a/1.png", "b/Masks/1.png", "b/Masks/2.png"),
            r"in holds a folder 'Masks' with 2 images, which seem to be masks: use masked_folder\(images, size, masks=",
        ),
    ],
)
def test_the_right_call_is_named(load: Callable[..., Any], names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    for name in names:
        save(tmp_path / "in" / name, photo())
    with pytest.raises(ValueError, match=said):
        load(tmp_path / "in", 8)


def test_a_flat_part_of_mvtec_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "test/1.png", photo())
    with pytest.raises(ValueError, match=r"test holds 1 image but no folder .* test/CLASS/ for mvtec_folder"):
        mvtec_folder(tmp_path, 8, part="test")


@pytest.mark.parametrize("name", ["train", "x/train", "train/x"])
def test_a_class_may_be_called_train_where_nothing_is_below_it(name: str, tmp_path: Path) -> None:
    save(tmp_path / name / "1.png", photo())
    save(tmp_path / "other/2.png", photo())
    if name == "train/x":
        with pytest.raises(ValueError, match="holds train, which are no classes"):
            image_folder(tmp_path, 8)
    else:
        assert len(image_folder(tmp_path, 8).classes) == 2


def test_json_files_of_labelme_are_no_strangers(tmp_path: Path) -> None:
    save(tmp_path / "1.png", photo())
    (tmp_path / "1.json").write_text('{"shapes": []}')
    (tmp_path / "notes.txt").write_text("")
    assert labelme_folder(tmp_path, 8).notes == ("1 file that is no image left out: notes.txt",)


def test_masks_beside_count_as_one_image(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", photo())
    save(tmp_path / "a/1_mask.png", hole())
    found = images_below(tmp_path)
    assert isinstance(found, Found)
    assert len(masked_folder(tmp_path, 8)) == 1
