"""The page of a report, section by section: warnings first, pictures of mistakes last."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cbam_lite.explaining.scoring import LocalisationScores, number_or_none, two_digits
from cbam_lite.photographs.intervals import Estimate
from cbam_lite.photographs.maps import Pixels, as_pixels, heat, outlined
from cbam_lite.photographs.markup import cell, figure, page, paragraph, picture, section, table
from cbam_lite.photographs.measuring import Measured
from cbam_lite.plot import describe
from cbam_lite.training.images import LabelledImages
from cbam_lite.version import __version__

if TYPE_CHECKING:
    from cbam_lite.photographs.report import Mistake, Report

SIDE = 256  # of a picture on the page, in pixels
MEANING = {
    "Missed defects": "Called good, the least suspected first. The map shows what speaks for their true class.",
    "Wrong alarms": "Good images that are called a defect, the most suspected first. The map shows what speaks for it.",
    "Defects of another kind": "Found, but called another defect, whose map is shown; the most certain first.",
    "Wrong answers": "The most certain first. The map shows what speaks for the class that was called.",
}


def page_of(
    found: Report, test: LabelledImages, maps: dict[str, Tensor], good: str | None, shown: int, title: str
) -> str:
    """The whole page."""
    N, _, H, W = test.images.shape
    groups = "" if found.measured.groups is None else f" of {found.measured.groups} things (groups)"
    body = [
        f"<header><h1>{escape(title)}</h1>",
        paragraph(f"{N} test images of {H}x{W} pixels{groups}, {len(test.classes)} classes.", "quiet"),
        "</header>",
        warnings(found.warnings),
        headline(found.measured),
        threshold(found.measured),
        classes(found.measured),
        confusion(found.measured, test.classes),
        calibration(found.measured),
        localisation(found.localisation, found),
        *(pictures(heading, some, test, maps.get(heading), good, shown) for heading, some in found.mistakes.items()),
        footer(found),
    ]
    return page(title, "\n".join(part for part in body if part))


def warnings(sentences: tuple[str, ...]) -> str:
    """What has to be known first."""
    if not sentences:
        return ""
    items = "\n".join(f"<li>{escape(one)}</li>" for one in sentences)
    return f'<section class="warnings">\n<h2>Read this first</h2>\n<ul>\n{items}\n</ul>\n</section>'


def headline(measured: Measured) -> str:
    """The main numbers, each with its interval."""
    name, largest = measured.largest
    rows = [
        ["Accuracy", cell(measured.accuracy, drawn=True)],
        [f"Accuracy of always saying {name!r}", cell(Estimate(largest))],
    ]
    if (found := measured.detection) is not None:
        rows += [
            ["Defects found", cell(found.recall, drawn=True)],
            ["False alarms among good images", cell(found.false_alarms, drawn=True)],
            ["AUROC, defect against good", cell(found.auroc, drawn=True)],
            [f"Average precision of defects (chance {found.defects:.2f})", cell(found.average_precision, drawn=True)],
        ]
    rows.append(["Expected calibration error", cell(Estimate(measured.calibration.ece))])
    caption = f"The main numbers, with {measured.level:.0%} intervals; the class is the most probable one."
    return section("In short", table(caption, ["number", "value"], rows, "wide"))


def threshold(measured: Measured) -> str:
    """Another threshold than the most probable class: what it finds, and what it costs."""
    if measured.detection is None:
        return ""
    found, t = measured.detection, measured.detection.threshold
    if t.value is None:
        return section("A threshold for fewer missed defects", paragraph(f"There is none: {t.recall.why}."))
    where = "validation images" if t.chosen_on == "validation" else "test images themselves"
    text = (
        f"An image counts as a defect if P(defect) is at least {t.value:.3g}: the highest threshold that finds "
        f"{t.wanted:.0%} of the {t.chosen_by} defects among the {where}."
    )
    rows = [
        ["Defects found", cell(found.recall), cell(t.recall)],
        ["False alarms among good images", cell(found.false_alarms), cell(t.false_alarms)],
        ["Defects among the alarms", "<td class='none'>–</td>", cell(t.precision)],
    ]
    head = ["a defect is", "most probable class", f"P(defect) ≥ {t.value:.3g}"]
    return section("A threshold for a wanted recall", paragraph(text), table("What the threshold costs", head, rows))


def classes(measured: Measured) -> str:
    """Recall and precision of each class."""
    grouped = measured.groups is not None
    rows = [
        [
            one.name,
            cell(one.recall, drawn=True),
            cell(one.precision, drawn=True),
            *([str(one.groups)] if grouped else []),
            cell(one.auroc),
            cell(one.average_precision),
        ]
        for one in measured.classes
    ]
    head = ["class", "recall", "precision", *(["groups"] if grouped else []), "AUROC", "average precision"]
    text = "Recall: the share of a class that is called so. Precision: the share of those called so that are of it."
    return section("Class by class", paragraph(text), table("Each class against all others", head, rows))


def confusion(measured: Measured, names: tuple[str, ...]) -> str:
    """Who is taken for whom; the colour is the share of the true class."""
    rows = []
    for k, counts in enumerate(measured.confusion):
        cells = []
        for j, count in enumerate(counts):
            part = round(55 * count / max(1, sum(counts)))
            kind = "none" if not count else "right" if j == k else "wrong"
            cells.append(f'<td class="{kind}" style="--part:{part}%">{count}</td>')
        rows.append([names[k], *cells])
    caption = "Images by true class (rows) and called class (columns)"
    return section("Who is taken for whom", table(caption, ["true \\ called", *names], rows))


def calibration(measured: Measured) -> str:
    """Is 0.8 right in 8 of 10 cases?"""
    rows = [
        [f"{one.low:.1f} to {one.high:.1f}", str(one.images), f"{one.confidence:.2f}", f"{one.accuracy:.2f}"]
        for one in measured.calibration.bins
        if one.confidence is not None
    ]
    mean = sum(one.images * (one.confidence or 0) for one in measured.calibration.bins) / measured.images
    text = (
        f"On average the network gives its answer a probability of {mean:.2f}, and is right in "
        f"{measured.accuracy.value or 0:.2f}. The expected calibration error is {measured.calibration.ece:.3f}; of few "
        "images it is above 0 for a perfect network, too."
    )
    head = ["probability", "images", "on average", "right"]
    caption = "Images by the probability of their answer: what it is on average, and the share that is right"
    return section("Can the probabilities be believed?", paragraph(text), table(caption, head, rows))


def localisation(scores: LocalisationScores | None, found: Report) -> str:
    """Do the maps lie on the masks, beside chance and ceiling?"""
    if scores is None:
        return ""
    rows = []
    for metric, row in scores.table.items():
        value, low, high = map(number_or_none, row["map"])
        ours = cell(Estimate(value, low, high, why="undefined: every map is zero"))
        rows.append([metric, ours, *(two_digits(row[kind][0]) for kind in ("uniform", "centre", "edges", "ceiling"))])
    h, w = scores.grid
    text = (
        f"{found.method} of the true class at {found.layer}, {h}x{w}, on {scores.images} images with a mask. Uniform, "
        "centre and edges are maps that know nothing of the network; the ceiling is the mask itself through the grid "
        "of the map."
    )
    head = ["score", "map", "uniform", "centre", "edges", "ceiling"]
    return section("Do the maps find the marked places?", paragraph(text), table("Localisation scores", head, rows))


def pictures(
    heading: str,
    all_of_them: tuple[Mistake, ...],
    test: LabelledImages,
    maps: Tensor | None,
    good: str | None,
    shown: int,
) -> str:
    """The worst mistakes of one kind, each beside its map."""
    if not all_of_them:
        return section(heading, paragraph("None."))
    some = all_of_them[:shown]
    count = "The only one." if len(some) == 1 else f"All {len(some)}."
    count = count if len(some) == len(all_of_them) else f"The worst {len(some)} of {len(all_of_them)}."
    what = "P(defect)" if good is not None else "its probability"
    figures = [shown_mistake(one, test, None if maps is None else maps[n], what) for n, one in enumerate(some)]
    return section(heading, paragraph(f"{count} {MEANING[heading]}"), f'<div class="pictures">{"".join(figures)}</div>')


def shown_mistake(one: Mistake, test: LabelledImages, raw: Tensor | None, what: str) -> str:
    """The photograph with the outline of its mask, and its map."""
    image = enlarged(test.images[one.index].float() / 255)
    mask = None if test.masks is None else enlarged(test.masks[one.index].float()[None])[0] > 0.5
    name = one.path or f"image {one.index}"
    plain = as_pixels(image.permute(1, 2, 0).numpy())
    images = [picture(framed(plain, mask, (240, 90, 20)), f"{name}, of the class {one.truth}")]
    peak = ""
    if raw is not None:
        images.append(picture(framed(heat(image, raw), mask, (255, 255, 255)), describe(raw, "its map")))
        peak = f"; peak of the map {float(raw.max()):.2g}"
    caption = f"{one.truth}, called {one.called}: {what} {one.probability:.2g}"
    return figure(images, caption, f"{name}{peak}")


def enlarged(image: Tensor) -> Tensor:
    """(C, H, W) from 0 to 1 with a longer side of 256 pixels."""
    _, H, W = image.shape
    size = [max(1, round(side * SIDE / max(H, W))) for side in (H, W)]
    return torch.nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def framed(pixels: Pixels, mask: Tensor | None, colour: tuple[int, int, int]) -> Pixels:
    return pixels if mask is None else outlined(pixels, mask, colour)


def footer(found: Report) -> str:
    """How the page was made."""
    maps = f" Maps: {found.method} at {found.layer}, from 0 (dark) to the peak of each (yellow)." if found.layer else ""
    text = f"Made by cbam_lite {__version__}. The same numbers are in report.json.{maps}"
    return f"<footer>{paragraph(text, 'quiet')}</footer>"
