"""A second held-out collection, written without sight of the judges: attention gates."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from collection.entries import right, wrong
from torch import Tensor

# Squeeze and excitation: right.


@right("SE", "pure function")
def excite(features, w_squeeze, b_squeeze, w_excite, b_excite):
    """All weights come from outside."""
    z = torch.einsum("bchw->bc", features) / math.prod(features.shape[2:])
    s = torch.clamp(torch.einsum("bc,hc->bh", z, w_squeeze) + b_squeeze, min=0)
    s = 1 / (1 + torch.exp(-(torch.einsum("bh,ch->bc", s, w_excite) + b_excite)))
    return torch.einsum("bchw,bc->bchw", features, s)


@right("SE", "ModuleDict of 1x1 convolutions")
class SqueezeByName(nn.Module):
    """Squeeze, then excite."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.step = nn.ModuleDict(
            {
                "squeeze": nn.AdaptiveAvgPool2d(1),
                "down": nn.Conv2d(channels, hidden, 1),
                "up": nn.Conv2d(hidden, channels, 1),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        s = self.step["squeeze"](x)
        s = self.step["up"](self.step["down"](s).relu())
        return x * s.sigmoid().expand_as(x)


@dataclass
class GateConfig:
    """What a gate is made of."""

    channels: int
    reduction: int = 8
    bias: bool = False
    activation: Callable[[], nn.Module] = field(default=nn.ReLU)


class ConfiguredGate(nn.Module):
    """A channel gate as its config says."""

    def __init__(self, config: GateConfig):
        super().__init__()
        hidden = max(config.channels // config.reduction, 1)
        self.net = nn.Sequential(
            nn.Flatten(2),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(1),
            nn.Linear(config.channels, hidden, bias=config.bias),
            config.activation(),
            nn.Linear(hidden, config.channels, bias=config.bias),
            nn.Sigmoid(),
            nn.Unflatten(1, (config.channels, 1, 1)),
        )

    def forward(self, x):
        return x.mul(self.net(x))


@right("SE", "config")
def se_from_config(channels, reduction=8):
    """The usual config."""
    return ConfiguredGate(GateConfig(channels, reduction))


# Squeeze and excitation: wrong.


@wrong("SE", "view_mixup")
class ChannelsLastSqueeze(nn.Module):
    """Move channels to the end, average over places."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x):
        b, c, h, w = x.shape
        tokens = x.reshape(b, h * w, c)
        return x * self.fc(tokens.mean(1))[:, :, None, None]


@wrong("SE", "other_activation")
def se_with_swish(channels, reduction=16):
    """The config of a mobile network."""
    return ConfiguredGate(GateConfig(channels, reduction, bias=True, activation=nn.SiLU))


@wrong("SE", "detached")
class CheapSqueeze(nn.Module):
    """The average costs no memory."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.w_0 = nn.Parameter(torch.randn(channels, max(channels // reduction, 1)) / channels**0.5)
        self.w_1 = nn.Parameter(torch.randn(max(channels // reduction, 1), channels))

    @torch.no_grad()
    def squeeze(self, x):
        return x.mean(dim=(2, 3))

    def forward(self, x):
        gate = torch.sigmoid(F.relu(self.squeeze(x) @ self.w_0) @ self.w_1)
        return x * gate[..., None, None]


@wrong("SE", "batch_mixed")
def excite_batch(features, w_squeeze, w_excite):
    """Statistics of the channels, one gate."""
    z = features.transpose(0, 1).flatten(1).mean(1)
    gate = torch.sigmoid(w_excite @ F.relu(w_squeeze @ z))
    return features * gate.view(1, -1, 1, 1)


@wrong("SE", "pooled_one_axis")
class RowSqueeze(nn.Module):
    """Average over the width, excite."""

    def __init__(self, channel, reduction=4):
        super().__init__()
        self.conv1 = nn.Conv2d(channel, channel // reduction, 1)
        self.conv2 = nn.Conv2d(channel // reduction, channel, 1)

    def forward(self, x):
        y = torch.mean(x, dim=3, keepdim=True)
        y = self.conv2(F.relu(self.conv1(y)))
        return x * torch.sigmoid(y)


@wrong("SE", "gate_squared")
class ScaledTwice(nn.Module):
    """y becomes the gate, x becomes x times it."""

    def __init__(self, channel, reduction=16):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        hidden = max(channel // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channel, hidden, bias=False), nn.ReLU(True), nn.Linear(hidden, channel, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.fc(self.avg_pool(x).view(b, c)).view(b, c, 1, 1)
        x = x * y.expand_as(x)
        return x * y


# ECA: right.


def odd_kernel(channels, gamma=2, b=1):
    """The paper's kernel size."""
    t = int(abs((math.log2(channels) + b) / gamma))
    return t if t % 2 else t + 1


@right("ECA", "adaptive")
class AdaptiveEca(nn.Module):
    """The layer of the paper with its own k."""

    def __init__(self, channels):
        super().__init__()
        k = odd_kernel(channels)
        self.conv = nn.Conv1d(1, 1, kernel_size=k, padding=(k - 1) // 2, bias=False)

    def forward(self, x):
        y = self.conv(x.mean((-2, -1)).unsqueeze(1)).squeeze(1)
        return x * y.sigmoid()[:, :, None, None]


@right("ECA", "own convolution")
class WindowedEca(nn.Module):
    """Windows over padded channels times a parameter."""

    def __init__(self, channels: int, k_size: int = 3):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(k_size))

    def forward(self, x: Tensor) -> Tensor:
        k = self.kernel.numel()
        padded = F.pad(x.mean(dim=(2, 3)), (k // 2, k // 2))
        logits = padded.unfold(1, k, 1) @ self.kernel  # (B, C)
        return torch.einsum("bchw,bc->bchw", x, torch.sigmoid(logits))


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        self.inner = nn.ModuleDict(modules)

    def forward(self, x):
        return self.function(self.inner, x)


@right("ECA", "two-dimensional convolution of a column")
def column_eca(k=3):
    """The averages are an image of one column."""

    def run(inner, x):
        column = F.adaptive_avg_pool2d(x, 1).transpose(1, 2)  # (B, 1, C, 1)
        return inner["conv"](column).transpose(1, 2).sigmoid() * x

    return Lambda(run, conv=nn.Conv2d(1, 1, (k, 1), padding=(k // 2, 0), bias=False))


# ECA: wrong.


@wrong("ECA", "edge_padding")
class EdgeEca(nn.Module):
    """The first and last channel have neighbours, too."""

    def __init__(self, channels, k=3):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, padding_mode="replicate", bias=False)

    def forward(self, x):
        y = self.conv(x.mean((2, 3))[:, None])[:, 0]
        return x * torch.sigmoid(y)[..., None, None]


@wrong("ECA", "even_kernel_shift")
class EvenEca(nn.Module):
    """Round the kernel as the formula gives it."""

    def __init__(self, channels: int):
        super().__init__()
        k = 2 * max(1, round((math.log2(channels) + 1) / 4))
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def forward(self, x):
        b, c = x.shape[:2]
        y = self.conv(x.mean((2, 3)).view(b, 1, c))[..., :c]
        return x * y.sigmoid().view(b, c, 1, 1)


@wrong("ECA", "max_for_average")
def loud_eca(k=3):
    """The strongest place of each channel."""

    def run(inner, x):
        column = F.adaptive_max_pool2d(x, 1).transpose(1, 2)
        return inner["conv"](column).transpose(1, 2).sigmoid() * x

    return Lambda(run, conv=nn.Conv2d(1, 1, (k, 1), padding=(k // 2, 0), bias=False))


@wrong("ECA", "hidden_layer")
class DeepEca(nn.Module):
    """Two convolutions see more channels."""

    def __init__(self, channels, k_size=3):
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv1d(1, 4, k_size, padding=k_size // 2, bias=False),
            nn.ReLU(),
            nn.Conv1d(4, 1, k_size, padding=k_size // 2, bias=False),
        )

    def forward(self, x):
        y = self.mix(x.flatten(2).mean(-1).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
        return x * y.sigmoid()


@wrong("ECA", "wrong_axis")
class TransposedEca(nn.Module):
    """Average, transpose, convolve."""

    def __init__(self, channels, k_size=3):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, k_size, padding=k_size // 2, bias=False)

    def forward(self, x):
        z = x.mean((2, 3)).t().unsqueeze(1)  # the axis to convolve comes last
        return x * self.conv(z).squeeze(1).t().sigmoid()[:, :, None, None]


@wrong("ECA", "tanh_gate")
class SignedEca(WindowedEca):
    """Windows over channels, a gate around zero."""

    def forward(self, x):
        k = self.kernel.numel()
        windows = F.pad(x.mean(dim=(2, 3)), (k // 2, k // 2)).unfold(1, k, 1)
        return x * torch.tanh(windows @ self.kernel).unsqueeze(-1).unsqueeze(-1)


# Channel attention: right.


@right("channel attention", "loop over pools")
class PoolLoop(nn.Module):
    """As in the released code: one MLP, a loop over pools."""

    def __init__(self, gate_channels, reduction_ratio=16, pool_types=("avg", "max")):
        super().__init__()
        hidden = max(gate_channels // reduction_ratio, 1)
        self.mlp = nn.Sequential(
            nn.Flatten(), nn.Linear(gate_channels, hidden), nn.ReLU(), nn.Linear(hidden, gate_channels)
        )
        self.pool_types = pool_types

    def forward(self, x):
        channel_att_sum = None
        for pool_type in self.pool_types:
            pool = F.avg_pool2d if pool_type == "avg" else F.max_pool2d
            raw = self.mlp(pool(x, x.shape[2:]))
            channel_att_sum = raw if channel_att_sum is None else channel_att_sum + raw
        scale = torch.sigmoid(channel_att_sum).unsqueeze(2).unsqueeze(3).expand_as(x)
        return x * scale


@right("channel attention", "gate alone")
class ChannelWeights(nn.Module):
    """The common sub-module: gives the weights."""

    def __init__(self, in_planes, ratio=16):
        super().__init__()
        self.fc1 = nn.Conv2d(in_planes, max(in_planes // ratio, 1), 1, bias=False)
        self.fc2 = nn.Conv2d(max(in_planes // ratio, 1), in_planes, 1, bias=False)

    def forward(self, x):
        avg, mx = (self.fc2(self.fc1(p(x, 1)).relu()) for p in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d))
        return (avg + mx).sigmoid()


@right("channel attention", "stacked descriptors, pure function")
def stacked_descriptors(f, w0, w1):
    """Both descriptors go through the layers as a batch of two."""
    flat = f.flatten(2)
    both = torch.stack([flat.mean(-1), flat.amax(-1)])  # (2, B, C)
    logits = (F.relu(both @ w0.T) @ w1.T).sum(0)
    return f * logits.sigmoid().unflatten(1, (-1, 1, 1))


# Channel attention: wrong.


@wrong("channel attention", "separate_mlps")
class TwoRoads(nn.Module):
    """An MLP for each descriptor."""

    def __init__(self, channels, reduction=16):
        super().__init__()

        def road():
            hidden = max(channels // reduction, 1)
            return nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

        self.pools = nn.ModuleDict({"avg": nn.AdaptiveAvgPool2d(1), "max": nn.AdaptiveMaxPool2d(1)})
        self.roads = nn.ModuleDict({name: road() for name in self.pools})

    def forward(self, x):
        return x * sum(self.roads[name](pool(x)) for name, pool in self.pools.items()).sigmoid()


@wrong("channel attention", "added_before_relu")
def summed_hidden(f, w0, w1):
    """Linear layers may be merged."""
    hidden = f.mean((2, 3)) @ w0.T + f.amax((2, 3)) @ w0.T
    return f * torch.sigmoid(F.relu(hidden) @ w1.T)[:, :, None, None]


@wrong("channel attention", "min_for_max")
class Extremes(ChannelWeights):
    """Max pooling by hand."""

    def forward(self, x):
        def mlp(v):
            return self.fc2(F.relu(self.fc1(v)))

        places = x.flatten(2).sort(dim=-1).values
        return torch.sigmoid(mlp(x.mean((2, 3), keepdim=True)) + mlp(places[..., 0, None, None]))


@wrong("channel attention", "sigmoid_per_descriptor")
class GateOfEach(PoolLoop):
    """The loop of the released code, shorter."""

    def forward(self, x):
        scale = 0
        for pool in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d):
            scale = scale + torch.sigmoid(self.mlp(pool(x, 1)))
        return x * scale[:, :, None, None]


@wrong("channel attention", "multiplied_descriptors")
class AgreeingPools(nn.Module):
    """Both descriptors have to agree."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.w_0 = nn.Parameter(torch.randn(channels // reduction, channels) * channels**-0.5)
        self.w_1 = nn.Parameter(torch.randn(channels, channels // reduction))

    def forward(self, x):
        a, m = (F.linear(F.linear(d, self.w_0).relu(), self.w_1) for d in (x.mean((2, 3)), x.amax((2, 3))))
        return x * torch.sigmoid(a * m)[..., None, None]


@wrong("channel attention", "input_changed")
class ScalesInPlace(PoolLoop):
    """Saves the copy of the features."""

    def forward(self, x):
        logits = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        x *= torch.sigmoid(logits)[:, :, None, None]
        return x


# Spatial attention: right.


@right("spatial attention", "gate alone")
class PlaceWeights(nn.Module):
    """The common sub-module: gives the weights of places."""

    def __init__(self, kernel_size=7):
        super().__init__()
        assert kernel_size in (3, 7)
        self.conv1 = nn.Conv2d(2, 1, kernel_size, padding=3 if kernel_size == 7 else 1, bias=False)

    def forward(self, x):
        avg_out = torch.mean(x, dim=1, keepdim=True)
        max_out, _ = torch.max(x, dim=1, keepdim=True)
        return torch.sigmoid(self.conv1(torch.cat([avg_out, max_out], dim=1)))


@right("spatial attention", "released code")
class NormedPlaceGate(nn.Module):
    """[max, mean], 7x7 convolution, batch norm, scale."""

    def __init__(self):
        super().__init__()
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1, momentum=0.01))

    def forward(self, x):
        compressed = torch.stack((x.max(1)[0], x.mean(1)), dim=1)
        return x * F.sigmoid(self.spatial(compressed))


@right("spatial attention", "one convolution for each descriptor")
class TwoPlaneConvolutions(nn.Module):
    """The sum of two convolutions is one of two channels."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        conv = partial(nn.Conv2d, 1, 1, kernel_size, padding="same")
        self.of_mean = conv(bias=False)
        self.of_max = conv(bias=True)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.of_mean(x.mean(1, keepdim=True)) + self.of_max(x.amax(1, keepdim=True))
        return logits.sigmoid() * x


# Spatial attention: wrong.


@wrong("spatial attention", "descriptors_added")
class OneDescriptorMap(nn.Module):
    """Mean and max together are the descriptor."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x):
        descriptor = x.mean(1, keepdim=True) + x.amax(1, keepdim=True)
        return x * torch.sigmoid(self.conv(descriptor))


@wrong("spatial attention", "no_padding")
class ResizedGate(nn.Module):
    """Bring the gate back to the size of the features."""

    def __init__(self, kernel_size=3):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, bias=False)

    def forward(self, x):
        stats = torch.cat([x.mean(1, True), x.amax(1, True)], 1)
        gate = F.interpolate(self.conv(stats), size=x.shape[2:], mode="nearest")
        return x * gate.sigmoid()


@wrong("spatial attention", "sum_over_channels")
class EnergyAndPeak(PlaceWeights):
    """Energy and peak of every place."""

    def forward(self, x):
        stats = torch.stack([torch.einsum("bchw->bhw", x), x.amax(1)], 1)
        return self.conv1(stats).sigmoid()


@wrong("spatial attention", "softmax_over_places")
class PlacesCompete(nn.Module):
    """Places compete for attention."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(1, 2, kernel_size, kernel_size) / kernel_size)

    def forward(self, x):
        b, c, h, w = x.shape
        stats = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], 1)
        logits = F.conv2d(stats, self.kernel, padding=self.kernel.shape[-1] // 2)
        return x * logits.view(b, -1).softmax(-1).view(b, 1, h, w)


@wrong("spatial attention", "average_twice")
class RepeatedMean(PlaceWeights):
    """Stack the descriptors, convolve."""

    def forward(self, x):
        stats = [torch.mean(x, 1, keepdim=True) for _ in ("mean", "max")]
        return x * torch.sigmoid(self.conv1(torch.cat(stats, 1)))


@wrong("spatial attention", "other_pool")
class RobustPlaces(PlaceWeights):
    """A robust centre and the peak."""

    def forward(self, x):
        stats = torch.stack([x.median(dim=1).values, x.amax(dim=1)], dim=1)
        return x * self.conv1(stats).sigmoid()
