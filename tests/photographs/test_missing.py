"""What is not there: each loader says what it looked for, and what it should find."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layouts import hole, photo, save
from PIL import Image

import cbam_lite
from cbam_lite import (
    coco_file,
    csv_file,
    image_folder,
    labelme_folder,
    masked_folder,
    mvtec_folder,
    pcb_folder,
    voc_folder,
)

FOLDERS: list[tuple[Callable[[Path], Any], str]] = [
    (lambda x: image_folder(x, 8), "one folder for each class"),
    (lambda x: masked_folder(x, 8), "one folder for each class"),
    (lambda x: mvtec_folder(x, 8, part="test"), "train, test and ground_truth"),
    (lambda x: labelme_folder(x, 8), "images with labelme's JSON files"),
    (lambda x: voc_folder(x, 8), "JPEGImages and Annotations"),
    (lambda x: pcb_folder(x), "DeepPCB's group folders"),
]


@pytest.mark.parametrize(("load", "what"), FOLDERS)
def test_a_folder_that_is_not_there(load: Callable[[Path], Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as said:
        load(tmp_path / "x")
    assert str(said.value) == f"{tmp_path / 'x'} is not a folder: give the one that holds {what}"


def test_folders_inside_of_a_layout(tmp_path: Path) -> None:
    for load, name, what in (
        (
            lambda: mvtec_folder(tmp_path, 8, part="train"),
            "train",
            "train images in a folder for each kind, as MVTec AD has",
        ),
        (lambda: voc_folder(tmp_path, 8), "JPEGImages", "the images"),
        (lambda: voc_folder(tmp_path, 8), "Annotations", "name.xml for each image"),
    ):
        with pytest.raises(FileNotFoundError) as said:
            load()
        assert str(said.value).startswith(f"{tmp_path / name} is not a folder: give the one that holds {what}")
        (tmp_path / name).mkdir()


def test_tables_and_the_folders_beside_them(tmp_path: Path) -> None:
    file, x = tmp_path / "file", tmp_path / "x"
    file.write_text("path,label\n1.png,a")
    for load, what in (
        (lambda: csv_file(x, 8), "x is not a file: give a table with the columns path and label"),
        (lambda: coco_file(x, tmp_path, 8), "x is not a file: give the JSON file that COCO's tools write"),
        (
            lambda: csv_file(file, 8, folder=x),
            "x is not a folder: give the one that holds the files that the table names",
        ),
        (lambda: coco_file(file, x, 8), "x is not a folder: give the one that holds the images of the JSON file"),
        (lambda: masked_folder(tmp_path / "in", 8, masks=x), "x is not a folder: give the one that holds the masks"),
    ):
        save(tmp_path / "in/a/1.png", photo())
        with pytest.raises(FileNotFoundError) as said:
            load()
        assert str(said.value) == f"{tmp_path}/{what}"
    for name, load in (
        ("masks", lambda: masked_folder(tmp_path, 8, masks=3)),
        ("images", lambda: coco_file(file, 3, 8)),
    ):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"^{name} must be a path, got 3 of type int"):
            load()


EMPTY: list[tuple[Callable[[Path], Any], tuple[str, ...], str]] = [
    (lambda x: image_folder(x, 8), (), "x holds no images: expected CLASS/name.jpg, or any ending that Pillow reads"),
    (lambda x: masked_folder(x, 8), (), "x holds no image: expected class folders with name.jpg and name.png"),
    (
        lambda x: mvtec_folder(x, 8, part="test"),
        ("test",),
        "x/test holds no images: expected good/*.png and KIND/*.png",
    ),
    (lambda x: labelme_folder(x, 8), (), "x holds no images: expected name.jpg and name.json"),
    (lambda x: voc_folder(x, 8), ("JPEGImages", "Annotations"), "x/JPEGImages holds no images: expected name.jpg"),
    (lambda x: pcb_folder(x), (), "x holds no board: expected group*/NUMBER/NAME_test.jpg"),
]


@pytest.mark.parametrize(("load", "folders", "what"), EMPTY)
def test_a_folder_without_images(
    load: Callable[[Path], Any], folders: tuple[str, ...], what: str, tmp_path: Path
) -> None:
    for name in ("", *folders):
        (tmp_path / "x" / name).mkdir()
    with pytest.raises(FileNotFoundError) as said:
        load(tmp_path / "x")
    assert str(said.value) == f"{tmp_path}/{what}"


def test_an_image_that_a_file_names(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a/1.png", "height": 12, "width": 16}
    (tmp_path / "file.json").write_text(json.dumps({"images": [image], "annotations": [], "categories": []}))
    with pytest.raises(
        FileNotFoundError, match=r"a.1\.png is named, but not there: give the folder that paths are rela"
    ):
        coco_file(tmp_path / "file.json", tmp_path, 8)


def test_voc_without_any_xml(tmp_path: Path) -> None:
    save(tmp_path / "JPEGImages/1.jpg", photo())
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(ValueError, match="Annotations"):
        voc_folder(tmp_path, 8)


def test_a_mask_is_named_where_it_cannot_be_read(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    Image.fromarray(hole().astype("float32") / 255).save(tmp_path / "crack/1.tif")
    with pytest.raises(ValueError, match=r"1\.tif holds fractions from 0 to 1"):
        masked_folder(tmp_path, 8)


def test_the_parts_of_a_path_are_joined_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save(tmp_path / "in/1.png", photo())
    (tmp_path / "in/table.csv").write_text("path,label\n1.png,a")
    assert len(cbam_lite.csv_file("~/in/table.csv", 8)) == 1
