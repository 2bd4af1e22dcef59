"""Folders of photographs: one folder for each class, with or without masks."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cbam_lite.checks import choose, number
from cbam_lite.photographs.finding import (
    Found,
    count,
    empty_folders,
    images_below,
    refuse_flat,
    refuse_masks,
    refuse_parts,
    say,
    some,
)
from cbam_lite.photographs.loading import Groups, Photograph, loaded, side
from cbam_lite.photographs.masks import read_mask, refuse_inverted
from cbam_lite.photographs.pairing import apart, beside, without_masks
from cbam_lite.photographs.reading import existing
from cbam_lite.training.images import LabelledImages


def image_folder(
    folder: str | Path,
    size: int,
    *,
    classes: Sequence[str] | None = None,
    groups: Groups = None,
    bits: int | None = None,
) -> LabelledImages:
    """A folder with one folder of images for each class, the common layout without masks.

    All images that Pillow reads are taken, also from folders inside the class folders. Hidden files and files that are
    no images are left out; `notes` of the result says so. Images stand in the order of their `paths`.

    Args:
        folder: the folder of the class folders.
        size: images are resized to size x size; the aspect ratio is not kept.
        classes: their names in the order of the labels. None takes the folders in alphabetical order, so a folder that
            holds only some classes numbers them anew: pass ``classes=train.classes`` for test images.
        groups: which images show the same thing: None if nothing is known; "similar" for `similar_groups`; a function
            of the path below the folder (a ``pathlib.PurePosixPath``) that gives the thing's name or number; or a list
            with one entry for each image, in the order of `paths`.
        bits: for 16-bit images the bits that the camera uses: 2^bits - 1 becomes 255. None takes the fewest of 8, 10,
            12, 14 and 16 that hold every value of the folder; `notes` says which.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: a file cannot be read as an image, a class is not one of `classes`, or the folder has another
            layout: masks among the images, train and test, or no class folders. The message names the right call.
        TypeError: an argument is of another kind.

    Example:
        >>> data = image_folder("photographs", size=64)  # photographs/crack/*.png and photographs/good/*.png
        >>> data.classes
        ('crack', 'good')
    """
    side(size)
    found = images_below(existing(folder, "one folder for each class"))
    if not found.images:
        raise FileNotFoundError(
            f"{found.root} holds no images: expected CLASS/name.jpg, or any ending that Pillow reads"
        )
    refuse_flat(found, "image_folder")
    refuse_parts(found, "image_folder")
    refuse_masks(found)
    inside, notes = class_folders(found)
    photographs = [Photograph(found.root / name, name, name.split("/")[0]) for name in inside]
    return loaded(photographs, side(size), classes=classes, groups=groups, bits=bits, notes=notes)


def class_folders(found: Found, masks: Path | None = None) -> tuple[list[str], list[str]]:
    """The names of the images in class folders, and sentences on those outside and on empty folders.

    A folder of masks inside the root was named as such, so it is no empty class.
    """
    outside = [name for name in found.names() if "/" not in name]
    notes = list(found.notes)
    if outside:
        notes.append(say(f"{count(len(outside), 'image')} in no class folder left out: {some(outside)}"))
    if empty := [name for name in empty_folders(found) if masks is None or found.root / name != masks]:
        notes.append(say(f"{count(len(empty), 'folder')} without an image, so no class: {some(empty)}"))
    return [name for name in found.names() if "/" in name], notes


def masked_folder(
    folder: str | Path,
    size: int = 224,
    *,
    masks: str | Path | None = None,
    classes: Sequence[str] | None = None,
    groups: Groups = "similar",
    threshold: float = 127,
    inverted: bool | None = None,
    bits: int | None = None,
) -> LabelledImages:
    """A folder of images with masks, as the magnetic-tile data set has it: ``MT_Crack/Imgs/name.jpg`` and ``name.png``.

    Each folder with images is a class, called as the folder is, without ``MT_`` and ``/Imgs``. A mask has the name of
    its image with another ending (the lossless file is the mask), or with ``_mask`` at its end. A class without any
    mask file is taken as clean: its masks are empty. Masks may be grey, of two colours, of palette colours, or in the
    alpha channel.

    Args:
        folder: the folder of the class folders.
        size: images and masks are resized to size x size. The mask of a reduced image is true wherever one of its
            pixels was, because the smallest holes would vanish otherwise.
        masks: the folder of the masks where they stand apart, laid out as `folder` is; None: beside the images.
        classes: see `image_folder`.
        groups: see `image_folder`. The default joins near-duplicates, because this data set shows most tiles in several
            exposures; where a part of the path names the tile, a function of the path is surer.
        threshold: a pixel above it belongs to the mask, values from 0 to 255. Masks often have grey edges, so the
            default is half. Use 0 for masks of 0 and 1.
        inverted: True if white means good. None refuses masks that seem to be inverted, False takes them as they are.
        bits: see `image_folder`.

    Raises:
        FileNotFoundError: there is no such folder, no image or no mask in it, or one image of a class lacks its mask.
        ValueError: a file is not an image, a mask has another size than its image, or content but nothing above the
            threshold, or seems to be inverted.
        TypeError: an argument is of another kind.

    Example:
        >>> data = masked_folder("tiles", size=64)  # tiles/MT_Crack/Imgs/*.jpg, and a mask *.png beside each
        >>> data.classes, data.masks.any().item()
        (('Crack',), True)
    """
    side(size)
    number("threshold", threshold)
    found = images_below(existing(folder, "one folder for each class"))
    if not found.images:
        raise FileNotFoundError(f"{found.root} holds no image: expected class folders with name.jpg and name.png")
    refuse_parts(found, "masked_folder")
    named = None if masks is None else existing(masks, "the masks", "masks")
    pairs, notes = (beside(found), []) if named is None else apart(found, named)
    images = Found(found.root, tuple(sorted(pairs, key=lambda path: path.as_posix())), found.notes)
    refuse_flat(images, "masked_folder")
    inside, more = class_folders(images, named)
    pairs = {found.root / name: pairs[found.root / name] for name in inside}
    labels = {path: class_of(path, found.root) for path in pairs}
    notes = [*more, *notes, *without_masks(pairs, labels)]
    shares: dict[str, float] = {}
    photographs = []
    for name, (path, mask) in zip(inside, pairs.items(), strict=True):
        read = partial(marked, mask, threshold, path, inverted, name, shares)
        photographs.append(Photograph(path, name, labels[path], read))
    data = loaded(photographs, side(size), classes=classes, groups=groups, bits=bits, notes=notes)
    large = refuse_inverted(shares, inverted)
    return data if large is None else dataclasses.replace(data, notes=(*data.notes, say(large)))


def marked(
    mask: Path | None,
    threshold: float,
    image: Path,
    inverted: bool | None,
    name: str,
    shares: dict[str, float],
    shape: tuple[int, int],
) -> NDArray[np.bool_]:
    """The marked pixels of one image, none without a mask file; `shares` remembers how many they are."""
    pixels = np.zeros(shape, bool) if mask is None else read_mask(mask, threshold, image, shape) ^ bool(inverted)
    shares[name] = float(pixels.mean())
    return pixels


def class_of(path: Path, root: Path) -> str:
    """The folder of an image as the name of its class."""
    name = path.parent.relative_to(root).as_posix()
    return name.removesuffix("/Imgs").removeprefix("MT_")


def mvtec_folder(
    folder: str | Path,
    size: int,
    *,
    part: str,
    classes: Sequence[str] | None = None,
    groups: Groups = None,
    threshold: float = 127,
    bits: int | None = None,
) -> LabelledImages:
    """One product of MVTec AD, or a folder laid out as it is: good parts to train on, good and bad ones to test.

    The layout is ``train/good/*.png``, ``test/good/*.png``, ``test/KIND/NAME.png`` and
    ``ground_truth/KIND/NAME_mask.png``. The class "good" comes first, then the kinds of both parts in alphabetical
    order, so that train and test have the same labels.

    Args:
        folder: the folder of the product, which holds train, test and ground_truth.
        size: images and masks are resized to size x size, see `masked_folder`.
        part: "train" or "test".
        classes, groups, threshold, bits: see `masked_folder`; here no groups are the default.

    Raises:
        FileNotFoundError: there is no such folder, no image in it, or a defect has no mask.
        ValueError: as for `masked_folder`, or `part` is another word.
        TypeError: an argument is of another kind.

    Example:
        >>> test = mvtec_folder("bottle", size=64, part="test")  # bottle/test/good/*.png, bottle/test/crack/*.png
        >>> test.classes, test.masks.flatten(1).any(1).tolist()
        (('good', 'crack'), [True, False])
    """
    side(size)
    number("threshold", threshold)
    choose("part", part, ("train", "test"))
    root = existing(folder, "train, test and ground_truth")
    found = images_below(existing(root / part, f"{part} images in a folder for each kind, as MVTec AD has them"))
    if not found.images:
        raise FileNotFoundError(f"{found.root} holds no images: expected good/*.png and KIND/*.png")
    refuse_flat(found, "mvtec_folder")
    inside, notes = class_folders(found)
    kinds = {path.name for place in ("train", "test") for path in (root / place).glob("[!.]*") if path.is_dir()}
    classes = classes or ("good", *sorted(kinds - {"good"}))
    photographs = []
    for name in inside:
        label, mask = name.split("/")[0], None
        if label != "good":
            mask = root / "ground_truth" / Path(name).with_name(f"{Path(name).stem}_mask.png")
            if not mask.is_file():
                raise FileNotFoundError(f"{found.root / name} has no mask: {mask} is not there")
        path = found.root / name
        photographs.append(Photograph(path, name, label, partial(marked, mask, threshold, path, None, name, {})))
    return loaded(photographs, side(size), classes=classes, groups=groups, bits=bits, notes=notes)
