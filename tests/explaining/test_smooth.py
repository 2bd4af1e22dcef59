"""Dotted maps: where the dots come from, measured on our own ResNet, and the mean that takes them away."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cbam_lite import cam, make_defects, trained_defect_net
from cbam_lite.explaining.gradcam import logit, smooth


def by_parity(maps: Tensor) -> list[float]:
    """The share of a map's energy at even and odd rows and columns: even-even, even-odd, odd-even, odd-odd."""
    energy = maps.abs().double()
    return [float(energy[:, row::2, column::2].sum() / energy.sum()) for row in (0, 1) for column in (0, 1)]


# ---- the cause ------------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_convolution_with_stride_2_comes_through_1_2_or_4_taps() -> None:
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    torch.nn.functional.conv2d(x, torch.ones(1, 1, 3, 3), stride=2, padding=1).sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 2:6, 2:6].tolist() == [[1, 2, 1, 2], [2, 4, 2, 4]] * 2


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Tensor]]:
    """Gradients, activations and two kinds of map of the trained CBAM network, {kind: {layer: (200, h, w)}}."""
    images = make_defects(200, seed=5).images.float() / 255
    model, _ = trained_defect_net("CBAM")
    kinds = {"gradient": lambda A, G: G.abs().sum(1), "activation": lambda A, G: A.abs().sum(1), "LayerCAM": "LayerCAM"}
    return {kind: cam(model, images, ("layer2", "layer4"), logit(1), method) for kind, method in kinds.items()}


def test_in_our_resnet_the_gradient_has_dots_before_a_stride_and_none_behind_the_last(found) -> None:
    before_a_stride, last = by_parity(found["gradient"]["layer2"]), by_parity(found["gradient"]["layer4"])
    assert max(before_a_stride) - min(before_a_stride) > 0.15
    assert last == pytest.approx([0.25] * 4, abs=1e-3)  # behind it stands a mean over all places


def test_smoothing_takes_the_dots_of_layercam_away(found) -> None:
    raw = found["LayerCAM"]["layer2"]
    before, after = by_parity(raw), by_parity(smooth(raw))
    assert max(before) - min(before) > 0.12
    assert after == pytest.approx([0.25] * 4, abs=0.02)


# ---- the mean -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 3, 5])
def test_each_place_is_the_mean_of_those_that_are_there(width: int) -> None:
    maps = torch.randn(2, 6, 7)
    padded = np.pad(maps.numpy(), [(0, 0), *[(width // 2,) * 2] * 2], constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (width, width), (1, 2))
    np.testing.assert_allclose(smooth(maps, width), np.nanmean(windows, (3, 4)), rtol=1e-5, atol=1e-6)


def test_the_default_is_3() -> None:
    maps = torch.randn(2, 6, 7)
    assert torch.equal(smooth(maps), smooth(maps, 3))


@pytest.mark.parametrize(("width", "says"), [(2, "odd number, 1 or 3"), (0, "at least 1")])
def test_a_square_without_a_middle_is_refused(width: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        smooth(torch.ones(1, 4, 4), width)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"maps has the shape \(4, 4\), expected \(B, h, w\)"):
        smooth(torch.ones(4, 4))
