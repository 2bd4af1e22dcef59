"""Every public function of the part, with arguments of another kind: the error names what is wrong, never Python's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cbam_lite import LabelledImages, export_onnx, measure, predict_folder, predict_tiles, report

NET = nn.Sequential(nn.Conv2d(3, 2, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
DATA = LabelledImages(torch.randint(256, (6, 3, 16, 16), dtype=torch.uint8), torch.arange(6) % 2, ("good", "crack"))
LOGITS, LABELS = torch.randn(6, 2), torch.arange(6) % 2

NOT_TENSORS = ["text", None, np.ones((6, 2)), object()]
NOT_NUMBERS = ["text", None, float("nan"), torch.ones(2), True]
NOT_WHOLE = ["text", None, 0.5, torch.ones(2), True, -1]
NOT_COUNTS = [*NOT_WHOLE, 0]
NOT_NAMES = ["good", None, 3, (1, 2), ("a",), ("a", "a")]
NOT_MODELS = ["net", None, 3]
NOT_PATHS = [None, 3, b"bytes"]
NOT_METHODS = [None, 3, "grad"]

CASES: dict[Callable[..., Any], tuple[dict[str, Any], dict[str, list[Any]]]] = {
    measure: (
        {"logits": LOGITS, "labels": LABELS, "classes": ("good", "crack"), "good": "good", "groups": torch.arange(6),
         "valid": (LOGITS, LABELS), "recall": 0.9, "level": 0.9, "resamples": 10, "seed": 0},
        {
            "logits": [*NOT_TENSORS, LOGITS[0], LOGITS[:0], LOGITS.long()],
            "labels": ["text", None, LABELS.float(), LABELS[:2], LABELS + 7],
            "classes": NOT_NAMES,
            "good": ["clean", 3],
            "groups": ["text", 3, torch.arange(3)],
            "valid": ["text", 3, LOGITS, (LOGITS,), (LOGITS, LABELS[:1])],
            "recall": [*NOT_NUMBERS, 95],
            "level": [*NOT_NUMBERS, 95, 0],
            "resamples": NOT_COUNTS,
            "seed": NOT_WHOLE,
        },
    ),
    report: (
        {"model": NET, "test": DATA, "folder": "out", "valid": DATA, "good": "good", "recall": 0.9, "layer": "0",
         "method": "Grad-CAM", "width": 1, "shown": 3, "level": 0.9, "resamples": 10, "seed": 0, "title": "A title"},
        {
            "model": NOT_MODELS,
            "test": [*NOT_TENSORS, DATA.images, DATA.take(slice(0))],
            "folder": NOT_PATHS,
            "valid": ["text", 3, DATA.images, DATA.take(slice(0))],
            "good": ["clean", 3],
            "recall": [*NOT_NUMBERS, 95],
            "layer": ["layer9", 3],
            "method": NOT_METHODS,
            "width": [*NOT_COUNTS, 2],
            "shown": NOT_WHOLE,
            "level": [*NOT_NUMBERS, 95],
            "resamples": NOT_COUNTS,
            "seed": NOT_WHOLE,
            "title": [None, 3],
        },
    ),
    predict_folder: (
        {"model": NET, "folder": "in", "out": "out", "classes": ("good", "crack"), "size": 16, "layer": "0",
         "method": "Grad-CAM", "width": 1, "batch_size": 2, "progress": False},
        {
            "model": NOT_MODELS,
            "folder": NOT_PATHS,
            "out": NOT_PATHS,
            "classes": NOT_NAMES,
            "size": NOT_COUNTS,
            "layer": ["layer9", 3],
            "method": NOT_METHODS,
            "width": [*NOT_COUNTS, 2],
            "batch_size": NOT_COUNTS,
        },
    ),
    predict_tiles: (
        {"model": NET, "image": torch.rand(3, 20, 20), "tile": 8, "overlap": 4, "explain": 1, "layer": "0",
         "method": "Grad-CAM", "width": 1, "batch_size": 2},
        {
            "model": NOT_MODELS,
            "image": [*NOT_TENSORS, torch.rand(20, 20), torch.rand(1, 3, 20, 20), torch.rand(1, 20, 20)],
            "tile": NOT_COUNTS,
            "overlap": [*NOT_WHOLE, 8],
            "explain": ["crack", 0.5, 2, True],
            "layer": ["layer9", 3],
            "method": NOT_METHODS,
            "width": [*NOT_COUNTS, 2],
            "batch_size": NOT_COUNTS,
        },
    ),
    export_onnx: (
        {"model": NET, "path": "net.onnx", "size": 16, "classes": ("good", "crack"), "gate": None},
        {
            "model": NOT_MODELS,
            "path": NOT_PATHS,
            "size": NOT_COUNTS,
            "classes": NOT_NAMES,
            "gate": ["layer9", "0", 3],
        },
    ),
}  # fmt: skip

# Names in errors of what runs inside, which are as clear.
ALSO = {"explain": ["classes"], "classes": ["names"], "layer": ["layers"], "gate": ["layer"], "image": ["model"]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, with one photograph to call."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "in/a.png")
    return tmp_path


@pytest.mark.parametrize("run", CASES, ids=lambda run: run.__name__)
def test_arguments_of_another_kind_are_named(run: Callable[..., Any], here) -> None:
    right, wrong = CASES[run]
    run(**right)  # what is right is taken
    for name, values in wrong.items():
        for value in values:
            if run is predict_folder:
                right = right | {"out": f"out-{name}"}
            try:
                said = f"no error, but {run(**(right | {name: value}))!r:.80}"
            except (TypeError, ValueError) as error:
                said = str(error)
            words = (name, *ALSO.get(name, ()))
            assert not said.startswith("no error"), f"{run.__name__}({name}={value!r:.60}): {said}"
            assert any(word in said for word in words), f"{run.__name__}({name}={value!r:.60}): {said}"
