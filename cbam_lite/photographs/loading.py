"""From a list of photographs to `LabelledImages`: what every loader shares."""

import difflib
import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cbam_lite.checks import choose, whole
from cbam_lite.photographs.finding import count, say, some
from cbam_lite.photographs.reading import Survey, read_image, resized, resized_mask, survey
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.splitting import similar_groups

Groups = str | Sequence[Hashable] | Callable[[PurePosixPath], Hashable] | None
Box = tuple[float, float, float, float, str]  # x0, y0, x1, y1 in pixels of the file, class


@dataclass(frozen=True)
class Photograph:
    """A file and what is known about it before it is read.

    `mask` gives the marked pixels for the shape of the upright image, `boxes` are in its pixels; None: nobody marked.
    """

    path: Path
    name: str
    label: str
    mask: Callable[[tuple[int, int]], NDArray[np.bool_]] | None = None
    boxes: tuple[Box, ...] | None = None


def loaded(
    photographs: Sequence[Photograph],
    size: int,
    *,
    classes: Sequence[str] | None,
    groups: Groups,
    bits: int | None,
    notes: Sequence[str] = (),
) -> LabelledImages:
    """Read the photographs one by one into memory that is taken once, so that nothing is held twice."""
    N, names = len(photographs), tuple(photograph.name for photograph in photographs)
    labels = [photograph.label for photograph in photographs]
    classes = class_names(labels, classes, names)
    heads = survey(photograph.path for photograph in photographs)
    bits = heads.bits if bits is None else whole("bits", bits, 1, 16)
    images = torch.empty(N, 3, size, size, dtype=torch.uint8)
    masked = any(photograph.mask is not None for photograph in photographs)
    masks = torch.zeros(N, size, size, dtype=torch.bool) if masked else None
    objects: list[list[tuple[int, ...]]] = []  # tensors only at the end: small ones would scatter the memory
    for i, photograph in enumerate(photographs):
        pixels = read_image(photograph.path, "RGB", bits)
        images[i] = resized(pixels, size)
        if masks is not None and photograph.mask is not None:
            masks[i] = resized_mask(torch.from_numpy(photograph.mask(pixels.shape[:2])), size)
        objects.append(scaled(photograph.boxes or (), pixels.shape[:2], size, classes))
    notes = [*notes, *about(heads, bits, images), *twice(images, labels, names)]
    return LabelledImages(
        images,
        torch.tensor([classes.index(label) for label in labels]),
        classes,
        masks,
        group_numbers(groups, names, images),
        tuple(map(as_tensor, objects)) if any(photograph.boxes is not None for photograph in photographs) else None,
        names,
        tuple(notes),
    )


def side(size: int) -> int:
    """The side of the squares that images are resized to, or an error that says what to give."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(
            f"size must be one whole number, the side in pixels of the squares that images become, got {size!r} of "
            f"type {type(size).__name__}: use size=224, for example"
        )
    return whole("size", size, 1)


def class_names(labels: Sequence[str], classes: Sequence[str] | None, names: Sequence[str]) -> tuple[str, ...]:
    """The classes in their order: those given, which must hold every label, else all labels by the alphabet."""
    if classes is None:
        return tuple(sorted(set(labels)))
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(c, str) for c in classes):
        raise TypeError(f"classes must be a list of names, got {classes!r:.60}: use classes=train.classes, for example")
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes={list(classes)} names a class twice: give each once")
    for label, name in zip(labels, names, strict=True):
        if label not in classes:
            close = difflib.get_close_matches(label, classes, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{name} is of the class {label!r}, which is not one of classes={list(classes)}: add it, or take the "
                f"{count(list(labels).count(label), 'image')} of it away{hint}"
            )
    return tuple(classes)


def group_numbers(groups: Groups, names: Sequence[str], images: Tensor) -> Tensor | None:
    """A number for each image from what `groups` says: nothing, likeness, a function of the path, or a list."""
    if groups is None:
        return None
    if isinstance(groups, str):
        choose("groups", groups, ("similar",))
        return similar_groups(images)
    if callable(groups):
        things = [thing_of(groups, name) for name in names]
    else:
        if not isinstance(groups, Sequence | np.ndarray | Tensor):
            raise TypeError(f"groups={groups!r:.60} must be None, 'similar', a function of the path, or a list")
        things = list(groups.tolist() if isinstance(groups, np.ndarray | Tensor) else groups)
    if len(things) != len(names):
        raise ValueError(
            f"groups has {len(things)} entries for {len(names)} images: give one for each, in order of path"
        )
    numbers: dict[Hashable, int] = {}
    return torch.tensor([numbers.setdefault(thing, len(numbers)) for thing in things])


def thing_of(groups: Callable[[PurePosixPath], Hashable], name: str) -> Hashable:
    """What a function of the path gives, or an error that names the path."""
    try:
        thing = groups(PurePosixPath(name))
        hash(thing)
    except Exception as error:
        raise ValueError(
            f"groups fails for {name!r}: it must give something hashable for every path ({error})"
        ) from error
    return thing


def scaled(boxes: Sequence[Box], shape: tuple[int, int], size: int, classes: Sequence[str]) -> list[tuple[int, ...]]:
    """Boxes of the file in pixels of the loaded image, and their classes; each keeps at least one pixel inside."""
    (H, W), found = shape, list[tuple[int, ...]]()
    for x0, y0, x1, y1, name in boxes:
        left, top = (min(max(0, int(start)), size - 1) for start in (x0 * size / W, y0 * size / H))
        right, bottom = -int(-x1 * size // W), -int(-y1 * size // H)
        found.append((left, top, min(max(right, left + 1), size), min(max(bottom, top + 1), size), classes.index(name)))
    return found


def as_tensor(boxes: Sequence[Sequence[int]]) -> Tensor:
    """Boxes as (n, 5), int64."""
    return torch.tensor(boxes, dtype=torch.long).reshape(-1, 5)


def about(heads: Survey, bits: int | None, images: Tensor) -> list[str]:
    """Sentences on what was changed while reading."""
    notes = []
    if heads.deep:
        notes.append(
            f"{count(heads.deep, '16-bit image')} divided by {2 ** (bits or 16) - 1} ({bits} bits), one rule for all: "
            f"pass bits={bits} for other folders of this camera"
        )
    if heads.colours:
        notes.append(f"{count(heads.colours, 'image')} with 16 bits for each colour read by the upper 8")
        if heads.colours == len(images) and images.max() < 64:
            raise ValueError(
                f"all {heads.colours} images have 16 bits for each colour, but use only the lower ones: the brightest "
                f"of the upper 8 bits is {images.max()}; multiply the values so that white is 65535"
            )
    if heads.turned:
        notes.append(f"{count(heads.turned, 'image')} turned upright, as the EXIF tag says")
    if heads.pages:
        notes.append(f"{count(heads.pages, 'file')} with several pages: the first is read")
    return notes


def twice(images: Tensor, labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """Sentences on pictures that are there more than once; in two classes, one of them must be wrong."""
    first: dict[bytes, int] = {}
    same: list[str] = []
    torn: list[str] = []
    for i, image in enumerate(images):
        j = first.setdefault(hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest(), i)
        if j != i:
            (same if labels[i] == labels[j] else torn).append(f"{names[j]} = {names[i]}")
    notes = [f"{count(len(same), 'image')} equal to another of its class: {some(same)}"] if same else []
    if torn:
        notes.append(say(f"{count(len(torn), 'image')} equal to another of another class: {some(torn)}"))
    return notes
