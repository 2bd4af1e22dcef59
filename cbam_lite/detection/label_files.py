"""YOLO's text files: which one belongs to which image, what stands in it, and how its classes are called."""

import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from cbam_lite.photographs.finding import PARTS, Found, count, files_below, some

Corners = tuple[float, float, float, float]  # x0, y0, x1, y1
Line = tuple[str, int, Corners]  # where it stands, the number of its class, corners in shares of the image

NAMES = ("classes.txt", "obj.names", "data.yaml")  # where the names of the classes may stand
MOST = 9999  # the largest number of a class: a larger one is no class


def refuse_several_parts(files: Found) -> None:
    """An error where images of train and test stand in one folder: read together, nothing is left to test on."""
    parts: dict[str, None] = {}
    for name in files.names():
        folders = Path(name).parts[:-1]
        first = next((i for i, part in enumerate(folders) if part.lower() in PARTS), None)
        if first is not None:
            parts["/".join(folders[: first + 1])] = None
    if len(parts) > 1:
        calls = ", ".join(f"yolo_folder(folder / {part!r}, size)" for part in parts)
        raise ValueError(f"{files.root} holds {' and '.join(parts)}, the parts of a data set: read each, {calls}")


def mirrored(path: Path) -> Path | None:
    """The same path with the last folder ``images`` called ``labels``; None where there is no such folder."""
    parts = list(path.parts)
    if "images" not in parts:
        return None
    parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def places(path: Path) -> list[Path]:
    """Where the label file of an image may stand."""
    folder = mirrored(path.parent)
    return [place / f"{path.stem}.txt" for place in (folder, path.parent) if place is not None]


def label_file(path: Path) -> Path | None:
    """The label file of an image, None where it has none, or an error where it has two."""
    found = [place for place in places(path) if place.is_file()]
    if len(found) > 1:
        raise ValueError(f"{path} has two label files, {found[0]} and {found[1]}: take one away")
    return found[0] if found else None


def refuse_without_partner(files: Found, labels: Mapping[Path, Path | None], found: set[Path]) -> None:
    """An error where no image has a label file, a label file has no image, or two images share one."""
    if not found:
        looked = " and ".join(str(place) for place in places(files.images[0]))
        raise ValueError(
            f"none of {count(len(files.images), 'image')} below {files.root} has a label file: looked for {looked}; "
            "put them there, with an empty file for an image without objects"
        )
    if len(found) < sum(label is not None for label in labels.values()):
        owners: dict[Path, list[Path]] = defaultdict(list)
        for path, label in labels.items():
            if label is not None:
                owners[label].append(path)
        label, (a, b, *_) = next((label, paths) for label, paths in owners.items() if len(paths) > 1)
        raise ValueError(f"{a} and {b} share the label file {label}: take one of the images away, or rename it")
    folders = {place.parent for path in files.images for place in places(path)}
    mirror = mirrored(files.root)
    roots = [files.root] if mirror is None or not mirror.is_dir() else [files.root, mirror]
    texts = {path for root in roots for path in files_below(root)[0] if path.suffix == ".txt"}
    inside = {path for path in texts if path.parent in folders or "labels" in path.parts}
    alone = sorted(path for path in inside - found if not says_something_else(path))
    if alone:
        raise ValueError(
            f"{count(len(alone), 'label file')} without an image: {some(alone)}; put the images back, or take these "
            "files away"
        )


def says_something_else(path: Path) -> bool:
    """Whether this stands beside label files, but is none: names of classes, lists of images, a word to the reader."""
    name = path.stem.lower()
    return name == "classes" or name in PARTS or name.startswith(("readme", "autosplit_"))


def lines_of(path: Path) -> list[Line]:
    """The boxes of a label file: where each stands, the number of its class, its corners in shares of the image."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text: expected lines of 'class cx cy w h' ({error})") from error
    return [box_of(f"{path}, line {i}", line) for i, line in enumerate(lines, 1) if line.strip()]


def box_of(where: str, line: str) -> Line:
    """One line of a label file, or an error that says what it is instead."""
    fields = line.split()
    try:
        kind, *rest = map(float, fields)
    except ValueError as error:
        raise ValueError(f"{where}: expected 'class cx cy w h', five numbers, got {line!r:.60}") from error
    if len(rest) != 4:
        what = "the outline of a segmentation, or a turned box" if len(rest) > 5 else "is a number missing?"
        what = "a box with its confidence, which a network found" if len(rest) == 5 else what
        raise ValueError(f"{where}: {len(fields)} numbers, not the five of 'class cx cy w h': {what}; export boxes")
    if not (0 <= kind <= MOST and kind.is_integer()):  # false for NaN
        raise ValueError(f"{where}: the class is {fields[0]:.20}: classes are whole numbers from 0 to {MOST}")
    cx, cy, w, h = rest
    if not all(map(math.isfinite, rest)) or w <= 0 or h <= 0:
        raise ValueError(f"{where}: cx, cy, w, h are {rest}: a box has numbers, and w and h above 0; mark it anew")
    return where, int(kind), (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)


def names_below(root: Path, labels: set[Path]) -> tuple[list[str], str]:
    """The names of the classes, and the file that they stand in; none where there is no such file."""
    folders = [root]
    while folders[-1].name.lower() in ("images", "labels", *PARTS):
        folders.append(folders[-1].parent)
    folders += sorted({label.parent for label in labels} - set(folders))
    files = [folder / name for folder in folders for name in NAMES]
    read = {file: names_in(file) for file in files if file.is_file() and file not in labels}
    if not read:
        return [], ""
    (first, names), *others = read.items()
    for other, names_there in others:
        if names_there != names:
            raise ValueError(f"{first} names the classes {names}, {other} {names_there}: take the wrong one away")
    return names, first.name


def names_in(file: Path) -> list[str]:
    """The names of the classes in one file: a line for each, or the list ``names`` of a YAML file."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text: expected the names of the classes ({error})") from error
    names = yaml_names(file, text) if file.suffix == ".yaml" else [line.strip() for line in text.rstrip().splitlines()]
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"{file} names the classes {names}: expected at least one name, each once, no line empty")
    return names


def yaml_names(file: Path, text: str) -> list[str]:
    """``names`` of Ultralytics' data.yaml: a list, or names by their number."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(f"{file} is read by PyYAML: pip install pyyaml") from error
    try:
        names = yaml.safe_load(text)["names"]
        if not isinstance(names, list | Mapping):
            raise TypeError(f"names is {names!r:.60}")
        names = [names[i] for i in range(len(names))]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ValueError(f"{file} has no 'names', a list or a mapping that counts from 0: {error!r}") from error
    if wrong := [name for name in names if isinstance(name, bool) or not isinstance(name, str | int)]:
        raise ValueError(f"{file}: the name {wrong[0]!r} is no text: YAML reads no, off and null so, put it in quotes")
    return [str(name) for name in names]
