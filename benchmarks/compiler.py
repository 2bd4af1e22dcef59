"""How many passes over the map the compiler leaves: its own estimate of the bytes that its kernels read and write.

One row for SE, ECA and CBAM in inference and in training, the plain path compiled by `torch.compile`. The compiler
counts the bytes of every kernel it makes; divided by those of the map they are passes.
"""

import argparse
import logging
from pathlib import Path

import torch
from attention import MODULES, hardware, store
from torch._inductor import metrics

SHAPE = (8, 256, 56, 56)


def passes(kind: str, training: bool, device: str) -> dict[str, object]:
    """Forward and backward passes of one module, compiled afresh."""
    x = torch.randn(SHAPE, device=device).requires_grad_(training)
    module = MODULES[kind]["ours"](SHAPE[1]).to(device).train(training)
    torch.compiler.reset()
    metrics.reset()
    with torch.set_grad_enabled(training):
        y = torch.compile(module, fullgraph=True)(x)
    forward = metrics.num_bytes_accessed
    if training:
        y.backward(torch.ones_like(y))
    backward = metrics.num_bytes_accessed - forward
    mode = "training" if training else "inference"
    return {"module": kind, "mode": mode, "forward": forward / x.nbytes, "backward": backward / x.nbytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="also write every number to this file, beside what it holds")
    options = parser.parse_args()
    torch._logging.set_logs(inductor_metrics=True)  # the compiler counts only when somebody listens
    for handler in [h for name in ("torch", "torch._inductor") for h in logging.getLogger(name).handlers]:
        handler.setLevel(logging.ERROR)  # but we need not read it
    rows = []
    print(f"{'':>6} {'':>10} {'forward':>8} {'backward':>9}   passes over {'x'.join(map(str, SHAPE))}")
    with torch._inductor.config.patch(fx_graph_cache=False), torch._functorch.config.patch(enable_autograd_cache=False):
        for kind in MODULES:
            for training in (False, True):
                row = passes(kind, training, options.device)
                print(f"{row['module']:>6} {row['mode']:>10} {row['forward']:8.2f} {row['backward']:9.2f}")
                rows.append(row)
    if options.json:
        store(options.json, compiler_hardware=hardware(options.device), compiler=rows)


if __name__ == "__main__":
    main()
