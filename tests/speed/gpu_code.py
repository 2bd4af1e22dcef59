"""Compile every kernel for GPUs that need not be there, and say how large the machine code is.

`test_fused` runs this in a process of its own, because Triton either compiles or interprets.
"""

import itertools
import re

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cbam_lite.speed import kernels, operators

MAPS = ("F", "d", "out", "shortcut", "dF", "dF_2prime")
SIZES = ("C", "P", "stride_c", "stride_p")
TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}
WALKS = {"channel_pools": "P", "place_pools": "C", "gate_gradients": "C", "place_pools_gradient": "P"}
KERNELS = ("channel_pools", "place_pools", "refine", "gate_gradients", "place_pools_gradient", "map_gradient")
# A T4 (in Colab) and an H100.
CARDS = ((75, torch.float32), (75, torch.float16), (75, torch.bfloat16), (90, torch.float32), (90, torch.bfloat16))
# Maps of ResNet-50, whose sizes Triton knows to be multiples of 16, and odd ones.
EVEN, ODD, ONE = (256, 56, 56), (75, 7, 7), (1, 1, 1)
# Arguments that are None without a spatial gate, shortcut and ReLU: Triton compiles these anew.
SE = {
    "refine": ("M_s", "shortcut"),
    "gate_gradients": ("M_s", "out"),
    "map_gradient": ("M_s", "place_top", "place_d_mean", "place_d_top", "top"),
}


def compiled(
    name: str, layout: str, dtype: torch.dtype, capability: int, shape: tuple[int, ...] = EVEN, kind: str = "CBAM"
) -> triton.compiler.CompiledKernel:
    """One kernel as it is launched for such a map: what is 1, None or a multiple of 16 is known to the compiler."""
    F = torch.empty(1, *shape, device="meta", dtype=dtype)
    F = F.to(memory_format=torch.channels_last) if layout == "channels_last" else F
    C, P, stride_c, stride_p = operators.axes(F)
    block = operators.tile(F, WALKS.get(name))
    block = (min(64, block[0]), min(32, block[1])) if name == "gate_gradients" else block
    sizes = {"C": C, "P": P, "stride_c": stride_c, "stride_p": stride_p}
    constants = {key: size for key, size in sizes.items() if size == 1}
    constants |= {"BLOCK_C": block[0], "BLOCK_P": block[1], "RELU": kind == "CBAM"}
    constants |= dict.fromkeys(SE.get(name, ())) if kind == "SE" else {}
    kernel = getattr(kernels, name)
    names = kernel.arg_names
    types = {n: "i32" if n in SIZES else TYPES[dtype] if n in MAPS else "*fp32" for n in names}
    signature = {n: "constexpr" if n in constants else types[n] for n in names}
    fixed = {(i,): constants[n] for i, n in enumerate(names) if n in constants}
    aligned = [i for i, n in enumerate(names) if n not in constants and sizes.get(n, 16) % 16 == 0]
    attributes = {(i,): [["tt.divisibility", 16]] for i in aligned}
    return triton.compile(ASTSource(kernel, signature, fixed, attributes), target=GPUTarget("cuda", capability, 32))


def main() -> None:
    for name, layout, (capability, dtype) in itertools.product(KERNELS, ("contiguous", "channels_last"), CARDS):
        report(compiled(name, layout, dtype, capability), name, layout, dtype, capability)
    for name, layout in itertools.product(KERNELS, ("contiguous", "channels_last")):
        report(compiled(name, layout, torch.bfloat16, 90, ODD), name, layout, "odd", 90)
    for name in KERNELS:
        report(compiled(name, "contiguous", torch.bfloat16, 90, ONE), name, "one", torch.bfloat16, 90)
        report(compiled(name, "contiguous", torch.bfloat16, 90, kind="SE"), name, "SE", torch.bfloat16, 90)


def report(kernel: triton.compiler.CompiledKernel, *what: object) -> None:
    """One line: what was compiled, the bytes of its machine code, and how often it spills a register to memory."""
    print(*what, len(kernel.asm["cubin"]), len(re.findall(r"(?:ld|st)\.local", kernel.asm["ptx"])))


if __name__ == "__main__":
    main()
