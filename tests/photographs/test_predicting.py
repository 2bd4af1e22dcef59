"""A folder of photographs: the table, the overlays, what is read, what happens after Ctrl-C, and what is refused."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cbam_lite import cam, make_defects, predict_folder, trained_defect_net
from cbam_lite.explaining.gradcam import logit, smooth
from cbam_lite.explaining.methods import xgrad_cam
from cbam_lite.photographs.maps import heat
from cbam_lite.photographs.predicting import FolderPredictions, reduced
from cbam_lite.photographs.reading import resized

CLASSES = make_defects(1).classes


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_defect_net("CBAM")[0]


@pytest.fixture
def folder(tmp_path):
    """Five photographs of 80x60, in folders, beside what is no photograph."""
    pixels = torch.nn.functional.interpolate(make_defects(5, seed=1).images.float(), (60, 80)).byte()
    pixels = pixels.permute(0, 2, 3, 1).numpy()
    root = tmp_path / "in"
    for n, name in enumerate(("a.png", "b.TIF", "sub/a.png", "sub/deep/c, d.bmp", "z.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[n]).save(root / name)
    (root / ".hidden").mkdir()
    for name in (".hidden/a.png", "._a.png"):
        Image.fromarray(pixels[0]).save(root / name)
    (root / "notes.txt").write_text("no photograph")
    return root


PATHS = ["a.png", "b.TIF", "sub/a.png", "sub/deep/c, d.bmp", "z.png"]


def table(out) -> list[list[str]]:
    with open(out / "predictions.csv", newline="") as file:
        return list(csv.reader(file))


def run(model, folder, out, **options):
    options = {"classes": CLASSES, "size": 64, "progress": False, "batch_size": 2} | options
    return predict_folder(model, folder, out, **options)


# ---- what is written ------------------------------------------------------------------------------------------------


def test_the_table_holds_the_probabilities_of_every_photograph(model, folder, tmp_path) -> None:
    found = run(model, folder, tmp_path / "out", overlays=False)
    head, *rows = table(tmp_path / "out")
    assert head == ["path", "class", *(f"P({name})" for name in CLASSES)]
    assert [row[0] for row in rows] == PATHS
    for path, name, *P in rows:
        image = resized(np.array(Image.open(folder / path).convert("RGB")), 64)
        expected = model(image[None].float() / 255).softmax(1)[0]
        assert [float(p) for p in P] == pytest.approx(expected.tolist(), abs=2e-6)
        assert name == CLASSES[int(expected.argmax())]
    assert (found.done, found.there, found.unreadable, found.interrupted) == (5, 0, {}, False)
    assert not (tmp_path / "out" / "overlays").exists()


def test_the_overlay_is_the_map_of_the_called_class_on_the_photograph_itself(model, folder, tmp_path) -> None:
    run(model, folder, tmp_path / "out", layer="layer2", method="HiResCAM", width=3)
    overlays = sorted(
        path.relative_to(tmp_path / "out/overlays").as_posix() for path in (tmp_path / "out").rglob("*.png")
    )
    assert overlays == sorted(f"{path}.png" for path in PATHS)
    pixels = np.array(Image.open(folder / "sub/a.png"))
    image = resized(pixels, 64)[None].float() / 255
    raw = smooth(cam(model, image, "layer2", logit(model(image).argmax(1)), "HiResCAM")["layer2"])
    found = np.array(Image.open(tmp_path / "out/overlays/sub/a.png.png")).astype(int)
    assert found.shape == (60, 80, 3)
    assert np.abs(found - heat(torch.from_numpy(pixels).permute(2, 0, 1), raw[0])).max() <= 1


def test_a_large_photograph_has_a_smaller_overlay(model, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (3000, 1500), (90, 80, 70)).save(tmp_path / "in/large.jpg")
    run(model, tmp_path / "in", tmp_path / "out")
    assert Image.open(tmp_path / "out/overlays/large.jpg.png").size == (1024, 512)


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_called(model, folder, tmp_path) -> None:
    (folder / "broken.jpg").write_bytes(b"no image")
    found = run(model, folder, tmp_path / "out")
    assert list(found.unreadable) == ["broken.jpg"]
    assert "cannot be read as an image" in found.unreadable["broken.jpg"]
    assert [row[0] for row in table(tmp_path / "out")[1:]] == PATHS
    assert "5 added, 0 were there, 1 unreadable" in str(found)
    assert "broken.jpg: " in str(found)


def test_what_lies_in_out_is_not_called_though_it_lies_in_the_folder(model, folder) -> None:
    run(model, folder, folder / "out")
    again = run(model, folder, folder / "out")
    assert (again.done, again.there) == (0, 5)


def test_links_to_folders_are_followed_and_circles_end(model, folder, tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.rename(folder / "z.png", tmp_path / "elsewhere/z.png")
    os.symlink(tmp_path / "elsewhere", folder / "zz")
    os.symlink(folder, folder / "sub/back")
    run(model, folder, tmp_path / "out", overlays=False)
    assert [row[0] for row in table(tmp_path / "out")[1:]] == [*PATHS[:-1], "zz/z.png"]


def test_a_folder_without_photographs_is_refused(model, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="holds no photograph"):
        run(model, tmp_path / "in", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        run(model, tmp_path / "nowhere", tmp_path / "out")


# ---- stop and go on -------------------------------------------------------------------------------------------------


class Stopped(nn.Module):
    """A network that somebody interrupts at one of its passes."""

    def __init__(self, network: nn.Module, stop: int) -> None:
        super().__init__()
        self.network, self.stop, self.images = network, stop, []

    def forward(self, x):
        self.images.append(len(x))
        if len(self.images) == self.stop:
            raise KeyboardInterrupt
        return self.network(x)


def test_after_ctrl_c_the_next_run_does_the_rest_alone(model, folder, tmp_path) -> None:
    run(Stopped(model, 0), folder, tmp_path / "straight", overlays=False)
    found = run(Stopped(model, 2), folder, tmp_path / "out", overlays=False)
    assert (found.done, found.interrupted) == (2, True)
    assert [row[0] for row in table(tmp_path / "out")[1:]] == PATHS[:2]
    rest = Stopped(model, 0)
    found = run(rest, folder, tmp_path / "out", overlays=False)
    assert (found.done, found.there, found.interrupted) == (3, 2, False)
    assert rest.images == [2, 1]
    assert table(tmp_path / "out") == table(tmp_path / "straight")


def test_a_row_stands_in_the_table_only_behind_its_overlay(model, folder, tmp_path, monkeypatch) -> None:
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("cbam_lite.photographs.predicting.heat", stop)
    assert run(model, folder, tmp_path / "out").interrupted
    assert len(table(tmp_path / "out")) == 1


def test_half_a_line_is_cut_and_done_again(model, folder, tmp_path) -> None:
    run(model, folder, tmp_path / "out", overlays=False)
    whole = (tmp_path / "out/predictions.csv").read_bytes()
    (tmp_path / "out/predictions.csv").write_bytes(whole[:-7])
    found = run(model, folder, tmp_path / "out", overlays=False)
    assert (found.done, found.there) == (1, 4)
    assert (tmp_path / "out/predictions.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": trained_defect_net("plain")[0]}, "model '"),
        ({"classes": CLASSES[::-1]}, "classes"),
        ({"size": 32}, "size 64, now 32"),
        ({"layer": "layer3"}, "layer 'layer4', now 'layer3'"),
        ({"method": "Grad-CAM"}, "method 'LayerCAM', now 'Grad-CAM'"),
        ({"width": 3}, "width 1, now 3"),
        ({"overlays": False}, "overlays True, now False"),
    ],
)
def test_predictions_made_otherwise_are_not_mixed(model, folder, tmp_path, change, says: str) -> None:
    run(model, folder, tmp_path / "out")
    before = (tmp_path / "out/predictions.csv").read_bytes()
    with pytest.raises(ValueError, match=says):
        run(**({"model": model, "folder": folder, "out": tmp_path / "out"} | change))
    assert (tmp_path / "out/predictions.csv").read_bytes() == before


def test_one_weight_makes_another_model(model, folder, tmp_path) -> None:
    run(model, folder, tmp_path / "out", overlays=False)
    other = trained_defect_net("CBAM")[0]
    with torch.no_grad():
        other.fc.bias[0] += 1e-3
    with pytest.raises(ValueError, match="was made with model"):
        run(other, folder, tmp_path / "out", overlays=False)


# ---- the rest -------------------------------------------------------------------------------------------------------


def test_the_bar_is_shown_where_tqdm_is_installed_and_not_missed_elsewhere(
    model, folder, tmp_path, monkeypatch, capsys
) -> None:
    run(model, folder, tmp_path / "with", overlays=False, progress=True)
    assert "5/5" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert run(model, folder, tmp_path / "without", overlays=False, progress=True).done == 5


def test_the_model_keeps_its_mode(model, folder, tmp_path) -> None:
    network = trained_defect_net("CBAM")[0].train()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    run(network, folder, tmp_path / "out")
    assert network.training
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())


def test_names_that_do_not_fit_are_refused(model, folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="but there are 2 classes: name each of them"):
        run(model, folder, tmp_path / "out", classes=("good", "crack"))
    assert run(model, folder, tmp_path / "out").done == 5  # the mended call is no other training's
    with pytest.raises(TypeError, match="classes must be a list of names, got 'crack'"):
        run(model, folder, tmp_path / "out", classes="crack")
    with pytest.raises(ValueError, match="names one class twice"):
        run(model, folder, tmp_path / "out", classes=("a", "a"))


# ---- what a run remembers, and what it says --------------------------------------------------------------------------


def test_the_settings_stand_beside_the_table(model, folder, tmp_path) -> None:
    run(model, folder, tmp_path / "a", bits=12, width=3)
    found = json.loads((tmp_path / "a/predictions.json").read_text())
    hashed = found.pop("model")
    shown = {"layer": "layer4", "overlays": True, "method": "LayerCAM", "width": 3}
    assert found == {"classes": list(CLASSES), "size": 64, "bits": 12, **shown}
    run(model, folder, tmp_path / "b", overlays=False, layer="layer2", method=xgrad_cam)
    found = json.loads((tmp_path / "b/predictions.json").read_text())
    assert (found["model"], found["bits"]) == (hashed, None)
    assert (found["layer"], found["overlays"], found["method"]) == (None, False, "xgrad_cam")


def test_bits_of_all_files_are_one_number(model, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    for top in (1000, 5000):
        Image.fromarray(np.full((8, 8), top, np.uint16)).save(tmp_path / f"in/{top}.tif")
    (tmp_path / "in/broken.tif").write_bytes(b"no image")
    found = run(model, tmp_path / "in", tmp_path / "a", overlays=False)
    assert json.loads((tmp_path / "a/predictions.json").read_text())["bits"] == 14
    assert list(found.unreadable) == ["broken.tif"]
    (tmp_path / "in/5000.tif").unlink()
    run(model, tmp_path / "in", tmp_path / "b", overlays=False)
    run(model, tmp_path / "in", tmp_path / "c", overlays=False, bits=14)
    by_14, by_10, again = ([float(p) for p in table(tmp_path / name)[1][2:]] for name in "abc")
    assert again == pytest.approx(by_14, abs=1e-4)
    assert by_10 != pytest.approx(by_14, abs=1e-2), "1000 is darker by 14 bits than by 10"


def test_what_was_done_is_said_in_a_line() -> None:
    found = FolderPredictions(Path("out/p.csv"), 3, 2, {"a.png": "why", "b.png": "that"}, True)
    assert str(found) == "out/p.csv: 3 added, 2 were there, 2 unreadable, interrupted\n  a.png: why\n  b.png: that"
    assert str(FolderPredictions(Path("p.csv"), 0, 0, {}, False)) == "p.csv: 0 added, 0 were there, 0 unreadable"


def test_defaults_are_maps_of_the_last_layer(model, folder, tmp_path, capsys) -> None:
    options = {
        "layer": "layer4",
        "method": "LayerCAM",
        "width": 1,
        "overlays": True,
        "batch_size": 32,
        "progress": True,
    }
    predict_folder(model, folder, tmp_path / "a", classes=CLASSES, size=64)
    assert "5/5" in capsys.readouterr().err
    predict_folder(model, folder, tmp_path / "b", classes=CLASSES, size=64, **options)
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 7
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_a_small_photograph_keeps_its_size_and_its_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 1024, 3), dtype=np.uint8)
    assert torch.equal(reduced(pixels), torch.from_numpy(pixels).permute(2, 0, 1) / 255)
    assert reduced(pixels.transpose(1, 0, 2).repeat(2, 0)).shape == (3, 1024, 10)


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names of files are text there")
def test_names_that_are_no_text_are_kept_and_known_again(model, folder, tmp_path) -> None:
    os.rename(folder / "z.png", os.fsencode(folder) + b"/z\xff.png")
    run(model, folder, tmp_path / "out", overlays=False)
    assert b"\nz\xff.png," in (tmp_path / "out/predictions.csv").read_bytes()
    assert run(model, folder, tmp_path / "out", overlays=False).there == 5
