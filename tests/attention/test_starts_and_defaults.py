"""How each module starts, and what it takes for an option that is not given."""

import pytest
import torch
from torch import nn

from cbam_lite import CBAM, ChannelAttention, EfficientChannelAttention, SpatialAttention, SqueezeExcitation
from cbam_lite.attention.parts import Gate

FIVE = (SqueezeExcitation, EfficientChannelAttention, ChannelAttention, SpatialAttention, CBAM)


@pytest.mark.parametrize("kind", FIVE)
@pytest.mark.parametrize("gate", ["sigmoid", "hardsigmoid", "tanh"])
def test_identity_start_changes_nothing_and_learns(kind: type[nn.Module], gate: str) -> None:
    module, F = kind(32, gate=gate, init="identity"), torch.randn(4, 32, 5, 6)
    assert torch.equal(module(F), F)
    assert torch.equal(module.eval()(F), F)
    module.train()(F).square().sum().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


@pytest.mark.parametrize("kind", FIVE)
def test_default_start_scales_the_map_down(kind: type[nn.Module]) -> None:
    F = torch.rand(4, 32, 5, 6)
    share = (kind(32)(F).sum() / F.sum()).item()
    assert 0.05 < share < 0.95
    assert not torch.equal(kind(32)(F), F)


def units(module: nn.Module) -> int:
    """Hidden units of the MLP."""
    return min(layer.out_features for layer in module.modules() if isinstance(layer, nn.Linear))


@pytest.mark.parametrize(
    ("make", "hidden"),
    [
        (SqueezeExcitation, 8),
        (SqueezeExcitation.paper, 8),
        (SqueezeExcitation.official, 8),
        (SqueezeExcitation.timm, 8),
        (SqueezeExcitation.keras, 8),
        (ChannelAttention, 8),
        (ChannelAttention.paper, 8),
        (ChannelAttention.official, 8),
        (ChannelAttention.timm, 8),
        (ChannelAttention.keras, 16),  # r = 8 in the listing
        (CBAM, 8),
        (CBAM.paper, 8),
        (CBAM.official, 8),
        (CBAM.timm, 8),
        (CBAM.keras, 16),
    ],
)
def test_reduction_that_is_not_given(make: type[nn.Module], hidden: int) -> None:
    assert units(make(128)) == hidden
    assert units(make(128, 4)) == 32


def test_kernel_sizes_that_are_not_given() -> None:
    assert [m(64).conv.kernel_size for m in (SpatialAttention, SpatialAttention.paper)] == [(7, 7)] * 2
    assert CBAM(64).spatial_attention.conv.kernel_size == (7, 7)
    assert [EfficientChannelAttention(C).conv.kernel_size[0] for C in (64, 256, 2048)] == [3, 5, 7]
    assert EfficientChannelAttention.official(256).conv.kernel_size == (3,)


@pytest.mark.parametrize("kind", FIVE)
def test_device_and_dtype_of_the_weights(kind: type[nn.Module]) -> None:
    module = kind(32, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in module.parameters()} == {("meta", torch.float64)}
    assert {p.device.type for p in kind(32, device="meta").parameters()} == {"meta"}
    assert {p.dtype for p in kind(32, dtype=torch.bfloat16).parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("kind", FIVE)
def test_channels_are_named_in_the_error(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"^channels=0 must be at least 1$"):
        kind(0)


def test_channels_are_named_in_the_error_of_eca_with_a_kernel_size() -> None:
    with pytest.raises(ValueError, match=r"^channels=0 must be at least 1$"):
        EfficientChannelAttention(0, 3)


@pytest.mark.parametrize("kind", FIVE)
@pytest.mark.parametrize("preset", ["paper", "official", "timm", "keras"])
def test_presets_hand_on_options(kind: type[nn.Module], preset: str) -> None:
    module = getattr(kind, preset)(32, gate="tanh", dtype=torch.float64)
    gates = [part.function for part in module.modules() if isinstance(part, Gate)]
    assert gates
    assert set(gates) == {"tanh"}
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float64}
