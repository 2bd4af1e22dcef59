"""Convolutions by hand, residual blocks, insertion into a network; written without knowledge of the checker."""

import copy
import types

import numpy as np
import torch
import torch.nn.functional as F
from collection.entries import right, wrong
from torch import nn


@right("convolution", "loops")
def conv_loops(image, kernels):
    """Three loops, a product and a sum."""
    n, _, k, _ = kernels.shape
    _, height, width = image.shape
    out = torch.zeros(n, height - k + 1, width - k + 1, dtype=image.dtype)
    for o in range(n):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[o, i, j] = (image[:, i : i + k, j : j + k] * kernels[o]).sum()
    return out


@right("convolution", "NumPy windows with bias, stride and padding")
def conv_windows(x, w, b=None, stride=1, padding=0):
    """sliding_window_view and tensordot."""
    x = np.pad(np.asarray(x), ((0, 0), (padding, padding), (padding, padding)))
    w = np.asarray(w)
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    y = np.tensordot(w, windows, axes=([1, 2, 3], [0, 3, 4]))
    return y if b is None else y + np.asarray(b)[:, None, None]


@right("convolution", "im2col")
def im2col(image, kernels, bias=None, stride=1, padding=0):
    """F.unfold and a matrix product."""
    c_out, _, k, _ = kernels.shape
    h, w = (((n + 2 * padding - k) // stride) + 1 for n in image.shape[-2:])
    columns = F.unfold(image[None], k, padding=padding, stride=stride)[0]
    y = kernels.reshape(c_out, -1) @ columns
    return (y if bias is None else y + bias[:, None]).reshape(c_out, h, w)


@right("convolution", "one channel, lists of floats inside")
def conv_2d(image, kernel):
    """A map and a kernel, both two-dimensional."""
    H, W = image.shape
    k_h, k_w = kernel.shape
    return torch.stack(
        [
            torch.stack([torch.sum(image[r : r + k_h, c : c + k_w] * kernel) for c in range(W - k_w + 1)])
            for r in range(H - k_h + 1)
        ]
    )


@right("convolution", "shifted slices, batches")
def conv_slices(images, weight, bias=None, padding=0):
    """One shifted copy of the image for each weight of the kernel."""
    k = weight.shape[-1]
    images = F.pad(images, (padding,) * 4)
    h, w = images.shape[-2] - k + 1, images.shape[-1] - k + 1
    y = 0 if bias is None else bias[:, None, None]
    for u in range(k):
        for v in range(k):
            y = y + torch.einsum("oc,...chw->...ohw", weight[:, :, u, v], images[..., u : u + h, v : v + w])
    return y


@right("convolution", "by the Fourier transform")
def conv_fft(image, kernels):
    """A product of spectra; the conjugate makes it a cross-correlation."""
    image, kernels = np.asarray(image), np.asarray(kernels)
    k, size = kernels.shape[-1], image.shape[-2:]
    spectrum = (np.fft.rfft2(image)[None] * np.fft.rfft2(kernels, s=size).conj()).sum(1)
    return np.fft.irfft2(spectrum, s=size)[:, : size[0] - k + 1, : size[1] - k + 1]


@wrong("convolution", "kernel_flipped")
def true_convolution(image, kernels):
    """The mathematicians' convolution."""
    return conv_loops(image, kernels.flip(-1, -2))


@wrong("convolution", "channels_not_added")
def first_channel(image, kernels):
    """Only the first channel is read."""
    return conv_loops(image[:1], kernels[:, :1])


@wrong("convolution", "channels_not_added")
def each_channel(image, kernels):
    """One result for each pair of kernel and channel."""
    return torch.cat([conv_loops(image[c : c + 1], kernels[:, c : c + 1]) for c in range(len(image))])


@wrong("convolution", "one_kernel_for_all")
def kernel_zero(image, kernels):
    """The index of the kernel is forgotten."""
    return conv_loops(image, kernels[:1].expand_as(kernels))


@wrong("convolution", "wrong_output_size")
def one_too_few(image, kernels):
    """H - k rows."""
    return conv_loops(image, kernels)[:, :-1, :-1]


@wrong("convolution", "stride_ignored")
def unstrided(image, kernels, bias=None, stride=1, padding=0):
    """The stride is taken and never used."""
    return im2col(image, kernels, bias, 1, padding)


@wrong("convolution", "padding_ignored")
def unpadded(image, kernels, bias=None, stride=1, padding=0):
    """The padding is taken and never used."""
    return im2col(image, kernels, bias, stride)


@wrong("convolution", "padding_always")
def same_size(image, kernels):
    """Keeps the size unasked."""
    return conv_slices(image, kernels, padding=kernels.shape[-1] // 2)


@wrong("convolution", "transposed_kernel")
def turned_kernel(image, kernels):
    """Rows and columns of the kernel are swapped."""
    k = kernels.shape[-1]
    out = torch.zeros(len(kernels), image.shape[1] - k + 1, image.shape[2] - k + 1, dtype=image.dtype)
    for u in range(k):
        for v in range(k):
            part = image[:, u : u + out.shape[1], v : v + out.shape[2]]
            out += torch.tensordot(kernels[:, :, v, u], part, dims=1)
    return out


@wrong("convolution", "mean_for_sum")
def averaged(image, kernels):
    """mean instead of sum."""
    return conv_loops(image, kernels) / kernels[0].numel()


@wrong("convolution", "bias_missing")
def biasless(image, kernels, bias=None, stride=1, padding=0):
    """The bias is taken and never added."""
    return im2col(image, kernels, None, stride, padding)


@wrong("convolution", "axes_swapped")
def columns_first(image, kernels):
    """Writes out[o, j, i]."""
    return conv_loops(image, kernels).transpose(1, 2)


@wrong("convolution", "input_changed")
def scratch(image, kernels):
    """Multiplies the windows in place, in the image itself."""
    y = conv_loops(image, kernels)
    image[:, : kernels.shape[-2], : kernels.shape[-1]] *= kernels[-1]
    return y


@wrong("convolution", "circular_padding")
def rolled(x, w, b=None, stride=1, padding=0):
    """Pads with the other side."""
    return conv_windows(np.pad(np.asarray(x), ((0, 0), (padding,) * 2, (padding,) * 2), mode="wrap"), w, b, stride)


@right("residual block", "basic, attention may be None")
class BasicBlock(nn.Module):
    """As in torchvision, with an attention of the output's channels."""

    def __init__(self, in_channels, out_channels, stride=1, attention=None):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.attention = nn.Identity() if attention is None else attention(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def shortcut(self, x):
        return x if self.downsample is None else self.downsample(x)

    def residual(self, x):
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))

    def forward(self, x):
        out = self.attention(self.residual(x))
        out += self.shortcut(x)
        return self.relu(out)


@right("residual block", "bottleneck")
class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1."""

    def __init__(self, c_in, c_out, s, att):
        super().__init__()
        mid = c_out // 4
        self.a = nn.Sequential(nn.Conv2d(c_in, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(mid, mid, 3, s, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU())
        self.c = nn.Sequential(nn.Conv2d(mid, c_out, 1, bias=False), nn.BatchNorm2d(c_out))
        self.att = att(c_out)
        same = s == 1 and c_in == c_out
        self.side = nn.Identity() if same else nn.Sequential(nn.Conv2d(c_in, c_out, 1, s), nn.BatchNorm2d(c_out))

    def forward(self, x):
        return F.relu(self.side(x) + self.att(self.c(self.b(self.a(x)))))


class Sum(nn.Module):
    """The ReLU of the sum of two branches."""

    def __init__(self, left, right_, last=None):
        super().__init__()
        self.left, self.right, self.last = left, right_, last or nn.ReLU()

    def forward(self, x):
        return self.last(self.left(x) + self.right(x))


def body(n, m, stride, *more):
    """Two convolutions with batch norms, and what follows."""
    return nn.Sequential(
        nn.Conv2d(n, m, 3, stride, 1, bias=False),
        nn.BatchNorm2d(m),
        nn.ReLU(),
        nn.Conv2d(m, m, 3, 1, 1, bias=False),
        nn.BatchNorm2d(m),
        *more,
    )


def side(n, m, stride):
    """A projection without batch norm where the shape changes."""
    return nn.Identity() if (n, stride) == (m, 1) else nn.Conv2d(n, m, 1, stride, bias=False)


@right("residual block", "factory, projection without batch norm, attention before stride")
def make_block(in_planes, planes, attention, stride=1):
    """A function that builds the block of two Sequentials."""
    return Sum(body(in_planes, planes, stride, attention(planes)), side(in_planes, planes, stride))


@right("residual block", "pre-activation")
class PreActBlock(nn.Module):
    """Batch norm and ReLU before each convolution; no ReLU after the addition."""

    def __init__(self, in_channels, out_channels, stride, attention):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.attention, self.side = attention(out_channels), side(in_channels, out_channels, stride)

    def forward(self, x):
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        return self.attention(out) + self.side(x)


@wrong("residual block", "attention_after_addition")
class AfterAddition(BasicBlock):
    """Scales the sum."""

    def forward(self, x):
        return self.relu(self.attention(self.residual(x) + self.shortcut(x)))


@wrong("residual block", "attention_after_addition")
class BehindBlock(BasicBlock):
    """Scales the block's output, behind the last ReLU."""

    def forward(self, x):
        return self.attention(self.relu(self.residual(x) + self.shortcut(x)))


@wrong("residual block", "attention_on_shortcut")
class OnShortcut(BasicBlock):
    """Scales the other branch."""

    def forward(self, x):
        return self.relu(self.residual(x) + self.attention(self.shortcut(x)))


@wrong("residual block", "attention_before_last_norm")
class BeforeNorm(BasicBlock):
    """Between the last convolution and its batch norm."""

    def forward(self, x):
        out = self.attention(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(self.bn2(out) + self.shortcut(x))


@wrong("residual block", "attention_after_relu")
class AfterFirstRelu(BasicBlock):
    """Between the two convolutions, behind the ReLU."""

    def forward(self, x):
        out = self.attention(self.relu(self.bn1(self.conv1(x))))
        return self.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


@wrong("residual block", "attention_not_called")
class NotCalled(BasicBlock):
    """Built, never called."""

    def forward(self, x):
        return self.relu(self.residual(x) + self.shortcut(x))


@wrong("residual block", "attention_twice")
class AttentionTwice(BasicBlock):
    """In the residual branch, and once more in the sum."""

    def forward(self, x):
        out = self.attention(self.residual(x))
        return self.relu(self.attention(out) + self.shortcut(x))


@wrong("residual block", "projection_on_every_shortcut")
def always_projected(n, m, stride, attention):
    """A 1x1 convolution also where nothing changes."""
    return Sum(body(n, m, stride, attention(m)), nn.Sequential(nn.Conv2d(n, m, 1, stride), nn.BatchNorm2d(m)))


@wrong("residual block", "projection_on_every_shortcut")
class AlwaysDown(BasicBlock):
    """The condition is missing."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__(in_channels, out_channels, stride, attention)
        self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


@wrong("residual block", "no_shortcut")
class Plain(BasicBlock):
    """Nothing is added."""

    def forward(self, x):
        return self.relu(self.attention(self.residual(x)))


@wrong("residual block", "no_relu_after_addition")
def no_last_relu(n, m, stride, attention):
    """The sum as it is."""
    return Sum(body(n, m, stride, attention(m)), side(n, m, stride), nn.Identity())


@wrong("residual block", "relu_before_addition")
def early_relu(n, m, stride, attention):
    """A ReLU on the residual branch, too."""
    return Sum(body(n, m, stride, attention(m), nn.ReLU()), side(n, m, stride))


@wrong("residual block", "one_norm_for_two")
class OneNorm(BasicBlock):
    """bn1 behind both convolutions."""

    def residual(self, x):
        return self.bn1(self.conv2(self.relu(self.bn1(self.conv1(x)))))


@wrong("residual block", "stride_ignored")
def never_strided(n, m, stride, attention):
    """Both branches keep the size."""
    return Sum(body(n, m, 1, attention(m)), side(n, m, 1))


@wrong("residual block", "no_projection")
def never_projected(n, m, stride, attention):
    """An identity shortcut for every shape."""
    return Sum(body(n, m, stride, attention(m)), nn.Identity())


@wrong("residual block", "wrong_channels")
class InputChannels(BasicBlock):
    """The attention is built for the channels of the input."""

    def __init__(self, in_channels, out_channels, stride=1, attention=nn.Identity):
        super().__init__(in_channels, out_channels, stride, attention)
        self.attention = attention(in_channels)


def blocks(model):
    """The residual blocks with the names of their last batch norms."""
    for m in model.modules():
        if hasattr(m, "conv2") and hasattr(m, "bn2"):
            yield m, "bn3" if hasattr(m, "bn3") else "bn2"


def like(new, old):
    """The new module in the old one's dtype, place and mode."""
    weight = next(old.parameters())
    return new.to(device=weight.device, dtype=weight.dtype).train(old.training)


@right("identity insertion", "in place: a Sequential of the batch norm and the attention")
def insert_behind_norm(model, attention):
    """Replaces the last batch norm by [batch norm, attention]."""
    for block, name in list(blocks(model)):
        bn = getattr(block, name)
        setattr(block, name, like(nn.Sequential(bn, attention(bn.num_features)), bn))
    return model


@right("identity insertion", "a copy, with hooks")
def insert_with_hooks(net, att):
    """A forward hook that calls the norm's own attention."""
    net = copy.deepcopy(net)
    for block, name in blocks(net):
        bn = getattr(block, name)
        bn.add_module("attention", like(att(bn.num_features), bn))
        bn.register_forward_hook(lambda module, args, out: module.attention(out))
    return net


def attended_forward(self, x):
    """torchvision's forward with a call of self.attention."""
    out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
    if hasattr(self, "conv3"):
        out = self.bn3(self.conv3(F.relu(out)))
    shortcut = x if getattr(self, "downsample", None) is None else self.downsample(x)
    return F.relu(self.attention(out) + shortcut)


@right("identity insertion", "new forward for each block, returns None")
def insert_forward(model, attention):
    """Gives each block another forward; changes the model in place, returns nothing."""
    for block, name in list(blocks(model)):
        block.attention = like(attention(getattr(block, name).num_features), block)
        block.forward = types.MethodType(attended_forward, block)


class NormThenAttention(nn.BatchNorm2d):
    """A batch norm with an attention: a subclass keeps the names of the weights."""

    def forward(self, x):
        return self.attention(super().forward(x))


@right("identity insertion", "subclass of the batch norm, names of the weights kept")
def insert_by_class(model, attention):
    """Changes the class of the last batch norm, walks over layer1 to layer4 or whatever there is."""
    for block, name in list(blocks(model)):
        bn = getattr(block, name)
        bn.__class__ = NormThenAttention
        bn.attention = like(attention(bn.num_features), bn)
    return model


@wrong("identity insertion", "not_identity")
def insert_added(model, attention):
    """Each attention has a shortcut of its own."""
    for block, name in list(blocks(model)):
        bn = getattr(block, name)
        gate = Sum(attention(bn.num_features), nn.Identity(), nn.Identity())
        setattr(block, name, like(nn.Sequential(bn, gate), bn))
    return model


@wrong("identity insertion", "weights_changed")
def insert_and_start(model, attention):
    """Starts all convolutions afresh."""
    model = insert_behind_norm(model, attention)
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
    return model


@wrong("identity insertion", "one_shared_module")
def insert_shared(model, attention):
    """One module for all blocks of the same width."""
    made = {}
    return insert_behind_norm(model, lambda c: made.setdefault(c, attention(c)))


@wrong("identity insertion", "after_addition")
def insert_after_block(model, attention):
    """Behind the block's last ReLU."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            for block, norm in list(blocks(child))[:1]:
                if block is child:
                    bn = getattr(child, norm)
                    setattr(parent, name, like(nn.Sequential(child, attention(bn.num_features)), bn))
    return model


@wrong("identity insertion", "only_some_blocks")
def insert_in_last(model, attention):
    """Only the last block gets one."""
    block, name = list(blocks(model))[-1]
    bn = getattr(block, name)
    setattr(block, name, like(nn.Sequential(bn, attention(bn.num_features)), bn))
    return model


@wrong("identity insertion", "only_some_blocks")
def insert_in_projected(model, attention):
    """Only the blocks with a projection."""
    for block, name in list(blocks(model)):
        if getattr(block, "downsample", None) is not None:
            bn = getattr(block, name)
            setattr(block, name, like(nn.Sequential(bn, attention(bn.num_features)), bn))
    return model


@wrong("identity insertion", "mode_changed")
def insert_and_train(model, attention):
    """Flips the model's mode."""
    return insert_behind_norm(model, attention).train(not model.training)


@wrong("identity insertion", "wrong_channels")
def insert_first_width(model, attention):
    """The width of the first convolution, also where the last one is four times as wide."""
    for block, name in list(blocks(model)):
        bn = getattr(block, name)
        setattr(block, name, like(nn.Sequential(bn, attention(block.conv1.out_channels)), bn))
    return model


@wrong("identity insertion", "not_registered")
def insert_closure(model, attention):
    """The modules live in closures only."""
    for block, name in list(blocks(model)):
        bn = getattr(block, name)
        gate = like(attention(bn.num_features), bn)
        bn.register_forward_hook(lambda module, args, out, gate=gate: gate(out))
    return model


@wrong("identity insertion", "frozen")
def insert_frozen(model, attention):
    """Freezes what is new."""
    return insert_behind_norm(model, lambda c: attention(c).requires_grad_(False))


@wrong("identity insertion", "attention_on_shortcut")
def insert_in_shortcut(model, attention):
    """Behind the projection, too: both branches are scaled there."""
    model = insert_behind_norm(model, attention)
    for block, _ in list(blocks(model)):
        if getattr(block, "downsample", None) is not None:
            bn = block.downsample[-1]
            block.downsample.append(like(attention(bn.num_features), bn))
    return model


@wrong("identity insertion", "dtype_lost")
def insert_single(model, attention):
    """The whole model becomes float32."""
    return insert_behind_norm(model, attention).float()
