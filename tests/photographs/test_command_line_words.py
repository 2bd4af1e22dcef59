"""What each command of `cbam-lite` takes, what it says of it, and that every option reaches the function behind it.

`PYTHONPATH=. python tests/photographs/test_command_line_words.py` stores the help anew; read what changed first.
"""

import contextlib
import io
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from cbam_lite import History, LabelledImages
from cbam_lite.photographs import command_line
from cbam_lite.photographs.command_line import INTERRUPTED, main, parser
from cbam_lite.photographs.exporting import Exported
from cbam_lite.photographs.predicting import FolderPredictions
from cbam_lite.photographs.runs import Run
from cbam_lite.training.batches import lights_and_flips

STORED = Path(__file__).with_suffix(".txt")
COMMANDS = ("describe", "train", "report", "predict", "export")


def helped() -> str:
    """What `--help` says of everything, a line for each option; the usage is left out, for Pythons write it apart."""
    os.environ["COLUMNS"] = "1000"
    said = []
    for words in ([], *([name] for name in COMMANDS)):
        with contextlib.redirect_stdout(io.StringIO()) as page, contextlib.suppress(SystemExit):
            parser().parse_args([*words, "--help"])
        lines = [re.sub(" +", " ", line).strip() for line in page.getvalue().splitlines()]
        said += [f"## cbam-lite {' '.join(words)}", *(line for line in lines if line and not line.startswith("usage:"))]
    return "\n".join(said) + "\n"


def test_help_is_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert helped() == STORED.read_text()


DATA = {"data": "plates", "layout": None, "size": 128, "groups": "auto", "masks": None, "bits": None}
FREE = {"json": False, "quiet": False}
DEFAULTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "describe": (["plates"], {**DATA, **FREE, "picture": None}),
    "train": (
        ["plates", "--out", "run"],
        {
            **DATA, **FREE, "out": "run", "network": "small", "attention": "CBAM", "weights": "DEFAULT", "epochs": 40,
            "batch_size": 32, "lr": 3e-3, "valid": 0.15, "test": 0.15, "balanced": True, "seed": 0, "device": None,
        },
    ),
    "report": (
        ["run"],
        {**FREE, "run": "run", "out": None, "good": None, "recall": 0.95, "layer": None, "method": "LayerCAM"},
    ),
    "predict": (
        ["run", "new", "--out", "out"],
        {**FREE, "run": "run", "folder": "new", "out": "out", "layer": None, "no_maps": False},
    ),
    "export": (["run", "net.onnx"], {**FREE, "run": "run", "file": "net.onnx", "gate": None}),
}  # fmt: skip
GIVEN: dict[str, tuple[str, dict[str, Any]]] = {
    "describe": (
        "p --layout masked --size 9 --groups none --masks m --bits 12 --picture s.png --json --quiet",
        {"layout": "masked", "size": 9, "groups": "none", "masks": "m", "bits": 12, "picture": "s.png", "json": True},
    ),
    "train": (
        "p --out r --network resnet18 --attention SE --weights none --epochs 3 --batch-size 4 --lr 0.1 --valid 0.2 "
        "--test 0.3 --unbalanced --seed 5 --device cpu",
        {"network": "resnet18", "attention": "SE", "weights": "none", "epochs": 3, "batch_size": 4, "lr": 0.1,
         "valid": 0.2, "test": 0.3, "balanced": False, "seed": 5, "device": "cpu"},
    ),
    "report": (
        "r --out o --good fine --recall 0.8 --layer layer1 --method Grad-CAM",
        {"out": "o", "good": "fine", "recall": 0.8, "layer": "layer1", "method": "Grad-CAM"},
    ),
    "predict": ("r new --out o --layer layer1 --no-maps", {"layer": "layer1", "no_maps": True}),
    "export": ("r f.onnx --gate layer1.0.attention", {"gate": "layer1.0.attention"}),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_not_said_is_the_default(name: str) -> None:
    words, expected = DEFAULTS[name]
    found = vars(parser().parse_args([name, *words]))
    assert found.pop("what") is getattr(command_line, f"run_{name}")
    assert found == {"command": name, **expected}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_said_is_taken(name: str) -> None:
    words, expected = GIVEN[name]
    found = vars(parser().parse_args([name, *words.split()]))
    assert expected.items() <= found.items()


# ---- from the options to the functions -------------------------------------------------------------------------------

NET = nn.Identity()
PHOTOGRAPHS = LabelledImages(
    torch.zeros(3, 3, 8, 8, dtype=torch.uint8),
    torch.tensor([0, 1, 0]),
    ("hole", "OK"),
    paths=("a.png", "b.png", "c.png"),
)
RUN = Run("plates", size=32, bits=12, seed=4, epochs=7, batch_size=5, lr=0.5, classes=["hole", "OK"])


class Called:
    """In the place of a function: it remembers how it was called, and gives what it is told to."""

    def __init__(self, gives: Any) -> None:
        self.gives, self.words, self.options = gives, (), {}

    def __call__(self, *words: Any, **options: Any) -> Any:
        self.words, self.options = words, options
        return self.gives


def put(monkeypatch: pytest.MonkeyPatch, **gives: Any) -> SimpleNamespace:
    """Put something that only remembers in the place of these functions of the command line."""
    called = {name: Called(value) for name, value in gives.items()}
    for name, one in called.items():
        monkeypatch.setattr(command_line, name, one)
    return SimpleNamespace(**called)


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, which ``~`` stands for."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_predict_passes_everything_on(monkeypatch, capsys, home) -> None:
    found = FolderPredictions(Path("o/predictions.csv"), 2, 1, {"x.png": "why"}, True)
    called = put(monkeypatch, load_run=RUN, network_of_run=NET, predict_folder=found)
    assert main(["predict", "~/r", "new", "--out", "o", "--json"]) == INTERRUPTED
    assert answer(capsys) == {
        "table": "o/predictions.csv", "done": 2, "there": 1, "unreadable": {"x.png": "why"}, "interrupted": True
    }  # fmt: skip
    assert called.load_run.words == (home / "r",)
    assert (called.network_of_run.words, called.network_of_run.options) == (
        (RUN,),
        {"trained": True, "folder": home / "r"},
    )
    assert called.predict_folder.words == (NET, "new", "o")
    expected = {
        "classes": ["hole", "OK"],
        "size": 32,
        "layer": "layer2",
        "overlays": True,
        "bits": 12,
        "progress": True,
    }
    assert called.predict_folder.options == expected
    main(["predict", "r", "new", "--out", "o", "--layer", "layer1", "--no-maps", "--quiet"])
    expected |= {"layer": "layer1", "overlays": False, "progress": False}
    assert called.predict_folder.options == expected
    assert capsys.readouterr().out == f"{found}\n"


def test_export_passes_everything_on(monkeypatch, capsys, home) -> None:
    found = Exported(Path("net.onnx"), 1e-6, {"logits": (2,), "gate": (4, 4)}, {"size": "32"})
    called = put(monkeypatch, load_run=RUN, network_of_run=NET, export_onnx=found)
    assert main(["export", "~/r", "net.onnx", "--gate", "layer1", "--json"]) == 0
    assert answer(capsys) == {
        "path": "net.onnx", "difference": 1e-6, "metadata": {"size": "32"}, "outputs": {"logits": [2], "gate": [4, 4]}
    }  # fmt: skip
    assert called.network_of_run.options == {"trained": True, "folder": home / "r"}
    assert called.export_onnx.words == (NET, "net.onnx")
    assert called.export_onnx.options == {"size": 32, "classes": ["hole", "OK"], "gate": "layer1"}


def test_report_passes_everything_on(monkeypatch, capsys, home) -> None:
    class Found:
        def as_dict(self) -> dict[str, Any]:
            return {"a": 1}

        def __str__(self) -> str:
            return "the numbers"

    parts = {"train": PHOTOGRAPHS, "valid": PHOTOGRAPHS.take([0]), "test": PHOTOGRAPHS.take([1])}
    called = put(monkeypatch, load_run=RUN, read=PHOTOGRAPHS, parts_of=parts, network_of_run=NET, report=Found())
    assert main(["report", "~/r", "--json"]) == 0
    assert answer(capsys) == {"a": 1}
    assert called.parts_of.words == (RUN, PHOTOGRAPHS)
    assert called.report.words == (NET, parts["test"], home / "r" / "report")
    expected = {"valid": parts["valid"], "good": "OK", "recall": 0.95, "layer": "layer2", "method": "LayerCAM"}
    assert called.report.options == expected
    words = ["--out", "~/o", "--good", "hole", "--recall", "0.5", "--layer", "layer1", "--method", "Grad-CAM"]
    assert main(["report", "r", *words]) == 0
    assert called.report.words[2] == home / "o"
    assert called.report.options == expected | {"good": "hole", "recall": 0.5, "layer": "layer1", "method": "Grad-CAM"}
    assert capsys.readouterr().out == f"the numbers\n{home / 'o' / 'report.html'} shows it all\n"


def history(*accuracies: float) -> History:
    found = History()
    for epoch, accuracy in enumerate(accuracies, 1):
        found.append(epoch, 0.1, 0.5, 0.5, 0.4, accuracy, 1.0)
    return found


def test_train_passes_everything_on(monkeypatch, capsys, home) -> None:
    parts = {"train": PHOTOGRAPHS, "valid": PHOTOGRAPHS.take([0]), "test": PHOTOGRAPHS.take([1])}
    called = put(
        monkeypatch, read=PHOTOGRAPHS, parts_of=parts, network_of_run=NET, fit=history(0.5, 0.75), describe="the data"
    )
    words = "--size 32 --epochs 7 --batch-size 5 --lr 0.5 --seed 4 --valid 0.2 --test 0.3 --groups none --device cpu"
    assert main(["train", "~/plates", "--out", "~/r", *words.split(), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "folder": str(home / "r"), "classes": ["hole", "OK"], "epochs": 2, "valid_accuracy": 0.75, "interrupted": False,
        "images": {"train": 3, "valid": 1, "test": 1},
    }  # fmt: skip
    assert captured.err == "the data\n"
    assert called.describe.words == (parts["train"], parts["test"])
    asked = Run(
        "~/plates",
        size=32,
        groups="none",
        epochs=7,
        batch_size=5,
        lr=0.5,
        seed=4,
        shares=(0.2, 0.3),
        classes=["hole", "OK"],
    )
    assert (called.parts_of.words, called.read.words) == ((asked, PHOTOGRAPHS), (asked,))
    assert (called.network_of_run.words, called.network_of_run.options) == ((asked,), {"trained": False})
    assert called.fit.words == (NET, parts["train"], parts["valid"])
    expected = {
        "epochs": 7, "batch_size": 5, "lr": 0.5, "augment": lights_and_flips, "class_weights": "balanced", "seed": 4,
        "device": "cpu", "checkpoint": home / "r", "progress": True,
    }  # fmt: skip
    assert called.fit.options == expected
    assert main(["train", "~/plates", "--out", "~/s", *words.split(), "--unbalanced", "--quiet"]) == 0
    assert called.fit.options == expected | {"class_weights": None, "progress": False, "checkpoint": home / "s"}
    assert capsys.readouterr().out == (
        f"{home / 's'} holds the training, 2 of 7 epochs. Accuracy hides what is missed: see cbam-lite report "
        f"{home / 's'}\n"
    )


def test_describe_passes_everything_on(monkeypatch, capsys, home) -> None:
    class Found:
        picture = Called(None)

        def as_dict(self) -> dict[str, Any]:
            return {"images": 3}

        def __str__(self) -> str:
            return "three images"

    called = put(monkeypatch, read=PHOTOGRAPHS, describe=Found())
    words = ["~/plates", "--layout", "masked", "--masks", "m", "--bits", "12", "--groups", "none", "--size", "9"]
    assert main(["describe", *words, "--picture", "~/s.png"]) == 0
    assert called.read.words == (Run("~/plates", "masked", 9, "m", "none", 12),)
    assert called.describe.words == (PHOTOGRAPHS,)
    assert Found.picture.options == {"file": home / "s.png"}
    assert capsys.readouterr().out == "three images\n"
    (home / "parts.csv").write_text("path,label\n")
    assert main(["describe", "~/parts.csv", "--json"]) == 0
    assert called.read.words[0].layout == "csv"
    assert answer(capsys) == {"images": 3}


def test_warnings_and_prints_go_beside_the_answer(monkeypatch, capsys) -> None:
    def loud(run: Run) -> LabelledImages:
        import warnings

        print("one word")
        warnings.warn("two words", UserWarning, stacklevel=1)
        raise ValueError("three words")

    monkeypatch.setattr(command_line, "read", loud)
    assert main(["describe", "plates"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "one word\nWarning: two words\ncbam-lite describe: three words\n"


if __name__ == "__main__":
    STORED.write_text(helped())
