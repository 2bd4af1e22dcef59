"""Is Grad-CAM unsuitable for detection? Maps of single boxes, scored on the true masks of the defects they are around.

    python experiments/box_maps.py      a few minutes on one core

Each correct detection of the detector that comes with the package is explained at several layers by several methods.
A map is scored by its energy inside the mask, by the pointing game, and by deletion: cover its top pixels, and watch
the confidence of this detection. Beside them stand chance, the mask at the layer's resolution, and blind maps that know
the box or its slot, but nothing of the network's gradient.
"""

import argparse
import csv
import io
import platform
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch
from runs import ROOT, processor
from torch import Tensor

import cbam_lite
from cbam_lite.detection.boxed_defects import make_boxed_defects
from cbam_lite.detection.boxed_images import BoxedImages
from cbam_lite.detection.boxes import iou
from cbam_lite.detection.detecting import detect
from cbam_lite.detection.detectors import trained_detector
from cbam_lite.detection.explaining_boxes import box_probability, box_score
from cbam_lite.detection.yolo import STRIDES, YoloTiny
from cbam_lite.explaining import localize
from cbam_lite.explaining.faithfulness import mean_colour, order, scores
from cbam_lite.explaining.gradcam import cam, positive, resize
from cbam_lite.explaining.methods import METHODS
from cbam_lite.training.checkpoints import write_whole

TEST: dict[str, Any] = {"n": 250, "seed": 301}
CONFIDENCE = 0.3
FRACTIONS = (0.01, 0.02, 0.04)
CHUNK = 64
LAYERS = {
    1: ("feat1", "P5_upsample", "feat1 + P5_upsample", "head_P4.0", "backbone.stage2.merge"),
    0: ("feat2", "reduce", "head_P5.0", "backbone.stage3.merge"),
}
STRIDE = dict.fromkeys(LAYERS[1], 16) | dict.fromkeys(LAYERS[0], 32)  # pixels for each place of a layer's map
STRIDE |= {"backbone.stage2.merge": 8, "backbone.stage3.merge": 16}
COLUMNS = ("layer", "method", "metric", "score", "low", "high", "boxes")


class Boxes(NamedTuple):
    """One row for each correct detection: its image, place, label, and the true mask of what it found."""

    images: Tensor  # (n, 3, H, W)
    places: Tensor  # (n, 4)
    labels: Tensor  # (n,)
    masks: Tensor  # (n, H, W)
    boxes: Tensor  # (n, 4), what was predicted
    numbers: Tensor  # (n,), which image


def correct(model: YoloTiny, data: BoxedImages) -> Boxes:
    """Detections with an IoU of at least 0.5 with a truth of their class, each truth once."""
    rows: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]] = []
    assert data.masks is not None
    for i, found in enumerate(detect(model, data, confidence=CONFIDENCE)):
        boxes, labels = data.objects[i]
        taken: set[int] = set()
        for d in range(len(found)):
            fits = (iou(found.boxes[d, None], boxes)[0] >= 0.5) & (labels == found.labels[d])
            free = [n for n in fits.nonzero()[:, 0].tolist() if n not in taken]
            if free:
                taken.add(free[0])
                mask, box = data.masks[i][free[0]], found.boxes[d]
                rows.append((data.images[i] / 255, found.places[d], found.labels[d], mask, box, i))
    *tensors, numbers = zip(*rows, strict=True)
    return Boxes(*(torch.stack(part) for part in tensors), torch.tensor(numbers))


def part(boxes: Boxes, kept: Tensor) -> Boxes:
    return Boxes(*(values[kept] for values in boxes))


def maps_of(model: YoloTiny, boxes: Boxes, layer: str, method: str) -> Tensor:
    """What speaks for the box, at the size of the images, (n, H, W); of several layers the sum, each over its peak."""
    found, layers = [], layer.split(" + ")
    for some in torch.arange(len(boxes.labels)).split(CHUNK):
        b = part(boxes, some)
        raw = cam(model, b.images, layers, box_score(b.places, b.labels), METHODS[method])
        maps = [resize(positive(raw[name]), b.images.shape[2:]) for name in layers]
        if len(maps) > 1:
            maps = [m / m.amax((1, 2), keepdim=True).clamp_min(1e-12) for m in maps]
        found.append(torch.stack(maps).sum(0))
    return torch.cat(found)


def grid_of(size: torch.Size, stride: int) -> tuple[int, int]:
    return size[0] // stride, size[1] // stride


def filled(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps that say nothing but the predicted box, (n, H, W)."""
    rows, columns = (torch.arange(side) + 0.5 for side in size)
    x0, y0, x1, y1 = boxes.unbind(1)
    down = (rows >= y0[:, None]) & (rows < y1[:, None])  # (n, H)
    across = (columns >= x0[:, None]) & (columns < x1[:, None])
    return (down[:, :, None] & across[:, None, :]).float()


def cells(boxes: Boxes, grid: tuple[int, int], reach: int) -> Tensor:
    """Maps that say nothing but which slot it was: its cell, and the cells around it up to `reach`, (n, H, W)."""
    maps = torch.zeros(len(boxes.labels), *grid)
    for one, (_, _, row, column) in zip(maps, boxes.places.tolist(), strict=True):
        one[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 1
    return resize(maps, (boxes.images.shape[2], boxes.images.shape[3]))


def deleted(model: YoloTiny, boxes: Boxes, maps: Tensor) -> Tensor:
    """What is left of this detection's confidence when the top pixels are covered by the mean colour, (n,).

    The mean over FRACTIONS of the image, which are as small as the defects: an eighth of it would hide any of them.
    """
    left = []
    for some in torch.arange(len(maps)).split(CHUNK):
        b = part(boxes, some)
        ranks, confidence = order(maps[some])[:, None], box_probability(b.places, b.labels)
        before = scores(model, b.images, confidence)
        covered = [torch.where(ranks < f * maps[0].numel(), mean_colour(b.images), b.images) for f in FRACTIONS]
        left.append(torch.stack([scores(model, images, confidence) / before for images in covered]).mean(0))
    return torch.cat(left)


def score(model: YoloTiny, boxes: Boxes, maps: Tensor, layer: str, method: str) -> Iterator[dict[str, Any]]:
    """The three rows of one kind of map. Images are resampled whole: the boxes of one are not independent."""
    numbers = {
        "energy": localize.energy(maps, boxes.masks).nan_to_num(0.0),
        "pointing": localize.pointing(maps, boxes.masks),
        "deletion": deleted(model, boxes, maps),
    }
    groups = boxes.numbers.unique(return_inverse=True)[1]
    weights = localize.draws(int(groups.max()) + 1)[:, groups].double()  # (resamples, n)
    for metric, values in numbers.items():
        means = (weights * values.double()).sum(1) / weights.sum(1)
        low, high = localize.percentiles(means)
        row = (layer, method, metric, *(f"{v:.4f}" for v in (values.double().mean().item(), low, high)), len(values))
        yield dict(zip(COLUMNS, row, strict=True))


def rows_of(model: YoloTiny, boxes: Boxes) -> Iterator[dict[str, Any]]:
    """Chance, the true mask, and each method at each layer of the level that found the box."""
    size = boxes.images.shape[2:]
    blind = {"uniform": localize.uniform_maps(boxes.masks), "edges": localize.edge_maps(boxes.images)}
    blind["true mask"] = boxes.masks + localize.perfect_maps(boxes.masks, (16, 16))
    blind["predicted box"] = filled(boxes.boxes, (size[0], size[1]))
    for name, maps in blind.items():
        yield from score(model, boxes, maps.float(), "-", name)
    for level, layers in LAYERS.items():
        own = part(boxes, boxes.places[:, 0] == level)
        print(f"level {level}: {len(own.labels)} boxes", flush=True)
        if not len(own.labels):
            continue
        for name, maps in {
            "uniform": localize.uniform_maps(own.masks),
            "predicted box": filled(own.boxes, (size[0], size[1])),
            "slot's cell": cells(own, grid_of(size, STRIDES[level]), 0),
            "3x3 cells": cells(own, grid_of(size, STRIDES[level]), 1),
        }.items():
            yield from score(model, own, maps, f"level {level}", name)
        for layer in layers:
            best = localize.perfect_maps(own.masks, grid_of(size, STRIDE[layer]))
            yield from score(model, own, best, layer, "ceiling")
            for method in ("Grad-CAM", "HiResCAM", "LayerCAM"):
                yield from score(model, own, maps_of(model, own, layer, method), layer, method)
            print(f"  {layer}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "cbam_lite" / "results" / "box_maps.csv")
    a = parser.parse_args()
    torch.set_num_threads(1)  # with more, the last digits would depend on their number
    model, _ = trained_detector()
    boxes = correct(model, make_boxed_defects(**TEST))
    rows = list(rows_of(model, boxes))
    about = {
        "command": "python experiments/box_maps.py",
        "test": f"make_boxed_defects(n={TEST['n']}, seed={TEST['seed']}), detections above {CONFIDENCE}, IoU >= 0.5",
        "versions": f"cbam_lite {cbam_lite.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "hardware": processor(),
        "date": date.today(),
    }
    text = io.StringIO(newline="")
    text.writelines(f"# {key}: {value}\n" for key, value in about.items())
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(a.out, text.getvalue().encode())
    print(f"{len(rows)} rows in {a.out}")


if __name__ == "__main__":
    main()
