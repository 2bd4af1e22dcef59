"""Images from folders: with masks, with boxes, one folder for each class, or from torchvision's data sets."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cbam_lite.checks import choose, number, positive_int
from cbam_lite.training.images import IMAGE_ENDINGS, PCB_CLASSES, TORCHVISION, LabelledImages, similar_groups


def read_image(path: Path, mode: str) -> NDArray[np.uint8]:
    """The pixels of a file, (H, W, 3) for the mode "RGB" or (H, W) for "L"."""
    from PIL import Image, UnidentifiedImageError  # comes with Matplotlib

    try:
        with Image.open(path) as picture:
            return np.array(picture.convert(mode))
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{path} is too large: make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it ({error})"
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:  # Pillow's words for damaged files
        raise ValueError(f"{path} cannot be read as an image: replace it or take it away ({error})") from error


def resized(pixels: NDArray[np.uint8], size: int) -> Tensor:
    """(H, W, 3) -> (3, size, size), uint8, or (H, W) -> (size, size); antialiased, the aspect ratio is not kept."""
    values = torch.from_numpy(pixels).float()
    values = values.permute(2, 0, 1)[None] if values.dim() == 3 else values[None, None]  # (1, 3 or 1, H, W)
    values = torch.nn.functional.interpolate(values, (size, size), mode="bilinear", antialias=True)[0]
    values = values.round().clamp(0, 255).byte()
    return values if pixels.ndim == 3 else values[0]


def existing(folder: str | Path, what: str) -> Path:
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a path, got {folder!r} of type {type(folder).__name__}")
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: give the one that holds {what}")
    return folder


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


def resized_mask(mask: Tensor, size: int) -> Tensor:
    """(H, W) bool -> (size, size) bool, true where any pixel of the mask falls, so that thin defects stay."""
    return torch.nn.functional.adaptive_max_pool2d(mask[None].float(), size)[0] > 0


def pcb_folder(folder: str | Path, size: int = 64) -> LabelledImages:
    """DeepPCB: boards with boxed defects, cut into one image for each defect and one clean image for each board.

    The layout is ``group*/NUMBER/NAME_test.jpg`` (the board), ``NAME_temp.jpg`` (the same board without defects) and
    ``group*/NUMBER_not/NAME.txt`` with one line ``x0 y0 x1 y1 type`` for each defect, type 1 to 6.

    Args:
        folder: the folder of the group folders, ``PCBData``.
        size: the side of the squares that are cut out, in pixels of the board; each is centred at its defect, as far
            as the border allows. Its mask holds every box of the board that reaches into the square. The clean square
            of a board comes from its template, at the place of the first defect. A board without any defect gives none.

    Raises:
        FileNotFoundError: there is no such folder, no board in it, or a file of a board is missing.
        ValueError: a file cannot be read, a box lies outside its board, the board is smaller than `size`, or no board
            has a defect.

    Example:
        >>> data = pcb_folder("PCBData")
        >>> data.images.shape[1:], data.masks.shape[1:]
        (torch.Size([3, 64, 64]), torch.Size([64, 64]))
    """
    positive_int("size", size)
    boards = sorted(existing(folder, "DeepPCB's group folders").rglob("*_test.jpg"))
    if not boards:
        raise FileNotFoundError(f"{folder} holds no board: expected group*/NUMBER/NAME_test.jpg")
    images, labels, masks, groups = [], [], [], []
    for board_number, path in enumerate(boards):
        name = path.name.removesuffix("_test.jpg")
        template, notes = path.with_name(f"{name}_temp.jpg"), path.parent.with_name(f"{path.parent.name}_not")
        for file in (template, notes / f"{name}.txt"):
            if not file.is_file():
                raise FileNotFoundError(f"{path} needs {file}, which is not there")
        board, clean = (torch.from_numpy(read_image(file, "RGB")).permute(2, 0, 1) for file in (path, template))
        if clean.shape != board.shape:
            raise ValueError(
                f"{template} is {tuple(clean.shape[1:])}, its board {tuple(board.shape[1:])}: give one size"
            )
        boxes, kinds = pcb_boxes(notes / f"{name}.txt", board, size)
        if not boxes:
            continue
        mask = torch.zeros(board.shape[1:], dtype=torch.bool)
        for x0, y0, x1, y1 in boxes:
            mask[y0:y1, x0:x1] = True
        squares = [square_around(box, board, size) for box in boxes]
        images += [board[:, rows, columns] for rows, columns in squares]
        masks += [mask[rows, columns] for rows, columns in squares]
        rows, columns = squares[0]
        images.append(clean[:, rows, columns])
        masks.append(torch.zeros(size, size, dtype=torch.bool))
        labels += [*kinds, 0]
        groups += [board_number] * (len(kinds) + 1)
    if not images:
        raise ValueError(
            f"{folder} holds {len(boards)} boards, but no defect is noted for any: look into its .txt files"
        )
    stacked, marked = torch.stack(images), torch.stack(masks)
    return LabelledImages(stacked, torch.tensor(labels), PCB_CLASSES, marked, torch.tensor(groups))


def pcb_boxes(path: Path, board: Tensor, size: int) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    """The boxes and types of one annotation file, checked against the board (3, H, W)."""
    _, H, W = board.shape
    if min(H, W) < size:
        raise ValueError(f"{path}: its board is {W}x{H}, smaller than size={size}: use size<={min(H, W)}")
    boxes, kinds = [], []
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: expected lines of 'x0 y0 x1 y1 type' ({error})") from error
    for line in lines:
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        try:
            x0, y0, x1, y1, kind = map(int, fields)
        except ValueError as error:
            raise ValueError(f"{path}: expected 'x0 y0 x1 y1 type', got {line!r}") from error
        if not (0 <= x0 < x1 <= W and 0 <= y0 < y1 <= H and 1 <= kind < len(PCB_CLASSES)):
            raise ValueError(f"{path}: {line!r} is no box inside {W}x{H} with a type from 1 to {len(PCB_CLASSES) - 1}")
        boxes.append((x0, y0, x1, y1))
        kinds.append(kind)
    return boxes, kinds


def square_around(box: tuple[int, int, int, int], board: Tensor, size: int) -> tuple[slice, slice]:
    """Rows and columns of a square of side `size` centred at the box, moved inside the board at its border."""
    _, H, W = board.shape
    x0, y0, x1, y1 = box
    left = min(max((x0 + x1 - size) // 2, 0), W - size)
    top = min(max((y0 + y1 - size) // 2, 0), H - size)
    return slice(top, top + size), slice(left, left + size)


def torchvision_data(name: str, folder: str | Path, *, train: bool, download: bool = False) -> LabelledImages:
    """CIFAR-10 or Fashion-MNIST through torchvision, where that is installed; grey images get three equal channels.

    Args:
        name: "cifar10" or "fashion-mnist".
        folder: where torchvision keeps, or puts, the files.
        train: the training part, else the test part.
        download: fetch the files if they are not there.

    Raises:
        ValueError: the name is neither.
        ImportError: torchvision is not installed.
        FileNotFoundError: the files are not there, and were not to be fetched.

    Example:
        >>> train = torchvision_data("cifar10", "data", train=True, download=True)
    """
    choose("name", name, TORCHVISION)
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"folder must be a path, got {folder!r} of type {type(folder).__name__}")
    try:
        import torchvision
    except ImportError as error:
        raise ImportError(f"{name} is read by torchvision: pip install torchvision") from error
    try:
        source = getattr(torchvision.datasets, TORCHVISION[name])(folder, train=train, download=download)
    except RuntimeError as error:  # torchvision's word for "not found"
        raise FileNotFoundError(f"{folder} does not hold {name}: use download=True ({error})") from error
    pixels = torch.as_tensor(source.data)
    images = pixels.permute(0, 3, 1, 2) if pixels.dim() == 4 else pixels[:, None].expand(-1, 3, -1, -1)
    return LabelledImages(images.contiguous(), torch.as_tensor(source.targets), tuple(source.classes))


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
