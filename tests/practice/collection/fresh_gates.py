"""SE and ECA as students, blogs and public repositories write them; written without knowledge of the checker."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from collection.entries import right, wrong
from torch import nn


@right("SE", "Linear without bias, view, expand_as")
class SELayer(nn.Module):
    """The SE of most repositories: Linear without bias, expand_as."""

    def __init__(self, channel, reduction=16):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, channel // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channel // reduction, channel, bias=False),
            nn.Sigmoid(),
        )

    def squeeze(self, x):
        return self.avg_pool(x).view(x.size(0), x.size(1))

    def excite(self, z):
        return self.fc(z)

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.excite(self.squeeze(x)).view(b, c, 1, 1)
        return x * y.expand_as(x)


@right("SE", "two 1x1 convolutions with biases, Caffe's names")
class SEModule(nn.Module):
    """1x1 convolutions with biases, as in the ports of the Caffe release."""

    def __init__(self, C, r):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(output_size=1)
        self.fc1 = nn.Conv2d(C, C // r, kernel_size=1, padding=0)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(C // r, C, kernel_size=1, padding=0)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        module_input = x
        x = self.avg_pool(x)
        x = self.fc1(x)
        x = self.relu(x)
        x = self.fc2(x)
        x = self.sigmoid(x)
        return module_input * x


@right("SE", "raw parameters (C, h), einsum, keyword-only")
class EinsumSE(nn.Module):
    """Raw parameters in the other orientation, einsum, keyword-only arguments in the other order."""

    def __init__(self, *, ratio=8, dim):
        super().__init__()
        hidden = dim // ratio
        self.down = nn.Parameter(torch.randn(dim, hidden) / math.sqrt(dim))
        self.up = nn.Parameter(torch.randn(hidden, dim) / math.sqrt(hidden))

    def forward(self, x):
        z = torch.einsum("bchw->bc", x) / (x.shape[-1] * x.shape[-2])
        s = torch.einsum("bh,hc->bc", torch.einsum("bc,ch->bh", z, self.down).clamp(min=0), self.up)
        return torch.einsum("bchw,bc->bchw", x, 1 / (1 + torch.exp(-s)))


@right("SE", "function with two weights")
def se_function(F, W_0, W_1):
    """A function, column vectors."""
    z = F.flatten(2).mean(-1, keepdim=True)
    s = torch.sigmoid(W_1 @ torch.relu(W_0 @ z))
    return F * s[..., None]


@right("SE", "function with biases")
def se_with_biases(x, w1, b1, w2, b2):
    """A function with biases, F.linear."""
    z = F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)
    gate = F.linear(F.relu(F.linear(z, w1, b1)), w2, b2).sigmoid()
    return torch.mul(x, gate.unsqueeze(2).unsqueeze(3))


class Scale(nn.Module):
    """Multiplies its input by what the branch makes of it."""

    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x * self.branch(x)


def gate_of(c, r, pool=None, act=None, last=None):
    """The branch of an SE as one Sequential."""
    return nn.Sequential(
        pool or nn.AdaptiveAvgPool2d((1, 1)),
        nn.Conv2d(c, c // r, 1, bias=False),
        act or nn.ReLU(),
        nn.Conv2d(c // r, c, 1, bias=False),
        last or nn.Sigmoid(),
    )


right("SE", "a lambda that makes a Sequential")(lambda c, r=4: Scale(gate_of(c, r)))


@right("SE", "hard sigmoid")
class MobileSE(nn.Module):
    """MobileNetV3's: hard sigmoid by ReLU6."""

    def __init__(self, input_channels, squeeze_factor=4):
        super().__init__()
        squeeze_channels = input_channels // squeeze_factor
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)

    def forward(self, x):
        scale = F.avg_pool2d(x, x.shape[2:])
        scale = self.fc2(F.relu(self.fc1(scale), inplace=True))
        return F.relu6(scale + 3) / 6 * x


@right("SE", "starts as the identity: 2 sigmoid(0) = 1")
class ZeroSE(nn.Module):
    """Twice the sigmoid, last layer zero at the start: the identity."""

    def __init__(self, num_channels, reduction_ratio=2):
        super().__init__()
        self.reduce = nn.Linear(num_channels, num_channels // reduction_ratio)
        self.restore = nn.Linear(num_channels // reduction_ratio, num_channels)
        nn.init.zeros_(self.restore.weight)
        nn.init.zeros_(self.restore.bias)

    def forward(self, input_tensor):
        squeezed = input_tensor.mean(dim=[2, 3])
        logits = self.restore(self.reduce(squeezed).relu())
        return input_tensor * (2 * logits.sigmoid()).reshape(*logits.shape, 1, 1)


class SE1d(nn.Module):
    """Conv1d of size 1 on (B, C, 1)."""

    def __init__(self, c, r):
        super().__init__()
        self.net = nn.Sequential(
            OrderedDict(
                squeeze=nn.Conv1d(c, c // r, 1), act=nn.ReLU(), excite=nn.Conv1d(c // r, c, 1), gate=nn.Sigmoid()
            )
        )

    def forward(self, x):
        b, c, *_ = x.shape
        return (x.reshape(b, c, -1) * self.net(x.reshape(b, c, -1).mean(2, keepdim=True))).reshape(x.shape)


right("SE", "a built module, Conv1d")(SE1d(24, 3))
right("SE", "functools.partial")(partial(SE1d, r=4))


@right("SE", "gate in float32")
class CarefulSE(nn.Module):
    """The gate is computed in float32 for mixed precision, then cast back."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.w0 = nn.Parameter(torch.empty(max(1, channels // reduction), channels))
        self.w1 = nn.Parameter(torch.empty(channels, max(1, channels // reduction)))
        nn.init.kaiming_normal_(self.w0)
        nn.init.kaiming_normal_(self.w1)

    def forward(self, x):
        z = x.float().mean((-2, -1))
        gate = F.linear(F.linear(z, self.w0.float()).relu(), self.w1.float()).sigmoid()
        return x * gate.type_as(x)[:, :, None, None]


@right("SE", "a loop over the images")
class LoopSE(nn.Module):
    """One image after the other, one channel after the other."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.first, self.second = nn.Linear(channels, channels // reduction), nn.Linear(channels // reduction, channels)

    def forward(self, images):
        out = []
        for image in images:
            z = torch.stack([image[c].mean() for c in range(image.shape[0])])
            s = torch.sigmoid(self.second(torch.maximum(self.first(z), torch.zeros(1, dtype=z.dtype))))
            out.append(torch.stack([image[c] * s[c] for c in range(image.shape[0])]))
        return torch.stack(out)


@right("SE", "dataclass")
@dataclass(eq=False)
class DataSE(nn.Module):
    """A dataclass which is a module."""

    channels: int
    reduction: int = 16

    def __post_init__(self):
        super().__init__()
        self.gate = gate_of(self.channels, self.reduction)

    def forward(self, x):
        return self.gate(x).mul(x)


@wrong("SE", "returns_the_gate")
class GateSE(SELayer):
    """Forgets to multiply."""

    def forward(self, x):
        return self.excite(self.squeeze(x))[:, :, None, None]


@wrong("SE", "relu_before_sigmoid")
class ReluGateSE(nn.Module):
    """A ReLU after both layers, made in a loop."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        layers, width = [], channels
        for size in (channels // reduction, channels):
            layers += [nn.Linear(width, size), nn.ReLU()]
            width = size
        self.mlp = nn.Sequential(*layers)

    def forward(self, x):
        return x * torch.sigmoid(self.mlp(x.mean((2, 3))))[..., None, None]


wrong("SE", "relu_before_sigmoid")(lambda c, r=4: Scale(gate_of(c, r, last=nn.Sequential(nn.ReLU(), nn.Sigmoid()))))
wrong("SE", "no_sigmoid")(lambda channels, reduction=4: Scale(gate_of(channels, reduction, last=nn.Identity())))
wrong("SE", "tanh_gate")(lambda channels, reduction=4: Scale(gate_of(channels, reduction, last=nn.Tanh())))
wrong("SE", "softmax_over_channels")(
    lambda channels, reduction=4: Scale(gate_of(channels, reduction, last=nn.Softmax(1)))
)
wrong("SE", "other_activation")(lambda ch, r=4: Scale(gate_of(ch, r, act=nn.GELU())))
wrong("SE", "no_relu")(lambda ch, r=4: Scale(gate_of(ch, r, act=nn.Dropout(0.0))))
wrong("SE", "max_for_average")(lambda ch, r=4: Scale(gate_of(ch, r, pool=nn.AdaptiveMaxPool2d(1))))
wrong("SE", "pool_of_size_1")(lambda ch, r=4: Scale(gate_of(ch, r, pool=nn.AvgPool2d(1))))


@wrong("SE", "sigmoid_twice")
class TwiceSE(SELayer):
    """The Sequential ends with a sigmoid already."""

    def excite(self, z):
        return torch.sigmoid(self.fc(z))


@wrong("SE", "input_added")
class ResidualSE(SELayer):
    """A shortcut inside the module."""

    def forward(self, x):
        return super().forward(x) + x


@wrong("SE", "input_changed")
class InPlaceSE(SELayer):
    """Multiplies in place, on the tensor that it was given."""

    def forward(self, x):
        x *= self.excite(self.squeeze(x))[:, :, None, None]
        return x


@wrong("SE", "detached")
class FrozenSE(SELayer):
    """The gate carries no gradient."""

    def excite(self, z):
        return self.fc(z).data


@wrong("SE", "view_mixup")
class MixedSE(SELayer):
    """Views (B, C, HW) as (C, B, HW) and transposes back."""

    def squeeze(self, x):
        b, c, h, w = x.shape
        return x.contiguous().view(c, b, h * w).mean(2).t()


@wrong("SE", "batch_mixed")
class BatchSE(SELayer):
    """One gate for the whole batch."""

    def squeeze(self, x):
        return x.mean(dim=(0, 2, 3)).expand(x.size(0), -1)


@wrong("SE", "sum_for_mean")
class SumSE(SELayer):
    """The sum over the places."""

    def squeeze(self, x):
        return x.flatten(2).sum(2)


@wrong("SE", "pooled_one_axis")
class RowSE(nn.Module):
    """Averages over the width only: one gate for each row."""

    def __init__(self, in_channels, r=4):
        super().__init__()
        self.net = gate_of(in_channels, r, pool=nn.AdaptiveAvgPool2d((None, 1)))

    def forward(self, x):
        return x * self.net(x)


@wrong("SE", "square_only")
class SquareSE(SELayer):
    """Pools with a square window of the map's height and keeps the first value."""

    def squeeze(self, x):
        side = x.size(2)
        return x[:, :, :side, :side].mean((2, 3))


@wrong("SE", "no_reduction")
class WideSE(nn.Module):
    """The hidden layer is as wide as the input."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.reduction = reduction
        self.fc1, self.fc2 = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def forward(self, x):
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3))))).sigmoid()[:, :, None, None]


@wrong("SE", "wrong_units")
class SixteenSE(nn.Module):
    """The reduction is 16 whatever is asked."""

    def __init__(self, in_planes, ratio=16):
        super().__init__()
        self.fc1 = nn.Conv2d(in_planes, in_planes // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(in_planes // 16, in_planes, 1, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


@wrong("SE", "reduction_as_units")
class HiddenSE(nn.Module):
    """The reduction is taken as the number of hidden units."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, reduction), nn.Linear(reduction, channels)

    def forward(self, x):
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3))))).sigmoid()[:, :, None, None]


@wrong("SE", "weights_not_registered")
class ListSE(nn.Module):
    """The layers are in a plain list."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        hidden = channels // reduction
        self.layers = [nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()]

    def forward(self, x):
        y = x.mean((2, 3))
        for layer in self.layers:
            y = layer.to(x.dtype)(y)
        return x * y[..., None, None]


@wrong("SE", "sigmoid_twice")
def se_two_sigmoids(x, w_0, w_1):
    """A sigmoid in the gate and one at the product."""
    s = torch.sigmoid(F.linear(F.relu(F.linear(x.mean((2, 3)), w_0)), w_1))
    return x * s.sigmoid()[..., None, None]


@wrong("SE", "gate_inverted")
def se_inverted(x, w_0, w_1):
    """The sign in the exponential is forgotten."""
    s = F.linear(F.relu(F.linear(x.mean((2, 3)), w_0)), w_1)
    return x / (1 + torch.exp(s))[..., None, None]


@wrong("SE", "other_activation")
class LeakySE(nn.Module):
    """A leaky ReLU between the layers."""

    def __init__(self, chan, factor=8):
        super().__init__()
        self.a = nn.Linear(chan, chan // factor)
        self.b = nn.Linear(chan // factor, chan)

    def forward(self, x):
        return x * torch.sigmoid(self.b(F.leaky_relu(self.a(x.mean((2, 3))), 0.1))).unsqueeze(-1).unsqueeze(-1)


@right("ECA", "the release: transpose, channel unused")
class eca_layer(nn.Module):
    """The authors' release."""

    def __init__(self, channel=None, k_size=3):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, kernel_size=k_size, padding=(k_size - 1) // 2, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        y = self.avg_pool(x)
        y = self.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        y = self.sigmoid(y)
        return x * y.expand_as(x)


@right("ECA", "adaptive k")
class AdaptiveECA(nn.Module):
    """The kernel's size from the number of channels."""

    def __init__(self, channels, gamma=2, b=1):
        super().__init__()
        t = int(abs((math.log2(channels) + b) / gamma))
        self.k = t if t % 2 else t + 1
        self.weight = nn.Parameter(torch.randn(1, 1, self.k))

    def squeeze(self, x):
        return x.mean((2, 3))

    def mix(self, z):
        return F.conv1d(z.unsqueeze(1), self.weight, padding=self.k // 2).squeeze(1)

    def forward(self, x):
        return x * torch.sigmoid(self.mix(self.squeeze(x)))[:, :, None, None]


@right("ECA", "a 2-D convolution on (B, 1, 1, C)")
class ECA2d(nn.Module):
    """A (1, k) convolution in two dimensions."""

    def __init__(self, kernel_size=5):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, (1, kernel_size), padding=(0, kernel_size // 2), bias=False)

    def forward(self, feature):
        pooled = feature.mean(dim=(2, 3), keepdim=True).permute(0, 2, 3, 1)
        return feature * self.conv(pooled).permute(0, 3, 1, 2).sigmoid()


@right("ECA", "a vector of k weights, shifted slices")
class SlicesECA(nn.Module):
    """Pads the averages and adds k shifted slices."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(3))

    def forward(self, x):
        c = x.shape[1]
        z = F.pad(x.flatten(2).mean(2), (1, 1))
        s = self.w[0] * z[:, :c] + self.w[1] * z[:, 1 : c + 1] + self.w[2] * z[:, 2:]
        return x * s.sigmoid()[:, :, None, None]


@right("ECA", "unfold and a Linear with a bias")
class UnfoldECA(nn.Module):
    """Windows of k neighbours, one Linear(k, 1) for all, with a bias."""

    def __init__(self, in_channels, k=5):
        super().__init__()
        self.pad = nn.ConstantPad1d(k // 2, 0.0)
        self.k, self.lin = k, nn.Linear(k, 1)

    def forward(self, x):
        windows = self.pad(x.mean((2, 3))).unfold(1, self.k, 1)  # (B, C, k)
        return x * torch.sigmoid(self.lin(windows)).unsqueeze(-1)


right("ECA", "a built module")(eca_layer(16, 7))


def layer_with(conv, c):
    """The release with another convolution."""
    layer = eca_layer(c)
    layer.conv = conv
    return layer


wrong("ECA", "circular_padding")(
    lambda c: layer_with(nn.Conv1d(1, 1, 3, padding=1, bias=False, padding_mode="circular"), c)
)
wrong("ECA", "edge_padding")(
    lambda c: layer_with(nn.Conv1d(1, 1, 5, padding=2, bias=False, padding_mode="replicate"), c)
)
wrong("ECA", "hidden_layer")(
    lambda c: layer_with(nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 1, 3, padding=1)), c)
)
wrong("ECA", "relu_before_sigmoid")(
    lambda c: layer_with(nn.Sequential(nn.Conv1d(1, 1, 3, padding=1, bias=False), nn.ReLU()), c)
)
wrong("ECA", "linear_for_convolution")(lambda c: layer_with(nn.Linear(c, c, bias=False), c))


@wrong("ECA", "wrong_axis")
class NoTransposeECA(nn.Module):
    """Convolves along the last axis, which has length 1: mixes all channels by a dense matrix."""

    def __init__(self, channels, k_size=3):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, k_size, padding=k_size // 2, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x.mean((2, 3)).unsqueeze(-1))).unsqueeze(-1)


@wrong("ECA", "per_channel_kernels")
class OwnKernelsECA(nn.Module):
    """Each channel weighs its neighbours by weights of its own."""

    def __init__(self, channels, k=3):
        super().__init__()
        self.k, self.weight = k, nn.Parameter(torch.randn(channels, k))

    def forward(self, x):
        windows = F.pad(x.mean((2, 3)), (self.k // 2, self.k // 2)).unfold(1, self.k, 1)
        return x * (windows * self.weight).sum(-1).sigmoid()[..., None, None]


@wrong("ECA", "even_kernel_shift")
class EvenECA(AdaptiveECA):
    """Forgets to make k odd; the surplus value is cut off."""

    def __init__(self, channels):
        super().__init__(channels)
        self.k = 4
        self.weight = nn.Parameter(torch.randn(1, 1, self.k))

    def mix(self, z):
        return super().mix(z)[:, : z.shape[1]]


@wrong("ECA", "batch_mixed")
class OneLineECA(AdaptiveECA):
    """All images' averages in one line: the kernel reaches over the border between two images."""

    def mix(self, z):
        return super().mix(z.reshape(1, -1)).view_as(z)


@wrong("ECA", "max_for_average")
class MaxECA(AdaptiveECA):
    """Maxima."""

    def squeeze(self, x):
        return x.flatten(2).max(2).values


@wrong("ECA", "no_sigmoid")
class FigureECA(AdaptiveECA):
    """As in the figure with code: no sigmoid."""

    def forward(self, x):
        return x * self.mix(self.squeeze(x))[:, :, None, None].expand_as(x)


@wrong("ECA", "not_deterministic")
class InsideECA(nn.Module):
    """Builds the convolution inside forward: new weights in each call."""

    def __init__(self, channels, k=3):
        super().__init__()
        self.k = k

    def forward(self, x):
        conv = nn.Conv1d(1, 1, self.k, padding=self.k // 2, bias=False).to(x)
        return x * torch.sigmoid(conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1))[..., None, None]


@wrong("ECA", "softmax_over_channels")
class SoftmaxECA(AdaptiveECA):
    """The channels compete."""

    def forward(self, x):
        return x * self.mix(self.squeeze(x)).softmax(-1)[:, :, None, None]


@wrong("ECA", "input_added")
class ResidualECA(AdaptiveECA):
    """x + x * gate."""

    def forward(self, x):
        return x + super().forward(x)


@wrong("ECA", "returns_the_gate")
class GateECA(AdaptiveECA):
    """The gate alone."""

    def forward(self, x):
        return torch.sigmoid(self.mix(self.squeeze(x)))[:, :, None, None]


@wrong("ECA", "pool_of_size_1")
class PlacesECA(nn.Module):
    """AvgPool2d(1): each place has a gate of its own."""

    def __init__(self, channels, k=3):
        super().__init__()
        self.pool = nn.AvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def forward(self, x):
        b, c, h, w = x.shape
        y = self.pool(x).permute(0, 2, 3, 1).reshape(b * h * w, 1, c)
        y = self.conv(y).sigmoid().reshape(b, h, w, c).permute(0, 3, 1, 2)
        return x * y
