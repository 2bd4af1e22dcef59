"""Residual blocks with attention that have one known mistake; most are a right one with one method changed."""

import torch
from collection.entries import wrong
from collection.known_blocks import Base, conv
from torch import nn
from torch.nn import functional


@wrong("residual block", "no_attention_parameter")
class NoParameter(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv = conv(in_channels, out_channels, 3, stride)

    def forward(self, x):
        return self.conv(x)


@wrong("residual block", "attention_not_made")
class CalledWithTheMap(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        del self.att
        self.att = attention


class Pure(nn.Module):
    """Never made, only called."""

    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__()
        self.branch, self.attention = conv(in_channels, out_channels, 3, stride), attention

    def forward(self, x):
        return torch.relu(x + self.attention(self.branch(x)))


wrong("residual block", "attention_not_made")(Pure)
wrong("residual block", "not_a_class")(Base(16, 16, 1, nn.Identity))


@wrong("residual block", "not_registered")
class MadeInForward(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.make, self.out = attention, out_channels

    def forward(self, x):
        return torch.relu(self.skip(x) + self.make(self.out)(self.branch(x)))


@wrong("residual block", "not_registered")
class InAList(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, nn.Identity)
        del self.att
        self.att = [attention(out_channels)]

    def forward(self, x):
        return torch.relu(self.skip(x) + self.att[0](self.branch(x)))


@wrong("residual block", "attention_after_addition")
class Behind(Base):
    def forward(self, x):
        return self.att(self.skip(x) + self.branch(x)).relu()


@wrong("residual block", "attention_on_shortcut")
class Beside(Base):
    def forward(self, x):
        return torch.relu(self.att(self.skip(x)) + self.branch(x))


@wrong("residual block", "attention_on_input")
class BeforeAll(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.att = attention(in_channels)

    def forward(self, x):
        return torch.relu(self.skip(x) + self.branch(self.att(x)))


@wrong("residual block", "attention_before_convolution")
class BetweenNormAndRelu(Base):
    def branch(self, x):
        return self.n2(self.c2(self.att(self.n1(self.c1(x))).relu()))

    def forward(self, x):
        return torch.relu(self.skip(x) + self.branch(x))


@wrong("residual block", "attention_after_relu")
class InTheNarrowPart(nn.Module):
    """In the waist of a bottleneck."""

    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__()
        mid = out_channels // 4
        self.a = nn.Sequential(conv(in_channels, mid, 1), nn.BatchNorm2d(mid), nn.ReLU())
        self.b = nn.Sequential(conv(mid, mid, 3, stride), nn.BatchNorm2d(mid), nn.ReLU(), attention(mid))
        self.c = nn.Sequential(conv(mid, out_channels, 1), nn.BatchNorm2d(out_channels))
        self.skip = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))

    def forward(self, x):
        return torch.relu(self.skip(x) + self.c(self.b(self.a(x))))


@wrong("residual block", "attention_before_last_norm")
class NormLast(Base):
    def forward(self, x):
        h = self.att(self.c2(torch.relu(self.n1(self.c1(x)))))
        return (self.n2(h) + self.skip(x)).relu()


@wrong("residual block", "attention_unused")
class ResultLost(Base):
    def forward(self, x):
        F = self.branch(x)
        self.att(F)
        return torch.relu(F + self.skip(x))


@wrong("residual block", "attention_added")
class AddedTwice(Base):
    def forward(self, x):
        F = self.branch(x)
        return torch.relu(F + self.att(F) + self.skip(x))


@wrong("residual block", "map_times_attention")
class ScaledTwice(Base):
    def forward(self, x):
        F = self.branch(x)
        return torch.relu(F * self.att(F) + self.skip(x))


@wrong("residual block", "no_shortcut")
class BranchAdded(Base):
    """The branch is added to itself: `identity` is assigned too late."""

    def forward(self, x):
        F = identity = self.branch(x)
        return torch.relu(self.att(F) + identity)


@wrong("residual block", "relu_before_addition")
class ReluInBranch(Base):
    """The ReLU stands before attention."""

    def branch(self, x):
        return super().branch(x).relu()


@wrong("residual block", "relu_before_addition")
class ReluTooEarly(Base):
    def forward(self, x):
        return self.att(self.branch(x)).relu() + self.skip(x)


@wrong("residual block", "input_changed")
class InPlaceOnX(Base):
    """A ReLU in place on x, which the shortcut then adds."""

    def branch(self, x):
        return super().branch(x.relu_())


@wrong("residual block", "no_relu_after_addition")
class NoLastRelu(Base):
    def forward(self, x):
        return self.att(self.branch(x)) + self.skip(x)


@wrong("residual block", "other_activation_in_block")
class LeakyEnd(Base):
    def forward(self, x):
        return functional.leaky_relu(self.att(self.branch(x)) + self.skip(x), 0.1)


@wrong("residual block", "other_activation_in_block")
class GeluInside(Base):
    def branch(self, x):
        return self.n2(self.c2(functional.gelu(self.n1(self.c1(x)))))


@wrong("residual block", "no_relu_between")
class NoReluInside(Base):
    def branch(self, x):
        return self.n2(self.c2(self.n1(self.c1(x))))


@wrong("residual block", "norm_missing")
class OneNormOnly(Base):
    def branch(self, x):
        return self.n2(self.c2(torch.relu(self.c1(x))))


@wrong("residual block", "no_last_norm")
class LastNormForgotten(Base):
    def branch(self, x):
        return self.c2(torch.relu(self.n1(self.c1(x))))


@wrong("residual block", "relu_before_norm")
class ReluThenNorm(Base):
    def branch(self, x):
        return self.n2(self.c2(self.n1(torch.relu(self.c1(x)))))


@wrong("residual block", "one_convolution")
class OneConvolution(Base):
    def branch(self, x):
        return self.n1(self.c1(x))


@wrong("residual block", "norm_on_shortcut")
class NormedShortcut(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        if isinstance(self.skip, nn.Identity):
            self.skip = nn.BatchNorm2d(out_channels)


@wrong("residual block", "projection_on_every_shortcut")
class EveryShortcut(Base):
    """Of a founding article."""

    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.skip = nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


@wrong("residual block", "no_projection")
class ProjectionForChannelsOnly(Base):
    """Stride 2 with equal channels is forgotten."""

    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        if in_channels == out_channels:
            self.skip = nn.Identity()


@wrong("residual block", "no_projection")
class AddedIfItFits(Base):
    """x is left out where the shapes differ."""

    def forward(self, x):
        F = self.att(self.branch(x))
        return torch.relu(F + x if F.shape == x.shape else F)


@wrong("residual block", "projection_too_wide")
class WideShortcut(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        if not isinstance(self.skip, nn.Identity):
            self.skip = conv(in_channels, out_channels, 3, stride)


@wrong("residual block", "relu_on_shortcut")
class ReluOnShortcut(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        if not isinstance(self.skip, nn.Identity):
            self.skip.append(nn.ReLU())


@wrong("residual block", "stride_ignored")
class BranchWithoutStride(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.c1 = conv(in_channels, out_channels, 3)


@wrong("residual block", "detached")
class Detached(Base):
    def forward(self, x):
        with torch.no_grad():
            F = self.att(self.branch(x))
        return torch.relu(F + self.skip(x))


@wrong("residual block", "unfilled")
class NoForward(Base):
    def forward(self, x):
        raise NotImplementedError
