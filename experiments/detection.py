"""Does attention help a detector? YOLOv4-tiny with the article's switch, several seeds, equal budgets, as CSV.

    python experiments/detection.py                          both tasks
    python experiments/detection.py --task detection         one of them

`detection` trains every network from nothing. `detection_finetune` does what people do who have weights: a detector is
trained without attention, attention goes in, and both are trained on, on fainter defects. A run that is in the CSV is
not made again, so an interrupted experiment goes on where it stopped.
"""

import argparse
import itertools
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from runs import ROOT, Rows, header, read_rows, results, write_rows

from cbam_lite.detection.average_precision import average_precision
from cbam_lite.detection.boxed_defects import make_boxed_defects
from cbam_lite.detection.boxed_images import BoxedImages
from cbam_lite.detection.changes import flips_with_boxes
from cbam_lite.detection.detecting import anchors_for, detect
from cbam_lite.detection.train import fit_detector
from cbam_lite.detection.yolo import YoloTiny, yolo_tiny
from cbam_lite.training.checkpoints import load_checkpoint, save_checkpoint

SCORES = ("AP", "AP50", "AP75", "small", "medium")
COLUMNS = ("variant", "seed", *SCORES, "train_loss", "seconds")
NAMES = {1: "SE", 2: "CBAM", 3: "ECA"}
VARIANTS: dict[str, dict[str, Any]] = {"none": {"phi": 0}} | {
    f"{name}, {start}": {"phi": phi, "init": init}
    for (phi, name), (start, init) in itertools.product(
        NAMES.items(), {"fresh": "default", "identity": "identity"}.items()
    )
}
BUDGETS: dict[str, dict[str, dict[str, float]]] = {
    "cpu": {
        "detection": {"width": 0.25, "images": 1500, "epochs": 16, "batch_size": 16, "lr": 8e-3, "test": 500},
        "detection_finetune": {"width": 0.25, "images": 500, "epochs": 6, "batch_size": 16, "lr": 2e-3, "test": 500},
    },
    "cuda": {
        "detection": {"width": 1.0, "images": 20000, "epochs": 30, "batch_size": 64, "lr": 2e-3, "test": 2000},
        "detection_finetune": {"width": 1.0, "images": 5000, "epochs": 10, "batch_size": 64, "lr": 5e-4, "test": 2000},
    },
}
SIZES = 500  # images whose boxes the anchors are made for
CONTRAST = {"detection": 1.0, "detection_finetune": 0.5}


class Job(NamedTuple):
    task: str
    variant: str
    seed: int
    device: str
    budget: dict[str, float]
    work: Path


def data_of(job: Job) -> tuple[BoxedImages, BoxedImages]:
    """Each seed has training images of its own; test images are the same for all."""
    contrast, first = CONTRAST[job.task], 1000 if job.task == "detection" else 2000
    train = make_boxed_defects(int(job.budget["images"]), seed=first + job.seed, contrast=contrast)
    return train, make_boxed_defects(int(job.budget["test"]), seed=first - 1, contrast=contrast)


def detector(job: Job) -> YoloTiny:
    """An untrained network; its anchors are those of images that no seed trains on."""
    torch.manual_seed(job.seed)
    anchors = anchors_for(make_boxed_defects(SIZES, seed=998))
    return yolo_tiny(num_classes=6, width=job.budget["width"], anchors=anchors, **VARIANTS[job.variant])


def trained(job: Job, model: YoloTiny) -> tuple[YoloTiny, float, float]:
    """The model after this job's training, its last loss, and the seconds it took."""
    train, _ = data_of(job)
    options: dict[str, Any] = {name: int(job.budget[name]) for name in ("epochs", "batch_size")}
    history = fit_detector(
        model,
        train,
        lr=job.budget["lr"],
        change=flips_with_boxes,
        seed=job.seed,
        device=job.device,
        progress=False,
        **options,
    )
    if history.interrupted:
        raise KeyboardInterrupt
    return model, history["train_loss"][-1], sum(history["seconds"])


def begin(job: Job) -> YoloTiny:
    """What the fine-tuning starts from: this seed's plain detector, trained once and kept, with attention put in."""
    plain = job._replace(task="detection", variant="none", budget=BUDGETS[job.device]["detection"])
    folder = job.work / "detection" / job.device / "-".join(f"{value:g}" for value in plain.budget.values())
    if not (folder / f"none-{job.seed}.json").is_file():
        weights = trained(plain, detector(plain))[0].state_dict()
        save_checkpoint(folder, f"none-{job.seed}", weights, {"seed": job.seed})
    model = detector(job)
    _, unexpected = model.load_state_dict(load_checkpoint(folder, f"none-{job.seed}")[0], strict=False)
    assert not unexpected
    return model


def run(job: Job) -> tuple[Job, Rows]:
    """One row: what one network of one seed gives on the test images."""
    if job.device == "cpu":
        torch.set_num_threads(1)  # runs stand side by side, and one thread gives the same numbers everywhere
    model = detector(job) if job.task == "detection" else begin(job)
    model, loss, seconds = trained(job, model)
    test = data_of(job)[1]
    found = average_precision(detect(model, test, confidence=0.001), test)
    values = [getattr(found, name) for name in SCORES]
    scores = (f"{math.nan if value is None else value:.4f}" for value in values)  # None: no object of this size
    return job, [dict(zip(COLUMNS, (job.variant, job.seed, *scores, f"{loss:.4f}", f"{seconds:.1f}"), strict=True))]


def experiment(task: str, seeds: int, device: str, workers: int, out: Path, work: Path) -> None:
    """Make the runs of one task that are missing, and write each as soon as it is there."""
    variants, path = list(VARIANTS), out / f"{task}.csv"
    command = f"python experiments/detection.py --task {task} --seeds {seeds} --device {device}"
    head = header(command, device, budget=BUDGETS[device][task], contrast=CONTRAST[task])
    rows = read_rows(path, head)
    done = {(row["variant"], int(row["seed"])) for row in rows}
    todo = [pair for pair in itertools.product(range(seeds), variants) if pair[::-1] not in done]
    jobs = [Job(task, variant, seed, device, BUDGETS[device][task], work) for seed, variant in todo]
    print(f"{task}: {len(done)} runs are there, {len(jobs)} to make", flush=True)
    for number, (job, new) in enumerate(results(run, jobs, workers), start=1):
        rows += new
        rows.sort(key=lambda row: (variants.index(row["variant"]), int(row["seed"])))
        write_rows(path, head, COLUMNS, rows)
        print(f"{task} {number}/{len(jobs)}: {job.variant}, seed {job.seed}: AP50 {new[0]['AP50']}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=CONTRAST, action="append", help="one task, may be repeated; default: both")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each variant, with the seeds 0, 1, ...")
    parser.add_argument("--device", choices=BUDGETS, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, help="runs at a time (default: the cores of a CPU, 4 on a GPU)")
    parser.add_argument("--out", type=Path, default=ROOT / "cbam_lite" / "results", help="where the CSV files are")
    parser.add_argument("--work", type=Path, default=ROOT / "_build" / "experiments", help="plain detectors are kept")
    a = parser.parse_args()
    workers = a.workers or (4 if a.device == "cuda" else os.cpu_count() or 1)
    for task in a.task or CONTRAST:
        experiment(task, a.seeds, a.device, workers, a.out, a.work)


if __name__ == "__main__":
    main()
