"""DeepPCB: train the small detector on crops of its boards, and score it on all test boards, by two rules.

    python experiments/boards.py --data ../shared/data/deeppcb      DeepPCB's folder, which holds PCBData

Training goes on where it stopped. The boards are whole, 640 x 640; training sees random squares of them, because on
reduced boards half of the defects vanish. The official test list shares groups of boards with the training list, so the
scores stand once for all test boards and once for those of groups that training has not seen.
"""

import argparse
import json
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from runs import ROOT, processor

import cbam_lite
from cbam_lite.detection.average_precision import average_precision, best_f_score
from cbam_lite.detection.boards import pcb_boards, unseen_boards
from cbam_lite.detection.boxed_images import BoxedImages
from cbam_lite.detection.changes import crops, flips_with_boxes, in_turn
from cbam_lite.detection.detecting import Detections, anchors_for, detect
from cbam_lite.detection.train import fit_detector
from cbam_lite.detection.yolo import yolo_tiny
from cbam_lite.training.checkpoints import write_whole

SETTINGS: dict[str, Any] = {"epochs": 120, "batch_size": 16, "lr": 8e-3, "seed": 0}
NETWORK: dict[str, Any] = {"phi": 0, "width": 0.25}
CROP = 192
PUBLISHED = {"DeepPCB mAP": 0.986, "F": 0.982}  # of the data set's README, by another network and another budget


def scores(found: list[Detections], truth: BoxedImages) -> dict[str, Any]:
    """Both rules and the F-score at its best threshold, which is chosen on these very boards, as one does there."""
    own, coco, f = (
        average_precision(found, truth, "DeepPCB"),
        average_precision(found, truth),
        best_f_score(found, truth),
    )
    return {
        "boards": len(truth),
        "objects": sum(len(objects.labels) for objects in truth.objects),
        "DeepPCB mAP": round(own.AP, 4),
        "DeepPCB by class": {name: round(value, 4) for name, value in own.by_class.items() if value is not None},
        "F": round(f.F, 4),
        "precision": round(f.precision, 4),
        "recall": round(f.recall, 4),
        "threshold of F": round(f.confidence, 4),
        "COCO AP": round(coco.AP, 4),
        "COCO AP50": round(coco.AP50, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds PCBData")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--work", type=Path, default=ROOT / "_build" / "boards", help="the training's checkpoint")
    parser.add_argument("--out", type=Path, default=ROOT / "cbam_lite" / "results" / "boards.json")
    a = parser.parse_args()
    if a.device == "cpu":
        torch.set_num_threads(1)
    folder = a.data / "PCBData"
    train, test = (pcb_boards(folder, folder / name) for name in ("trainval.txt", "test.txt"))
    torch.manual_seed(SETTINGS["seed"])
    model = yolo_tiny(num_classes=6, anchors=anchors_for(train), **NETWORK)
    change = in_turn(crops(CROP), flips_with_boxes)
    history = fit_detector(model, train, change=change, device=a.device, checkpoint=a.work, **SETTINGS)
    if history.interrupted:
        raise KeyboardInterrupt
    start = time.perf_counter()
    found = detect(model, test, confidence=0.001, batch_size=8)
    per_board = (time.perf_counter() - start) / len(test)
    unseen = unseen_boards(test, train)
    result = {
        "command": "python experiments/boards.py --data DEEPPCB",
        "network": NETWORK | {"parameters": sum(p.numel() for p in model.parameters())},
        "training": SETTINGS | {"boards": len(train), "crop": CROP, "seconds": round(sum(history["seconds"]))},
        "all test boards": scores(found, test),
        "boards of unseen groups": scores([found[i] for i in unseen.tolist()], test.take(unseen)),
        "published": PUBLISHED,
        "seconds for a board": round(per_board, 4),
        "versions": f"cbam_lite {cbam_lite.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "hardware": torch.cuda.get_device_name() if a.device == "cuda" else f"{processor()}, one thread",
        "date": str(date.today()),
    }
    write_whole(a.out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
