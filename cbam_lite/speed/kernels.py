"""The GPU's code of the fused path, in Triton. `operators` launches it; nothing else needs this file, or Triton.

For a reader who meets Triton for the first time. A kernel is a function that the GPU runs many times at once. Each run,
a *program*, learns its number from ``tl.program_id`` and from it which part of the map is its own. It does not loop
over single numbers: ``tl.arange`` makes a vector of indices, ``tl.load`` fetches a whole tile of the map by them, and
the compiler spreads the tile over the threads. A mask keeps the tile from reaching over the edge of the map. Arguments
in capitals, marked ``tl.constexpr``, are known when the kernel is compiled; sizes of tiles must be powers of two.

All kernels see one image as a matrix of C channels by P = H W places. The number (c, p) stands c stride_c + p stride_p
behind the image's first, so the same code reads contiguous maps (P, 1) and channels_last maps (1, C). Whatever the
dtype of the map, sums and products are float32. Sums have a fixed order, without atomics: equal input, equal bits.
"""

import triton
import triton.language as tl
from triton.runtime.jit import JITFunction


@triton.jit
def join(best, count, x, inside, axis: tl.constexpr):
    """The maximum so far and how often it stands, after a tile x, of which the part `inside` belongs to the map.

    NaN is the largest number, as `torch.amax` has it; `tl.max` alone drops it.
    """
    x = tl.where(inside, x, float("-inf"))
    here = tl.where(tl.sum((x != x).to(tl.float32), axis) > 0, float("nan"), tl.max(x, axis))
    often = tl.sum(((x == tl.expand_dims(here, axis)) & inside).to(tl.float32), axis)
    new = tl.maximum(best, here, propagate_nan=tl.PropagateNan.ALL)
    return new, tl.where(best == new, count, 0.0) + tl.where(here == new, often, 0.0)


@triton.jit
def own_part(size, BLOCK: tl.constexpr):
    """Which image, and which BLOCK indices of an axis of this size, belong to this program."""
    blocks = tl.cdiv(size, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)  # 64 bits: a batch may hold more than 2^31 numbers
    return image, tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def own_tile(C, P, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr):
    """Which image, channels and places belong to a program that owns one tile."""
    row, p = own_part(P, BLOCK_P)
    blocks = tl.cdiv(C, BLOCK_C)
    return row // blocks, (row % blocks).to(tl.int32) * BLOCK_C + tl.arange(0, BLOCK_C), p


# ---- forward --------------------------------------------------------------------------------------------------------


@triton.jit
def channel_pools(F, mean, top, ties, C, P, stride_c, stride_p, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr):
    """Mean and maximum of each channel in one read of the map, and how many places share the maximum.

    One program owns BLOCK_C channels of one image and walks along their places.
    """
    image, c = own_part(C, BLOCK_C)
    F += image * C * P
    total = tl.zeros((BLOCK_C,), tl.float32)
    best = tl.full((BLOCK_C,), float("-inf"), tl.float32)
    count = tl.zeros((BLOCK_C,), tl.float32)
    for start in range(0, P, BLOCK_P):
        p = start + tl.arange(0, BLOCK_P)
        inside = (c[:, None] < C) & (p[None, :] < P)
        place = c[:, None] * stride_c + p[None, :] * stride_p
        x = tl.load(F + place, inside, 0.0).to(tl.float32)
        total += tl.sum(x, 1)
        best, count = join(best, count, x, inside, 1)
    tl.store(mean + image * C + c, total / P, c < C)
    tl.store(top + image * C + c, best, c < C)
    tl.store(ties + image * C + c, count, c < C)


@triton.jit
def place_pools(
    F, M_c, descriptors, ties, C, P, stride_c, stride_p,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """Mean and maximum over the channels of F' = M_c F for each place, and how many tie.

    F' is made here in registers and never written. One program owns BLOCK_P places of one
    image and walks through their channels.
    """
    image, p = own_part(P, BLOCK_P)
    F += image * C * P
    total = tl.zeros((BLOCK_P,), tl.float32)
    best = tl.full((BLOCK_P,), float("-inf"), tl.float32)
    count = tl.zeros((BLOCK_P,), tl.float32)
    for start in range(0, C, BLOCK_C):
        c = start + tl.arange(0, BLOCK_C)
        inside = (c[:, None] < C) & (p[None, :] < P)
        place = c[:, None] * stride_c + p[None, :] * stride_p
        x = tl.load(F + place, inside, 0.0).to(tl.float32)
        F_prime = x * tl.load(M_c + image * C + c, c < C, 0.0)[:, None]
        total += tl.sum(F_prime, 0)
        best, count = join(best, count, F_prime, inside, 0)
    tl.store(descriptors + image * 2 * P + p, total / C, p < P)
    tl.store(descriptors + image * 2 * P + P + p, best, p < P)
    tl.store(ties + image * P + p, count, p < P)


@triton.jit
def refine(
    F,
    M_c,
    M_s,
    shortcut,
    out,
    RELU: tl.constexpr,
    C,
    P,
    stride_c,
    stride_p,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """out = M_s M_c F, then the shortcut is added and the ReLU taken where there are any: one read, one write.

    An argument that is None is known to be so when the kernel is compiled, and its `if` costs nothing.
    One program owns one tile.
    """
    image, c, p = own_tile(C, P, BLOCK_C, BLOCK_P)
    inside = (c[:, None] < C) & (p[None, :] < P)
    first, place = image * C * P, c[:, None] * stride_c + p[None, :] * stride_p
    y = tl.load(F + first + place, inside, 0.0).to(tl.float32)
    y *= tl.load(M_c + image * C + c, c < C, 0.0)[:, None]
    if M_s is not None:
        y *= tl.load(M_s + image * P + p, p < P, 0.0)[None, :]
    if shortcut is not None:
        y += tl.load(shortcut + first + place, inside, 0.0).to(tl.float32)
    if RELU:
        y = tl.where(y <= 0, 0.0, y)  # keeps NaN
    tl.store(out + first + place, y, inside)


# ---- backward: d is the gradient of the loss with respect to the output, dX with respect to X ------------------------


@triton.jit
def gate_gradients(
    d, F, M_c, M_s, out, dF_2prime, dM_c, dM_s, C, P, stride_c, stride_p, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr
):
    """dM_s = sum over channels of d M_c F, and dM_c = sum over places of d M_s F, in one read of d and F.

    One program owns BLOCK_P places and walks through all channels, so dM_s is complete. Of dM_c it knows the share of
    its own places only, and writes that; the shares are added up afterwards. With a ReLU, `out` says where it was 0,
    and the gradient in front of it is written to `dF_2prime`, for the shortcut and for the last kernel.
    """
    image, p = own_part(P, BLOCK_P)
    first, share = image * C * P, dM_c + tl.program_id(0).to(tl.int64) * C
    along = tl.zeros((BLOCK_P,), tl.float32)
    gate = tl.full((BLOCK_P,), 1.0, tl.float32)
    if M_s is not None:
        gate = tl.load(M_s + image * P + p, p < P, 0.0)
    for start in range(0, C, BLOCK_C):
        c = start + tl.arange(0, BLOCK_C)
        inside = (c[:, None] < C) & (p[None, :] < P)
        place = c[:, None] * stride_c + p[None, :] * stride_p
        slope = tl.load(d + first + place, inside, 0.0)
        if out is not None:
            slope = tl.where(tl.load(out + first + place, inside, 0.0) <= 0, 0.0, slope)
            tl.store(dF_2prime + first + place, slope, inside)
        product = slope.to(tl.float32) * tl.load(F + first + place, inside, 0.0).to(tl.float32)
        tl.store(share + c, tl.sum(product * gate[None, :], 1), c < C)
        along += tl.sum(product * tl.load(M_c + image * C + c, c < C, 0.0)[:, None], 0)
    if M_s is not None:
        tl.store(dM_s + image * P + p, along, p < P)


@triton.jit
def place_pools_gradient(
    F, M_c, top, d_mean, d_top, dM_c, C, P, stride_c, stride_p, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr
):
    """What the place descriptors add to dM_c: sum over places of F dF', in one read of F.

    The mean hands 1/C of its gradient to every channel (`d_mean`, divided already), the maximum hands all of its own to
    the channel that it came from, or equal parts where several tie (`d_top`, divided already).
    """
    image, c = own_part(C, BLOCK_C)
    F += image * C * P
    M = tl.load(M_c + image * C + c, c < C, 0.0)
    total = tl.zeros((BLOCK_C,), tl.float32)
    for start in range(0, P, BLOCK_P):
        p = start + tl.arange(0, BLOCK_P)
        inside = (c[:, None] < C) & (p[None, :] < P)
        place = c[:, None] * stride_c + p[None, :] * stride_p
        x = tl.load(F + place, inside, 0.0).to(tl.float32)
        from_here = x * M[:, None] == tl.load(top + image * P + p, p < P, 0.0)[None, :]
        dF_prime = tl.load(d_mean + image * P + p, p < P, 0.0)[None, :] + tl.where(
            from_here, tl.load(d_top + image * P + p, p < P, 0.0)[None, :], 0.0
        )
        total += tl.sum(tl.where(inside, x * dF_prime, 0.0), 1)
    tl.store(dM_c + image * C + c, total, c < C)


@triton.jit
def map_gradient(
    d, F, M_c, M_s, place_top, place_d_mean, place_d_top, top, d_mean, d_top, dF, C, P, stride_c, stride_p,
    BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """dF from everything that F went into: the two products and the four descriptors. One read of d and F, one write.

    ``dF' = M_s d + place descriptors``, then ``dF = M_c dF' + channel descriptors``. One program owns one tile.
    """
    image, c, p = own_tile(C, P, BLOCK_C, BLOCK_P)
    inside = (c[:, None] < C) & (p[None, :] < P)
    first, place = image * C * P, c[:, None] * stride_c + p[None, :] * stride_p
    channel, spot = image * C + c, image * P + p
    slope = tl.load(d + first + place, inside, 0.0).to(tl.float32)
    M = tl.load(M_c + channel, c < C, 0.0)[:, None]
    if M_s is not None or top is not None:
        x = tl.load(F + first + place, inside, 0.0).to(tl.float32)
    if M_s is not None:
        slope *= tl.load(M_s + spot, p < P, 0.0)[None, :]
        slope += tl.load(place_d_mean + spot, p < P, 0.0)[None, :]
        from_here = x * M == tl.load(place_top + spot, p < P, 0.0)[None, :]
        slope += tl.where(from_here, tl.load(place_d_top + spot, p < P, 0.0)[None, :], 0.0)
    slope = slope * M + tl.load(d_mean + channel, c < C, 0.0)[:, None]
    if top is not None:
        from_here = x == tl.load(top + channel, c < C, 0.0)[:, None]
        slope += tl.where(from_here, tl.load(d_top + channel, c < C, 0.0)[:, None], 0.0)
    tl.store(dF + first + place, slope, inside)


INTERPRETED = not isinstance(refine, JITFunction)  # by TRITON_INTERPRET=1: NumPy runs the kernels, on the CPU, slowly
