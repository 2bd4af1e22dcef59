"""Compile every kernel for GPUs that need not be there, and say how large the machine code is.

`test_fused` runs this in a process of its own, because Triton either compiles or interprets.
"""

import itertools
import re

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cbam_lite import kernels, operators

MAPS = ("F", "d", "out", "shortcut", "dF", "dF_2prime")
SIZES = ("C", "P", "stride_c", "stride_p")
TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}
WALKS = {"channel_pools": "P", "place_pools": "C", "gate_gradients": "C", "place_pools_gradient": "P"}
KERNELS = ("channel_pools", "place_pools", "refine", "gate_gradients", "place_pools_gradient", "map_gradient")
# A T4 (in Colab) and an H100, each with the half precision that is used there.
CARDS = ((75, torch.float32), (75, torch.float16), (90, torch.float32), (90, torch.bfloat16))
# Arguments that are None without a spatial gate, shortcut and ReLU, and numbers that are 1: Triton compiles these anew.
SE = {
    "refine": ("M_s", "shortcut"),
    "gate_gradients": ("M_s", "out"),
    "map_gradient": ("M_s", "place_top", "place_d_mean", "place_d_top", "top"),
}
VARIANTS = {
    "CBAM": lambda name: {},
    "SE": lambda name: dict.fromkeys(SE.get(name, ())) | {"RELU": False},
    "one-place": lambda name: {"P": 1, "stride_c": 1, "stride_p": 1},
    "one-channel": lambda name: {"C": 1, "stride_p": 1},
}


def compiled(
    name: str, last: bool, dtype: torch.dtype, capability: int, variant: str = "CBAM"
) -> triton.compiler.CompiledKernel:
    """One kernel as it is launched for a map of 256 x 56 x 56."""
    F = torch.empty(1, 256, 56, 56, device="meta", dtype=dtype)
    F = F.to(memory_format=torch.channels_last) if last else F
    block = (64, 32) if name == "gate_gradients" else operators.tile(F, WALKS.get(name))
    constants = {"BLOCK_C": block[0], "BLOCK_P": block[1], "RELU": True, "stride_c" if last else "stride_p": 1}
    constants |= VARIANTS[variant](name)
    kernel = getattr(kernels, name)
    names = kernel.arg_names
    types = {n: "i32" if n in SIZES else TYPES[dtype] if n in MAPS else "*fp32" for n in names}
    signature = {n: "constexpr" if n in constants else types[n] for n in names}
    fixed = {(i,): constants[n] for i, n in enumerate(names) if n in constants}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n not in constants}
    return triton.compile(ASTSource(kernel, signature, fixed, aligned), target=GPUTarget("cuda", capability, 32))


def main() -> None:
    for name, last, (capability, dtype) in itertools.product(KERNELS, (False, True), CARDS):
        report(
            compiled(name, last, dtype, capability), name, "channels_last" if last else "contiguous", dtype, capability
        )
    for name, variant in itertools.product(KERNELS, list(VARIANTS)[1:]):
        report(compiled(name, False, torch.bfloat16, 90, variant), name, variant, torch.bfloat16, 90)


def report(kernel: triton.compiler.CompiledKernel, *what: object) -> None:
    """One line: what was compiled, the bytes of its machine code, and how often it spills a register to memory."""
    print(*what, len(kernel.asm["cubin"]), len(re.findall(r"(?:ld|st)\.local", kernel.asm["ptx"])))


if __name__ == "__main__":
    main()
