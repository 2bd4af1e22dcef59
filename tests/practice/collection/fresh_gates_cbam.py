"""Spatial attention and CBAM as others write them; written without knowledge of the checker."""

import torch
import torch.nn.functional as F
from collection.entries import right, wrong
from collection.fresh_gates_channel import ChannelAttention, ChannelGate, MeanOfBranches, channel_attention
from torch import nn


@right("spatial attention", "returns the gate, [avg; max], no bias")
class SpatialAttention(nn.Module):
    """As in most repositories."""

    def __init__(self, kernel_size=7):
        super().__init__()
        assert kernel_size in (3, 7), "kernel size must be 3 or 7"
        self.conv1 = nn.Conv2d(2, 1, kernel_size, padding=3 if kernel_size == 7 else 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def first(self, x):
        return torch.mean(x, dim=1, keepdim=True)

    def second(self, x):
        return torch.max(x, dim=1, keepdim=True)[0]

    def logits(self, x):
        return self.conv1(torch.cat([self.first(x), self.second(x)], dim=1))

    def forward(self, x):
        return self.sigmoid(self.logits(x))


@right("spatial attention", "the release: [max; mean], batch norm, scaled")
class SpatialGate(nn.Module):
    """The authors' release."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, stride=1, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1, eps=1e-5, momentum=0.01, affine=True)

    def forward(self, x):
        x_compress = torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1)
        return x * torch.sigmoid(self.bn(self.conv(x_compress)))


@right("spatial attention", "one convolution for each descriptor, outputs added")
class TwoConvolutions(nn.Module):
    """The two input channels of the kernel as two convolutions."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.on_average = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.on_maximum = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x):
        s = self.on_average(x.mean(1, True)) + self.on_maximum(x.max(1, True).values)
        return x * s.sigmoid()


@right("spatial attention", "raw parameter, F.pad")
class RawSpatial(nn.Module):
    """Padding by hand, the kernel a bare parameter, channels asked and unused."""

    def __init__(self, in_channels, k=5):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(1, 2, k, k))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        p = self.kernel.shape[-1] // 2
        d = F.pad(torch.stack([x.mean(1), x.topk(1, dim=1).values[:, 0]], dim=1), (p, p, p, p))
        return F.conv2d(d, self.kernel, self.bias).sigmoid() * x


@right("spatial attention", "unfold and matrix product")
class UnfoldSpatial(nn.Module):
    """The convolution as a product with unfolded windows."""

    def __init__(self, kernel_size=3):
        super().__init__()
        self.k, self.w = kernel_size, nn.Parameter(torch.randn(1, 2 * kernel_size**2))

    def forward(self, x):
        b, c, h, w = x.shape
        d = torch.cat([x.sum(1, keepdim=True) / c, x.amax(1, keepdim=True)], 1)
        return (self.w @ F.unfold(d, self.k, padding=self.k // 2)).view(b, 1, h, w).sigmoid()


@right("spatial attention", "function")
def spatial_attention(x, kernel):
    """A function with padding="same"."""
    d = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
    return x * F.conv2d(d, kernel, padding="same").sigmoid()


@right("spatial attention", "pooling by permute and AdaptivePool")
class PermutedSpatialGate(nn.Module):
    """Pools the channels as if they were places; returns the gate."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(2, 1, kernel_size, padding="same"), nn.Sigmoid())

    def forward(self, x):
        b, c, h, w = x.shape
        flat = x.flatten(2).transpose(1, 2)  # (B, HW, C)
        d = torch.cat([F.adaptive_max_pool1d(flat, 1), F.adaptive_avg_pool1d(flat, 1)], dim=2)
        return self.net(d.transpose(1, 2).reshape(b, 2, h, w))


@wrong("spatial attention", "no_padding")
class Shrinking(nn.Module):
    """No padding: the gate is six smaller."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size)

    def forward(self, x):
        return torch.sigmoid(self.conv(torch.cat([x.mean(1, True), x.amax(1, True)], 1)))


@wrong("spatial attention", "gate_per_channel")
class ManyGates(nn.Module):
    """The convolution has C outputs."""

    def __init__(self, channels, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(2, channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, True), x.amax(1, True)], 1)))


@wrong("spatial attention", "pooled_over_places")
class OverPlaces(nn.Module):
    """Pools over the places as the channel attention does."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x):
        d = torch.stack([x.mean((2, 3)), x.amax((2, 3))], 1).unsqueeze(-1)  # (B, 2, C, 1)
        return x * self.conv(d).sigmoid().transpose(1, 2)


@wrong("spatial attention", "descriptors_added")
class Added(nn.Module):
    """avg + max as one map."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x.mean(1, True) + x.amax(1, True)))


@wrong("spatial attention", "kernel_of_size_1")
class OneByOne(nn.Module):
    """A 1x1 convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, True), x.amax(1, True)], 1)))


@wrong("spatial attention", "convolves_the_map")
class NoPooling(nn.Module):
    """C channels into the convolution."""

    def __init__(self, in_channels, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x):
        return x * self.conv(x).sigmoid()


@wrong("spatial attention", "average_twice")
class SameTwice(SpatialAttention):
    """[avg; avg]."""

    def second(self, x):
        return self.first(x)


@wrong("spatial attention", "average_only")
class AverageMap(nn.Module):
    """One descriptor."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x):
        return torch.sigmoid(self.conv(self.pool(x)))

    def pool(self, x):
        return x.mean(1, keepdim=True)


@wrong("spatial attention", "max_only")
class MaximumMap(AverageMap):
    """One descriptor, the other."""

    def pool(self, x):
        return x.amax(1, keepdim=True)


@wrong("spatial attention", "sum_over_channels")
class SumMap(SpatialAttention):
    """The sum of the channels."""

    def first(self, x):
        return x.sum(1, keepdim=True)


@wrong("spatial attention", "min_for_max")
class MinMap(SpatialAttention):
    """torch.min."""

    def second(self, x):
        return torch.min(x, dim=1, keepdim=True)[0]


@wrong("spatial attention", "relu_before_sigmoid")
class BasicConvGate(SpatialGate):
    """BasicConv's ReLU is left on."""

    def __init__(self):
        super().__init__()
        self.bn = nn.Sequential(self.bn, nn.ReLU())


@wrong("spatial attention", "no_sigmoid")
class RawLogits(SpatialAttention):
    """Scales by the convolution's output."""

    def forward(self, x):
        return x * self.logits(x)


@wrong("spatial attention", "softmax_over_places")
class SoftPlaces(SpatialAttention):
    """The places compete."""

    def forward(self, x):
        s = self.logits(x)
        return x * s.flatten(1).softmax(1).view_as(s)


@wrong("spatial attention", "circular_padding")
class Wrapped(nn.Module):
    """padding_mode is circular."""

    def __init__(self, kernel_size=7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, padding_mode="circular")

    def forward(self, x):
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, True), x.amax(1, True)], 1)))


@wrong("spatial attention", "input_added")
class PlusInput(SpatialAttention):
    """x * M + x."""

    def forward(self, x):
        return x * super().forward(x) + x


@wrong("spatial attention", "sigmoid_twice")
def spatial_twice(x, kernel):
    """A sigmoid too many."""
    d = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
    gate = F.conv2d(d, kernel, padding=kernel.shape[-1] // 2).sigmoid()
    return x * gate.sigmoid()


@right("CBAM", "two sub-modules that return their gates")
class CBAM(nn.Module):
    """As in most repositories: out = x * ca(x); out * sa(out)."""

    def __init__(self, in_planes, ratio=16, kernel_size=7):
        super().__init__()
        self.ca = ChannelAttention(in_planes, ratio)
        self.sa = SpatialAttention(kernel_size)

    def forward(self, x):
        out = x * self.ca(x)
        return out * self.sa(out)


@right("CBAM", "the release: biases, [max; mean], batch norm that starts at zero")
class ReleasedCBAM(nn.Module):
    """The authors' release."""

    def __init__(self, gate_channels, reduction_ratio=16, pool_types=("avg", "max"), no_spatial=False):
        super().__init__()
        self.ChannelGate = ChannelGate(gate_channels, reduction_ratio, pool_types)
        self.no_spatial = no_spatial
        if not no_spatial:
            self.SpatialGate = SpatialGate()
            nn.init.zeros_(self.SpatialGate.bn.weight)

    def forward(self, x):
        x_out = self.ChannelGate(x)
        return x_out if self.no_spatial else self.SpatialGate(x_out)


right("CBAM", "a lambda, Sequential of two scaling modules")(
    lambda C, r=4: nn.Sequential(ChannelGate(C, r), TwoConvolutions(3))
)


@right("CBAM", "a function")
def cbam(F_, W_0, W_1, kernel):
    """Calls two functions."""
    return spatial_attention(channel_attention(F_, W_0, W_1), kernel)


@right("CBAM", "everything in one class")
class AllInOne(nn.Module):
    """No sub-modules; the paper's names."""

    def __init__(self, channels, reduction=8):
        super().__init__()
        self.W_0 = nn.Parameter(torch.randn(channels // reduction, channels) / channels**0.5)
        self.W_1 = nn.Parameter(torch.randn(channels, channels // reduction))
        self.f = nn.Parameter(torch.randn(1, 2, 7, 7) * 0.1)

    def forward(self, x):
        w_0, w_1 = self.W_0, self.W_1
        mlp = lambda v: torch.einsum("ch,bh->bc", w_1, torch.einsum("hc,bc->bh", w_0, v).relu())  # noqa: E731
        m_c = torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))
        x1 = torch.einsum("bchw,bc->bchw", x, m_c)
        m_s = torch.sigmoid(F.conv2d(torch.stack([x1.mean(1), x1.amax(1)], 1), self.f, padding=3))
        return x1 * m_s


@right("CBAM", "keyword-only, odd names, ModuleList")
class OddNames(nn.Module):
    """Gates in a list, applied in a loop."""

    def __init__(self, *, reduction=4, channels, kernel_size=5):
        super().__init__()
        self.gates = nn.ModuleList([MeanOfBranches(channels, reduction), PermutedSpatialGate(kernel_size)])

    def forward(self, x):
        for gate in self.gates:
            x = x * gate(x)
        return x


right("CBAM", "a built module")(CBAM(8, 2, 3))


class Both(nn.Module):
    """Right, and a base for mistakes."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.fc1 = nn.Linear(channels, channels // reduction)
        self.fc2 = nn.Linear(channels // reduction, channels)
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def mlp(self, d):
        return self.fc2(F.relu(self.fc1(d)))

    def channel(self, x):
        s = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return torch.sigmoid(s)[:, :, None, None]

    def describe(self, x):
        return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)

    def spatial(self, x):
        return torch.sigmoid(self.conv(self.describe(x)))

    def forward(self, x):
        x = self.channel(x) * x
        return self.spatial(x) * x


@wrong("CBAM", "spatial_reads_F")
class ReadsF(Both):
    """Both gates from the input."""

    def forward(self, x):
        return x * self.channel(x) * self.spatial(x)


@wrong("CBAM", "spatial_reads_F")
class ReadsFToo(CBAM):
    """The names of the variables are mixed up."""

    def forward(self, x):
        out = self.ca(x) * x
        return self.sa(x) * out


@wrong("CBAM", "spatial_first")
class SpatialFirst(Both):
    """The other order."""

    def forward(self, x):
        x = x * self.spatial(x)
        return x * self.channel(x)


wrong("CBAM", "spatial_first")(lambda C, r=4: nn.Sequential(TwoConvolutions(7), ChannelGate(C, r)))


@wrong("CBAM", "gates_added")
class GatesAdded(Both):
    """x * (M_c + M_s), M_s from the refined map."""

    def forward(self, x):
        m_c = self.channel(x)
        return x * (m_c + self.spatial(x * m_c))


@wrong("CBAM", "gates_added")
class Parallel(CBAM):
    """Two branches side by side, added."""

    def forward(self, x):
        return x * self.ca(x) + x * self.sa(x)


@wrong("CBAM", "no_spatial_gate")
class ChannelOnly(ReleasedCBAM):
    """no_spatial is on."""

    def __init__(self, gate_channels, reduction_ratio=4):
        super().__init__(gate_channels, reduction_ratio, no_spatial=True)


@wrong("CBAM", "no_channel_gate")
class SpatialOnly(CBAM):
    """The first product is overwritten."""

    def forward(self, x):
        out = x
        return out * self.sa(out)


@wrong("CBAM", "input_added")
class CBAMBlock(CBAM):
    """A residual inside."""

    def forward(self, x):
        residual = x
        out = x * self.ca(x)
        out = out * self.sa(out)
        return out + residual


@wrong("CBAM", "separate_mlps")
class Separate(Both):
    """A second pair of layers for the maximum."""

    def __init__(self, channels, reduction=4):
        super().__init__(channels, reduction)
        hidden = channels // reduction
        self.other = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def channel(self, x):
        return torch.sigmoid(self.mlp(x.mean((2, 3))) + self.other(x.amax((2, 3))))[:, :, None, None]


@wrong("CBAM", "relu_before_sigmoid")
class ReluMLP(Both):
    """The MLP ends with a ReLU."""

    def mlp(self, d):
        return F.relu(super().mlp(d))


@wrong("CBAM", "pool_of_size_1")
class TinyPools(nn.Module):
    """nn.AvgPool2d(1) and nn.MaxPool2d(1)."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.avg, self.max = nn.AvgPool2d(1), nn.MaxPool2d(1)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1), nn.ReLU(), nn.Conv2d(channels // reduction, channels, 1)
        )
        self.sa = SpatialAttention()

    def forward(self, x):
        x = x * torch.sigmoid(self.mlp(self.avg(x)) + self.mlp(self.max(x)))
        return x * self.sa(x)


@wrong("CBAM", "average_twice")
class AverageTwice(Both):
    """avg + avg."""

    def channel(self, x):
        z = self.mlp(x.mean((2, 3)))
        return torch.sigmoid(z + z)[:, :, None, None]


@wrong("CBAM", "average_only")
class AverageOnly(Both):
    """An SE with a spatial gate behind it."""

    def channel(self, x):
        return torch.sigmoid(self.mlp(x.mean((2, 3))))[:, :, None, None]


@wrong("CBAM", "sigmoid_twice")
class SpatialTwice(Both):
    """The spatial gate's sigmoid is applied twice."""

    def spatial(self, x):
        return super().spatial(x).sigmoid()


@wrong("CBAM", "no_sigmoid")
class NoChannelSigmoid(Both):
    """The channel gate is a plain sum."""

    def channel(self, x):
        return (self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))[:, :, None, None]


@wrong("CBAM", "added_before_relu")
class AddedPools(Both):
    """One call of the MLP on the sum."""

    def channel(self, x):
        return torch.sigmoid(self.mlp(x.mean((2, 3)) + x.amax((2, 3))))[:, :, None, None]


@wrong("CBAM", "pooled_over_places")
class ChannelTwice(Both):
    """The second gate pools over the places, too."""

    def describe(self, x):
        d = torch.stack([x.mean((2, 3)).mean(1), x.amax((2, 3)).amax(1)], 1)
        return d[:, :, None, None].expand(-1, -1, *x.shape[2:])


@wrong("CBAM", "kernel_of_size_1")
class SmallKernel(Both):
    """1x1 for 7x7."""

    def __init__(self, channels, reduction=4):
        super().__init__(channels, reduction)
        self.conv = nn.Conv2d(2, 1, 1, bias=False)


@wrong("CBAM", "min_for_max")
class MinimumMap(Both):
    """The spatial gate reads the minimum of the channels."""

    def describe(self, x):
        return torch.cat([x.mean(1, keepdim=True), x.amin(1, keepdim=True)], 1)


@wrong("CBAM", "returns_the_gate")
class GateOnly(Both):
    """M_c * M_s."""

    def forward(self, x):
        m_c = self.channel(x)
        return m_c * self.spatial(x * m_c)


@wrong("CBAM", "gate_squared")
class ScaledTwice(nn.Module):
    """The sub-module scales, the caller multiplies once more."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.ca, self.sa = ChannelAttention(channels, reduction), SpatialAttention()

    def forward(self, x):
        gate = self.ca(x)
        x = x * gate * gate
        return x * self.sa(x)


@wrong("CBAM", "not_deterministic")
class Dropped(Both):
    """Functional dropout that never knows of eval()."""

    def mlp(self, d):
        return self.fc2(F.dropout(F.relu(self.fc1(d))))


@wrong("CBAM", "weights_not_registered")
class Unregistered(nn.Module):
    """The spatial gate's kernel is a plain tensor."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.ca = ChannelAttention(channels, reduction)
        self.kernel = torch.randn(1, 2, 7, 7) / 7

    def forward(self, x):
        x = x * self.ca(x)
        return spatial_attention(x, self.kernel.to(x))


@wrong("CBAM", "detached")
class NoTape(Both):
    """The spatial gate reads a detached copy."""

    def describe(self, x):
        return super().describe(x.detach())


@wrong("CBAM", "batch_mixed")
class SoftBatch(Both):
    """The descriptors are centred over the batch."""

    def describe(self, x):
        d = super().describe(x)
        return d - d.mean(0, keepdim=True)


@wrong("CBAM", "wrong_axis")
class WrongAxis(Both):
    """The spatial gate pools over the height."""

    def describe(self, x):
        d = torch.stack([x.mean(2), x.amax(2)], 1)  # (B, 2, C, W)
        return F.interpolate(d, x.shape[2:])


@wrong("CBAM", "gate_per_channel")
class ManySpatial(Both):
    """C spatial gates."""

    def __init__(self, channels, reduction=4):
        super().__init__(channels, reduction)
        self.conv = nn.Conv2d(2, channels, 7, padding=3)


@wrong("CBAM", "sigmoid_per_descriptor")
def cbam_two_sigmoids(x, w_0, w_1, kernel):
    """A sigmoid for each descriptor; the gates to 2 are added."""
    average, maximum = (F.linear(F.relu(F.linear(d, w_0)), w_1).sigmoid() for d in (x.mean((2, 3)), x.amax((2, 3))))
    return spatial_attention(x * (average + maximum)[..., None, None], kernel)
