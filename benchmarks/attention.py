"""Time SE, ECA and CBAM of this package against timm's and torchvision's, and against a bare copy of the map.

Every table row is one shape. All implementations are measured in turn in the same rounds, so that a busy moment of the
machine hits all of them alike, and each gets its median. "ours" is the plain path, "fused" the kernels (on a GPU).

A ratio "/ timm" below 1 is faster than timm. "of copy" says how near to the memory's limit an implementation is: the
bytes of the fewest possible passes over the map, by its time, as a share of what a bare copy moves in that time. "MB"
is the memory that one call adds at its peak (on a GPU), and "maps" the tensors as large as the map that one forward
pass without autograd makes, its output included (ours/timm).
"""

import argparse
import datetime
import itertools
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
import torchvision
from timm.layers import SEModule
from timm.layers.cbam import CbamModule
from timm.layers.eca import EcaModule
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cbam_lite import CBAM, EfficientChannelAttention, SqueezeExcitation, fuse

SHAPES = ((256, 56), (512, 28), (1024, 14), (2048, 7))  # channels and height of ResNet-50's stages
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# The fewest passes over a map too large to be kept on the chip, forward and backward; the chapter "FLOPs are not time"
# counts them. Small maps may come above 100 % of a copy.
FEWEST = {"SE": (3, 4), "ECA": (3, 4), "CBAM": (4, 6)}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
MODULES: dict[str, dict[str, Callable[[int], nn.Module]]] = {
    "SE": {
        "ours": SqueezeExcitation.timm,
        "timm": SEModule,
        "torchvision": lambda channels: torchvision.ops.SqueezeExcitation(channels, channels // 16),
    },
    "ECA": {"ours": EfficientChannelAttention.timm, "timm": EcaModule},
    "CBAM": {"ours": CBAM.timm, "timm": CbamModule},
}


# ---- what is timed --------------------------------------------------------------------------------------------------


def implementations(kind: str, x: Tensor, compiled: bool) -> dict[str, nn.Module]:
    """Fresh modules by the name of their column; the timm preset, so that ours and timm's have the same weights."""
    channels = x.shape[1]
    modules = {name: make(channels).to(x) for name, make in MODULES[kind].items()}
    if kind != "ECA" and x.is_cuda:
        modules["fused"] = fuse(MODULES[kind]["ours"](channels).to(x), report=None)
    if compiled:
        torch.compiler.reset()
        for name, other in (("compiled", "ours"), ("timm compiled", "timm")):
            modules[name] = torch.compile(MODULES[kind][other](channels).to(x))
    return modules


def forward(module: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> None:
    with torch.inference_mode():
        module(x)


def forward_backward(module: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor) -> None:
    module(x).backward(gradient)
    x.grad = None


PASSES = {"forward": forward, "forward+backward": forward_backward}


def medians(steps: dict[str, Callable[[], None]], device: str, seconds: float) -> dict[str, float]:
    """Median seconds of one call of each step; the steps take turns, in a new order each round.

    An untimed call comes before the timed ones, so that no step pays for what its neighbour left in the caches.
    """
    once = max(1e-6, max(timed(step, 1, device) for step in steps.values() for _ in range(3)))
    calls = max(1, round(1e-3 / once))
    rounds = min(300, max(9, round(seconds / (once * (calls + 1) * len(steps)))))
    times: dict[str, list[float]] = {name: [] for name in steps}
    shuffled = random.Random(0)
    for _ in range(rounds):
        for name in shuffled.sample(list(steps), len(steps)):
            steps[name]()
            times[name].append(timed(steps[name], calls, device) / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def timed(step: Callable[[], None], calls: int, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


# ---- how many maps are held -----------------------------------------------------------------------------------------


class CountMaps(TorchDispatchMode):
    """Counts the tensors as large as the map that operations make: the output, and every temporary."""

    def __init__(self, x: Tensor, module: nn.Module) -> None:
        super().__init__()
        self.size = x.untyped_storage().nbytes()
        given = [x, *module.parameters()]
        self.seen = {tensor.untyped_storage().data_ptr(): tensor for tensor in given}  # kept: no address is used twice
        self.maps = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().nbytes() >= self.size:
                address = tensor.untyped_storage().data_ptr()
                self.maps += address not in self.seen
                self.seen.setdefault(address, tensor)
        return result


def maps_made(module: nn.Module, x: Tensor) -> int:
    training = module.training
    with torch.no_grad(), CountMaps(x, module) as count:
        module.eval()(x)
    module.train(training)
    return count.maps


# ---- the tables -----------------------------------------------------------------------------------------------------


def peak(step: Callable[[], None], device: str) -> int | None:
    """Bytes that one call adds to what is allocated, at its peak; CUDA only."""
    if device != "cuda":
        return None
    step()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return torch.cuda.max_memory_allocated() - before


def measure(kind: str, shape: tuple[int, int, int], memory_format: str, dtype: str, passes: str, options) -> dict:
    """One row: milliseconds of every implementation and of a bare copy of the map, and their peak memory."""
    batch, channels, size = shape
    generator = torch.Generator(options.device).manual_seed(0)
    x = torch.randn(batch, channels, size, size, device=options.device, generator=generator)
    x = x.to(DTYPES[dtype]).to(memory_format=FORMATS[memory_format])
    gradient = torch.randn_like(x)
    modules = implementations(kind, x, compiled=not options.no_compile)
    for module in modules.values():
        module.train(passes != "forward")
    x.requires_grad_(passes != "forward")
    steps = {name: lambda m=module: PASSES[passes](m, x, gradient) for name, module in modules.items()}
    copied = torch.empty_like(x.detach())
    steps["copy"] = lambda: copied.copy_(x.detach())
    seconds = medians(steps, options.device, options.seconds)
    return {
        "module": kind,
        "shape": [batch, channels, size, size],
        "format": memory_format,
        "dtype": dtype,
        "pass": passes,
        "milliseconds": {name: 1e3 * value for name, value in seconds.items()},
        "bytes": x.nbytes,
        "fewest_passes": sum(FEWEST[kind][: 1 if passes == "forward" else 2]),
        "peak_bytes": {name: peak(steps[name], options.device) for name in modules},
        "maps": {name: maps_made(modules[name], x.detach()) for name in ("ours", "timm")},
    }


RATIOS = ("ours", "fused", "compiled", "timm compiled", "torchvision")
SHARES = ("ours", "fused", "compiled", "timm", "timm compiled")
SHORT = {"timm compiled": "timm c.", "torchvision": "torchv.", "compiled": "compil."}


def line(row: dict) -> str:
    """Shape, our time, ratios to timm, shares of a copy's bytes per second, peak memory, and the maps made."""
    ms = row["milliseconds"]
    to_timm = " ".join(f"{ms[name] / ms['timm']:7.2f}" if name in ms else "      -" for name in RATIOS)
    ideal = ms["copy"] * row["fewest_passes"] / 2  # a copy makes two passes
    of_copy = " ".join(f"{ideal / ms[name]:7.0%}" if name in ms else "      -" for name in SHARES)
    peaks = [row["peak_bytes"].get(name) for name in ("fused", "timm")]
    memory = "/".join("-" if value is None else f"{value / 1e6:.0f}" for value in peaks)
    maps = "/".join(str(row["maps"][name]) for name in ("ours", "timm"))
    shape = "x".join(map(str, row["shape"]))
    return f"{shape:>15} {ms['ours']:9.3f} | {to_timm} | {of_copy} | {memory:>9} | {maps:>4}"


def names(columns: tuple[str, ...]) -> str:
    return " ".join(f"{SHORT.get(name, name):>7}" for name in columns)


HEADER = (
    f"{'':>15} {'':>9} | {'time / timm':^39} | {'of copy':^39} | {'MB':^9} | maps\n"
    f"{'shape':>15} {'ours, ms':>9} | {names(RATIOS)} | {names(SHARES)} | fused/timm | o/t"
)


def hardware(device: str) -> dict[str, object]:
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "date": datetime.date.today().isoformat(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
    }


def processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for entry in information.read_text().splitlines():
            if entry.startswith("model name"):
                return entry.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two shapes, batch 1, no compilation: under a minute")
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled modules out")
    parser.add_argument("--module", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--batch", nargs="+", type=int, help="default: 1 and 8 on a CPU, 1, 32 and 256 on a GPU")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, help="default: float32 on a CPU, both on a GPU")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all")
    parser.add_argument("--seconds", type=float, help="time for one row (default 0.5, with --quick 0.2)")
    parser.add_argument("--json", type=Path, help="also write every number to this file")
    options = parser.parse_args()
    options.no_compile |= options.quick
    options.batch = options.batch or ([1] if options.quick else [1, 8] if options.device == "cpu" else [1, 32, 256])
    options.dtype = options.dtype or (["float32"] if options.device == "cpu" else list(DTYPES))
    options.seconds = options.seconds or (0.2 if options.quick else 0.5)
    return options


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    shapes = [SHAPES[0], SHAPES[-1]] if options.quick else SHAPES
    about, rows = hardware(options.device), []
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for kind, passes, memory_format, dtype in itertools.product(options.module, PASSES, options.format, options.dtype):
        print(f"\n{kind}, {passes}, {memory_format}, {dtype}\n{HEADER}")
        for batch, (channels, size) in itertools.product(options.batch, shapes):
            try:
                rows.append(measure(kind, (batch, channels, size), memory_format, dtype, passes, options))
            except torch.OutOfMemoryError:
                print(f"{batch}x{channels}x{size}x{size} does not fit into the memory of this device", flush=True)
                continue
            print(line(rows[-1]), flush=True)
            if options.json:
                store(options.json, hardware=about, modules=rows)
    ratios = [row["milliseconds"]["ours"] / row["milliseconds"]["timm"] for row in rows]
    worst = max(zip(ratios, rows, strict=True), key=lambda pair: pair[0])
    print(f"\nours, eager / timm: median {statistics.median(ratios):.2f}, largest {worst[0]:.2f} in")
    print(f"{worst[1]['module']}, {worst[1]['pass']}, {worst[1]['format']}, {worst[1]['shape']}")


def store(file: Path, **parts: object) -> None:
    """Write these parts into a JSON file; what else it holds stays."""
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | parts, indent=1) + "\n")


if __name__ == "__main__":
    main()
