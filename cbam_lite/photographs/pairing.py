"""Which mask belongs to which image: beside it, in a folder of its own, or nowhere because the part is clean."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from cbam_lite.photographs.finding import (
    MASK_FOLDERS,
    Found,
    count,
    images_below,
    owner_of,
    say,
    some,
)

CLEAN = ("clean", "free", "good", "healthy", "negative", "none", "normal", "ok", "pass")  # classes that need no mask
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")  # of two files with one name, the first in this order is the mask

Pairs = dict[Path, Path | None]


def rank(path: Path) -> int:
    """How likely a file is the mask of two with one name; the least is the mask."""
    end = path.suffix.lower()
    return LOSSLESS.index(end) if end in LOSSLESS else len(LOSSLESS)


def beside(found: Found) -> Pairs:
    """For each image the mask in its own folder: the same name with another ending, or with ``_mask`` at its end."""
    refuse_mask_folder(found)
    stems: dict[Path, list[Path]] = defaultdict(list)
    for path in found.images:
        stems[path.with_suffix("")].append(path)
    masks: dict[Path | None, list[Path]] = defaultdict(list)
    for stem, paths in stems.items():
        masks[owner_of(stem)] += paths
    pairs: Pairs = {}
    for stem, paths in stems.items():
        if owner_of(stem) in stems:
            continue  # name_mask, which belongs to name
        *others, image = [*masks[stem], *sorted(paths, key=rank)]
        if len(others) > 1 or (others and rank(others[0]) == rank(image) and others[0].stem == image.stem):
            raise ValueError(
                f"{some([*others, image])} share a name, so which is the mask? Leave one image and one mask"
            )
        pairs[image] = others[0] if others else None
    return pairs


def refuse_mask_folder(found: Found) -> None:
    """An error where masks seem to stand in a folder of their own, which must be named."""
    names = [Path(name).parts for name in found.names()]
    tops = [part for parts in names for part in parts[:-1] if part.lower() in MASK_FOLDERS]
    if tops:
        raise ValueError(
            f"{found.root} holds a folder {tops[0]!r} with {count(len(tops), 'image')}: name it, "
            f"masked_folder(images, size, masks=folder / {tops[0]!r})"
        )


def apart(found: Found, folder: Path) -> tuple[Pairs, list[str]]:
    """For each image the mask of the same path in another folder, or of the same name where that has no folders."""
    files = images_below(folder)
    flat = all("/" not in name for name in files.names())
    masks: dict[str, Path] = {}
    for path in files.images:
        stem = path.relative_to(folder).with_suffix("")
        masks[(owner_of(stem) or stem).as_posix()] = path
    images = [path for path in found.images if not path.is_relative_to(folder)]
    keys = {path: path.relative_to(found.root).with_suffix("") for path in images}
    pairs: Pairs = {path: masks.get(key.name if flat else key.as_posix()) for path, key in keys.items()}
    used = [mask for mask in pairs.values() if mask is not None]
    if len(set(used)) < len(used):
        twice = next(mask for mask in used if used.count(mask) > 1)
        raise ValueError(
            f"{twice} is the mask of {used.count(twice)} images of that name: give {folder} class folders, too"
        )
    unused = sorted(set(files.images) - set(used))
    return pairs, [say(f"{count(len(unused), 'mask')} of no image left out: {some(unused)}")] if unused else []


def without_masks(pairs: Mapping[Path, Path | None], labels: Mapping[Path, str]) -> list[str]:
    """Sentences on the classes without masks, which are clean; an error where an image among others lacks its mask."""
    if not any(pairs.values()):
        raise FileNotFoundError(
            f"none of {count(len(pairs), 'image')} has a mask, {next(iter(pairs))} for example: put name.png beside "
            "name.jpg, name their folder with masks=, or use image_folder, which needs none"
        )
    notes = []
    for label in sorted(set(labels.values())):
        paths = [path for path in pairs if labels[path] == label]
        lacking = [path for path in paths if pairs[path] is None]
        if lacking and len(lacking) < len(paths):
            raise FileNotFoundError(
                f"{lacking[0]} has no mask: put {lacking[0].stem}.png beside it, or where masks= says "
                f"({len(lacking)} of {len(paths)} images of {label!r} have none; a class without any counts as clean)"
            )
        if lacking:
            sentence = f"{label!r} has no mask file, so its {count(len(paths), 'image')} count as clean"
            notes.append(sentence if label.lower() in CLEAN else say(sentence))
    return notes
