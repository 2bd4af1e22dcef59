"""Folders of photographs: one folder for each class, with or without masks."""

from pathlib import Path

import torch

from cbam_lite.checks import number, positive_int
from cbam_lite.photographs.reading import existing, read_image, resized, resized_mask
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.splitting import similar_groups

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


def image_folder(folder: str | Path, size: int) -> LabelledImages:
    """A folder with one folder of images for each class, the common layout without masks.

    Args:
        folder: the folder of the class folders; classes are in alphabetical order.
        size: images are resized to size x size.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: a file cannot be read as an image.

    Example:
        >>> data = image_folder("photographs", size=64)  # photographs/crack/*.png and photographs/good/*.png
        >>> data.classes
        ('crack', 'good')
    """
    positive_int("size", size)
    root = existing(folder, "one folder for each class")
    paths = sorted(path for path in root.glob("*/*") if path.suffix.lower() in IMAGE_ENDINGS)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no images: expected CLASS/name with {', '.join(IMAGE_ENDINGS)}")
    classes = tuple(sorted({path.parent.name for path in paths}))
    images = torch.stack([resized(read_image(path, "RGB"), size) for path in paths])
    return LabelledImages(images, torch.tensor([classes.index(path.parent.name) for path in paths]), classes)


def masked_folder(folder: str | Path, size: int = 224, *, threshold: int = 127) -> LabelledImages:
    """A folder of images with masks, as the magnetic-tile data set has it: ``MT_Crack/Imgs/name.jpg`` and ``name.png``.

    Each folder with images is a class, called as the folder is, without ``MT_`` and ``/Imgs``; beside each ``.jpg``
    stands a ``.png`` of the same name with the mask. Near-duplicates become groups (see `similar_groups`), because this
    data set shows most tiles in several exposures.

    Args:
        folder: the folder of the class folders.
        size: images and masks are resized to size x size. The mask of a reduced image is true wherever one of its
            pixels was, because the smallest holes would vanish otherwise.
        threshold: a pixel above it belongs to the mask. The masks have grey edges.

    Raises:
        FileNotFoundError: there is no such folder, no image in it, or an image has no mask.
        ValueError: a file is not an image, or a mask has another size than its image.

    Example:
        >>> data = masked_folder("tiles", size=64)  # tiles/MT_Crack/Imgs/*.jpg, and a mask *.png beside each
        >>> data.classes, data.masks.any().item()
        (('Crack',), True)
    """
    positive_int("size", size)
    number("threshold", threshold)
    paths = sorted(existing(folder, "one folder for each class").rglob("*.jpg"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no .jpg: expected class folders with name.jpg and name.png")
    names = [str(path.parent.relative_to(folder)).removesuffix("/Imgs").removeprefix("MT_") for path in paths]
    classes = tuple(sorted(set(names)))
    images, masks = [], []
    for path in paths:
        pixels = read_image(path, "RGB")
        if not path.with_suffix(".png").is_file():
            raise FileNotFoundError(f"{path} has no mask: put {path.with_suffix('.png').name} beside it")
        mask = read_image(path.with_suffix(".png"), "L")
        if mask.shape != pixels.shape[:2]:
            raise ValueError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, its mask {mask.shape[1]}x{mask.shape[0]}: "
                "a mask needs the size of its image"
            )
        images.append(resized(pixels, size))
        masks.append(resized_mask(torch.from_numpy(mask > threshold), size))
    stacked = torch.stack(images)
    labels = torch.tensor([classes.index(name) for name in names])
    return LabelledImages(stacked, labels, classes, torch.stack(masks), similar_groups(stacked))
