"""The images below a folder, what stands beside them, and whether the folder is laid out as its reader thinks."""

import functools
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HIDDEN = ("Thumbs.db", "desktop.ini", "__MACOSX", "__pycache__", "$RECYCLE.BIN")  # what systems put beside photographs
PARTS = ("train", "training", "test", "testing", "val", "valid", "validation")
MASK_FOLDERS = ("mask", "masks", "ground_truth", "groundtruth", "gt", "annotations", "labels")
MASK_ENDS = ("_mask", "-mask", ".mask", "_gt", "_seg", "_segmentation", "_label")
NO_PICTURES = {"MPEG", "HDF5", "GRIB", "BUFR", "WMF", "EPS", "PDF"}  # Pillow knows the ending, but not the pixels


@dataclass(frozen=True)
class Found:
    """What is below a folder: the images in order of their path, and sentences on the rest."""

    root: Path
    images: tuple[Path, ...]
    notes: tuple[str, ...]

    def names(self) -> list[str]:
        """The path of each image below the root, with ``/`` on every system."""
        return [path.relative_to(self.root).as_posix() for path in self.images]


def say(sentence: str) -> str:
    """Warn the caller of the package of what probably is a mistake, and give the sentence back for the notes."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_code.co_filename.startswith(str(Path(__file__).parents[1])):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, UserWarning, stacklevel=level)
    return sentence


def some(names: Iterable[object], most: int = 3) -> str:
    """The first names, and how many more there are: ``a, b, c and 4 more``."""
    words = [str(name) for name in names]
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def count(number: int, what: str) -> str:
    """``1 file``, ``2 files``, ``2 classes``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}{'es' if what.endswith('s') else 's'}"


@functools.cache
def endings() -> frozenset[str]:
    """The endings of the files whose pixels Pillow reads, in small letters."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(end for end, kind in known.items() if kind in Image.OPEN and kind not in NO_PICTURES)


def is_image(path: Path) -> bool:
    return path.suffix.lower() in endings()


def files_below(folder: Path, above: tuple[Path, ...] = ()) -> tuple[list[Path], list[Path]]:
    """All files below a folder, links followed, and apart from them the hidden ones; a link back up is not followed."""
    files: list[Path] = []
    hidden: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in HIDDEN:
            hidden.append(path)
        elif path.is_dir():
            if path.resolve() not in (*above, folder.resolve()):
                more, more_hidden = files_below(path, (*above, folder.resolve()))
                files, hidden = files + more, hidden + more_hidden
        else:
            files.append(path)
    return files, hidden


def images_below(root: Path, known: Sequence[str] = ()) -> Found:
    """The images below a folder; what is left out is noted. `known` are endings of files that belong to the layout."""
    files, hidden = files_below(root)
    lost = [path for path in files if not path.is_file()]
    images = sorted((path for path in files if is_image(path) and path not in lost), key=lambda p: p.as_posix())
    others = [path for path in files if not is_image(path) and path.suffix.lower() not in known and path not in lost]
    notes = []
    for what, paths in (("hidden file or folder", hidden), ("file that is no image", others)):
        if paths:
            plural = (
                what.replace("file ", "files ").replace("folder", "folders").replace("is no image", "are no images")
            )
            named = some(path.relative_to(root).as_posix() for path in paths)
            notes.append(f"{len(paths)} {what if len(paths) == 1 else plural} left out: {named}")
    if lost:
        notes.append(say(f"{count(len(lost), 'link')} to a file that is not there left out: {some(lost)}"))
    return Found(root, tuple(images), tuple(notes))


# ---- layouts that are taken for another ------------------------------------------------------------------------------


def refuse_parts(found: Found, call: str) -> None:
    """An error where the first folders are train and test, with classes below: each part is loaded by itself."""
    inside = {Path(name).parts[0] for name in found.names() if len(Path(name).parts) > 2}
    parts = sorted(name for name in inside if name.lower() in PARTS)
    if (found.root / "ground_truth").is_dir() and parts:
        raise ValueError(
            f"{found.root} is laid out as MVTec AD is, with {', '.join(parts)} and ground_truth: "
            'use mvtec_folder(folder, size, part="test")'
        )
    if parts:
        calls = f"train = {call}(folder / {parts[-1]!r}, size)"
        if len(parts) > 1:
            calls += f", {parts[0]} = {call}(folder / {parts[0]!r}, size, classes=train.classes)"
        raise ValueError(f"{found.root} holds {' and '.join(parts)}, which are no classes: load each, {calls}")


def refuse_flat(found: Found, call: str) -> None:
    """An error where no image stands in a class folder; where only some do not, a warning says so elsewhere."""
    if found.images and all(path.parent == found.root for path in found.images):
        raise ValueError(
            f"{found.root} holds {count(len(found.images), 'image')} but no folder for each class: move them into "
            f"{found.root.name}/CLASS/ for {call}, or name path and label in a table and use csv_file(table, size)"
        )


def refuse_masks(found: Found) -> None:
    """An error where masks stand among the images: they would be taken for photographs, and an empty one for "good"."""
    stems = Counter(path.with_suffix("") for path in found.images)
    beside = sorted(stem for stem, times in stems.items() if times > 1 or owner_of(stem) in stems)
    apart = [
        path for path in found.images if set(MASK_FOLDERS) & {p.lower() for p in path.relative_to(found.root).parts}
    ]
    if beside:
        raise ValueError(
            f"{count(len(beside), 'image')} of {len(found.images)} below {found.root} have another beside them with "
            f"the same name, {beside[0].relative_to(found.root)} for example: where that is the mask, use "
            "masked_folder(folder, size), else take one away"
        )
    if apart:
        first = next(part for part in apart[0].relative_to(found.root).parts if part.lower() in MASK_FOLDERS)
        raise ValueError(
            f"{found.root} holds a folder {first!r} with {count(len(apart), 'image')}, which seem to be masks: use "
            f"masked_folder(images, size, masks=folder / {first!r})"
        )


def owner_of(stem: Path) -> Path | None:
    """The image whose mask this seems to be by its name, as 01 for 01_mask; both without their ending."""
    for end in MASK_ENDS:
        if stem.name.lower().endswith(end) and len(stem.name) > len(end):
            return stem.with_name(stem.name[: -len(end)])
    return None


def empty_folders(found: Found) -> list[str]:
    """The first folders that hold no image: a class that nothing is known of."""
    there = {Path(name).parts[0] for name in found.names()}
    folders = (path for path in sorted(found.root.iterdir()) if path.is_dir() and path.name not in HIDDEN)
    return [path.name for path in folders if not path.name.startswith(".") and path.name not in there]
