"""Small residual networks without attention, with the names that torchvision gives its own: what attention is put into.

They are plain PyTorch and independent of `cbam_lite.networks`, so that the judge does not lean on what it judges.
"""

import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """relu(x + bn2(conv2(relu(bn1(conv1 x)))))"""

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """relu(x + bn3(conv3(relu(bn2(conv2(relu(bn1(conv1 x))))))))"""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """Four stages of 4, 8, 16 and 32 planes for images (B, 3, H, W) -> (B, 5)."""

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], depths: Sequence[int]) -> None:
        super().__init__()
        self.inplanes = 8
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 4, depths[0], 1)
        self.layer2 = self._make_layer(block, 8, depths[1], 2)
        self.layer3 = self._make_layer(block, 16, depths[2], 2)
        self.layer4 = self._make_layer(block, 32, depths[3], 1)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(32 * block.expansion, 5)

    def _make_layer(
        self, block: type[BasicBlock] | type[Bottleneck], planes: int, depth: int, stride: int
    ) -> nn.Sequential:
        blocks: list[nn.Module] = []
        for n in range(depth):
            s, out, down = stride if n == 0 else 1, planes * block.expansion, None
            if s != 1 or self.inplanes != out:
                down = nn.Sequential(nn.Conv2d(self.inplanes, out, 1, s, bias=False), nn.BatchNorm2d(out))
            blocks.append(block(self.inplanes, planes, s, down))
            self.inplanes = out
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def plain(name: str, kind: str) -> nn.Module | None:
    """A small network, "basic" or "bottleneck", of our own; or of a library whose classes a student may ask for.

    torchvision's only if it is imported already: a student who asks for its classes has imported it.
    """
    depths = (2, 1, 1, 1) if kind == "basic" else (1, 2, 1, 1)
    if name == "plain":
        return ResNet(BasicBlock if kind == "basic" else Bottleneck, depths)
    if name == "cbam_lite":
        ours = sys.modules["cbam_lite.networks.resnet"]
        block = ours.BasicBlock if kind == "basic" else ours.Bottleneck
        return ours.ResNet(block, depths, num_classes=5, stem="half", planes=4, group_width=64)
    module = sys.modules.get("torchvision.models.resnet")
    if module is None:
        return None
    return ResNet(module.BasicBlock if kind == "basic" else module.Bottleneck, depths)
