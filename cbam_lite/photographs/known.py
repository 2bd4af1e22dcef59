"""Data sets that are known by name: DeepPCB, whose boards are cut into squares, and what torchvision fetches."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cbam_lite.checks import choose, number, whole
from cbam_lite.photographs.finding import count
from cbam_lite.photographs.loading import Groups, as_tensor, group_numbers, side
from cbam_lite.photographs.reading import existing, opened, read_image
from cbam_lite.training.images import LabelledImages

PCB_CLASSES = ("clean", "open", "short", "mousebite", "spur", "copper", "pin-hole")
TORCHVISION = {"cifar10": "CIFAR10", "fashion-mnist": "FashionMNIST"}
TRIES = 100  # places that are looked at for a clean square

Box = tuple[int, int, int, int, int]  # x0, y0, x1, y1, class
Square = tuple[slice, slice]  # rows, columns


class Board(NamedTuple):
    """A photograph of a board, the same board without defects where it is known, and the boxes of its defects."""

    path: Path
    template: Path | None
    boxes: list[Box]


def pcb_folder(
    folder: str | Path, size: int = 64, *, jitter: float = 1.0, seed: int = 0, groups: Groups = None
) -> LabelledImages:
    """DeepPCB: boards with boxed defects, cut into one image for each defect and one clean image for each board.

    The layout is ``group*/NUMBER/NAME_test.jpg`` (the board), ``NAME_temp.jpg`` (the same board without defects, which
    may be missing) and ``group*/NUMBER_not/NAME.txt`` with one line ``x0 y0 x1 y1 type`` for each defect, type 1 to 6.

    Args:
        folder: the folder of the group folders, ``PCBData``.
        size: the side of the squares that are cut out, in pixels of the board. The mask of a square holds every box of
            the board that reaches into it, and so do its `objects`. The clean square of a board comes from its
            template, at the place of the first defect, else from the board itself, away from every box; where 100
            random places find none, or the board has no defect, it gives no clean square.
        jitter: how far the centre of a defect may stand from the centre of its square, as a share of half the side.
            With 0 every defect is centred, and then a map that says nothing but "the centre" scores 1.00 in the
            pointing game, so no map can be judged by it. The default, 1, lets it stand anywhere, and cuts some defects
            off: on the first group of boards the centre scores 0.36, and the defects cover 0.25 of their squares.
        seed: where the squares stand, together with `jitter`.
        groups: see `image_folder`; the path is that of the board, which all its squares share. None makes each board a
            group. Boards of one group folder look alike: ``groups=lambda path: path.parts[0]`` keeps these together.

    Raises:
        FileNotFoundError: there is no such folder, no board in it, or the boxes of a board are missing.
        ValueError: a file cannot be read, a box lies outside its board, the board is smaller than `size`, its template
            has another size, or no board has a defect.
        TypeError: an argument is of another kind.

    Example:
        >>> data = pcb_folder("PCBData")
        >>> data.images.shape[1:], data.masks.shape[1:]
        (torch.Size([3, 64, 64]), torch.Size([64, 64]))
    """
    side(size)
    number("jitter", jitter, 0, 1)
    random = torch.Generator().manual_seed(whole("seed", seed, -(2**63)))
    root = existing(folder, "DeepPCB's group folders")
    paths = sorted(root.rglob("*_test.jpg"))
    if not paths:
        raise FileNotFoundError(f"{root} holds no board: expected group*/NUMBER/NAME_test.jpg")
    boards = [board for board in (board_at(path, size) for path in paths) if board.boxes]
    if not boards:
        raise ValueError(f"{root} holds {len(paths)} boards, but no defect is noted for any: look into its .txt files")
    N = sum(len(board.boxes) + 1 for board in boards)
    images = torch.empty(N, 3, size, size, dtype=torch.uint8)  # taken once, so no board lives longer than its squares
    masks = torch.zeros(N, size, size, dtype=torch.bool)
    labels: list[int] = []
    names: list[str] = []
    objects: list[list[Box]] = []  # tensors only at the end, as in `loaded`
    for board in boards:
        first = len(labels)
        for pixels, mask, boxes, label in squares(board, size, jitter, random):
            images[len(labels)], masks[len(labels)] = pixels, mask
            labels.append(label)
            objects.append(boxes)
        names += [board.path.relative_to(root).as_posix()] * (len(labels) - first)
    n = len(labels)
    numbers = group_numbers(groups or (lambda path: path), names, images[:n])
    notes = about(boards, labels.count(0))
    return LabelledImages(
        images[:n],
        torch.tensor(labels),
        PCB_CLASSES,
        masks[:n],
        numbers,
        tuple(map(as_tensor, objects)),
        tuple(names),
        notes,
    )


def about(boards: Sequence[Board], clean: int) -> tuple[str, ...]:
    """A sentence on where clean squares come from, where not all templates are there."""
    without = sum(board.template is None for board in boards)
    if not without:
        return ()
    return (
        f"{count(without, 'board')} of {len(boards)} without NAME_temp.jpg: clean squares come from the boards "
        f"themselves, away from every box; {clean} were found",
    )


def board_at(path: Path, size: int) -> Board:
    """What stands beside one board: its template, if it is there, and its boxes, checked against its size."""
    name = path.name.removesuffix("_test.jpg")
    template = path.with_name(f"{name}_temp.jpg")
    notes = path.parent.with_name(f"{path.parent.name}_not") / f"{name}.txt"
    if not notes.is_file():
        raise FileNotFoundError(f"{path} needs {notes}, which is not there")
    with opened(path) as picture:
        W, H = picture.size
    return Board(path, template if template.is_file() else None, pcb_boxes(notes, H, W, size))


def squares(
    board: Board, size: int, jitter: float, random: torch.Generator
) -> list[tuple[Tensor, Tensor, list[Box], int]]:
    """The squares of one board: pixels (3, size, size), mask (size, size), boxes and class of each."""
    pixels = torch.from_numpy(read_image(board.path, "RGB")).permute(2, 0, 1)
    mask = torch.zeros(pixels.shape[1:], dtype=torch.bool)
    for x0, y0, x1, y1, _ in board.boxes:
        mask[y0:y1, x0:x1] = True
    places = [square_around(box, pixels.shape[1:], size, jitter, random) for box in board.boxes]
    found = [
        (pixels[:, rows, columns], mask[rows, columns], boxes_in(board.boxes, rows, columns), box[4])
        for box, (rows, columns) in zip(board.boxes, places, strict=True)
    ]
    place: Square | None = places[0]
    if board.template is None:
        place = clean_square(mask, size, random)
    else:
        pixels = same_size(torch.from_numpy(read_image(board.template, "RGB")).permute(2, 0, 1), pixels, board.template)
    if place is not None:
        rows, columns = place
        nothing = torch.zeros(size, size, dtype=torch.bool)
        found.append((pixels[:, rows, columns], nothing, [], 0))
    return found


def same_size(clean: Tensor, board: Tensor, template: Path) -> Tensor:
    """The template, or an error that its board has another size."""
    if clean.shape != board.shape:
        raise ValueError(f"{template} is {tuple(clean.shape[1:])}, its board {tuple(board.shape[1:])}: give one size")
    return clean


def pcb_boxes(path: Path, H: int, W: int, size: int) -> list[Box]:
    """The boxes and types of one annotation file, checked against the size of the board."""
    if min(H, W) < size:
        raise ValueError(f"{path}: its board is {W}x{H}, smaller than size={size}: use size<={min(H, W)}")
    boxes = []
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
        boxes.append((x0, y0, x1, y1, kind))
    return boxes


def square_around(box: Box, shape: Sequence[int], size: int, jitter: float, random: torch.Generator) -> Square:
    """Rows and columns of a square of side `size` around the box, inside the board (H, W); see `pcb_folder`."""
    (H, W), (x0, y0, x1, y1, _) = shape, box
    reach = int(jitter * (size // 2 - 1))  # at most, the centre of the box is the outermost pixel of the square
    across, down = (torch.randint(-reach, reach + 1, (2,), generator=random)).tolist()
    left = min(max((x0 + x1 - size) // 2 + across, 0), W - size)
    top = min(max((y0 + y1 - size) // 2 + down, 0), H - size)
    return slice(top, top + size), slice(left, left + size)


def boxes_in(boxes: Sequence[Box], rows: slice, columns: slice) -> list[Box]:
    """The boxes that reach into a square, in its pixels, cut off at its border."""
    size, inside = rows.stop - rows.start, list[Box]()
    for x0, y0, x1, y1, kind in boxes:
        left, right = max(x0 - columns.start, 0), min(x1 - columns.start, size)
        top, bottom = max(y0 - rows.start, 0), min(y1 - rows.start, size)
        if left < right and top < bottom:
            inside.append((left, top, right, bottom, kind))
    return inside


def clean_square(mask: Tensor, size: int, random: torch.Generator) -> Square | None:
    """A random square of a board that no box reaches into; None where `TRIES` places find none."""
    H, W = mask.shape
    for across, down in torch.rand(TRIES, 2, generator=random).tolist():
        left, top = int(across * (W - size + 1)), int(down * (H - size + 1))
        if not mask[top : top + size, left : left + size].any():
            return slice(top, top + size), slice(left, left + size)
    return None


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
