"""More residual blocks, written to find holes in the judge: other norms and libraries, convolutions by hand."""

import timm
import torch
import torchvision
from collection.entries import right, wrong
from collection.known_blocks import Base, HandNorm, conv
from torch import nn
from torch.nn import functional

right("residual block", "timm's basic block with attn_layer")(timm.models.resnet.BasicBlock)
right("residual block", "timm's bottleneck with attn_layer")(timm.models.resnet.Bottleneck)


@right("residual block", "torchvision's block, attention behind bn2")
class BehindBn2(torchvision.models.resnet.BasicBlock):
    def __init__(self, in_c, out_c, stride=1, attention=None):
        same = in_c == out_c and stride == 1
        down = None if same else nn.Sequential(nn.Conv2d(in_c, out_c, 1, stride), nn.BatchNorm2d(out_c))
        super().__init__(in_c, out_c, stride, down)
        self.bn2 = nn.Sequential(self.bn2, attention(out_c))


class HandConv(nn.Module):
    """A convolution by unfolding."""

    def __init__(self, n, m, stride):
        super().__init__()
        self.W, self.stride = nn.Parameter(torch.randn(m, n, 3, 3)), stride

    def forward(self, x):
        B, C, H, W = x.shape
        windows = functional.unfold(x, 3, padding=1, stride=self.stride)
        return (self.W.flatten(1) @ windows).view(B, -1, (H - 1) // self.stride + 1, (W - 1) // self.stride + 1)


@right("residual block", "convolutions by unfolding")
class Unfolded(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.c1, self.c2 = HandConv(in_channels, out_channels, stride), HandConv(out_channels, out_channels, 1)


@right("residual block", "convolutions and norms by hand")
class AllByHand(Unfolded):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.n1, self.n2 = HandNorm(out_channels), HandNorm(out_channels)


def layer_norm(x):
    return functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


@right("residual block", "LayerNorm over channels, without weights")
class LayerNormed(Base):
    def branch(self, x):
        return layer_norm(self.c2(layer_norm(self.c1(x)).relu()))


@right("residual block", "InstanceNorm")
class InstanceNormed(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.n1 = nn.InstanceNorm2d(out_channels, affine=True)
        self.n2 = nn.InstanceNorm2d(out_channels, affine=True)


@right("residual block", "norms without running statistics, also on the shortcut")
class BatchStatistics(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.track_running_stats, m.running_mean, m.running_var = False, None, None


@right("residual block", "whole blocks left out in training (stochastic depth), dropout")
class LeftOut(Base):
    def branch(self, x):
        h = functional.dropout(torch.relu(self.n1(self.c1(x))), 0.2, self.training)
        return self.n2(self.c2(h))

    def forward(self, x):
        F = self.att(self.branch(x))
        if self.training:
            F = F * (torch.rand(len(F), 1, 1, 1, dtype=F.dtype) > 0.2)
        return torch.relu(F + self.skip(x))


@right("residual block", "pre-activated bottleneck with GroupNorm")
class GroupedPreActivation(nn.Module):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__()
        mid = out_channels // 4
        layers = []
        for n, m, k, s in ((in_channels, mid, 1, 1), (mid, mid, 3, stride), (mid, out_channels, 1, 1)):
            layers += [nn.GroupNorm(4, n), nn.ReLU(), conv(n, m, k, s)]
        self.F = nn.Sequential(*layers, attention(out_channels))
        self.skip = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.skip = conv(in_channels, out_channels, 1, stride)

    def forward(self, x):
        return self.F(x) + self.skip(x)


@right("residual block", "the ReLU as a product")
class ReluByProduct(Base):
    def branch(self, x):
        h = self.n1(self.c1(x))
        return self.n2(self.c2(h * (h > 0)))


@right("residual block", "a function; weight normalisation")
def with_weight_norm(in_channels, out_channels, stride, attention):
    block = Base(in_channels, out_channels, stride, attention)
    block.c1 = nn.utils.parametrizations.weight_norm(block.c1)
    return block


@right("residual block", "maximum pooling in front of the projection")
class MaximumPooled(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(nn.MaxPool2d(stride), conv(in_channels, out_channels, 1))


@wrong("residual block", "one_norm_for_two")
class NormOfTheShortcut(Base):
    """The shortcut has the norm of the branch."""

    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        if not isinstance(self.skip, nn.Identity):
            self.skip[1] = self.n2


@wrong("residual block", "detached")
class DetachedShortcut(Base):
    def forward(self, x):
        return torch.relu(self.att(self.branch(x)) + self.skip(x).detach())


@wrong("residual block", "attention_not_called")
class WithProjectionOnly(Base):
    def forward(self, x):
        F = self.branch(x)
        return torch.relu((F if isinstance(self.skip, nn.Identity) else self.att(F)) + self.skip(x))


@wrong("residual block", "attention_not_called")
class InTrainingOnly(Base):
    def forward(self, x):
        F = self.branch(x)
        return torch.relu((self.att(F) if self.training else F) + self.skip(x))


@wrong("residual block", "wrong_block_shape")
class StrideTwice(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.c2 = conv(out_channels, out_channels, 3, stride)


@wrong("residual block", "wrong_block_shape")
class WithoutPadding(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.c2 = nn.Conv2d(out_channels, out_channels, 3)


@wrong("residual block", "wrong_block_shape")
class Concatenated(Base):
    def forward(self, x):
        return torch.relu(torch.cat([self.att(self.branch(x)), self.skip(x)], 1))


@wrong("residual block", "norm_missing")
class UnfoldedWithoutNorm(Unfolded):
    def branch(self, x):
        return self.n2(self.c2(torch.relu(self.c1(x))))


@wrong("residual block", "wrong_channels")
class OfTheWaist(GroupedPreActivation):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.F[-1] = attention(out_channels // 4)


@wrong("residual block", "attention_twice")
class OneOnEachWay(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.beside = attention(out_channels)

    def forward(self, x):
        return torch.relu(self.att(self.branch(x)) + self.beside(self.skip(x)))


@wrong("residual block", "gate_for_map")
class TakenForAGate(Base):
    def forward(self, x):
        F = self.branch(x)
        return torch.relu(F * torch.sigmoid(self.att(F)) + self.skip(x))
