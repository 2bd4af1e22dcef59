"""The report as it is without options, what it calls things, and what is refused by name."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_report import RIGHT, WRONG, FromCorner, photographs

from cbam_lite import measure, report
from cbam_lite.explaining.methods import xgrad_cam
from cbam_lite.photographs.report import Mistake, explained_class, in_both, listed, made, mistakes_of


def test_what_is_not_said_is_the_default(tmp_path, monkeypatch) -> None:
    asked = {}

    def quickly(*words, **options):
        asked.update(options)
        return measure(*words, **options | {"resamples": 5})

    monkeypatch.setattr("cbam_lite.photographs.report.measure", quickly)
    found = report(FromCorner(), photographs([*RIGHT, *WRONG * 14]), tmp_path, good="good")
    expected = {
        "recall": 0.95,
        "level": 0.95,
        "resamples": 1000,
        "seed": 0,
        "good": "good",
        "groups": None,
        "valid": None,
    }
    assert asked == expected
    assert (found.layer, found.method) == ("layer", "LayerCAM")
    page = (tmp_path / "report.html").read_text()
    assert "<title>How good is this classifier?</title>" in page
    assert "The worst 12 of 28." in page
    assert "The worst 12 of 14." in page


def test_a_method_of_ones_own_goes_by_its_name(tmp_path) -> None:
    data = photographs([*RIGHT[:2], *WRONG])
    assert report(FromCorner(), data, tmp_path, layer="layer", method=xgrad_cam).method == "xgrad_cam"

    class Own:
        def __call__(self, A, G):
            return A.mean(1)

    assert report(FromCorner(), data, tmp_path, layer="layer", method=Own()).method == "a method of your own"


def test_the_seed_and_the_number_of_resamples_reach_every_interval(tmp_path) -> None:
    data = photographs([*RIGHT, *WRONG], masks=True)
    data.masks[30::2] = data.masks[30::2].flip(1, 2)
    options = {"good": "good", "layer": "layer", "level": 0.8, "resamples": 20}
    first, second = (report(FromCorner(), data, tmp_path, seed=seed, **options) for seed in (1, 2))
    assert first.measured.detection.auroc.low != second.measured.detection.auroc.low
    assert first.localisation.table["energy"]["map"][1] != second.localisation.table["energy"]["map"][1]
    assert first.localisation.level == first.measured.level == 0.8


def test_it_reads_as_warnings_and_numbers_and_json_has_a_line_for_each(tmp_path) -> None:
    found = report(FromCorner(), photographs(RIGHT), tmp_path, layer="layer")
    lines = str(found).splitlines()
    assert [line.removeprefix("! ") for line in lines if line.startswith("! ")] == list(found.warnings)
    assert "\n".join(lines[len(found.warnings) :]) == str(found.measured)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert len(text.splitlines()) > 50
    assert json.loads(text)["localisation"] is None


def test_both_files_are_utf_8_whatever_the_system_prefers(tmp_path, monkeypatch) -> None:
    asked, real = {}, Path.write_text

    def noted(path, text, encoding=None):
        asked[path.name] = encoding
        return real(path, text, encoding)

    monkeypatch.setattr(Path, "write_text", noted)
    report(FromCorner(), photographs(RIGHT[:3]), tmp_path, layer="layer")
    assert asked == {"report.json": "utf-8", "report.html": "utf-8"}


# ---- mistakes --------------------------------------------------------------------------------------------------------


def test_equal_mistakes_stand_in_the_order_of_the_data() -> None:
    data = replace(photographs([(1, (0, 0, 0))] * 40), paths=tuple(f"{n}.png" for n in range(40)))
    P = torch.full((40, 3), 0.25)
    P[:, 0], P[7, 0] = 0.5, 0.6
    found = mistakes_of(P, data, "good")
    assert [one.index for one in found["Missed defects"]] == [7, *range(7), *range(8, 40)]
    first = found["Missed defects"][0]
    assert first == Mistake(7, "7.png", "crack", "good", pytest.approx(0.4))
    assert (found["Wrong alarms"], found["Defects of another kind"]) == ((), ())
    which = torch.arange(40) % 2 == 0
    some = listed(which, torch.arange(40.0), torch.arange(40.0), torch.full((40,), 2), data)
    assert [(one.index, one.called, one.probability) for one in some[:2]] == [(38, "pit", 38), (36, "pit", 36)]


def test_whose_map_is_shown() -> None:
    missed, other = Mistake(0, None, "crack", "good", 0.1), Mistake(0, None, "crack", "pit", 0.9)
    assert [explained_class(one, "good") for one in (missed, other)] == ["crack", "pit"]
    assert explained_class(missed, None) == "good"


def test_photographs_on_both_sides_are_equal_in_every_pixel() -> None:
    test = photographs(RIGHT)
    valid = test.take(torch.tensor([3, 3, 5]))
    assert in_both(test, valid) == 2
    valid.images[2, 0, 11, 15] ^= 1
    assert in_both(test, valid) == 1


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_the_argument_that_does_not_fit_is_named(tmp_path) -> None:
    model, data = FromCorner(), photographs(RIGHT)
    for options, said in (
        ({"valid": 3}, r"^valid must be LabelledImages, got int: image_folder gives them, for example$"),
        ({"title": 3}, r"^title must be a text, got 3 of type int$"),
    ):
        with pytest.raises(TypeError, match=said):
            report(model, data, tmp_path, **options)
    with pytest.raises(ValueError, match=r"^valid: there are no images: give at least one$"):
        report(model, data, tmp_path, valid=data.take(slice(0)))


def test_a_folder_is_made_with_those_above_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert made("out", "~/a/b") == tmp_path / "a/b"
    assert made("out", tmp_path / "a/b").is_dir()
    (tmp_path / "a/file").write_bytes(np.zeros(1).tobytes())
    with pytest.raises(
        NotADirectoryError, match=r"^out='.*file' is a file: give a folder, which is made if it is not th"
    ):
        made("out", tmp_path / "a/file")
