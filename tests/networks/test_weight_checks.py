"""What does not fit: attention that computes something else, strides elsewhere, other names, shapes and projects."""

import functools

import pytest
import timm.models.resnet
import torch
import torchvision.models as tv
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    MobileNet,
    ResNet,
    SqueezeExcitation,
    export_weights,
    insert_attention,
    load_weights,
)
from cbam_lite.networks.resnet import BasicBlock, Bottleneck
from cbam_lite.networks.split_attention import SplitBottleneck

PLANES = {"planes": 16, "num_classes": 4, "stem_channels": 64}


def network(attention=CBAM.official, block=BasicBlock, **options) -> ResNet:
    return ResNet(block, (1, 1, 1, 1), attention, **(PLANES | options)).eval()


def timms(attention=None, block=timm.models.resnet.BasicBlock) -> dict[str, Tensor]:
    options = {"channels": (16, 32, 64, 128), "block_args": {"attn_layer": attention}}
    return timm.models.resnet.ResNet(block, (1, 1, 1, 1), num_classes=4, **options).state_dict()


def without(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if part not in name}


# ---- attention ------------------------------------------------------------------------------------------------------

other = functools.partial


@pytest.mark.parametrize(
    ("attention", "layout", "message"),
    [
        (CBAM.paper, "official", "it has no batch norm in the spatial gate"),
        (CBAM.timm, "official", "its MLP has no biases, and theirs has: build it with CBAM.official"),
        (CBAM.timm, "pytorchcv", "its MLP has no biases, and theirs has: build it with CBAM.official"),
        (other(CBAM, spatial_pool="none"), "timm", "it has no batch norm in the spatial gate"),
        (other(CBAM, spatial_pool="conv"), "timm", "its spatial gate is not made from avg and max"),
        (other(CBAM, spatial_pool="avg+max+avg"), "timm", "its spatial gate is not made from avg and max"),
        (other(CBAM, spatial_pool="avg"), "timm", "its spatial gate is not made from avg and max"),
        (other(CBAM, spatial_pool="avg+lse"), "timm", "its spatial gate is not made from avg and max"),
        (other(CBAM, conv_bias=True), "timm", "its spatial convolution is not 7x7 without a bias"),
        (other(CBAM, conv_bias=True), "official", "its spatial convolution is not 7x7 without a bias"),
        (other(CBAM, kernel_size=3), "official", "its spatial convolution is not 7x7 without a bias"),
        (other(CBAM, kernel_size=3), "pytorchcv", "its spatial convolution is not 7x7 without a bias"),
        (other(CBAM, pool="avg"), "timm", r"its channel gate is not the sigmoid of avg\+max"),
        (other(CBAM, pool="avg+max+avg"), "timm", r"its channel gate is not the sigmoid of avg\+max"),
        (other(CBAM, gate="tanh"), "timm", r"its channel gate is not the sigmoid of avg\+max"),
        (other(CBAM, order="parallel"), "pytorchcv", "order='parallel', everybody else has channel-first"),
        (other(CBAM, init="identity"), "timm", "its gates are twice the sigmoid"),
        (SqueezeExcitation, "official", "only timm has a place for SqueezeExcitation"),
        (EfficientChannelAttention, "pytorchcv", "only timm has a place for EfficientChannelAttention"),
        (other(SqueezeExcitation, pool="max"), "timm", "it is not the sigmoid of the average"),
        (other(SqueezeExcitation, gate="tanh"), "timm", "it is not the sigmoid of the average"),
        (other(EfficientChannelAttention, init="identity"), "timm", "its gate is twice the sigmoid"),
        (ChannelAttention, "timm", "layer1.0.attention cannot be written as timm: nobody else has a place for Channel"),
        (CBAM, "torchvision", "torchvision's ResNet has no attention"),
        (CBAM, "luuuyi", "luuuyi's CBAM has neither biases in the MLP nor a batch norm in the spatial gate"),
        (CBAM, "keras", "layout='keras' is not one of 'ours', 'torchvision', 'official', 'timm', 'pytorchcv'"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_by_name(attention, layout: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export_weights(network(attention), layout)


def test_timm_has_kernels_of_any_size() -> None:
    state = export_weights(network(other(CBAM, kernel_size=3)), "timm")
    assert state["layer1.0.se.spatial.conv.conv.weight"].shape == (1, 2, 3, 3)
    assert load_weights(network(other(CBAM, kernel_size=3)), state) == "timm"


@pytest.mark.parametrize("layout", ["official", "timm", "pytorchcv"])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"init": "identity"}, "twice the sigmoid"),
        ({"order": "spatial-first"}, "order='spatial-first'"),
        ({"gate": "hardsigmoid"}, "its channel gate is not the sigmoid"),
        ({"pool": "avg"}, r"not the sigmoid of avg\+max"),
        ({"pool": "avg+lp"}, r"not the sigmoid of avg\+max"),
        ({"spatial_pool": "lp+max"}, "its spatial gate is not made from avg and max"),
    ],
)
def test_cbam_that_computes_something_else_is_not_filled(layout: str, option: dict[str, str], message: str) -> None:
    state, model = export_weights(network(), layout), network(other(CBAM, **option))
    before = model.fc.weight.clone()
    with pytest.raises(ValueError, match=rf"\({layout}\) fit, but layer1\.0\.attention computes .*{message}"):
        load_weights(model, state)
    assert torch.equal(model.fc.weight, before)
    assert load_weights(model, state, keep=".attention.") == layout


@pytest.mark.parametrize(("setting", "value"), [("function", "tanh"), ("init", "identity")])
def test_a_spatial_gate_of_another_kind_is_seen_beside_a_channel_gate_that_fits(setting: str, value: str) -> None:
    model = network()
    setattr(model.layer4[0].attention.spatial_attention.gate, setting, value)
    with pytest.raises(ValueError, match=r"layer4\.0\.attention .*its spatial gate is not the sigmoid"):
        export_weights(model, "official")


@pytest.mark.parametrize("attention", [SqueezeExcitation.timm, EfficientChannelAttention.timm])
@pytest.mark.parametrize("option", [{"init": "identity"}, {"pool": "max"}, {"gate": "hardsigmoid"}])
def test_channel_attention_that_computes_something_else_is_not_filled(attention, option: dict[str, str]) -> None:
    state, model = export_weights(network(attention), "timm"), network(other(attention, **option))
    with pytest.raises(ValueError, match=r"layer1\.0\.attention computes something else"):
        load_weights(model, state)


def test_attention_is_checked_unless_all_of_it_is_kept() -> None:
    state, model = export_weights(network(), "timm"), network(other(CBAM, init="identity"))
    with pytest.raises(ValueError, match="twice the sigmoid"):
        load_weights(model, state, keep=".attention.spatial")


def test_attention_without_weights_is_no_part_of_a_plain_file() -> None:
    state, model = network(None).state_dict(), network(lambda channels: nn.Sigmoid())
    for keep in (None, "fc."):
        with pytest.raises(ValueError, match="torchvision's ResNet has no attention"):
            load_weights(model, state, keep=keep)
    assert load_weights(model, state, keep=".attention.") == "torchvision"


@pytest.mark.parametrize("attention", [CBAM, CBAM.official])
def test_own_files_keep_the_order_of_the_maps(attention) -> None:
    state, model = network(attention).state_dict(), network(attention)
    load_weights(model, state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, state[name]) for name, tensor in export_weights(model, "ours").items())


def test_own_files_fill_what_only_this_package_has() -> None:
    attention = other(CBAM, init="identity", order="parallel", gate="tanh")
    assert load_weights(network(attention), network(attention).state_dict()) == "ours"
    assert load_weights(network(attention), export_weights(network(attention), "ours")) == "ours"


# ---- strides --------------------------------------------------------------------------------------------------------

bottlenecks = functools.partial(network, block=Bottleneck)


def test_strides_at_another_place_are_refused_though_all_shapes_fit() -> None:
    model, plain = bottlenecks(None, layout="v1"), bottlenecks(None).state_dict()
    with pytest.raises(ValueError, match=r"first 1x1 \(v1, see layer2\.0\).*with layout='v1\.5', or say with strides"):
        load_weights(model, plain)
    assert load_weights(model, plain, strides="v1") == "torchvision"  # a file of Caffe's kind, or a plain one of ours
    assert load_weights(model, plain, layout="ours") == "ours"
    with pytest.raises(ValueError, match=r"first 1x1 \(v1\), this network in its 3x3 \(v1\.5, see layer2\.0\)"):
        load_weights(bottlenecks(None), plain, layout="ours", strides="v1")
    for layout in ("timm", "torchvision", "official"):
        with pytest.raises(ValueError, match=rf"{layout} has the stride .* its 3x3.*write it as layout='ours'"):
            export_weights(model, layout)
        assert export_weights(bottlenecks(None), layout).keys() == plain.keys()


@pytest.mark.parametrize("own", ["v1", "v1.5"])
def test_plain_files_of_pytorchcv_are_asked_about(own: str) -> None:
    model = bottlenecks(None, layout=own)
    state = export_weights(model, "pytorchcv")  # resnet50b or resnet50, both are there
    with pytest.raises(ValueError, match=rf"is {own}\. Say .*\(of pytorchcv: resnet50b is v1\.5, resnet50"):
        load_weights(model, state)
    assert load_weights(model, state, strides=own) == "pytorchcv"
    with pytest.raises(ValueError, match="All shapes fit, and the result would be wrong"):
        load_weights(model, state, strides={"v1": "v1.5", "v1.5": "v1"}[own])
    basic = network(None)
    assert load_weights(basic, export_weights(basic, "pytorchcv")) == "pytorchcv"  # has no choice


def test_pytorchcv_with_cbam_has_the_stride_in_the_3x3() -> None:
    state = export_weights(bottlenecks(), "pytorchcv")
    assert load_weights(bottlenecks(), state) == "pytorchcv"
    with pytest.raises(ValueError, match=r"pytorchcv has the stride of a block in its 3x3 \(v1\.5\)"):
        load_weights(bottlenecks(layout="v1"), state)
    with pytest.raises(ValueError, match=r"pytorchcv has the stride of a block in its 3x3 \(v1\.5\)"):
        export_weights(bottlenecks(layout="v1"), "pytorchcv")


@pytest.mark.parametrize("own", ["v1", "v1.5"])
def test_own_files_are_asked_about_unless_told(own: str) -> None:
    model = bottlenecks(layout=own)
    with pytest.raises(ValueError, match=rf"ours has bottlenecks .* do not tell which\. This network is {own}"):
        load_weights(model, model.state_dict())
    assert load_weights(model, model.state_dict(), strides=own) == "ours"
    assert load_weights(model, model.state_dict(), layout="ours") == "ours"  # built alike
    with pytest.raises(ValueError, match="All shapes fit, and the result would be wrong"):
        load_weights(model, model.state_dict(), strides={"v1": "v1.5", "v1.5": "v1"}[own])


def test_torchvisions_bottlenecks_are_seen_and_not_asked_about() -> None:
    model = tv.ResNet(tv.resnet.Bottleneck, [1, 1, 1, 1], num_classes=4)
    plain = ResNet(Bottleneck, (1, 1, 1, 1), num_classes=4)
    with pytest.raises(ValueError, match=r"first 1x1 \(v1\), this network in its 3x3"):
        load_weights(model, export_weights(plain, "pytorchcv"), strides="v1")
    insert_attention(model, CBAM, report=None)
    assert load_weights(model, model.state_dict()) == "ours"


# ---- what can be written --------------------------------------------------------------------------------------------


def head_of_two_weights() -> ResNet:
    model = network()
    model.fc = nn.Sequential(nn.Dropout(), model.fc)
    return model


def head_of_three_weights() -> ResNet:
    model = network()
    model.fc = nn.Sequential(nn.Linear(128, 8), nn.ReLU(), nn.Linear(8, 4, bias=False))
    return model


@pytest.mark.parametrize(
    ("model", "layout", "message"),
    [
        (lambda: CBAM(16), "timm", r"only a ResNet of this package can be written as timm, not cbam_lite\..*\.CBAM"),
        (lambda: MobileNet(width=0.25), "torchvision", r"not cbam_lite\.networks\.mobilenet\.MobileNet"),
        (lambda: tv.ResNet(tv.resnet.BasicBlock, [1, 1, 1, 1]), "timm", r"not torchvision\.models\.resnet\.ResNet"),
        (
            lambda: insert_attention(network(None), CBAM, report=None, init=None),
            "official",
            r"official has no name for layer1\.0\.bn2\.layer\.weight, .*, \.\.\.: undo what was put into",
        ),
        (head_of_two_weights, "timm", r"timm has no name for fc\.1\.weight, fc\.1\.bias: undo"),
        (head_of_three_weights, "timm", r"no name for fc\.0\.weight, fc\.0\.bias, fc\.2\.weight: undo"),
        (lambda: network(stem="deep"), "official", r"no name for conv1\.0\.weight"),
        (lambda: network(None, SplitBottleneck), "torchvision", r"no name for layer1\.0\.conv2\.conv\.weight"),
        (lambda: network(None, SplitBottleneck), "pytorchcv", r"no name for layer1\.0\.conv2\.conv\.weight"),
        (lambda: network(CBAM, SplitBottleneck), "timm", "nobody else has attention behind split attention"),
    ],
)
def test_networks_without_names_elsewhere_are_not_written(model, layout: str, message: str) -> None:
    model = model()
    with pytest.raises(ValueError, match=message):
        export_weights(model, layout)
    assert export_weights(model, "ours").keys() == model.state_dict().keys()


# ---- names and shapes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "layer1.0.bn1.weight"), r"1 missing in the file: layer1\.0\.bn1\.weight$"),
        (lambda s: s | {"extra": torch.zeros(1)}, "1 not in the model: extra$"),
        (lambda s: s | {"bn1.weight": torch.zeros(3)}, r"1 of another shape: bn1\.weight \(3,\) instead of \(64,\)$"),
        (lambda s: s | {"fc.weight": torch.zeros(9, 128)}, r"another number of classes load with keep='fc\.'$"),
        (
            lambda s: s | {"fc.bias": torch.zeros(4, dtype=torch.int8)},
            r"1 of another kind: fc\.bias torch\.int8 instead of torch\.float32$",
        ),
        (lambda s: s | {"fc.bias": torch.zeros(4, dtype=torch.cfloat)}, r"kind: fc\.bias torch\.complex64 instead"),
        (lambda s: s | {f"e{i}": torch.zeros(1) for i in range(5)}, "5 not in the model: e0, e1, e2, e3, e4$"),
        (lambda s: s | {f"e{i}": torch.zeros(1) for i in range(6)}, r"6 not in the model: e0, e1, e2, e3, e4, \.\.\.$"),
        (lambda s: without(s, "attention"), r"no attention: load with keep='\.attention\.', or use insert_attention"),
    ],
)
def test_nothing_is_loaded_when_anything_differs(change, message: str) -> None:
    model, state = network(), {name: tensor + 1 for name, tensor in network().state_dict().items()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"do not fit ResNet, nothing was loaded.*{message}"):
        load_weights(model, change(state))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["se", "cbam"])
@pytest.mark.parametrize("shape", [(1,), (), (4, 16), (8, 16, 3, 3), (8, 4, 2, 2)])
def test_weights_of_strange_shapes_are_told(name: str, shape: tuple[int, ...]) -> None:
    """The layer has (8, 16) weights: (8, 4, 2, 2) are as many, and (8, 16, 3, 3) hold as many at each place."""
    model = network(SqueezeExcitation.timm if name == "se" else CBAM.timm)
    state = timms(name)
    key = "layer1.0.se.fc1.weight" if name == "se" else "layer1.0.se.spatial.conv.conv.weight"
    with pytest.raises(ValueError, match=r"of another shape: .*instead of"):
        load_weights(model, state | {key: torch.zeros(shape)})


def made_by(attention) -> dict[str, Tensor]:
    return network(attention).state_dict()


@pytest.mark.parametrize(
    ("state", "model", "message"),
    [
        (lambda: timms("cbam"), CBAM.official, "fits CBAM.timm with 1 hidden units for 16 channels: build"),
        (lambda: timms("cbam"), None, "fits CBAM.timm with 1 hidden"),
        (lambda: timms("se"), SqueezeExcitation, "fits SqueezeExcitation.timm with 8 hidden units for 16 channels"),
        (lambda: timms("se"), CBAM, "fits SqueezeExcitation.timm"),
        (lambda: timms("eca"), CBAM, "fits EfficientChannelAttention.timm: build"),
        (lambda: export_weights(network(), "official"), CBAM.timm, "fits CBAM.official with 1"),
        (lambda: export_weights(network(), "pytorchcv"), SqueezeExcitation, "fits CBAM.official with 1"),
        (lambda: made_by(CBAM), CBAM.timm, "fits CBAM or CBAM.official with 1"),
        (lambda: made_by(CBAM.timm), CBAM, "fits CBAM.timm with 1"),
        (lambda: made_by(other(CBAM, bn=False)), CBAM, "fits CBAM.keras with 1"),
        (lambda: made_by(CBAM.paper), CBAM, "fits CBAM.paper with 1"),
        (lambda: made_by(SqueezeExcitation), CBAM, "fits SqueezeExcitation with 1"),
        (lambda: made_by(SqueezeExcitation.paper), SqueezeExcitation, "fits SqueezeExcitation.paper with 1"),
        (lambda: made_by(EfficientChannelAttention), SqueezeExcitation, "fits EfficientChannelAttention: build"),
        (lambda: timms("ese"), CBAM, r"nothing in this package computes \(layer1\.0\.se\.fc\.weight\)"),
        (lambda: timms("ecam"), EfficientChannelAttention, "nothing in this package computes"),
        (lambda: timms("lcbam"), CBAM.timm, "nothing in this package computes"),
        (lambda: timms("splat"), SqueezeExcitation, "nothing in this package computes"),
        (lambda: made_by(ChannelAttention), CBAM, "nothing in this package computes"),
    ],
)
def test_the_attention_that_would_fit_is_told(state, model, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(network(model), state())
    assert "keep='.attention" not in str(caught.value)


def test_pytorchcvs_squeeze_and_excitation_is_not_taken_for_a_plain_file() -> None:
    """Its seresnet18 has two convolutions with biases, called conv1 and conv2."""
    state = export_weights(network(None), "pytorchcv")
    se = {"features.stage1.unit1.se.conv1.weight": torch.zeros(1, 16, 1, 1)}
    with pytest.raises(ValueError, match=r"nothing in this package computes \(layer1\.0\.se\.conv1\.weight\)$"):
        load_weights(network(SqueezeExcitation), state | se)


def test_mobilenets_other_attention_is_kept_with_a_shorter_word() -> None:
    model, plain = MobileNet(CBAM, width=0.5), MobileNet(width=0.5).state_dict()
    with pytest.raises(ValueError, match=r"no attention: load with keep='\.attention', or"):
        load_weights(model, plain)
    assert load_weights(model, plain, keep=".attention") == "ours"


def test_another_number_of_classes_keeps_its_own_last_layer() -> None:
    model, state = network(num_classes=9), network().state_dict()
    last = model.fc.weight.clone()
    assert load_weights(model, state, keep="fc.") == "ours"
    assert torch.equal(model.fc.weight, last)
    assert torch.equal(model.conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize("names", [["a", "b"], ["conv1.weight", "b"], ["layer1.0.conv1.weight", "conv1.bias"]])
def test_names_of_no_known_layout_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"of no layout that is known \(ours, torchvision.*: {names[0]}, .*; rename"):
        load_weights(network(), {name: torch.zeros(1) for name in names})


def test_a_named_layout_is_not_guessed() -> None:
    plain = network(None).state_dict()
    for layout in ("torchvision", "timm", "official", "ours"):
        assert load_weights(network(None), plain, layout=layout) == layout
