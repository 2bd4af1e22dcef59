"""The experiment scripts: complete, resumable, and on the record. On budgets of seconds."""

import csv
import io
import json
import shutil
import tarfile
from pathlib import Path
from types import ModuleType

import ablation
import cifar
import faithfulness
import localisation
import pytest
import ship
import tiles
import torch
from PIL import Image

from cbam_lite import load_checkpoint, make_defects
from cbam_lite.training.images import LabelledImages

TINY = {"images": 16, "epochs": 1, "test": 16, "lr": 1e-3}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "BUDGETS", {"cpu": dict.fromkeys(ablation.TASKS, TINY)})
    monkeypatch.setattr(ablation.torch, "set_num_threads", lambda _: None)
    for names, kept in (("VARIANTS", ("plain", "CBAM")), ("TUNED", ("plain", "CBAM, fresh", "CBAM, identity"))):
        monkeypatch.setattr(ablation, names, {name: getattr(ablation, names)[name] for name in kept})


def run(task: str, folder: Path, seeds: int = 1) -> list[dict[str, str]]:
    ablation.experiment(task, seeds, "cpu", 1, folder / "out", folder / "work", folder / "data")
    lines = (folder / "out" / f"{task}.csv").read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_the_controls_have_fresh_weights_and_open_gates() -> None:
    F, made = torch.rand(4, 16, 8, 8), {}
    for name, maker in {"fresh": ablation.CBAM, "doubled": ablation.doubled, "opened": ablation.opened}.items():
        torch.manual_seed(0)
        made[name] = maker(16, hidden=4).eval()
    fresh, doubled, opened = (module.channel_attention.attention(F) for module in made.values())
    assert torch.equal(doubled, 2 * fresh)
    assert torch.allclose(opened.logit(), fresh.logit() + ablation.OPEN, atol=1e-3)
    fresh, doubled, opened = (module.spatial_attention.attention(F) for module in made.values())
    assert torch.equal(doubled, 2 * fresh)
    assert torch.allclose(opened.logit(), fresh.logit() + ablation.OPEN, atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(made["fresh"].parameters(), made["doubled"].parameters(), strict=True))


def test_an_experiment_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run("defects", tmp_path)
    assert [(row["variant"], row["seed"], row["epoch"]) for row in rows] == [
        (variant, "0", epoch) for variant in ("plain", "CBAM") for epoch in "01"
    ]
    path = tmp_path / "out" / "defects.csv"
    whole = path.read_text()
    path.write_text("".join(line for line in whole.splitlines(keepends=True) if not line.startswith("CBAM")))
    assert run("defects", tmp_path) == rows
    assert path.read_text() == whole
    assert "defects: 1 runs are there, 1 to make" in capsys.readouterr().out


def test_more_seeds_are_added(tmp_path: Path) -> None:
    one = run("defects", tmp_path)
    two = run("defects", tmp_path, seeds=2)
    assert [row for row in two if row["seed"] == "0"] == one
    assert len(two) == 2 * len(one)
    assert "--seeds 2" in (tmp_path / "out" / "defects.csv").read_text().splitlines()[0]


def test_files_made_otherwise_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("defects", tmp_path)
    monkeypatch.setattr(ablation, "BUDGETS", {"cpu": {task: TINY | {"lr": 2e-3} for task in ablation.TASKS}})
    with pytest.raises(ValueError, match=r"was made otherwise: '# budget.*Name another folder with --out"):
        run("defects", tmp_path)


def test_fine_tuning_starts_from_the_trained_plain_network(tmp_path: Path) -> None:
    run("defects", tmp_path)
    rows = {row["variant"]: row for row in run("defects_finetune", tmp_path) if row["epoch"] == "0"}
    assert rows["plain"]["test_loss"] == rows["CBAM, identity"]["test_loss"] != rows["CBAM, fresh"]["test_loss"]
    shutil.rmtree(tmp_path / "work")
    (tmp_path / "out" / "defects_finetune.csv").unlink()
    again = {row["variant"]: row for row in run("defects_finetune", tmp_path) if row["epoch"] == "0"}
    assert again == rows  # the plain network, trained anew, is the same one
    card = json.loads(next((tmp_path / "work" / "defects").rglob("last.json")).read_text())
    assert card["settings"]["images"] == 16


def test_the_script_without_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--task", "cifar10", "--out", str(tmp_path), "--data", str(tmp_path), "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["ablation.py", *arguments])
    ablation.main()
    assert "cifar10 is left out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_shipping_writes_a_network_and_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "TRAIN", {"n": 16, "seed": 0})
    monkeypatch.setattr(ship, "TEST", {"n": 16, "seed": 1})
    monkeypatch.setattr(ship, "SETTINGS", {"epochs": 1})
    ship.ship("ECA", tmp_path / "a")
    ship.ship("ECA", tmp_path / "b")
    tensors, card = load_checkpoint(tmp_path / "a", "ECA")
    assert card["network"] == "defect_net('ECA')"
    assert "layer1.0.attention.conv.weight" in tensors
    assert load_checkpoint(tmp_path / "b", "ECA")[1]["sha256"] == card["sha256"]  # bit for bit


def test_cifar_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / cifar.ARCHIVE, "w") as archive:
        for part, kind, grey in (
            ("train", "cat", 10),
            ("train", "airplane", 200),
            ("test", "dog", 90),
            ("train", "dog", 30),
        ):
            content = io.BytesIO()
            Image.new("RGB", (32, 32), (grey, grey, grey)).save(content, "JPEG")
            member = tarfile.TarInfo(f"{part}/{kind}/0000.jpg")
            member.size = len(content.getvalue())
            archive.addfile(member, io.BytesIO(content.getvalue()))
    whole = cifar.read_archive(tmp_path, "train")
    assert [whole.classes[label] for label in whole.labels] == ["airplane", "cat", "dog"]
    assert whole.images.float().mean((1, 2, 3)).tolist() == pytest.approx([200, 10, 30], abs=2)
    draws = []
    for seed in (0, 0, 1, 2, 3):
        train, test = cifar.subset(tmp_path, 2, 1, seed, tmp_path / "work")
        assert (len(train), test.labels.tolist()) == (2, [cifar.CLASSES.index("dog")])
        draws.append(train.labels.tolist())
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) > 1
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["cifar10-test.pt", "cifar10-train.pt"]


def test_localisation_scores_trains_what_is_missing_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "TRAIN", {"n": 16, "seed": 0})
    monkeypatch.setattr(ship, "SETTINGS", {"epochs": 1})
    monkeypatch.setattr(localisation, "TEST", {"n": 24, "seed": 3})
    monkeypatch.setattr(
        localisation, "predict", lambda net, data: (torch.eye(8)[data.labels], data.labels)
    )  # all right
    monkeypatch.setattr(localisation, "METHODS", {"LayerCAM": localisation.METHODS["LayerCAM"]})
    rows = list(localisation.rows_of(1, tmp_path))
    assert {row["network"] for row in rows} == {"plain", "SE", "CBAM", "CBAM, identity start"}
    assert {row["metric"] for row in rows} == {*localisation.METRICS, "accuracy"}
    assert len(rows) == 4 + (4 * 4 * 2 + 2 * 4) * 5  # accuracies; networks, layers, methods; the gates of two; metrics
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert list(localisation.rows_of(1, tmp_path)) == rows
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(("script", "options"), [(localisation, []), (tiles, ["--data", "none"])])
def test_both_tables_of_maps_say_how_they_were_made(
    script: ModuleType, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = dict.fromkeys(localisation.COLUMNS, "0.5000")
    monkeypatch.setattr(script, "rows_of", lambda _, __: iter([row, row]))
    monkeypatch.setattr(tiles, "masked_folder", lambda folder, size: None)
    out = tmp_path / "new" / "scores.csv"
    monkeypatch.setattr("sys.argv", ["script", *options, "--seeds", "2", "--out", str(out)])
    script.main()
    lines = out.read_text().splitlines()
    facts = [line.split(":")[0] for line in lines if line.startswith("#")]
    about = "# data" if script is tiles else "# test"
    assert facts == ["# command", about, "# versions", "# hardware", "# date"]
    assert lines[0].endswith("--seeds 2")
    assert lines[5] == ",".join(localisation.COLUMNS)
    assert lines[6:] == [",".join(row.values())] * 4


def test_a_perfect_map_scores_one_in_the_table() -> None:
    masks = make_defects(32, seed=1).masks
    masks = masks[masks.flatten(1).any(1)]
    rows = list(localisation.score(("-", 0, "all", "-", "the mask"), masks.float(), masks))
    scores = {row["metric"]: row["score"] for row in rows}
    assert float(scores.pop("pointing")) > 0.85  # the centroid of several pits lies between them
    assert scores == dict.fromkeys(("energy", "mask IoU", "PxAP", "MaxBoxAccV2"), "1.0000")
    assert all(row["low"] == row["high"] == "1.0000" for row in rows if row["metric"] != "pointing")


def test_tiles_are_judged_good_or_bad_and_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "EACH", 10)
    data = make_defects(64, seed=2)
    named = LabelledImages(data.images, data.labels, ("Free", *data.classes[1:]), data.masks)
    judged = tiles.good_or_bad(named)
    assert torch.equal(judged.labels, (data.labels > 0).long())
    drawn = tiles.balanced(judged, seed=0)
    assert drawn.labels.bincount().tolist() == [10, 10]  # 8 clean ones: some are repeated
    pictures = tiles.other_exposures(torch.rand(4, 3, 128, 128), torch.Generator().manual_seed(0))
    assert pictures.shape == (4, 3, 128, 128)
    assert 0 <= pictures.min() < pictures.max() <= 1


def test_tiles_script_runs_on_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "EACH", 8)
    monkeypatch.setattr(tiles, "SETTINGS", {"epochs": 1})
    monkeypatch.setattr(tiles, "predict", lambda net, data: (torch.eye(2)[data.labels], data.labels))  # all right
    data = make_defects(120, size=128, seed=4)
    names = tuple("Free" if name == "clean" else name for name in data.classes)
    named = LabelledImages(data.images, data.labels, names, data.masks)
    rows = list(tiles.rows_of(named, seed=0))
    assert [row["score"] for row in rows if row["metric"] == "recall"] == ["1.0000"] * 6
    scored = {row["defect"] for row in rows} - {"free", "defective"}
    assert scored
    assert scored < set(data.classes)
    assert {row["method"] for row in rows if row["network"] == "-"} == {"uniform", "centre", "edges", "ceiling"}


def test_faithfulness_has_every_test_and_control(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(faithfulness, "IMAGES", 4)
    monkeypatch.setattr(faithfulness, "FOR_ROAD", 2)
    monkeypatch.setattr(faithfulness, "RANDOM_NETWORKS", 1)
    for name, maps in (("CBAM", 7), ("plain", 6)):
        rows = list(faithfulness.rows_of(name, 0, tmp_path))
        controls = {"forgetting", "other image", "interior", "trained pair"}
        fills = {"deletion", *(f"deletion, {fill}" for fill in ("blurred", "black", "white"))}
        assert {row["test"] for row in rows} == controls | fills | {"energy in mask", "pointing", "insertion", "ROAD"}
        kinds = (2 + 2 + 1 + (name == "CBAM")) * 2  # two methods, both rescaled, the activation, a gate; two layers
        assert len(rows) == kinds * (3 * len(faithfulness.COMPARED) + 1) + maps * 8
        assert all(-1 <= float(row["score"]) <= 1 for row in rows)


def test_the_controls_of_forgetting_compare_what_they_say() -> None:
    maps = torch.arange(2 * 8 * 8.0).view(2, 8, 8)
    assert faithfulness.interior(maps).shape == (2, 6, 6)
    assert faithfulness.interior(torch.zeros(1, 16, 16)).shape == (1, 12, 12)
    A, G = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    scaled = A * torch.tensor([1.0, 10.0, 0.1]).view(1, 3, 1, 1)
    method = faithfulness.rescaled("LayerCAM")
    assert torch.allclose(method(A, G), method(scaled, G), atol=1e-5)  # whatever the scale of a channel was
    assert not torch.allclose(faithfulness.METHODS["LayerCAM"](A, G), faithfulness.METHODS["LayerCAM"](scaled, G))
