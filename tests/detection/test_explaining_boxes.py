"""Why this box? One slot's score, the map of each detection, and what a slot can see."""

import copy
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cbam_lite.detection import explaining_boxes
from cbam_lite.detection.decoding import decode
from cbam_lite.detection.detecting import Detections, detect
from cbam_lite.detection.explaining_boxes import (
    DEFAULT,
    UNREACHED,
    Explanation,
    box_probability,
    box_score,
    delete_confidence,
    explain_boxes,
    in_the_image,
    together,
)
from cbam_lite.detection.letterboxing import Letterbox
from cbam_lite.detection.yolo import YoloTiny, yolo_tiny
from cbam_lite.explaining.faithfulness import blurred, insertion, road
from cbam_lite.explaining.gradcam import cam, capture, resize

KINDS = ("log confidence", "objectness", "class", "confidence")
LAYERS = {0: "feat2", 1: "feat1"}  # what the head of each level reads


def net(phi: int = 0, K: int = 3, seed: int = 0) -> YoloTiny:
    """An untrained detector whose norms have seen something, so that no two channels are alike."""
    torch.manual_seed(seed)
    model = yolo_tiny(phi, K, width=0.25)  # type: ignore[arg-type]
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr, operator]
            nn.init.uniform_(part.weight, 0.8, 1.5)
    for head, std in ((model.head_P5, 0.3), (model.head_P4, 0.1)):  # so that both levels are among the first
        nn.init.normal_(head[1].weight, std=std)  # type: ignore[arg-type]
    return model.eval()


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(3))


def raw_levels(B: int = 3, K: int = 3, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(5)
    shapes = [(B, 3, 5 + K, side, side + 1) for side in (4, 8)]
    first, second = (torch.randn(shape, generator=g).mul(3).to(dtype).requires_grad_() for shape in shapes)
    return first, second


PLACES = [[0, 2, 3, 4], [1, 0, 7, 0], [1, 1, 0, 8]]


# ---- the score of one slot ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_that_of_the_slot(kind: str) -> None:
    levels = raw_levels()
    labels = [2, 0, 1]
    found = box_score(torch.tensor(PLACES), torch.tensor(labels), kind)(levels)  # type: ignore[arg-type]
    for i, ((level, anchor, row, column), label) in enumerate(zip(PLACES, labels, strict=True)):
        t = levels[level][i, anchor, :, row, column].detach().double().numpy()
        o, k = 1 / (1 + np.exp(-t[4])), 1 / (1 + np.exp(-t[5 + label]))
        expected = {"objectness": t[4], "class": t[5 + label], "confidence": o * k, "log confidence": np.log(o * k)}
        assert found[i].item() == pytest.approx(expected[kind], rel=1e-5)


def test_its_gradient_is_in_two_numbers_and_the_less_sure_one_weighs_more() -> None:
    levels = raw_levels(1)
    with torch.no_grad():
        levels[1][0, 1, 4, 2, 3], levels[1][0, 1, 6, 2, 3] = 5.0, -1.0
    (G,) = torch.autograd.grad(box_score([[1, 1, 2, 3]], 1)(levels).sum(), levels[1])
    assert G.nonzero().tolist() == [[0, 1, 4, 2, 3], [0, 1, 6, 2, 3]]
    assert G[0, 1, 4, 2, 3].item() == pytest.approx(1 / (1 + np.exp(5)))  # 1 - sigmoid(5)
    assert G[0, 1, 6, 2, 3].item() == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize(("kind", "flat"), [("confidence", True), ("log confidence", False), ("class", False)])
def test_the_confidence_of_a_sure_slot_is_flat_its_logarithm_is_not(kind: str, flat: bool) -> None:
    levels = raw_levels(1)
    with torch.no_grad():
        levels[0][0, 0, 4:, 0, 0] = 20
    (G,) = torch.autograd.grad(box_score([[0, 0, 0, 0]], 0, kind)(levels).sum(), levels[0])  # type: ignore[arg-type]
    assert bool((G == 0).all()) is flat


def test_half_precision_is_widened_and_one_label_stands_for_all() -> None:
    levels = raw_levels(dtype=torch.float16)
    assert box_score(PLACES, 1)(levels).dtype == torch.float32
    assert torch.equal(box_score(PLACES, 1)(levels), box_score(PLACES, [1, 1, 1])(levels))
    assert torch.equal(box_score(PLACES, kind="objectness")(levels), box_score(PLACES, 2, "objectness")(levels))
    assert torch.equal(box_probability(PLACES, [0, 1, 2])(levels), box_score(PLACES, [0, 1, 2], "confidence")(levels))
    assert box_score(PLACES, 1)(raw_levels(dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("places", "labels", "kind", "error", "message"),
    [
        (PLACES, 0, "logit", ValueError, "kind='logit' is not one of 'log confidence'"),
        (PLACES, None, "class", ValueError, "kind='class' needs labels"),
        (PLACES, [0, 1], "class", ValueError, "2 labels for 3 places"),
        (PLACES, [0, 1, 3], "class", ValueError, "labels 0 to 3 of 3 outputs"),
        (PLACES, "pit", "class", TypeError, "labels='pit' must be whole numbers"),
        (PLACES, 0.5, "class", TypeError, "labels=0.5 must be whole numbers"),
        ([[0, 0, 0]], 0, "class", ValueError, r"places are \(1, 3\), expected \(B, 4\)"),
        ([0, 0, 0, 0], 0, "class", ValueError, r"places are \(4,\), expected \(B, 4\)"),
        ([], 0, "class", ValueError, r"places are \(0,\), expected"),
        (torch.zeros(0, 4).long(), 0, "class", ValueError, r"places are \(0, 4\), expected"),
        (torch.zeros(1, 4), 0, "class", TypeError, "must be whole numbers: level, anchor, row, column"),
        (torch.zeros(1, 4).bool(), 0, "class", TypeError, "must be whole numbers: level, anchor"),
        ("pit", 0, "class", TypeError, "places='pit' must be whole numbers"),
        (PLACES[:2], 0, "class", ValueError, "2 places for 3 images: give one slot for each"),
        (
            [*PLACES[:2], [2, 0, 0, 0]],
            0,
            "class",
            ValueError,
            r"places\[2\] is level 2, anchor 0, row 0, column 0, but",
        ),
        ([*PLACES[:2], [-1, 0, 0, 0]], 0, "class", ValueError, r"places\[2\] is level -1"),
        (
            [*PLACES[:2], [0, 3, 0, 0]],
            0,
            "class",
            ValueError,
            r"the levels have 3 x 4x5 and 3 x 8x9 \(anchors x cells\)",
        ),
        ([*PLACES[:2], [0, 0, 4, 0]], 0, "class", ValueError, "row 4, column 0"),
        ([*PLACES[:2], [0, 0, 0, 5]], 0, "class", ValueError, "row 0, column 5"),
        ([*PLACES[:2], [0, 0, 0, -1]], 0, "class", ValueError, "row 0, column -1"),
    ],
)
def test_wrong_places_labels_and_kinds_are_named(places, labels, kind, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        box_score(places, labels, kind)(raw_levels())


@pytest.mark.parametrize(("output", "message"), [(torch.rand(2, 3), r"gives \(2, 3\)"), (None, "gives NoneType")])
def test_other_models_are_named(output: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        box_score([[0, 0, 0, 0]], 0)(output)


# ---- all boxes of an image ------------------------------------------------------------------------------------------


def by_hand(model: YoloTiny, seen: Tensor, place: list[int], label: int, layer: str) -> tuple[Tensor, Tensor]:
    """Activation and gradient (C, h, w) of one slot's log confidence, with nothing of `cam`."""
    kept = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept.append(output.clone())  # an Identity gives the backbone's own map, which goes on to the other level, too
        return kept[0]

    handle = model.get_submodule(layer).register_forward_hook(keep)
    with torch.enable_grad():
        levels = model(seen[None].requires_grad_())
    handle.remove()
    level, anchor, row, column = place
    t = levels[level][0, anchor, :, row, column]
    (G,) = torch.autograd.grad((t[4].sigmoid() * t[5 + label].sigmoid()).log(), kept[0])
    return kept[0][0].detach(), G[0]


@pytest.mark.parametrize("phi", [0, 1, 2, 3])
def test_each_map_is_that_of_its_own_slot(phi: int, image: Tensor) -> None:
    model = net(phi)
    why = explain_boxes(model, image, confidence=0.0, most=40, layers=LAYERS)
    assert len(why) == 40
    assert {0, 1} == set(why.levels.tolist())
    for i in range(len(why)):
        layer = LAYERS[int(why.levels[i])]
        A, G = by_hand(model, image.clone(), why.places[i].tolist(), int(why.labels[i]), layer)
        expected = (A * G.clamp_min(0)).sum(0)
        assert list(why.raw[i]) == [layer]
        torch.testing.assert_close(why.raw[i][layer], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
        assert why.peaks[i][layer] == pytest.approx(float(expected.max()), rel=1e-3)
        shown = resize(expected[None].clamp_min(0), (128, 128))[0]
        torch.testing.assert_close(why.maps[i], shown, rtol=1e-3, atol=1e-4 * float(shown.max()))


@settings(max_examples=8)
@given(H=st.integers(33, 90), W=st.integers(33, 90), seed=st.integers(0, 99), byte=st.booleans())
def test_the_same_cell_is_explained_after_a_second_pass(H: int, W: int, seed: int, byte: bool) -> None:
    g = torch.Generator().manual_seed(seed)
    image = torch.randint(256, (3, H, W), generator=g, dtype=torch.uint8) if byte else torch.rand(3, H, W, generator=g)
    model = net(2, seed=seed)
    why = explain_boxes(model, image, confidence=0.0, most=5)
    assert why.seen.shape[1] % 32 == why.seen.shape[2] % 32 == 0
    copies = why.seen.expand(len(why), -1, -1, -1)
    with torch.no_grad():
        again = box_score(why.places, why.labels)(model(copies)).exp()
    torch.testing.assert_close(again, why.confidences, rtol=0, atol=1e-5)
    assert why.maps.shape == (len(why), H, W)
    assert (why.maps >= 0).all()
    x0, y0, x1, y1 = why.boxes.unbind(1)
    assert ((x0 >= 0) & (x0 < x1) & (x1 <= W) & (y0 >= 0) & (y0 < y1) & (y1 <= H)).all()


def test_it_finds_what_detect_finds(image: Tensor) -> None:
    model = net()
    (found,) = detect(model, image[None], confidence=0.0, iou=0.3, most=7)
    why = explain_boxes(model, image, confidence=0.0, iou=0.3, most=7)
    for name in ("boxes", "labels", "confidences", "places"):
        assert torch.equal(getattr(found, name), getattr(why, name))
    assert torch.equal(why.image, image)
    assert torch.equal(why.seen, image)  # sides of multiples of 32 are taken as they are
    assert isinstance(why, Detections)
    assert why.best == (found.confidences[0].item(), f"class {found.labels[0]}")


@pytest.mark.parametrize("kind", KINDS)
def test_kind_and_method_are_those_that_were_asked_for(kind: str, image: Tensor) -> None:
    model = net()
    options = {"confidence": 0.0, "most": 1, "layers": "feat2", "method": "HiResCAM", "kind": kind}
    why = explain_boxes(model, image, **options)  # type: ignore[arg-type]
    score = box_score(why.places, why.labels, kind)  # type: ignore[arg-type]
    expected = cam(model, image[None], "feat2", score, "HiResCAM")["feat2"][0]
    torch.testing.assert_close(why.raw[0]["feat2"], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_chunks_change_nothing(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    whole = explain_boxes(model, image, confidence=0.0, most=9)
    monkeypatch.setattr(explaining_boxes, "CHUNK", 2)
    parts = explain_boxes(model, image, confidence=0.0, most=9)
    torch.testing.assert_close(parts.maps, whole.maps, rtol=1e-3, atol=1e-4 * float(whole.maps.max()))


def test_the_model_is_left_as_it_was(image: Tensor) -> None:
    model = net(2)
    model.train()
    model.backbone.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    explain_boxes(model, image, confidence=0.0, most=3)
    assert all(part.training for part in model.modules())
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert all(p.requires_grad for p in model.head_P4.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(part._forward_hooks for part in model.modules())


def test_devices(image: Tensor, device: torch.device) -> None:
    model = net().to(device)
    expected = explain_boxes(net(), image, confidence=0.0, most=3)
    why = explain_boxes(model, image.to(device), confidence=0.0, most=3)
    assert {x.device.type for x in (why.maps, why.boxes, why.image, why.seen, *why.raw[0].values())} == {"cpu"}
    assert torch.equal(why.places, expected.places)
    torch.testing.assert_close(why.maps, expected.maps, rtol=1e-2, atol=1e-3 * float(expected.maps.max()))


def test_bytes_and_numbers_give_the_same() -> None:
    pixels = torch.randint(256, (3, 64, 96), dtype=torch.uint8)
    a, b = (explain_boxes(net(), x, confidence=0.0, most=3) for x in (pixels, pixels / 255))
    assert torch.equal(a.seen, b.seen)
    assert torch.equal(a.image, b.image)
    assert torch.equal(a.maps, b.maps)


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "seen"), [(None, (96, 160)), (128, (128, 128)), ((64, 96), (64, 96)), ([64, 64], (64, 64))]
)
def test_the_letterbox_is_undone(size: object, seen: tuple[int, int]) -> None:
    """A map that says where each place is says so after the way back, too."""

    def column(A: Tensor, G: Tensor) -> Tensor:
        return torch.arange(A.shape[3]).float().expand(len(A), *A.shape[2:])

    def row(A: Tensor, G: Tensor) -> Tensor:
        return torch.arange(A.shape[2]).float()[:, None].expand(len(A), *A.shape[2:])

    image = torch.rand(3, 70, 130)
    options = {"confidence": 0.0, "most": 2, "size": size, "layers": {0: "feat2", 1: "feat1"}}
    across, down = (explain_boxes(net(), image, method=method, **options) for method in (column, row))  # type: ignore[arg-type]
    assert across.seen.shape[1:] == seen
    assert across.maps.shape == (2, 70, 130)
    (sy, sx), (top, left) = across.where.scale, (across.where.top, across.where.left)
    for i, level in enumerate(across.levels.tolist()):
        stride = (32, 16)[level]
        x = ((torch.arange(130) + 0.5) * sx + left) / stride - 0.5
        y = ((torch.arange(70) + 0.5) * sy + top) / stride - 0.5
        limit = (seen[1] // stride - 1, seen[0] // stride - 1)
        assert (across.maps[i, 35] - x.clamp(0, limit[0])).abs().max() < 1 / stride  # a pixel of the letterbox
        assert (down.maps[i, :, 65] - y.clamp(0, limit[1])).abs().max() < 1 / stride


def test_what_stands_in_the_padding_is_left_out() -> None:
    where = Letterbox((32, 64), (64, 64))  # 16 rows of grey above and below
    boxes = torch.tensor([[4.0, 2, 20, 12], [4, 10, 20, 30], [40, 50, 50, 60]])
    found = Detections(boxes, torch.arange(3), torch.tensor([0.9, 0.8, 0.7]), torch.arange(12).view(3, 4))
    kept = in_the_image(found, where, 5)
    assert kept.labels.tolist() == [1]
    assert kept.boxes.tolist() == [[4, 0, 20, 14]]
    assert kept.places.tolist() == [[4, 5, 6, 7]]
    assert kept.confidences.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (torch.rand(3, 64, 64), {"size": 100}, ValueError, r"size=100 must be multiples of 32: use \(128, 128\)"),
        (torch.rand(3, 64, 64), {"size": (64, 50)}, ValueError, r"use \(64, 64\)"),
        (torch.rand(3, 64, 64), {"size": 0}, ValueError, "size=0 must be at least 1"),
        (torch.rand(3, 64, 64), {"size": 64.0}, TypeError, "size must be a whole number"),
        (torch.rand(1, 3, 64, 64), {}, ValueError, r"image has the shape \(1, 3, 64, 64\)"),
        (torch.rand(64, 64, 3), {}, ValueError, r"use image.permute\(2, 0, 1\)"),
        (torch.rand(3, 0, 64), {}, ValueError, "it holds no values"),
        (torch.rand(3, 64, 64) * 255, {}, ValueError, "divide by 255"),
        (torch.full((3, 64, 64), torch.nan), {}, ValueError, "look for NaN"),
        (torch.zeros(3, 64, 64, dtype=torch.int64), {}, TypeError, "image is torch.int64"),
        (np.zeros((3, 64, 64)), {}, TypeError, "image must be a torch.Tensor"),
        (torch.rand(3, 64, 64), {"kind": "logit"}, ValueError, "kind='logit' is not one of"),
        (torch.rand(3, 64, 64), {"method": "GradCAM"}, ValueError, "did you mean 'Grad-CAM'"),
        (torch.rand(3, 64, 64), {"confidence": 2}, ValueError, "confidence=2 is outside its range"),
        (torch.rand(3, 64, 64), {"iou": -1}, ValueError, "iou=-1 is outside its range"),
        (torch.rand(3, 64, 64), {"most": 0}, ValueError, "most=0 must be at least 1"),
        (torch.rand(3, 64, 64), {"layers": "feat9"}, ValueError, "YoloTiny has no layer 'feat9': did you mean 'feat"),
        (
            torch.rand(3, 64, 64),
            {"layers": {2: "feat1"}},
            ValueError,
            r"layers name level 2: there are 0 \(stride 32\)",
        ),
        (torch.rand(3, 64, 64), {"layers": {"1": "feat1"}}, ValueError, "layers name level '1'"),
        (torch.rand(3, 64, 64), {"layers": []}, ValueError, "layers is empty"),
        (torch.rand(3, 64, 64), {"layers": {1: nn.Identity()}}, TypeError, "layers holds no names, but Identity"),
    ],
)
def test_wrong_arguments_are_named_even_where_nothing_is_found(image, options, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        explain_boxes(net(), image, **({"confidence": 1.0} | options))


def test_other_models_and_names_that_do_not_fit_are_refused(image: Tensor) -> None:
    with pytest.raises(TypeError, match="model must be a YoloTiny, got Conv2d"):
        explain_boxes(nn.Conv2d(3, 3, 1), image)  # type: ignore[arg-type]
    model = net()
    model.classes = ["pit", "crack"]  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"model.classes has 2 names, but the model 3 classes"):
        explain_boxes(model, image)


def test_without_torchvision(image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    with pytest.raises(ImportError, match="pip install torchvision"):
        explain_boxes(net(), image)


# ---- nothing found --------------------------------------------------------------------------------------------------


def test_nothing_above_the_threshold_is_an_answer(image: Tensor) -> None:
    model = net()
    model.classes = ["pit", "crack", "dent"]  # type: ignore[assignment]
    with torch.no_grad():
        model.head_P4[1].bias.view(3, -1)[:, 7] = 1  # type: ignore[operator, union-attr]
        confidences = decode(model(image[None]), model.anchors).confidences[0]
    highest = float(confidences.max())
    name = model.classes[int((confidences == highest).nonzero()[0, 1])]
    why = explain_boxes(model, image, confidence=0.9)
    assert name == "dent"
    assert len(why) == 0
    assert why.maps.shape == (0, 128, 128)
    assert why.raw == ()
    assert why.names == why.peaks == []
    assert str(why) == f"nothing above 0.9; the highest confidence is {highest:.3g} ({name})"
    assert repr(why) == "Explanation(0 boxes in 128x128 pixels)"
    just = explain_boxes(model, image, confidence=highest * 0.999)
    assert just.best == (just.confidences[0].item(), just.names[0])
    assert just.best[0] == pytest.approx(highest)
    assert just.names[0] == name


def test_the_highest_confidence_is_of_a_box_in_the_image() -> None:
    """In the grey of the letterbox this network is surer than anywhere in the image."""
    model, image = net(seed=5), torch.rand(3, 32, 160, generator=torch.Generator().manual_seed(0))
    why = explain_boxes(model, image, confidence=1.0, size=160)
    with torch.no_grad():
        slots = decode(model(why.seen[None]), model.anchors)
    boxes, confidences, top = slots.boxes[0], slots.confidences[0], why.where.top
    seen = (boxes[:, 3] > top) & (boxes[:, 1] < top + 32) & (boxes[:, 2] > 0) & (boxes[:, 0] < 160)
    assert confidences[~seen].max() > confidences[seen].max()
    assert why.best[0] == pytest.approx(confidences[seen].max().item(), rel=1e-5)
    (one,) = explain_boxes(model, image, confidence=0.0, size=160, most=1).confidences.tolist()
    assert one == pytest.approx(why.best[0], rel=1e-5)  # those in the padding do not count among the most


def test_broken_weights_are_named(image: Tensor) -> None:
    model = net()
    nn.init.constant_(model.head_P4[1].bias, torch.nan)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        explain_boxes(model, image)
    model = net()
    with torch.no_grad():
        model.head_P4[1].bias.view(3, -1)[:, 4] = torch.nan  # type: ignore[operator, union-attr]
    with pytest.raises(ValueError, match="the model gives NaN for this image"):
        explain_boxes(model, image)


def test_a_line_for_each_box(image: Tensor) -> None:
    model = net()
    model.classes = ["pit", "crack", "dent"]  # type: ignore[assignment]
    why = explain_boxes(model, image, confidence=0.0, most=2, layers=LAYERS)
    first = str(why).splitlines()[0]
    layer = LAYERS[int(why.levels[0])]
    assert len(str(why).splitlines()) == 2
    assert first.startswith(f"0: {why.names[0]} {why.confidences[0]:.2f} at {why.boxes[0, 0]:.0f}, ")
    assert first.endswith(f"level {why.levels[0]}, peak of {layer} {why.peaks[0][layer]:.2g}")
    assert repr(explain_boxes(model, image, confidence=0.0, most=1)) == "Explanation(1 box in 128x128 pixels)"


# ---- layers ---------------------------------------------------------------------------------------------------------


def of_level(model: YoloTiny, image: Tensor, level: int) -> Tensor:
    """The place of the most confident slot of a level, away from the border, (1, 4)."""
    with torch.no_grad():
        raw = model(image[None])[level]  # (1, 3, 5 + K, h, w)
    inner = raw[0, :, 4, 1:-1, 1:-1]
    anchor, row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    return torch.tensor([[level, anchor, row + 1, column + 1]])


@pytest.mark.parametrize("level", [0, 1])
def test_which_parts_a_level_depends_on_is_what_autograd_says(level: int, image: Tensor) -> None:
    model = net(2)
    places = of_level(model, image, level)
    for name, _ in model.named_children():
        layer = "backbone.last" if name == "backbone" else f"{name}.0" if name.startswith("head") else name
        with capture(model, {layer: model.get_submodule(layer)}) as caught:
            score = box_score(places, 0)(model(image[None]))
            depends = score.requires_grad
        assert caught
        assert depends is (name not in UNREACHED[level]), name


@pytest.mark.parametrize(("layer", "level"), [(layer, level) for level in (0, 1) for layer in UNREACHED[level]])
def test_a_level_that_a_layer_does_not_reach_is_named(layer: str, level: int, image: Tensor) -> None:
    model = net()
    why = explain_boxes(model, image, confidence=0.0, most=20)
    first = why.levels.tolist().index(level)
    other = {1 - level: DEFAULT[1 - level]}
    expected = (
        rf"detection {first} is of level {level} \(stride {(32, 16)[level]}\), which {layer} does not reach; that "
        rf"level depends on backbone, .*: choose {DEFAULT[level]} for it, layers="
    )
    deep = f"{layer}.0" if layer in ("up", "head_P4", "head_P5") else layer
    for name in (layer, deep):
        with pytest.raises(ValueError, match=expected.replace(layer, name)) as error:
            explain_boxes(model, image, confidence=0.0, most=20, layers={level: name} | other)
        hint = eval(str(error.value).split("layers=")[1])  # what it says to write works
        assert hint == {0: DEFAULT[0], 1: DEFAULT[1]}
    assert len(explain_boxes(model, image, confidence=0.0, most=20, layers=hint)) == 20


def test_a_layer_may_not_reach_a_level_of_which_nothing_is_found(image: Tensor) -> None:
    model = net()
    with torch.no_grad():
        model.head_P5[1].bias.view(3, -1)[:, 4] = -50  # type: ignore[operator, union-attr]
    why = explain_boxes(model, image, confidence=1e-6, most=4, layers="feat1")
    assert why.levels.tolist() == [1] * 4
    assert [list(maps) for maps in why.raw] == [["feat1"]] * 4


def test_several_layers_become_one_map(image: Tensor) -> None:
    model = net()
    chosen = {0: ("feat2",), 1: ("feat1", "P5_upsample", "feat2")}
    why = explain_boxes(model, image, confidence=0.0, most=20, layers=chosen)
    for i, level in enumerate(why.levels.tolist()):
        assert tuple(why.raw[i]) == chosen[level]
    i = why.levels.tolist().index(1)
    alone = {}
    for layer in chosen[1]:
        single = explain_boxes(model, image, confidence=0.0, most=20, layers={1: layer})
        alone[layer] = single.raw[i][layer]
        torch.testing.assert_close(why.raw[i][layer], alone[layer], rtol=1e-3, atol=1e-4 * float(alone[layer].max()))
    parts = [values.clamp_min(0) / values.max() for values in alone.values()]
    parts[2] = resize(parts[2][None], (8, 8))[0]
    expected = resize(torch.stack(parts).sum(0)[None], (128, 128))[0]
    torch.testing.assert_close(why.maps[i], expected, rtol=1e-3, atol=1e-3)


def test_a_layer_that_says_nothing_adds_nothing() -> None:
    good, bad = torch.tensor([[1.0, 4.0], [-2.0, 0.0]]), torch.full((4, 4), -3.0)
    assert torch.equal(together({"a": good}), good.clamp_min(0)[None])
    assert torch.equal(together({"a": good, "b": bad}), resize(good.clamp_min(0)[None] / 4, (4, 4)))
    assert torch.equal(together({"b": bad}), torch.zeros(1, 4, 4))


# ---- what a slot sees -----------------------------------------------------------------------------------------------


def gradient(model: YoloTiny, image: Tensor, places: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """Activation and gradient (C, h, w) of the raw class logit."""
    with capture(model, {layer: model.get_submodule(layer)}) as caught:
        (G,) = torch.autograd.grad(box_score(places, 1, "class")(model(image[None])).sum(), caught[layer])
    return caught[layer][0].detach(), G[0]


def window(G: Tensor) -> tuple[int, int, int, int]:
    """First and last row and column with a gradient."""
    rows, columns = (G != 0).any(0).nonzero().unbind(1)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


@pytest.mark.parametrize(("level", "layer"), [(0, "feat2"), (0, "reduce"), (1, "feat1"), (1, "P5_upsample")])
@pytest.mark.parametrize("phi", [0, 1, 2, 3])
def test_a_slot_sees_three_by_three_cells_of_what_its_head_reads(
    level: int, layer: str, phi: int, image: Tensor
) -> None:
    model = net(phi)
    places = of_level(model, image, level)
    row, column = places[0, 2:].tolist()
    A, G = gradient(model, image, places, layer)
    assert window(G) == (row - 1, row + 1, column - 1, column + 1)
    assert int((G != 0).any(0).sum()) == 9


def test_of_the_coarse_map_the_fine_level_sees_two_by_two_cells(image: Tensor) -> None:
    model = net()
    places = of_level(model, image, 1)
    row, column = places[0, 2:].tolist()
    A, G = gradient(model, image, places, "feat2")
    assert window(G) == ((row - 1) // 2, (row + 1) // 2, (column - 1) // 2, (column + 1) // 2)


@pytest.mark.parametrize(("phi", "everywhere"), [(0, False), (1, True), (2, True), (3, True)])
@pytest.mark.parametrize(("level", "layer"), [(0, "backbone.last"), (1, "backbone.stage3.merge"), (1, "up")])
def test_before_a_gate_the_gradient_is_everywhere(
    phi: int, everywhere: bool, level: int, layer: str, image: Tensor
) -> None:
    """`backbone.last` stands before feat2, `backbone.stage3.merge` before feat1, `up` before P5_upsample."""
    model = net(phi)
    if phi == 1:
        nn.init.ones_(model.P5_upsample.W_1.weight)  # none of its two hidden units is closed
    A, G = gradient(model, image, of_level(model, image, level), layer)
    assert bool((G != 0).any(0).all()) is everywhere


def test_grad_cam_divides_nine_places_by_the_whole_map_and_lights_up_outside(image: Tensor) -> None:
    model = net()
    places = of_level(model, image, 1)
    A, G = gradient(model, image, places, "feat1")
    top, bottom, left, right = window(G)
    inside = torch.zeros(A.shape[1:], dtype=torch.bool)
    inside[top : bottom + 1, left : right + 1] = True
    score = box_score(places, 1, "class")
    maps = {m: cam(model, image[None], "feat1", score, m)["feat1"][0] for m in ("Grad-CAM", "HiResCAM", "LayerCAM")}
    weights = G[:, inside].sum(1) / A[0].numel()  # 9 places of 64
    torch.testing.assert_close(maps["Grad-CAM"], (weights[:, None, None] * A).sum(0), rtol=1e-4, atol=1e-7)
    assert (maps["Grad-CAM"][~inside] != 0).all()
    for method in ("HiResCAM", "LayerCAM"):
        assert (maps[method][~inside] == 0).all()
        assert (maps[method][inside] != 0).all()


def test_two_boxes_of_one_image_have_two_maps(image: Tensor) -> None:
    why = explain_boxes(net(), image, confidence=0.0, most=2, layers=LAYERS)
    assert why.places[0].tolist() != why.places[1].tolist()
    assert not torch.equal(why.maps[0], why.maps[1])


# ---- deletion -------------------------------------------------------------------------------------------------------


def test_deletion_follows_this_detection(image: Tensor) -> None:
    model = net()
    why = explain_boxes(model, image, confidence=0.0, most=2, layers="feat2")
    curve = delete_confidence(model, why.seen, why.places[1], why.labels[1], why.maps[1], steps=4)
    assert curve.shape == (5,)
    assert curve[0].item() == pytest.approx(why.confidences[1].item(), abs=1e-5)
    grey = image.mean((1, 2), keepdim=True).expand(-1, 128, 128)
    level, anchor, row, column = why.places[1].tolist()
    for step, covered in ((4, grey), (1, torch.where(most_of(why.maps[1], 1 / 4), grey, image))):
        with torch.no_grad():
            t = model(covered[None])[level][0, anchor, :, row, column].sigmoid()
        assert curve[step].item() == pytest.approx((t[4] * t[5 + why.labels[1]]).item(), abs=1e-5)
    again = delete_confidence(model, why.seen, why.places[1].tolist(), int(why.labels[1]), why.maps[1], 4, fill=blurred)
    assert again[0] == curve[0]
    assert not torch.equal(again, curve)
    flat = [delete_confidence(model, image, why.places[1], 0, torch.zeros(2, 2), 4, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])
    small = delete_confidence(model, why.seen, why.places[1], 0, why.raw[1]["feat2"], steps=4)  # any size, any class
    assert small.shape == (5,)


def most_of(values: Tensor, share: float) -> Tensor:
    """The largest pixels of a map whose values all differ where it matters."""
    threshold = values.flatten().sort(descending=True).values[int(share * values.numel()) - 1]
    return values >= threshold


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"image": torch.rand(1, 3, 64, 64)},
            ValueError,
            r"image has the shape \(1, 3, 64, 64\), expected \(3, H, W\)",
        ),
        ({"values": torch.rand(1, 64, 64)}, ValueError, r"values has the shape \(1, 64, 64\), expected \(h, w\)"),
        ({"values": torch.full((64, 64), torch.nan)}, ValueError, "NaN"),
        ({"place": [0, 0, 2, 0]}, ValueError, r"places\[0\] is level 0, anchor 0, row 2, column 0"),
        ({"label": 3}, ValueError, "labels 3 to 3 of 3 outputs"),
        ({"steps": 0}, ValueError, "steps=0 must be at least 1"),
    ],
)
def test_wrong_parts_of_a_deletion_are_named(change: dict, error: type[Exception], message: str) -> None:
    options = {"image": torch.rand(3, 64, 64), "place": [0, 0, 1, 1], "label": 0, "values": torch.rand(64, 64)}
    with pytest.raises(error, match=message):
        delete_confidence(net(), **(options | change))


def test_the_probability_works_for_the_other_tests_too(image: Tensor) -> None:
    model = net()
    why = explain_boxes(model, image, confidence=0.0, most=2)
    images, score = why.seen.expand(2, -1, -1, -1), box_probability(why.places, why.labels)
    curves = insertion(model, images, why.maps, score, steps=2)
    torch.testing.assert_close(curves[:, -1], why.confidences, rtol=0, atol=1e-5)
    morf, lerf = road(model, images[:, :, :32, :32], why.maps[:, :32, :32], box_probability([[0, 0, 0, 0]] * 2, 0))
    assert morf.shape == lerf.shape == (2, 5)


def test_an_explanation_is_frozen(image: Tensor) -> None:
    why = explain_boxes(net(), image)
    with pytest.raises(AttributeError):
        why.threshold = 0.5  # type: ignore[misc]
    assert isinstance(why, Explanation)
