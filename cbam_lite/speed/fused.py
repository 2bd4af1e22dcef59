"""The fused path of SE and CBAM on a GPU: the same result in fewer passes over the map.

A *pass* reads or writes the whole map once. Written out in PyTorch, CBAM reads F for the mean, again for the maximum,
reads and writes it to make F', and so on: 8 passes. Here it takes 4: one read for both channel descriptors, one for
both place descriptors of F', which is never stored, one read and one write for the output. An addition and a ReLU
behind it, as every block of a residual network has them, cost one more read forward instead of 5 more passes.

`fuse` puts this path into a model, as ``torch.compile`` does with its own, and `unfuse` takes it out. Nothing is fused
by itself, because no GPU has measured it yet. `reasons` says when a fused module still computes as written, `operators`
holds the steps, `kernels` the GPU's code.
"""

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.channel_attention import ChannelAttention
from cbam_lite.attention.inputs import check_map
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.checks import a_module
from cbam_lite.networks.insertion import ATTENTION
from cbam_lite.networks.resnet import BasicBlock, Bottleneck
from cbam_lite.networks.split_attention import SplitBottleneck
from cbam_lite.speed import reasons
from cbam_lite.speed.operators import attend_operator, check_interpreted, memory_format
from cbam_lite.speed.reasons import halves, hooked, layers_of, of_module, plain_class, pools_of, reason_against

Model = TypeVar("Model", bound=nn.Module)

# ---- into a model, and out of it -------------------------------------------------------------------------------------


class FusedSqueezeExcitation(SqueezeExcitation):
    """`SqueezeExcitation` by the fused kernels where they cover the map, else as written."""

    _fused_from = SqueezeExcitation

    def forward(self, F: Tensor) -> Tensor:
        return run(self, F) if covers(self, F) else super().forward(F)


class FusedChannelAttention(ChannelAttention):
    """`ChannelAttention` by the fused kernels where they cover the map, else as written."""

    _fused_from = ChannelAttention

    def forward(self, F: Tensor) -> Tensor:
        return run(self, F) if covers(self, F) else super().forward(F)


class FusedCBAM(CBAM):
    """`CBAM` by the fused kernels where they cover the map, else as written."""

    _fused_from = CBAM

    def forward(self, F: Tensor) -> Tensor:
        return run(self, F) if covers(self, F) else super().forward(F)


def forward_of_block(block: Any, x: Tensor) -> Tensor:
    """relu(attention(F(x)) + shortcut): the end in one go where the kernels cover it, else as written."""
    F, shortcut = block.branch(x), block.downsample(x)
    if type(block.relu) is nn.ReLU and not hooked(block.relu) and covers(block.attention, F, shortcut):
        return run(block.attention, F, shortcut, relu=True)
    return block.relu(block.attention(F) + shortcut)


class FusedBasicBlock(BasicBlock):
    """`BasicBlock` with the addition and the ReLU inside the attention's last kernel."""

    _fused_from = BasicBlock
    forward = forward_of_block


class FusedBottleneck(Bottleneck):
    """`Bottleneck` with the addition and the ReLU inside the attention's last kernel."""

    _fused_from = Bottleneck
    forward = forward_of_block


class FusedSplitBottleneck(SplitBottleneck):
    """`SplitBottleneck` with the addition and the ReLU inside the attention's last kernel."""

    _fused_from = SplitBottleneck
    forward = forward_of_block


FUSED: dict[type[nn.Module], type[nn.Module]] = {
    fused._fused_from: fused for fused in (FusedSqueezeExcitation, FusedChannelAttention, FusedCBAM)
}
FUSED_BLOCKS: dict[type[nn.Module], type[nn.Module]] = {
    fused._fused_from: fused for fused in (FusedBasicBlock, FusedBottleneck, FusedSplitBottleneck)
}


def fuse(model: Model, *, report: Callable[[str], object] | None = print) -> Model:
    """Put the fused path into a model, in place: each SE, channel attention and CBAM, and the residual blocks around.

    Weights, names and hooks stay as they are, and results up to rounding; `unfuse` takes it out again. A fused module
    still computes as written where the kernels do not cover a map: on a CPU, for example. `why_not` tells the reason
    for one map.

    Args:
        model: a network, or one attention module.
        report: called with one line for each attention module: what was taken, or what was left and why. None keeps
            silent.

    Returns:
        `model` itself, changed.

    Raises:
        ValueError: the model contains no attention of this package.
        TypeError: the model is no module.

    Example:
        >>> model = fuse(resnet50(CBAM))  # and model.cuda()
        layer1.0.attention: CBAM is fused, with the addition and the ReLU of its block
        ...
    """
    found = outermost_attention(a_module("model", model))
    if not found:
        raise ValueError(
            f"{type(model).__name__} contains no attention of cbam_lite: build it with CBAM, SqueezeExcitation, ... "
            "or call insert_attention(model, CBAM) first"
        )
    blocks = [block for block in model.modules() if isinstance(block, tuple(FUSED_BLOCKS))]
    for name, module in found.items():
        kind, reason = plain_class(module), of_module(module, hooks=False)
        words = f"{name or kind.__name__}: {kind.__name__}"
        if reason:
            words += f" is left as written: {reason}"
        else:
            module.__class__ = FUSED[kind]
            words += " is fused"
        if not reason:  # several blocks may share one attention
            words += "".join(dict.fromkeys(fuse_block(block) for block in blocks if block.attention is module))
        if report is not None:
            report(words)
    return model


def fuse_block(block: Any) -> str:
    """Put the fused path into the block around an attention that has it, and say so, or why it stays out."""
    kind = plain_class(block)
    if kind not in FUSED_BLOCKS:
        return f", alone: its block is a {kind.__name__}, whose forward pass may be another"
    block.__class__ = FUSED_BLOCKS[kind]
    if type(block.relu) is not nn.ReLU:
        return f", alone: its block ends in {type(block.relu).__name__}, not in a ReLU"
    return ", with the addition and the ReLU of its block"


def unfuse(model: Model) -> Model:
    """Take the fused path out of a model again, in place; returns the model. One that has none stays as it is.

    Example:
        >>> model = fuse(resnet18(CBAM), report=None)
        >>> type(unfuse(model).layer1[0].attention).__name__
        'CBAM'
    """
    for module in a_module("model", model).modules():
        module.__class__ = plain_class(module)
    return model


def outermost_attention(model: nn.Module) -> dict[str, nn.Module]:
    """The attention modules by name, without the gates inside a CBAM."""
    found: dict[str, nn.Module] = {}
    inside: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, ATTENTION) and id(module) not in inside:
            found[name] = module
            inside |= {id(part) for part in module.modules()}
    return found


# ---- when it is taken ------------------------------------------------------------------------------------------------

switched_on = os.environ.get("CBAM_LITE_FUSED", "1") != "0"


class use_fused:
    """Let fused modules take their path or not, for good or, as a context manager, for the lines inside.

    Args:
        on: whether modules that `fuse` has changed may use the kernels. By default they may; the environment variable
            ``CBAM_LITE_FUSED=0`` forbids it from the start.

    The kernels have no second derivatives: a gradient penalty or a Hessian on a GPU needs ``use_fused(False)``.

    Example:
        >>> model = fuse(CBAM(64), report=None)
        >>> with use_fused(False):
        ...     F_refined = model(torch.rand(8, 64, 56, 56))  # as written, although the model is fused
    """

    def __init__(self, on: bool) -> None:
        global switched_on
        self.on, self.entered, self.before = on, False, [switched_on]
        switched_on = on

    def __enter__(self) -> None:
        global switched_on
        if self.entered:  # the first time, what was there before is known from __init__
            self.before.append(switched_on)
        self.entered, switched_on = True, self.on

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global switched_on
        switched_on = self.before.pop()


def why_not(module: nn.Module, F: Tensor, shortcut: Tensor | None = None) -> str | None:
    """The reason why `module` computes this map as written, or None if it takes the fused path.

    Args:
        module: one attention module. For a block, ask its attention, with the map that reaches it.
        F: the map, (B, C, H, W).
        shortcut: what the block around it adds.

    Example:
        >>> why_not(CBAM(64), torch.rand(1, 64, 56, 56))
        'the map is on cpu: the kernels need cuda'
    """
    if not isinstance(F, Tensor):
        return f"expected a torch.Tensor, got {type(F).__name__}"
    if F.device.type not in reasons.DEVICES:
        return f"the map is on {F.device.type}: the kernels need {' or '.join(reasons.DEVICES)}"
    if not switched_on:
        return "use_fused(False) is in force, or CBAM_LITE_FUSED=0"
    if reason := reason_against(module, F, shortcut):
        return reason
    return None if type(module) is not plain_class(module) else "the module is not fused: call fuse(model)"


def covers(module: nn.Module, F: Tensor, shortcut: Tensor | None = None) -> bool:
    """Whether `module` takes the fused path for this map."""
    return why_not(module, F, shortcut) is None


# ---- the kernels, at once --------------------------------------------------------------------------------------------


def attend(module: nn.Module, F: Tensor, shortcut: Tensor | None = None, relu: bool = False) -> Tensor:
    """``module(F)`` by the fused kernels, on a CUDA device or, where Triton interprets, on any.

    Args:
        module: a `SqueezeExcitation`, `ChannelAttention` or `CBAM`, fused or not, with options that the kernels have.
        F: the map, (B, C, H, W).
        shortcut: added to the result, of the same shape; None adds nothing.
        relu: whether a ReLU follows.

    Returns:
        (B, C, H, W), in the dtype and memory format of F: ``relu(module(F) + shortcut)``. Forward and backward
        pass work in float32 between reading and writing: with float32 weights, half precision is rounded once, last.

    Raises:
        TypeError: F is not a tensor, or not in the dtype of the module.
        ValueError: the kernels do not cover this module or map; the message says why.
        RuntimeError: F is on the CPU and Triton does not interpret.

    Example:
        >>> F = torch.rand(8, 64, 56, 56, device="cuda")
        >>> attend(CBAM(64).cuda(), F, shortcut=F, relu=True).shape
        torch.Size([8, 64, 56, 56])
    """
    if not isinstance(F, Tensor):
        raise TypeError(f"expected a torch.Tensor of shape (B, C, H, W), got {type(F).__name__}: use torch.as_tensor")
    if not F.is_cuda and reasons.HAS_TRITON:
        check_interpreted(F)
    reason = reason_against(module, F, shortcut)
    if reason is not None:
        raise ValueError(f"no fused kernel for this: {reason}; call the module itself, which takes the plain path")
    return run(module, F, shortcut, relu)


def run(module: Any, F: Tensor, shortcut: Tensor | None = None, relu: bool = False) -> Tensor:
    """`attend` for what is known to be covered: hand over the weights by name, then keep the batch norm's books."""
    channel, spatial = halves(module)
    (first, second), gate = layers_of(channel), channel.gate
    check_map(F, channel.channels, first.weight)
    # update, not |=, which the compiler of torch 2.6 does not read
    named = {"W_0": first.weight, "W_1": second.weight, "b_0": first.bias, "b_1": second.bias}
    norm, places, eps = None, "", 0.0
    if spatial is not None:
        spatial.check(F)
        places = "+".join(spatial.descriptors.pools)
        named.update({"kernel": spatial.conv.weight, "bias": spatial.conv.bias})
    if spatial is not None and isinstance(spatial.norm, nn.BatchNorm2d):
        norm, eps = spatial.norm, spatial.norm.eps
        named.update({"gamma": norm.weight, "beta": norm.bias})
        if not norm.training and norm.running_mean is not None:
            named.update({"mean": norm.running_mean, "variance": norm.running_var})
    named = {name: weight for name, weight in named.items() if weight is not None}
    if shortcut is not None:
        shortcut = shortcut.contiguous(memory_format=memory_format(F))
    channels = "+".join(pools_of(channel))
    out, *_, statistics = attend_operator(
        F, shortcut, relu, list(named.values()), " ".join(named), channels, places, gate.function, gate.init, eps
    )
    if norm is not None and norm.training and norm.running_mean is not None:
        update(norm, statistics)
    return out


@torch.no_grad()
def update(norm: nn.BatchNorm2d, statistics: Tensor) -> None:
    """Running variance and mean as the batch norm itself would move them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / norm.num_batches_tracked if norm.momentum is None else norm.momentum
    for running, new in zip((norm.running_var, norm.running_mean), statistics.to(norm.running_var.dtype), strict=True):
        running.lerp_(new, share)
