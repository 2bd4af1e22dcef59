"""A training that a folder remembers: which loader reads what, and what a run keeps."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
from layouts import photo, save

from cbam_lite import LabelledImages, defect_net, save_checkpoint, trained_defect_net
from cbam_lite.photographs import runs
from cbam_lite.photographs.runs import (
    LAYOUTS,
    Run,
    good_of,
    grouping,
    layer_of_run,
    layout_of,
    load_run,
    network_of_run,
    parts_of,
    read,
)

IMAGES = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(-1, 3, 8, 8)
DATA = LabelledImages(IMAGES, torch.arange(20) % 2, ("good", "bad"), paths=tuple(f"{n}.png" for n in range(20)))
READERS = ("image_folder", "masked_folder", "mvtec_folder", "csv_file", "coco_file", "labelme_folder", "voc_folder")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the loaders are called with, in their place."""
    found: list[tuple[Any, ...]] = []
    for name in READERS:
        monkeypatch.setattr(runs, name, lambda *words, _=name, **options: found.append((_, words, options)) or DATA)
    return found


@pytest.mark.parametrize(("layout", "reader"), zip(LAYOUTS, READERS, strict=True))
def test_each_layout_has_its_loader(
    layout: str, reader: str, calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert read(Run("~/data", layout, 48, "apart", "none", 12, classes=["good", "bad"])) is DATA
    words, options = (tmp_path / "data", 48), {"classes": ["good", "bad"], "groups": None, "bits": 12}
    words = (words[0], tmp_path, 48) if layout == "coco" else words  # type: ignore[assignment]
    options |= {"masked": {"masks": "apart"}, "mvtec": {"part": "test"}}.get(layout, {})
    assert calls == [(reader, words, options)]


def test_what_is_not_known_yet_is_left_to_the_loader(calls: list[tuple[Any, ...]]) -> None:
    read(Run("data"))
    read(Run("data", "mvtec"), part="train")
    assert calls[0][2] == {"classes": None, "groups": "similar", "bits": None}
    assert calls[1][2]["part"] == "train"


def test_a_table_may_know_the_groups(tmp_path: Path) -> None:
    rows = [("1.png", "a", "x"), ("2.png", "b", "y"), ("3.png", "a", "x")]
    for name, _, _ in rows:
        save(tmp_path / name, photo(48, 48))
    table = tmp_path / "t.csv"
    table.write_text("path,label,group\n" + "".join(f"{','.join(row)}\n" for row in rows))
    found = {groups: read(Run(str(table), "csv", 48, groups=groups)).groups for groups in ("auto", "similar", "none")}
    assert found["auto"].tolist() == [0, 1, 0]  # type: ignore[union-attr]
    assert found["similar"].tolist() == [0, 1, 2]  # type: ignore[union-attr]
    table.write_text("path,label\n" + "".join(f"{','.join(row[:2])}\n" for row in rows))
    assert read(Run(str(table), "csv", 48)).groups.tolist() == [0, 1, 2]  # type: ignore[union-attr]
    assert read(Run(str(table), "csv", 48, groups="none")).groups is None


def test_a_run_is_kept_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    run = Run(
        "data",
        "masked",
        64,
        "m",
        "none",
        12,
        "resnet18",
        "SE",
        "none",
        3,
        4,
        0.5,
        False,
        (0.2, 0.3),
        7,
        ["a"],
        {"x": ["y"]},
    )
    run.save(tmp_path / "a" / "b")
    assert load_run("~/a/b") == run
    text = (tmp_path / "a/b/run.json").read_text()
    assert len(text.splitlines()) > 17, "a line for each setting, for people"
    assert text.endswith("}\n")
    asked = json.loads(text)
    assert {"classes": ["a"], "parts": {"x": ["y"]}, **json.loads(json.dumps(run.asked()))} == asked
    assert not {"classes", "parts"} & run.asked().keys()
    (tmp_path / "a/b/run.json").write_text(json.dumps(asked | {"more": 1}))
    with pytest.raises(
        ValueError, match=r"damaged: train again into another folder \(it should hold attention, balanced, "
    ):
        load_run(tmp_path / "a/b")


@pytest.mark.parametrize(("options", "said"), [
    ({"layout": "folder"}, "layout='folder' is not one of 'folders', "),
    ({"attention": "se"}, "attention='se' is not one of 'plain', "),
    ({"size": 0}, "size=0 must be at least 1"),
])  # fmt: skip
def test_a_run_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Run("data", **options)


def test_parts_are_drawn_once() -> None:
    run = Run("data", shares=(0.2, 0.3), seed=3, groups="none")
    first = parts_of(run, DATA)
    assert {name: len(part) for name, part in first.items()} == {"train": 10, "valid": 4, "test": 6}
    assert run.parts == {name: list(part.paths or ()) for name, part in first.items()}
    assert sorted(name for names in run.parts.values() for name in names) == sorted(DATA.paths or ())
    other = Run("data", shares=(0.2, 0.3), seed=4)
    parts_of(other, DATA)
    assert other.parts != run.parts
    again = parts_of(run, DATA.take(torch.arange(19, -1, -1)))
    assert all(torch.equal(again[name].images, first[name].images) for name in first)
    with pytest.raises(
        FileNotFoundError, match=r"^4 photographs of this run are gone, \d+.png for one: put them back into d"
    ):
        parts_of(run, DATA.take([int(name.split(".")[0]) for name in run.parts["train"] + run.parts["test"]]))
    with pytest.raises(ValueError, match="the photographs carry no paths, so no part could be found again"):
        parts_of(run, LabelledImages(IMAGES, DATA.labels, DATA.classes))


def test_the_class_without_defect_goes_by_its_name() -> None:
    for name in ("good", "OK", "No_Defect", "no defect", "Free"):
        assert good_of(["crack", name, "pit"]) == name
    assert good_of(["goods", "crack"]) is None


def test_groups_by_a_pattern() -> None:
    found = grouping(r"(?:part|piece)(\d+)")
    assert callable(found)
    assert found(PurePosixPath("x/piece12_3.png")) == "12"
    with pytest.raises(ValueError, match=r"is not found in x/y.png: change the pattern so that it fits every path"):
        found(PurePosixPath("x/y.png"))
    assert grouping("auto") == "similar"


def test_a_folder_of_mvtec_has_both_parts(tmp_path: Path) -> None:
    (tmp_path / "train/good").mkdir(parents=True)
    assert layout_of(tmp_path) == "folders"
    (tmp_path / "test").mkdir()
    assert layout_of(tmp_path) == "mvtec"
    (tmp_path / "train/good").rmdir()
    assert layout_of(tmp_path) == "folders"


# ---- the network -----------------------------------------------------------------------------------------------------


def same(a: torch.nn.Module, b: torch.nn.Module, but: str = "-") -> bool:
    one, other = a.state_dict(), b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in one.items() if not name.startswith(but))


def test_the_small_network_starts_from_computed_defects_and_goes_on_from_its_folder(tmp_path: Path) -> None:
    run = Run("data", attention="SE", classes=["a", "b", "c"])
    first = network_of_run(run, trained=False)
    assert same(first, trained_defect_net("SE")[0], but="fc")
    assert first(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    assert not first.training
    torch.manual_seed(5)
    kept = defect_net("SE", num_classes=3)
    tensors = {f"model.{name}": value for name, value in kept.state_dict().items()} | {
        "optimizer.0.step": torch.ones(1)
    }
    save_checkpoint(tmp_path, "last", tensors, {})
    save_checkpoint(tmp_path, "best", {f"model.{name}": 0 * value for name, value in kept.state_dict().items()}, {})
    found = network_of_run(run, trained=True, folder=tmp_path)
    assert same(found, kept)
    assert found.classes == ["a", "b", "c"]
    assert not found.training


@pytest.mark.parametrize(
    ("run", "trained", "weights"),
    [(("DEFAULT",), False, "DEFAULT"), (("none",), False, None), (("DEFAULT",), True, None)],
)
def test_networks_of_torchvision_come_with_their_weights_at_first_only(
    run: tuple[str], trained: bool, weights: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def made(*words: Any, **options: Any) -> torch.nn.Module:
        asked.update(options, words=words)
        return torch.nn.Linear(1, 1).train()

    monkeypatch.setattr(runs, "pretrained", made)
    save_checkpoint(tmp_path, "last", {"model.weight": torch.ones(1, 1), "model.bias": torch.ones(1)}, {})
    wanted = Run("data", network="resnet18", attention="plain", weights=run[0], classes=["a", "b"])
    model = network_of_run(wanted, trained=trained, folder=tmp_path)
    assert asked == {"words": ("resnet18", 2, None), "weights": weights, "report": None}
    assert not model.training


def test_maps_of_the_small_network_are_taken_where_small_defects_are_found() -> None:
    assert layer_of_run(Run("data")) == "layer2"
    assert layer_of_run(Run("data", network="resnet18")) is None
