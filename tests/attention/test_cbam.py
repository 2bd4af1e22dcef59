"""Chapter 3: channel attention, spatial attention and CBAM, their conventions and their first values."""

import pytest
import torch
from test_squeeze_excitation import as_linear, assert_same_function, parameters
from timm.layers.cbam import CbamModule, ChannelAttn, SpatialAttn
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from cbam_lite import CBAM, ChannelAttention, SpatialAttention, insert_attention

# ---- conventions ----------------------------------------------------------------------------------------------------

HIDDEN = {8: (None, 1), 24: (1, 2), 40: (2, 3), 64: (4, 4), 72: (4, 5), 120: (7, 8), 192: (12, 12), 240: (15, 15)}


@pytest.mark.parametrize("channels", HIDDEN)
@pytest.mark.parametrize("module", [ChannelAttention, CBAM])
def test_hidden_units_of_the_presets(module: type, channels: int) -> None:
    floor, rounded = HIDDEN[channels]

    def units(preset) -> int:
        built = preset(channels)
        return getattr(built, "channel_attention", built).W_0.out_features

    for preset in (module.paper, module.official):
        if floor is None:
            with pytest.raises(ValueError, match="channels=8 with reduction=16 leaves 0 hidden units"):
                preset(channels)
        else:
            assert units(preset) == floor
    assert units(module.timm) == rounded
    assert units(module.keras) == channels // 8


@pytest.mark.parametrize("channels", range(8, 400, 8))
def test_timm_preset_rounds_as_timm(channels: int) -> None:
    assert ChannelAttention.timm(channels).W_0.out_features == ChannelAttn(channels).fc1.out_channels


@pytest.mark.parametrize(("preset", "bias"), [("paper", False), ("official", True), ("timm", False), ("keras", True)])
def test_mlp_biases_of_the_presets(preset: str, bias: bool) -> None:
    for module in (getattr(ChannelAttention, preset)(64), getattr(CBAM, preset)(64).channel_attention):
        assert (module.W_0.bias is not None) == (module.W_1.bias is not None) == bias


@pytest.mark.parametrize(
    ("preset", "pools", "momentum", "weight"),
    [
        ("paper", ("avg", "max"), None, None),
        ("official", ("max", "avg"), 0.01, 0.0),
        ("timm", ("avg", "max"), 0.1, 1.0),
        ("keras", ("avg", "max"), None, None),
    ],
)
def test_spatial_gate_of_the_presets(preset: str, pools: tuple[str, ...], momentum, weight) -> None:
    for module in (getattr(SpatialAttention, preset)(64), getattr(CBAM, preset)(64).spatial_attention):
        assert module.descriptors.pools == pools
        assert module.conv.kernel_size == (7, 7)
        assert module.conv.bias is None
        if momentum is None:
            assert isinstance(module.norm, nn.Identity)
        else:
            assert (module.norm.momentum, module.norm.eps) == (momentum, 1e-5)
            assert module.norm.weight.item() == weight
            assert module.norm.bias.item() == 0


def test_keras_preset_starts_he_normal_with_zero_biases() -> None:
    for channel in (ChannelAttention.keras(512, 2), CBAM.keras(512, 2).channel_attention):
        assert channel.W_0.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
        assert channel.W_1.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
        assert not channel.W_0.bias.any()
        assert not channel.W_1.bias.any()
    for spatial in (SpatialAttention.keras(8, kernel_size=31), CBAM.keras(8, kernel_size=31).spatial_attention):
        assert spatial.conv.weight.std().item() == pytest.approx((2 / (2 * 31**2)) ** 0.5, rel=0.05)


def test_options_override_a_preset() -> None:
    cbam = CBAM.official(64, 8, kernel_size=3, spatial_pool="avg+max", mlp_bias=False, order="parallel")
    assert cbam.channel_attention.W_0.out_features == 8
    assert cbam.channel_attention.W_0.bias is None
    assert cbam.spatial_attention.conv.kernel_size == (3, 3)
    assert cbam.spatial_attention.descriptors.pools == ("avg", "max")
    assert cbam.order == "parallel"
    assert CBAM.timm(64, hidden=9).channel_attention.W_0.out_features == 9
    assert isinstance(SpatialAttention.official(64, bn=False).norm, nn.Identity)
    assert not hasattr(CBAM.official(64, spatial_pool="none").spatial_attention, "norm")


# ---- equal to the others --------------------------------------------------------------------------------------------


def copy_channel(ours: ChannelAttention, theirs: ChannelAttn) -> None:
    ours.W_0.load_state_dict(as_linear(theirs.fc1))
    ours.W_1.load_state_dict(as_linear(theirs.fc2))


def copy_spatial(ours: SpatialAttention, theirs: SpatialAttn) -> None:
    ours.conv.load_state_dict(theirs.conv.conv.state_dict())
    ours.norm.load_state_dict(theirs.conv.bn.state_dict())


def with_random_statistics(norm: nn.BatchNorm2d) -> None:
    for value in (norm.weight.data, norm.bias.data, norm.running_mean):
        value.normal_()
    norm.running_var.uniform_(0.5, 2)


@pytest.mark.parametrize("training", [True, False])
def test_equal_to_timm(training: bool) -> None:
    theirs, ours = CbamModule(64), CBAM.timm(64)
    with_random_statistics(theirs.spatial.conv.bn)
    copy_channel(ours.channel_attention, theirs.channel)
    copy_spatial(ours.spatial_attention, theirs.spatial)
    assert parameters(ours) == parameters(theirs)
    assert_same_function(ours.train(training), theirs.train(training), torch.randn(3, 64, 9, 6))
    norm, their_norm = ours.spatial_attention.norm, theirs.spatial.conv.bn
    torch.testing.assert_close(norm.running_mean, their_norm.running_mean)
    torch.testing.assert_close(norm.running_var, their_norm.running_var)


def test_channel_attention_equal_to_timm() -> None:
    theirs, ours = ChannelAttn(72), ChannelAttention.timm(72)
    copy_channel(ours, theirs)
    assert_same_function(ours, theirs, torch.randn(3, 72, 9, 6))


def test_spatial_attention_equal_to_timm() -> None:
    theirs, ours = SpatialAttn(), SpatialAttention.timm(72)
    copy_spatial(ours, theirs)
    assert_same_function(ours, theirs, torch.randn(3, 72, 9, 6))


class OfficialLayout(nn.Module):
    """The layout of the authors' code, stated again: two MLP calls with biases, [max, mean], norm of momentum 0.01."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        units = channels // 16
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, units), nn.ReLU(), nn.Linear(units, channels))
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1, eps=1e-5, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        mean = self.mlp(nn.functional.avg_pool2d(x, size))
        peak = self.mlp(nn.functional.max_pool2d(x, size))
        x = x * torch.sigmoid(mean + peak)[:, :, None, None]
        places = torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.bn(self.conv(places)))


@pytest.mark.parametrize("training", [True, False])
def test_official_preset_is_the_official_layout(training: bool) -> None:
    theirs, ours = OfficialLayout(64), CBAM.official(64)
    with_random_statistics(theirs.bn)
    ours.channel_attention.W_0.load_state_dict(theirs.mlp[1].state_dict())
    ours.channel_attention.W_1.load_state_dict(theirs.mlp[3].state_dict())
    ours.spatial_attention.conv.load_state_dict(theirs.conv.state_dict())
    ours.spatial_attention.norm.load_state_dict(theirs.bn.state_dict())
    assert_same_function(ours.train(training), theirs.train(training), torch.randn(3, 64, 9, 6))
    torch.testing.assert_close(ours.spatial_attention.norm.running_mean, theirs.bn.running_mean)
    torch.testing.assert_close(ours.spatial_attention.norm.running_var, theirs.bn.running_var)


@pytest.mark.parametrize(("network", "total"), [(resnet18, 11_779_392), (resnet50, 28_089_624)])
@pytest.mark.parametrize("attention", [CBAM, CBAM.official])
def test_parameters_of_cbam_networks(network, attention, total: int) -> None:
    with torch.device("meta"):
        model = network()
    assert parameters(insert_attention(model, attention, report=None)) == total


# ---- equations (1) to (3) -------------------------------------------------------------------------------------------


def test_channel_first_is_equation_1() -> None:
    cbam, F = CBAM(32).eval(), torch.randn(2, 32, 6, 5)
    F_prime = cbam.channel_attention.attention(F) * F
    F_refined = cbam.spatial_attention.attention(F_prime) * F_prime
    torch.testing.assert_close(cbam(F), F_refined)


def test_spatial_first_and_parallel_differ_in_what_the_gates_look_at() -> None:
    F = torch.randn(2, 32, 6, 5)
    cbam = CBAM(32, order="spatial-first").eval()
    M_c, M_s = cbam.channel_attention.attention, cbam.spatial_attention.attention
    F_prime = M_s(F) * F
    torch.testing.assert_close(cbam(F), M_c(F_prime) * F_prime)
    cbam.order = "parallel"
    torch.testing.assert_close(cbam(F), M_c(F) * M_s(F) * F)


def test_without_a_spatial_gate_only_channels_are_scaled() -> None:
    F = torch.randn(2, 32, 6, 5)
    for order in ("channel-first", "spatial-first", "parallel"):
        cbam = CBAM(32, spatial_pool="none", order=order)
        torch.testing.assert_close(cbam(F), cbam.channel_attention(F))
        assert torch.equal(cbam.spatial_attention(F), F)


@pytest.mark.parametrize("module", [ChannelAttention(32), SpatialAttention(32).eval()])
def test_forward_is_the_map_times_its_attention(module: nn.Module) -> None:
    F = torch.randn(2, 32, 6, 5)
    torch.testing.assert_close(module(F), F * module.attention(F))


# ---- first values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [CBAM, CBAM.paper, CBAM.official, CBAM.timm])
@pytest.mark.parametrize("training", [True, False])
def test_a_fresh_cbam_gives_about_a_quarter_of_its_input(preset, training: bool) -> None:
    x = torch.rand(8, 64, 14, 14)
    share = (preset(64).train(training)(x) / x).mean()
    assert 0.15 < share < 0.35


def test_official_spatial_gate_starts_as_one_half_and_its_convolution_without_gradient() -> None:
    cbam = CBAM.official(32)
    x = torch.randn(4, 32, 8, 8)
    gate = cbam.spatial_attention.attention(x)
    assert torch.equal(gate, torch.full_like(gate, 0.5))
    cbam(x).square().sum().backward()
    assert not cbam.spatial_attention.conv.weight.grad.any()
    assert cbam.spatial_attention.norm.weight.grad.any()


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (ChannelAttention(32, pool="avg+lse"), "channels=32, pool='avg+lse'"),
        (SpatialAttention(32, pool="max+avg"), "max+avg"),
        (CBAM(32, order="parallel"), "order='parallel'"),
    ],
)
def test_printing_a_module_shows_its_options(module: nn.Module, text: str) -> None:
    assert text in repr(module)
