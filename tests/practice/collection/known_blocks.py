"""Residual blocks with attention, in many styles: right ones. The wrong ones are in `known_blocks_wrong`."""

import functools

import torch
from collection.entries import right
from torch import nn
from torch.nn import functional

from cbam_lite.networks import resnet

right("residual block", "ours, basic")(resnet.BasicBlock)
right("residual block", "ours, bottleneck: planes are a quarter of the channels")(resnet.Bottleneck)


def conv(n, m, k, stride=1):
    return nn.Conv2d(n, m, k, stride, k // 2, bias=False)


class Base(nn.Module):
    """The parts of a basic block; the forward of a right one."""

    activation = staticmethod(torch.relu)

    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__()
        self.c1, self.n1 = conv(in_channels, out_channels, 3, stride), nn.BatchNorm2d(out_channels)
        self.c2, self.n2 = conv(out_channels, out_channels, 3), nn.BatchNorm2d(out_channels)
        self.att = attention(out_channels)
        self.skip = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))

    def branch(self, x):
        return self.n2(self.c2(torch.relu(self.n1(self.c1(x)))))

    def forward(self, x):
        return torch.relu(self.skip(x) + self.att(self.branch(x)))


# ---- right -----------------------------------------------------------------------------------------------------------

right("residual block", "a base class")(Base)


@right("residual block", "as torchvision: the downsample comes from outside, planes times expansion")
class TorchvisionBottleneck(nn.Module):
    expansion = 4

    def __init__(self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64, attention=None):
        super().__init__()
        width = int(planes * base_width / 64) * groups
        self.conv1, self.bn1 = nn.Conv2d(inplanes, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample, self.attention = downsample, attention(4 * planes)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.attention(self.bn3(self.conv3(out)))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


@right("residual block", "a bottleneck with `expansion`, given its output channels")
class OwnBottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__()
        mid = out_channels // self.expansion
        layers = [conv(in_channels, mid, 1), nn.BatchNorm2d(mid), nn.ReLU(), conv(mid, mid, 3, stride)]
        layers += [nn.BatchNorm2d(mid), nn.ReLU(), conv(mid, out_channels, 1), nn.BatchNorm2d(out_channels)]
        self.layers = nn.Sequential(*layers, attention(out_channels))
        same = in_channels == out_channels and stride == 1
        self.projection = None if same else conv(in_channels, out_channels, 1, stride)

    def forward(self, x):
        y = self.layers(x)
        y = y + x if self.projection is None else y + self.projection(x)
        return y.clamp_min(0)


@right("residual block", "GroupNorm")
class Grouped(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.n1, self.n2 = nn.GroupNorm(4, out_channels), nn.GroupNorm(4, out_channels)
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.GroupNorm(4, out_channels))


@right("residual block", "shortcut without weights: pixels left out, channels of zeros (option A)")
class ZeroPadded(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.step, self.more = stride, out_channels - in_channels
        del self.skip

    def skip(self, x):
        return functional.pad(x[:, :, :: self.step, :: self.step], (0, 0, 0, 0, 0, self.more))


@right("residual block", "average pooling in front of the projection (ResNet-D)")
class Pooled(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(nn.AvgPool2d(stride), *conv_norm(in_channels, out_channels))


def conv_norm(n, m):
    return conv(n, m, 1), nn.BatchNorm2d(m)


@right("residual block", "functional, weights as parameters")
class Functional(nn.Module):
    def __init__(self, n, m, s, attention):
        super().__init__()
        self.W1, self.W2 = nn.Parameter(torch.randn(m, n, 3, 3)), nn.Parameter(torch.randn(m, m, 3, 3))
        self.gammas, self.betas = nn.Parameter(torch.ones(2, m)), nn.Parameter(torch.zeros(2, m))
        self.register_buffer("running_means", torch.zeros(2, m))
        self.register_buffer("running_vars", torch.ones(2, m))
        self.P = nn.Parameter(torch.randn(m, n, 1, 1)) if s > 1 or n != m else None
        self.s, self.attention = s, attention(m)

    def norm(self, x, n):
        moments = self.running_means[n], self.running_vars[n]
        return functional.batch_norm(x, *moments, self.gammas[n], self.betas[n], self.training)

    def forward(self, x):
        h = functional.relu(self.norm(functional.conv2d(x, self.W1, stride=self.s, padding=1), 0))
        h = self.attention(self.norm(functional.conv2d(h, self.W2, padding=1), 1))
        return functional.relu(h + (x if self.P is None else functional.conv2d(x, self.P, stride=self.s)))


class HandNorm(nn.Module):
    """A batch norm of a few lines."""

    def __init__(self, channels):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            self.running_mean.lerp_(mean.detach(), 0.1)
            self.running_var.lerp_(var.detach(), 0.1)
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return x * self.scale[:, None, None] + self.shift[:, None, None]


@right("residual block", "norms of one's own making")
class OwnNorms(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.n1, self.n2 = HandNorm(out_channels), HandNorm(out_channels)


@right("residual block", "attention handed on by keyword, other names")
class Keywords(nn.Module):
    def __init__(self, *, inp, oup, stride, attn_layer):
        super().__init__()
        self.body = nn.Sequential(conv(inp, oup, 3, stride), nn.BatchNorm2d(oup), nn.ReLU(True))
        self.last = nn.Sequential(conv(oup, oup, 3), nn.BatchNorm2d(oup), nn.Dropout(0.1), attn_layer(channels=oup))
        self.shortcut = nn.Sequential()
        if stride != 1 or inp != oup:
            self.shortcut = nn.Sequential(*[nn.Conv2d(inp, oup, 1, stride), nn.BatchNorm2d(oup)])

    def forward(self, x):
        return (self.last(self.body(x)) + self.shortcut(x)).relu_()


@right("residual block", "all arguments handed on")
class HandedOn(Base):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


@right("residual block", "lazy layers, unusual names with defaults")
class Lazy(nn.Module):
    def __init__(self, n_from=64, n_to=64, jump=1, gates=nn.Identity, eps=1e-5):
        super().__init__()
        self.one, self.two = nn.LazyConv2d(n_to, 3, jump, 1), nn.LazyConv2d(n_to, 3, padding=1)
        self.norms = nn.ModuleList([nn.LazyBatchNorm2d(eps), nn.LazyBatchNorm2d(eps)])
        self.fit = nn.Identity() if (n_from, jump) == (n_to, 1) else nn.LazyConv2d(n_to, 1, jump)
        self.gate = gates(n_to)

    def forward(self, x):
        F = self.norms[0](self.one(x))
        F = self.norms[1](self.two(torch.maximum(F, torch.zeros_like(F))))
        return torch.maximum(self.fit(x) + self.gate(F), torch.zeros_like(F))


right("residual block", "a partial")(functools.partial(Base))


@right("residual block", "pre-activation, the projection behind the first ReLU")
class PreActivated(Base):
    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__(in_channels, out_channels, stride, attention)
        self.n1 = nn.BatchNorm2d(in_channels)
        self.skip = None if in_channels == out_channels and stride == 1 else conv(in_channels, out_channels, 1, stride)

    def forward(self, x):
        h = self.n1(x).relu()
        shortcut = x if self.skip is None else self.skip(h)
        return shortcut + self.att(self.c2(self.n2(self.c1(h)).relu()))
