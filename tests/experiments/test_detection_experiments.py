"""The experiments with detectors, on a few tiny images: complete, resumable, and on the record."""

import csv
import json
from pathlib import Path
from typing import Any

import boards
import detection
import pytest
import runs
import ship_detector
import torch
from PIL import Image

from cbam_lite.detection.detecting import Detections
from cbam_lite.detection.detectors import trained_detector
from cbam_lite.training.checkpoints import load_checkpoint

TINY = {"width": 0.125, "images": 12, "epochs": 1, "batch_size": 6, "lr": 1e-3, "test": 6}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "BUDGETS", {"cpu": dict.fromkeys(detection.CONTRAST, TINY)})
    monkeypatch.setattr(detection, "SIZES", 16)
    monkeypatch.setattr(detection.torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(detection, "VARIANTS", {n: detection.VARIANTS[n] for n in ("none", "CBAM, identity")})


def experiment(task: str, seeds: int, folder: Path) -> list[dict[str, str]]:
    detection.experiment(task, seeds, "cpu", 1, folder / "out", folder / "work")
    lines = (folder / "out" / f"{task}.csv").read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_runs_that_are_there_are_not_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = experiment("detection", 1, tmp_path)
    assert [row["variant"] for row in rows] == ["none", "CBAM, identity"]
    assert all(0 <= float(row["AP50"]) <= 1 for row in rows)
    assert "2 to make" in capsys.readouterr().out
    more = experiment("detection", 2, tmp_path)
    assert "2 runs are there, 2 to make" in capsys.readouterr().out
    assert [(row["variant"], row["seed"]) for row in more][::2] == [("none", "0"), ("CBAM, identity", "0")]
    assert [row["AP50"] for row in more][::2] == [row["AP50"] for row in rows]
    head = (tmp_path / "out" / "detection.csv").read_text().splitlines()[:6]
    assert head[0] == "# command: python experiments/detection.py --task detection --seeds 2 --device cpu"
    assert head[1] == f"# budget: {json.dumps(TINY)}"
    assert head[2] == "# contrast: 1.0"


def test_another_budget_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment("detection", 1, tmp_path)
    monkeypatch.setattr(detection, "BUDGETS", {"cpu": dict.fromkeys(detection.CONTRAST, TINY | {"lr": 2e-3})})
    with pytest.raises(ValueError, match="was made otherwise: '# budget"):
        experiment("detection", 1, tmp_path)


def test_fine_tuning_begins_with_the_plain_detector(tmp_path: Path) -> None:
    """At the start the identity computes what the plain detector of this seed computes, and that is trained once."""
    budget = {name: float(value) for name, value in TINY.items()}
    job = detection.Job("detection_finetune", "none", 0, "cpu", budget, tmp_path)
    plain, identity = detection.begin(job).eval(), detection.begin(job._replace(variant="CBAM, identity")).eval()
    images = torch.rand(2, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(plain(images), identity(images), strict=True))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    train, test = detection.data_of(job)
    assert len(train) == 12
    assert not torch.equal(train.images[:6], test.images)


def test_the_script_takes_its_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--task", "detection_finetune", "--seeds", "1", "--device", "cpu", "--workers", "1"]
    folders = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    monkeypatch.setattr("sys.argv", ["detection.py", *arguments, *folders])
    detection.main()
    assert (tmp_path / "out" / "detection_finetune.csv").read_text().count("\n") == 6 + 1 + 2


def test_a_shipped_detector_is_what_its_card_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship_detector, "TRAIN", {"n": 12, "seed": 100})
    monkeypatch.setattr(ship_detector, "TEST", {"n": 4, "seed": 101})
    monkeypatch.setattr(ship_detector, "SETTINGS", {"epochs": 1, "batch_size": 6, "lr": 1e-3, "seed": 0})
    ship_detector.ship(tmp_path / "shipped", tmp_path / "work")
    tensors, card = load_checkpoint(tmp_path / "shipped", "plain")
    assert {value.dtype for value in tensors.values()} == {torch.float16, torch.int64}
    assert card["classes"] == ["scratch", "pit", "crack", "stain", "dent", "inclusion"]
    assert sorted(card["test_by_contrast"]) == ["0.4", "0.7", "1.0"]
    monkeypatch.setattr("cbam_lite.detection.detectors.SHIPPED", tmp_path / "shipped")
    model, _ = trained_detector()
    assert sum(parameter.numel() for parameter in model.parameters()) == card["parameters"]
    assert model.classes == card["classes"]
    assert not model.training


def board(folder: Path, group: str, name: str, boxes: list[list[int]]) -> str:
    """A white board with black squares, as DeepPCB keeps it; returns its line in the lists."""
    picture = Image.new("L", (640, 640), 255)
    for x0, y0, x1, y1, _ in boxes:
        picture.paste(0, (x0, y0, x1, y1))
    (folder / group / "0").mkdir(parents=True, exist_ok=True)
    (folder / group / "0_not").mkdir(exist_ok=True)
    picture.save(folder / group / "0" / f"{name}_test.jpg")
    (folder / group / "0_not" / f"{name}.txt").write_text("\n".join(" ".join(map(str, box)) for box in boxes))
    return f"{group}/0/{name}.jpg {group}/0_not/{name}.txt"


def test_boards_are_scored_by_both_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "PCBData"
    first = [[100 + 10 * k, 100, 140 + 12 * k, 130 + 7 * k, k + 1] for k in range(6)]
    lines = [board(data, "group1", f"{n}", first) for n in range(3)]
    (data / "trainval.txt").write_text("\n".join(lines[:2]))
    new = board(data, "group2", "9", first[:2])
    (data / "test.txt").write_text(f"{lines[2]}\n{new}")
    settings = {"epochs": 1, "batch_size": 2, "lr": 1e-3, "seed": 0}
    monkeypatch.setattr(boards, "SETTINGS", settings)
    monkeypatch.setattr(boards, "NETWORK", {"phi": 0, "width": 0.125})

    def everything(model: Any, truth: Any, **options: Any) -> list[Detections]:
        return [
            Detections(boxes, labels, torch.linspace(0.9, 0.5, len(labels)), torch.zeros(len(labels), 4))
            for boxes, labels in truth.objects
        ]

    monkeypatch.setattr(boards, "detect", everything)
    arguments = ["--data", str(tmp_path), "--device", "cpu", "--work", str(tmp_path / "w")]
    monkeypatch.setattr("sys.argv", ["boards.py", *arguments, "--out", str(tmp_path / "boards.json")])
    boards.main()
    result = json.loads((tmp_path / "boards.json").read_text())
    assert result["all test boards"]["boards"] == 2
    assert result["boards of unseen groups"]["boards"] == 1
    assert result["all test boards"]["objects"] == 8
    for part in ("all test boards", "boards of unseen groups"):
        scored = result[part]
        assert scored["DeepPCB mAP"] == scored["F"] == scored["recall"] == 1
        assert scored["COCO AP"] == pytest.approx(1, abs=1e-3)
    assert result["published"] == {"DeepPCB mAP": 0.986, "F": 0.982}
    assert result["network"]["parameters"] > 10_000


def test_a_table_is_always_whole(tmp_path: Path) -> None:
    head = runs.header("a test", "cpu", budget={"n": 1}, note="text")
    runs.write_rows(tmp_path / "t.csv", head, ("a", "b"), [{"a": 1, "b": 2}])
    assert runs.read_rows(tmp_path / "t.csv", head) == [{"a": "1", "b": "2"}]
    assert runs.read_rows(tmp_path / "none.csv", head) == []
    assert head[:3] == ["# command: a test", '# budget: {"n": 1}', "# note: text"]
