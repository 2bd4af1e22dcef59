"""darknet's files: against an interpreter of the cfg file, cut at any byte, damaged, and with attention."""

import doctest
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from cbam_lite import CBAM, EfficientChannelAttention, SqueezeExcitation, insert_attention
from cbam_lite.detection import darknet_file
from cbam_lite.detection.darknet_file import LAYERS, DarknetReport, read_darknet, write_darknet
from cbam_lite.detection.yolo import (
    PLACES,
    YoloTiny,
    article_cbam,
    article_eca,
    article_se,
    yolo_tiny,
)

RELEASED = 24_251_276  # bytes of yolov4-tiny.weights
RELEASED_29 = 19_789_716  # and of yolov4-tiny.conv.29
SMALL = {"num_classes": 2, "width": 0.125}


def randomised(model: YoloTiny) -> YoloTiny:
    """Every number of the norms is moved, so that no two of them can be exchanged unseen."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            module.bias.data.sub_(1)
    return model.eval()


def small(phi: int = 0, **options: Any) -> YoloTiny:
    return randomised(yolo_tiny(phi, **(SMALL | options)))  # type: ignore[arg-type]


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Bit for bit, also -0 and NaN."""
    return a.keys() == b.keys() and all(a[n].numpy().tobytes() == b[n].numpy().tobytes() for n in a)


def refused(model: nn.Module, path: Any, message: str, error: type[Exception] = ValueError, **options: Any) -> None:
    """The file is refused with these words, and the model keeps every bit."""
    before = copied(model)
    with pytest.raises(error, match=message):
        read_darknet(model, path, **options)
    assert same(before, copied(model))


# ---- the interpreter: layers as the released cfg file lists them, numbered as darknet does --------------------------


def cfg(c: int, K: int) -> list[tuple[Any, ...]]:
    """Each layer's kind, then filters, size and stride of a convolution, or the layers that a route joins."""
    layers: list[tuple[Any, ...]] = [("conv", c, 3, 2), ("conv", 2 * c, 3, 2)]
    for C in (2 * c, 4 * c, 8 * c):
        layers += [("conv", C, 3, 1), ("half",), ("conv", C // 2, 3, 1), ("conv", C // 2, 3, 1), ("route", -1, -2)]
        layers += [("conv", C, 1, 1), ("route", -6, -1), ("max",)]
    layers += [
        ("conv", 16 * c, 3, 1),
        ("conv", 8 * c, 1, 1),
        ("conv", 16 * c, 3, 1),
        ("output", 3 * (5 + K)),
        ("yolo",),
    ]
    layers += [("route", -4), ("conv", 4 * c, 1, 1), ("up",), ("route", -1, 23), ("conv", 8 * c, 3, 1)]
    return [*layers, ("output", 3 * (5 + K)), ("yolo",)]


def interpreted(path: Path, images: Tensor, c: int, K: int) -> tuple[list[Tensor], dict[int, int]]:
    """The inputs of the two yolo layers, and the byte at which each layer with weights ends."""
    content, at = path.read_bytes(), 20
    ends: dict[int, int] = {}
    maps: list[Tensor] = []
    found: list[Tensor] = []

    def take(*shape: int) -> Tensor:
        nonlocal at
        values = struct.unpack_from(f"<{int(np.prod(shape))}f", content, at)
        at += 4 * len(values)
        return torch.tensor(values, dtype=torch.float64).view(shape)

    for i, (kind, *numbers) in enumerate(cfg(c, K)):
        x = maps[-1] if maps else images.double()
        if kind == "conv":
            filters, size, stride = numbers
            beta, gamma, mean, variance = (take(filters)[:, None, None] for _ in range(4))
            x = functional.conv2d(x, take(filters, x.shape[1], size, size), stride=stride, padding=size // 2)
            x = gamma * (x - mean) / (variance + 1e-5).sqrt() + beta
            x = torch.where(x > 0, x, 0.1 * x)
        elif kind == "output":
            bias = take(*numbers)
            x = functional.conv2d(x, take(*numbers, x.shape[1], 1, 1)) + bias[:, None, None]
        elif kind == "route":
            x = torch.cat([maps[n] if n >= 0 else maps[i + n] for n in numbers], 1)
        elif kind == "half":  # groups=2, group_id=1
            x = x[:, x.shape[1] // 2 :]
        elif kind == "max":
            x = functional.max_pool2d(x, 2)
        elif kind == "up":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        else:
            found.append(x)
        maps.append(x)
        if kind in ("conv", "output"):
            ends[i] = at
    assert at == len(content)
    return found, ends


@pytest.mark.parametrize(("width", "K"), [(0.125, 2), (0.25, 7)])
@torch.no_grad()
def test_the_interpreter_computes_what_the_network_computes(tmp_path: Path, width: float, K: int) -> None:
    model, images = small(width=width, num_classes=K), torch.rand(2, 3, 64, 96)
    path = write_darknet(model, tmp_path / "a.weights")
    (coarse, fine), ends = interpreted(path, images, int(32 * width), K)
    assert list(ends) == list(LAYERS.values())
    for ours, theirs in zip(model(images), (coarse, fine), strict=True):
        assert torch.allclose(ours.flatten(1, 2).double(), theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_numbers_of_a_file_arrive_in_the_order_of_the_format(tmp_path: Path) -> None:
    """The file is 0, 1, 2, ...: beta, gamma, mean, variance, weights (out, in, h, w); bias before weights."""
    model = small()
    count = (write_darknet(model, tmp_path / "a.weights").stat().st_size - 20) // 4
    (tmp_path / "b.weights").write_bytes(struct.pack("<3iQ", 0, 2, 5, 7) + np.arange(count, dtype="<f4").tobytes())
    assert read_darknet(model, tmp_path / "b.weights").seen == 7
    first, norm = model.backbone.stem1.conv.weight, model.backbone.stem1.norm
    assert [norm.bias[0], norm.weight[0], norm.running_mean[0], norm.running_var[0]] == [0, 4, 8, 12]  # type: ignore[index]
    assert torch.equal(first, torch.arange(16, 16 + 108).float().view(4, 3, 3, 3))
    weight, bias = model.get_parameter("head_P4.1.weight"), model.get_parameter("head_P4.1.bias")
    assert torch.equal(weight.flatten(), torch.arange(count - weight.numel(), count).float())
    assert bias[-1] == count - weight.numel() - 1


# ---- there and back -------------------------------------------------------------------------------------------------


def test_the_size_is_that_of_the_released_file_and_the_bits_come_back(tmp_path: Path) -> None:
    model, other = randomised(yolo_tiny()), yolo_tiny()
    path = write_darknet(model, tmp_path / "tiny.weights", seen=32_012_800)
    assert path.stat().st_size == RELEASED
    assert struct.unpack("<3iQ", path.read_bytes()[:20]) == (0, 2, 5, 32_012_800)
    report = read_darknet(other, path)
    assert report == DarknetReport((0, 2, 5), 32_012_800, tuple(LAYERS), (), ())
    assert same(copied(model), copied(other))
    assert write_darknet(other, tmp_path / "again.weights", seen=32_012_800).read_bytes() == path.read_bytes()


def test_a_partial_file_as_long_as_the_released_one(tmp_path: Path) -> None:
    """It was cut from a network with 80 classes, and fits one with 6; it holds darknet's layers 0 to 28."""
    model, other = randomised(yolo_tiny()), yolo_tiny(3, 6, init="identity")
    path = write_darknet(model, tmp_path / "yolov4-tiny.conv.29")
    path.write_bytes(path.read_bytes()[:RELEASED_29])
    refused(other, path, r"after head_P5\.0 \(darknet's layer 28\), with 17 of 21 layers; .* partial=True")
    kept = copied(other)
    report = read_darknet(other, path, partial=True)
    assert report.read == tuple(LAYERS)[:17]
    assert LAYERS[report.read[-1]] == 28
    assert report.kept == ("head_P5.1", "up.0", "head_P4.0", "head_P4.1")
    assert report.attention == PLACES
    for name, tensor in other.state_dict().items():
        of_the_file = name.startswith(report.read) and not name.endswith("num_batches_tracked")
        assert torch.equal(tensor, model.state_dict()[name] if of_the_file else kept[name]), name
    assert str(report) == (
        "darknet 0.2.5, 0 images seen: 17 of 21 layers read, to head_P5.0; own values kept: head_P5.1, up.0, "
        "head_P4.0, head_P4.1, attention at feat1, attention at feat2, attention at P5_upsample"
    )


@given(K=st.integers(1, 90), c=st.integers(2, 8))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bits_come_back_at_any_width_and_number_of_classes(tmp_path: Path, K: int, c: int) -> None:
    model = small(num_classes=K, width=c / 16)
    model.backbone.stem2.conv.weight.data.view(-1)[:3] = torch.tensor([-0.0, 1e-45, 3.4028235e38])
    other = small(num_classes=K, width=c / 16)
    other.load_state_dict({n: t for n, t in model.state_dict().items() if "num_batches" in n}, strict=False)
    read_darknet(other, write_darknet(model, tmp_path / "a.weights"))
    assert same(copied(model), copied(other))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(tmp_path: Path, dtype: torch.dtype) -> None:
    model, other = small().to(dtype), small().to(dtype)
    read_darknet(other, write_darknet(model, tmp_path / "a.weights"))
    for name, tensor in model.state_dict().items():
        assert other.state_dict()[name].dtype == tensor.dtype
        assert torch.equal(other.state_dict()[name], tensor.float().to(tensor.dtype)), name


def test_devices_and_wrappings(tmp_path: Path, device: torch.device) -> None:
    model, other = small().to(device), small().to(device)
    path = write_darknet(nn.DataParallel(model), tmp_path / "a.weights")
    read_darknet(nn.DataParallel(other), str(path))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        (struct.pack("<3iI", 0, 1, 0, 3_000_000_000), 3_000_000_000),
        (struct.pack("<3iQ", 0, 2, 0, 2**40), 2**40),
        (struct.pack("<3iQ", 1, 0, 3, 5), 5),
    ],
)
def test_headers_of_other_versions(tmp_path: Path, header: bytes, seen: int) -> None:
    model, other = small(), small()
    layers = write_darknet(model, tmp_path / "a.weights").read_bytes()[20:]
    (tmp_path / "b.weights").write_bytes(header + layers)
    report = read_darknet(other, tmp_path / "b.weights")
    assert (report.version, report.seen) == (struct.unpack_from("<3i", header), seen)
    assert same(copied(model), copied(other))


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = {"yolo_tiny": yolo_tiny, "read_darknet": read_darknet, "write_darknet": write_darknet, "torch": torch}
    result = doctest.testmod(darknet_file, extraglobs=words, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    assert result.attempted == 8


# ---- files that end early or late -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[int, int], Path]:
    """A small file, the bytes at which its layers end, and a folder."""
    folder = tmp_path_factory.mktemp("cut")
    path = write_darknet(small(), folder / "a.weights")
    return path.read_bytes(), interpreted(path, torch.rand(1, 3, 64, 64), 4, 2)[1], folder


@given(data=st.data())
@settings(max_examples=60)
def test_a_file_that_is_cut_says_where(written: tuple[bytes, dict[int, int], Path], data: st.DataObject) -> None:
    content, ends, folder = written
    borders = st.sampled_from([0, 20, *ends.values()])
    near = st.builds(lambda end, step: min(max(end + step, 0), len(content) - 1), borders, st.integers(-5, 5))
    size = data.draw(st.one_of(near, st.integers(0, len(content) - 1)))
    partial = data.draw(st.booleans())
    (folder / "cut.weights").write_bytes(content[:size])
    model = small()
    names = {number: name for name, number in LAYERS.items()}
    if size < 20:
        refused(model, folder / "cut.weights", f"ends at byte {size}, inside its header of 20", partial=partial)
    elif size == 20:
        refused(model, folder / "cut.weights", "ends at byte 20, after its header", partial=partial)
    elif size not in ends.values():
        number, end = next((number, end) for number, end in ends.items() if size < end)
        begin = max([20, *(end for end in ends.values() if end <= size)])
        where = rf"at byte {size}, inside {names[number]} \(darknet's layer {number}\), which goes from byte {begin} to"
        refused(model, folder / "cut.weights", f"{where} byte {end};", partial=partial)
    elif not partial:
        refused(model, folder / "cut.weights", f"{len(content)} bytes. Nothing was loaded: read it with partial=True")
    else:
        report = read_darknet(model, folder / "cut.weights", partial=True)
        assert report.read == tuple(names[number] for number, end in ends.items() if end <= size)
        assert report.read + report.kept == tuple(LAYERS)


def test_a_whole_file_may_be_read_as_a_partial_one(tmp_path: Path) -> None:
    assert read_darknet(small(), write_darknet(small(), tmp_path / "a.weights"), partial=True).kept == ()


@pytest.mark.parametrize(("theirs", "mine"), [(80, 2), (3, 2), (1, 2), (2, 80)])
@pytest.mark.parametrize("partial", [False, True])
def test_another_number_of_classes_is_named(tmp_path: Path, theirs: int, mine: int, partial: bool) -> None:
    path = write_darknet(small(num_classes=theirs), tmp_path / "a.weights")
    size, needed = path.stat().st_size, write_darknet(small(num_classes=mine), tmp_path / "b.weights").stat().st_size
    numbers = f"has {size} bytes, {size - needed} more than the {needed}" if size > needed else f"has {needed} bytes"
    message = f"{numbers}.*size fits num_classes={theirs}, and the model has {mine}: build it with so many"
    refused(small(num_classes=mine), path, message, partial=partial)


def test_a_wider_network_and_a_byte_too_many(tmp_path: Path) -> None:
    path = write_darknet(small(), tmp_path / "a.weights")
    path.write_bytes(path.read_bytes() + b"\0")
    refused(small(), path, f"has {path.stat().st_size} bytes, 1 more than .*: it is of another network")
    refused(small(width=0.25), path, "inside .*: it is cut short, fetch it again, or it is of another network$")
    refused(small(), write_darknet(small(width=0.25), tmp_path / "b.weights"), "or of another width")


def test_layers_of_another_network_have_negative_variances(tmp_path: Path) -> None:
    """The same size by chance: here the numbers are those of 80 classes, cut to what 2 classes need."""
    path = write_darknet(small(num_classes=80), tmp_path / "a.weights")
    needed = write_darknet(small(), tmp_path / "b.weights").stat().st_size
    path.write_bytes(path.read_bytes()[:needed])
    refused(small(), path, r"running variances of up\.0 \(darknet's layer 32\) in .* are negative, nothing was loaded")


# ---- what is no such file, and damage -------------------------------------------------------------------------------


def test_what_is_no_darknet_file(tmp_path: Path) -> None:
    model = small()
    torch.save(model.state_dict(), tmp_path / "model.weights")
    refused(model, tmp_path / "model.weights", "no darknet file: .* load_port or model.load_state_dict")
    (tmp_path / "page.weights").write_text("<!DOCTYPE html><html>Not found</html>")
    refused(model, tmp_path / "page.weights", "no darknet file")
    for version in ((-1, 2, 5), (0, -1, 0), (0, 2, -1), (1000, 0, 0), (0, 1000, 0)):
        (tmp_path / "b.weights").write_bytes(struct.pack("<3iQ", *version, 0))
        refused(model, tmp_path / "b.weights", f"begins with the version {'.'.join(map(str, version))}")
    refused(model, tmp_path / "gone.weights", "is not there", FileNotFoundError)
    refused(model, tmp_path, "is a folder", FileNotFoundError)
    refused(model, 3, "path must be a path", TypeError)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("layer", ["backbone.stem1", "backbone.stage2.half2", "head_P5.1", "head_P4.1"])
def test_nan_and_infinity_are_refused_with_their_layer(
    written: tuple[bytes, dict[int, int], Path], layer: str, value: float
) -> None:
    content, ends, folder = written
    at = ends[LAYERS[layer]] - 4  # the last weight
    (folder / "nan.weights").write_bytes(content[:at] + struct.pack("<f", value) + content[at + 4 :])
    name = f"{layer}.weight" if layer.startswith("head") else f"{layer}.conv.weight"
    refused(small(), folder / "nan.weights", f"1 of [0-9]+ numbers in {name} are NaN or infinite in torch.float32")
    if layer != "head_P4.1":  # what is not read is not asked
        (folder / "part.weights").write_bytes((folder / "nan.weights").read_bytes()[: ends[LAYERS[layer]]])
        refused(small(), folder / "part.weights", f"numbers in {name}", partial=True)


def test_a_negative_variance_is_refused(written: tuple[bytes, dict[int, int], Path]) -> None:
    content, _, folder = written
    at = 20 + 4 * 12  # after 4 betas, 4 gammas and 4 means of the first layer
    (folder / "var.weights").write_bytes(content[:at] + struct.pack("<f", -1e-3) + content[at + 4 :])
    refused(small(), folder / "var.weights", r"1 of 4 running variances of backbone\.stem1 \(darknet's layer 0\)")


def test_numbers_too_large_for_the_model_are_refused(tmp_path: Path) -> None:
    model = small()
    model.reduce.conv.weight.data[0, 0] = 1e6
    refused(small().half(), write_darknet(model, tmp_path / "a.weights"), r"reduce\.conv\.weight .* torch\.float16")


@pytest.mark.parametrize("model", [None, "yolo", nn.Conv2d(3, 3, 3), small().state_dict()])
def test_what_is_no_yolo_is_refused(tmp_path: Path, model: Any) -> None:
    path = write_darknet(small(), tmp_path / "a.weights")
    with pytest.raises(TypeError, match="model must be a YoloTiny"):
        read_darknet(model, path)
    with pytest.raises(TypeError, match="model must be a YoloTiny"):
        write_darknet(model, path)


def test_replaced_layers_are_refused(tmp_path: Path) -> None:
    """Copying into a weight that pruning computes anew would do nothing."""
    path, model = write_darknet(small(), tmp_path / "a.weights"), small()
    prune.l1_unstructured(model.reduce.conv, "weight", 0.5)  # type: ignore[no-untyped-call]
    refused(model, path, r"reduce\.conv\.weight is not in the model, Conv2d stands there: read the file into a fresh")
    fused = small()
    fused.backbone.last.norm = nn.Identity()  # type: ignore[assignment]
    refused(fused, path, r"backbone\.last\.norm\.bias is not in the model, Identity stands there")


# ---- writing --------------------------------------------------------------------------------------------------------


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = write_darknet(small(), tmp_path / "a.weights")
    before = path.read_bytes()
    attended = insert_attention(small(), CBAM, "backbone.stage1.merge", hidden=2, report=None)
    broken, large = small(), small().double()
    broken.get_parameter("up.0.norm.bias").data[0] = torch.nan
    large.get_parameter("head_P4.1.weight").data[0] = 1e39
    for model, options, message in (
        (small(2), {}, "no place for attention, and the model has it at feat1, feat2, P5_upsample: keep"),
        (attended, {}, r"has it at backbone\.stage1\.merge: keep"),
        (broken, {}, r"1 of 16 numbers in up\.0\.norm\.bias are NaN or infinite in float32, nothing was written"),
        (large, {}, r"32 of 672 numbers in head_P4\.1\.weight are NaN or infinite"),
        (small(), {"seen": -1}, "seen=-1 must be at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            write_darknet(model, path, **options)
        assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.weights"]
    with pytest.raises(ValueError, match="is a folder"):
        write_darknet(small(), tmp_path)
    with pytest.raises(FileNotFoundError, match="in a folder that is not there"):
        write_darknet(small(), tmp_path / "gone" / "a.weights")


# ---- with attention -------------------------------------------------------------------------------------------------

CHOICES: dict[int, Callable[..., nn.Module]] = {1: article_se, 2: article_cbam, 3: article_eca}


@pytest.mark.parametrize("attention", [*CHOICES.values(), SqueezeExcitation, CBAM, EfficientChannelAttention])
@torch.no_grad()
def test_inserted_attention_leaves_every_bit_of_the_output(tmp_path: Path, attention: Callable[..., nn.Module]) -> None:
    path, images = write_darknet(randomised(yolo_tiny()), tmp_path / "a.weights"), torch.rand(2, 3, 64, 64)
    model = yolo_tiny(0).eval()
    read_darknet(model, path)
    plain = model(images)
    insert_attention(model, attention, PLACES, example=torch.rand(1, 3, 64, 64), init="identity", report=None)
    assert all(torch.equal(a, b) for a, b in zip(model(images), plain, strict=True))
    assert read_darknet(model, path).attention == PLACES  # the file may also be read afterwards
    assert all(torch.equal(a, b) for a, b in zip(model(images), plain, strict=True))


@pytest.mark.parametrize("phi", CHOICES)
@torch.no_grad()
def test_attention_that_was_built_in_leaves_every_bit_of_the_output(tmp_path: Path, phi: int) -> None:
    path, images = write_darknet(randomised(yolo_tiny()), tmp_path / "a.weights"), torch.rand(2, 3, 64, 64)
    plain, read, copy = yolo_tiny(0).eval(), *(yolo_tiny(phi, init="identity").eval() for _ in range(2))  # type: ignore[arg-type]
    read_darknet(plain, path)
    before = copied(read)
    report = read_darknet(read, path)
    assert (report.attention, report.kept) == (PLACES, ())
    copy.load_state_dict(plain.state_dict(), strict=False)
    for model in (read, copy):
        assert all(torch.equal(a, b) for a, b in zip(model(images), plain(images), strict=True))
    attention = [name for name in before if name.startswith(PLACES)]
    assert attention
    assert all(torch.equal(read.state_dict()[name], before[name]) for name in attention)


@torch.no_grad()
def test_attention_inside_the_backbone(tmp_path: Path) -> None:
    plain, model, images = small(), small(), torch.rand(1, 3, 64, 64)
    insert_attention(
        model, SqueezeExcitation, ["backbone.stage*.merge.norm", "reduce", "head_P4.0"], hidden=2, report=None
    )
    report = read_darknet(model, write_darknet(plain, tmp_path / "a.weights"))
    stages = [f"backbone.stage{s}.merge.norm" for s in (1, 2, 3)]
    assert (report.read, list(report.attention)) == (tuple(LAYERS), [*stages, "reduce", "head_P4.0"])
    assert all(torch.equal(a, b) for a, b in zip(model(images), plain(images), strict=True))
