"""Train the small detector that comes with the package, and write its model card.

    python experiments/ship_detector.py      about ten minutes on one core; interrupted, it goes on where it stopped

Equal torch and processor give equal bytes; elsewhere the last digits of the weights differ, and the scores a little.
"""

import argparse
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

import cbam_lite
from cbam_lite.detection.average_precision import average_precision
from cbam_lite.detection.boxed_defects import make_boxed_defects
from cbam_lite.detection.changes import flips_with_boxes, in_turn, lights_with_boxes
from cbam_lite.detection.detecting import anchors_for, detect
from cbam_lite.detection.detectors import NAME, SHIPPED
from cbam_lite.detection.train import fit_detector
from cbam_lite.detection.yolo import yolo_tiny
from cbam_lite.training.checkpoints import save_checkpoint

WIDTH = 0.25
TRAIN: dict[str, Any] = {"n": 4000, "seed": 100}
TEST: dict[str, Any] = {"n": 500, "seed": 101}
SETTINGS: dict[str, Any] = {"epochs": 25, "batch_size": 16, "lr": 8e-3, "weight_decay": 1e-2, "seed": 0}
CONTRASTS = (1.0, 0.7, 0.4)


def ship(folder: Path, work: Path) -> None:
    """Train the detector, round its weights to float16, test it on other surfaces, and write both files."""
    torch.manual_seed(0)
    data = make_boxed_defects(**TRAIN)
    model = yolo_tiny(0, len(data.classes), width=WIDTH, anchors=anchors_for(data))
    change = in_turn(flips_with_boxes, lights_with_boxes)
    fit_detector(model, data, change=change, device="cpu", checkpoint=work, progress=False, **SETTINGS)
    rounded = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    model.load_state_dict(rounded)
    scores = {}
    for contrast in CONTRASTS:
        test = make_boxed_defects(**TEST, contrast=contrast)
        found = average_precision(detect(model, test, confidence=0.001), test)
        scores[str(contrast)] = {"AP": round(found.AP, 4), "AP50": round(found.AP50, 4)}
    card = {
        "network": f"yolo_tiny(0, {len(data.classes)}, width={WIDTH})",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "width": WIDTH,
        "anchors": model.anchors,
        "classes": list(data.classes),
        "stored as": "float16",
        "train": TRAIN,
        "test": TEST,
        "settings": SETTINGS | {"change": "flips, lights"},
        "test_by_contrast": scores,
        "command": "python experiments/ship_detector.py",
        "date": str(date.today()),
        "versions": f"cbam_lite {cbam_lite.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "licence": "MIT",
        "use": "teaching; it has seen no photograph, and says nothing about real surfaces",
    }
    save_checkpoint(folder, NAME, rounded, card)
    print(scores, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the folder for the files")
    parser.add_argument("--work", type=Path, default=Path("_build/detector"), help="training goes on from there")
    a = parser.parse_args()
    torch.set_num_threads(1)  # with more, the last digits would depend on their number
    ship(a.out, a.work)


if __name__ == "__main__":
    main()
