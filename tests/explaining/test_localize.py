"""Localisation scores: by hand on maps of 4x4, against scikit-learn, and where there is nothing to score."""

import math
import sys
from collections.abc import Callable

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from cbam_lite import cam, defect_net, make_defects
from cbam_lite.explaining.gradcam import logit, positive, resize
from cbam_lite.explaining.localize import (
    above,
    area,
    box_iou,
    box_ious,
    box_of_map,
    boxes_of_parts,
    centre_maps,
    draws,
    edge_maps,
    energy,
    lift,
    mask_iou,
    max_box_acc_v2,
    mean_activation,
    paired_bootstrap,
    peak,
    percentiles,
    perfect_maps,
    pixel_counts,
    pointing,
    px_ap,
    uniform_maps,
)
from cbam_lite.training.images import boxes_of

MASK = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]).bool()[None]
MAP = torch.tensor([[8.0, 0, 0, 0], [0, 6, 2, 0], [0, 4, 0, 0], [0, 0, 0, 0]])[None]
ZERO, ONES, EMPTY = torch.zeros(1, 4, 4), torch.ones(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)


def one(y: int, x: int) -> Tensor:
    """A map that is 1 at one pixel."""
    result = torch.zeros(1, 4, 4)
    result[0, y, x] = 1
    return result


# ---- by hand --------------------------------------------------------------------------------------------------------


def test_peak_of_ties_is_their_centroid() -> None:
    corners = one(0, 0) + one(0, 3)
    assert peak(torch.cat([MAP, ONES, corners, one(2, 1)])).tolist() == [[0, 0], [1.5, 1.5], [0, 1.5], [2, 1]]


def test_peak_of_a_zero_map_is_nowhere() -> None:
    assert peak(ZERO).isnan().all()


def test_peak_is_not_moved_by_rounding() -> None:
    assert peak(ONES + 1e-7 * torch.rand(1, 4, 4)).tolist() == [[1.5, 1.5]]


def test_peak_of_a_resized_corner_is_in_the_middle_of_its_plateau() -> None:
    corner = torch.zeros(1, 7, 7)
    corner[0, 0, 0] = 1
    assert peak(resize(corner, (224, 224))).tolist() == [[7.5, 7.5]]  # 16 x 16 pixels share the maximum


@pytest.mark.parametrize(
    ("values", "tolerance", "hit"),
    [
        (one(1, 1), 0, 1),
        (one(0, 0), 0, 0),
        (one(0, 0), 0.7, 0),  # from the centre of (0, 0) to the corner of (1, 1): sqrt(0.5) = 0.7071
        (one(0, 0), 0.71, 1),
        (one(0, 1), 0.5, 1),
        (one(3, 3), 0.71, 1),
        (ONES, 0, 1),  # its centroid is a corner that four pixels of the mask share
        (ZERO, 100, 0),
    ],
)
def test_pointing(values: Tensor, tolerance: float, hit: int) -> None:
    assert pointing(values, MASK, tolerance).tolist() == [hit]


def test_energy_and_lift() -> None:
    assert energy(MAP, MASK).item() == pytest.approx(12 / 20)
    assert area(MASK).item() == 4 / 16
    assert lift(MAP, MASK).item() == pytest.approx(12 / 20 * 4)


def test_energy_does_not_forgive_a_floor() -> None:
    floor = one(1, 1) + 1  # min-max normalising it would give one(1, 1), and an energy of 1
    assert energy(floor, MASK).item() == pytest.approx(5 / 17)
    assert energy(one(1, 1), MASK).item() == 1


@pytest.mark.parametrize(
    ("tau", "iou"),
    [(1, 0 / 5), (0.75, 1 / 5), (0.5, 2 / 5), (0.25, 3 / 5), (0, 3 / 5)],  # the corner, then 6, 4, 2
)
def test_mask_iou(tau: float, iou: float) -> None:
    assert mask_iou(MAP, MASK, tau).item() == pytest.approx(iou)


def test_boxes_of_parts_are_those_of_connected_pixels_the_largest_first() -> None:
    two = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]).bool()
    assert boxes_of_parts(two).tolist() == [[2, 1, 4, 4], [0, 0, 1, 1]]  # a corner connects
    assert boxes_of_parts(EMPTY[0]).shape == (0, 4)


def test_boxes_of_parts_agree_with_boxes_of_masks_of_one_part() -> None:
    assert torch.equal(boxes_of_parts(MASK[0]), boxes_of(MASK))


def test_box_of_map() -> None:
    assert box_of_map(MAP, 0.7).tolist() == [[0, 0, 2, 2]]  # 8 and 6 touch at a corner
    assert box_of_map(torch.cat([one(2, 3), ZERO])).tolist() == [[3, 2, 4, 3], [0, 0, 0, 0]]


def test_box_iou() -> None:
    a = torch.tensor([[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]])
    b = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [0, 0, 2, 2], [0, 0, 0, 0]])
    assert box_iou(a, b).tolist() == pytest.approx([1, 1 / 7, 0, 0, 0])


def test_box_ious_take_the_best_part_and_nan_for_an_empty_mask() -> None:
    corners = one(0, 0) + one(3, 3)
    masks = torch.cat([MASK, corners > 0, EMPTY, MASK])
    table = box_ious(torch.cat([MAP, corners, MAP, ZERO]), masks, taus=(0.25, 0.5, 1.0))
    # MAP: rows and columns 0 to 2; then without the 2, columns 0 to 1; then the corner alone
    assert table[0].tolist() == pytest.approx([4 / 9, 2 / 8, 0])
    assert table[1].tolist() == [1, 1, 1]
    assert table[2].isnan().all()
    assert table[3].tolist() == [0, 0, 0]


def test_max_box_acc_v2_takes_the_best_tau_for_all_images() -> None:
    nan = [torch.nan, torch.nan]
    ious = torch.tensor([[0.4, 0.9], [0.4, 0.2], nan])  # tau 1 fits both at 0.3, tau 2 one of them at all
    assert max_box_acc_v2(ious) == pytest.approx((1 + 0.5 + 0.5) / 3)
    other = torch.tensor([[0.8, 0.0], nan])  # on these, tau 1 is best
    assert max_box_acc_v2(ious, tuned_on=other) == pytest.approx((1 + 0 + 0) / 3)


def test_px_ap_by_hand() -> None:
    inside, total = pixel_counts(MAP, MASK)
    # The corner is wrong, 6, 4 and 2 are right, the last pixel of the mask comes with all others.
    expected = (1 / 2 + 2 / 3 + 3 / 4 + 4 / 16) / 4
    assert px_ap(inside[0], total[0]).item() == pytest.approx(expected)
    assert inside.sum() == 4
    assert total.sum() == 16


@pytest.mark.parametrize("N", [1, 5])
def test_px_ap_is_scikit_learns_over_the_pixels_of_all_images(N: int) -> None:
    maps, masks = torch.randint(0, 1000, (N, 9, 7)).float(), torch.rand(N, 9, 7) < 0.3
    maps[:, 0, 0] = 1000  # the maximum of each, so that shares are exact thousandths
    inside, total = pixel_counts(maps.double() + 0.5, masks)
    theirs = average_precision_score(masks.flatten().numpy(), maps.flatten().numpy())
    assert px_ap(inside.sum(0), total.sum(0)).item() == pytest.approx(theirs, abs=2e-3)


# ---- ceiling and chance ---------------------------------------------------------------------------------------------


def test_perfect_maps_at_full_resolution_score_one() -> None:
    maps = perfect_maps(MASK, (4, 4))
    assert torch.equal(maps, MASK.float())
    assert [f(maps, MASK).item() for f in (pointing, energy, mask_iou)] == [1, 1, 1]
    assert max_box_acc_v2(box_ious(maps, MASK)) == 1
    inside, total = pixel_counts(maps, MASK)
    assert px_ap(inside[0], total[0]) == 1


def test_perfect_maps_on_a_coarse_grid_do_not() -> None:
    maps = perfect_maps(MASK, (2, 2))
    assert torch.equal(maps, torch.full((1, 4, 4), 0.25))  # every cell is a quarter full
    assert energy(maps, MASK).item() == 0.25


def test_ceiling_falls_with_the_grid_and_few_maps_are_above_it() -> None:
    data = make_defects(256, seed=3)
    data = data.take(data.labels > 0)
    ceilings = [energy(perfect_maps(data.masks, (n, n)), data.masks).mean() for n in (32, 16, 8, 4)]
    assert ceilings == sorted(ceilings, reverse=True)
    assert ceilings[0] > 0.7
    assert ceilings[-1] < 0.4


def test_uniform_maps_score_the_area() -> None:
    maps = uniform_maps(MASK)
    inside, total = pixel_counts(maps, MASK)
    assert energy(maps, MASK).item() == area(MASK).item() == px_ap(inside[0], total[0]).item() == 0.25
    assert lift(maps, MASK).item() == 1


def test_centre_maps_are_symmetric_and_largest_in_the_centre() -> None:
    maps = centre_maps(torch.zeros(2, 5, 7, dtype=torch.bool))
    assert maps.shape == (2, 5, 7)
    assert peak(maps).tolist() == [[2, 3], [2, 3]]
    assert torch.allclose(maps, maps.flip(1))
    assert torch.allclose(maps, maps.flip(2))


def test_edge_maps_are_sobels() -> None:
    step = torch.zeros(1, 3, 5, 6)
    step[..., 3:] = 1
    edges = edge_maps(step)
    assert torch.equal(edges, torch.tensor([0.0, 0, 4, 4, 0, 0]).expand(1, 5, 6))
    assert torch.equal(edge_maps(step.transpose(2, 3)), edges.transpose(1, 2))


def test_mean_activation_is_a_method_of_cam() -> None:
    model = defect_net("plain")
    maps = cam(model, torch.rand(2, 3, 64, 64), "layer2", logit(1), mean_activation)["layer2"]
    assert maps.shape == (2, 16, 16)
    assert (maps >= 0).all()


def test_random_maps_score_chance() -> None:
    masks = torch.zeros(400, 16, 16, dtype=torch.bool)
    masks[:, 2:10, 4:8] = True
    maps = torch.rand(400, 16, 16)
    chance = area(masks)[0].item()
    assert pointing(maps, masks).mean().item() == pytest.approx(chance, abs=0.05)
    assert energy(maps, masks).mean().item() == pytest.approx(chance, abs=0.01)


# ---- nothing to score, and wrong input ------------------------------------------------------------------------------

SCORES = [pointing, energy, lift, mask_iou, lambda maps, masks: box_ious(maps, masks)[:, 0]]


@pytest.mark.parametrize("score", SCORES)
def test_empty_mask_has_no_score(score: Callable[[Tensor, Tensor], Tensor]) -> None:
    result = score(torch.cat([MAP, MAP, ZERO]), torch.cat([MASK, EMPTY, EMPTY]))
    assert result.isnan().tolist() == [False, True, True]


@pytest.mark.parametrize("score", SCORES)
def test_full_mask_and_no_images(score: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert score(MAP, ~EMPTY).item() > 0
    assert score(MAP[:0], MASK[:0]).shape == (0,)


def test_zero_map_scores_nothing() -> None:
    assert pointing(ZERO, MASK).item() == mask_iou(ZERO, MASK, 0).item() == 0
    assert energy(ZERO, MASK).isnan()
    assert not above(ZERO, 0).any()
    inside, total = pixel_counts(ZERO, MASK)
    assert px_ap(inside[0], total[0]).item() == 0.25  # as a uniform map
    assert px_ap(*pixel_counts(MAP, EMPTY)).isnan()


@pytest.mark.parametrize(
    ("maps", "masks", "error", "says"),
    [
        (torch.ones(1, 2, 2), MASK, ValueError, r"\(1, 2, 2\), masks \(1, 4, 4\).*resize\(positive\(maps\)"),
        (MAP[0], MASK[0], ValueError, r"expected \(N, H, W\): for a single one use maps\[None\]"),
        (MAP, MASK[:, :2], ValueError, "both are"),
        (MAP, MASK.float(), TypeError, "torch.float32: give bool"),
        (MAP - 1, MASK, ValueError, r"down to -1.*positive\(maps\)"),
        (MAP / 0, MASK, ValueError, "NaN or infinity"),
    ],
)
@pytest.mark.parametrize("score", [*SCORES, pixel_counts])
def test_wrong_input_is_named(
    maps: Tensor, masks: Tensor, error: type[Exception], says: str, score: Callable[[Tensor, Tensor], Tensor]
) -> None:
    with pytest.raises(error, match=says):
        score(maps, masks)


def test_tau_outside_its_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"tau=15.*use 0 to 1"):
        mask_iou(MAP, MASK, 15)


def test_other_numbers_outside_their_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"tolerance=-1 .*use 0 or more"):
        pointing(MAP, MASK, -1)
    with pytest.raises(ValueError, match=r"width=0 .*above 0"):
        centre_maps(MASK, 0)
    with pytest.raises(ValueError, match=r"shape \(4, 4\).*maps\[None\]"):
        box_of_map(MAP[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_dtype(dtype: torch.dtype) -> None:
    maps = MAP.to(dtype)
    assert energy(maps, MASK).item() == pytest.approx(0.6, abs=0.01)
    assert pointing(maps, MASK).item() == 0
    assert px_ap(*(x[0] for x in pixel_counts(maps, MASK))).item() == pytest.approx(0.5417, abs=0.01)


def test_scores_on_every_device(device: torch.device) -> None:
    maps, masks = MAP.to(device), MASK.to(device)
    for score in SCORES:
        assert score(maps, masks).cpu().tolist() == score(MAP, MASK).tolist()
    assert px_ap(*pixel_counts(maps, masks)).cpu().tolist() == px_ap(*pixel_counts(MAP, MASK)).tolist()


# ---- intervals ------------------------------------------------------------------------------------------------------


def test_draws_are_resamples_of_N() -> None:
    counts = draws(7, resamples=500)
    assert counts.shape == (500, 7)
    assert (counts.sum(1) == 7).all()
    assert torch.equal(counts, draws(7, resamples=500))
    assert not torch.equal(counts, draws(7, resamples=500, seed=1))


def test_percentiles() -> None:
    assert percentiles(torch.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert percentiles(torch.arange(101.0)) == pytest.approx((2.5, 97.5))


def test_paired_bootstrap_covers_the_true_difference_as_often_as_it_says() -> None:
    hits = 0
    for trial in range(200):
        g = torch.Generator().manual_seed(trial)
        image = torch.randn(60, generator=g)  # what both networks share
        a, b = (image + 0.3 * torch.randn(60, generator=g) for _ in range(2))
        _, low, high = paired_bootstrap(a + 0.1, b, resamples=400)
        hits += low <= 0.1 <= high
    assert 0.90 <= hits / 200 <= 0.99


def test_paired_interval_is_narrower_than_that_of_either() -> None:
    image = torch.randn(80)
    a, b = image + 0.1 * torch.randn(80), image + 0.1 * torch.randn(80)
    _, low, high = paired_bootstrap(a, b)
    _, low_a, high_a = paired_bootstrap(a)
    assert (high - low) < 0.3 * (high_a - low_a)


def test_paired_bootstrap_leaves_nan_out_and_knows_its_limits() -> None:
    a, b = torch.tensor([1.0, 2, torch.nan, 4]), torch.tensor([0.0, 1, 2, torch.nan])
    assert paired_bootstrap(a, b) == (1, 1, 1)
    with pytest.raises(ValueError, match="1 images have no spread"):
        paired_bootstrap(a[2:], b[1:3])
    with pytest.raises(ValueError, match=r"4 scores cannot be paired with 3"):
        paired_bootstrap(a, b[:3])


# ---- with a network -------------------------------------------------------------------------------------------------


def test_from_images_to_a_score_in_three_lines() -> None:
    data, model = make_defects(16, seed=5), defect_net("CBAM")
    raw = cam(model, data.images.float() / 255, "layer3", logit(data.labels))["layer3"]
    score = energy(resize(positive(raw), data.masks.shape[1:]), data.masks)
    assert score.shape == (16,)
    assert score[data.labels == 0].isnan().all()  # a clean image has an empty mask
    assert (score[raw.amax((1, 2)) <= 0]).isnan().all()  # nothing speaks for the class
    assert not score[(data.labels > 0) & (raw.amax((1, 2)) > 0)].isnan().any()


def test_without_scipy_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        boxes_of_parts(MASK[0])


# ---- numbers that a small change would move -------------------------------------------------------------------------


def test_energy_of_a_sum_beyond_float16() -> None:
    maps = torch.full((1, 4, 4), 60_000, dtype=torch.float16)  # sixteen of them are far above 65504
    assert energy(maps, MASK).item() == 0.25


def test_width_of_the_centre_map_is_one_standard_deviation() -> None:
    masks = torch.zeros(1, 1, 5, dtype=torch.bool)  # columns at -0.4, -0.2, 0, 0.2, 0.4 of the side
    bell = [math.exp(-(x**2) / (2 * 0.2**2)) for x in (-0.4, -0.2, 0, 0.2, 0.4)]
    assert centre_maps(masks, 0.2)[0, 0].tolist() == pytest.approx(bell)
    assert centre_maps(masks)[0, 0, 3].item() == pytest.approx(math.exp(-(0.2**2) / (2 * 0.25**2)))


def test_mean_activation_counts_negative_ones() -> None:
    A = torch.tensor([-3.0, 1.0]).view(1, 2, 1, 1)
    assert mean_activation(A, A).item() == 2


def test_box_of_map_takes_a_fifth_of_the_maximum() -> None:
    assert box_of_map(torch.tensor([[[1.0, 0.21, 0.19]]])).tolist() == [[0, 0, 2, 1]]


def test_a_box_fits_from_delta_on() -> None:
    assert max_box_acc_v2(torch.tensor([[0.5]]), deltas=(0.5,)) == 1
    assert max_box_acc_v2(torch.tensor([[0.5]]), deltas=(0.5,), tuned_on=torch.tensor([[0.5]])) == 1
    table = torch.tensor([[0.0, 0.5]])  # tau is chosen by the same rule
    assert max_box_acc_v2(torch.tensor([[0.0, 1.0]]), deltas=(0.5,), tuned_on=table) == 1
