"""SE and CBAM's channel attention as public code and students write them."""

import torch
import torch.nn.functional as fn
from collection.entries import right, wrong
from torch import nn

import cbam_lite

right("SE", "ours")(cbam_lite.SqueezeExcitation)
right("channel attention", "ours")(cbam_lite.ChannelAttention)


# ---- SE --------------------------------------------------------------------------------------------------------------


@right("SE", "Linear, Sequential, as in the most copied file")
class SELayer(nn.Module):
    def __init__(self, channel, reduction=16):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, channel // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channel // reduction, channel, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        return x * self.fc(self.avg_pool(x).view(b, c)).view(b, c, 1, 1).expand_as(x)


right("SE", "a built module")(SELayer(32, 8))


@right("SE", "1x1 convolutions with biases")
class Squeeze(nn.Module):
    def __init__(self, dim, ratio):
        super().__init__()
        self.down, self.up = nn.Conv2d(dim, dim // ratio, 1), nn.Conv2d(dim // ratio, dim, 1)

    def forward(self, x):
        s = x.mean((2, 3), keepdim=True)
        return x * self.up(fn.relu(self.down(s))).sigmoid()


@right("SE", "raw parameters, einsum, (C, h)")
class Einsum(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.up = nn.Parameter(torch.randn(c // r, c))
        self.down = nn.Parameter(torch.randn(c, c // r))

    def forward(self, x):
        h = torch.einsum("bchw,cr->br", x / x[0, 0].numel(), self.down).clamp(min=0)
        return torch.einsum("bchw,bc->bchw", x, torch.sigmoid(h @ self.up))


@right("SE", "a function of the map and its weights")
def se_function(F, W_0, W_1):
    a = F.mean((2, 3))
    return F * torch.sigmoid(torch.relu(a @ W_0.T) @ W_1.T)[:, :, None, None]


@right("SE", "a function with biases, transposed weights")
def se_transposed(x, w1, b1, w2, b2):
    return x * (fn.relu(x.mean((2, 3)) @ w1 + b1) @ w2 + b2).sigmoid()[..., None, None]


@right("SE", "a factory with a Sequential inside, view over places")
def se_factory(channels, reduction):
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels)
            )

        def forward(self, x):
            n, c, h, w = x.shape
            z = self.layers(x.reshape(n, c, h * w).mean(-1))
            return x * torch.sigmoid(z).reshape(n, c, 1, 1)

    return Gate()


@right("SE", "hard sigmoid, MobileNetV3")
class MobileSE(nn.Module):
    def __init__(self, in_channels, reduction=4):
        super().__init__()
        self.fc1 = nn.Conv2d(in_channels, max(8, in_channels // reduction), 1)
        self.fc2 = nn.Conv2d(max(8, in_channels // reduction), in_channels, 1)

    def forward(self, x):
        return x * fn.hardsigmoid(self.fc2(self.fc1(fn.adaptive_avg_pool2d(x, 1)).relu()))


@right("SE", "channels only, view before the mean, starts as the identity")
class Identity2(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.a, self.b = nn.Linear(channels, channels // 16), nn.Linear(channels // 16, channels)
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)

    def forward(self, x):
        z = self.b(self.a(x.view(x.size(0), x.size(1), -1).mean(2)).relu())
        return 2 * torch.sigmoid(z)[:, :, None, None] * x


def se(
    key,
    gate=None,
    out=None,
    delta=fn.relu,
    pool=lambda x: x.mean((2, 3)),
    hidden=lambda c, r: c // r,
    close=torch.sigmoid,
):
    """Register SE with one thing wrong."""

    class Wrong(nn.Module):
        def __init__(self, channels, reduction=16):
            super().__init__()
            h = hidden(channels, reduction)
            self.fc1, self.fc2 = nn.Linear(channels, h), nn.Linear(h, channels)

        def forward(self, x):
            z = gate(self, x) if gate else self.fc2(delta(self.fc1(pool(x))))
            m = close(z)
            m = m[:, :, None, None] if m.dim() == 2 else m
            return out(x, m) if out else x * m

    Wrong.__name__ = key
    return wrong("SE", key)(Wrong)


def per_place(self, x):
    return self.fc2(fn.relu(self.fc1(fn.avg_pool2d(x, 1).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)


def no_grad_pool(x):
    with torch.no_grad():
        return x.mean((2, 3))


def sum_logits(self, x):
    return self.fc2(fn.relu(self.fc1(x.mean((2, 3))))) + self.fc2(fn.relu(self.fc1(x.amax((2, 3)))))


se("relu_before_sigmoid", close=lambda z: z.relu().sigmoid())
se("no_sigmoid", close=lambda z: z)
se("no_sigmoid", close=fn.relu)
se("sigmoid_twice", close=lambda z: z.sigmoid().sigmoid())
se("softmax_over_channels", close=lambda z: z.softmax(1))
se("softmax_over_batch", close=lambda z: z.softmax(0))
se("tanh_gate", close=torch.tanh)
se("gate_inverted", close=lambda z: 1 - z.sigmoid())
se("gate_squared", out=lambda x, m: x * m * m)
se("input_added", out=lambda x, m: x + x * m)
se("not_scaled", out=lambda x, m: x + m)
se("returns_the_gate", out=lambda x, m: m)
se("input_changed", out=lambda x, m: x.mul_(m))
se("no_relu", delta=lambda z: z)
se("other_activation", delta=fn.gelu)
se("other_activation", delta=lambda z: fn.leaky_relu(z, 0.1))
se("other_activation", delta=torch.sigmoid)
se("max_for_average", pool=lambda x: x.amax((2, 3)))
se("sum_for_mean", pool=lambda x: x.sum((2, 3)))
se("sum_for_mean", pool=lambda x: x.sum((2, 3)) / x.shape[2] ** 2)
se("batch_mixed", pool=lambda x: x.mean((2, 3)) + 0.1 * x.mean((0, 2, 3)))
se("view_mixup", pool=lambda x: x.mean((2, 3)).view(x.shape[1], x.shape[0]).T)
se("detached", pool=no_grad_pool)
se("pool_of_size_1", gate=per_place)
se("maximum_added", gate=sum_logits)
se("no_reduction", hidden=lambda c, r: c)
se("reduction_as_units", hidden=lambda c, r: r)
se("reduction_ignored", hidden=lambda c, r: 8)


@wrong("SE", "weights_not_registered")
class InAList(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.layers = [nn.Linear(c, c // r), nn.Linear(c // r, c)]

    def forward(self, x):
        return x * self.layers[1](self.layers[0](x.mean((2, 3))).relu()).sigmoid()[:, :, None, None]


@wrong("SE", "not_deterministic")
class MadeInForward(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.c, self.r = c, r

    def forward(self, x):
        first, second = nn.Linear(self.c, self.c // self.r), nn.Linear(self.c // self.r, self.c)
        return x * second(first(x.mean((2, 3))).relu()).sigmoid()[:, :, None, None]


@wrong("SE", "square_only")
class PoolOfHeight(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.a, self.b = nn.Linear(c, c // r), nn.Linear(c // r, c)

    def forward(self, x):
        b, c, h, _ = x.shape
        return x * self.b(self.a(fn.avg_pool2d(x, h).view(b, c)).relu()).sigmoid().view(b, c, 1, 1)


@wrong("SE", "wrong_shape")
class NoAxes(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.a, self.b = nn.Linear(c, c // r), nn.Linear(c // r, c)

    def forward(self, x):
        return x * self.b(self.a(x.mean((2, 3))).relu()).sigmoid()


@wrong("SE", "batch_of_one")
class Squeezed(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.a, self.b = nn.Linear(c, c // r), nn.Linear(c // r, c)

    def forward(self, x):
        z = self.b(self.a(fn.adaptive_avg_pool2d(x, 1).squeeze()).relu()).sigmoid()
        return x * z.unsqueeze(2).unsqueeze(3)


wrong("SE", "gate_constant")(nn.Identity())


@wrong("SE", "unfilled")
class Unfilled(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()

    def forward(self, x):
        raise NotImplementedError


# ---- channel attention -----------------------------------------------------------------------------------------------


@right("channel attention", "the gate alone, shared 1x1 convolutions")
class GateAlone(nn.Module):
    def __init__(self, in_planes, ratio=16):
        super().__init__()
        self.avg_pool, self.max_pool = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Sequential(
            nn.Conv2d(in_planes, in_planes // ratio, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(in_planes // ratio, in_planes, 1, bias=False),
        )

    def forward(self, x):
        return torch.sigmoid(self.fc(self.avg_pool(x)) + self.fc(self.max_pool(x)))


@right("channel attention", "the authors' loop over pools")
class ChannelGate(nn.Module):
    def __init__(self, gate_channels, reduction_ratio=16, pool_types=("avg", "max")):
        super().__init__()
        h = gate_channels // reduction_ratio
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(gate_channels, h), nn.ReLU(), nn.Linear(h, gate_channels))
        self.pool_types = pool_types

    def forward(self, x):
        total = None
        for kind in self.pool_types:
            pool = fn.avg_pool2d if kind == "avg" else fn.max_pool2d
            raw = self.mlp(pool(x, (x.size(2), x.size(3)), stride=(x.size(2), x.size(3))))
            total = raw if total is None else total + raw
        return x * torch.sigmoid(total).unsqueeze(2).unsqueeze(3).expand_as(x)


@right("channel attention", "one call, stacked descriptors")
class Stacked(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(c, c // r), nn.ReLU(), nn.Linear(c // r, c))

    def forward(self, x):
        d = torch.stack([x.amax((2, 3)), x.mean((2, 3))])
        return x * self.net(d).sum(0).sigmoid()[:, :, None, None]


@right("channel attention", "hidden units added, then one W_1")
class HiddenAdded(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.a, self.b = nn.Linear(c, c // r), nn.Linear(c // r, c)

    def forward(self, x):
        h = self.a(x.mean((2, 3))).relu() + self.a(x.amax((2, 3))).relu()
        return x * self.b(h).sigmoid()[:, :, None, None]


@right("channel attention", "a function")
def channel_function(F, W_0, W_1):
    def mlp(d):
        return W_1 @ torch.relu(W_0 @ d)

    d = F.flatten(2)
    return F * torch.sigmoid(mlp(d.mean(2).T) + mlp(d.amax(2).T)).T[:, :, None, None]


def attention(key, gate, units=1):
    """Register channel attention with one thing wrong; `units` MLPs."""

    class Wrong(nn.Module):
        def __init__(self, channels, reduction=16):
            super().__init__()
            h = channels // reduction
            self.mlps = nn.ModuleList(
                nn.Sequential(nn.Linear(channels, h), nn.ReLU(), nn.Linear(h, channels)) for _ in range(units)
            )

        def forward(self, x):
            return x * gate(x, *self.mlps)[:, :, None, None]

    Wrong.__name__ = key
    return wrong("channel attention", key)(Wrong)


def a(x):
    return x.mean((2, 3))


def m(x):
    return x.amax((2, 3))


attention("separate_mlps", lambda x, f, g: (f(a(x)) + g(m(x))).sigmoid(), units=2)
attention("added_before_relu", lambda x, f: f(a(x) + m(x)).sigmoid())
attention("sigmoid_per_descriptor", lambda x, f: f(a(x)).sigmoid() + f(m(x)).sigmoid())
attention("average_twice", lambda x, f: (f(a(x)) + f(a(x))).sigmoid())
attention("average_only", lambda x, f: f(a(x)).sigmoid())
attention("max_only", lambda x, f: f(m(x)).sigmoid())
attention("min_for_max", lambda x, f: (f(a(x)) + f(x.amin((2, 3)))).sigmoid())
attention("sum_for_mean", lambda x, f: (f(x.sum((2, 3))) + f(m(x))).sigmoid())
attention("logits_averaged", lambda x, f: ((f(a(x)) + f(m(x))) / 2).sigmoid())
attention("softmax_over_channels", lambda x, f: (f(a(x)) + f(m(x))).softmax(1))
attention("relu_before_sigmoid", lambda x, f: (f(a(x)) + f(m(x))).relu().sigmoid())
attention("extra_pools", lambda x, f: (f(a(x)) + f(m(x)) + f(x.logsumexp((2, 3)))).sigmoid())
attention("multiplied_descriptors", lambda x, f: (f(a(x)) * f(m(x))).sigmoid())


@wrong("channel attention", "concatenated_descriptors")
class Concatenated(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2 * c, c // r), nn.ReLU(), nn.Linear(c // r, c))

    def forward(self, x):
        return x * self.net(torch.cat([a(x), m(x)], 1)).sigmoid()[:, :, None, None]


@wrong("channel attention", "gates_differ_by_place")
class Windows(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(c, c // r, 1), nn.ReLU(), nn.Conv2d(c // r, c, 1))

    def forward(self, x):
        return x * (self.net(fn.avg_pool2d(x, 3, 1, 1)) + self.net(fn.max_pool2d(x, 3, 1, 1))).sigmoid()
