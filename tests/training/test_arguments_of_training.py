"""Every public function of the part, with arguments of another kind: the error names the argument, never Python's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import cbam_lite
from cbam_lite import LabelledImages, defect_net, evaluate, fit, make_defects, predict
from cbam_lite.training.images import boxes_of
from cbam_lite.training.splitting import similar_groups

PICTURES = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
DATA = LabelledImages(PICTURES, torch.tensor([0, 1, 0, 1]), ("a", "b"), torch.rand(4, 32, 32) < 0.5)
IMAGES, G = PICTURES / 255, Generator()
NET = defect_net(num_classes=2)

OTHER = ["text", None, np.ones((4, 3, 32, 32)), object()]  # instead of a tensor
NOT_DATA = ["text", None, 3, IMAGES, IMAGES.numpy(), DataLoader(DATA), {"a": 1}, DATA.take(slice(0))]
NOT_MODELS = ["net", None, 3]
NOT_NUMBERS = ["text", None, float("nan"), float("inf"), torch.ones(2), True]
NOT_WHOLE = ["text", None, 0.5, torch.ones(2), True]
NOT_SIZES = [*NOT_WHOLE, 0, -1]
NOT_FOLDERS = [None, 3, ["a"]]
NOT_NAMES = [None, 3, "", "a/b", "../a", "a\0"]
NOT_AUGMENTED: list[Any] = [lambda images, g: images[:1], lambda images, g: None]

CASES: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, list[Any]]]] = {
    "make_defects": (
        make_defects,
        {"n": 1, "size": 32},
        {
            "n": NOT_SIZES,
            "size": [*NOT_SIZES, 8],
            "seed": [*NOT_WHOLE, -1],
            "contrast": [*NOT_NUMBERS, 3],
            "scale": [*NOT_NUMBERS, 0],
            "clutter": [*NOT_NUMBERS, 2],
            "material": ["weeve", 3, ["weave"]],
        },
    ),
    "fit": (
        lambda **options: fit(progress=False, **options),
        {"model": NET, "train": DATA, "epochs": 1, "batch_size": 4, "device": "cpu"},
        {
            "model": [*NOT_MODELS, nn.ReLU(), nn.Linear(1, 1).requires_grad_(False)],
            "train": NOT_DATA,
            "valid": [data for data in NOT_DATA if data is not None],
            "epochs": NOT_SIZES,
            "batch_size": NOT_SIZES,
            "lr": [*NOT_NUMBERS, 0, -1],
            "weight_decay": [*NOT_NUMBERS, -1],
            "augment": ["flips", 3, *NOT_AUGMENTED],
            "seed": [*NOT_WHOLE, 10**30],
            "device": ["gpu", "", [1], "cuda:99"],
            "checkpoint": [3, ["a"], ""],
        },
    ),
    **{run.__name__: (
        run,
        {"model": NET, "data": DATA, "batch_size": 4},
        {"model": NOT_MODELS, "data": NOT_DATA, "batch_size": NOT_SIZES},
    ) for run in (predict, evaluate)},
    "flips": (cbam_lite.flips, {"images": IMAGES, "g": G}, {"images": [*OTHER, IMAGES[0]], "g": [None, 0, "seed"]}),
    "shifts_and_mirrors": (
        cbam_lite.shifts_and_mirrors,
        {"images": IMAGES, "g": G, "pixels": 2},
        {"images": [*OTHER, IMAGES[0]], "g": [None, 0, "seed"], "pixels": [*NOT_WHOLE, -1]},
    ),
    "save_checkpoint": (
        cbam_lite.save_checkpoint,
        {"folder": Path("folder"), "name": "last", "tensors": {"a": torch.ones(1)}, "facts": {"epoch": 1}},
        {
            "folder": NOT_FOLDERS,
            "name": NOT_NAMES,
            "tensors": [None, 3, "text", [torch.ones(1)], {"a": np.ones(1)}],
            "facts": [None, 3, "text", {1: 2}, {"tensors": "x"}, {"sha256": "x"}, {"a": torch.ones(1)}, {"a": {1, 2}}],
        },
    ),
    "load_checkpoint": (
        cbam_lite.load_checkpoint,
        {"folder": Path("folder"), "name": "last"},
        {"folder": NOT_FOLDERS, "name": NOT_NAMES},
    ),
    "defect_net": (
        defect_net,
        {"attention": "SE", "num_classes": 2, "planes": 8},
        {"attention": [3, "se", ["SE"]], "num_classes": NOT_SIZES, "planes": NOT_SIZES},
    ),
    "trained_defect_net": (cbam_lite.trained_defect_net, {"name": "SE"}, {"name": [None, 3, "se", ["SE"]]}),
    "LabelledImages": (
        LabelledImages,
        {"images": PICTURES, "labels": DATA.labels, "classes": ("a", "b"), "masks": DATA.masks, "groups": DATA.labels},
        {
            "images": [*OTHER, PICTURES.float(), PICTURES[0], PICTURES.permute(0, 2, 3, 1), PICTURES.numpy()],
            "labels": [*OTHER, list("abab"), [0, 1, 0, 1], DATA.labels.float(), DATA.labels > 0, DATA.labels[:2]],
            "classes": ["ab", None, 2],
            "masks": ["text", np.ones((4, 32, 32)), DATA.masks.byte(), DATA.masks[:2]],  # type: ignore[union-attr, index]
            "groups": ["text", [0, 1, 0, 1], DATA.labels.float(), DATA.labels[:2]],
        },
    ),
    "take": (
        DATA.take,
        {"index": [0, 1]},
        {"index": ["text", None, 3, [9], [0.5], torch.ones(3) > 0, torch.ones(2, 2).long()]},
    ),
    "split": (
        cbam_lite.split,
        {"data": DATA, "share": 0.5, "seed": 0},
        {"data": ["text", None, IMAGES, TensorDataset(IMAGES)], "share": [*NOT_NUMBERS, 0, 1], "seed": NOT_WHOLE},
    ),
    "boxes_of": (boxes_of, {"masks": DATA.masks}, {"masks": [*OTHER, DATA.masks[0], DATA.masks.byte()]}),  # type: ignore[union-attr, index]
    "similar_groups": (
        similar_groups,
        {"images": PICTURES, "threshold": 0.9},
        {"images": [*OTHER, PICTURES[0], PICTURES[:0]], "threshold": [*NOT_NUMBERS, 2]},
    ),
    "image_folder": (
        cbam_lite.image_folder, {"folder": Path("pictures"), "size": 8}, {"folder": NOT_FOLDERS, "size": NOT_SIZES}
    ),
    "masked_folder": (
        cbam_lite.masked_folder,
        {"folder": Path("masked"), "size": 8, "threshold": 127},
        {"folder": NOT_FOLDERS, "size": NOT_SIZES, "threshold": NOT_NUMBERS},
    ),
    "pcb_folder": (
        cbam_lite.pcb_folder, {"folder": Path("boards"), "size": 8}, {"folder": NOT_FOLDERS, "size": NOT_SIZES}
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cbam_lite.save_checkpoint("folder", "last", {"a": torch.ones(1)}, {})
    for file in (
        "pictures/a/1.png",
        "masked/a/1.jpg",
        "masked/a/1.png",
        "boards/g/1/1_test.jpg",
        "boards/g/1/1_temp.jpg",
    ):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(file)
    Path("boards/g/1_not").mkdir()
    Path("boards/g/1_not/1.txt").write_text("1 1 3 3 1")


@pytest.mark.parametrize("case", CASES)
def test_arguments_of_another_kind_are_named(case: str) -> None:
    run, right, wrong = CASES[case]
    run(**right)  # what is right is taken
    for name, values in wrong.items():
        for value in values:
            try:
                said = f"no error, but {run(**(right | {name: value}))!r:.80}"
            except (TypeError, ValueError) as error:
                said = str(error)
            assert not said.startswith("no error"), f"{name}={value!r:.80} gave {said}"
            assert name in said, f"{name}={value!r:.80} gave {said}"


# ---- what people really do -------------------------------------------------------------------------------------------

OPTIONS: dict[str, Any] = {"epochs": 1, "batch_size": 4, "progress": False, "device": "cpu"}


def pairs(*items: Any) -> Any:
    """A data set of these items."""
    return list(items)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (DataLoader(DATA), r"train is a DataLoader: give its data set, train\.dataset"),
        (IMAGES, r"got Tensor: use TensorDataset\(images, labels\)"),
        (TensorDataset(IMAGES), r"gives tuple, not \(image, label\)"),
        (pairs({"image": IMAGES[0], "label": 0}), r"gives dict, not \(image, label\)"),
        (pairs((IMAGES[0], "pit"), (IMAGES[1], "dent")), r"labels are '(pit|dent)', \.\.\.: .*classes\.index\(name\)"),
        (TensorDataset(IMAGES, DATA.labels.float()), r"labels are torch\.float32: give whole numbers"),
        (TensorDataset(IMAGES, DATA.labels[:, None]), r"labels of a batch have the shape \(4, 1\), expected \(B,\)"),
        (TensorDataset(PICTURES, DATA.labels), r"images of the data set are torch\.uint8: give float32 from 0 to 1"),
        (pairs((IMAGES[0], 0), (IMAGES[1, :, 4:], 1)), "images of the data set make no batch: .* of one size"),
        (pairs((Image.new("RGB", (8, 8)), 0)), r"images of the data set make no batch: give tensors \(3, H, W\)"),
    ],
)
def test_data_sets_of_something_else(data: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        fit(defect_net(num_classes=2), data, **OPTIONS)


def test_labels_of_any_whole_number() -> None:
    for labels in (DATA.labels.int(), DATA.labels.byte()):
        assert len(fit(defect_net(num_classes=2), TensorDataset(IMAGES, labels), **OPTIONS)) == 1


def test_uint8_images_of_numpy_are_not_told_to_be_uint8() -> None:
    with pytest.raises(TypeError, match=r"got ndarray: use torch\.from_numpy\(images\)\.permute\(0, 3, 1, 2\)"):
        LabelledImages(PICTURES.permute(0, 2, 3, 1).numpy(), DATA.labels, ("a", "b"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected \(N, 3, H, W\): use images\.permute\(0, 3, 1, 2\)"):
        LabelledImages(PICTURES.permute(0, 2, 3, 1), DATA.labels, ("a", "b"))


def test_a_last_batch_of_one_image() -> None:
    data = TensorDataset(torch.rand(5, 3, 8, 8), torch.tensor([0, 1, 0, 1, 0]))
    with pytest.raises(ValueError, match=r"a batch of 1 image has no spread.*choose batch_size so that the last batch"):
        fit(defect_net(num_classes=2), data, **OPTIONS)
    with pytest.raises(ValueError, match="the model cannot run on images of shape"):  # another mistake is not this one
        fit(defect_net(num_classes=2), TensorDataset(torch.rand(5, 4, 8, 8), data.tensors[1]), **OPTIONS)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (lambda x: (x, x), "the model gives tuple for 4 images"),
        (lambda x: x.mean(), r"the model gives \(\) for 4 images"),
        (lambda x: x, r"the model gives \(4, 3, 32, 32\), expected logits \(B, classes\): pool the map"),
    ],
)
def test_models_that_give_no_logits(output: Callable[[Tensor], Any], says: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Any:
            return output(self.layer(x))

    with pytest.raises(ValueError, match=says):
        fit(Model(), DATA, **OPTIONS)
    with pytest.raises(ValueError, match=says):
        evaluate(Model(), DATA)


def test_predict_takes_a_model_without_weights() -> None:
    assert predict(nn.Flatten(), DATA)[0].shape == (4, 3 * 32 * 32)


def test_checkpoint_that_is_a_file_is_named_before_training() -> None:
    Path("file").write_text("")
    with pytest.raises(ValueError, match="checkpoint='file' is a file: give a folder"):
        fit(NET, DATA, checkpoint="file", **OPTIONS)


def test_a_decompression_bomb_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # of 81
    with pytest.raises(
        ValueError, match=r"1\.png is too large: make it smaller, or raise PIL\.Image\.MAX_IMAGE_PIXELS"
    ):
        cbam_lite.image_folder("pictures", 8)


def test_a_board_and_its_template_of_two_sizes() -> None:
    Image.fromarray(np.zeros((9, 12), np.uint8)).save("boards/g/1/1_temp.jpg")
    with pytest.raises(ValueError, match=r"1_temp\.jpg is \(9, 12\), its board \(9, 9\)"):
        cbam_lite.pcb_folder("boards", 8)


def test_notes_that_are_no_text() -> None:
    Path("boards/g/1_not/1.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"1\.txt is no text"):
        cbam_lite.pcb_folder("boards", 8)
