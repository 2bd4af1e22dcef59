"""YOLOv4-tiny: exact totals, shapes, and attention that starts as nothing."""

import functools

import pytest
import torch
from torch import nn

from cbam_lite import CBAM, cost
from cbam_lite.detection.yolo import ANCHORS, PHI, PLACES, RELEASED_ANCHORS, YoloTiny, yolo_tiny

TOTALS = {0: 6_056_606, 1: 6_099_614, 2: 6_142_916, 3: 6_056_621}
MULTIPLY_ADDS = {0: 3_453_938_176, 1: 3_453_981_184, 2: 3_454_259_266, 3: 3_453_942_656}


@pytest.mark.parametrize("phi", PHI)
def test_totals_are_those_of_the_article(phi: int) -> None:
    model = yolo_tiny(phi)  # type: ignore[arg-type]
    counted = cost(model, (3, 416, 416))
    assert counted.parameters == sum(p.numel() for p in model.parameters()) == TOTALS[phi]
    assert counted.multiply_adds == MULTIPLY_ADDS[phi]


def test_the_numbers_are_those_of_the_released_file() -> None:
    model = yolo_tiny()
    statistics = sum(b.numel() for name, b in model.named_buffers() if "num_batches" not in name)
    assert statistics == 6_208
    assert 20 + 4 * (TOTALS[0] + statistics) == 24_251_276


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_shapes(width: float, size: tuple[int, int], device: torch.device) -> None:
    model, (H, W) = yolo_tiny(2, 4, width=width).to(device), size
    coarse, fine = model(torch.rand(2, 3, H, W, device=device))
    assert coarse.shape == (2, 3, 9, H // 32, W // 32)
    assert fine.shape == (2, 3, 9, H // 16, W // 16)


def test_places_get_the_channels_of_the_article() -> None:
    asked: list[int] = []

    def attention(channels: int) -> nn.Module:
        asked.append(channels)
        return nn.Identity()

    YoloTiny(attention=attention)
    assert asked == [256, 512, 128]
    asked.clear()
    YoloTiny(attention=attention, width=0.25)
    assert asked == [64, 128, 32]


@pytest.mark.parametrize("phi", [1, 2, 3])
def test_identity_start_computes_what_the_plain_network_computes(phi: int) -> None:
    plain = yolo_tiny(0, 3, width=0.5).eval()
    model = yolo_tiny(phi, 3, width=0.5, init="identity").eval()  # type: ignore[arg-type]
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert {name.split(".")[0] for name in missing} == set(PLACES)
    assert unexpected == []
    images = torch.rand(2, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(model(images), plain(images), strict=True))
    fresh = yolo_tiny(phi, 3, width=0.5).eval()  # type: ignore[arg-type]
    fresh.load_state_dict(plain.state_dict(), strict=False)
    assert not torch.allclose(fresh(images)[0], plain(images)[0])


def test_feat1_reaches_the_fine_level_only() -> None:
    model = yolo_tiny(0, 3, width=0.25).eval()
    caught: list[torch.Tensor] = []

    def catch(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        caught.append(output.detach().requires_grad_())
        return caught[0]

    model.feat1.register_forward_hook(catch)
    coarse, fine = model(torch.rand(1, 3, 64, 64))
    assert torch.autograd.grad(coarse.sum(), caught, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(fine.sum(), caught)[0].abs().sum() > 0


def test_the_stage_takes_the_second_half() -> None:
    """With the second half of `whole` silent, the two convolutions behind it see nothing of the image."""
    stage = yolo_tiny(0, 3, width=0.25).eval().backbone.stage1
    inner: list[torch.Tensor] = []
    stage.half1.register_forward_hook(lambda module, inputs, output: inner.append(inputs[0]))
    x = torch.rand(1, 16, 8, 8)
    out, feat = stage(x)
    assert torch.equal(inner[0], stage.whole(x)[:, 8:])
    assert torch.equal(out[:, :16], stage.pool(stage.whole(x)))
    assert torch.equal(out[:, 16:], stage.pool(feat))


def test_an_untrained_network_says_no_object() -> None:
    coarse, fine = yolo_tiny(0, 6, width=0.25).eval()(torch.rand(2, 3, 64, 64))
    assert coarse[:, :, 4].sigmoid().mean() < 0.05
    assert fine[:, :, 4].sigmoid().mean() < 0.05


def test_two_readings_of_the_anchors() -> None:
    assert ANCHORS[0] == RELEASED_ANCHORS[0]
    assert (81, 82) in ANCHORS[0]
    assert (81, 82) in RELEASED_ANCHORS[1]
    assert (10, 14) not in RELEASED_ANCHORS[0] + RELEASED_ANCHORS[1]


@pytest.mark.parametrize("size", [(100, 128), (128, 40), (16, 32)])
def test_sides_that_are_no_multiples_of_32(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 32; letterbox brings"):
        yolo_tiny(0, 3, width=0.25)(torch.rand(1, 3, *size))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phi": 4}, "phi='4' is not one of"),
        ({"init": "blend"}, "init='blend' is not one of"),
        ({"num_classes": 0}, "num_classes=0 must be at least 1"),
        ({"width": 0.01}, "width=0.01 is outside its range: use 0.125 to 4"),
        ({"anchors": ((1, 2), (3, 4))}, "must be two levels of three"),
        ({"anchors": (((1, 2), (3, 4), (5, 6)),)}, "must be two levels of three"),
        ({"anchors": (((1, 2), (3, 4), (5, -6)),) * 2}, "above 0"),
        ({"anchors": None}, "must be two levels of three"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        yolo_tiny(**options)  # type: ignore[arg-type]


def test_a_built_module_is_no_maker() -> None:
    with pytest.raises(TypeError, match="pass CBAM, not an instance"):
        YoloTiny(attention=CBAM(64))  # type: ignore[arg-type]
    assert isinstance(YoloTiny(6, functools.partial(CBAM, reduction=8), width=0.25).feat1, CBAM)
