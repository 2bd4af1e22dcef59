"""What is in a data set and what looks wrong: counts, sizes, brightness, masks, near-duplicates, across a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cbam_lite.photographs.finding import count, some
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.splitting import thumbnail

ALIKE = 0.9  # thumbnails whose correlation is above it are near-duplicates, as in `similar_groups`
FLAT = 2.0  # a standard deviation of brightness, 0 to 255, below which there is nothing to see
FULL = 0.9  # a mask that covers more is full, or inverted
MOST = 10_000  # near-duplicates that are listed; where there are more, likeness says nothing
RARE = 10  # images of a class, below which a score for it says little


@dataclasses.dataclass(frozen=True)
class Description:
    """What `describe` found. ``print(description)`` is a page to read, `as_dict` is for JSON, `picture` draws samples.

    Args:
        images: how many there are.
        size: their height and width in pixels.
        counts: images of each class.
        groups: how many there are, None where nothing is known; `largest_group` has most images.
        brightness: the mean of each class that has images, 0 to 255.
        white, black, flat: positions of images that are all white, all black, or of any other single tone.
        empty, full: positions of empty masks, and of masks that cover more than 0.9 of their image.
        masked: the share of the image that masks with content cover, by class; empty without masks.
        pairs: near-duplicates, (first, second, correlation), at most 10,000 of them.
        across: the same across a split: (position here, position in the other data, correlation).
        warnings: what probably is a mistake, in words.
        notes: what the loader said.
    """

    images: int
    size: tuple[int, int]
    counts: dict[str, int]
    groups: int | None
    largest_group: int | None
    brightness: dict[str, float]
    white: tuple[int, ...]
    black: tuple[int, ...]
    flat: tuple[int, ...]
    empty: tuple[int, ...]
    full: tuple[int, ...]
    masked: dict[str, float]
    pairs: tuple[tuple[int, int, float], ...]
    across: tuple[tuple[int, int, float], ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    data: LabelledImages = dataclasses.field(repr=False, compare=False)

    def __str__(self) -> str:
        """A page to read."""
        H, W = self.size
        bright = {name: f" (brightness {value:.0f})" for name, value in self.brightness.items()}
        kinds = ", ".join(f"{number} {name}{bright.get(name, '')}" for name, number in self.counts.items())
        lines = [f"{count(self.images, 'image')} of {H}x{W} pixels: {kinds}"]
        if self.groups is None:
            lines.append("groups: unknown, so a split may put one thing on both sides")
        else:
            lines.append(f"groups: {self.groups}, the largest with {count(self.largest_group or 0, 'image')}")
        if self.masked:
            covered = ", ".join(f"{name} {share:.1%}" for name, share in self.masked.items())
            lines.append(f"masks: {len(self.empty)} empty; those with content cover {covered}")
        most = "at least " if len(self.pairs) == MOST else ""
        lines.append(f"near-duplicates: {most}{count(len(self.pairs), 'pair')} above a correlation of {ALIKE}")
        lines += [f"warning: {sentence}" for sentence in self.warnings] + [
            f"note: {sentence}" for sentence in self.notes
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """All but the images themselves, for ``json.dumps``."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "data"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def picture(self, each: int = 4, file: str | Path | None = None) -> None:
        """Draw the first images of each class, a row for each class, with the outlines of their masks.

        Args:
            each: how many of each class.
            file: of the picture, ``.png`` for example; None shows it.
        """
        from cbam_lite.plot import draw_image, draw_mask, figure

        names = [name for name, number in self.counts.items() if number]
        alt = f"{each} images of each of {len(names)} classes: " + ", ".join(f"{self.counts[n]} {n}" for n in names)
        with figure(message(self.counts), alt, len(names), each, 1.5, file=file) as axes:
            for ax in axes:
                ax.set_axis_off()
            for row, name in enumerate(names):
                places = (self.data.labels == self.data.classes.index(name)).nonzero().flatten()[:each].tolist()
                for column, place in enumerate(places):
                    ax = axes[row * each + column]
                    draw_image(ax, self.data.images[place] / 255, name if column == 0 else "")
                    if self.data.masks is not None:
                        draw_mask(ax, self.data.masks[place])


def message(counts: dict[str, int]) -> str:
    """What the picture says of the classes that have images: how unequal they are.

    >>> message({"good": 30, "pit": 10, "dent": 0})
    "75% of 40 images are 'good'; no class has more"
    """
    filled = {name: number for name, number in counts.items() if number}
    name, most = max(filled.items(), key=lambda item: item[1])
    if len(filled) == 1:
        return f"The only class with images is {name!r}: {count(most, 'image')}"
    if most == min(filled.values()):
        return f"Each of {len(filled)} classes has {count(most, 'image')}"
    return f"{most / sum(filled.values()):.0%} of {sum(filled.values())} images are {name!r}; no class has more"


def describe(data: LabelledImages, other: LabelledImages | None = None) -> Description:
    """Look at a data set before training on it, and at train and test together.

    Args:
        data: the images.
        other: the other part of a split, the test images for example: near-duplicates, paths and groups on both sides,
            and other classes are said in `warnings`.

    Returns:
        A `Description`, to be printed.

    Raises:
        TypeError: one of the two are no `LabelledImages`.
        ValueError: there is no image.

    Example:
        >>> train, test = split(make_defects(100), share=0.2)
        >>> found = describe(train, test)
        >>> print(str(found).splitlines()[1])
        groups: unknown, so a split may put one thing on both sides
        >>> found.counts["clean"], found.as_dict()["size"]
        (8, [64, 64])
    """
    for name, value in (("data", data), ("other", other if other is not None else data)):
        if not isinstance(value, LabelledImages):
            raise TypeError(f"{name} must be LabelledImages, got {type(value).__name__}: see image_folder")
        if not len(value):
            raise ValueError(f"{name} holds no image: there is nothing to describe")
    small = thumbnails(data.images)
    mean, spread, high, low = tones(data.images)
    sizes = None if data.groups is None else torch.unique(data.groups, return_counts=True)[1]
    cover = torch.zeros(0) if data.masks is None else data.masks.flatten(1).float().mean(1)
    found = Description(
        images=len(data),
        size=(data.images.shape[2], data.images.shape[3]),
        counts={name: int((data.labels == i).sum()) for i, name in enumerate(data.classes)},
        groups=None if sizes is None else len(sizes),
        largest_group=None if sizes is None else int(sizes.max()),
        brightness=by_class(data, mean),
        white=places((low >= 253) & (spread < FLAT)),
        black=places((high <= 2) & (spread < FLAT)),
        flat=places((spread < FLAT) & (low < 253) & (high > 2)),
        empty=places(cover == 0),
        full=places(cover > FULL),
        masked={} if data.masks is None else by_class(data.take(cover > 0), cover[cover > 0]),
        pairs=tuple(alike(small, small, upper=True)),
        across=() if other is None else tuple(alike(small, thumbnails(other.images))),
        warnings=(),
        notes=data.notes,
        data=data,
    )
    said = (*strange(found, data), *(() if other is None else on_both_sides(found, data, other)))
    return dataclasses.replace(found, warnings=said)


def thumbnails(images: Tensor) -> Tensor:
    """Those of `similar_groups`, (N, 2304), made a few at a time."""
    small = torch.empty(len(images), 48 * 48)
    for part in torch.split(torch.arange(len(images)), 8):
        small[part] = thumbnail(images[part])
    return small


def tones(images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, standard deviation, maximum and minimum of each image's brightness, (N,) each."""
    rows = []
    for part in torch.split(torch.arange(len(images)), 8):
        grey = images[part].float().mean(1).flatten(1)
        rows.append(torch.stack([grey.mean(1), grey.std(1, correction=0), grey.amax(1), grey.amin(1)]))
    mean, spread, high, low = torch.cat(rows, 1)
    return mean, spread, high, low


def by_class(data: LabelledImages, values: Tensor) -> dict[str, float]:
    """The mean of a value over the images of each class that has any."""
    chosen = {name: values[data.labels == i] for i, name in enumerate(data.classes)}
    return {name: round(float(here.mean()), 4) for name, here in chosen.items() if len(here)}


def places(condition: Tensor) -> tuple[int, ...]:
    return tuple(condition.nonzero().flatten().tolist())


def alike(first: Tensor, second: Tensor, *, upper: bool = False) -> Iterator[tuple[int, int, float]]:
    """Pairs of thumbnails that correlate above `ALIKE`, at most `MOST`; with `upper` each pair of one set once.

    An image of one tone is like none.
    """
    left = MOST
    for rows in torch.split(torch.arange(len(first)), 512):
        likeness = first[rows] @ second.T
        if upper:
            likeness = likeness.masked_fill(torch.arange(len(second)) <= rows[:, None], -1)
        found = (likeness > ALIKE).nonzero()[:left]
        left -= len(found)
        for i, j in found.tolist():
            yield int(rows[i]), j, round(float(likeness[i, j]), 4)


def named(data: LabelledImages, places: tuple[int, ...]) -> str:
    """The paths of some images, or their positions where no paths are known."""
    return some(data.paths[i] if data.paths else f"image {i}" for i in places)


def strange(found: Description, data: LabelledImages) -> Iterator[str]:
    """What looks wrong in one data set."""
    for name, number in found.counts.items():
        if number < RARE:
            yield f"{name!r} has {count(number, 'image')}: a score for it says little below {RARE}"
    for what in ("white", "black", "flat"):
        if chosen := getattr(found, what):
            kind = "of one tone" if what == "flat" else f"all {what}"
            yield f"{count(len(chosen), 'image')} {kind}: {named(data, chosen)}"
    if data.masks is not None:
        odd = tuple(i for i in found.empty if data.classes[data.labels[i]] in found.masked)
        if odd:
            yield f"{count(len(odd), 'empty mask')} in a class whose other masks have content: {named(data, odd)}"
    if found.full:
        yield f"{count(len(found.full), 'mask')} over more than {FULL:.0%} of the image, inverted perhaps: " + named(
            data, found.full
        )
    if len(found.pairs) == MOST:
        yield f"more than {MOST} near-duplicates: all look alike, so likeness tells nothing apart; give groups= by path"
    groups = torch.arange(len(data)) if data.groups is None else data.groups
    apart = [(i, j) for i, j, _ in found.pairs if groups[i] != groups[j]]
    if apart:
        yield (
            f"{count(len(apart), 'pair')} of near-duplicates in different groups, which a split may part: "
            f"{named(data, apart[0])}; see groups= of the loader"
        )
    torn = [(i, j) for i, j, _ in found.pairs if data.labels[i] != data.labels[j]]
    if torn:
        yield f"{count(len(torn), 'pair')} of near-duplicates in different classes: {named(data, torn[0])}"


def on_both_sides(found: Description, data: LabelledImages, other: LabelledImages) -> Iterator[str]:
    """What looks wrong across a split."""
    if data.classes != other.classes:
        yield f"the classes differ: {list(data.classes)} and {list(other.classes)}; load with classes=train.classes"
    if found.across:
        i, j, _ = found.across[0]
        seen = len({j for _, j, _ in found.across})
        yield (
            f"{seen} of {len(other)} images of the other part have a near-duplicate here, so its scores are too good: "
            f"{named(data, (i,))} and {named(other, (j,))}"
        )
    if both := sorted(set(data.paths or ()) & set(other.paths or ())):
        yield f"{count(len(both), 'path')} on both sides: {some(both)}"
    here, there = (set() if part.groups is None else set(part.groups.tolist()) for part in (data, other))
    if shared := sorted(here & there):
        yield f"{count(len(shared), 'group')} on both sides: {some(shared)}; two folders number theirs independently"
