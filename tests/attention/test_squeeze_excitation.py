"""Chapter 2: squeeze-and-excitation and efficient channel attention, their conventions and their costs."""

import math

import pytest
import torch
from timm.layers import SEModule
from timm.layers.eca import EcaModule
from torch import nn
from torchvision.models import resnet18, resnet50
from torchvision.ops import SqueezeExcitation as TorchvisionSE

from cbam_lite import EfficientChannelAttention, SqueezeExcitation, eca_kernel_size, insert_attention


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def as_linear(layer: nn.Conv2d) -> dict[str, torch.Tensor]:
    """The weights of a 1x1 convolution for a linear layer."""
    return {name: value.flatten(1) if name == "weight" else value for name, value in layer.state_dict().items()}


def assert_same_function(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> None:
    """Output, gradient of the input and mode: equal in float64."""
    ours, theirs = ours.double(), theirs.double()
    x_ours, x_theirs = x.double().requires_grad_(), x.double().requires_grad_()
    y_ours, y_theirs = ours(x_ours), theirs(x_theirs)
    torch.testing.assert_close(y_ours, y_theirs, rtol=1e-6, atol=1e-9)
    weights = torch.randn_like(y_ours)
    (y_ours * weights).sum().backward()
    (y_theirs * weights).sum().backward()
    torch.testing.assert_close(x_ours.grad, x_theirs.grad, rtol=1e-6, atol=1e-9)


# ---- squeeze-and-excitation -----------------------------------------------------------------------------------------

HIDDEN = {  # floor C // 16 and timm's multiple of 8
    24: (1, 8),
    40: (2, 8),
    64: (4, 8),
    72: (4, 8),
    120: (7, 8),
    128: (8, 8),
    192: (12, 16),
    240: (15, 16),
    256: (16, 16),
    2048: (128, 128),
}


@pytest.mark.parametrize("channels", HIDDEN)
def test_hidden_units_of_the_presets(channels: int) -> None:
    floor, timm_units = HIDDEN[channels]
    for preset in (SqueezeExcitation.paper, SqueezeExcitation.official, SqueezeExcitation.keras):
        assert preset(channels).W_1.out_features == floor
    assert SqueezeExcitation.timm(channels).W_1.out_features == timm_units


@pytest.mark.parametrize("channels", range(8, 400, 8))
@pytest.mark.parametrize("reduction", [4, 16])
def test_timm_preset_rounds_as_timm(channels: int, reduction: int) -> None:
    theirs = SEModule(channels, rd_ratio=1 / reduction)
    assert SqueezeExcitation.timm(channels, reduction).W_1.out_features == theirs.fc1.out_channels


def test_timm_preset_has_at_least_eight_hidden_units() -> None:
    assert SqueezeExcitation.timm(8).W_1.out_features == 8


@pytest.mark.parametrize(("preset", "bias"), [("paper", False), ("official", True), ("timm", True), ("keras", False)])
def test_biases_of_the_presets(preset: str, bias: bool) -> None:
    module = getattr(SqueezeExcitation, preset)(64)
    assert (module.W_1.bias is not None) == (module.W_2.bias is not None) == bias


def test_options_override_a_preset() -> None:
    assert SqueezeExcitation.paper(64, bias=True).W_1.bias is not None
    assert SqueezeExcitation.timm(64, hidden=3).W_1.out_features == 3
    assert SqueezeExcitation.official(64, 8).W_1.out_features == 8
    assert EfficientChannelAttention.official(64, kernel_size=9).conv.kernel_size == (9,)


def test_keras_preset_starts_he_normal() -> None:
    module = SqueezeExcitation.keras(512, 2)
    assert module.W_1.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert module.W_2.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)


def test_equal_to_timm() -> None:
    theirs = SEModule(64)
    ours = SqueezeExcitation.timm(64)
    ours.W_1.load_state_dict(as_linear(theirs.fc1))
    ours.W_2.load_state_dict(as_linear(theirs.fc2))
    assert parameters(ours) == parameters(theirs)
    assert_same_function(ours, theirs, torch.randn(3, 64, 7, 5))


def test_equal_to_torchvision() -> None:
    theirs = TorchvisionSE(64, 4)
    ours = SqueezeExcitation(64, 16)
    ours.W_1.load_state_dict(as_linear(theirs.fc1))
    ours.W_2.load_state_dict(as_linear(theirs.fc2))
    assert parameters(ours) == parameters(theirs)
    assert_same_function(ours, theirs, torch.randn(3, 64, 7, 5))


def test_fresh_se_halves_its_input() -> None:
    x = torch.rand(4, 64, 14, 14)
    share = (SqueezeExcitation(64)(x) / x).mean()
    assert 0.4 < share < 0.6


@pytest.mark.parametrize(("network", "total"), [(resnet18, 11_778_592), (resnet50, 28_088_024)])
def test_parameters_of_se_networks(network, total: int) -> None:
    with torch.device("meta"):
        model = network()
    assert parameters(insert_attention(model, SqueezeExcitation, report=None)) == total


# ---- efficient channel attention ------------------------------------------------------------------------------------

KERNELS = {1: 1, 2: 1, 3: 1, 4: 1, 8: 3, 16: 3, 64: 3, 96: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 7}


@pytest.mark.parametrize("channels", KERNELS)
def test_kernel_size_table(channels: int) -> None:
    assert eca_kernel_size(channels) == KERNELS[channels]


def test_kernel_size_is_odd_and_never_shrinks() -> None:
    sizes = [eca_kernel_size(channels) for channels in range(1, 5000)]
    assert all(size % 2 for size in sizes)
    assert sizes == sorted(sizes)


def test_kernel_size_is_the_formula() -> None:
    for channels in range(1, 5000):
        t = int(abs((math.log2(channels) + 1) / 2))
        assert eca_kernel_size(channels) - t in (0, 1)


def test_the_eighty_parameters_of_eca_resnet50() -> None:
    """3, 4, 6 and 3 blocks: the published 80 is no outcome of the printed formula."""
    blocks = (3, 4, 6, 3)
    planes = (64, 128, 256, 512)
    published = sum(n * k for n, k in zip(blocks, (3, 5, 5, 7), strict=True))
    on_outputs = sum(n * eca_kernel_size(4 * p) for n, p in zip(blocks, planes, strict=True))
    on_planes = sum(n * eca_kernel_size(p) for n, p in zip(blocks, planes, strict=True))
    assert (published, on_outputs, on_planes) == (80, 86, 74)


def test_added_parameters_of_eca_resnet50() -> None:
    with torch.device("meta"):
        model = resnet50()
    before = parameters(model)
    assert parameters(insert_attention(model, EfficientChannelAttention, report=None)) - before == 86


def test_kernel_sizes_of_the_presets() -> None:
    for channels, k in {4: 1, 64: 3, 256: 5, 2048: 7}.items():
        assert EfficientChannelAttention.paper(channels).conv.kernel_size == (k,)
        assert EfficientChannelAttention.keras(channels).conv.kernel_size == (k,)
        assert EfficientChannelAttention.official(channels).conv.kernel_size == (3,)
        assert EfficientChannelAttention.timm(channels).conv.kernel_size == (max(3, k),)
    assert EfficientChannelAttention(64, 9).conv.kernel_size == (9,)
    assert EfficientChannelAttention(64, gamma=1).conv.kernel_size == (7,)


@pytest.mark.parametrize("channels", [2, 4, 16, 64, 96, 128, 512, 2048])
def test_timm_preset_takes_timms_kernel(channels: int) -> None:
    assert EfficientChannelAttention.timm(channels).conv.kernel_size == EcaModule(channels).conv.kernel_size


@pytest.mark.parametrize("channels", [4, 64, 256])
def test_eca_equal_to_timm(channels: int) -> None:
    theirs = EcaModule(channels)
    ours = EfficientChannelAttention.timm(channels)
    ours.conv.load_state_dict(theirs.conv.state_dict())
    assert_same_function(ours, theirs, torch.randn(3, channels, 7, 5))


def test_a_channel_looks_at_its_neighbours_only() -> None:
    """With k = 3, changing channel 5 changes the gates of channels 4, 5 and 6 and no other."""
    module, x = EfficientChannelAttention(16, 3), torch.randn(1, 16, 4, 4)
    before = module.attention(x)
    x[:, 5] += 1
    changed = (module.attention(x) != before).flatten().nonzero().flatten().tolist()
    assert changed == [4, 5, 6]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (SqueezeExcitation(32, pool="max"), "channels=32, pool='max'"),
        (EfficientChannelAttention(32), "channels=32, pool='avg'"),
    ],
)
def test_printing_a_module_shows_its_options(module: nn.Module, text: str) -> None:
    assert text in repr(module)
