"""How many defect images a second `make_defects` computes, beside the time a small network takes to be trained on them.

python benchmarks/defects.py [--threads 2]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from cbam_lite import defect_net, fit, make_defects


def median_seconds(step: Callable[[], object], rounds: int) -> float:
    """Median of several calls; the first call warms up and does not count."""
    step()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    print(f"torch {torch.__version__}, {a.threads} threads, medians of {a.rounds} calls")
    print("| size | images/s, made | images/s, one epoch of defect_net() | epochs / making |\n|-|-|-|-|")
    for size, n in ((64, 4096), (128, 1024), (224, 512)):
        making = median_seconds(lambda size=size, n=n: make_defects(n, size=size), a.rounds)  # type: ignore[misc]
        data, net = make_defects(n, size=size), defect_net()
        epoch = median_seconds(lambda data=data, net=net: fit(net, data, epochs=1, progress=False), 3)  # type: ignore[misc]
        print(f"| {size} | {n / making:.0f} | {n / epoch:.0f} | {epoch / making:.1f} |", flush=True)


if __name__ == "__main__":
    main()
