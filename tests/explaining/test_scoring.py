"""One table of all localisation scores: against `localize`, scikit-learn, and resamples that are really drawn."""

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from cbam_lite import localize, make_defects, score
from cbam_lite.explaining.gradcam import positive, resize
from cbam_lite.explaining.scoring import METRICS, LocalisationScores, two_digits


@pytest.fixture(scope="module")
def given() -> tuple[Tensor, Tensor, Tensor]:
    """Maps of 8x8 that know a little of 24 masks of 64x64, some of them empty, and the images."""
    data = make_defects(24, seed=3)
    assert data.masks is not None
    hints = torch.nn.functional.adaptive_avg_pool2d(data.masks[:, None].float(), 8)[:, 0]
    raw = hints + torch.randn(24, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    return raw, data.masks, data.images


@pytest.fixture(scope="module")
def found(given) -> LocalisationScores:
    return score(*given, resamples=200)


def known(given) -> tuple[Tensor, Tensor]:
    """Maps and masks as they are scored: at the size of the masks, without empty ones."""
    raw, masks, _ = given
    there = masks.flatten(1).any(1)
    return resize(positive(raw), (64, 64))[there], masks[there]


# ---- values ---------------------------------------------------------------------------------------------------------


def test_values_are_those_of_localize_on_resized_positive_maps(given, found) -> None:
    S, masks = known(given)
    expected = {
        "pointing": localize.pointing(S, masks).mean(),
        "energy": localize.energy(S, masks).mean(),
        "lift": localize.lift(S, masks).mean(),
        "mask IoU": localize.mask_iou(S, masks).mean(),
        "MaxBoxAccV2": localize.max_box_acc_v2(localize.box_ious(S, masks)),
    }
    for metric, value in expected.items():
        assert found.table[metric]["map"][0] == pytest.approx(float(value)), metric
    shares = S / S.amax((1, 2), keepdim=True)
    exact = average_precision_score(masks.flatten().numpy(), shares.flatten().numpy())
    assert found.table["PxAP"]["map"][0] == pytest.approx(exact, abs=2e-3)  # a thousand bins


def test_chance_and_ceiling_stand_beside_each_metric(given, found) -> None:
    raw, masks, images = given
    area = masks[masks.flatten(1).any(1)].double().mean()
    for metric in METRICS:
        assert set(found.table[metric]) == {"map", "uniform", "centre", "edges", "ceiling"}
        assert found.table[metric]["ceiling"][0] > found.table[metric]["map"][0] > found.table[metric]["uniform"][0]
    assert found.table["energy"]["uniform"][0] == pytest.approx(float(area))
    assert found.table["lift"]["uniform"][0] == pytest.approx(1)
    there = masks.flatten(1).any(1)
    edges = localize.energy(localize.edge_maps(images[there]), masks[there]).mean()
    assert found.table["energy"]["edges"][0] == pytest.approx(float(edges))
    through = localize.energy(localize.perfect_maps(masks[there], (8, 8)), masks[there]).mean()
    assert found.table["energy"]["ceiling"][0] == pytest.approx(float(through))


def test_what_is_left_out_is_counted(given, found) -> None:
    raw, masks, images = given
    empty = int((~masks.flatten(1).any(1)).sum())
    assert empty > 0
    assert (found.images, found.empty, found.zero, found.groups) == (24 - empty, empty, 0, None)
    assert f"{empty} with an empty mask left out" in str(found)


def test_a_zero_map_misses_and_has_no_energy(given) -> None:
    raw, masks, images = given
    there = masks.flatten(1).any(1).nonzero()[:, 0]
    dark = raw.clone()
    dark[there[0]] = -1
    found, rest = score(dark, masks, images), score(dark[there[1:]], masks[there[1:]], images[there[1:]])
    assert (found.zero, rest.zero) == (1, 0)
    assert found.table["energy"]["map"][0] == pytest.approx(rest.table["energy"]["map"][0])
    hits = rest.table["pointing"]["map"][0] * (len(there) - 1)
    assert found.table["pointing"]["map"][0] == pytest.approx(hits / len(there))
    assert "1 maps are zero everywhere" in str(found)


# ---- intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_are_those_of_images_or_groups_that_are_really_drawn(given, grouped: bool) -> None:
    raw, masks, images = given
    S, kept = known(given)
    groups = torch.arange(24) // 3
    found = score(raw, masks, images, groups=groups if grouped else None, resamples=40, level=0.8, seed=7)
    place = groups[masks.flatten(1).any(1)] if grouped else torch.arange(len(kept))
    names = place.unique()
    samples: dict[str, list[float]] = {"pointing": [], "MaxBoxAccV2": [], "PxAP": []}
    for counts in localize.draws(len(names), 40, 7):
        drawn = [
            i
            for name, count in zip(names, counts, strict=True)
            for i in (place == name).nonzero()[:, 0].tolist() * int(count)
        ]
        samples["pointing"].append(float(localize.pointing(S[drawn], kept[drawn]).mean()))
        samples["MaxBoxAccV2"].append(localize.max_box_acc_v2(localize.box_ious(S[drawn], kept[drawn])))
        inside, total = localize.pixel_counts(S[drawn], kept[drawn])
        samples["PxAP"].append(float(localize.px_ap(inside.sum(0), total.sum(0))))
    assert found.groups == (len(names) if grouped else None)
    for metric, values in samples.items():
        assert found.table[metric]["map"][1:] == pytest.approx(np.quantile(values, [0.1, 0.9]), abs=1e-6), metric


def test_one_image_has_values_and_no_interval(given) -> None:
    raw, masks, images = given
    one = masks.flatten(1).any(1).nonzero()[:1, 0]
    found = score(raw[one], masks[one], images[one])
    for row in found.table.values():
        assert math.isfinite(row["map"][0])
        assert math.isnan(row["map"][1])
    assert found.as_dict()["table"]["PxAP"]["map"]["low"] is None


# ---- as text, as JSON -----------------------------------------------------------------------------------------------


def test_the_table_shows_the_numbers(found) -> None:
    lines = str(found).splitlines()
    assert lines[0].split() == ["map", "uniform", "centre", "edges", "ceiling"]
    value, low, high = found.table["energy"]["map"]
    rest = [f"{found.table['energy'][kind][0]:.2f}" for kind in ("uniform", "centre", "edges", "ceiling")]
    assert lines[2].split() == ["energy", f"{value:.2f}", f"[{low:.2f},", f"{high:.2f}]", *rest]


def test_json_holds_the_same(found) -> None:
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["table"]["PxAP"]["ceiling"]["value"] == found.table["PxAP"]["ceiling"][0]
    assert plain["table"]["lift"]["map"]["high"] == found.table["lift"]["map"][2]
    assert (plain["grid"], plain["images"], plain["level"]) == ([8, 8], found.images, 0.95)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda maps, masks, images: (maps[:3], masks, images), "3 maps for 24 masks"),
        (lambda maps, masks, images: (maps, masks, images[:, :, :32]), "need .24, 3, 64, 64."),
        (lambda maps, masks, images: (maps, masks & False, images), "all 24 masks are empty"),
        (lambda maps, masks, images: (maps * torch.nan, masks, images), "NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused(given, change, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        score(*change(*given))


def test_groups_of_another_length_are_refused(given) -> None:
    with pytest.raises(ValueError, match="2 groups for 24 masks"):
        score(*given, groups=torch.tensor([0, 1]))


def test_what_is_undefined_is_a_dash() -> None:
    assert (two_digits(0.125), two_digits(math.nan), two_digits(math.inf)) == ("0.12", "–", "–")
