"""Weights that travel: round trips, small independent references of other projects, and files that must not load."""

import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
import torchvision.models as tv
from safetensors.torch import save_file
from timm.layers.cbam import CbamModule
from torch import Tensor, nn

from cbam_lite import (
    CBAM,
    ChannelAttention,
    EfficientChannelAttention,
    SqueezeExcitation,
    export_weights,
    load_weights,
    resnet18,
    resnet50,
)
from cbam_lite.networks.weights import read_weights

PROJECTS = ("official", "timm", "pytorchcv")


def randomised(model: nn.Module) -> nn.Module:
    """As if trained: no norm is left at 0 and 1."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5 if tensor.dim() == 1 else torch.randn_like(tensor) * 0.05)
    return model.double().eval()


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, dtype=torch.float64)


def network(attention=CBAM.official, make=resnet18) -> nn.Module:
    return make(attention, num_classes=4).double().eval()


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

    model = tv.resnet18(num_classes=4)
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


@pytest.mark.parametrize("make", [resnet18, resnet50])
@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("order", [CBAM.official, CBAM], ids=["max first", "avg first"])
@torch.no_grad()
def test_round_trips_keep_the_output(make, project: str, order) -> None:
    model, other = randomised(network(make=make)), network(order, make)
    assert load_weights(other, export_weights(model, project)) == project
    x = images()
    assert torch.allclose(other(x), model(x), atol=1e-6)
    back = network(make=make)
    load_weights(back, export_weights(other, project))
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in back.state_dict().items() if t.dim() > 0)


@torch.no_grad()
def test_official_weights_give_the_official_output() -> None:
    reference, model = official_reference(), network()
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
    model = network(CBAM)  # stacks its maps in the other order
    assert load_weights(model, theirs) == "pytorchcv"
    x = images()
    assert torch.allclose(model(x), reference(x), atol=1e-6)
    assert sorted(export_weights(model, "pytorchcv")) == sorted(theirs)


@torch.no_grad()
def test_timm_loads_what_we_write_and_we_load_what_it_writes() -> None:
    def layer(channels: int, **options) -> nn.Module:
        return CbamModule(channels, mlp_bias=True)

    theirs = timm.create_model("resnet50", num_classes=4, block_args={"attn_layer": layer}).double().eval()
    model = randomised(network(make=resnet50))
    theirs.load_state_dict(export_weights(model, "timm"))
    x = images()
    assert torch.allclose(theirs(x), model(x), atol=1e-6)
    other = network(CBAM, resnet50)
    assert load_weights(other, theirs.state_dict()) == "timm"
    assert torch.allclose(other(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "attention"),
    [("se", SqueezeExcitation.timm), ("eca", EfficientChannelAttention.timm), ("cbam", CBAM.timm), (None, None)],
)
@torch.no_grad()
def test_timms_other_networks(name: str | None, attention) -> None:
    theirs = randomised(timm.create_model("resnet18", num_classes=4, block_args={"attn_layer": name}))
    model = network(attention)
    assert load_weights(model, theirs.state_dict()) == ("timm" if name else "torchvision")
    x = images()
    assert torch.allclose(model(x), theirs(x), atol=1e-6)
    theirs.load_state_dict(export_weights(model, "timm"))


@torch.no_grad()
def test_torchvision_weights_load_into_a_network_with_attention_that_keeps_its_own() -> None:
    plain = randomised(tv.resnet18(num_classes=4))
    model = network(lambda channels: CBAM(channels, init="identity"))
    assert load_weights(model, plain.state_dict(), keep=".attention.") == "torchvision"
    x = images()
    assert torch.equal(model(x), plain(x))


# ---- what comes in --------------------------------------------------------------------------------------------------


def test_prefix_and_wrapping_of_checkpoints(tmp_path: Path) -> None:
    reference = official_reference()
    state = {f"module.{name}": tensor for name, tensor in reference.state_dict().items()}
    torch.save({"epoch": 3, "arch": "resnet18", "state_dict": state, "best_prec1": 70.0}, tmp_path / "best.pth")
    model = network()
    assert load_weights(model, tmp_path / "best.pth") == "official"
    assert torch.equal(model.fc.weight, reference.fc.weight)


def test_old_files_without_batch_counts_load() -> None:
    state = {n: t for n, t in network().state_dict().items() if not n.endswith("num_batches_tracked")}
    assert load_weights(network(), state) == "ours"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_load_and_damaged_ones_are_refused(tmp_path: Path, suffix: str) -> None:
    state = network().state_dict()
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert load_weights(network(), path) == "ours"
    whole = path.read_bytes()
    for cut in (len(whole) // 2, 10, 0):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"weights\.(pth|safetensors) (cannot be read|holds more than tensors)"):
            load_weights(network(), path)


def test_without_safetensors_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match="needs the safetensors package: pip install safetensors"):
        read_weights(tmp_path / "a.safetensors")


class MakesAFile:
    """A pickle of this creates the file when it is read by an ordinary pickle.load."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, 2))])
def test_code_in_a_file_is_not_run(tmp_path: Path, save) -> None:
    save({"state_dict": MakesAFile(tmp_path / "was run")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth holds more than tensors, or is damaged. A pickle can run code"):
        load_weights(network(), tmp_path / "evil.pth")
    assert not (tmp_path / "was run").exists()


def test_a_file_that_is_not_there_and_one_without_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth is not there: give the path"):
        read_weights(tmp_path / "none.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"holds no state dict: expected names and tensors, got list"):
        read_weights(tmp_path / "list.pth")


# ---- what does not fit ----------------------------------------------------------------------------------------------


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {other: tensor for other, tensor in state.items() if other != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "bn1.weight"), r"1 missing in the file: bn1\.weight"),
        (lambda s: s | {"extra": torch.zeros(1)}, "1 not in the model: extra"),
        (lambda s: s | {"bn1.weight": torch.zeros(3)}, r"1 of another shape: bn1\.weight \(3,\) instead of \(64,\)"),
        (lambda s: s | {"fc.weight": torch.zeros(9, 512)}, r"another number of classes load with keep='fc\.'"),
        (
            lambda s: {n: t for n, t in s.items() if "attention" not in n},
            r"no attention: load with keep='\.attention\.'",
        ),
    ],
)
def test_nothing_is_loaded_when_anything_differs(change, message: str) -> None:
    model, state = network(), randomised(network()).state_dict()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"do not fit ResNet, nothing was loaded.*{message}"):
        load_weights(model, change(state))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_strides_at_another_place_are_refused_though_all_shapes_fit() -> None:
    model = resnet50(layout="v1", num_classes=4)
    with pytest.raises(ValueError, match=r"its first 1x1 \(v1, see layer2\.0\).*build the network with layout='v1\.5'"):
        load_weights(model, tv.resnet50(num_classes=4).state_dict())
    with pytest.raises(ValueError, match=r"timm has the stride of a block in its 3x3"):
        export_weights(model, "timm")
    assert load_weights(model, model.state_dict(), layout="ours") == "ours"


def test_another_number_of_classes_keeps_its_own_last_layer() -> None:
    model = resnet18(CBAM.official, num_classes=9)
    last = model.fc.weight.clone()
    state = network().float().state_dict()
    assert load_weights(model, state, keep="fc.") == "ours"
    assert torch.equal(model.fc.weight, last)
    assert torch.equal(model.conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize(
    ("attention", "layout", "message"),
    [
        (CBAM.paper, "official", "it has no batch norm in the spatial gate"),
        (CBAM.timm, "official", "its MLP has no biases, and theirs has: build it with CBAM.official"),
        (lambda c: CBAM(c, spatial_pool="none"), "timm", "it has no batch norm in the spatial gate"),
        (lambda c: CBAM(c, spatial_pool="conv"), "timm", "its spatial gate is not made from avg and max"),
        (lambda c: CBAM(c, pool="avg"), "timm", r"its channel gate is not the sigmoid of avg\+max"),
        (lambda c: CBAM(c, gate="tanh"), "timm", r"its channel gate is not the sigmoid of avg\+max"),
        (lambda c: CBAM(c, order="parallel"), "pytorchcv", "order='parallel', everybody else has channel-first"),
        (lambda c: CBAM(c, init="identity"), "timm", "its gates are twice the sigmoid"),
        (lambda c: CBAM(c, kernel_size=3), "official", "its spatial convolution is not 7x7 without a bias"),
        (SqueezeExcitation, "official", "only timm has a place for SqueezeExcitation"),
        (EfficientChannelAttention, "pytorchcv", "only timm has a place for EfficientChannelAttention"),
        (lambda c: SqueezeExcitation(c, pool="max"), "timm", "it is not the sigmoid of the average"),
        (lambda c: EfficientChannelAttention(c, init="identity"), "timm", "its gate is twice the sigmoid"),
        (ChannelAttention, "timm", "layer1.0.attention cannot be written as timm: nobody else has a place for Channel"),
        (CBAM, "torchvision", "torchvision's ResNet has no attention"),
        (CBAM, "luuuyi", "luuuyi's CBAM has neither biases in the MLP nor a batch norm in the spatial gate"),
        (CBAM, "keras", "layout='keras' is not one of 'ours', 'torchvision', 'official', 'timm', 'pytorchcv'"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused_by_name(attention, layout: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export_weights(network(attention), layout)


def test_names_of_no_known_layout_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"of no layout that is known \(ours, torchvision.*: a, b, \.\.\.; rename them"
    ):
        load_weights(network(), {"a": torch.zeros(1), "b": torch.zeros(1)})


def test_a_named_layout_is_not_guessed() -> None:
    assert load_weights(network(None), tv.resnet18(num_classes=4).state_dict(), layout="torchvision") == "torchvision"
    with pytest.raises(ValueError, match=r"'Timm' is not one of .*did you mean 'timm'"):
        load_weights(network(), {}, layout="Timm")
