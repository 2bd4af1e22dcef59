"""Does attention help? Train every variant with several seeds and equal budgets, and write what comes out as CSV.

    python experiments/ablation.py                     all tasks, with the data that are there
    python experiments/ablation.py --task defects      one of them

A run that is in the CSV is not made again, so an interrupted experiment goes on where it stopped. Each row is one epoch
of one run; epoch 0 is before training. CIFAR-10 is read from --data (see cifar.py); without it, its tasks are left out.
"""

import argparse
import functools
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cifar
import torch
from runs import ROOT, header, read_rows, results, write_rows
from torch import nn

from cbam_lite import CBAM, ChannelAttention, EfficientChannelAttention, SqueezeExcitation, insert_attention
from cbam_lite.attention.parts import Gate
from cbam_lite.networks.resnet import AttentionMaker, BasicBlock, ResNet
from cbam_lite.training.batches import evaluate, flips, shifts_and_mirrors
from cbam_lite.training.defect_nets import defect_net, small_cbam, small_se
from cbam_lite.training.defects import make_defects
from cbam_lite.training.train import fit

COLUMNS = ("variant", "seed", "epoch", "train_loss", "test_loss", "test_accuracy")


# ---- the variants ---------------------------------------------------------------------------------------------------

OPEN = 4.0  # sigmoid(4) = 0.98


def doubled(channels: int, **options: Any) -> CBAM:
    """A fresh CBAM with the gate function of the identity start, 2 sigmoid(z): its gates start near 1, not at 1.

    It has the weights of a fresh CBAM: only the gate function differs, and with it where the gates start.
    """
    cbam = CBAM(channels, **options)
    for module in cbam.modules():
        if isinstance(module, Gate):
            module.init = "identity"
    return cbam


def opened(channels: int, **options: Any) -> CBAM:
    """A fresh CBAM whose biases open both gates: the paper's sigmoid(z), which starts near sigmoid(4) = 0.98."""
    cbam = CBAM(channels, **options)
    with torch.no_grad():
        cbam.channel_attention.W_1.bias += OPEN / 2  # it is added for the average and for the maximum
        cbam.spatial_attention.norm.bias += OPEN
    return cbam


def few(attention: Callable[..., nn.Module], **options: Any) -> AttentionMaker:
    """The attention with C / 8 hidden units, at least 4, as all variants have them."""
    return lambda channels: attention(channels, hidden=max(4, channels // 8), **options)


VARIANTS: dict[str, AttentionMaker | None] = {
    "plain": None,
    "SE": small_se,  # the channel gate from the average alone
    "ECA": EfficientChannelAttention,
    "CBAM": small_cbam,  # average and maximum, 7x7, channel first, fresh
    "CBAM, identity start": few(CBAM, init="identity"),
    "channel only, max": few(ChannelAttention, pool="max"),
    "channel only, avg+max": few(ChannelAttention),
    "CBAM, spatial 3x3": few(CBAM, kernel_size=3),
    "CBAM, spatial from 1x1": few(CBAM, spatial_pool="conv"),
    "CBAM, spatial first": few(CBAM, order="spatial-first"),
    "CBAM, parallel": few(CBAM, order="parallel"),
    "CBAM, 2 sigmoid": few(doubled),
    "CBAM, open sigmoid": few(opened),
}
TUNED = {
    "plain": None,
    **{
        f"{name}, {start}": functools.partial(attention, init=init)
        for name, attention in {"SE": SqueezeExcitation, "ECA": EfficientChannelAttention, "CBAM": CBAM}.items()
        for start, init in {"fresh": "default", "identity": "identity"}.items()
    },
    "CBAM, 2 sigmoid": doubled,
    "CBAM, open sigmoid": opened,
}

# What a GPU can do in an hour, and two CPU cores in another. All variants of a task get the same.
BUDGETS: dict[str, dict[str, dict[str, float]]] = {
    "cpu": {
        "defects": {"images": 4096, "epochs": 12, "test": 2048, "lr": 3e-3},
        "defects_finetune": {"images": 1024, "epochs": 6, "test": 2048, "lr": 1e-3},
        "cifar10": {"images": 4000, "epochs": 8, "test": 2000, "lr": 3e-3},
        "cifar10_finetune": {"images": 2000, "epochs": 3, "test": 2000, "lr": 1e-3},
    },
    "cuda": {
        "defects": {"images": 32768, "epochs": 20, "test": 8192, "lr": 3e-3},
        "defects_finetune": {"images": 4096, "epochs": 10, "test": 8192, "lr": 1e-3},
        "cifar10": {"images": 50000, "epochs": 30, "test": 10000, "lr": 3e-3},
        "cifar10_finetune": {"images": 50000, "epochs": 5, "test": 10000, "lr": 1e-3},
    },
}


class Job(NamedTuple):
    task: str
    variant: str
    seed: int
    device: str
    budget: dict[str, float]
    work: Path
    data: Path


# ---- the four tasks -------------------------------------------------------------------------------------------------


def train_and_report(net: nn.Module, train: Any, test: Any, job: Job, **options: Any) -> list[dict[str, Any]]:
    """Rows of one run. Test accuracy is written down after each epoch, and nothing is chosen by it."""
    epochs, lr = int(job.budget["epochs"]), job.budget["lr"]
    loss, accuracy = evaluate(net.to(job.device), test)
    history = fit(net, train, test, epochs=epochs, lr=lr, seed=job.seed, device=job.device, progress=False, **options)
    if history.interrupted:
        raise KeyboardInterrupt
    numbers = [(float("nan"), loss, accuracy)]
    numbers += zip(history["train_loss"], history["valid_loss"], history["valid_accuracy"], strict=True)
    return [
        dict(zip(COLUMNS, (job.variant, job.seed, epoch, *(f"{value:.5f}" for value in row)), strict=True))
        for epoch, row in enumerate(numbers)
    ]


def defects(job: Job, net: nn.Module | None = None) -> list[dict[str, Any]]:
    """From scratch, on defects of all materials. Each seed has training images of its own; test images are the same."""
    torch.manual_seed(job.seed)
    net = net or defect_net(VARIANTS[job.variant])
    train = make_defects(int(job.budget["images"]), seed=1000 + job.seed)
    test = make_defects(int(job.budget["test"]), seed=1)
    return train_and_report(net, train, test, job, augment=flips, checkpoint=folder_of(job))


def folder_of(job: Job) -> Path:
    budget = "-".join(f"{value:g}" for value in job.budget.values())
    return job.work / job.task / budget / job.device / job.variant.replace(", ", "-").replace(" ", "-") / str(job.seed)


def defects_finetune(job: Job) -> list[dict[str, Any]]:
    """A trained plain network meets fainter defects, with few images of them: attention goes in before fine-tuning."""
    torch.manual_seed(job.seed)
    net = defect_net()
    plain = job._replace(task="defects", variant="plain", budget=BUDGETS[job.device]["defects"])
    defects(plain, net)  # takes it from its folder, or trains it if it is not there
    torch.manual_seed(job.seed)
    if (attention := TUNED[job.variant]) is not None:
        options = {} if "ECA" in job.variant else {"hidden": 0.25}
        insert_attention(net, attention, init=None, report=None, **options)
    train = make_defects(int(job.budget["images"]), seed=2000 + job.seed, contrast=0.7)
    return train_and_report(net, train, make_defects(int(job.budget["test"]), seed=2, contrast=0.7), job, augment=flips)


def cifar10(job: Job) -> list[dict[str, Any]]:
    """From scratch, on CIFAR-10; each seed draws its own training images where not all are used."""
    torch.manual_seed(job.seed)
    net = ResNet(BasicBlock, (1, 1, 1, 1), VARIANTS[job.variant], num_classes=10, stem="small", planes=8)
    train, test = cifar.subset(job.data, int(job.budget["images"]), int(job.budget["test"]), job.seed, job.work)
    return train_and_report(net, train, test, job, augment=shifts_and_mirrors)


def cifar10_finetune(job: Job) -> list[dict[str, Any]]:
    """ResNet-20, trained on CIFAR-10 by others, is fine-tuned on JPEG versions of its images, which it is worse at."""
    torch.manual_seed(job.seed)
    net = cifar.trained_resnet20(job.data)
    if (attention := TUNED[job.variant]) is not None:
        options = {} if "ECA" in job.variant else {"hidden": 0.25}
        insert_attention(net, attention, "*.bn2", init=None, report=None, **options)
    train, test = cifar.subset(job.data, int(job.budget["images"]), int(job.budget["test"]), job.seed, job.work)
    return train_and_report(net, train, test, job, augment=shifts_and_mirrors)


TASKS = {
    "defects": defects,
    "defects_finetune": defects_finetune,
    "cifar10": cifar10,
    "cifar10_finetune": cifar10_finetune,
}


# ---- many runs ------------------------------------------------------------------------------------------------------


def run(job: Job) -> tuple[Job, list[dict[str, Any]]]:
    if job.device == "cpu":
        torch.set_num_threads(1)  # runs stand side by side, and one thread gives the same numbers everywhere
    return job, TASKS[job.task](job)


def experiment(task: str, seeds: int, device: str, workers: int, out: Path, work: Path, data: Path) -> None:
    """Make the runs of one task that are missing, and write each as soon as it is there."""
    variants, path = list(TUNED if task.endswith("finetune") else VARIANTS), out / f"{task}.csv"
    command = f"python experiments/ablation.py --task {task} --seeds {seeds} --device {device}"
    head = header(command, device, budget=BUDGETS[device][task])
    rows = read_rows(path, head)
    done = {(row["variant"], int(row["seed"])) for row in rows}
    jobs = [
        Job(task, variant, seed, device, BUDGETS[device][task], work, data)
        for seed, variant in itertools.product(range(seeds), variants)
        if (variant, seed) not in done
    ]
    print(f"{task}: {len(done)} runs are there, {len(jobs)} to make", flush=True)
    for number, (job, new) in enumerate(results(run, jobs, workers), start=1):
        rows += new  # in one order, whichever run was done first
        rows.sort(key=lambda row: (variants.index(row["variant"]), int(row["seed"]), int(row["epoch"])))
        write_rows(path, head, COLUMNS, rows)
        print(f"{task} {number}/{len(jobs)}: {job.variant}, seed {job.seed}: {new[-1]['test_accuracy']}", flush=True)


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = Path(os.environ.get("CBAM_LITE_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, action="append", help="one task, may be repeated; default: all")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each variant, with the seeds 0, 1, ...")
    parser.add_argument("--device", choices=BUDGETS, default=device)
    parser.add_argument("--workers", type=int, help="runs at a time (default: the cores of a CPU, 4 on a GPU)")
    parser.add_argument("--out", type=Path, default=ROOT / "cbam_lite" / "results", help="where the CSV files are")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "_build" / "experiments", help="checkpoints and unpacked data"
    )
    parser.add_argument("--data", type=Path, default=data, help="folder of cifar10-jpeg.tar and cifar-resnets")
    a = parser.parse_args()
    workers = a.workers or (4 if a.device == "cuda" else os.cpu_count() or 1)
    for task in a.task or TASKS:
        if task.startswith("cifar10") and not cifar.is_there(a.data):
            print(f"{task} is left out: {a.data} has no {cifar.ARCHIVE}. Name its folder with --data", file=sys.stderr)
            continue
        experiment(task, a.seeds, a.device, workers, a.out, a.work, a.data)


if __name__ == "__main__":
    main()
