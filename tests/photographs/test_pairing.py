"""Which mask belongs to which image: what is refused because nobody can tell, and what is said."""

from pathlib import Path

import pytest
from layouts import hole, photo, save

from cbam_lite import masked_folder


def test_the_lossless_file_is_the_mask_in_this_order(tmp_path: Path) -> None:
    pairs = (("1.jpg", "1.png"), ("2.bmp", "2.png"), ("3.tif", "3.bmp"), ("4.tiff", "4.tif"), ("5.tif", "5.gif"))
    for image, mask in pairs:
        save(tmp_path / "a" / image, photo())
        save(tmp_path / "a" / mask, hole())
    data = masked_folder(tmp_path, 48, groups=None)
    assert data.paths == tuple(f"a/{image}" for image, _ in pairs)
    assert data.boxes.tolist() == [[15, 16, 24, 24]] * 5


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("1.jpg", "1.jpeg"),
            r"1\.jpe?g, .*1\.jpe?g share a name, so which is the mask\? Leave one image and one mask",
        ),
        (("1.jpg", "1.png", "1.bmp"), r"1\.png, .*1\.bmp, .*1\.jpg share a name"),
        (("1.jpg", "1_mask.png", "1_gt.png"), r"1_gt\.png, .*1_mask\.png, .*1\.jpg share a name"),
        (("1.jpg", "1.png", "1_mask.png"), r"1_mask\.png, .*1\.png, .*1\.jpg share a name"),
    ],
)
def test_where_nobody_can_tell_the_mask_it_is_refused(names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    for name in names:
        save(tmp_path / "a" / name, photo())
    with pytest.raises(ValueError, match=said):
        masked_folder(tmp_path, 8)


def test_a_mask_by_its_name_may_have_the_ending_of_its_image(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", photo())
    save(tmp_path / "a/1_mask.png", hole())
    assert masked_folder(tmp_path, 48).boxes.tolist() == [[15, 16, 24, 24]]


def test_masks_apart_without_folders_cannot_serve_two_images_of_one_name(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        save(tmp_path / "images" / name, photo())
    save(tmp_path / "masks/1.png", hole())
    with pytest.raises(
        ValueError, match=r"1\.png is the mask of 2 images of that name: give .*masks class folders, too"
    ):
        masked_folder(tmp_path / "images", 8, masks=tmp_path / "masks")


@pytest.mark.filterwarnings("ignore:1 folder without an image")
def test_masks_apart_may_lie_in_the_folder_of_the_images(tmp_path: Path) -> None:
    for name in ("crack/1.png", "good/2.png"):
        save(tmp_path / name, photo())
    save(tmp_path / "true/crack/1_gt.png", hole())
    data = masked_folder(tmp_path, 48, masks=tmp_path / "true")
    assert data.paths == ("crack/1.png", "good/2.png")
    assert data.boxes.tolist() == [[15, 16, 24, 24], [0, 0, 0, 0]]


def test_masks_of_no_image_are_counted_and_named(tmp_path: Path) -> None:
    save(tmp_path / "images/a/1.png", photo())
    for name in ("a/1.png", "a/7.png", "a/8.png"):
        save(tmp_path / "masks" / name, hole())
    with pytest.warns(UserWarning, match="^2 masks of no image left out: .*7.png, .*8.png$"):
        data = masked_folder(tmp_path / "images", 8, masks=tmp_path / "masks")
    assert data.notes[-1].startswith("2 masks of no image left out: ")


def test_an_image_that_lacks_its_mask_is_counted_among_its_class(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save(tmp_path / f"crack/{number}.jpg", photo())
    save(tmp_path / "crack/1.png", hole())
    said = (
        r"crack.2\.jpg has no mask: put 2\.png beside it, or where masks= says \(2 of 3 images of 'crack' have none; a "
        r"class without any counts as clean\)"
    )
    with pytest.raises(FileNotFoundError, match=said):
        masked_folder(tmp_path, 8)


def test_where_no_image_has_a_mask_the_first_is_named(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path / f"crack/{number}.jpg", photo())
    with pytest.raises(
        FileNotFoundError, match=r"^none of 2 images has a mask, .*1\.jpg for example: put name.png bes"
    ):
        masked_folder(tmp_path, 8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["good", "OK", "MT_Free", "Normal"])
def test_classes_whose_name_says_clean_need_no_warning(name: str, tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    save(tmp_path / "crack/1.png", hole())
    for number in (2, 3):
        save(tmp_path / f"{name}/{number}.jpg", photo())
    said = f"{name.removeprefix('MT_')!r} has no mask file, so its 2 images count as clean"
    assert masked_folder(tmp_path, 8).notes == (said,)


def test_a_folder_of_masks_beside_the_images_must_be_named(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", photo())
    save(tmp_path / "GT/1.png", hole())
    with pytest.raises(
        ValueError, match=r"holds a folder 'GT' with 1 image: name it, masked_folder\(images, size, masks=f"
    ):
        masked_folder(tmp_path, 8)
