"""Insertion into networks that were really trained, where their weights and pictures are at hand.

The data are not part of the project. Name their folder with CBAM_LITE_DATA, else ../shared/data beside it is looked at;
without them these tests are skipped.
"""

import functools
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from cbam_lite import CBAM, EfficientChannelAttention, SqueezeExcitation, cat_photo, insert_attention
from cbam_lite.weights import read_weights

DATA = Path(os.environ.get("CBAM_LITE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
NORMALISE = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def needs(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there: name the folder of the real data with CBAM_LITE_DATA")
    return DATA / name


class Block(nn.Module):
    """The block of the CIFAR ResNets; a shortcut that halves takes every second pixel and pads channels with zeros."""

    def __init__(self, in_planes: int, planes: int) -> None:
        super().__init__()
        self.stride = planes // in_planes
        self.conv1 = nn.Conv2d(in_planes, planes, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def forward(self, x: Tensor) -> Tensor:
        F = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.stride == 2:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, F.shape[1] // 4, F.shape[1] // 4))
        return (F + x).relu()


class CifarResNet(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, (before, planes) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            blocks = [Block(before if index == 0 else planes, planes) for index in range((depth - 2) // 6)]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return self.linear(x.mean((2, 3)))


@functools.cache
def cifar_test_images(n: int) -> tuple[Tensor, Tensor]:
    """The first n / 10 test pictures of each class, and their classes in alphabetical order."""
    images, labels, classes = [], [], []
    with tarfile.open(needs("cifar10-jpeg.tar")) as archive:
        names = sorted(name for name in archive.getnames() if "test/" in name and name.endswith(".jpg"))
        for name in names:
            kind = name.split("/")[-2]
            if kind not in classes:
                classes.append(kind)
            if labels.count(classes.index(kind)) < n // 10:
                picture = Image.open(io.BytesIO(archive.extractfile(name).read())).convert("RGB")  # type: ignore[union-attr]
                images.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255)
                labels.append(classes.index(kind))
    return NORMALISE(torch.stack(images)), torch.tensor(labels)


def trained(depth: int, file: str) -> CifarResNet:
    model = CifarResNet(depth)
    weights = read_weights(needs("cifar-resnets") / file)
    model.load_state_dict({name.removeprefix("module."): tensor for name, tensor in weights.items()})
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    images, labels = cifar_test_images(1000)
    return (model(images).argmax(1) == labels).float().mean().item()


def places(model: CifarResNet) -> list[str]:
    return [name for name, _ in model.named_modules() if name.endswith(".bn2")]


@pytest.mark.parametrize("attention", [CBAM, SqueezeExcitation, EfficientChannelAttention])
@torch.no_grad()
def test_trained_cifar_network_keeps_every_output_with_the_identity(attention: type[nn.Module]) -> None:
    model = trained(20, "resnet20-12fca82f.th")
    images, _ = cifar_test_images(1000)
    before = model(images)
    options = {} if attention is EfficientChannelAttention else {"reduction": 4}
    insert_attention(model, attention, places(model), report=None, **options)
    assert torch.equal(model(images), before)


def test_trained_cifar_network_loses_its_accuracy_to_fresh_cbam() -> None:
    model = trained(20, "resnet20-12fca82f.th")
    before = accuracy(model)
    fresh = insert_attention(model, CBAM, places(model), init="default", report=None, reduction=4)
    after = accuracy(fresh.eval())
    assert before == pytest.approx(0.804, abs=0.01)  # the numbers that the chapter on networks tells
    assert after == pytest.approx(0.154, abs=0.02)


def test_imagenet_squeezenet_sees_the_cat_with_and_without_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(needs("torch_home")))
    model = torchvision.models.squeezenet1_0(weights="IMAGENET1K_V1").eval()
    image = torch.nn.functional.interpolate(NORMALISE(cat_photo())[None], (224, 224), mode="bilinear")
    with torch.no_grad():
        before = model(image)
        insert_attention(model, CBAM, ["features.5.expand3x3", "features.12.expand3x3"], report=None)
        assert torch.equal(model(image), before)
    assert before.argmax().item() in range(281, 286)  # the cats of ImageNet
