"""SE and CBAM as one operator of PyTorch each: what touches the map is a Triton kernel, what is small is plain PyTorch.

The kernels stand in `kernels`. The operator ``cbam_lite::attend`` puts them together with the two gates, in the order
of the equations. It has a backward pass of its own, which keeps gates, descriptors and, of tensors as large as the map,
F alone. `fused` decides when it is used.
"""

from collections.abc import Callable
from typing import Any, Sequence  # noqa: UP035 (torch 2.6 reads no other Sequence in an operator's arguments)

import torch
from torch import Tensor, nn
from torch.library import custom_op

from cbam_lite.attention.parts import gate_function, in_dtype, without_autocast

# ---- launching a kernel ---------------------------------------------------------------------------------------------


def memory_format(F: Tensor) -> torch.memory_format:
    """Contiguous or, where it is not that, channels_last; the kernels read no other."""
    for form in (torch.contiguous_format, torch.channels_last):
        if F.is_contiguous(memory_format=form):
            return form
    raise ValueError(
        f"the map is neither contiguous nor channels_last, its strides are {F.stride()}: use F.contiguous()"
    )


def axes(F: Tensor) -> tuple[int, int, int, int]:
    """C, P and their strides in memory: the map of one image as a matrix of channels by places."""
    B, C, H, W = F.shape
    return (C, H * W, 1, C) if memory_format(F) == torch.channels_last else (C, H * W, H * W, 1)


def power_of_two(n: int) -> int:
    """The smallest power of two that is not below n."""
    return 1 << (n - 1).bit_length()


def tile(F: Tensor, along: str | None = None) -> tuple[int, int]:
    """BLOCK_C and BLOCK_P: what a program holds at once, at most 2,048 numbers, longer along the axis that is dense.

    A kernel that walks `along` "C" or "P" owns few indices of the other axis, so that many programs share the work: 32
    neighbours in memory, at least 64 bytes, are enough for full reads. No GPU was there to tune these numbers on.
    """
    C, P, stride_c, _ = axes(F)
    fast = "C" if stride_c == 1 else "P"
    long = 256 if along is None else 1024 if along == fast else 32
    long = min(long, power_of_two(C if fast == "C" else P))
    short = min(2048 // long, power_of_two(P if fast == "C" else C))
    return (long, short) if fast == "C" else (short, long)


def launch(name: str, F: Tensor, arguments: Sequence[Any], block: tuple[int, int], along: str | None = None) -> None:
    """Run one kernel on the device of F, one program for each tile, or for each row of tiles that it walks along."""
    from cbam_lite.speed import kernels  # imports Triton

    C, P, stride_c, stride_p = axes(F)
    rows, columns = -(-C // block[0]), -(-P // block[1])
    programs = len(F) * (1 if along == "C" else rows) * (1 if along == "P" else columns)
    check_interpreted(F)
    with torch.cuda.device_of(F):  # type: ignore[no-untyped-call]
        getattr(kernels, name)[programs,](*arguments, C, P, stride_c, stride_p, *block)


def check_interpreted(F: Tensor) -> None:
    """On a CPU the kernels run only where Triton interprets them."""
    from cbam_lite.speed import kernels

    if not F.is_cuda and not kernels.INTERPRETED:
        raise RuntimeError(
            f"the kernels need a CUDA device, and the map is on {F.device}: use F.cuda(), or let Triton interpret them "
            "by setting the environment variable TRITON_INTERPRET=1 before Triton is imported"
        )


# ---- forward: what touches the map ----------------------------------------------------------------------------------


def channel_pools(F: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum over the places, (2, B, C), and how many places share the maximum, (B, C). Reads F once."""
    B, C, H, W = F.shape
    descriptors, ties = F.new_empty(2, B, C, dtype=torch.float32), F.new_empty(B, C, dtype=torch.float32)
    launch("channel_pools", F, (F, *descriptors, ties), tile(F, "P"), along="P")
    return descriptors, ties


def place_pools(F: Tensor, M_c: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum of F' = M_c F over the channels, (B, 2, H, W), and the ties, (B, H, W). Reads F once."""
    B, C, H, W = F.shape
    descriptors, ties = F.new_empty(B, 2, H, W, dtype=torch.float32), F.new_empty(B, H, W, dtype=torch.float32)
    launch("place_pools", F, (F, M_c, descriptors, ties), tile(F, "C"), along="C")
    return descriptors, ties


def refine(F: Tensor, M_c: Tensor, M_s: Tensor | None, shortcut: Tensor | None, relu: bool) -> Tensor:
    """M_s M_c F, plus the shortcut, through the ReLU. Reads F (and the shortcut) once, writes once."""
    out = torch.empty_like(F)
    launch("refine", F, (F, M_c, M_s, shortcut, out, relu), tile(F))
    return out


# ---- what is small: the two gates in plain PyTorch, from the descriptors ---------------------------------------------

Weights = dict[str, Tensor]


def described(descriptors: Tensor, pools: str, dim: int) -> Tensor:
    """The descriptors that the module asks for, in its order; `dim` holds mean and maximum."""
    if pools == "avg+max":  # all of them
        return descriptors
    return torch.stack([descriptors.select(dim, ("avg", "max").index(pool)) for pool in pools.split("+")], dim)


def channel_gate(descriptors: Tensor, weights: Weights, pools: str, gate: str, init: str) -> Tensor:
    """M_c, (B, C), from (2, B, C)."""
    W_0, W_1 = weights["W_0"], weights["W_1"]
    with without_autocast(descriptors):
        hidden = nn.functional.linear(in_dtype(described(descriptors, pools, 0), W_0.dtype), W_0, weights.get("b_0"))
        z = nn.functional.linear(hidden.relu(), W_1, weights.get("b_1")).sum(0)  # (P, B, C/r) -> (B, C)
        return gate_function(gate, init)(z).float()


def place_response(descriptors: Tensor, weights: Weights, pools: str) -> Tensor:
    """The k x k convolution, (B, 2, H, W) -> (B, 1, H, W)."""
    kernel = weights["kernel"]
    with without_autocast(descriptors):
        z = in_dtype(described(descriptors, pools, 1), kernel.dtype)
        return nn.functional.conv2d(z, kernel, weights.get("bias"), padding=kernel.shape[-1] // 2)


def spatial_gate(response: Tensor, weights: Weights, eps: float, gate: str, init: str) -> Tensor:
    """M_s, (B, H, W), from (B, 1, H, W). Without a running mean the norm takes the mean of the batch."""
    if "gamma" in weights:
        mean, variance = weights.get("mean"), weights.get("variance")
        gamma, beta = weights["gamma"], weights["beta"]
        response = nn.functional.batch_norm(response, mean, variance, gamma, beta, training=mean is None, eps=eps)
    return gate_function(gate, init)(response)[:, 0].float()


# ---- the whole module, with addition and ReLU, as one operator ------------------------------------------------------


Results = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@custom_op("cbam_lite::attend", mutates_args=())
def attend_operator(
    F: Tensor,
    shortcut: Tensor | None,
    relu: bool,
    weights: Sequence[Tensor],
    names: str,
    channel: str,
    spatial: str,
    gate: str,
    init: str,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """``relu(M_s M_c F + shortcut)``. `names` says which weights there are, `channel` and `spatial` name the pools.

    Returns the output and what backward needs: M_c, channel descriptors and their ties; M_s, place descriptors and
    their ties. The last are variance and mean of the response, for a batch norm's running statistics. Without a
    "kernel" among the names there is no spatial gate, and what belongs to it is empty.
    """
    w = dict(zip(names.split(), weights, strict=True))
    M_s = places = place_ties = None
    statistics = F.new_empty(0)
    channels, channel_ties = channel_pools(F)
    M_c = channel_gate(channels, w, channel, gate, init)
    if "kernel" in w:
        places, place_ties = place_pools(F, M_c)
        response = place_response(places, w, spatial)
        M_s = spatial_gate(response, w, eps, gate, init)
        if "gamma" in w and "mean" not in w:
            statistics = torch.stack(torch.var_mean(response.float()))
    out = refine(F, M_c, M_s, shortcut, relu)
    if M_s is None or places is None or place_ties is None:
        M_s, places, place_ties = F.new_empty(0), F.new_empty(0), F.new_empty(0)
    return out, M_c, channels, channel_ties, M_s, places, place_ties, statistics


@attend_operator.register_fake
def _(F, shortcut, relu, weights, names, channel, spatial, gate, init, eps):  # type: ignore[no-untyped-def]
    B, C, H, W = F.shape

    def small(*shape: int) -> Tensor:
        return F.new_empty(shape, dtype=torch.float32)

    w = names.split()
    of_channels = small(B, C), small(2, B, C), small(B, C)
    of_places = (
        [small(B, H, W), small(B, 2, H, W), small(B, H, W)] if "kernel" in w else [F.new_empty(0) for _ in range(3)]
    )
    statistics = small(2) if "gamma" in w and "mean" not in w else F.new_empty(0)
    return torch.empty_like(F), *of_channels, *of_places, statistics


def keep(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    """What backward needs: F, gates and descriptors, and for a ReLU its output, which the next layer keeps anyway."""
    F, shortcut, ctx.relu, weights, ctx.names, *ctx.options = inputs
    out, *small, _ = output
    ctx.adds = shortcut is not None
    ctx.save_for_backward(F, out if ctx.relu else None, *small, *weights)


def derivative(
    function: Callable[[Tensor, Weights], Tensor], z: Tensor, w: Weights, d: Tensor
) -> tuple[Tensor, Weights]:
    """The gradients of z and of w, for the gradient d of ``function(z, w)``: computed once more, now with autograd."""
    with torch.enable_grad():
        z, w = z.detach().requires_grad_(), {name: weight.detach().requires_grad_() for name, weight in w.items()}
        d_z, *d_w = torch.autograd.grad(function(z, w), (z, *w.values()), d)
    return d_z, dict(zip(w, d_w, strict=True))


def backward(ctx: Any, d: Tensor, *_: Any) -> tuple[Any, ...]:
    """The chain rule, backwards through the module: three steps touch the map, PyTorch does the small ones.

    The gates are computed once more to be differentiated. The kernels get those of the forward pass: they find the
    place of a maximum by comparing with F M_c, and a gate that differs in its last bit would not find it.
    """
    if torch.is_grad_enabled():  # by create_graph=True
        raise NotImplementedError(
            "the fused path has no second derivatives: call the module itself, inside `with use_fused(False):`"
        )
    F, out, M_c, channels, channel_ties, M_s, places, place_ties, *weights = ctx.saved_tensors
    channel, spatial, gate, init, eps = ctx.options
    needs_F, _, _, needs_weights = ctx.needs_input_grad[:4]
    w = dict(zip(ctx.names.split(), weights, strict=True))
    mlp = {name: w.pop(name) for name in ("W_0", "W_1", "b_0", "b_1") if name in w}
    conv = {name: w.pop(name) for name in ("kernel", "bias", "gamma", "beta") if name in w}  # left: running statistics
    M_s = M_s if conv else None
    place_top, of_mean, of_top = None, None, None
    d_conv: Weights = {}

    d = d.contiguous(memory_format=memory_format(F))
    dF_2prime, dM_c, dM_s = gate_gradients(d, F, M_c, M_s, out)
    d = dF_2prime if ctx.relu else d
    d_shortcut = d if ctx.adds else None
    if not needs_F and not any(needs_weights):
        return None, d_shortcut, None, [None] * len(weights), *[None] * 6
    if conv:

        def gate_of_places(z: Tensor, conv: Weights) -> Tensor:
            return spatial_gate(place_response(z, conv, spatial), {**conv, **w}, eps, gate, init)

        d_places, d_conv = derivative(gate_of_places, places, conv, dM_s)
        place_top = places[:, 1].contiguous()
        of_mean = (d_places[:, 0] / F.shape[1]).contiguous()  # for each channel
        of_top = (d_places[:, 1] / place_ties).contiguous()  # for each channel that ties
        dM_c = dM_c + place_pools_gradient(F, M_c, place_top, of_mean, of_top)
    d_channels, d_mlp = derivative(lambda z, w: channel_gate(z, w, channel, gate, init), channels, mlp, dM_c)
    d_weights = [(d_mlp | d_conv).get(name) for name in ctx.names.split()]
    if not needs_F:
        return None, d_shortcut, None, d_weights, *[None] * 6
    top = channels[1] if "max" in channel else None
    of_place, of_best = d_channels[0] / F[0, 0].numel(), d_channels[1] / channel_ties
    dF = map_gradient(d, F, M_c, M_s, place_top, of_mean, of_top, top, of_place, of_best)
    return dF, d_shortcut, None, d_weights, *[None] * 6


attend_operator.register_autograd(backward, setup_context=keep)


# ---- backward: what touches the map ---------------------------------------------------------------------------------


@custom_op("cbam_lite::gate_gradients", mutates_args=())
def gate_gradients(
    d: Tensor, F: Tensor, M_c: Tensor, M_s: Tensor | None, out: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient in front of the ReLU (empty without `out`), dM_c, (B, C), dM_s, (B, H, W). Reads d and F once."""
    B, C, H, W = F.shape
    block = min(64, power_of_two(C)), min(32, power_of_two(H * W))
    shares = M_c.new_empty(B, -(-H * W // block[1]), C)
    dM_s = M_c.new_empty(0) if M_s is None else M_c.new_empty(B, H, W)
    dF_2prime = F.new_empty(0) if out is None else torch.empty_like(F)
    launch("gate_gradients", F, (d, F, M_c, M_s, out, dF_2prime, shares, dM_s), block, along="C")
    return dF_2prime, shares.sum(1), dM_s


@gate_gradients.register_fake
def _(d, F, M_c, M_s, out):  # type: ignore[no-untyped-def]
    B, C, H, W = F.shape
    dM_s = M_c.new_empty(0) if M_s is None else M_c.new_empty(B, H, W)
    return F.new_empty(0) if out is None else torch.empty_like(F), M_c.new_empty(B, C), dM_s


@custom_op("cbam_lite::place_pools_gradient", mutates_args=())
def place_pools_gradient(F: Tensor, M_c: Tensor, top: Tensor, d_mean: Tensor, d_top: Tensor) -> Tensor:
    """What the place descriptors add to dM_c, (B, C). Reads F once."""
    dM_c = torch.empty_like(M_c)
    launch("place_pools_gradient", F, (F, M_c, top, d_mean, d_top, dM_c), tile(F, "P"), along="P")
    return dM_c


@place_pools_gradient.register_fake
def _(F, M_c, top, d_mean, d_top):  # type: ignore[no-untyped-def]
    return torch.empty_like(M_c)


@custom_op("cbam_lite::map_gradient", mutates_args=())
def map_gradient(
    d: Tensor,
    F: Tensor,
    M_c: Tensor,
    M_s: Tensor | None,
    place_top: Tensor | None,
    place_d_mean: Tensor | None,
    place_d_top: Tensor | None,
    top: Tensor | None,
    d_mean: Tensor,
    d_top: Tensor,
) -> Tensor:
    """dF. Reads d and F once (F not at all, where no maximum and no spatial gate asks for it), writes once."""
    dF = torch.empty_like(F)
    places = (place_top, place_d_mean, place_d_top)
    launch("map_gradient", F, (d, F, M_c, M_s, *places, top, d_mean, d_top, dF), tile(F))
    return dF


@map_gradient.register_fake
def _(d, F, *_):  # type: ignore[no-untyped-def]
    return torch.empty_like(F)
