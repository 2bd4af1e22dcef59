"""Training a detector: it learns, goes on bit for bit, stops when asked, and refuses what it cannot learn from."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from cbam_lite.detection import train as module
from cbam_lite.detection.boxed_images import BoxedImages, Objects
from cbam_lite.detection.changes import flips_with_boxes
from cbam_lite.detection.detecting import anchors_for, detect
from cbam_lite.detection.train import COLUMNS, fit_detector
from cbam_lite.detection.yolo import YoloTiny, yolo_tiny
from cbam_lite.training.images import LabelledImages
from cbam_lite.training.settings import name_of

OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 4, "lr": 5e-3, "progress": False, "device": "cpu"}
ANCHORS = (((30.0, 30), (40, 40), (50, 50)), ((12.0, 12), (16, 24), (24, 16)))


def squares(n: int = 8, seed: int = 0, size: int = 64) -> BoxedImages:
    """Grey pictures, each with a red or a green rectangle."""
    g = torch.Generator().manual_seed(seed)
    images, objects = torch.full((n, 3, size, size), 100, dtype=torch.uint8), []
    for i in range(n):
        w, h = (12 + 12 * torch.rand(2, generator=g)).int().tolist()
        x, y = (torch.rand(2, generator=g) * torch.tensor([size - w, size - h])).int().tolist()
        label = i % 2
        images[i, label, y : y + h, x : x + w] = 250
        objects.append(Objects(torch.tensor([[x, y, x + w, y + h]]).float(), torch.tensor([label])))
    return BoxedImages(images, tuple(objects), ("red", "green"))


def small(seed: int = 0) -> YoloTiny:
    torch.manual_seed(seed)
    return yolo_tiny(2, 2, width=0.125, anchors=ANCHORS)


def weights(model: YoloTiny) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_it_learns_to_find_rectangles() -> None:
    train, other = squares(64), squares(24, seed=1)
    model = yolo_tiny(0, 2, width=0.125, anchors=anchors_for(train))
    history = fit_detector(model, train, other, **(OPTIONS | {"epochs": 12, "batch_size": 8, "lr": 1e-2}))
    assert not model.training
    assert model.classes == ["red", "green"]
    assert tuple(history.columns) == COLUMNS
    assert history["train_loss"][-1] < 0.3 * history["train_loss"][0]
    assert history["valid_AP50"][-1] > 0.6
    best = [max(found.confidences, default=0) for found in detect(model, other)]
    labels = [int(found.labels[0]) for found in detect(model, other) if len(found)]
    assert sum(map(bool, best)) > 20
    assert labels.count(0) > 8
    assert labels.count(1) > 8


def test_the_history_has_the_parts_of_the_loss() -> None:
    history = fit_detector(small(), squares(), **OPTIONS)
    for epoch in range(3):
        box, objectness, classes = (history[f"train_{part}"][epoch] for part in ("box", "objectness", "classes"))
        assert history["train_loss"][epoch] == pytest.approx(5 * box + objectness + classes, rel=1e-4)
    assert all(map(math.isnan, history["valid_AP50"]))
    assert history.best_epoch == 1 + history["train_loss"].index(min(history["train_loss"]))


def test_equal_seeds_give_equal_weights() -> None:
    first, second, other = small(), small(), small()
    for model, seed in ((first, 0), (second, 0), (other, 1)):
        fit_detector(model, squares(), change=flips_with_boxes, seed=seed, **OPTIONS)
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))


def test_it_goes_on_bit_for_bit_after_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = small()
    expected = fit_detector(straight, squares(), squares(4, 1), change=flips_with_boxes, **OPTIONS)
    real, calls = module.detection_loss, []

    def until_the_fifth(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "detection_loss", until_the_fifth)
    model = small()
    options = OPTIONS | {"change": flips_with_boxes, "checkpoint": tmp_path}
    history = fit_detector(model, squares(), squares(4, 1), **options)
    assert history.interrupted
    assert len(history) == 2
    assert "Stopped in epoch 3 of 3. The model holds the best so far" in capsys.readouterr().out
    again = small(5)
    history = fit_detector(again, squares(), squares(4, 1), **options)
    assert same(weights(again), weights(straight))
    assert history["train_loss"] == expected["train_loss"]
    assert history["valid_AP50"] == expected["valid_AP50"]


def test_best_is_by_average_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[list[torch.Tensor]] = []

    class Judged:
        def __init__(self, AP50: float) -> None:
            self.AP50 = AP50

    def judged(found: object, truth: object) -> Judged:
        states.append(weights(model))
        return Judged([0.2, 0.6, 0.4][len(states) - 1])

    monkeypatch.setattr(module, "average_precision", judged)
    model = small()
    history = fit_detector(model, squares(), squares(4, 1), keep="best", **OPTIONS)
    assert history.best_epoch == 2
    assert same(weights(model), states[1])


def test_a_loss_that_is_no_number_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls, model = module.detection_loss, [], small()

    def spoilt(*arguments: Any) -> Any:
        calls.append(1)
        losses = real(*arguments)
        return losses._replace(box=losses.box * math.nan) if len(calls) == 5 else losses

    monkeypatch.setattr(module, "detection_loss", spoilt)
    with pytest.raises(FloatingPointError, match="the loss is nan in epoch 3, step 1, at a learning rate of"):
        fit_detector(model, squares(), **OPTIONS)
    assert all(value.isfinite().all() for value in weights(model))


@pytest.mark.parametrize("changed", ["data", "boxes", "change", "anchors"])
def test_a_checkpoint_of_another_training_is_refused(changed: str, tmp_path: Path) -> None:
    options = OPTIONS | {"epochs": 1, "checkpoint": tmp_path}
    fit_detector(small(), squares(), **options)
    train, model, change = squares(), small(), None
    if changed == "data":
        train = squares(seed=1)
    if changed == "boxes":
        moved = tuple(Objects(boxes.clamp_min(1), labels) for boxes, labels in train.objects)
        shrunk = (Objects(moved[0].boxes - torch.tensor([0, 0, 1, 1]), moved[0].labels), *moved[1:])
        train = BoxedImages(train.images, shrunk, train.classes)
    if changed == "change":
        change = flips_with_boxes
    if changed == "anchors":
        model = yolo_tiny(2, 2, width=0.125)
    with pytest.raises(ValueError, match="holds a training with other settings"):
        fit_detector(model, train, change=change, **options)
    assert len(fit_detector(small(), squares(), **options)) == 1


def test_grey_images_have_one_fingerprint() -> None:
    data = squares()
    grey = BoxedImages(data.images[:, :1].expand(-1, 3, -1, -1), data.objects, data.classes)
    assert module.fingerprint(grey) == module.fingerprint(BoxedImages(grey.images, data.objects, data.classes))
    assert module.fingerprint(grey) != module.fingerprint(data)


def test_what_it_cannot_learn_from_is_named() -> None:
    data, model = squares(), small()
    with pytest.raises(TypeError, match=r"train must be BoxedImages, got LabelledImages.*boxed\(data\)"):
        fit_detector(model, LabelledImages(data.images, torch.zeros(8).long(), ("a",)), **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="train must be BoxedImages, got DataLoader"):
        fit_detector(model, torch.utils.data.DataLoader(data), **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model must be a YoloTiny, got Linear"):
        fit_detector(torch.nn.Linear(2, 2), data, **OPTIONS)  # type: ignore[arg-type]
    empty = Objects(torch.zeros(0, 4), torch.zeros(0).long())
    nothing = BoxedImages(data.images, (empty,) * 8, data.classes)
    with pytest.raises(ValueError, match="valid has 8 images without a single object"):
        fit_detector(model, data, nothing, **OPTIONS)
    with pytest.raises(ValueError, match="train has 2 classes, the model 3: build it with num_classes=2"):
        fit_detector(yolo_tiny(0, 3, width=0.125), data, **OPTIONS)
    turned = BoxedImages(data.images, data.objects, ("green", "red"))
    with pytest.raises(ValueError, match=r"train has the classes \['red', 'green'\], valid \['green', 'red'\]"):
        fit_detector(model, data, turned, **OPTIONS)
    fit_detector(model, data, **(OPTIONS | {"epochs": 1}))
    with pytest.raises(ValueError, match=r"model was trained on \['red', 'green'\], train has \['green', 'red'\]"):
        fit_detector(model, turned, **OPTIONS)


def test_a_change_that_breaks_boxes_is_named() -> None:
    def away(images: torch.Tensor, objects: list[Objects], g: torch.Generator) -> tuple[torch.Tensor, list[Objects]]:
        return images, [Objects(boxes + 100, labels) for boxes, labels in objects]

    def half(images: torch.Tensor, objects: list[Objects], g: torch.Generator) -> tuple[torch.Tensor, list[Objects]]:
        return images[:1], objects[:1]

    with pytest.raises(ValueError, match=r"objects\[0\] after change, box 0 is .* inside 64x64"):
        fit_detector(small(), squares(), change=away, **OPTIONS)
    with pytest.raises(ValueError, match=r"change gave images \(1, 3, 64, 64\) and 1 objects"):
        fit_detector(small(), squares(), change=half, **OPTIONS)
    with pytest.raises(TypeError, match="change must be a function"):
        fit_detector(small(), squares(), change="flips", **OPTIONS)  # type: ignore[arg-type]
    assert name_of(flips_with_boxes) == "flips_with_boxes"
