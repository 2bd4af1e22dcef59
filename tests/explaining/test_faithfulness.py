"""Insertion, deletion, ROAD and randomisation: on networks whose answer is known, and against grad-cam's ROAD."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from scipy.stats import spearmanr
from torch import Tensor, nn

from cbam_lite import cam, defect_net, make_defects, trained_defect_net
from cbam_lite.explaining.faithfulness import (
    auc,
    blurred,
    cascade,
    combined,
    deletion,
    impute,
    insertion,
    mean_colour,
    order,
    probability,
    rank_correlation,
    road,
)
from cbam_lite.explaining.gradcam import logit

STAGES = ["fc", "layer4", "layer3", "layer2", "layer1", "conv1"]


class Corner(nn.Module):
    """A network that looks at one place only: its logit is the brightness of the four pixels at the top left."""

    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, :, :2, :2].mean((1, 2, 3))
        return torch.stack([seen, torch.zeros_like(seen)], 1)


def bright_corner(N: int = 2, size: int = 8) -> tuple[Tensor, Tensor]:
    """Images that are bright where `Corner` looks, and the map that says so."""
    images, maps = torch.zeros(N, 3, size, size), torch.zeros(N, size, size)
    images[:, :, :2, :2], maps[:, :2, :2] = 1, 1
    return images, maps


def black(images: Tensor) -> Tensor:
    return torch.zeros_like(images)


def first_class(output: Tensor) -> Tensor:
    return output[:, 0]


# ---- the order of pixels --------------------------------------------------------------------------------------------


def test_order_ranks_from_the_largest() -> None:
    maps = torch.tensor([[[0.5, -1.0], [3.0, 2.0]]])
    assert order(maps).tolist() == [[[2, 3], [0, 1]]]


def test_order_of_ties_favours_no_place() -> None:
    ranks = torch.stack([order(torch.zeros(1, 8, 8), seed)[0] for seed in range(200)]).double()
    assert torch.equal(ranks[0].flatten().sort().values, torch.arange(64.0).double())
    assert (ranks.mean(0) - 31.5).abs().max() < 6  # 18.5 / sqrt(200) = 1.3 is one standard deviation


def test_order_of_relu_zeros_keeps_the_rest_in_front() -> None:
    maps = torch.zeros(1, 4, 4)
    maps[0, 2, 1], maps[0, 3, 3] = 2, 1
    ranks = order(maps)
    assert ranks[0, 2, 1] == 0
    assert ranks[0, 3, 3] == 1


# ---- deletion and insertion -----------------------------------------------------------------------------------------


def test_curves_run_from_the_image_to_the_fill_and_back() -> None:
    images, model = torch.rand(3, 3, 32, 32), defect_net("plain").eval()
    maps, score = torch.rand(3, 32, 32), probability(2)
    whole = score(model(images))
    down = deletion(model, images, maps, score, steps=4)
    up = insertion(model, images, maps, score, steps=4)
    assert down.shape == up.shape == (3, 5)
    assert torch.allclose(down[:, 0], whole, atol=1e-6)
    assert torch.allclose(up[:, -1], whole, atol=1e-6)
    assert torch.allclose(down[:, -1], score(model(mean_colour(images))), atol=1e-6)
    assert torch.allclose(up[:, 0], score(model(blurred(images))), atol=1e-6)


def test_deletion_and_insertion_by_hand() -> None:
    images, maps = bright_corner()
    for good, expected in [(True, [1, 0, 0, 0, 0]), (False, [1, 1, 1, 1, 0])]:
        shown = maps if good else -maps  # a map that says the opposite takes the corner last
        curve = deletion(Corner(), images, shown, first_class, fill=black, steps=4)
        assert curve.tolist() == [expected, expected]
        rising = insertion(Corner(), images, shown, first_class, fill=black, steps=4)
        assert rising.tolist() == [[1 - value for value in expected]] * 2


def test_auc_is_the_area_by_trapezoids() -> None:
    assert auc(torch.tensor([[1.0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0.25, 0.5, 0.75, 1]])).tolist() == [0.125, 1, 0.5]


def test_blurred_has_the_same_mean_and_less_detail() -> None:
    images = torch.rand(2, 3, 64, 48)
    assert blurred(images).shape == images.shape
    assert torch.allclose(blurred(images).mean(), images.mean(), atol=0.01)
    assert blurred(images).std() < 0.2 * images.std()


# ---- ROAD -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_imputation_is_grad_cams_without_noise(share: float) -> None:
    image, gone = torch.rand(3, 12, 9), torch.rand(12, 9) < share
    theirs = NoisyLinearImputer(noise=0.0)(image, (~gone).int())
    assert torch.allclose(impute(image, gone, noise=0), theirs.float(), atol=1e-5)


def test_imputation_fills_a_slope_and_leaves_what_is_known() -> None:
    image = torch.arange(8.0).expand(3, 8, 8).clone()
    gone = torch.zeros(8, 8, dtype=torch.bool)
    gone[2:6, 2:6] = True
    filled = impute(image, gone, noise=0)
    assert torch.allclose(filled, image, atol=1e-5)  # a linear slope is harmonic
    assert torch.equal(impute(image, gone)[:, ~gone], image[:, ~gone])
    assert torch.equal(impute(image, torch.zeros_like(gone)), image)


def test_imputation_is_seeded() -> None:
    image, gone = torch.rand(3, 8, 8), torch.rand(8, 8) < 0.5
    assert torch.equal(impute(image, gone, seed=1), impute(image, gone, seed=1))
    assert not torch.equal(impute(image, gone, seed=1), impute(image, gone, seed=2))
    noise = (impute(image, gone, noise=0.5, seed=3) - impute(image, gone, noise=0))[:, gone]
    assert 0.3 < noise.std() < 0.7


def test_imputing_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="all pixels are gone"):
        impute(torch.rand(3, 4, 4), torch.ones(4, 4, dtype=torch.bool))


def test_road_takes_exactly_the_share_from_a_map_of_zeros() -> None:
    """A percentile of a map with 94 % zeros would take everything. Count what changes."""
    images, maps = bright_corner(1)
    images += torch.rand_like(images)
    taken: list[int] = []

    class Counts(nn.Module):
        def forward(self, changed: Tensor) -> Tensor:
            taken.append(int((changed != images).any(1).sum()))
            return torch.zeros(1, 2)

    road(Counts(), images, maps, first_class, fractions=(0.25, 0.5))
    assert taken == [16, 32, 16, 32]


def test_road_tells_a_right_map_from_a_wrong_one() -> None:
    images, maps = bright_corner()
    morf, lerf = road(Corner(), images, maps, first_class, fractions=(0.1, 0.5))
    assert morf.shape == lerf.shape == (2, 2)
    assert (morf < 0.1).all()
    assert torch.allclose(lerf, torch.ones(2, 2))
    assert (combined(morf, lerf) > 0.45).all()
    assert (combined(*road(Corner(), images, -maps, first_class, fractions=(0.1, 0.5))) < -0.45).all()


def test_road_is_the_same_each_time() -> None:
    images, maps = torch.rand(2, 3, 32, 32), torch.rand(2, 32, 32)
    model = defect_net("plain")
    first, second = (road(model, images, maps, probability(1), fractions=(0.3,)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


# ---- wrong input and side effects -----------------------------------------------------------------------------------

TESTS: list[Callable[..., object]] = [deletion, insertion, road]


@pytest.mark.parametrize("test", TESTS)
def test_wrong_input_is_named(test: Callable[..., object]) -> None:
    images = torch.rand(2, 3, 32, 32)
    with pytest.raises(ValueError, match=r"maps \(2, 8, 8\).*resize\(maps, images.shape\[2:\]\)"):
        test(defect_net(), images, torch.rand(2, 8, 8), first_class)
    with pytest.raises(ValueError, match="NaN or infinity"):
        test(defect_net(), images, torch.full((2, 32, 32), torch.nan), first_class)


def test_score_and_steps_are_checked() -> None:
    with pytest.raises(ValueError, match=r"score gave \(2, 2\) for 2 images"):
        deletion(Corner(), *bright_corner(), lambda output: output)
    for test in (deletion, insertion):
        with pytest.raises(ValueError, match="steps=0 must be at least 1"):
            test(Corner(), *bright_corner(), first_class, steps=0)


def test_fractions_outside_their_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"fractions=\(10, 50\).*above 0 and below 1"):
        road(Corner(), *bright_corner(), first_class, fractions=(10, 50))


@pytest.mark.parametrize("test", TESTS)
def test_the_model_is_left_as_it_was(test: Callable[..., object]) -> None:
    model = defect_net("CBAM").train()
    model.layer1.eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    test(model, torch.rand(2, 3, 32, 32), torch.rand(2, 32, 32), first_class)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_on_every_device(device: torch.device) -> None:
    images, maps = (x.to(device) for x in bright_corner())
    assert auc(deletion(Corner(), images, maps, first_class, fill=black, steps=4)).tolist() == [0.125, 0.125]
    assert (combined(*road(Corner(), images, maps, first_class)) > 0.4).all()


# ---- randomisation --------------------------------------------------------------------------------------------------


def test_cascade_forgets_from_the_output_down_and_spares_the_model() -> None:
    model, _ = trained_defect_net("CBAM")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept = set(STAGES)
    for stage, net in cascade(model, STAGES):
        kept.remove(stage)
        same = {name for name, value in net.state_dict().items() if torch.equal(value, before[name])}
        for other in STAGES:
            weights = {name for name in before if name.startswith(f"{other}.") and name.endswith("weight")}
            assert (weights <= same) == (other in kept)
    assert not kept
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_cascade_forgets_the_statistics_of_batch_norm() -> None:
    model, _ = trained_defect_net("plain")
    *_, (_, net) = cascade(model, ["layer4"])
    norm = net.get_submodule("layer4.0.bn1")
    assert norm.running_mean.abs().max() == 0
    assert (norm.running_var == 1).all()


def test_cascade_is_seeded_and_leaves_the_generator_alone() -> None:
    model = defect_net()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (next(cascade(model, ["fc"], seed))[1].fc.weight for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_cascade_does_not_mind_random_numbers_drawn_between_its_stages() -> None:
    model = defect_net()
    quiet = [net.conv1.weight for _, net in cascade(model, STAGES)]
    noisy = [net.conv1.weight for _, net in cascade(model, STAGES) if torch.rand(3).sum() < 4]
    assert all(torch.equal(a, b) for a, b in zip(quiet, noisy, strict=True))
    together = [
        (a.fc.weight, b.fc.weight)
        for (_, a), (_, b) in zip(cascade(model, ["fc"]), cascade(model, ["fc"]), strict=True)
    ]
    assert torch.equal(*together[0])


def test_cascade_names_what_it_cannot_forget() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    model = nn.Sequential(nn.ReLU(), nn.Sequential(Scale()))
    with pytest.raises(ValueError, match="0 has no weights to forget"):
        next(cascade(model, ["0"]))
    with pytest.raises(ValueError, match=r"1\.0 \(Scale\) has weights, but no reset_parameters"):
        next(cascade(model, ["1"]))
    with pytest.raises(ValueError, match="Sequential has no layer 'fc'"):
        next(cascade(model, ["fc"]))


def test_rank_correlation_is_scipys() -> None:
    a, b = torch.randn(4, 5, 6), torch.randn(4, 5, 6)
    a[0, :3] = 0  # ties
    for absolute in (False, True):
        x, y = (a.abs(), b.abs()) if absolute else (a, b)
        expected = [spearmanr(p.flatten().numpy(), q.flatten().numpy()).statistic for p, q in zip(x, y, strict=True)]
        found = rank_correlation(a, b, absolute=absolute)
        assert found.dtype == torch.float64  # whatever SciPy's ranks are
        assert np.allclose(found.numpy(), expected)


def test_rank_correlation_of_extremes() -> None:
    a = torch.randn(1, 4, 4)
    assert rank_correlation(a, a.exp()).item() == pytest.approx(1)
    assert rank_correlation(a, -a).item() == pytest.approx(-1)
    assert rank_correlation(a, -a, absolute=True).item() == pytest.approx(1)
    assert rank_correlation(a, torch.zeros(1, 4, 4)).item() == 0
    with pytest.raises(ValueError, match="cannot be compared"):
        rank_correlation(a, torch.randn(1, 8, 8))


def test_grad_cam_of_a_trained_network_passes_the_randomisation_test() -> None:
    model, _ = trained_defect_net("CBAM")
    data = make_defects(64, seed=9)
    data = data.take(data.labels > 0)
    images, score = data.images.float() / 255, logit(data.labels)
    before = cam(model, images, "layer3", score)["layer3"]
    after = [cam(net, images, "layer3", score)["layer3"] for _, net in cascade(model, STAGES)]
    similar = [rank_correlation(before, maps).mean().item() for maps in after]
    assert similar[-1] < 0.3


def test_without_scipy_the_errors_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        impute(torch.rand(3, 4, 4), torch.eye(4) > 0)
    with pytest.raises(ImportError, match="pip install scipy"):
        rank_correlation(torch.rand(1, 4, 4), torch.rand(1, 4, 4))


# ---- numbers that a small change would move -------------------------------------------------------------------------


def test_combined_is_half_the_difference() -> None:
    assert combined(torch.tensor([[0.1, 0.3]]), torch.tensor([[0.9, 0.7]])).item() == pytest.approx(0.3)


def test_mean_colour_has_a_mean_for_each_channel() -> None:
    images = torch.stack([torch.full((4, 4), value) for value in (0.1, 0.2, 0.9)])[None]
    images[0, 2, :2] = 0.5
    assert torch.allclose(mean_colour(images)[0].amax((1, 2)), torch.tensor([0.1, 0.2, 0.7]))


def test_probability_is_the_softmax() -> None:
    output = torch.tensor([[0.0, 1.0], [3.0, 2.0]])
    assert torch.allclose(probability([0, 1])(output), torch.tensor([output[0].softmax(0)[0], output[1].softmax(0)[1]]))


def test_road_draws_noise_for_each_image_and_seed() -> None:
    seen: list[Tensor] = []

    class Watches(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.clone())
            return images.mean((2, 3))

    images, maps = torch.rand(1, 3, 8, 8).repeat(2, 1, 1, 1), torch.rand(1, 8, 8).repeat(2, 1, 1)
    for seed in (0, 0, 5):
        road(Watches(), images, maps, first_class, fractions=(0.5,), seed=seed)
    assert not torch.equal(seen[0][0], seen[0][1])  # equal images, other noise
    assert torch.equal(seen[0], seen[2])
    where = (order(maps, 5) < 32)[0]
    assert torch.equal(where, (order(maps, 0) < 32)[0])  # no equal values, so the seed of the noise is all that differs
    assert not torch.equal(seen[0][0], seen[4][0])
    assert torch.equal(seen[4][1], impute(images[1], where, seed=6))


def test_a_small_image_is_blurred_to_its_mean() -> None:
    """Below 32 pixels there is one cell, so nothing is left but the mean colour."""
    images = torch.rand(2, 3, 20, 31)
    torch.testing.assert_close(blurred(images), images.mean((2, 3), keepdim=True).expand_as(images))


def test_blurred_cells_have_their_value_in_the_middle() -> None:
    """Half a cell from the border; at the border itself the bicubic curve goes beyond it."""
    images = torch.zeros(1, 1, 16, 32)
    images[..., 16:] = 1
    row = blurred(images)[0, 0, 0]
    assert row[0] < -1e-3
    assert row[-1] > 1 + 1e-3
    assert row[15:17].mean() == pytest.approx(0.5)


def test_no_images_and_odd_classes_are_named() -> None:
    none = torch.zeros(0, 3, 8, 8)
    with pytest.raises(ValueError, match=r"^images has the shape \(0, 3, 8, 8\), but at least 1 is needed"):
        deletion(nn.Identity(), none, torch.zeros(0, 8, 8), probability(0))
    with pytest.raises(TypeError, match=r"^classes='pit' must be whole numbers"):
        probability("pit")  # type: ignore[arg-type]
