"""Data sets that are known by name: DeepPCB, and what torchvision fetches."""

import os
from pathlib import Path

import torch
from torch import Tensor

from cbam_lite.checks import choose, positive_int
from cbam_lite.photographs.reading import existing, read_image
from cbam_lite.training.images import LabelledImages

PCB_CLASSES = ("clean", "open", "short", "mousebite", "spur", "copper", "pin-hole")
TORCHVISION = {"cifar10": "CIFAR10", "fashion-mnist": "FashionMNIST"}


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
