"""The stored experiments are complete, and their summary is Student's interval."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cbam_lite import (
    CBAM,
    SqueezeExcitation,
    cost,
    final_accuracy,
    provenance,
    read_boards,
    read_box_maps,
    read_detections,
    read_faithfulness,
    read_results,
    read_scores,
    read_speed,
    resnet50,
)
from cbam_lite.results import DETECTIONS, EXPERIMENTS, FOLDER, LOCALISATIONS, Epoch

ROWS = {name: read_results(name) for name in EXPERIMENTS}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_run_is_there_once(name: str) -> None:
    rows = ROWS[name]
    variants, epochs = {row.variant for row in rows}, max(row.epoch for row in rows)
    seeds = max(row.seed for row in rows) + 1
    assert seeds >= 5
    expected = {(v, seed, epoch) for v in variants for seed in range(seeds) for epoch in range(epochs + 1)}
    assert {(row.variant, row.seed, row.epoch) for row in rows} == expected
    assert len(rows) == len(expected)
    assert {"plain"} < variants
    for row in rows:
        assert 0 <= row.test_accuracy <= 1
        assert row.test_loss > 0
        assert math.isnan(row.train_loss) == (row.epoch == 0)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_variants_are_those_of_the_script(name: str) -> None:
    import ablation

    expected = ablation.TUNED if name.endswith("finetune") else ablation.VARIANTS
    assert list(dict.fromkeys(row.variant for row in ROWS[name])) == list(expected)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_provenance(name: str) -> None:
    facts = provenance(name)
    assert list(facts) == ["command", "budget", "versions", "hardware", "date"]
    assert f"--task {name}" in facts["command"]
    assert "torch" in facts["versions"]


@pytest.mark.parametrize("name", ["defects_finetune", "cifar10_finetune"])
def test_identity_start_loses_nothing(name: str) -> None:
    plain = final_accuracy(ROWS[name], "plain", epoch=0)
    for kind in ("SE", "ECA", "CBAM"):
        assert np.array_equal(final_accuracy(ROWS[name], f"{kind}, identity", epoch=0), plain)
        assert (final_accuracy(ROWS[name], f"{kind}, fresh", epoch=0) < plain - 0.1).all()


def test_final_accuracy_is_in_the_order_of_seeds() -> None:
    values = final_accuracy(ROWS["defects"], "CBAM")
    last = max(row.epoch for row in ROWS["defects"])
    for seed, value in enumerate(values):
        row = next(r for r in ROWS["defects"] if (r.variant, r.seed, r.epoch) == ("CBAM", seed, last))
        assert row.test_accuracy == value


def test_errors_name_the_fix() -> None:
    with pytest.raises(ValueError, match="did you mean 'defects'"):
        read_results("defect")
    with pytest.raises(ValueError, match="did you mean 'CBAM'"):
        final_accuracy(ROWS["defects"], "CBAN")


# ---- localisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", LOCALISATIONS)
def test_scores_lie_in_their_intervals_and_from_0_to_1(table: str) -> None:
    rows = [row for row in read_scores(table) if row.metric != "recall"]
    assert len({(r.network, r.seed, r.defect, r.layer, r.method, r.metric) for r in rows}) == len(rows) > 1000
    for row in rows:
        assert math.isnan(row.score) or 0 <= row.low <= row.score <= row.high <= 1, row
        assert 0 <= row.undefined <= row.images


def test_every_network_has_every_map_and_stands_beside_chance_and_ceiling() -> None:
    from localisation import LAYERS, METHODS, METRICS

    rows = [row for row in read_scores(seed=0) if row.metric != "accuracy"]
    found = {(row.network, row.layer, row.method) for row in rows}
    for network in ("plain", "SE", "ECA", "CBAM"):
        assert {(network, layer, method) for layer in LAYERS for method in METHODS} < found
    assert {("-", "-", blind) for blind in ("uniform", "centre", "edges")} < found
    assert {("-", layer, "ceiling") for layer in LAYERS} < found
    assert len(rows) == len(found) * len(METRICS)
    assert {row.seed for row in read_scores(network="CBAM")} == {0, 1, 2, 3, 4}


def test_no_map_beats_the_ceiling_of_its_grid_in_energy() -> None:
    ceiling = {row.layer: row.score for row in read_scores(method="ceiling", metric="energy")}
    for row in read_scores(metric="energy", seed=0):
        assert row.layer == "-" or row.score <= ceiling[row.layer], row


def test_a_stored_score_comes_out_again() -> None:
    import localisation

    net = localisation.network("plain", 0, localisation.ROOT)
    kept = read_scores(network="plain", method="LayerCAM", layer="layer2", metric="pointing", seed=0)[0]
    data = localisation.make_defects(**localisation.TEST)
    nets = [net, *(localisation.network(name, 0, localisation.ROOT) for name in ("SE", "ECA", "CBAM"))]
    right = [localisation.predict(each, data)[0].argmax(1) == data.labels for each in nets]
    data = data.take(np.logical_and.reduce([r.numpy() for r in right]) & (data.labels > 0).numpy())
    assert len(data) == kept.images
    score = localisation.logit(data.labels)
    maps = localisation.cam(net, data.images.float() / 255, "layer2", score, "LayerCAM")["layer2"]
    hits = localisation.localize.pointing(localisation.resize(localisation.positive(maps), (64, 64)), data.masks)
    assert hits.mean().item() == pytest.approx(kept.score, abs=0.005)


def test_tables_tell_how_they_were_made() -> None:
    assert provenance("localisation")["command"] == "python experiments/localisation.py --seeds 5"
    assert provenance("magnetic_tile")["command"].startswith("python experiments/tiles.py --data FOLDER")
    with pytest.raises(ValueError, match="did you mean 'magnetic_tile'"):
        read_scores("magnetic_tiles")
    with pytest.raises(ValueError, match="is not one of"):
        read_results("localisation")


# ---- timings --------------------------------------------------------------------------------------------------------


def test_stored_timings_are_complete_and_name_their_hardware() -> None:
    speed = read_speed("cpu")
    assert {"device", "threads", "date", "torch", "timm"} <= set(speed["hardware"])
    rows = speed["modules"]
    assert {row["module"] for row in rows} == {"SE", "ECA", "CBAM"}
    assert {tuple(row["shape"][1:]) for row in rows} == {
        (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)
    }  # fmt: skip
    for row in rows:
        assert {"ours", "compiled", "timm", "timm compiled", "copy"} <= set(row["milliseconds"])
        assert row["bytes"] == 4 * np.prod(row["shape"])
        assert all(value > 0 for value in row["milliseconds"].values())
    assert {(row["module"], row["mode"]) for row in speed["compiler"]} == {
        (module, mode) for module in ("SE", "ECA", "CBAM") for mode in ("training", "inference")
    }


def test_stored_multiply_adds_are_those_of_the_networks() -> None:
    for row in read_speed("cpu")["networks"]:
        attention = {"plain": None, "SE": SqueezeExcitation, "CBAM": CBAM}[row["network"].partition(",")[0]]
        assert row["multiply_adds"] == cost(resnet50(attention)).multiply_adds


def test_timings_that_nobody_made() -> None:
    with pytest.raises(ValueError, match="did you mean 'cuda'"):
        read_speed("cudo")
    if not (FOLDER / "speed_cuda.json").exists():
        with pytest.raises(FileNotFoundError, match="no timings on cuda are stored: run `make speed`"):
            read_speed("cuda")


def test_the_benchmarks_run_and_store(tmp_path: Path) -> None:
    """Everything small: the numbers mean nothing, the file has the form of the stored one."""
    file, folder = tmp_path / "speed.json", Path(__file__).parents[1] / "benchmarks"
    quick = ["--quick", "--module", "CBAM", "--format", "contiguous", "--seconds", "0.01", "--threads", "1"]
    for command in (["attention.py", *quick], ["networks.py", "--size", "32", "--batch", "2", "--seconds", "0.01"]):
        run = [sys.executable, str(folder / command[0]), *command[1:], "--json", str(file), "--device", "cpu"]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    made, stored = json.loads(file.read_text()), read_speed("cpu")
    assert set(made) == set(stored) - {"compiler", "compiler_hardware"}
    assert set(made["modules"][0]) == set(stored["modules"][0])
    assert set(made["networks"][0]) == set(stored["networks"][0])


def test_accuracies_are_sorted_by_seed_whatever_the_order_of_the_rows() -> None:
    rows = [Epoch("CBAM", seed, 1, 0.0, 0.0, seed / 10) for seed in (2, 0, 1)]
    assert final_accuracy(rows, "CBAM").tolist() == [0.0, 0.1, 0.2]


def test_what_is_not_stored_is_named() -> None:
    with pytest.raises(ValueError, match="epoch=99 must be at most"):
        final_accuracy(ROWS["defects"], "CBAM", 99)
    with pytest.raises(ValueError, match="did you mean 'network'"):
        read_scores(netwrk="CBAM")
    with pytest.raises(ValueError, match=r"rows is empty"):
        final_accuracy([], "CBAM")


# ---- detection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", DETECTIONS)
def test_every_detector_is_there_once(table: str) -> None:
    import detection

    rows = read_detections(table)
    seeds = max(row.seed for row in rows) + 1
    assert seeds >= 5
    assert [(row.variant, row.seed) for row in rows] == [(v, seed) for v in detection.VARIANTS for seed in range(seeds)]
    for row in rows:
        assert 0 < row.AP75 < row.AP < row.AP50 < 1
        assert row.train_loss > 0
    facts = provenance(table)
    assert list(facts) == ["command", "budget", "contrast", "versions", "hardware", "date"]
    assert f"--task {table} --seeds {seeds}" in facts["command"]
    assert json.loads(facts["budget"]) in [budgets[table] for budgets in detection.BUDGETS.values()]
    with pytest.raises(ValueError, match="table='boxes' is not one of"):
        read_detections("boxes")


def test_box_maps_have_chance_ceiling_and_all_methods() -> None:
    import box_maps

    layers = [layer for of_level in box_maps.LAYERS.values() for layer in of_level]
    for layer in layers:
        kinds = {row.method for row in read_box_maps(layer=layer)}
        assert kinds == {"ceiling", "Grad-CAM", "HiResCAM", "LayerCAM"}
    for level in ("-", "level 0", "level 1"):
        assert {"uniform", "predicted box"} <= {row.method for row in read_box_maps(layer=level)}
    for row in read_box_maps():
        assert 0 <= row.low <= row.score <= row.high <= 1
        assert row.boxes > 100
    parts = [read_box_maps(layer=f"level {k}", method="uniform", metric="energy")[0].boxes for k in (0, 1)]
    assert sum(parts) == read_box_maps(layer="-", method="uniform", metric="energy")[0].boxes
    with pytest.raises(ValueError, match="column='measure' is not one of"):
        read_box_maps(measure="LayerCAM")


def test_boards_say_what_they_were_made_with() -> None:
    import boards

    stored = read_boards()
    assert stored["training"]["boards"] == 1000
    assert {name: stored["training"][name] for name in boards.SETTINGS} == boards.SETTINGS
    assert stored["published"] == boards.PUBLISHED
    for part, number in (("all test boards", 500), ("boards of unseen groups", 332)):
        scored = stored[part]
        assert scored["boards"] == number
        assert scored["COCO AP"] < scored["COCO AP50"] < scored["DeepPCB mAP"] < 1
        assert scored["F"] == pytest.approx(
            2 * scored["precision"] * scored["recall"] / (scored["precision"] + scored["recall"]), abs=1e-3
        )
        assert np.mean(list(scored["DeepPCB by class"].values())) == pytest.approx(scored["DeepPCB mAP"], abs=1e-3)


# ---- faithfulness ---------------------------------------------------------------------------------------------------


def test_every_network_has_every_test_of_faithfulness_once() -> None:
    import faithfulness

    rows = read_faithfulness()
    assert len({(r.network, r.seed, r.test, r.map, r.stage) for r in rows}) == len(rows)
    assert {(r.network, r.seed) for r in rows} == {(name, seed) for name in ("CBAM", "plain") for seed in range(5)}
    for name in ("CBAM", "plain"):
        maps = {r.map for r in read_faithfulness(network=name, test="other image")}
        assert {f"{kind}, {layer}" for kind in faithfulness.SIGNED for layer in faithfulness.LAYERS} < maps
        assert ("gate, layer3" in maps) == (name == "CBAM")
        counts = {len(read_faithfulness(network=name, seed=seed)) for seed in range(5)}
        assert len(counts) == 1
    for row in rows:
        assert (row.stage in faithfulness.COMPARED) == (row.test in ("forgetting", "other image", "interior"))
        assert -1 <= row.score <= 1
    assert provenance("faithfulness")["command"] == "python experiments/faithfulness.py --seeds 5"
    with pytest.raises(ValueError, match="did you mean 'network'"):
        read_faithfulness(netwrk="CBAM")


def test_a_stored_score_of_forgetting_comes_out_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The shipped network, one map; the rest is left out, which would take a minute."""
    import faithfulness

    monkeypatch.setattr(faithfulness, "signed_maps", lambda net, images, labels: {
        "LayerCAM, layer3": faithfulness.cam(net, images, "layer3", faithfulness.logit(labels), "LayerCAM")["layer3"]
    })  # fmt: skip
    one = faithfulness.case("CBAM", 0, tmp_path)
    for test, kind, stage, score in faithfulness.forgetting(one):
        (stored,) = read_faithfulness(network="CBAM", seed=0, test=test, map=kind, stage=stage)
        assert score == pytest.approx(stored.score, abs=0.005)
