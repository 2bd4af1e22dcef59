"""`cbam-lite` as a user types it: from a folder to a report, exit codes, JSON, Ctrl-C, a second run."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from PIL import Image

from cbam_lite import fit
from cbam_lite.photographs import command_line
from cbam_lite.photographs.command_line import INTERRUPTED, main
from cbam_lite.photographs.runs import Run, grouping, layout_of, load_run, parts_of, read


def photograph(kind: str, part: int, shot: int) -> Image.Image:
    """A grey plate, each part with a grain of its own; a "hole" is a dark square."""
    grain = np.random.default_rng(part).integers(90, 130, (40, 40, 3))
    pixels = grain + np.random.default_rng(1000 * part + shot).integers(0, 9, (40, 40, 3))
    if kind == "hole":
        pixels[10:24, 12:26] = 10
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """16 parts of each class, photographed twice."""
    monkeypatch.chdir(tmp_path)
    for kind in ("good", "hole"):
        (tmp_path / "plates" / kind).mkdir(parents=True)
        for part in range(16):
            for shot in range(2):
                number = part + 16 * (kind == "hole")
                photograph(kind, number, shot).save(tmp_path / "plates" / kind / f"part{number:02d}_{shot}.png")
    return tmp_path


HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
PARTS = ["--groups", r"part(\d+)", "--size", "32"]
TRAIN = ["train", "plates", "--out", "run", *PARTS, "--epochs", "2", "--batch-size", "16", "--valid", "0.25"]
TRAIN += ["--test", "0.25", "--quiet", "--device", "cpu"]


def said(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_from_a_folder_to_a_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "plates", *PARTS, "--json", "--picture", "samples.png"]) == 0
    assert said(capsys)["images"] == 64
    assert Image.open("samples.png").size[0] > 100

    assert main([*TRAIN, "--json"]) == 0
    facts = said(capsys)
    assert facts["classes"] == ["good", "hole"]
    assert facts["epochs"] == 2
    assert sum(facts["images"].values()) == 64
    run = load_run("run")
    parts = [{path.split("_")[0] for path in paths} for paths in run.parts.values()]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]  # both shots of a part stay together

    assert main(["report", "run", "--json"]) == 0
    assert said(capsys)["measured"]["images"] == len(run.parts["test"])
    assert "hole" in Path("run/report/report.html").read_text()
    assert json.loads(Path("run/report/report.json").read_text())

    Path("new").mkdir()
    photograph("hole", 99, 0).save("new/a.png")
    photograph("good", 98, 0).save("new/b.png")
    assert main(["predict", "run", "new", "--out", "out", "--quiet"]) == 0
    rows = list(csv.DictReader(Path("out/predictions.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == ["a.png", "b.png"]
    assert set(rows[0]) >= {"path", "class", "P(good)", "P(hole)"}
    assert len(list(Path("out").rglob("*.png"))) == 2


def test_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    assert main(TRAIN) == 0
    assert main(["export", "run", "model.onnx"]) == 0
    assert Path("model.onnx").stat().st_size > 10_000


@pytest.mark.parametrize("attention", ["plain", "SE", "ECA", "CBAM"])
def test_a_network_of_torchvision(attention: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchvision")
    assert main([*TRAIN, "--network", "resnet18", "--weights", "none", "--attention", attention, "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main(["report", "run", "--json"]) == 0
    assert said(capsys)["layer"].startswith("network.layer3")  # layer4 has one place of 32 pixels


def test_the_same_command_goes_on_and_another_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TRAIN) == 0
    before = Path("run/run.json").read_bytes()
    capsys.readouterr()
    assert main(TRAIN) == 0
    assert "holds all 2 epochs of this training: nothing is left to train" in capsys.readouterr().err
    assert Path("run/run.json").read_bytes() == before
    assert main([*TRAIN, "--seed", "1"]) == 1
    assert "run holds another training, seed 0 there, 1 here: give another --out" in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_done(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, **options: object) -> object:
        history = fit(*arguments, **options)
        history.interrupted = True
        return history

    def stopped_at_once(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "fit", stopped)
    assert main([*TRAIN, "--json"]) == INTERRUPTED == 130
    assert said(capsys)["interrupted"]
    monkeypatch.setattr(command_line, "fit", stopped_at_once)
    assert main(TRAIN) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["describe", "nowhere"], "nowhere is not a folder"),
        (["describe", "plates", "--groups", "(a)(b)"], "has 2 brackets, and needs one"),
        (["describe", "plates", "--groups", "(a"], "is no pattern: use none, similar, folder"),
        (["describe", "plates", "--groups", r"plate(\d)"], "is not found in good/part"),
        (["report", "plates"], "run.json is not there: give the folder that `cbam-lite train --out` wrote"),
        (["train", "plates", "--out", "run", "--network", "resnet19", *PARTS], "no network of torchvision"),
        (["train", "plates", "--out", "run", "--valid", "0.9", "--test", "0.9", *PARTS], "share"),
    ],
)
def test_errors_are_named_and_have_an_exit_code(
    arguments: list[str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("arguments", [[], ["trainn"], ["train", "plates"], ["describe", "plates", "--size", "big"]])
def test_what_is_mistyped_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_a_reader_that_leaves_early_sees_no_traceback(folder: Path) -> None:
    start = "from cbam_lite.photographs.command_line import command; command()"
    words = [sys.executable, "-c", start, "describe", "plates", *PARTS]
    done = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=HERE)
    assert done.stdout is not None
    done.stdout.close()
    _, said = done.communicate()
    assert "Traceback" not in said
    assert done.returncode == 1


def test_a_damaged_run_is_named(folder: Path) -> None:
    Path("run").mkdir()
    for damage in ("{", "[]", '{"data": "plates"}'):
        Path("run/run.json").write_text(damage)
        with pytest.raises(ValueError, match=r"run\.json is damaged: train again into another folder"):
            load_run("run")


def test_photographs_that_are_gone_are_named(folder: Path) -> None:
    run = Run("plates", size=32, groups="none", classes=["good", "hole"])
    parts = parts_of(run, read(run))
    again = parts_of(run, read(run))
    assert all(torch.equal(parts[name].images, again[name].images) for name in parts)
    gone = run.parts["test"][0]
    (folder / "plates" / gone).unlink()
    with pytest.raises(FileNotFoundError, match=f"1 photographs of this run are gone, {gone} for one: put them back"):
        parts_of(run, read(run))


def test_guesses(tmp_path: Path) -> None:
    assert [layout_of(tmp_path / name) for name in ("a.csv", "a.JSON", "a")] == ["csv", "coco", "folders"]
    (tmp_path / "a/train/good").mkdir(parents=True)
    (tmp_path / "a/test").mkdir()
    assert layout_of(tmp_path / "a") == "mvtec"
    path = PurePosixPath("MT_Crack/Imgs/exp1_num_42.jpg")
    assert grouping("folder")(path) == "MT_Crack/Imgs"
    assert grouping(r"num_(\d+)")(path) == "42"
    assert (grouping("none"), grouping("similar")) == (None, "similar")
