"""Channel attention as others write them; written without knowledge of the checker."""

import torch
import torch.nn.functional as F
from collection.entries import right, wrong
from torch import nn


@right("channel attention", "returns the gate, two calls of a shared 1x1 MLP")
class ChannelAttention(nn.Module):
    """The gate alone, as in most repositories."""

    def __init__(self, in_planes, ratio=16):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.max_pool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Sequential(
            nn.Conv2d(in_planes, in_planes // ratio, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(in_planes // ratio, in_planes, 1, bias=False),
        )
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        avg_out = self.fc(self.avg_pool(x))
        max_out = self.fc(self.max_pool(x))
        return self.sigmoid(avg_out + max_out)


class Flatten(nn.Module):
    """(B, C, 1, 1) to (B, C)."""

    def forward(self, x):
        return x.view(x.size(0), -1)


@right("channel attention", "the release's ChannelGate")
class ChannelGate(nn.Module):
    """The authors' release: pool types, Linear with biases, F.avg_pool2d."""

    def __init__(self, gate_channels, reduction_ratio=16, pool_types=("avg", "max")):
        super().__init__()
        self.gate_channels = gate_channels
        self.mlp = nn.Sequential(
            Flatten(),
            nn.Linear(gate_channels, gate_channels // reduction_ratio),
            nn.ReLU(),
            nn.Linear(gate_channels // reduction_ratio, gate_channels),
        )
        self.pool_types = pool_types

    def pool(self, x, kind):
        size = (x.size(2), x.size(3))
        if kind == "lse":
            return x.flatten(2).logsumexp(2)[..., None, None]
        return F.avg_pool2d(x, size, stride=size) if kind == "avg" else F.max_pool2d(x, size, stride=size)

    def forward(self, x):
        channel_att_sum = None
        for kind in self.pool_types:
            channel_att_raw = self.mlp(self.pool(x, kind))
            channel_att_sum = channel_att_raw if channel_att_sum is None else channel_att_sum + channel_att_raw
        scale = torch.sigmoid(channel_att_sum).unsqueeze(2).unsqueeze(3).expand_as(x)
        return x * scale


@right("channel attention", "both descriptors as one batch of 2B")
class StackedChannel(nn.Module):
    """One call of the MLP on 2B rows."""

    def __init__(self, C, r=4):
        super().__init__()
        self.W_0 = nn.Parameter(torch.randn(C // r, C) * 0.1)
        self.W_1 = nn.Parameter(torch.randn(C, C // r) * 0.1)

    def forward(self, F_in):
        b, c = F_in.shape[:2]
        both = torch.cat([F_in.mean((2, 3)), F_in.amax((2, 3))])  # (2B, C)
        out = F.relu(both @ self.W_0.T) @ self.W_1.T
        return F_in * torch.sigmoid(out[:b] + out[b:]).view(b, c, 1, 1)


@right("channel attention", "the second layer once, on the sum of the hidden units")
class HiddenSum(nn.Module):
    """W_1 is linear: it reads the sum of both hidden vectors; max as max(...)[0]."""

    def __init__(self, channels, reduction=8):
        super().__init__()
        self.encode = nn.Linear(channels, channels // reduction, bias=False)
        self.decode = nn.Linear(channels // reduction, channels, bias=False)

    def forward(self, x):
        flat = x.reshape(x.shape[0], x.shape[1], -1)
        h = F.relu(self.encode(flat.mean(-1))) + F.relu(self.encode(torch.max(flat, dim=-1)[0]))
        return self.decode(h).sigmoid()[:, :, None, None] * x


@right("channel attention", "function")
def channel_attention(x, w0, w1):
    """A function with an inner function for the MLP."""

    def mlp(d):
        return torch.einsum("ch,bh->bc", w1, torch.einsum("hc,bc->bh", w0, d).relu())

    n, c, h, w = x.size()
    top = x.view(n, c, h * w).topk(1, dim=2)[0].squeeze(2)
    m_c = torch.sigmoid(mlp(x.sum(dim=(2, 3)) / (h * w)) + mlp(top))
    return x * m_c.view(n, c, 1, 1)


@right("channel attention", "the two descriptors side by side as a (B, C, 2, 1) map")
class SideBySide(nn.Module):
    """1x1 convolutions over a map of two places, summed."""

    def __init__(self, n_channels, squeeze=4):
        super().__init__()
        self.body = nn.ModuleList([nn.Conv2d(n_channels, n_channels // squeeze, 1)])
        self.body.append(nn.Conv2d(n_channels // squeeze, n_channels, 1))

    def forward(self, x):
        d = torch.stack((x.flatten(2).mean(-1), x.flatten(2).max(-1).values), dim=2).unsqueeze(-1)
        d = self.body[1](F.relu(self.body[0](d)))
        return torch.sigmoid(d.sum(dim=2, keepdim=True))


@right("channel attention", "the average of both branches")
class MeanOfBranches(nn.Module):
    """A dictionary of layers; the gate as (B, C, 1, 1)."""

    def __init__(self, num_features, red=4):
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                "down": nn.Linear(num_features, num_features // red, bias=False),
                "up": nn.Linear(num_features // red, num_features, bias=False),
            }
        )

    def branch(self, d):
        return self.layers["up"](self.layers["down"](d).clamp_min(0))

    def forward(self, x):
        s = self.branch(x.mean((2, 3))) + self.branch(x.amax((2, 3)))
        return s.sigmoid().unflatten(1, (-1, 1, 1))


class Base(nn.Module):
    """Right, and a base for mistakes: the average, the maximum, the MLP, their sum."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.fc1 = nn.Linear(channels, channels // reduction, bias=False)
        self.fc2 = nn.Linear(channels // reduction, channels, bias=False)

    def mlp(self, d):
        return self.fc2(F.relu(self.fc1(d)))

    def average(self, x):
        return x.mean((2, 3))

    def maximum(self, x):
        return x.amax((2, 3))

    def logits(self, x):
        return self.mlp(self.average(x)) + self.mlp(self.maximum(x))

    def gate(self, x):
        return torch.sigmoid(self.logits(x))

    def forward(self, x):
        return x * self.gate(x)[:, :, None, None]


@wrong("channel attention", "separate_mlps")
class TwoMLPs(nn.Module):
    """One MLP for each descriptor."""

    def __init__(self, in_planes, ratio=4):
        super().__init__()
        self.mlp_avg, self.mlp_max = (
            nn.Sequential(
                nn.Conv2d(in_planes, in_planes // ratio, 1, bias=False),
                nn.ReLU(),
                nn.Conv2d(in_planes // ratio, in_planes, 1, bias=False),
            )
            for _ in range(2)
        )

    def forward(self, x):
        s = self.mlp_avg(F.adaptive_avg_pool2d(x, 1)) + self.mlp_max(F.adaptive_max_pool2d(x, 1))
        return torch.sigmoid(s)


@wrong("channel attention", "separate_mlps")
class SharedFirstOnly(Base):
    """The first layer is shared, the second is not."""

    def __init__(self, channels, reduction=4):
        super().__init__(channels, reduction)
        self.fc3 = nn.Linear(channels // reduction, channels, bias=False)

    def logits(self, x):
        return self.mlp(self.average(x)) + self.fc3(F.relu(self.fc1(self.maximum(x))))


@wrong("channel attention", "added_before_relu")
class AddedFirst(Base):
    """MLP(avg + max)."""

    def logits(self, x):
        return self.mlp(self.average(x) + self.maximum(x))


@wrong("channel attention", "added_before_relu")
class AddedHidden(Base):
    """ReLU of the sum of both hidden vectors."""

    def logits(self, x):
        return self.fc2(F.relu(self.fc1(self.average(x)) + self.fc1(self.maximum(x))))


@wrong("channel attention", "concatenated_descriptors")
class Concatenated(nn.Module):
    """One MLP that reads 2C values."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(2 * channels, channels // reduction), nn.ReLU(), nn.Linear(channels // reduction, channels)
        )

    def forward(self, x):
        both = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        return x * torch.sigmoid(self.mlp(both))[:, :, None, None]


@wrong("channel attention", "average_twice")
class CopyPaste(ChannelAttention):
    """Both outputs come from the average."""

    def forward(self, x):
        avg_out = self.fc(self.avg_pool(x))
        return self.sigmoid(avg_out + avg_out)


@wrong("channel attention", "average_twice")
class BothAverages(Base):
    """The maximum's function averages, too."""

    def maximum(self, x):
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


@wrong("channel attention", "average_only")
class JustSE(Base):
    """No branch for the maximum."""

    def logits(self, x):
        return self.mlp(self.average(x))


@wrong("channel attention", "max_only")
class JustMax(Base):
    """No branch for the average."""

    def logits(self, x):
        return self.mlp(self.maximum(x))


@wrong("channel attention", "sigmoid_per_descriptor")
class TwoSigmoids(Base):
    """Each branch has a sigmoid; the gates are added."""

    def gate(self, x):
        return torch.sigmoid(self.mlp(self.average(x))) + torch.sigmoid(self.mlp(self.maximum(x)))


@wrong("channel attention", "sigmoid_per_descriptor")
class SigmoidInMLP(nn.Module):
    """The MLP ends with a sigmoid."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * (self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))).view(*x.shape[:2], 1, 1)


@wrong("channel attention", "relu_before_sigmoid")
class ReluLast(Base):
    """A ReLU after each layer of the MLP."""

    def mlp(self, d):
        return super().mlp(d).relu()


@wrong("channel attention", "relu_before_sigmoid")
class ReluSum(ChannelAttention):
    """A ReLU on the sum."""

    def forward(self, x):
        return self.sigmoid(F.relu(self.fc(self.avg_pool(x)) + self.fc(self.max_pool(x))))


@wrong("channel attention", "sigmoid_twice")
class Twice(Base):
    """sigmoid(sigmoid(...))."""

    def gate(self, x):
        return super().gate(x).sigmoid()


@wrong("channel attention", "no_sigmoid")
class NoSigmoid(ChannelAttention):
    """Imported, never called."""

    def forward(self, x):
        return x * (self.fc(self.avg_pool(x)) + self.fc(self.max_pool(x)))


@wrong("channel attention", "pool_of_size_1")
class PoolOne(ChannelAttention):
    """Not the adaptive pools."""

    def __init__(self, in_planes, ratio=4):
        super().__init__(in_planes, ratio)
        self.avg_pool, self.max_pool = nn.AvgPool2d(1), nn.MaxPool2d(1)


@wrong("channel attention", "max_twice")
class BothMax(ChannelAttention):
    """Both pools take the maximum."""

    def __init__(self, in_planes, ratio=4):
        super().__init__(in_planes, ratio)
        self.avg_pool = nn.AdaptiveMaxPool2d((1, 1))


@wrong("channel attention", "min_for_max")
class Minimum(Base):
    """topk with largest=False."""

    def maximum(self, x):
        return x.flatten(2).topk(1, largest=False)[0].squeeze(-1)


@wrong("channel attention", "sum_for_mean")
class SumPool(Base):
    """Forgets to divide."""

    def average(self, x):
        return torch.einsum("bchw->bc", x)


@wrong("channel attention", "pooled_one_axis")
class OneAxis(nn.Module):
    """Pools over the height only."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.a = nn.Conv2d(channels, channels // reduction, 1)
        self.b = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        mean, top = x.mean(dim=2, keepdim=True), x.max(dim=2, keepdim=True)[0]
        return x * (self.b(self.a(mean).relu()) + self.b(self.a(top).relu())).sigmoid()


@wrong("channel attention", "no_relu")
class Linear(Base):
    """Two linear layers in a row."""

    def mlp(self, d):
        return self.fc2(self.fc1(d))


@wrong("channel attention", "other_activation")
class Swish(Base):
    """SiLU."""

    def mlp(self, d):
        return self.fc2(F.silu(self.fc1(d)))


@wrong("channel attention", "extra_pools")
class LogSumExp(ChannelGate):
    """The release's option with a third pool."""

    def __init__(self, gate_channels, reduction_ratio=4):
        super().__init__(gate_channels, reduction_ratio, ("avg", "max", "lse"))


@wrong("channel attention", "softmax_over_channels")
class Competing(Base):
    """softmax for sigmoid."""

    def gate(self, x):
        return self.logits(x).softmax(dim=1)


@wrong("channel attention", "detached")
class NoGrad(Base):
    """Decorated as for inference."""

    @torch.no_grad()
    def gate(self, x):
        return super().gate(x)


@wrong("channel attention", "batch_mixed")
class MaxOfBatch(Base):
    """The maximum over the whole batch."""

    def maximum(self, x):
        return x.amax((0, 2, 3)).repeat(x.shape[0], 1)


@wrong("channel attention", "view_mixup")
class Reshaped(Base):
    """Channels last by reshape, not by permute."""

    def average(self, x):
        b, c, h, w = x.shape
        return x.reshape(b, h * w, c).mean(1)

    def maximum(self, x):
        b, c, h, w = x.shape
        return x.reshape(b, h * w, c).amax(1)


@wrong("channel attention", "square_only")
class FixedSize(Base):
    """The window is H x H."""

    def average(self, x):
        return F.avg_pool2d(x, x.shape[2]).flatten(1)

    def maximum(self, x):
        return F.max_pool2d(x, x.shape[2]).flatten(1)
