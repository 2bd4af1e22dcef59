"""Images per second of whole networks: ResNet-50 plain, with SE and with CBAM, in training and in inference.

Networks take turns in the same rounds and get their medians, as in `attention.py`. "fused" runs the kernels (on a GPU),
the others the modules as they are written. "/ plain" is the time as a multiple of that of the network without
attention, "FLOPs / plain" the same for multiply-adds, "MB" the memory that one step adds at its peak (on a GPU).
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch
from attention import hardware, medians, peak, store
from torch import Tensor, nn

from cbam_lite import CBAM, SqueezeExcitation, cost, fuse, resnet50

# Name, attention, whether it is fused.
NETWORKS = (
    ("plain", None, False),
    ("SE", SqueezeExcitation, False),
    ("SE, fused", SqueezeExcitation, True),
    ("CBAM", CBAM, False),
    ("CBAM, fused", CBAM, True),
)


def inference(model: nn.Module, images: Tensor, options: argparse.Namespace) -> None:
    with torch.inference_mode(), torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
        model(images)


def training(model: nn.Module, images: Tensor, options: argparse.Namespace) -> None:
    """Forward, loss and backward; the update of the weights is the same for all and left out."""
    with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
        loss = model(images).square().mean()
    loss.backward()
    model.zero_grad(set_to_none=True)


STEPS: dict[str, Callable[[nn.Module, Tensor, argparse.Namespace], None]] = {
    "inference": inference,
    "training": training,
}


def measure(mode: str, options: argparse.Namespace) -> list[dict]:
    """One row for each network."""
    images = torch.randn(options.batch, 3, options.size, options.size, device=options.device)
    images = images.to(memory_format=torch.channels_last)
    steps = {}
    for name, attention, fused in NETWORKS:
        if fused and options.device != "cuda":
            continue
        torch.manual_seed(0)
        model = resnet50(attention).to(options.device, memory_format=torch.channels_last).train(mode == "training")

        if fused:
            fuse(model, report=None)

        def step(model: nn.Module = model) -> None:
            STEPS[mode](model, images, options)

        steps[name] = step
    seconds = medians(steps, options.device, options.seconds)
    return [
        {
            "network": name,
            "mode": mode,
            "batch": options.batch,
            "size": options.size,
            "images_per_second": options.batch / seconds[name],
            "time_over_plain": seconds[name] / seconds["plain"],
            "peak_bytes": peak(steps[name], options.device),
            "multiply_adds": cost(resnet50(attention), (3, options.size, options.size)).multiply_adds,
        }
        for name, attention, _ in NETWORKS
        if name in steps
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="default: 8 on a CPU, 256 on a GPU")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all")
    parser.add_argument("--seconds", type=float, default=40.0, help="time for one table")
    parser.add_argument("--json", type=Path, help="also write every number to this file, beside what it holds")
    options = parser.parse_args()
    options.batch = options.batch or (8 if options.device == "cpu" else 256)
    torch.set_num_threads(options.threads)
    about, rows = hardware(options.device), []
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for mode in STEPS:
        print(f"\nResNet-50, {mode}, batch {options.batch}, {options.size} pixels, channels_last")
        print(f"{'':>12} {'images/s':>9} {'/ plain':>8} {'FLOPs / plain':>14} {'MB':>7}")
        new = measure(mode, options)
        rows += new
        for row in new:
            flops = row["multiply_adds"] / new[0]["multiply_adds"]
            print(
                f"{row['network']:>12} {row['images_per_second']:9.1f} {row['time_over_plain']:8.2f} {flops:14.4f} "
                f"{(row['peak_bytes'] or 0) / 1e6:7.0f}"
            )
    if options.json:
        store(options.json, networks_hardware=about, networks=rows)


if __name__ == "__main__":
    main()
