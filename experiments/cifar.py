"""CIFAR-10 as JPEG files in one archive, and the ResNets that Yerlan Idelbayev trained on CIFAR-10 (BSD licence).

The archive holds ``train/CLASS/*.jpg`` and ``test/CLASS/*.jpg``; the weights are those of
https://github.com/akamaster/pytorch_resnet_cifar10. Neither is part of this project.
"""

import functools
import io
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from cbam_lite.networks.weights import read_weights
from cbam_lite.training.checkpoints import write_whole
from cbam_lite.training.images import LabelledImages

ARCHIVE = "cifar10-jpeg.tar"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def is_there(data: Path) -> bool:
    return (data / ARCHIVE).is_file()


def read_archive(data: Path, part: str) -> LabelledImages:
    """All images of "train" or "test", in the order of their names."""
    images, labels = [], []
    with tarfile.open(data / ARCHIVE) as archive:
        members = sorted(
            (member for member in archive.getmembers() if member.name.startswith(f"{part}/") and member.isfile()),
            key=lambda member: member.name,
        )
        for member in members:
            content = archive.extractfile(member)
            assert content is not None
            images.append(np.array(Image.open(io.BytesIO(content.read())).convert("RGB")))
            labels.append(CLASSES.index(member.name.split("/")[1]))
    return LabelledImages(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(labels), CLASSES)


@functools.cache
def cached(data: Path, part: str, work: Path) -> LabelledImages:
    """`read_archive`, kept as one file in `work`, because opening 50,000 small files takes longer than a run."""
    path = work / f"cifar10-{part}.pt"
    if not path.is_file():
        all_of_them = read_archive(data, part)
        content = io.BytesIO()
        torch.save({"images": all_of_them.images, "labels": all_of_them.labels}, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.getvalue())  # another run may be reading or writing it
    kept = torch.load(path, weights_only=True)
    return LabelledImages(kept["images"], kept["labels"], CLASSES)


def subset(data: Path, images: int, test: int, seed: int, work: Path) -> tuple[LabelledImages, LabelledImages]:
    """Training images drawn at random by the seed, and test images, which are the same for every seed."""
    parts = []
    for part, n, draw in (("train", images, seed), ("test", test, 0)):
        all_of_them = cached(data, part, work)
        order = torch.randperm(len(all_of_them), generator=torch.Generator().manual_seed(draw))
        parts.append(all_of_them.take(order[:n]))
    return parts[0], parts[1]


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
    """(B, 3, 32, 32), RGB from 0 to 1 -> (B, 10). It subtracts mean and deviation of ImageNet, as in its training."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        for stage, (before, planes) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
            blocks = [Block(before if index == 0 else planes, planes) for index in range((depth - 2) // 6)]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1((x - self.mean) / self.deviation)).relu()
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return self.linear(x.mean((2, 3)))


def trained_resnet20(data: Path) -> CifarResNet:
    """ResNet-20 with its trained weights, in eval mode."""
    model = CifarResNet(20)
    weights = read_weights(data / "cifar-resnets" / "resnet20-12fca82f.th")
    model.load_state_dict({name.removeprefix("module."): tensor for name, tensor in weights.items()})
    return model.eval()
