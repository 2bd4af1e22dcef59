"""Weights of the PyTorch port: against a network with its names, written here, and against files that do not fit."""

import copy
import doctest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cbam_lite import CBAM, EfficientChannelAttention, SqueezeExcitation, insert_attention
from cbam_lite.detection import port_names
from cbam_lite.detection.port_names import load_port, to_port_names
from cbam_lite.detection.yolo import PLACES, YoloTiny, article_cbam, article_se, yolo_tiny

# ---- the port's network, from its names and the article's table -----------------------------------------------------


class Conv(nn.Module):
    def __init__(self, channels: int, out: int, k: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, k, stride, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu(self.bn(self.conv(x)), 0.1)


class Body(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        self.conv1, self.conv4 = Conv(C, C, 3), Conv(C, C, 1)
        self.conv2, self.conv3 = (Conv(C // 2, C // 2, 3) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv1(x)
        a = self.conv2(x[:, x.shape[1] // 2 :])
        feat = self.conv4(torch.cat([self.conv3(a), a], 1))
        return nn.functional.max_pool2d(torch.cat([x, feat], 1), 2), feat


class Backbone(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Conv(3, c, 3, 2), Conv(c, 2 * c, 3, 2), Conv(16 * c, 16 * c, 3)
        self.resblock_body1, self.resblock_body2, self.resblock_body3 = (Body(n * c) for n in (2, 4, 8))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, _ = self.resblock_body1(self.conv2(self.conv1(x)))
        x, _ = self.resblock_body2(x)
        x, feat1 = self.resblock_body3(x)
        return feat1, self.conv3(x)


class SE(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        linear = [nn.Linear(C, C // 16, bias=False), nn.Linear(C // 16, C, bias=False)]
        self.fc = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[..., None, None]


class Channels(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(C, C // 8, 1, bias=False), nn.Conv2d(C // 8, C, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(x, 1), nn.functional.adaptive_max_pool2d(x, 1)
        return torch.sigmoid(sum(self.fc2(torch.relu(self.fc1(p))) for p in pooled))


class Places(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv1(torch.cat([x.mean(1, True), x.max(1, True).values], 1)))


class PortCBAM(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        self.channelattention, self.spatialattention = Channels(C), Places()

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.channelattention(x)
        return x * self.spatialattention(x)


class ECA(nn.Module):
    def __init__(self, C: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 5, padding=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.mean((2, 3))[:, None])  # (B, 1, C)
        return x * torch.sigmoid(y).transpose(1, 2)[..., None]


class Up(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(Conv(channels, out, 1), nn.Upsample(scale_factor=2, mode="nearest"))

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(x)


class Port(nn.Module):
    def __init__(self, phi: int, K: int, c: int = 32) -> None:
        super().__init__()
        self.backbone, self.conv_for_P5 = Backbone(c), Conv(16 * c, 8 * c, 1)
        self.yolo_headP5 = nn.Sequential(Conv(8 * c, 16 * c, 3), nn.Conv2d(16 * c, 3 * (5 + K), 1))
        self.upsample = Up(8 * c, 4 * c)
        self.yolo_headP4 = nn.Sequential(Conv(12 * c, 8 * c, 3), nn.Conv2d(8 * c, 3 * (5 + K), 1))
        self.phi = phi
        if phi:
            kind = (SE, PortCBAM, ECA)[phi - 1]
            self.feat1_att, self.feat2_att, self.upsample_att = kind(8 * c), kind(16 * c), kind(4 * c)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        feat1, feat2 = self.backbone(x)
        if self.phi:
            feat1, feat2 = self.feat1_att(feat1), self.feat2_att(feat2)
        P5 = self.conv_for_P5(feat2)
        up = self.upsample(P5)
        up = self.upsample_att(up) if self.phi else up
        return self.yolo_headP5(P5), self.yolo_headP4(torch.cat([up, feat1], 1))


def port(phi: int, K: int = 3, c: int = 32) -> Port:
    """Every number random, also those of the norms; the attention is strong enough to be seen."""
    network = Port(phi, K, c).eval()
    for name, tensor in network.state_dict().items():
        if ".bn." in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
        elif "_att" in name:
            tensor.normal_(0, 1)
        elif "num_batches" in name:
            tensor.fill_(17)
    return network


def ours(phi: int, K: int = 3, **options: Any) -> YoloTiny:
    return yolo_tiny(phi, K, **options).eval()  # type: ignore[arg-type]


def agree(theirs: tuple[Tensor, Tensor], mine: tuple[Tensor, Tensor]) -> None:
    for t, m in zip(theirs, mine, strict=True):
        assert t.shape == (m.shape[0], m.shape[1] * m.shape[2], *m.shape[3:])
        assert (t - m.flatten(1, 2)).abs().max() <= 1e-6 * t.abs().max().clamp(min=1)


def copied(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def refused(model: nn.Module, weights: Any, message: str, error: type[Exception] = ValueError) -> None:
    """The weights are refused with these words, and the model keeps every number."""
    before = copied(model)
    with pytest.raises(error, match=message):
        load_port(model, weights)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# ---- the same outputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [0, 1, 2, 3])
@torch.no_grad()
def test_outputs_agree_there_and_back(phi: int) -> None:
    theirs, model, images = port(phi), ours(phi), torch.rand(2, 3, 64, 64)
    expected = theirs(images)
    assert not torch.allclose(model(images)[0].flatten(1, 2), expected[0], atol=1e-2)
    load_port(model, theirs.state_dict())
    agree(expected, model(images))
    written = to_port_names(model)
    assert sorted(written) == sorted(theirs.state_dict())
    assert all(torch.equal(written[name], tensor) for name, tensor in theirs.state_dict().items())
    other, again = port(phi), ours(phi)
    other.load_state_dict(written)
    agree(other(images), model(images))
    load_port(again, written)
    assert all(torch.equal(a, b) for a, b in zip(again(images), model(images), strict=True))


@pytest.mark.parametrize("phi", [1, 2, 3])
@torch.no_grad()
def test_each_attention_is_at_its_own_place(phi: int) -> None:
    """Of two files that differ at one place, the networks differ there, and agree with the port's all the same."""
    theirs, images = port(phi, c=8), torch.rand(1, 3, 64, 64)
    for place in ("feat1_att", "feat2_att", "upsample_att"):
        before = theirs(images)
        for parameter in getattr(theirs, place).parameters():
            parameter.mul_(-2)
        model = ours(phi, width=0.25)
        load_port(model, theirs.state_dict())
        agree(theirs(images), model(images))
        assert not torch.equal(theirs(images)[1], before[1])
        assert torch.equal(theirs(images)[0], before[0]) == (place != "feat2_att")


@torch.no_grad()
def test_attention_that_was_inserted_has_names_too() -> None:
    theirs, images = port(2, c=8), torch.rand(1, 3, 64, 64)
    model = insert_attention(
        ours(0, width=0.25), article_cbam, PLACES, example=torch.rand(1, 3, 64, 64), init="default", report=None
    ).eval()
    load_port(model, theirs.state_dict())
    agree(theirs(images), model(images))
    assert all(torch.equal(to_port_names(model)[name], tensor) for name, tensor in theirs.state_dict().items())


@torch.no_grad()
def test_dtypes_and_devices(device: torch.device) -> None:
    theirs, model = port(2, c=8), ours(2, width=0.25).half().to(device)
    load_port(nn.DataParallel(model), theirs.double().state_dict())
    for name, tensor in to_port_names(model).items():
        expected = theirs.state_dict()[name]
        assert tensor.device.type == device.type
        assert torch.equal(tensor.cpu(), expected.to(tensor.dtype))


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = {"yolo_tiny": yolo_tiny, "load_port": load_port, "to_port_names": to_port_names, "torch": torch}
    result = doctest.testmod(port_names, extraglobs=words)
    assert (result.failed, result.attempted) == (0, 5)


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "model.module."])
@pytest.mark.parametrize("phi", [0, 2])
def test_files_with_prefixes_and_wrappings(tmp_path: Path, prefix: str, phi: int) -> None:
    theirs = port(phi, c=8).state_dict()
    prefixed = {f"{prefix}{name}": tensor for name, tensor in theirs.items()}
    torch.save({"epoch": 3, "state_dict": prefixed}, tmp_path / "best.pth")
    torch.save(prefixed, tmp_path / "plain.pth")
    for weights in (tmp_path / "best.pth", str(tmp_path / "plain.pth"), prefixed, {"model": prefixed}):
        model = ours(phi, width=0.25)
        load_port(model, weights)
        assert all(torch.equal(to_port_names(model)[name], tensor) for name, tensor in theirs.items())


def test_old_files_have_no_counts_of_batches() -> None:
    state = {name: tensor for name, tensor in port(0, c=8).state_dict().items() if "num_batches" not in name}
    model = ours(0, width=0.25)
    model.backbone.last.norm.num_batches_tracked.fill_(5)  # type: ignore[union-attr]
    load_port(model, state)
    assert model.backbone.last.norm.num_batches_tracked == 5
    assert torch.equal(model.backbone.last.conv.weight, state["backbone.conv3.conv.weight"])


def test_damaged_files(tmp_path: Path) -> None:
    model = ours(0, width=0.25)
    torch.save(port(0, c=8).state_dict(), tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:5000])
    refused(model, tmp_path / "a.pth", "cannot be read")
    refused(model, tmp_path / "gone.pth", "is not there", FileNotFoundError)
    refused(model, 3, "must be the path of a file or a state dict", TypeError)
    refused(model, {}, "holds no state dict")


# ---- what does not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "mine", "cause"),
    [
        ((2, 3, 8), {"phi": 0}, "phi=2, the model has 0: build"),
        ((0, 3, 8), {"phi": 3}, "phi=0, the model has 3: build"),
        ((1, 3, 8), {"phi": 2}, "phi=1, the model has 2: build"),
        ((3, 3, 8), {"phi": 1}, "phi=3, the model has 1: build"),
        ((0, 20, 8), {"phi": 0}, "num_classes=20, the model has 3: build"),
        ((2, 3, 16), {"phi": 2}, "width=0.5, the model has 0.25: build"),
        ((1, 80, 16), {"phi": 0}, "phi=1, the model has 0; and num_classes=80, .* 3; and width=0.5, .* 0.25: build"),
    ],
)
def test_the_likely_cause_is_named(theirs: tuple[int, int, int], mine: dict[str, int], cause: str) -> None:
    model = ours(**mine, width=0.25)
    refused(
        model, port(*theirs).state_dict(), rf"nothing was loaded\. [0-9]+ .*The weights have {cause} the model like"
    )


def test_names_and_shapes_are_listed() -> None:
    model, state = ours(0, width=0.25), port(0, c=8).state_dict()
    gone = dict(state)
    del gone["upsample.upsample.0.bn.running_var"]
    refused(model, gone, r"1 missing in the file: upsample\.upsample\.0\.bn\.running_var.*Is a part of them missing\?")
    refused(model, state | {"head.weight": torch.zeros(1)}, r"1 not in the model: head\.weight")
    reshaped = state | {"conv_for_P5.conv.weight": torch.zeros(64, 128)}
    refused(model, reshaped, r"conv_for_P5\.conv\.weight \(64, 128\) instead of \(64, 128, 1, 1\)")
    whole = state | {"conv_for_P5.bn.bias": torch.zeros(64, dtype=torch.int64)}
    refused(model, whole, r"conv_for_P5\.bn\.bias torch\.int64 instead of torch\.float32")
    refused(model, model.state_dict(), r"names of this package: use model\.load_state_dict")
    refused(model, {"fc.weight": torch.zeros(3)}, r"such as backbone\.conv1\.conv\.weight; is it a file of the port\?")
    scalar = state | {"yolo_headP5.1.bias": torch.tensor(1.0), "backbone.conv1.conv.weight": torch.zeros(0)}
    refused(model, scalar, "of another shape")
    other = state | {"feat1_att.what.weight": torch.zeros(3)}
    refused(model, other, "1 not in the model: feat1_att.what.weight")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_numbers_that_are_none_in_the_model(value: float) -> None:
    state = port(0, c=8).state_dict()
    state["yolo_headP4.1.bias"][2] = value
    refused(ours(0, width=0.25).half(), state, r"1 of 24 numbers in yolo_headP4\.1\.bias are NaN or infinite")


def se_max(channels: int) -> nn.Module:
    return article_se(channels, pool="max")


@pytest.mark.parametrize(
    ("attention", "why"),
    [
        (lambda C: article_se(C, init="identity"), "plain sigmoid, this one is 'sigmoid' with init='identity', twice"),
        (lambda C: article_cbam(C, init="identity"), "init='identity', twice the port's"),
        (lambda C: CBAM.paper(C, 8, gate="hardsigmoid"), "'hardsigmoid' with init='default'\\."),
        (lambda C: CBAM.paper(C, 8, spatial_pool="max+avg"), "stacks avg, max, this one max, avg"),
        (lambda C: CBAM.paper(C, 8, order="spatial-first"), "looks at the channels first"),
        (lambda C: CBAM.paper(C, 8, pool="avg"), "by average and maximum"),
        (lambda C: CBAM.paper(C, 8, spatial_pool="none"), "has a spatial gate of two maps"),
        (lambda C: CBAM.paper(C, 8, spatial_pool="conv"), "has a spatial gate of two maps"),
        (se_max, "takes the average, this one pool='max'"),
        (lambda C: EfficientChannelAttention(C, 5, pool="lp"), "takes the average, this one pool='lp'"),
        (lambda C: nn.Conv2d(C, C, 1), "it has no Conv2d"),
    ],
)
def test_attention_that_computes_something_else(attention: Callable[[int], nn.Module], why: str) -> None:
    """Names and shapes of all these would fit, or nearly."""
    model = YoloTiny(3, attention, width=0.25)
    with pytest.raises(ValueError, match=rf"cannot hold what stands at feat1: .*{why}"):
        to_port_names(model)
    for phi in (1, 2, 3):
        refused(model, port(phi, c=8).state_dict(), rf"cannot hold what stands at feat1: .*{why}")


def test_parts_that_the_port_has_no_names_for() -> None:
    for attention, name in ((CBAM, "channel_attention.W_0.bias"), (SqueezeExcitation, "W_1.bias")):
        refused(
            YoloTiny(3, attention, width=0.25),
            port(2, c=8).state_dict(),
            rf"network is another: feat1\.{name}, .* is in",
        )
    inside = insert_attention(ours(0, width=0.25), SqueezeExcitation, "reduce", report=None)
    refused(inside, port(0, c=8).state_dict(), r"another: reduce\.layer\.conv\.weight, .*\.\.\. is in the model")
    fused = ours(0, width=0.25)
    fused.reduce.norm = nn.Identity()  # type: ignore[assignment]
    refused(fused, port(0, c=8).state_dict(), r"another: reduce\.norm\.weight, .* is not in the model")
    alone = insert_attention(
        ours(0, width=0.25), article_se, "feat2", example=torch.rand(1, 3, 64, 64), init="default", report=None
    )
    rectified = YoloTiny(3, lambda C: nn.ReLU(), width=0.25)
    insert_attention(rectified, article_se, PLACES, example=torch.rand(1, 3, 64, 64), init="default", report=None)
    refused(rectified, port(1, c=8).state_dict(), "cannot hold what stands at feat1: it has no Attended")
    refused(alone, port(1, c=8).state_dict(), "the model has nothing at feat1, SE at feat2, nothing at P5_upsample")


@pytest.mark.parametrize("model", [None, nn.Conv2d(3, 3, 3), {}])
def test_what_is_no_yolo(model: Any) -> None:
    with pytest.raises(TypeError, match="model must be a YoloTiny"):
        load_port(model, {})
    with pytest.raises(TypeError, match="model must be a YoloTiny"):
        to_port_names(model)
