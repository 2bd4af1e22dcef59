"""MobileNet v1: counts that the paper prints, and attention at both ends of each block."""

import pytest
import torch
from torch import nn

from cbam_lite import CBAM, MobileNet, SqueezeExcitation, record_attention


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("width", "count"), [(1.0, 4_231_976), (0.7, 2_298_747)])
def test_parameters_are_the_known_ones(width: float, count: int) -> None:
    assert parameters(MobileNet(width=width)) == count


def test_attention_stands_at_both_ends_of_each_block() -> None:
    model = MobileNet(SqueezeExcitation)
    assert [block.attention_in.channels for block in model.blocks][:3] == [32, 64, 128]
    assert [block.attention.channels for block in model.blocks][:3] == [64, 128, 128]
    assert sum(isinstance(module, SqueezeExcitation) for module in model.modules()) == 26


def test_it_learns_and_its_gates_are_recorded(device: torch.device) -> None:
    model = MobileNet(CBAM, width=0.5, num_classes=3).to(device)
    with record_attention(model) as maps:
        y = model(torch.randn(2, 3, 64, 64, device=device))
    assert y.shape == (2, 3)
    assert maps["blocks.1.attention_in.spatial_attention"].shape == (2, 32, 32)
    assert maps["blocks.1.attention.spatial_attention"].shape == (2, 16, 16)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_block_is_depthwise_then_pointwise() -> None:
    block = MobileNet().eval().blocks[1]
    x = torch.randn(1, 64, 8, 8)
    F = block.bn1(
        torch.cat(
            [
                nn.functional.conv2d(x[:, c : c + 1], block.depthwise.weight[c : c + 1], stride=2, padding=1)
                for c in range(64)
            ],
            1,
        )
    ).relu()
    assert torch.allclose(block(x), block.bn2(block.pointwise(F)).relu(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"width": 0.01}, ValueError, r"^width=0\.01 leaves 0 channels in the first layer: use width>=0\.03125$"),
        ({"width": 0}, ValueError, r"^width=0 leaves 0 channels in the first layer"),
        ({"width": -1}, ValueError, r"^width=-1 leaves -32 channels in the first layer"),
        ({"width": "1"}, TypeError, r"^width must be a number, got '1' of type str$"),
        ({"width": float("nan")}, ValueError, r"^width=nan must be a finite number$"),
        ({"num_classes": 0}, ValueError, r"^num_classes=0 must be at least 1$"),
        ({"attention": "CBAM"}, TypeError, r"^attention='CBAM' of type str cannot make a module: pass a class such as"),
        ({"attention": CBAM(32)}, TypeError, r"^attention is a module, built already: pass CBAM, not an instance"),
    ],
)
def test_hostile_arguments_are_named(options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        MobileNet(**options)


def test_channels_are_rounded_down() -> None:
    with torch.device("meta"):
        assert MobileNet(width=0.33).conv1.out_channels == 10  # 10.56
        assert MobileNet(width=0.33).blocks[0].bn2.num_features == 21  # 21.12
        assert MobileNet(width=1 / 32).conv1.out_channels == 1  # what the message proposes
