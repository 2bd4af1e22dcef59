"""Predictions for a folder of photographs that nobody labelled: a table, and a picture of where the network looked.

The table grows batch by batch, and a row is written after its picture. So an interrupted run leaves nothing half done,
and the next one goes on where it stopped.
"""

import contextlib
import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cbam_lite.checks import a_module, a_path, output_of, positive_int
from cbam_lite.explaining.methods import Method, Name
from cbam_lite.networks.modes import evaluating
from cbam_lite.photographs.maps import Pixels, device_of, encoded, heat, last_map, maps_of
from cbam_lite.photographs.reading import existing, read_image, resized, survey
from cbam_lite.photographs.report import made
from cbam_lite.photographs.resuming import checked_names, photographs_in, resumed, ticking, weights_hash
from cbam_lite.training.batches import one_for_each
from cbam_lite.training.settings import name_of

LARGEST = 1024  # the longer side of an overlay, in pixels


@dataclasses.dataclass(frozen=True)
class FolderPredictions:
    """What `predict_folder` did.

    Args:
        table: the path of ``predictions.csv``.
        done: how many photographs this run added.
        there: how many were in the table already.
        unreadable: ``{path: reason}`` of files that could not be read; the next run tries them again.
        interrupted: whether Ctrl-C ended the run.
    """

    table: Path
    done: int
    there: int
    unreadable: dict[str, str]
    interrupted: bool

    def __str__(self) -> str:
        """One line, and one for each file that could not be read."""
        line = f"{self.table}: {self.done} added, {self.there} were there, {len(self.unreadable)} unreadable"
        rest = [f"  {path}: {reason}" for path, reason in self.unreadable.items()]
        return "\n".join([line + (", interrupted" if self.interrupted else ""), *rest])


def predict_folder(
    model: nn.Module,
    folder: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str],
    size: int,
    layer: str | None = None,
    method: Name | Method = "LayerCAM",
    width: int = 1,
    overlays: bool = True,
    bits: int | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> FolderPredictions:
    """Call every photograph of a folder, and of the folders in it: ``predictions.csv`` and ``overlays/*.png``.

    The table has a row for each file: its path below the folder, the most probable class, and the probability of each.
    Files whose ending Pillow knows are read; hidden ones, and what lies in `out`, are left out. Ctrl-C keeps what was
    written; the next call with the same model goes on, and takes files that are in the table already for done.

    Args:
        model: (B, 3, size, size) -> logits (B, classes), with values from 0 to 1, RGB, as it was trained.
        folder: of photographs of any size.
        out: where table and pictures are written; it is made if it is not there.
        classes: the names of the classes, in the order of the logits.
        size: the photographs are resized to size x size, as in the training.
        layer: where the maps are taken; None takes `last_map`. The map is of the class that was called.
        method, width: of the maps, as for `cam` and `smooth`.
        overlays: False writes the table alone, several times faster.
        bits: of 16-bit photographs, as in `image_folder`; take those of the training. None takes the fewest that hold
            this folder.
        batch_size: photographs for one pass.
        progress: show a bar, if tqdm is installed.

    Raises:
        FileNotFoundError: there is no such folder, or no photograph in it.
        ValueError: `out` holds predictions of another model, other classes or other settings, or the names of the
            classes do not fit the logits.
        TypeError: an argument is of another kind.

    Example:
        >>> model, card = trained_defect_net("CBAM")
        >>> names = make_defects(1).classes
        >>> found = predict_folder(model, "photographs", "called", classes=names, size=64, progress=False)
        >>> print(found)
        called/predictions.csv: 2 added, 0 were there, 0 unreadable
        >>> print(open("called/predictions.csv").readline().strip())
        path,class,P(clean),P(scratch),P(pit),P(crack),P(stain),P(dent),P(inclusion),P(missing thread)
    """
    a_module("model", model)
    positive_int("size", size)
    names = checked_names(classes)
    source, root = existing(a_path("folder", folder), "photographs"), made("out", out)
    paths = photographs_in(source, root)
    if not paths:
        raise FileNotFoundError(f"{folder} holds no photograph: none of its files has an ending that Pillow reads")
    if overlays:
        layer = layer or last_map(model, torch.rand(3, size, size))
    settings: Any = {"classes": names, "size": size, "layer": layer if overlays else None, "overlays": overlays}
    settings |= {
        "method": method if isinstance(method, str) else name_of(method),
        "width": positive_int("width", width),
        "model": weights_hash(model),
    }
    bits = bits_of_all(paths) if bits is None else bits
    settings |= {"bits": bits}
    table = root / "predictions.csv"
    known = resumed(table, root / "predictions.json", settings)
    todo = [path for path in paths if path.relative_to(source).as_posix() not in known]
    unreadable: dict[str, str] = {}
    done, interrupted = 0, False
    with (
        open(table, "a", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ticking(len(todo), progress) as tick,
    ):
        writer = csv.writer(file, lineterminator="\n")
        if not table.stat().st_size:
            writer.writerow(["path", "class", *(f"P({name})" for name in names)])
        try:
            for start in range(0, len(todo), positive_int("batch_size", batch_size)):
                some = todo[start : start + batch_size]
                read = readable(some, source, bits, unreadable)
                if read:
                    P = called(model, read, size, names)
                    if overlays and layer is not None:
                        draw(model, read, P, size, layer, method, width, root / "overlays")
                    writer.writerows(rows_of(read, P, names))
                    file.flush()
                done += len(read)
                tick(len(some))
        except KeyboardInterrupt:
            interrupted = True
    return FolderPredictions(table, done, len(paths) - len(todo), unreadable, interrupted)


# ---- one batch ------------------------------------------------------------------------------------------------------

Read = list[tuple[str, Pixels]]  # path below the folder, pixels (H, W, 3)


def bits_of_all(paths: list[Path]) -> int | None:
    """One number of bits for all files with more than 8; those that cannot be read are named later."""
    found: list[int] = []
    for path in paths:
        with contextlib.suppress(ValueError):
            found.append(survey([path]).bits or 0)
    return max(found, default=0) or None


def readable(paths: list[Path], source: Path, bits: int | None, unreadable: dict[str, str]) -> Read:
    """The pixels of those files that can be read; the others are noted with the reason."""
    found: Read = []
    for path in paths:
        name = path.relative_to(source).as_posix()
        try:
            found.append((name, read_image(path, "RGB", bits)))
        except ValueError as error:
            unreadable[name] = str(error)
    return found


def inputs(read: Read, size: int) -> Tensor:
    """What the network gets: (B, 3, size, size), float, from 0 to 1."""
    return torch.stack([resized(pixels, size) for _, pixels in read]).float() / 255


@torch.no_grad()
def called(model: nn.Module, read: Read, size: int, names: list[str]) -> Tensor:
    """The probabilities (B, classes)."""
    with evaluating(model):
        images = inputs(read, size).to(device_of(model))
        logits = one_for_each(output_of(model, images), len(images))
    if logits.shape[1:] != (len(names),):
        raise ValueError(
            f"the model gives {tuple(logits.shape)}, but there are {len(names)} classes: name each of them"
        )
    return logits.double().softmax(1).cpu()


def rows_of(read: Read, P: Tensor, names: list[str]) -> list[list[str]]:
    """The rows of the table."""
    return [
        [path, names[int(row.argmax())], *(f"{value:.6f}" for value in row.tolist())]
        for (path, _), row in zip(read, P, strict=True)
    ]


def draw(
    model: nn.Module, read: Read, P: Tensor, size: int, layer: str, method: Name | Method, width: int, folder: Path
) -> None:
    """Write the photograph with its map, as PNG, under its own path and name."""
    maps = maps_of(model, inputs(read, size), P.argmax(1), layer, method, width)
    for (path, pixels), raw in zip(read, maps, strict=True):
        target = folder / f"{path}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encoded(heat(reduced(pixels), raw)))


def reduced(pixels: Pixels) -> Tensor:
    """(3, H, W), from 0 to 1, whose longer side has at most 1024 pixels."""
    from PIL import Image  # comes with Matplotlib

    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST, LARGEST))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
