"""A report on a classifier: numbers, warnings and the pictures it got wrong, in one page and in one JSON file."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cbam_lite.checks import a_module, a_path, positive_int, whole
from cbam_lite.explaining.methods import Method, Name
from cbam_lite.explaining.scoring import LocalisationScores, score
from cbam_lite.photographs.maps import last_map, maps_of
from cbam_lite.photographs.measuring import Measured, measure
from cbam_lite.photographs.pages import page_of
from cbam_lite.photographs.warning import warnings_of
from cbam_lite.training.batches import predict
from cbam_lite.training.images import LabelledImages


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One image that was called wrong.

    Args:
        index: its place in the test data.
        path: of its file, if the data know it.
        truth: the name of its class.
        called: the name of the most probable class.
        probability: P(defect) where a good class is known, else that of `called`.
    """

    index: int
    path: str | None
    truth: str
    called: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Report:
    """What `report` wrote.

    Args:
        warnings: sentences that a reader has to know first.
        measured: the numbers of the classifier.
        localisation: scores of its maps against the masks; None without masks, or without a layer that gives maps.
        mistakes: ``{heading: images}``, all of them, the worst first; the page shows a limited number.
        layer: where the maps were taken; None where no layer gives any.
        method: the name of their method.
    """

    warnings: tuple[str, ...]
    measured: Measured
    localisation: LocalisationScores | None
    mistakes: dict[str, tuple[Mistake, ...]]
    layer: str | None
    method: str

    def __str__(self) -> str:
        """Warnings, then the main numbers."""
        return "\n".join([*(f"! {one}" for one in self.warnings), str(self.measured)])

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON takes it; what is undefined is None, beside a reason."""
        localisation = None if self.localisation is None else self.localisation.as_dict()
        return dataclasses.asdict(self) | {"localisation": localisation}


def report(
    model: nn.Module,
    test: LabelledImages,
    folder: str | Path,
    *,
    valid: LabelledImages | None = None,
    good: str | None = None,
    recall: float = 0.95,
    layer: str | None = None,
    method: Name | Method = "LayerCAM",
    width: int = 1,
    shown: int = 12,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    title: str = "How good is this classifier?",
) -> Report:
    """Write ``report.html`` and ``report.json`` about a classifier on images that it has never seen.

    The page is one file without scripts; its pictures are inside. It holds the photographs that it shows, so pass it on
    as you may pass on these. With groups, intervals are drawn over groups (see `share`). Scoring maps takes about a
    tenth of a second for each image of 224x224 with a mask.

    Args:
        model: (B, 3, H, W) -> logits (B, classes).
        test: images with labels; masks, groups and paths are used where they are known.
        folder: where the two files are written; it is made if it is not there.
        valid: other images, to choose the threshold on. Without them it is chosen on `test`, and the page says so.
        good: the class without a defect. All others are defects; without it there is no threshold.
        recall: the share of the defects that the threshold has to find.
        layer: where the maps are taken; None takes `last_map`.
        method: of the maps, as for `cam`.
        width: of `gradcam.smooth`. Take 3 for LayerCAM and HiResCAM before a stride of 2, if defects are large.
        shown: how many pictures each list of mistakes shows at most, the worst first.
        level, resamples, seed: of the intervals.
        title: of the page.

    Raises:
        ValueError: classes, labels or the good class do not fit, or there is no such layer.
        TypeError: `test` or `valid` are no `LabelledImages`, or another argument is of another kind.
        NotADirectoryError: the folder is a file.
        ImportError: scikit-learn or SciPy is missing.

    Example:
        >>> model, card = trained_defect_net("CBAM")
        >>> found = report(model, make_defects(64, seed=1), "out", valid=make_defects(64, seed=2), good="clean")
        >>> found.measured.accuracy.value > 0.8
        True
        >>> import os
        >>> sorted(os.listdir("out"))
        ['report.html', 'report.json']
    """
    a_module("model", model)
    whole("shown", shown)
    positive_int("width", width)
    data_of("test", test)
    if not isinstance(title, str):
        raise TypeError(f"title must be a text, got {title!r} of type {type(title).__name__}")
    root = made("folder", folder)
    logits, labels = predict(model, test)
    chosen = None if valid is None else predict(model, same_classes(test, data_of("valid", valid)))
    options: Any = {"level": level, "resamples": resamples, "seed": seed}
    measured = measure(
        logits, labels, test.classes, good=good, groups=test.groups, valid=chosen, recall=recall, **options
    )
    layer = layer or last_map(model, test.images[0].float() / 255)
    localisation = None if layer is None else scores_on(test, model, layer, method, width, options)
    mistakes = mistakes_of(torch.softmax(logits.double(), 1), test, good)
    warnings = warnings_of(measured, localisation, 0 if valid is None else in_both(test, valid))
    name = method if isinstance(method, str) else getattr(method, "__name__", "a method of your own")
    found = Report(tuple(warnings), measured, localisation, mistakes, layer, name)
    maps = {}
    for heading, all_of_them in mistakes.items():
        some = all_of_them[:shown]
        explained = torch.tensor([test.classes.index(explained_class(one, good)) for one in some])
        index = torch.tensor([one.index for one in some])
        if some and layer is not None:
            maps[heading] = maps_of(model, test.images[index], explained, layer, method, width)
    (root / "report.json").write_text(json.dumps(found.as_dict(), indent=1, allow_nan=False), encoding="utf-8")
    (root / "report.html").write_text(page_of(found, test, maps, good, shown, title), encoding="utf-8")
    return found


# ---- what is given --------------------------------------------------------------------------------------------------


def data_of(name: str, data: LabelledImages) -> LabelledImages:
    if not isinstance(data, LabelledImages):
        raise TypeError(
            f"{name} must be LabelledImages, got {type(data).__name__}: image_folder gives them, for example"
        )
    if not len(data):
        raise ValueError(f"{name}: there are no images: give at least one")
    return data


def same_classes(test: LabelledImages, valid: LabelledImages) -> LabelledImages:
    if test.classes != valid.classes:
        raise ValueError(f"valid has the classes {valid.classes}, test {test.classes}: read both with the same classes")
    return valid


def made(name: str, folder: str | Path) -> Path:
    """The folder, made if it is not there."""
    root = a_path(name, folder)
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(f"{name}={str(root)!r} is a file: give a folder, which is made if it is not there")
    root.mkdir(parents=True, exist_ok=True)
    return root


def in_both(test: LabelledImages, valid: LabelledImages) -> int:
    """How many test images are among the validation images, pixel by pixel."""
    known = {image.numpy().tobytes() for image in valid.images.cpu()}
    return sum(image.numpy().tobytes() in known for image in test.images.cpu())


# ---- what is found --------------------------------------------------------------------------------------------------


def mistakes_of(P: Tensor, test: LabelledImages, good: str | None) -> dict[str, tuple[Mistake, ...]]:
    """Images that were called wrong, the worst first, under the headings of the page. P: (N, classes)."""
    called, truth = P.argmax(1), test.labels.cpu()
    if good is None:
        return {"Wrong answers": listed(called != truth, P.amax(1), P.amax(1), called, test)}
    g = test.classes.index(good)
    defect = 1 - P[:, g]
    missed, alarm = (truth != g) & (called == g), (truth == g) & (called != g)
    mixed = (truth != g) & (called != g) & (called != truth)
    return {
        "Missed defects": listed(missed, P[:, g], defect, called, test),
        "Wrong alarms": listed(alarm, defect, defect, called, test),
        "Defects of another kind": listed(mixed, P.amax(1), defect, called, test),
    }


def listed(which: Tensor, badness: Tensor, P: Tensor, called: Tensor, test: LabelledImages) -> tuple[Mistake, ...]:
    """Those images as mistakes, the worst first; of equal ones, the first in the data."""
    paths = test.paths
    order = torch.argsort(badness, descending=True, stable=True)
    return tuple(
        Mistake(
            i,
            None if paths is None else str(paths[i]),
            test.classes[int(test.labels[i])],
            test.classes[int(called[i])],
            float(P[i]),
        )
        for i in order[which[order]].tolist()
    )


def explained_class(one: Mistake, good: str | None) -> str:
    """Whose logit the map of a mistake explains: the defect that was missed, or else what the network saw in it."""
    return one.truth if one.called == good else one.called


def scores_on(
    test: LabelledImages, model: nn.Module, layer: str, method: Name | Method, width: int, options: Any
) -> LocalisationScores | None:
    """How well maps of the true class lie on the masks, where there are any."""
    if test.masks is None or not test.masks.any():
        return None
    marked = test.take(test.masks.flatten(1).any(1))
    assert marked.masks is not None
    maps = maps_of(model, marked.images, marked.labels, layer, method, width)
    return score(maps, marked.masks, marked.images, groups=marked.groups, **options)
