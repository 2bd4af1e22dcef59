"""A second held-out collection, written without sight of the judges: residual blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce

import torch
import torch.nn as nn
import torch.nn.functional as F
from collection.entries import right, wrong
from torch import Tensor

# Residual block: right.


@right("residual block", "torchvision")
class BasicBlockWithGate(nn.Module):
    """The basic block of torchvision with one more line."""

    expansion = 1

    def __init__(self, inplanes, planes, stride=1, attention=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.attention = attention(planes) if attention else nn.Identity()
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.attention(self.bn2(self.conv2(out)))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


@right("residual block", "bottleneck")
class NarrowWaist(nn.Module):
    """1x1, 3x3, 1x1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, attention=nn.Identity):
        super().__init__()
        waist = max(out_channels // 4, 1)
        self.conv1, self.bn1 = nn.Conv2d(in_channels, waist, 1, bias=False), nn.BatchNorm2d(waist)
        self.conv2, self.bn2 = nn.Conv2d(waist, waist, 3, stride, 1, bias=False), nn.BatchNorm2d(waist)
        self.conv3, self.bn3 = nn.Conv2d(waist, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.gate = attention(out_channels)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2)):
            y = norm(conv(y)).relu()
        return torch.relu(self.shortcut(x) + self.gate(self.bn3(self.conv3(y))))


class Added(nn.Module):
    """The sum of what its branches give."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return sum(branch(x) for branch in self.branches)


@right("residual block", "combinators")
def summed_branches(in_channels, out_channels, stride=1, attention=nn.Identity):
    """A block out of Sequential and Added alone."""
    conv = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
    branch = nn.Sequential(
        conv(in_channels, out_channels, stride=stride),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        conv(out_channels, out_channels),
        nn.BatchNorm2d(out_channels),
        attention(out_channels),
    )
    shortcut = nn.Sequential()
    if (in_channels, 1) != (out_channels, stride):
        shortcut.append(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False))
        shortcut.append(nn.BatchNorm2d(out_channels))
    return nn.Sequential(Added(branch, shortcut), nn.ReLU())


@right("residual block", "ModuleDict")
class DictionaryBlock(nn.Module):
    """Every layer under its name in one dictionary."""

    def __init__(self, c_in, c_out, stride, attention):
        super().__init__()
        layers = {
            "in": nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1),
            "in_norm": nn.BatchNorm2d(c_out),
            "out": nn.Conv2d(c_out, c_out, 3, padding=1),
            "out_norm": nn.BatchNorm2d(c_out),
            "gate": attention(c_out),
        }
        if stride > 1 or c_in != c_out:
            layers["skip"] = nn.Conv2d(c_in, c_out, kernel_size=1, stride=stride)
            layers["skip_norm"] = nn.BatchNorm2d(c_out)
        self.layers = nn.ModuleDict(layers)

    def run(self, x, *names):
        return reduce(lambda h, name: self.layers[name](h), names, x)

    def forward(self, x):
        hidden = self.run(x, "in", "in_norm").relu()
        skip = self.run(x, "skip", "skip_norm") if "skip" in self.layers else x
        return (skip + self.run(hidden, "out", "out_norm", "gate")).relu()


@right("residual block", "raw weights")
class RawWeightsBlock(nn.Module):
    """Kernels as plain parameters."""

    def __init__(self, in_channels, out_channels, stride=1, make_attention=None):
        super().__init__()
        self.stride = stride
        self.k1 = nn.Parameter(nn.init.kaiming_normal_(torch.empty(out_channels, in_channels, 3, 3)))
        self.k2 = nn.Parameter(nn.init.kaiming_normal_(torch.empty(out_channels, out_channels, 3, 3)))
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_channels) for _ in range(2))
        change = stride != 1 or in_channels != out_channels
        self.k_s = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1) / in_channels**0.5) if change else None
        self.att = nn.Identity() if make_attention is None else make_attention(out_channels)

    def forward(self, x):
        h = F.relu(self.norms[0](F.conv2d(x, self.k1, stride=self.stride, padding=1)))
        h = self.att(self.norms[1](F.conv2d(h, self.k2, padding=1)))
        s = x if self.k_s is None else F.conv2d(x, self.k_s, stride=self.stride)
        return F.relu(h + s)


class ResidualBase(nn.Module):
    """relu(shortcut(x) + branch(x)) of any branch."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.project = c_in != c_out or stride != 1
        if self.project:
            self.projection = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.projection_norm = nn.BatchNorm2d(c_out)

    def branch(self, x):
        raise NotImplementedError

    def forward(self, x):
        shortcut = self.projection_norm(self.projection(x)) if self.project else x
        return torch.relu(shortcut + self.branch(x))


@right("residual block", "inheritance")
class InheritedBlock(ResidualBase):
    """A basic branch with attention."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__(in_channels, out_channels, stride)
        self.conv_a = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm_a = nn.BatchNorm2d(out_channels)
        self.conv_b = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm_b = nn.BatchNorm2d(out_channels)
        self.attend = attention(out_channels)

    def branch(self, x):
        return self.attend(self.norm_b(self.conv_b(torch.relu(self.norm_a(self.conv_a(x))))))


@right("residual block", "pre-activation")
class PreActivationGated(nn.Module):
    """Norm and ReLU come first; nothing follows the addition."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(in_channels), nn.Conv2d(in_channels, out_channels, 3, stride, 1)
        self.bn2, self.conv2 = nn.BatchNorm2d(out_channels), nn.Conv2d(out_channels, out_channels, 3, 1, 1)
        self.attention = attention(out_channels)
        self.proj = None
        if stride != 1 or in_channels != out_channels:
            self.proj = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x):
        y = self.conv1(F.relu(self.bn1(x)))
        y = self.attention(self.conv2(F.relu(self.bn2(y))))
        return y + (x if self.proj is None else self.proj(x))


@dataclass
class BlockSpec:
    """All that a block needs to know."""

    inputs: int
    outputs: int
    stride: int = 1
    attention: Callable[[int], nn.Module] | None = None

    @property
    def keeps_shape(self) -> bool:
        return self.stride == 1 and self.inputs == self.outputs


class SpecBlock(nn.Module):
    """A block from a BlockSpec."""

    def __init__(self, spec: BlockSpec):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(spec.inputs, spec.outputs, 3, spec.stride, 1, bias=False), nn.BatchNorm2d(spec.outputs), nn.ReLU()
        )
        self.tail = nn.Sequential(
            nn.Conv2d(spec.outputs, spec.outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(spec.outputs)
        )
        if spec.attention is not None:
            self.tail.add_module("attention", spec.attention(spec.outputs))
        self.side = nn.Identity()
        if not spec.keeps_shape:
            pick = nn.Conv2d(spec.inputs, spec.outputs, 1, spec.stride, bias=False)
            self.side = nn.Sequential(pick, nn.BatchNorm2d(spec.outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.add(self.side(x), self.tail(self.stem(x))))


@right("residual block", "dataclass and factory")
def block_from_spec(in_channels: int, out_channels: int, stride: int = 1, attention=None) -> nn.Module:
    """Build the block that the spec describes."""
    return SpecBlock(BlockSpec(in_channels, out_channels, stride, attention))


# Residual block: wrong.


class UsualLayers(nn.Module):
    """The layers of a basic block; what runs when is left to the subclass."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.att = attention(out_channels)
        self.skip = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )


@wrong("residual block", "attention_after_addition")
class GateTheSum(UsualLayers):
    """Two convolutions, the shortcut, attention."""

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out = out + self.skip(x)
        out = self.att(out)
        return F.relu(out)


@wrong("residual block", "attention_on_shortcut")
class GateTheSkip(UsualLayers):
    """Two convolutions and an attended shortcut."""

    def forward(self, x):
        residual = self.att(self.skip(x))
        return F.relu(residual + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


@wrong("residual block", "attention_before_last_norm")
def sequential_gate_then_norm(in_channels, out_channels, stride=1, attention=nn.Identity):
    """A block of Sequential and Added."""
    branch = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
        attention(out_channels),
        nn.BatchNorm2d(out_channels),
    )
    shortcut = nn.Identity()
    if stride != 1 or in_channels != out_channels:
        shortcut = nn.Conv2d(in_channels, out_channels, 1, stride)
    return nn.Sequential(Added(shortcut, branch), nn.ReLU())


@wrong("residual block", "attention_after_relu")
class GateAtTheEnd(ResidualBase):
    """The base class adds; attention comes on top."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__(in_channels, out_channels, stride)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.attend = attention(out_channels)

    def branch(self, x):
        return self.body(x)

    def forward(self, x):
        return self.attend(super().forward(x))


@wrong("residual block", "attention_not_called")
class ForgottenGate(nn.Module):
    """A bottleneck."""

    def __init__(self, inplanes, planes, stride=1, attention=None):
        super().__init__()
        width = max(planes // 4, 1)
        self.reduce = nn.Sequential(nn.Conv2d(inplanes, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.expand = nn.Sequential(nn.Conv2d(width, planes, 1, bias=False), nn.BatchNorm2d(planes))
        self.attention = attention(planes) if attention is not None else None
        self.match = None
        if stride != 1 or inplanes != planes:
            self.match = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        y = self.expand(self.spatial(self.reduce(x)))
        if self.match is not None:
            x = self.match(x)
        return F.relu(x + y)


@wrong("residual block", "attention_twice")
class TwoGates(UsualLayers):
    """Attention wherever features are normalised."""

    def forward(self, x):
        out = F.relu(self.att(self.bn1(self.conv1(x))))
        return F.relu(self.skip(x) + self.att(self.bn2(self.conv2(out))))


@wrong("residual block", "projection_on_every_shortcut")
class AlwaysProjects(nn.Module):
    """Two convolutions and a 1x1 convolution beside them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, attention=nn.Identity) -> None:
        super().__init__()
        self.left = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            attention(out_channels),
        )
        self.right = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.left(x) + self.right(x))


@wrong("residual block", "no_shortcut")
class StackedOnly(UsualLayers):
    """Keep x as the identity, run the layers."""

    def forward(self, x):
        identity = self.skip(x)
        out = self.bn1(self.conv1(x)).relu()
        identity = self.att(self.bn2(self.conv2(out)))
        return F.relu(identity)


@wrong("residual block", "no_relu_after_addition")
class LinearEnding(ResidualBase):
    """A branch in a base class, the sum given on."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__(in_channels, out_channels, stride)
        self.first = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)])
        self.gate = attention(out_channels)

    def branch(self, x):
        return self.gate(self.norms[1](self.second(self.norms[0](self.first(x)).relu())))

    def forward(self, x):
        shortcut = self.projection_norm(self.projection(x)) if self.project else x
        return shortcut + self.branch(x)


@wrong("residual block", "relu_before_addition")
class EagerActivation(UsualLayers):
    """ReLU, then add."""

    def forward(self, x):
        act = F.relu
        out = act(self.bn1(self.conv1(x)))
        out = act(self.att(self.bn2(self.conv2(out))))
        return out + self.skip(x)


@wrong("residual block", "one_norm_for_two")
class ReusedNorm(nn.Module):
    """The same number of channels, the same norm."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.attention = attention(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x):
        out = self.norm(self.conv1(x)).relu()
        out = self.norm(self.conv2(out))
        return (self.attention(out) + self.shortcut(x)).relu()


@wrong("residual block", "stride_ignored")
def spec_without_stride(in_channels, out_channels, stride=1, attention=None):
    """Describe the block, build it."""
    return SpecBlock(BlockSpec(in_channels, out_channels, attention=attention))


@wrong("residual block", "wrong_channels")
class GateOfTheWaist(nn.Module):
    """A bottleneck that attends to its output."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__()
        waist = max(out_channels // 4, 1)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, waist, 1, bias=False),
            nn.BatchNorm2d(waist),
            nn.ReLU(),
            nn.Conv2d(waist, waist, 3, stride, 1, bias=False),
            nn.BatchNorm2d(waist),
            nn.ReLU(),
            nn.Conv2d(waist, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            attention(waist),
        )
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.body(x))


@wrong("residual block", "input_changed")
class AddsInPlace(nn.Module):
    """Save memory: add to what is there."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            attention(out_channels),
        )
        self.skip = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x):
        branch = self.branch(x)
        shortcut = self.skip(x)
        if shortcut is x:
            return x.add_(branch).relu_()
        return F.relu(shortcut + branch)
