"""ECA, weights that no shape tells apart, and what a round of thinking added to `known_channel`."""

import math

import torch
import torch.nn.functional as fn
from collection.entries import right, wrong
from collection.known_channel import a, attention, m, se
from torch import nn

import cbam_lite

right("ECA", "ours")(cbam_lite.EfficientChannelAttention)


# ---- ECA -------------------------------------------------------------------------------------------------------------


@right("ECA", "as released: Conv1d, k from C")
class Eca(nn.Module):
    def __init__(self, channels, gamma=2, b=1):
        super().__init__()
        t = int(abs((math.log2(channels) + b) / gamma))
        k = t if t % 2 else t + 1
        self.conv = nn.Conv1d(1, 1, kernel_size=k, padding=(k - 1) // 2, bias=False)

    def forward(self, x):
        y = x.mean((2, 3), keepdim=True)
        y = self.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * y.sigmoid().expand_as(x)


@right("ECA", "k given, no channels")
class EcaK(nn.Module):
    def __init__(self, k_size=5):
        super().__init__()
        self.w = nn.Parameter(torch.randn(k_size))

    def forward(self, x):
        a = fn.pad(x.mean((2, 3)), (len(self.w) // 2,) * 2)
        return x * (a.unfold(1, len(self.w), 1) @ self.w).sigmoid()[:, :, None, None]


right("ECA", "a built module")(EcaK(7))


@right("ECA", "a function of the map and the kernel")
def eca_function(F, kernel):
    return F * fn.conv1d(F.mean((2, 3))[:, None], kernel, padding="same")[:, 0, :, None, None].sigmoid()


@right("ECA", "with a bias")
class EcaBias(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x):
        return x * self.conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()[..., None, None]


def eca(key, gate, layers=lambda c: nn.Conv1d(1, 1, 3, padding=1, bias=False)):
    """Register ECA with one thing wrong."""

    class Wrong(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.f = layers(channels)

        def forward(self, x):
            return x * gate(x, self.f)[:, :, None, None]

    Wrong.__name__ = key
    return wrong("ECA", key)(Wrong)


def across(d, f):
    return f(d[:, None])[:, 0]


eca(
    "circular_padding",
    lambda x, f: across(a(x), f).sigmoid(),
    lambda c: nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"),
)
eca(
    "edge_padding",
    lambda x, f: across(a(x), f).sigmoid(),
    lambda c: nn.Conv1d(1, 1, 3, padding=1, padding_mode="replicate"),
)
eca("even_kernel_shift", lambda x, f: across(a(x), f)[:, :-1].sigmoid(), lambda c: nn.Conv1d(1, 1, 4, padding=2))
eca("even_kernel_shift", lambda x, f: across(fn.pad(a(x), (2, 0)), f).sigmoid(), lambda c: nn.Conv1d(1, 1, 3))
eca("wrong_axis", lambda x, f: f(a(x)[:, :, None])[:, :, 0].sigmoid(), lambda c: nn.Conv1d(c, c, 3, padding=1))
eca("kernel_of_size_1", lambda x, f: across(a(x), f).sigmoid(), lambda c: nn.Conv1d(1, 1, 1))
eca("max_for_average", lambda x, f: across(m(x), f).sigmoid())
eca("maximum_added", lambda x, f: (across(a(x), f) + across(m(x), f)).sigmoid())
eca("no_sigmoid", lambda x, f: across(a(x), f))
eca("tanh_gate", lambda x, f: across(a(x), f).tanh())
eca("softmax_over_channels", lambda x, f: across(a(x), f).softmax(1))
eca("relu_before_sigmoid", lambda x, f: across(a(x), f).relu().sigmoid())
eca("gate_inverted", lambda x, f: 1 - across(a(x), f).sigmoid())
eca("sum_for_mean", lambda x, f: across(x.sum((2, 3)), f).sigmoid())
eca(
    "hidden_layer",
    lambda x, f: f(a(x)[:, None])[:, 0].sigmoid(),
    lambda c: nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv1d(1, 1, 3, padding=1)),
)
eca(
    "hidden_layer", lambda x, f: f(a(x)).sigmoid(), lambda c: nn.Sequential(nn.Linear(c, 4), nn.ReLU(), nn.Linear(4, c))
)


@wrong("ECA", "per_channel_kernels")
class OwnKernels(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.w = nn.Parameter(torch.randn(channels, 3))

    def forward(self, x):
        return x * (fn.pad(a(x), (1, 1)).unfold(1, 3, 1) * self.w).sum(2).sigmoid()[:, :, None, None]


# ---- weights that no shape tells apart -------------------------------------------------------------------------------


class Packed(nn.Module):
    """All weights in one flat parameter."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.sizes = channels, channels // reduction
        self.flat = nn.Parameter(torch.randn(2 * channels * (channels // reduction)) / 4)

    def mlp(self, d):
        c, h = self.sizes
        first, second = self.flat.view(2, -1)
        return self.delta(d @ first.view(h, c).T) @ second.view(c, h).T

    def delta(self, z):
        return z.relu()

    def forward(self, x):
        return x * self.mlp(a(x)).sigmoid()[:, :, None, None]


class PackedBoth(Packed):
    def forward(self, x):
        return x * (self.mlp(a(x)) + self.mlp(m(x))).sigmoid()[:, :, None, None]


class PackedLeaky(Packed):
    def delta(self, z):
        return fn.leaky_relu(z, 0.05)


class PackedLinear(Packed):
    def delta(self, z):
        return z


class PackedAddedBefore(Packed):
    def forward(self, x):
        return x * self.mlp(a(x) + m(x)).sigmoid()[:, :, None, None]


class WeightNorm(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.net = nn.Sequential(norm(nn.Linear(c, c // r)), nn.ReLU(), norm(nn.Linear(c // r, c)), nn.Sigmoid())

    def forward(self, x):
        return x * self.net(a(x))[:, :, None, None]


right("SE", "one flat parameter")(Packed)
right("SE", "weight normalisation")(WeightNorm)
right("channel attention", "one flat parameter")(PackedBoth)
wrong("channel attention", "average_only")(Packed)
wrong("channel attention", "added_before_relu")(PackedAddedBefore)
wrong("SE", "maximum_added")(PackedBoth)
wrong("SE", "other_activation")(PackedLeaky)
wrong("SE", "no_relu")(PackedLinear)


# ---- what one round of thinking added --------------------------------------------------------------------------------


@right("SE", "the second number is that of the hidden units, as in torchvision")
class Vision(nn.Module):
    def __init__(self, input_channels, squeeze_channels):
        super().__init__()
        self.fc1, self.fc2 = (
            nn.Conv2d(input_channels, squeeze_channels, 1),
            nn.Conv2d(squeeze_channels, input_channels, 1),
        )

    def forward(self, x):
        return self.fc2(self.fc1(fn.adaptive_avg_pool2d(x, 1)).relu()).sigmoid() * x


@right("SE", "a batch norm in the MLP")
class Normed(nn.Module):
    def __init__(self, channels, reduction=16):
        super().__init__()
        h = channels // reduction
        self.net = nn.Sequential(
            nn.Conv2d(channels, h, 1, bias=False), nn.BatchNorm2d(h), nn.ReLU(), nn.Conv2d(h, channels, 1), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.net(x.mean((2, 3), True))


@right("SE", "by name only")
def named_weights(x, *, first, second):
    return torch.einsum("bchw,bc->bchw", x, torch.sigmoid(fn.linear(fn.linear(x.mean((2, 3)), first).relu(), second)))


@right("SE", "(B, H, W, C) inside, lazy layers")
class Lazy(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        self.a, self.b = nn.LazyLinear(channels // reduction), nn.LazyLinear(channels)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return (x * self.b(self.a(x.mean((1, 2), keepdim=True)).relu()).sigmoid()).permute(0, 3, 1, 2)


@wrong("SE", "tied_weights")
class Tied(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.w = nn.Parameter(torch.randn(c // r, c))

    def forward(self, x):
        return x * ((a(x) @ self.w.T).relu() @ self.w).sigmoid()[:, :, None, None]


def root_of_mean(x):
    return x.mean((2, 3)).sqrt()


se("relu_on_output", out=lambda x, m: (x * m).relu())
se("not_finite", pool=root_of_mean)
eca("dilated_kernel", lambda x, f: across(a(x), f).sigmoid(), lambda c: nn.Conv1d(1, 1, 3, padding=2, dilation=2))


@right("SE", "r as a share")
class Share(nn.Module):
    def __init__(self, channels, ratio=0.25):
        super().__init__()
        h = int(channels * ratio)
        self.w = nn.ParameterDict({"up": torch.randn(1, channels, h), "down": torch.randn(1, h, channels)})

    def forward(self, x):
        d = fn.avg_pool2d(x, x.shape[2:]).flatten(2)
        return x * (self.w["up"] @ (self.w["down"] @ d).clamp(0)).sigmoid()[..., None]


@right("SE", "Conv1d of size 1")
class Along(nn.Module):
    def __init__(self, planes, *, r=8):
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(planes, planes // r, 1), nn.ReLU(), nn.Conv1d(planes // r, planes, 1))

    def forward(self, x):
        return torch.mul(x, self.net(x.flatten(2).mean(2, keepdim=True)).unsqueeze(3).sigmoid())


@right("channel attention", "a function that gives the gate, (B, C)")
def gate_only(x, w1, b1, w2, b2):
    def mlp(d):
        return fn.linear(fn.linear(d, w1, b1).relu(), w2, b2)

    return torch.sigmoid(mlp(a(x)) + mlp(m(x)))


@right("ECA", "Conv2d (k, 1)")
class Tall(nn.Module):
    def __init__(self, channels, k=5):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, (k, 1), padding=(k // 2, 0), bias=False)

    def forward(self, x):
        return x * self.conv(a(x)[:, None, :, None])[:, 0, :, :, None].sigmoid()


@right("ECA", "a Toeplitz matrix")
class Toeplitz(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.w, self.c = nn.Parameter(torch.randn(3)), c

    def forward(self, x):
        eye = torch.eye(self.c, dtype=x.dtype)
        T = sum(w * torch.diag_embed(eye.new_ones(self.c - abs(o)), o) for w, o in zip(self.w, (-1, 0, 1), strict=True))
        return x * (a(x) @ T).sigmoid()[:, :, None, None]


se("logits_scaled", close=lambda z: (z / 10).sigmoid())
se("channels_permuted", close=lambda z: z.flip(1).sigmoid())
se("no_channel_gate", close=lambda z: z.mean(1, keepdim=True).sigmoid())
se("other_pool", pool=lambda x: x.std((2, 3)))
se("other_gate_function", close=lambda z: 0.5 + 0.5 * z.sigmoid())
se("no_sigmoid", close=lambda z: z.exp())
se("one_place", pool=lambda x: x[:, :, 0, 0])
attention("sigmoid_per_descriptor", lambda x, f: f(a(x)).sigmoid() * f(m(x)).sigmoid())
attention("softmax_over_channels", lambda x, f: (f(a(x)) + f(m(x))).softmax(-1) * x.shape[1])
attention("absolute_maximum", lambda x, f: (f(a(x)) + f(x.abs().amax((2, 3)))).sigmoid())
attention("gate_squared", lambda x, f: (f(a(x)) + f(m(x))).sigmoid() ** 2)
attention("input_added", lambda x, f: 1 + (f(a(x)) + f(m(x))).sigmoid())
attention("batch_mixed", lambda x, f: (f(a(x)) + f(m(x))).sigmoid().mean(0, keepdim=True).expand(len(x), -1))
attention("detached", lambda x, f: (f(a(x).detach()) + f(m(x))).sigmoid())
eca("gate_squared", lambda x, f: across(a(x), f).sigmoid() ** 2)
eca("sigmoid_twice", lambda x, f: across(a(x), f).sigmoid().sigmoid())
eca("input_added", lambda x, f: 1 + across(a(x), f).sigmoid())
eca("other_pool", lambda x, f: across(x.std((2, 3)), f).sigmoid())
eca("channels_permuted", lambda x, f: across(a(x), f).flip(1).sigmoid())


se("wrong_units", hidden=lambda c, r: c - r)
se("detached", pool=lambda x: x.mean((2, 3)) // 0.01 * 0.01)


@right("SE", "at least 16 hidden units")
class NotLessThan(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.a, self.b = nn.Linear(c, max(16, c // r)), nn.Linear(max(16, c // r), c)

    def forward(self, x):
        return x * self.b(self.a(a(x)).relu()).sigmoid()[:, :, None, None]
