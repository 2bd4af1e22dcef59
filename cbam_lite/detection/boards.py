"""DeepPCB as a detector sees it: whole boards with their boxes, and which of them are of a design new to it.

Tang et al., "Online PCB Defect Detector On A New PCB Defect Dataset", arXiv:1902.06197.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cbam_lite.checks import a_path
from cbam_lite.detection.boxed_images import BoxedImages, Objects
from cbam_lite.detection.letterboxing import Letterbox, letterbox
from cbam_lite.photographs.known import PCB_CLASSES, Board, board_at
from cbam_lite.photographs.loading import side
from cbam_lite.photographs.reading import existing, read_image

END = "_test.jpg"  # of the boards: the official lists leave "_test" out


def pcb_boards(
    folder: str | Path, names: str | Path | Sequence[str] | None = None, *, size: int | None = None
) -> BoxedImages:
    """DeepPCB: whole boards, 640x640, each with the boxes of its defects. There is no class "clean" here.

    The layout is that of `pcb_folder`. Boards are grey: one channel is stored, and `images` shows it three times, so
    1,000 boards take 410 MB. Picking boards by position copies all three channels; a list of names does not.

    Args:
        folder: the folder of the group folders, ``PCBData``.
        names: which boards, in this order: one of the official lists, ``trainval.txt`` or ``test.txt``, as a path, from
            here or from `folder`; or lines as they stand there, ``group/NUMBER/NAME.jpg group/NUMBER_not/NAME.txt``, or
            paths as this function gives them. None takes all boards in the order of their paths.
        size: letterbox the boards to size x size. None keeps their size, which must be the same for all. Half of all
            sides of boxes are 34 pixels or less, which become 22 at 416.

    Raises:
        FileNotFoundError: there is no such folder, list, board or file of boxes.
        ValueError: a line of the list is none, a board is named twice, a file cannot be read, a box lies outside its
            board, or boards have several sizes.
        TypeError: an argument is of another kind.

    Example:
        >>> data = pcb_boards("PCBData")
        >>> data.images.shape, data.classes, data.objects[0].boxes
        (torch.Size([1, 3, 640, 640]), ('open', 'short', 'mousebite', 'spur', 'copper', 'pin-hole'),
        tensor([[100., 100., 120., 130.]]))
    """
    if size is not None:
        side(size)
    root = existing(folder, "DeepPCB's group folders")
    if (root / "PCBData").is_dir():
        raise ValueError(f"{root} is the folder above the boards: give {root / 'PCBData'}")
    chosen = every_board(root) if names is None else listed(root, names)
    boards = [board_at(root / name, 1) for name in chosen]
    images, places = grey_images(boards, size)
    objects = tuple(objects_of(board, place) for board, place in zip(boards, places, strict=True))
    return BoxedImages(images.expand(-1, 3, -1, -1), objects, PCB_CLASSES[1:], None, tuple(chosen))


def every_board(root: Path) -> list[str]:
    """The paths of all boards below the root, with ``/`` on every system."""
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob(f"*{END}"))
    if not found:
        raise FileNotFoundError(f"{root} holds no board: expected group*/NUMBER/NAME{END}")
    return found


def listed(root: Path, names: str | Path | Sequence[str]) -> list[str]:
    """The paths of the boards that a list names, each checked to be there and to be named once."""
    where, lines = "names", names
    if isinstance(names, str | os.PathLike):
        where, lines = list_lines(root, a_path("names", names))
    if not isinstance(lines, list | tuple) or not all(isinstance(line, str) for line in lines):
        raise TypeError(f"names must be a path or a list of lines, got {names!r:.60} of type {type(names).__name__}")
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name = board_of(f"{where}, line {number}", line)
        if name in found:
            raise ValueError(f"{where}, line {number}: {name} stands in line {found[name]} already: take one away")
        if not (root / name).is_file():
            raise FileNotFoundError(f"{where}, line {number}: {root / name} is not there: is {root} the whole PCBData?")
        found[name] = number
    if not found:
        raise ValueError(f"{where} names no board: expected lines of 'group/NUMBER/NAME.jpg group/NUMBER_not/NAME.txt'")
    return list(found)


def list_lines(root: Path, path: Path) -> tuple[str, list[str]]:
    """What the list is called in errors, and its lines; the last may have no line end."""
    file = path if path.is_file() else root / path
    if not file.is_file():
        raise FileNotFoundError(f"neither {path} nor {file} is a file: give trainval.txt or test.txt of {root}")
    try:
        return str(file), file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text: expected a path of a board in each line ({error})") from error


def board_of(where: str, line: str) -> str:
    """The path of the board in a line of a list, as it stands on the disk: the lists leave "_test" out."""
    image, *notes = line.replace("\\", "/").split()
    stem = image.removesuffix(END).removesuffix(".jpg")
    group, slash, name = stem.rpartition("/")
    if not image.endswith(".jpg") or not slash or notes not in ([], [f"{group}_not/{name}.txt"]):
        raise ValueError(
            f"{where}: expected 'group/NUMBER/NAME.jpg group/NUMBER_not/NAME.txt', the second of the same board, got "
            f"{line!r:.90}"
        )
    return f"{stem}{END}"


def grey_images(boards: Sequence[Board], size: int | None) -> tuple[Tensor, list[Letterbox]]:
    """The boards as (N, 1, H, W), uint8, in memory that is taken once, and where each stands in its square."""
    images, places = torch.empty(0), list[Letterbox]()
    for i, board in enumerate(boards):
        pixels = torch.from_numpy(read_image(board.path, "L"))  # (H, W)
        shape = (pixels.shape[0], pixels.shape[1])
        wanted = shape if size is None else (size, size)
        if i == 0:
            images = torch.empty(len(boards), 1, *wanted, dtype=torch.uint8)
        if tuple(images.shape[2:]) != wanted:
            raise ValueError(
                f"{board.path} is {shape[1]}x{shape[0]}, {boards[0].path} {images.shape[3]}x{images.shape[2]}: give "
                "size=640, for example, to letterbox all to one size"
            )
        square, where = letterbox(pixels.expand(3, -1, -1), wanted)
        images[i] = square[:1]
        places.append(where)
    return images, places


def objects_of(board: Board, where: Letterbox) -> Objects:
    """The boxes of a board in pixels of its square, and their classes, of which the first is "open"."""
    numbers = torch.tensor(board.boxes, dtype=torch.float64).reshape(-1, 5)
    return Objects(where.boxes_in(numbers[:, :4]).float(), numbers[:, 4].long() - 1)


def unseen_boards(data: BoxedImages, train: BoxedImages) -> Tensor:
    """The positions of the boards in `data` from groups that `train` has no board of, for ``data.take``.

    A group folder holds boards of one design. Of the 500 boards of the official ``test.txt``, 168 are of a design that
    ``trainval.txt`` has, too; the other 332 say how well a detector does on a new design.

    Args:
        data, train: what `pcb_boards` gives.

    Returns:
        (n,), int64.

    Raises:
        ValueError: one of them has no paths, or a path has no group folder.

    Example:
        >>> train = pcb_boards("PCBData")
        >>> unseen_boards(train.take([0]), train)
        tensor([], dtype=torch.int64)
    """
    for name, boards in (("data", data), ("train", train)):
        if boards.paths is None:
            raise ValueError(f"{name} has no paths, so nothing tells which group a board is of: read it by pcb_boards")
    return torch.tensor(groups_unseen(data.paths or (), train.paths or ()), dtype=torch.long)


def groups_unseen(names: Iterable[str], train_names: Iterable[str]) -> list[int]:
    """The positions of the names whose first folder no name of `train_names` has; lines of the lists will do."""
    seen = {group_of(name) for name in train_names}
    return [i for i, name in enumerate(names) if group_of(name) not in seen]


def group_of(name: str) -> str:
    group, slash, _ = name.replace("\\", "/").partition("/")
    if not slash or not group:
        raise ValueError(f"{name!r:.60} has no group folder: expected group/NUMBER/NAME{END}, relative to PCBData")
    return group
