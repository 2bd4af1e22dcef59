"""Our modules as the `attn_layer` of timm's models."""

import functools

import pytest
import timm
import torch
from torch import nn

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    SpatialAttention,
    SqueezeExcitation,
    record_attention,
)

LAYERS = {
    "SE": SqueezeExcitation,
    "SE.timm": SqueezeExcitation.timm,
    "ECA": EfficientChannelAttention,
    "ECA.official": EfficientChannelAttention.official,
    "channel": ChannelAttention,
    "spatial": SpatialAttention,
    "CBAM": CBAM,
    "CBAM.paper": CBAM.paper,
    "CBAM.official": CBAM.official,
    "CBAM.timm": CBAM.timm,
    "CBAM.keras": CBAM.keras,
    "partial": functools.partial(CBAM, reduction=8, kernel_size=3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_forward_backward_and_eight_blocks(name: str) -> None:
    model = timm.create_model("resnet18", num_classes=5, block_args={"attn_layer": LAYERS[name]})
    with record_attention(model) as maps:
        y = model(torch.randn(2, 3, 64, 64))
    assert y.shape == (2, 5)
    assert len({gate_name.split(".se")[0] for gate_name in maps}) == 8
    y.square().sum().backward()
    attention = [p for key, p in model.named_parameters() if ".se." in key]
    assert attention
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention)


def test_bottlenecks_are_built_for_their_outputs() -> None:
    model = timm.create_model("resnet50", block_args={"attn_layer": SqueezeExcitation})
    assert [block.se.channels for block in (model.layer1[0], model.layer4[2])] == [256, 2048]


@pytest.mark.parametrize(
    "module", [SqueezeExcitation, EfficientChannelAttention, ChannelAttention, SpatialAttention, CBAM]
)
def test_modules_are_built_on_a_device_in_a_dtype(module: type[nn.Module]) -> None:
    """As torch's own layers; timm hands both on to every layer."""
    built = module(32, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in built.parameters()} == {("meta", torch.float64)}
