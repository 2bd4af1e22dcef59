"""Weights that travel: round trips, and small independent references of other projects."""

import functools
from collections import OrderedDict

import pytest
import timm
import timm.models.resnest
import timm.models.resnet
import torch
import torchvision.models as tv
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    EfficientChannelAttention,
    MobileNet,
    ResNet,
    SqueezeExcitation,
    export_weights,
    load_weights,
)
from cbam_lite.networks.resnet import BasicBlock, Bottleneck
from cbam_lite.networks.split_attention import SplitBottleneck
from cbam_lite.networks.weights import bare

PROJECTS = ("official", "timm", "pytorchcv")


def randomised(model: nn.Module) -> nn.Module:
    """As if trained: no norm is left at 0 and 1."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if tensor.dim() == 1 else torch.randn_like(tensor) * 0.05)
    return model.double().eval()


def images() -> Tensor:
    return torch.randn(2, 3, 32, 32, dtype=torch.float64)


def network(attention=CBAM.official, block=BasicBlock, **options) -> ResNet:
    """A ResNet of one narrow block in each stage, behind a stem of 64 channels, as torchvision and timm have it."""
    options = {"planes": 16, "stem_channels": 64} | options
    return ResNet(block, (1, 1, 1, 1), attention, num_classes=4, **options).double().eval()


def timms(attention=None, block=timm.models.resnet.BasicBlock, **options) -> nn.Module:
    """The same network made by timm."""
    arguments = {"channels": (16, 32, 64, 128), "block_args": {"attn_layer": attention}} | options
    return randomised(timm.models.resnet.ResNet(block, (1, 1, 1, 1), num_classes=4, **arguments))


# ---- references: the same maths, the other projects' names, nothing of ours -----------------------------------------


class OfficialChannelGate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(channels, channels // 16), nn.ReLU(), nn.Linear(channels // 16, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        gate = self.mlp(nn.functional.adaptive_avg_pool2d(x, 1)) + self.mlp(nn.functional.adaptive_max_pool2d(x, 1))
        return x * gate.sigmoid()[:, :, None, None]


class OfficialSpatialGate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(2, 1, 7, padding=3, bias=False), bn=nn.BatchNorm2d(1, momentum=0.01))
        )

    def forward(self, x: Tensor) -> Tensor:
        stacked = torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], 1)  # the maximum first
        return x * self.spatial(stacked).sigmoid()


class OfficialCBAM(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = OfficialChannelGate(channels)
        self.SpatialGate = OfficialSpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


def official_reference() -> nn.Module:
    """Torchvision's ResNet-18 whose blocks pass their last norm through the official CBAM, as `cbam`."""

    def forward(block: nn.Module, x: Tensor) -> Tensor:
        F = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
        return (block.cbam(F) + (x if block.downsample is None else block.downsample(x))).relu()

    model = tv.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1], num_classes=4)
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            block.cbam = OfficialCBAM(block.bn2.num_features)
            block.forward = forward.__get__(block)
    return randomised(model)


class ConvBlock(nn.Module):
    """pytorchcv's unit of a convolution and a norm."""

    def __init__(self, conv: nn.Module, bn: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn = conv, bn

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class PytorchcvUnit(nn.Module):
    """One residual unit with pytorchcv's names, made from the parts of a reference block."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        pairs = OrderedDict(conv1=ConvBlock(block.conv1, block.bn1), conv2=ConvBlock(block.conv2, block.bn2))
        self.body = nn.Sequential(pairs)
        if block.downsample is not None:
            self.identity_conv = ConvBlock(block.downsample[0], block.downsample[1])
        mlp, spatial = block.cbam.ChannelGate.mlp, block.cbam.SpatialGate.spatial
        self.cbam = nn.Module()
        self.cbam.ch_gate, self.cbam.sp_gate = nn.Module(), nn.Module()
        self.cbam.ch_gate.mlp = nn.Module()
        self.cbam.ch_gate.mlp.fc1, self.cbam.ch_gate.mlp.fc2 = mlp[1], mlp[3]
        self.cbam.sp_gate.conv = ConvBlock(spatial.conv, spatial.bn)


def pytorchcv_reference(model: nn.Module) -> nn.Module:
    """The same tensors under pytorchcv's names."""
    other = nn.Module()
    other.features = nn.Module()
    other.features.init_block = nn.Module()
    other.features.init_block.conv = ConvBlock(model.conv1, model.bn1)
    for number, stage in enumerate((model.layer1, model.layer2, model.layer3, model.layer4), start=1):
        units = OrderedDict((f"unit{index}", PytorchcvUnit(block)) for index, block in enumerate(stage, start=1))
        other.features.add_module(f"stage{number}", nn.Sequential(units))
    other.output = model.fc
    return other


# ---- round trips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("order", [CBAM.official, CBAM], ids=["max first", "avg first"])
@torch.no_grad()
def test_round_trips_keep_the_output(block, project: str, order) -> None:
    model, other = randomised(network(block=block)), network(order, block)
    assert load_weights(other, export_weights(model, project)) == project
    x = images()
    assert torch.allclose(other(x), model(x), atol=1e-6)
    back = network(block=block)
    load_weights(back, export_weights(other, project))
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in back.state_dict().items() if t.dim() > 0)


@torch.no_grad()
def test_official_weights_give_the_official_output() -> None:
    reference, model = official_reference(), network(planes=64)
    assert load_weights(model, reference.state_dict()) == "official"
    x = images()
    assert torch.allclose(model(x), reference(x), atol=1e-6)
    written = export_weights(model, "official")
    assert sorted(written) == sorted(reference.state_dict())
    assert all(torch.equal(written[name], tensor) for name, tensor in reference.state_dict().items())


@torch.no_grad()
def test_pytorchcv_names_are_pytorchcvs() -> None:
    reference = official_reference()
    theirs = pytorchcv_reference(reference).state_dict()
    model = network(CBAM, planes=64)  # stacks its maps in the other order
    assert load_weights(model, theirs) == "pytorchcv"
    x = images()
    assert torch.allclose(model(x), reference(x), atol=1e-6)
    assert sorted(export_weights(model, "pytorchcv")) == sorted(theirs)


def test_units_of_pytorchcv_count_from_one_and_the_third_convolution_has_its_name() -> None:
    names = export_weights(ResNet(Bottleneck, (1, 2, 1, 1), CBAM.official, planes=16), "pytorchcv")
    assert {"features.stage2.unit1.body.conv3.conv.weight", "features.stage2.unit2.body.conv3.bn.bias"} <= names.keys()
    assert not any("unit0" in name or "unit3" in name for name in names)
    assert load_weights(ResNet(Bottleneck, (1, 2, 1, 1), CBAM, planes=16), names) == "pytorchcv"


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_timm_loads_what_we_write_and_we_load_what_it_writes(bias: bool) -> None:
    theirs = timms(functools.partial(CbamModule, mlp_bias=bias), timm.models.resnet.Bottleneck)
    model = randomised(network(functools.partial(CBAM.official, mlp_bias=bias), Bottleneck))
    theirs.load_state_dict(export_weights(model, "timm"))
    x = images()
    assert torch.allclose(theirs(x), model(x), atol=1e-6)
    other = network(functools.partial(CBAM, mlp_bias=bias), Bottleneck)
    assert load_weights(other, theirs.state_dict()) == "timm"
    assert torch.allclose(other(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "attention"),
    [("se", SqueezeExcitation.timm), ("eca", EfficientChannelAttention.timm), ("cbam", CBAM.timm), (None, None)],
)
@torch.no_grad()
def test_timms_other_networks(name: str | None, attention) -> None:
    theirs = timms(name)
    model = network(attention)
    assert load_weights(model, theirs.state_dict()) == ("timm" if name else "torchvision")
    x = images()
    assert torch.allclose(model(x), theirs(x), atol=1e-6)
    theirs.load_state_dict(export_weights(model, "timm"))


@pytest.mark.parametrize("name", [None, "cbam"])
@torch.no_grad()
def test_a_deep_stem_is_timms(name: str | None) -> None:
    theirs = timms(name, timm.models.resnet.Bottleneck, stem_type="deep", stem_width=32)
    model = network(CBAM.timm if name else None, Bottleneck, stem="deep")
    assert load_weights(model, theirs.state_dict()) == "timm"
    x = images()
    assert torch.allclose(model(x), theirs(x), atol=1e-6)
    theirs.load_state_dict(export_weights(model, "timm"))


@torch.no_grad()
def test_split_attention_is_timms_and_keeps_its_convolutions() -> None:
    theirs = timms(
        block=timm.models.resnest.ResNestBottleneck,
        block_args={"radix": 2, "avd": True, "avd_first": False},
        stem_type="deep",
        stem_width=32,
        avg_down=True,
    )
    model = network(None, SplitBottleneck, stem="deep")
    assert load_weights(model, theirs.state_dict()) == "timm"
    x = images()
    assert torch.allclose(model(x), theirs(x), atol=1e-6)
    written = export_weights(model, "timm")
    assert max(tensor.dim() for tensor in written.values()) == 4
    theirs.load_state_dict(written)
    attentive = network(CBAM, SplitBottleneck, stem="deep")
    assert load_weights(attentive, written, keep=".attention.") == "timm"
    assert load_weights(network(CBAM, SplitBottleneck, stem="deep"), attentive.state_dict()) == "ours"


@pytest.mark.parametrize("attention", [None, CBAM])
def test_own_mobilenets_are_ours(attention) -> None:
    model = MobileNet(attention, width=0.5, num_classes=4)
    assert load_weights(MobileNet(attention, width=0.5, num_classes=4), model.state_dict()) == "ours"


@torch.no_grad()
def test_torchvision_weights_load_into_a_network_with_attention_that_keeps_its_own() -> None:
    plain = randomised(tv.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1], num_classes=4))
    model = network(lambda channels: CBAM(channels, init="identity"), planes=64)
    assert load_weights(model, plain.state_dict(), keep=".attention.") == "torchvision"
    x = images()
    assert torch.equal(model(x), plain(x))
    assert sorted(export_weights(network(None, planes=64), "torchvision")) == sorted(plain.state_dict())


@torch.no_grad()
def test_kept_attention_is_not_flipped() -> None:
    model, plain = randomised(network()), network(None)  # its maps begin with the maximum, timm's with the average
    before = model.layer1[0].attention.spatial_attention.conv.weight.clone()
    load_weights(model, plain.state_dict(), layout="timm", keep=".attention.")
    assert torch.equal(model.layer1[0].attention.spatial_attention.conv.weight, before)


def test_compiled_and_parallel_networks_are_unwrapped() -> None:
    model = network()
    for wrapped in (nn.DataParallel(network()), torch.compile(nn.DataParallel(network()))):
        assert load_weights(wrapped, model.state_dict()) == "ours"
        assert export_weights(wrapped, "timm").keys() == export_weights(model, "timm").keys()


def test_what_stands_around_a_network_is_taken_off() -> None:
    """As torch.compile and DataParallel do, also one inside the other."""
    bare_network, compiled = network(), nn.Module()
    compiled._orig_mod = nn.DataParallel(bare_network)
    assert bare(compiled) is bare_network
    assert bare(nn.DataParallel(bare_network)) is bare_network
