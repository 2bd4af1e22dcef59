"""What first use on real photographs brought to light: one test, or a few, for each row of the review's part A."""

import os
from pathlib import Path

import numpy as np
import pytest
from layouts import hole, photo, save
from PIL import Image, ImageOps

from cbam_lite import image_folder, masked_folder, mvtec_folder
from cbam_lite.photographs.loading import scaled

# ---- 1: a folder with only some classes ------------------------------------------------------------------------------


def test_a1_a_part_of_the_classes_keeps_its_numbers(tmp_path: Path) -> None:
    for name in ("train/good/1.png", "train/pitting/2.png", "train/rust/3.png", "test/pitting/4.png"):
        save(tmp_path / name, photo())
    train = image_folder(tmp_path / "train", 8)
    test = image_folder(tmp_path / "test", 8, classes=train.classes)
    assert (test.classes, test.labels.tolist()) == (("good", "pitting", "rust"), [1])
    assert image_folder(tmp_path / "train", 8, classes=["rust", "pitting", "good"]).labels.tolist() == [2, 1, 0]


def test_a1_an_unknown_class_is_named(tmp_path: Path) -> None:
    save(tmp_path / "pittings/4.png", photo())
    with pytest.raises(ValueError, match=r"pittings/4.png is of the class 'pittings'.*1 image.*did you mean 'pitting'"):
        image_folder(tmp_path, 8, classes=("good", "pitting"))
    with pytest.raises(ValueError, match="names a class twice"):
        image_folder(tmp_path, 8, classes=("pittings", "pittings"))
    with pytest.raises(TypeError, match="classes must be a list of names"):
        image_folder(tmp_path, 8, classes="pittings")


# ---- 3: 16 bits ------------------------------------------------------------------------------------------------------


def deep(path: Path, values: np.ndarray) -> None:  # type: ignore[type-arg]
    """A 16-bit file, PNG or TIFF by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint16)).save(path)


@pytest.mark.parametrize("end", ["png", "tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a3_sixteen_bits_keep_their_brightness(end: str, bits: int, tmp_path: Path) -> None:
    top = 2**bits - 1
    ramp = np.linspace(0, top, 256).round().reshape(16, 16)
    deep(tmp_path / f"a/1.{end}", ramp)
    deep(tmp_path / f"b/dark.{end}", np.full((16, 16), top // 5))  # no scale of its own: it stays dark
    data = image_folder(tmp_path, 16)
    assert data.images[0, 0].flatten().tolist() == list(range(256))
    assert data.images[1].unique().tolist() == [51]
    assert data.notes == (
        f"2 16-bit images divided by {top} ({bits} bits), one rule for all: pass bits={bits} for other folders of this "
        "camera",
    )


def test_a3_the_bits_can_be_said(tmp_path: Path) -> None:
    deep(tmp_path / "a/dark.tif", np.full((8, 8), 1000))
    assert image_folder(tmp_path, 8).images.unique().tolist() == [249]  # 10 bits hold it: 1000 * 255 / 1023
    assert image_folder(tmp_path, 8, bits=12).images.unique().tolist() == [62]
    assert image_folder(tmp_path, 8, bits=8).images.unique().tolist() == [255], "what is above white is white"
    with pytest.raises(ValueError, match="bits=17 must be at most 16"):
        image_folder(tmp_path, 8, bits=17)


def test_a3_numbers_that_are_no_brightness_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.array([[0.5, 1.5]], np.float32)).save(tmp_path / "a/1.tif")
    with pytest.raises(ValueError, match=r"a.1.tif holds fractions from 0.5 to 1.5.*save it with 8 or 16 bits"):
        image_folder(tmp_path, 8)
    Image.fromarray(np.array([[70000]], np.int32)).save(tmp_path / "a/1.tif")
    with pytest.raises(ValueError, match=r"1.tif holds the value 70000, more than 16 bits"):
        image_folder(tmp_path, 8)


# ---- 4: masks among the images, and other layouts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a/1.jpg", "a/1.png"), r"1 image of 2 .* a.1 for example.* use masked_folder\(folder, size\)"),
        (("a/1.png", "a/1_mask.png", "b/2.png"), r"1 image of 3 .* use masked_folder\(folder, size\)"),
        (("a/1.png", "masks/1.png"), r"folder 'masks' with 1 .*masked_folder\(images, size, masks=folder / 'masks'\)"),
        (("a/1.png", "a/ground_truth/1.png"), r"folder 'ground_truth' with 1 image"),
        (("1.png", "2.png"), r"holds 2 images but no folder for each class.*csv_file\(table, size\)"),
        (("train/a/1.png", "test/a/1.png"), r"train = image_folder\(folder / 'train', .*classes=train.classes"),
        (("train/good/1.png", "test/a/1.png", "ground_truth/a/1_mask.png"), r"use mvtec_folder\(folder, size, part="),
    ],
)
def test_a4_a_layout_that_is_another_is_refused_with_the_right_call(
    names: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    for name in names:
        save(tmp_path / name, photo())
    with pytest.raises(ValueError, match=said):
        image_folder(tmp_path, 8)


# ---- 6: groups by path -----------------------------------------------------------------------------------------------


def test_a6_groups_come_from_the_path(tmp_path: Path) -> None:
    for name in ("good/b_1.png", "good/a_2.png", "crack/b_3.png", "crack/a_4.png"):
        save(tmp_path / name, photo())
    data = image_folder(tmp_path, 8, groups=lambda path: path.stem.split("_")[0])
    assert data.paths == ("crack/a_4.png", "crack/b_3.png", "good/a_2.png", "good/b_1.png")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0, 1]
    assert image_folder(tmp_path, 8, groups=["x", "y", "y", "x"]).groups.tolist() == [0, 1, 1, 0]  # type: ignore[union-attr]
    assert image_folder(tmp_path, 8).groups is None
    assert image_folder(tmp_path, 8, groups="similar").groups.tolist() == [0, 1, 2, 3]  # type: ignore[union-attr]


def test_a6_groups_that_do_not_fit(tmp_path: Path) -> None:
    save(tmp_path / "good/1.png", photo())
    for groups, error, said in (
        (lambda path: path.parts[5], ValueError, "groups fails for 'good/1.png': .*index out of range"),
        (lambda path: [path], ValueError, "must give something hashable .*unhashable"),
        ([1, 2], ValueError, "groups has 2 entries for 1 image"),
        ("alike", ValueError, "groups='alike' is not one of 'similar'"),
        (3, TypeError, "groups=3 must be None, 'similar', a function of the path, or a list"),
    ):
        with pytest.raises(error, match=said):
            image_folder(tmp_path, 8, groups=groups)  # type: ignore[arg-type]


# ---- 10: files that are dropped or misread ---------------------------------------------------------------------------


def test_a10_every_ending_in_every_case_is_read(tmp_path: Path) -> None:
    ends = ("jpg", "JPG", "jpeg", "Jpeg", "png", "PNG", "bmp", "tif", "TIFF", "webp", "gif", "jfif", "ppm")
    for number, end in enumerate(ends):
        save(tmp_path / f"a/{number:02}.{end}", np.full((4, 4), 10 * number))
    data = image_folder(tmp_path, 4)
    assert data.paths == tuple(f"a/{number:02}.{end}" for number, end in enumerate(ends))
    assert (data.images[:, 0, 0, 0] - 10 * np.arange(13)).abs().max() <= 1


def test_a10_masked_folders_take_other_endings_and_names(tmp_path: Path) -> None:
    for image, mask in (("1.JPG", "1.PNG"), ("2.png", "2_mask.png"), ("3.tif", "3.png"), ("4.jpeg", "4.bmp")):
        save(tmp_path / "crack" / image, photo())
        save(tmp_path / "crack" / mask, hole())
    data = masked_folder(tmp_path, 48, groups=None)
    assert data.paths == ("crack/1.JPG", "crack/2.png", "crack/3.tif", "crack/4.jpeg")
    assert data.boxes.tolist() == [[15, 16, 24, 24]] * 4
    assert data.images.float().mean() > 100, "photographs, not masks"


def test_a10_masks_may_stand_in_a_folder_of_their_own(tmp_path: Path) -> None:
    for name in ("crack/1.png", "crack/2.png", "good/3.png"):
        save(tmp_path / "images" / name, photo())
    for name in ("crack/1.png", "crack/2_mask.png"):
        save(tmp_path / "masks" / name, hole())
    data = masked_folder(tmp_path / "images", 48, masks=tmp_path / "masks")
    assert data.classes == ("crack", "good")
    assert data.boxes.tolist() == [[15, 16, 24, 24]] * 2 + [[0, 0, 0, 0]]
    assert data.notes == ("'good' has no mask file, so its 1 image count as clean",)
    with pytest.raises(ValueError, match=r"holds a folder 'masks' with 2 images: name it"):
        masked_folder(tmp_path, 48)
    save(tmp_path / "masks/crack/9.png", hole())
    with pytest.warns(UserWarning, match=r"1 mask of no image left out"):
        masked_folder(tmp_path / "images", 48, masks=tmp_path / "masks")


def test_a10_a_folder_of_masks_beside_the_classes_is_no_empty_class(tmp_path: Path) -> None:
    for name in ("crack/1.png", "masks/crack/1.png"):
        save(tmp_path / name, photo() if name.startswith("crack") else hole())
    data = masked_folder(tmp_path, 48, masks=tmp_path / "masks")
    assert (data.classes, data.notes) == (("crack",), ())
    (tmp_path / "dent").mkdir()
    with pytest.warns(UserWarning, match=r"^1 folder without an image, so no class: dent$"):
        masked_folder(tmp_path, 48, masks=tmp_path / "masks")


def test_a10_a_class_without_masks_is_clean_and_said(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    save(tmp_path / "crack/1.png", hole())
    save(tmp_path / "rust/2.jpg", photo())
    with pytest.warns(UserWarning, match="'rust' has no mask file, so its 1 image count as clean"):
        assert masked_folder(tmp_path, 8).masks[1].sum() == 0  # type: ignore[index]
    (tmp_path / "crack/1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of 2 images has a mask.*or use image_folder"):
        masked_folder(tmp_path, 8)


def test_a10_mvtec_s_layout(tmp_path: Path) -> None:
    for name in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/scratch/0.png", "test/bent/0.png"):
        save(tmp_path / name, photo())
    save(tmp_path / "ground_truth/scratch/0_mask.png", hole())
    save(tmp_path / "ground_truth/bent/0_mask.png", 0 * hole())
    train, test = (mvtec_folder(tmp_path, 48, part=part) for part in ("train", "test"))
    assert train.classes == test.classes == ("good", "bent", "scratch")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 0], [1, 0, 2])
    assert test.boxes.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [15, 16, 24, 24]]
    (tmp_path / "ground_truth/bent/0_mask.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"0.png has no mask: .*0_mask.png is not there"):
        mvtec_folder(tmp_path, 48, part="test")


def test_a10_hidden_files_are_left_out_and_said(tmp_path: Path) -> None:
    for name in ("good/1.png", "bad/2.png", ".ipynb_checkpoints/1-checkpoint.png", "good/.ipynb_checkpoints/3.png"):
        save(tmp_path / name, photo())
    (tmp_path / "good/._1.png").write_bytes(b"\0\5\26\7")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "good/notes.txt").write_text("text")
    data = image_folder(tmp_path, 8)
    assert (data.classes, data.paths) == (("bad", "good"), ("bad/2.png", "good/1.png"))
    assert data.notes == (
        "4 hidden files or folders left out: .DS_Store, .ipynb_checkpoints, good/._1.png and 1 more",
        "1 file that is no image left out: good/notes.txt",
    )


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a10_photographs_stand_upright_as_their_masks_do(orientation: int, tmp_path: Path) -> None:
    picture = Image.fromarray(np.repeat(hole()[..., None], 3, 2))  # a white hole, so image and mask can be compared
    (tmp_path / "crack").mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "crack/1.tiff", exif=exif)
    upright = np.array(ImageOps.exif_transpose(Image.open(tmp_path / "crack/1.tiff")).convert("L"))
    save(tmp_path / "crack/1.png", upright)
    data = masked_folder(tmp_path, 48, groups=None)
    assert data.masks is not None
    assert ((data.images[0, 0] > 200) & ~data.masks[0]).sum() == 0
    assert data.images[0, 0][data.masks[0]].float().mean() > 150
    assert data.notes == ("1 image turned upright, as the EXIF tag says",)
    if orientation > 4:  # a mask that was drawn on the pixels as they are stored is turned, too
        save(tmp_path / "crack/1.png", hole())
        assert (masked_folder(tmp_path, 48, groups=None).masks == data.masks).all()


def test_a10_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    save(tmp_path / "disk/1.png", photo())
    save(tmp_path / "data/good/2.png", photo())
    (tmp_path / "data/crack").symlink_to(tmp_path / "disk")
    (tmp_path / "data/good/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/good/gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.warns(UserWarning, match=r"1 link to a file that is not there left out: .*gone.png"):
        data = image_folder(tmp_path / "data", 8)
    assert data.paths == ("crack/1.png", "good/2.png")


def test_a10_empty_class_folders_and_stray_images_are_said(tmp_path: Path) -> None:
    save(tmp_path / "good/1.png", photo())
    save(tmp_path / "stray.png", photo())
    (tmp_path / "crack").mkdir()
    with pytest.warns(UserWarning, match="left out: stray.png|so no class") as said:
        data = image_folder(tmp_path, 8)
    assert data.notes == (
        "1 image in no class folder left out: stray.png",
        "1 folder without an image, so no class: crack",
    )
    assert tuple(str(warning.message) for warning in said) == data.notes
    assert {warning.filename for warning in said} == {__file__}, "the line that called, not one of the package"


def test_a10_a_picture_of_the_data_set_beside_the_classes_is_no_class(tmp_path: Path) -> None:
    save(tmp_path / "dataset.png", photo())
    save(tmp_path / "MT_Crack/Imgs/1.jpg", photo())
    save(tmp_path / "MT_Crack/Imgs/1.png", hole())
    with pytest.warns(UserWarning, match="1 image in no class folder left out: dataset.png"):
        data = masked_folder(tmp_path, 8)
    assert (data.classes, data.paths) == (("Crack",), ("MT_Crack/Imgs/1.jpg",))


def test_a10_one_picture_in_two_classes_is_said(tmp_path: Path) -> None:
    pixels = photo()
    for name in ("crack/1.png", "good/1.png", "good/2.png"):
        save(tmp_path / name, pixels)
    with pytest.warns(UserWarning, match="2 images equal to another of another class: crack/1.png = good/1.png, crack"):
        image_folder(tmp_path, 8)
    (tmp_path / "crack/1.png").unlink()
    save(tmp_path / "crack/1.png", photo())
    assert image_folder(tmp_path, 8).notes == ("1 image equal to another of its class: good/1.png = good/2.png",)


def test_a10_the_home_folder_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME" if os.name != "nt" else "USERPROFILE", str(tmp_path))
    save(tmp_path / "photos/good/1.png", photo())
    assert len(image_folder("~/photos", 8)) == 1


# ---- 12: errors that say what to do ----------------------------------------------------------------------------------


@pytest.mark.parametrize("load", [image_folder, masked_folder])
@pytest.mark.parametrize(
    ("size", "error", "said"),
    [
        ((224, 224), TypeError, r"size must be one whole number, .* got \(224, 224\) of type tuple: use size=224"),
        (224.0, TypeError, "got 224.0 of type float: use size=224"),
        (True, TypeError, "got True of type bool"),
        (0, ValueError, "size=0 must be at least 1"),
    ],
)
def test_a12_a_size_that_is_none(load: object, size: object, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        load(tmp_path, size)  # type: ignore[operator]


def test_a12_a_picture_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "good/huge.png", photo(30, 30))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"huge.png is too large: make it smaller, or raise PIL.Image.MAX_"):
        image_folder(tmp_path, 8)


# ---- edges that a small mistake would move ---------------------------------------------------------------------------


def test_a3_the_first_value_that_needs_more_bits_gets_them(tmp_path: Path) -> None:
    deep(tmp_path / "a/1.tif", np.full((8, 8), 1024))
    assert image_folder(tmp_path, 8).images.unique().tolist() == [64], "1024 * 255 / 4095"


def test_a5_a_16_bit_mask_may_be_white_at_255(tmp_path: Path) -> None:
    save(tmp_path / "crack/1.jpg", photo())
    deep(tmp_path / "crack/1.png", hole())
    assert masked_folder(tmp_path, 48).boxes.tolist() == [[15, 16, 24, 24]]


def test_a10_masks_without_class_folders_go_by_name(tmp_path: Path) -> None:
    for name in ("crack/1.png", "good/2.png"):
        save(tmp_path / "images" / name, photo())
    save(tmp_path / "masks/1_mask.png", hole())
    data = masked_folder(tmp_path / "images", 48, masks=tmp_path / "masks")
    assert data.boxes.tolist() == [[15, 16, 24, 24], [0, 0, 0, 0]]


def test_boxes_grow_to_whole_pixels() -> None:
    assert scaled([(5, 4, 7, 5, "b")], (10, 10), 8, ("a", "b")) == [(4, 3, 6, 4, 1)]
    assert scaled([(9.9, 9.9, 10, 10, "a")], (10, 10), 2, ("a", "b")) == [(1, 1, 2, 2, 0)]
