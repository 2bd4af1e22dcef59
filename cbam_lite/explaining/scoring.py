"""All scores of `localize` at once, each with its interval, beside blind maps and what the grid of the map allows."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cbam_lite.checks import number, tensor
from cbam_lite.explaining.gradcam import positive, resize
from cbam_lite.explaining.localize import (
    box_ious,
    centre_maps,
    draws,
    edge_maps,
    energy,
    lift,
    mask_iou,
    max_box_acc_v2,
    of_bool,
    percentiles,
    perfect_maps,
    pixel_counts,
    pointing,
    px_ap,
    uniform_maps,
)

METRICS = ("pointing", "energy", "lift", "mask IoU", "MaxBoxAccV2", "PxAP")
DELTAS = (0.3, 0.5, 0.7)
BLIND = ("uniform", "centre", "edges")  # maps that know nothing of the network: chance

Interval = tuple[float, float, float]  # value, low, high; NaN where there is none


@dataclasses.dataclass(frozen=True)
class LocalisationScores:
    """What `score` found; ``print`` shows it as one table, `as_dict` gives it for JSON.

    Args:
        table: ``{metric: {kind: (value, low, high)}}``; the kinds are "map", "uniform", "centre", "edges" and
            "ceiling". NaN where something is undefined: an interval needs two images, or two groups.
        images: how many were scored.
        empty: how many were left out, because their mask is empty.
        zero: how many maps are zero everywhere. They miss, and have no energy: `energy` and `lift` are without them.
        groups: how many groups were drawn from; None where images were.
        grid: height and width of the raw maps, whose ceiling is shown.
        level: the share of resamples in an interval.
    """

    table: Mapping[str, Mapping[str, Interval]]
    images: int
    empty: int
    zero: int
    groups: int | None
    grid: tuple[int, int]
    level: float

    def __str__(self) -> str:
        """A line for each metric, and below it what was counted."""
        head = f"{'':<12}{'map':<20}{'uniform':>8}{'centre':>8}{'edges':>8}{'ceiling':>9}"
        lines = [head]
        for metric, row in self.table.items():
            value, low, high = row["map"]
            ours = two_digits(value) + ("" if math.isnan(low) else f" [{two_digits(low)}, {two_digits(high)}]")
            blind = "".join(f"{two_digits(row[kind][0]):>8}" for kind in BLIND)
            lines.append(f"{metric:<12}{ours:<20}{blind}{two_digits(row['ceiling'][0]):>9}")
        of = "images" if self.groups is None else f"{self.groups} groups of images"
        left = f" {self.empty} with an empty mask left out." if self.empty else ""
        zero = f" {self.zero} maps are zero everywhere: no energy, and a miss." if self.zero else ""
        h, w = self.grid
        note = f"{self.images} images, maps of {h}x{w}; intervals: {self.level:.0%}, drawn from {of}.{left}{zero}"
        return "\n".join([*lines, note])

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON takes it: NaN becomes None."""
        plain = dataclasses.asdict(self)
        plain["table"] = {
            metric: {
                kind: {key: number_or_none(v) for key, v in zip(("value", "low", "high"), interval, strict=True)}
                for kind, interval in row.items()
            }
            for metric, row in self.table.items()
        }
        return plain | {"grid": list(self.grid)}


def number_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def two_digits(value: float) -> str:
    """Two digits, "–" for what is undefined."""
    return f"{value:.2f}" if math.isfinite(value) else "–"


def score(
    maps: Tensor,
    masks: Tensor,
    images: Tensor,
    *,
    groups: Tensor | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> LocalisationScores:
    """Do raw maps lie on the masks? Every score of `localize` with its interval, beside chance and the grid's ceiling.

    Chance is three maps that know nothing of the network: the same value everywhere, a bell in the centre, and the
    edges of the image. A map that does not beat all three has not found the object. The ceiling is the mask itself
    through the grid of the raw map (see `perfect_maps`); it is no strict bound. The thresholds of MaxBoxAccV2 are the
    best for the images that are scored, for blind maps, too, and anew in each resample.

    Args:
        maps: raw and signed, (N, h, w), as `cam` gives them. They are cut off at 0 and resized here.
        masks: (N, H, W), bool. Images with an empty mask are left out, and counted.
        images: (N, 3, H, W), uint8 or float, for the edges.
        groups: (N,); images of one group show one thing, so whole groups are drawn. Without them the interval of
            several photographs of one thing is too narrow.
        resamples: of the percentile bootstrap. It is the uncertainty over images of one network, not over trainings.
        level: the share of resamples in an interval.
        seed: of the draws.

    Raises:
        ValueError: shapes or lengths do not fit, no mask has a pixel, or maps hold NaN.
        TypeError: masks are not bool.
        ImportError: SciPy, which finds the boxes, is missing.

    Example:
        >>> from cbam_lite.explaining.gradcam import logit
        >>> model, card = trained_defect_net("CBAM")
        >>> data = make_defects(16, seed=1)
        >>> maps = cam(model, data.images / 255, "layer2", logit(data.labels), "LayerCAM")["layer2"]
        >>> print(score(maps, data.masks, data.images))
                    map                  uniform  centre   edges  ceiling
        pointing    ...
    """
    N, H, W = of_bool("masks", masks).shape
    check_lengths(maps, masks, images, groups)
    kept = masks.flatten(1).any(1).cpu()
    if not kept.any():
        raise ValueError(f"all {N} masks are empty, so there is nothing to score: give images with a marked object")
    raw, masks, images = maps.detach().float().cpu()[kept], masks.cpu()[kept], images.cpu()[kept]
    S = resize(positive(raw), (H, W))
    weights, things = weights_of(len(masks), None if groups is None else groups.cpu()[kept], resamples, seed)
    kinds = {
        "map": S,
        "uniform": uniform_maps(masks),
        "centre": centre_maps(masks),
        "edges": edge_maps(images),
        "ceiling": perfect_maps(masks, (raw.shape[1], raw.shape[2])),
    }
    columns = {kind: scores_of(values, masks, weights, level) for kind, values in kinds.items()}
    table = {metric: {kind: column[metric] for kind, column in columns.items()} for metric in METRICS}
    zero, grid = int((S == 0).flatten(1).all(1).sum()), (raw.shape[1], raw.shape[2])
    return LocalisationScores(table, len(masks), N - len(masks), zero, things, grid, number("level", level, 0, 1))


def check_lengths(maps: Tensor, masks: Tensor, images: Tensor, groups: Tensor | None) -> None:
    """An error unless there is a map, an image of the mask's size, and a group, for each mask."""
    N, H, W = masks.shape
    tensor("maps", maps, "N, h, w", floating=True)
    if tensor("images", images, "N, 3, H, W").shape != (N, 3, H, W):
        raise ValueError(
            f"images have the shape {tuple(images.shape)}, but masks {tuple(masks.shape)} need {N, 3, H, W}"
        )
    if len(maps) != N:
        raise ValueError(f"{len(maps)} maps for {N} masks: give one map for each, in the same order")
    if groups is not None and tensor("groups", groups, "N").shape != (N,):
        raise ValueError(f"{len(groups)} groups for {N} masks: give one number for each image")


def weights_of(N: int, groups: Tensor | None, resamples: int, seed: int) -> tuple[Tensor | None, int | None]:
    """How often each image is drawn in each resample, (resamples, N), and the number of groups that were drawn from.

    None where there are fewer than two images, or groups, to draw from.
    """
    if groups is None:
        return (draws(N, resamples, seed) if N > 1 else None), None
    names, place = torch.unique(groups, return_inverse=True)
    return (draws(len(names), resamples, seed)[:, place] if len(names) > 1 else None), len(names)


# ---- one kind of map ------------------------------------------------------------------------------------------------


def scores_of(S: Tensor, masks: Tensor, weights: Tensor | None, level: float) -> dict[str, Interval]:
    """Every metric of maps (N, H, W), with its interval over the resamples (resamples, N)."""
    each = {
        "pointing": pointing(S, masks),
        "energy": energy(S, masks),
        "lift": lift(S, masks),
        "mask IoU": mask_iou(S, masks),
    }
    result = {metric: mean_and_interval(values.double(), weights, level) for metric, values in each.items()}
    ious, (inside, total) = box_ious(S, masks), pixel_counts(S, masks)
    boxes, pixels = max_box_acc_v2(ious, DELTAS), float(px_ap(inside.sum(0), total.sum(0)))
    if weights is None:
        return result | {"MaxBoxAccV2": (boxes, math.nan, math.nan), "PxAP": (pixels, math.nan, math.nan)}
    result["MaxBoxAccV2"] = (boxes, *percentiles(box_samples(ious, weights), level))
    result["PxAP"] = (pixels, *percentiles(px_ap(weights @ inside, weights @ total), level))
    return result


def mean_and_interval(values: Tensor, weights: Tensor | None, level: float) -> Interval:
    """The mean of values (N,) over those that are numbers; its interval over resamples in which there is one."""
    there = ~values.isnan()
    filled = torch.where(there, values, 0.0)
    mean = float(filled.sum() / there.sum())
    if weights is None:
        return mean, math.nan, math.nan
    means = (weights @ filled) / (weights @ there.double())
    means = means[~means.isnan()]
    return (mean, *percentiles(means, level)) if len(means) else (mean, math.nan, math.nan)


def box_samples(ious: Tensor, weights: Tensor) -> Tensor:
    """MaxBoxAccV2 of each resample, (resamples,): mean over delta of the best tau's share of boxes that fit."""
    shares = [
        weights @ (ious >= delta).double() / weights.sum(1, keepdim=True) for delta in DELTAS
    ]  # (resamples, taus)
    return torch.stack([share.amax(1) for share in shares]).mean(0)
