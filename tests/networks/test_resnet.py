"""The residual networks: counts known from elsewhere, torchvision's outputs, and where attention stands."""

import functools

import pytest
import timm
import torch
import torchvision.models as tv
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    EfficientChannelAttention,
    ResNet,
    SqueezeExcitation,
    insert_attention,
    record_attention,
    resnest50,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50,
    resnext101,
    wide_resnet18,
)
from cbam_lite.networks.resnet import BasicBlock, shortcut

# plain, with SE, with CBAM (both with biases); the CBAM totals are those that pytorchcv asserts
PARAMETERS = {
    resnet18: (11_689_512, 11_778_592, 11_779_392),
    resnet34: (21_797_672, 21_958_868, 21_960_468),
    resnet50: (25_557_032, 28_088_024, 28_089_624),
    resnet101: (44_549_160, 49_326_872, 49_330_172),
    resnet152: (60_192_808, 66_821_848, 66_826_848),
}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("make", PARAMETERS, ids=lambda make: make.__name__)
def test_parameters_are_the_known_ones(make) -> None:
    with torch.device("meta"):
        models = [make(attention) for attention in (None, SqueezeExcitation.official, CBAM.official)]
    assert tuple(map(parameters, models)) == PARAMETERS[make]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (resnet18, tv.resnet18),
        (resnet34, tv.resnet34),
        (resnet50, tv.resnet50),
        (resnet101, tv.resnet101),
        (resnext50, tv.resnext50_32x4d),
        (resnext101, lambda **k: timm.create_model("resnext101_32x4d", **k)),
    ],
)
@torch.no_grad()
def test_plain_networks_are_torchvisions_and_timms(ours, theirs) -> None:
    model, reference = ours(num_classes=7).eval(), theirs(num_classes=7).eval()
    model.load_state_dict(reference.state_dict())  # strictly: the same names
    x = torch.randn(2, 3, 64, 48)
    assert torch.allclose(model(x), reference(x), atol=1e-5)
    assert model.features(x).shape[2:] == (2, 2)


@pytest.mark.parametrize(
    "make", [resnet18, resnet50, resnext50, resnest50, functools.partial(wide_resnet18, width=0.5)]
)
@pytest.mark.parametrize(
    "attention", [None, SqueezeExcitation, EfficientChannelAttention, CBAM.official, lambda channels: CBAM(channels, 8)]
)
def test_every_network_takes_every_attention_and_learns(make, attention, device: torch.device) -> None:
    model = make(attention, num_classes=3).to(device)
    y = model(torch.randn(2, 3, 64, 64, device=device))
    assert y.shape == (2, 3)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("make", [resnet18, resnet50, resnest50])
@torch.no_grad()
def test_attention_stands_before_the_addition(make) -> None:
    """With a gate of 0 nothing but the shortcut is left."""

    class Nothing(nn.Module):
        def forward(self, F: Tensor) -> Tensor:
            return 0 * F

    model = make(lambda channels: Nothing()).eval()
    for block in (model.layer1[0], model.layer2[0], model.layer2[1]):
        x = torch.randn(2, block.conv1.in_channels, 8, 8)
        assert torch.equal(block(x), block.downsample(x).relu())


@torch.no_grad()
def test_attention_sees_what_the_last_norm_gives() -> None:
    block = resnet18(CBAM).eval().layer1[0]
    seen = []
    block.attention.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    block.bn2.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    block(torch.randn(2, 64, 8, 8))
    assert torch.equal(seen[0], seen[1])
    assert seen[0].min() < 0  # no ReLU between


@torch.no_grad()
def test_identity_attention_gives_the_plain_output_bit_for_bit() -> None:
    plain, gated = (
        resnet18(num_classes=5).eval(),
        resnet18(functools.partial(CBAM, init="identity"), num_classes=5).eval(),
    )
    missing = gated.load_state_dict(plain.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert all(".attention." in name for name in missing.missing_keys)
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(gated(x), plain(x))


def test_no_attention_adds_no_names() -> None:
    assert not [name for name in resnet50().state_dict() if "attention" in name]


@torch.no_grad()
def test_layouts_differ_in_the_place_of_the_stride_only() -> None:
    v1, v15 = resnet50(layout="v1").eval(), resnet50().eval()
    v15.load_state_dict(v1.state_dict())
    strides = [(net.layer2[0].conv1.stride[0], net.layer2[0].conv2.stride[0]) for net in (v1, v15)]
    assert strides == [(2, 1), (1, 2)]
    x = torch.randn(1, 3, 64, 64)
    assert not torch.allclose(v1(x), v15(x), atol=1e-3)
    assert v1.features(x).shape == v15.features(x).shape


@pytest.mark.parametrize(("stem", "size"), [("small", 8), ("imagenet", 2), ("deep", 2)])
@torch.no_grad()
def test_stems_set_the_size_of_the_last_map(stem: str, size: int) -> None:
    model = resnet18(stem=stem, planes=16, num_classes=4).eval()
    assert model.features(torch.randn(1, 3, 64, 64)).shape == (1, 128, size, size)
    assert model(torch.randn(1, 3, 50, 70)).shape == (1, 4)


def test_wide_networks_widen_the_stages_and_not_the_stem() -> None:
    model = wide_resnet18(width=1.5)
    assert model.conv1.out_channels == 64
    assert [model.layer1[1].bn2.num_features, model.layer4[1].bn2.num_features] == [96, 768]
    assert parameters(model) == 25_875_816  # printed: 25.88 M


def test_wide_stages_are_rounded_to_the_nearest_number() -> None:
    with torch.device("meta"):
        planes = [wide_resnet18(width=width).layer1[0].bn1.num_features for width in (1.01, 1.05, 1 / 64)]
    assert planes == [65, 67, 1]  # 64.64, 67.2


def test_what_the_messages_propose_works() -> None:
    with torch.device("meta"):
        assert resnext50(planes=8, group_width=8).layer1[0].conv2.in_channels == 32  # 32 groups of 1
        assert resnet18(stem="deep", stem_channels=2).conv1[0].out_channels == 1
        assert resnet18(group_width=1, planes=8).layer1[0].conv1.out_channels == 8  # of bottlenecks only


def test_a_shortcut_is_the_identity_where_the_shapes_agree_only() -> None:
    assert isinstance(shortcut(8, 8, 1), nn.Identity)
    for channels, stride, size in ((8, 2, 3), (9, 1, 6), (9, 2, 3)):
        assert shortcut(8, channels, stride)(torch.randn(2, 8, 6, 6)).shape == (2, channels, size, size)


def test_fresh_convolutions_have_hes_variance() -> None:
    weight = resnet18().layer3[0].conv2.weight  # fan out: 256 * 9
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)


@torch.no_grad()
def test_gates_are_recorded_under_their_block() -> None:
    model = resnet18(CBAM, num_classes=2).eval()
    with record_attention(model) as maps:
        model(torch.randn(2, 3, 64, 64))
    assert len(maps) == 16
    assert maps["layer4.1.attention.spatial_attention"].shape == (2, 2, 2)


@torch.no_grad()
def test_inserting_into_a_plain_one_leaves_it_unchanged() -> None:
    model = resnet18().eval()
    x = torch.randn(1, 3, 64, 64)
    before = model(x)
    insert_attention(model, CBAM, report=None)
    assert torch.equal(model(x), before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: resnet18(layout="v2"), ValueError, "layout='v2' is not one of 'v1.5', 'v1'"),
        (lambda: resnet18(stem="big"), ValueError, "stem='big' is not one of 'imagenet', 'deep', 'half', 'small'"),
        (lambda: ResNet(BasicBlock, (2, 2, 2)), ValueError, r"depths=\[2, 2, 2\] has 3 stages, but a ResNet has 4"),
        (lambda: resnet18(num_classes=0), ValueError, "num_classes=0 must be at least 1"),
        (lambda: resnet18(planes=0), ValueError, "planes=0 must be at least 1"),
        (lambda: resnet18(CBAM(64)), TypeError, "attention is a module, built already: pass CBAM, not an instance"),
        (
            lambda: resnet18("CBAM"),
            TypeError,
            "attention='CBAM' of type str cannot make a module: pass a class such as",
        ),
        (lambda: resnet18(lambda channels: None), TypeError, r"attention\(64\) gave NoneType, not a module: pass CBAM"),
        (lambda: ResNet(BasicBlock, (2, 0, 2, 2)), ValueError, r"depths\[1\]=0 must be at least 1"),
        (lambda: ResNet(BasicBlock, (2, 2, 2, -1)), ValueError, r"depths\[3\]=-1 must be at least 1"),
        (lambda: ResNet(BasicBlock, "2222"), TypeError, r"depths\[0\] must be a whole number, got '2' of type str"),
        (
            lambda: ResNet(BasicBlock, None),
            TypeError,
            r"depths=None must be four whole numbers, such as \(2, 2, 2, 2\)",
        ),
        (lambda: resnet18(planes="64"), TypeError, "planes must be a whole number, got '64' of type str"),
        (lambda: resnet18(planes=0, stem_channels=8), ValueError, "planes=0 must be at least 1"),
        (lambda: resnet18(stem_channels=0), ValueError, "stem_channels=0 must be at least 1"),
        (lambda: resnet18(stem="deep", stem_channels=1), ValueError, "stem='deep' halves its channels: use stem_ch"),
        (lambda: resnet50(groups=0), ValueError, "groups=0 must be at least 1"),
        (lambda: resnet50(groups=-1), ValueError, "groups=-1 must be at least 1"),
        (lambda: resnet50(group_width=0), ValueError, "group_width=0 must be at least 1"),
        (
            lambda: resnext50(planes=8),
            ValueError,
            "planes=8 with group_width=4 leaves 0 channels for each group: use group_width>=8",
        ),
        (
            lambda: wide_resnet18(width=0),
            ValueError,
            r"width=0 leaves 0 channels in the first stage: use width>=0\.015",
        ),
        (lambda: wide_resnet18(width=-1), ValueError, r"width=-1 leaves -64 channels in the first stage"),
        (lambda: wide_resnet18(width="2"), TypeError, "width must be a number, got '2' of type str"),
        (lambda: resnet18(CBAM, planes=8), ValueError, "channels=8 with reduction=16 leaves 0 hidden units"),
    ],
)
def test_errors_name_the_fix(make, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(("stem", "rows"), [("imagenet", 16), ("deep", 16), ("half", 32), ("small", 64)])
def test_how_much_each_stem_makes_an_image_smaller(stem: str, rows: int) -> None:
    model = resnet18(planes=8, num_classes=2, stem=stem)
    x = model.maxpool(model.conv1(torch.zeros(1, 3, 64, 64)))
    assert x.shape[2:] == (rows, rows)
