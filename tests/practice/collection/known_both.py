"""Spatial attention and CBAM as public code and students write them."""

import torch
import torch.nn.functional as fn
from collection.entries import right, wrong
from torch import nn

import cbam_lite

right("spatial attention", "ours")(cbam_lite.SpatialAttention)
right("spatial attention", "a built module")(cbam_lite.SpatialAttention(32, 3))
right("CBAM", "ours")(cbam_lite.CBAM)
right("CBAM", "as printed")(cbam_lite.CBAM.paper)
right("CBAM", "the released code")(cbam_lite.CBAM.official)
right("CBAM", "timm's")(cbam_lite.CBAM.timm)
right("CBAM", "a built module")(cbam_lite.CBAM(32, 8))


# ---- spatial attention -----------------------------------------------------------------------------------------------


@right("spatial attention", "the gate alone, the most copied file")
class SpatialGateAlone(nn.Module):
    def __init__(self, kernel_size=7):
        super().__init__()
        assert kernel_size in (3, 7)
        self.conv1 = nn.Conv2d(2, 1, kernel_size, padding=3 if kernel_size == 7 else 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        avg_out = torch.mean(x, dim=1, keepdim=True)
        max_out, _ = torch.max(x, dim=1, keepdim=True)
        return self.sigmoid(self.conv1(torch.cat([avg_out, max_out], dim=1)))


class BasicConv(nn.Module):
    def __init__(self, i, o, kernel_size, padding=0, relu=True, bn=True, bias=False):
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel_size, padding=padding, bias=bias)
        self.bn = nn.BatchNorm2d(o, eps=1e-5, momentum=0.01, affine=True) if bn else None
        self.relu = nn.ReLU() if relu else None

    def forward(self, x):
        x = self.conv(x)
        x = x if self.bn is None else self.bn(x)
        return x if self.relu is None else self.relu(x)


class ChannelPool(nn.Module):
    def forward(self, x):
        return torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)


@right("spatial attention", "the authors': [max; mean], batch norm")
class SpatialGate(nn.Module):
    def __init__(self, relu=False):
        super().__init__()
        self.compress = ChannelPool()
        self.spatial = BasicConv(2, 1, 7, padding=3, relu=relu)

    def forward(self, x):
        return x * torch.sigmoid(self.spatial(self.compress(x)))


@right("spatial attention", "two kernels, one for each map")
class TwoKernels(nn.Module):
    def __init__(self, kernel_size=7):
        super().__init__()
        self.of_mean = nn.Conv2d(1, 1, kernel_size, padding="same", bias=False)
        self.of_max = nn.Conv2d(1, 1, kernel_size, padding="same", bias=True)

    def forward(self, x):
        z = self.of_mean(x.mean(1, keepdim=True)) + self.of_max(x.amax(1, keepdim=True))
        return x * z.sigmoid()


@right("spatial attention", "a function of the map and the kernel")
def spatial_function(F, kernel):
    d = torch.stack([F.mean(1), F.amax(1)], 1)
    return F * fn.conv2d(d, kernel, padding=kernel.shape[-1] // 2).sigmoid()


@right("spatial attention", "unfold and einsum, a raw parameter")
class Unfolded(nn.Module):
    def __init__(self, k=5):
        super().__init__()
        self.k, self.w = k, nn.Parameter(torch.randn(2 * k * k) / k)

    def forward(self, x):
        b, _, h, w = x.shape
        d = torch.cat([x.mean(1, True), x.max(1, True).values], 1)
        z = torch.einsum("bnp,n->bp", fn.unfold(d, self.k, padding=self.k // 2), self.w)
        return x * torch.sigmoid(z).reshape(b, 1, h, w)


@right("spatial attention", "adaptive pools on swapped axes, channels ignored")
class AdaptiveSpatial(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(2, 1, 3), nn.Sigmoid())

    def forward(self, x):
        t = x.flatten(2).transpose(1, 2)  # (B, HW, C)
        a, m = fn.adaptive_avg_pool1d(t, 1), fn.adaptive_max_pool1d(t, 1)
        return x * self.gate(torch.cat([m, a], 2).transpose(1, 2).reshape(len(x), 2, *x.shape[2:]))


def spatial(key, gate, inputs=2, outputs=1, kernel=7, scaled=True, **options):
    """Register spatial attention with one thing wrong."""
    options = {"padding": kernel // 2, **options}

    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, kernel, **options)

        def forward(self, x):
            return x * gate(x, self.conv) if scaled else gate(x, self.conv)

    Wrong.__name__ = f"spatial_{key}"
    return wrong("spatial attention", key)(Wrong)


def d(x):
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)


spatial("relu_before_sigmoid", lambda x, f: f(d(x)).relu().sigmoid())
spatial("no_sigmoid", lambda x, f: f(d(x)))
spatial("tanh_gate", lambda x, f: f(d(x)).tanh())
spatial("sigmoid_twice", lambda x, f: f(d(x)).sigmoid().sigmoid())
spatial("softmax_over_places", lambda x, f: f(d(x)).flatten(2).softmax(2).view(len(x), 1, *x.shape[2:]))
spatial("input_added", lambda x, f: 1 + f(d(x)).sigmoid())
spatial("gate_inverted", lambda x, f: 1 - f(d(x)).sigmoid())
spatial("gate_squared", lambda x, f: f(d(x)).sigmoid() ** 2)
spatial("descriptors_added", lambda x, f: f(x.mean(1, True) + x.amax(1, True)).sigmoid(), inputs=1)
spatial("average_only", lambda x, f: f(x.mean(1, True)).sigmoid(), inputs=1)
spatial("max_only", lambda x, f: f(x.amax(1, True)).sigmoid(), inputs=1)
spatial("average_twice", lambda x, f: f(torch.cat([x.mean(1, True)] * 2, 1)).sigmoid())
spatial("min_for_max", lambda x, f: f(torch.cat([x.mean(1, True), x.amin(1, True)], 1)).sigmoid())
spatial("sum_over_channels", lambda x, f: f(torch.cat([x.sum(1, True), x.amax(1, True)], 1)).sigmoid())
spatial("extra_pools", lambda x, f: f(torch.cat([d(x), x.std(1, keepdim=True)], 1)).sigmoid(), inputs=3)
spatial("absolute_maximum", lambda x, f: f(torch.cat([x.mean(1, True), x.abs().amax(1, True)], 1)).sigmoid())
spatial("convolves_the_map", lambda x, f: f(x).sigmoid(), inputs=16, kernel=3)
spatial("gate_per_channel", lambda x, f: f(d(x)).sigmoid(), outputs=16)
spatial("kernel_of_size_1", lambda x, f: f(d(x)).sigmoid(), kernel=1)
spatial("circular_padding", lambda x, f: f(d(x)).sigmoid(), padding_mode="circular")
spatial("reflect_padding", lambda x, f: f(d(x)).sigmoid(), padding_mode="reflect")
spatial("dilated_kernel", lambda x, f: f(d(x)).sigmoid(), kernel=3, padding=2, dilation=2)
spatial("no_padding", lambda x, f: f(d(x)).sigmoid(), padding=0)
spatial("even_kernel_shift", lambda x, f: f(fn.pad(d(x), (1, 2, 1, 2))).sigmoid(), kernel=4, padding=0)
spatial("detached", lambda x, f: f(d(x.detach())).sigmoid())
spatial("channels_not_pooled", lambda x, f: f(x[:, :2]).sigmoid())
spatial("other_gate_function", lambda x, f: f(d(x)).clamp(0, 1))
spatial("logits_scaled", lambda x, f: (3 * f(d(x))).sigmoid())
spatial("pooled_over_places", lambda x, f: f(d(x)).mean((2, 3), keepdim=True).sigmoid())


@wrong("spatial attention", "relu_before_sigmoid")
class ReluOfTheBasicBlock(SpatialGate):
    def __init__(self):
        super().__init__(relu=True)


# ---- CBAM ------------------------------------------------------------------------------------------------------------


def pooled(x):
    """Average and maximum of each channel, (B, C) each."""
    return x.mean((2, 3)), x.amax((2, 3))


@right("CBAM", "the authors' classes")
class OfficialCBAM(nn.Module):
    def __init__(self, gate_channels, reduction_ratio=16, pool_types=("avg", "max"), no_spatial=False):
        super().__init__()
        h = gate_channels // reduction_ratio
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(gate_channels, h), nn.ReLU(), nn.Linear(h, gate_channels))
        self.pool_types, self.no_spatial = pool_types, no_spatial
        self.SpatialGate = SpatialGate()

    def forward(self, x):
        total = None
        for kind in self.pool_types:
            pool = fn.avg_pool2d if kind == "avg" else fn.max_pool2d
            raw = self.mlp(pool(x, (x.size(2), x.size(3)), stride=(x.size(2), x.size(3))))
            total = raw if total is None else total + raw
        out = x * torch.sigmoid(total).unsqueeze(2).unsqueeze(3).expand_as(x)
        return out if self.no_spatial else self.SpatialGate(out)


class TimmChannel(nn.Module):
    def __init__(self, channels, ratio):
        super().__init__()
        h = max(1, int(channels * ratio + 0.5))
        self.fc1, self.fc2 = nn.Conv2d(channels, h, 1, bias=False), nn.Conv2d(h, channels, 1, bias=False)
        self.act, self.gate = nn.ReLU(inplace=True), nn.Sigmoid()

    def forward(self, x):
        x_avg = self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True))))
        x_max = self.fc2(self.act(self.fc1(x.amax((2, 3), keepdim=True))))
        return x * self.gate(x_avg + x_max)


class TimmSpatial(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.conv = BasicConv(2, 1, kernel_size, padding=kernel_size // 2, relu=False)

    def forward(self, x):
        x_attn = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * self.conv(x_attn).sigmoid()


@right("CBAM", "timm's CbamModule")
class TimmCBAM(nn.Module):
    def __init__(self, channels, rd_ratio=1.0 / 4, spatial_kernel_size=7):
        super().__init__()
        self.channel, self.spatial = TimmChannel(channels, rd_ratio), TimmSpatial(spatial_kernel_size)

    def forward(self, x):
        return self.spatial(self.channel(x))


class BubblingChannel(nn.Module):
    def __init__(self, in_planes, ratio=8):
        super().__init__()
        self.avg_pool, self.max_pool = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.fc1 = nn.Conv2d(in_planes, in_planes // ratio, 1, bias=False)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Conv2d(in_planes // ratio, in_planes, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        avg_out = self.fc2(self.relu1(self.fc1(self.avg_pool(x))))
        max_out = self.fc2(self.relu1(self.fc1(self.max_pool(x))))
        return self.sigmoid(avg_out + max_out)


@right("CBAM", "gates that come back alone, multiplied outside")
class cbam_block(nn.Module):
    def __init__(self, channel, ratio=8, kernel_size=7):
        super().__init__()
        self.channelattention = BubblingChannel(channel, ratio=ratio)
        self.spatialattention = SpatialGateAlone(kernel_size=kernel_size)

    def forward(self, x):
        x = x * self.channelattention(x)
        x = x * self.spatialattention(x)
        return x


@right("CBAM", "raw parameters of both orientations, einsum, two kernels")
class EinsumCBAM(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(c, c // r)), nn.Parameter(torch.randn(c // r, c))
        self.k_a, self.k_m = nn.Parameter(torch.randn(1, 1, 7, 7)), nn.Parameter(torch.randn(1, 1, 7, 7))

    def forward(self, x):
        h = sum(torch.einsum("bc,ch->bh", p, self.down).relu() for p in pooled(x))
        x = torch.einsum("bchw,bc->bchw", x, torch.einsum("bh,hc->bc", h, self.up).sigmoid())
        z = fn.conv2d(x.mean(1, True), self.k_a, padding=3) + fn.conv2d(x.amax(1, True), self.k_m, padding=3)
        return x * z.sigmoid()


@right("CBAM", "a function of the map and its weights")
def cbam_function(F, W_0, W_1, kernel):
    M_c = torch.sigmoid(sum(torch.relu(p @ W_0.T) @ W_1.T for p in pooled(F)))[..., None, None]
    F_prime = M_c * F
    return F_prime * fn.conv2d(d(F_prime), kernel, padding=3).sigmoid()


@right("CBAM", "a function with biases")
def cbam_with_biases(x, w0, b0, w1, b1, kernel):
    x = x * sum(fn.linear(fn.linear(p, w0, b0).relu(), w1, b1) for p in pooled(x)).sigmoid()[:, :, None, None]
    return x * fn.conv2d(d(x), kernel, padding="same").sigmoid()


@right("CBAM", "a factory: two halves in a Sequential")
def cbam_factory(dim, reduction):
    return nn.Sequential(TimmChannel(dim, 1 / reduction), TwoKernels(3))


@right("CBAM", "gates of up to 2, so that it starts as the identity")
class IdentityStart(nn.Module):
    def __init__(self, channels, r=4):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, channels // r), nn.ReLU(), nn.Linear(channels // r, channels))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)
        for layer in (self.mlp[2], self.conv):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        x = x * 2 * torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))[:, :, None, None]
        return x * 2 * torch.sigmoid(self.conv(d(x)))


@right("CBAM", "hard sigmoids")
class HardCBAM(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        h = channels // reduction
        self.fc = nn.Sequential(nn.Conv2d(channels, h, 1), nn.ReLU(), nn.Conv2d(h, channels, 1))
        self.conv, self.gate = nn.Conv2d(2, 1, 5, padding=2, bias=False), nn.Hardsigmoid()

    def forward(self, x):
        a, m = fn.adaptive_avg_pool2d(x, 1), fn.adaptive_max_pool2d(x, 1)
        x = self.gate(self.fc(a) + self.fc(m)) * x
        return self.gate(self.conv(d(x))) * x


class Parts(nn.Module):
    """The parts of a CBAM, for those below that put them together wrongly."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        h = channels // reduction
        self.f = nn.Sequential(nn.Linear(channels, h), nn.ReLU(), nn.Linear(h, channels))
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def M_c(self, x):
        return sum(self.f(p) for p in pooled(x)).sigmoid()[:, :, None, None]

    def M_s(self, x):
        return self.conv(d(x)).sigmoid()


def together(key, out, normed=False):
    """Register a CBAM whose parts are right, but put together wrongly."""

    class Wrong(Parts):
        def __init__(self, channels, reduction=16):
            super().__init__(channels, reduction)
            if normed:
                self.conv = nn.Sequential(self.conv, nn.BatchNorm2d(1))

        def forward(self, x):
            return out(self, x)

    Wrong.__name__ = f"cbam_{key}"
    return wrong("CBAM", key)(Wrong)


def after(gate):
    """M_c F scaled by a spatial gate."""
    return lambda s, x: s.M_c(x) * x * gate(s, s.M_c(x) * x)


def before(gate):
    """A channel gate (B, C) of both descriptors, then the usual spatial gate."""

    def out(s, x):
        x = x * gate(s, *pooled(x))[:, :, None, None]
        return x * s.M_s(x)

    return out


def before_of(pool):
    """A channel gate with another pool in place of the maximum."""
    return lambda s, x: before(lambda s, a, m: (s.f(a) + s.f(pool(x))).sigmoid())(s, x)


together("spatial_reads_F", lambda s, x: x * s.M_c(x) * s.M_s(x))
together("spatial_reads_F", lambda s, x: x * s.M_c(x) * s.M_s(x), normed=True)
together("spatial_first", lambda s, x: s.M_s(x) * x * s.M_c(s.M_s(x) * x))
together("gates_added", lambda s, x: x * (s.M_c(x) + s.M_s(x)))
together("gates_added", lambda s, x: x * s.M_c(x) + x * s.M_s(x), normed=True)
together("gates_added", lambda s, x: x * (s.M_c(x) + s.M_s(s.M_c(x) * x)) / 2)
together("input_added", lambda s, x: x + x * s.M_c(x) * s.M_s(x * s.M_c(x)))
together("input_added", lambda s, x: x + x * s.M_c(x) * s.M_s(x * s.M_c(x)), normed=True)
together("input_added", lambda s, x: (x + x * s.M_c(x)) * s.M_s(x + x * s.M_c(x)))
together(
    "spatial_before_sigmoid", lambda s, x: x * (sum(map(s.f, pooled(x)))[..., None, None] + s.conv(d(x))).sigmoid()
)
together("no_spatial_gate", lambda s, x: x * s.M_c(x))
together("no_channel_gate", lambda s, x: x * s.M_s(x))
together("detached", lambda s, x: x * s.M_c(x) * s.M_s((x * s.M_c(x)).detach()))
together("input_changed", lambda s, x: x.mul_(s.M_c(x)) * s.M_s(x))
together("returns_the_gate", lambda s, x: s.M_s(x * s.M_c(x)))
together("relu_before_sigmoid", after(lambda s, x: s.conv(d(x)).relu().sigmoid()))
together("no_sigmoid", after(lambda s, x: s.conv(d(x))))
together("softmax_over_places", after(lambda s, x: s.conv(d(x)).flatten(2).softmax(2).view(len(x), 1, *x.shape[2:])))
together("average_only", after(lambda s, x: fn.conv2d(x.mean(1, True), s.conv.weight[:, :1], padding=3).sigmoid()))
together("average_twice", after(lambda s, x: s.conv(torch.cat([x.mean(1, True)] * 2, 1)).sigmoid()))
together("min_for_max", after(lambda s, x: s.conv(torch.cat([x.mean(1, True), x.amin(1, True)], 1)).sigmoid()))
together("sum_over_channels", after(lambda s, x: s.conv(torch.cat([x.sum(1, True), x.amax(1, True)], 1)).sigmoid()))
together("circular_padding", after(lambda s, x: fn.conv2d(fn.pad(d(x), (3,) * 4, "circular"), s.conv.weight).sigmoid()))
together("no_padding", after(lambda s, x: fn.conv2d(d(x), s.conv.weight).sigmoid()))
together("gate_inverted", after(lambda s, x: 1 - s.M_s(x)))
together("added_before_relu", before(lambda s, a, m: s.f(a + m).sigmoid()))
together("average_only", before(lambda s, a, m: s.f(a).sigmoid()))
together("max_only", before(lambda s, a, m: s.f(m).sigmoid()))
together("average_twice", before(lambda s, a, m: (s.f(a) + s.f(a)).sigmoid()))
together("sigmoid_per_descriptor", before(lambda s, a, m: s.f(a).sigmoid() + s.f(m).sigmoid()))
together("relu_before_sigmoid", before(lambda s, a, m: (s.f(a) + s.f(m)).relu().sigmoid()))
together("softmax_over_channels", before(lambda s, a, m: (s.f(a) + s.f(m)).softmax(1)))
together("tanh_gate", before(lambda s, a, m: (s.f(a) + s.f(m)).tanh()))
together("no_sigmoid", before(lambda s, a, m: s.f(a) + s.f(m)))
together("sigmoid_twice", before(lambda s, a, m: (s.f(a) + s.f(m)).sigmoid().sigmoid()))
together("logits_averaged", before(lambda s, a, m: ((s.f(a) + s.f(m)) / 2).sigmoid()))
together("no_relu", before(lambda s, a, m: (s.f[2](s.f[0](a)) + s.f[2](s.f[0](m))).sigmoid()))
together("other_activation", before(lambda s, a, m: sum(s.f[2](fn.gelu(s.f[0](p))) for p in (a, m)).sigmoid()))


@wrong("CBAM", "separate_mlps")
class SeparateCBAM(Parts):
    def __init__(self, channels, reduction=16):
        super().__init__(channels, reduction)
        self.g = nn.Sequential(
            nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels)
        )

    def forward(self, x):
        a, m = pooled(x)
        x = x * (self.f(a) + self.g(m)).sigmoid()[..., None, None]
        return x * self.M_s(x)


@wrong("CBAM", "no_reduction")
class WideCBAM(Parts):
    def __init__(self, channels, reduction=16):
        super().__init__(channels, 1)

    def forward(self, x):
        x = x * self.M_c(x)
        return x * self.M_s(x)


@wrong("CBAM", "pool_of_size_1")
class PoolsNothing(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.avg, self.max = nn.AvgPool2d(1), nn.MaxPool2d(1)
        self.mlp = nn.Sequential(nn.Conv2d(c, c // r, 1), nn.ReLU(), nn.Conv2d(c // r, c, 1))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        x = x * (self.mlp(self.avg(x)) + self.mlp(self.max(x))).sigmoid()
        return x * self.conv(d(x)).sigmoid()


@wrong("CBAM", "gate_per_channel")
class PerChannelCBAM(Parts):
    def __init__(self, channels, reduction):
        super().__init__(channels, reduction)
        self.conv = nn.Conv2d(2, channels, 7, padding=3)

    def forward(self, x):
        x = x * self.M_c(x)
        return x * self.M_s(x)


@wrong("CBAM", "convolves_the_map")
class ConvolvesCBAM(Parts):
    def __init__(self, channels, reduction):
        super().__init__(channels, reduction)
        self.conv = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x):
        x = x * self.M_c(x)
        return x * self.conv(x).sigmoid()


@wrong("CBAM", "even_kernel_shift")
class EvenCBAM(Parts):
    def __init__(self, channels, reduction):
        super().__init__(channels, reduction)
        self.conv = nn.Conv2d(2, 1, 6, padding="same")

    def forward(self, x):
        x = x * self.M_c(x)
        return x * self.M_s(x)


@wrong("CBAM", "weights_not_registered")
class ListCBAM(Parts):
    def __init__(self, channels, reduction):
        super().__init__(channels, reduction)
        self.hidden = [nn.Conv2d(2, 1, 7, padding=3)]
        del self.conv

    def forward(self, x):
        x = x * self.M_c(x)
        return x * self.hidden[0](d(x)).sigmoid()


# ---- where the shapes of the weights say nothing, and other odd ones -------------------------------------------------


def two_steps(x, M_c, M_s):
    x = x * M_c(x)
    return x * M_s(x)


@right("CBAM", "one flat parameter")
class FlatCBAM(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.c, self.h = c, c // r
        self.w = nn.Parameter(torch.randn(2 * self.c * self.h + 98))

    def descriptors(self, x):
        return pooled(x)

    def forward(self, x):
        n = self.c * self.h
        W_0, W_1, kernel = self.w[:n].view(self.h, -1), self.w[n : 2 * n].view(self.c, -1), self.w[2 * n :]
        z = sum(fn.linear(fn.linear(p, W_0).relu(), W_1) for p in self.descriptors(x))
        x = x * z.sigmoid()[..., None, None]
        return x * fn.conv2d(d(x), kernel.view(1, 2, 7, 7), padding=3).sigmoid()


@wrong("CBAM", "added_before_relu")
class FlatAddedBefore(FlatCBAM):
    def descriptors(self, x):
        return [sum(pooled(x))]


@right("CBAM", "weight norm in all layers")
class NormedWeights(Parts):
    def __init__(self, channels, reduction=16):
        super().__init__(channels, reduction)
        norm = torch.nn.utils.parametrizations.weight_norm
        self.f[0], self.f[2], self.conv = norm(self.f[0]), norm(self.f[2]), norm(self.conv)

    def forward(self, x):
        return two_steps(x, self.M_c, self.M_s)


@right("CBAM", "Conv1d over stacked descriptors")
class Conv1dCBAM(Parts):
    def __init__(self, channels, r=4):
        super().__init__(channels, r)
        self.f = nn.Sequential(nn.Conv1d(channels, channels // r, 1), nn.ReLU(), nn.Conv1d(channels // r, channels, 1))

    def M_c(self, x):
        return self.f(torch.stack(pooled(x), 2)).sum(2).sigmoid()[..., None, None]

    def forward(self, x):
        return two_steps(x, self.M_c, self.M_s)


@right("CBAM", "a batch norm without weights, of another eps, and dropout")
class PlainNorm(Parts):
    def __init__(self, channels, r=4):
        super().__init__(channels, r)
        self.conv = nn.Sequential(nn.Conv2d(2, 1, 3, padding=1), nn.BatchNorm2d(1, eps=1e-3, affine=False))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return two_steps(self.dropout(x), self.M_c, self.M_s)


@wrong("CBAM", "gate_per_channel")
class DepthwiseCBAM(Parts):
    def __init__(self, channels, r=4):
        super().__init__(channels, r)
        self.conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)

    def forward(self, x):
        return two_steps(x, self.M_c, lambda x: self.conv(x).sigmoid())


@wrong("CBAM", "separate_mlps")
class TwoSecondLayers(Parts):
    def __init__(self, channels, r=4):
        super().__init__(channels, r)
        self.g = nn.Linear(channels // r, channels)

    def M_c(self, x):
        a, m = pooled(x)
        return (self.f(a) + self.g(self.f[:2](m))).sigmoid()[..., None, None]

    def forward(self, x):
        return two_steps(x, self.M_c, self.M_s)


together("gate_squared", lambda s, x: two_steps(x, lambda x: s.M_c(x) ** 2, s.M_s))
together("gate_squared", lambda s, x: two_steps(x, s.M_c, lambda x: s.M_s(x) ** 2))
together("tanh_gate", lambda s, x: two_steps(x, s.M_c, lambda x: s.conv(d(x)).tanh()))
together("relu_before_sigmoid", lambda s, x: two_steps(x, s.M_c, lambda x: fn.leaky_relu(s.conv(d(x)), 0.1).sigmoid()))
together("other_gate_function", lambda s, x: two_steps(x, s.M_c, lambda x: fn.relu6(s.conv(d(x)))))
together("logits_scaled", lambda s, x: two_steps(x, s.M_c, lambda x: (s.conv(d(x)) / 4).sigmoid()))
together("logits_scaled", before(lambda s, a, m: (s.f(a) / 4 + s.f(m) / 4).sigmoid()))
together("channels_permuted", before(lambda s, a, m: (s.f(a) + s.f(m)).roll(1, 1).sigmoid()))
together("other_pool", before_of(lambda x: x.flatten(2).topk(5).values.mean(2)))
together("gates_maximum", lambda s, x: x * torch.maximum(s.M_c(x), s.M_s(x)))
together(
    "spatial_before_sigmoid",
    lambda s, x: x * (1 + (sum(map(s.f, pooled(x)))[..., None, None] + s.conv(d(x))).sigmoid()),
)
together("no_channel_gate", lambda s, x: two_steps(x, lambda x: s.M_c(x).mean(1, True), s.M_s))


@right("CBAM", "only the channel gate reaches 2")
class HalfIdentity(Parts):
    def forward(self, x):
        return two_steps(x, lambda x: 2 * self.M_c(x), self.M_s)


@right("CBAM", "only the spatial gate reaches 2")
class OtherHalfIdentity(Parts):
    def forward(self, x):
        return two_steps(x, self.M_c, lambda x: 2 * self.M_s(x))


@right("CBAM", "identity start and weight norm")
class NormedIdentity(NormedWeights):
    def forward(self, x):
        return two_steps(x, lambda x: 2 * self.M_c(x), lambda x: 2 * self.M_s(x))


@right("CBAM", "one bias, pools by view, ReLU in place")
class ViewPools(nn.Module):
    def __init__(self, c=64, reduction=16):
        super().__init__()
        h = c // reduction
        self.mlp = nn.Sequential(nn.Conv2d(c, h, 1), nn.ReLU(inplace=True), nn.Conv2d(h, c, 1, bias=False))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        b, c, h, w = x.shape
        flat = x.view(b, c, -1)
        x = x * (self.mlp(flat.mean(-1).view(b, c, 1, 1)) + self.mlp(flat.max(-1)[0].view(b, c, 1, 1))).sigmoid()
        return x * self.conv(d(x)).sigmoid()
