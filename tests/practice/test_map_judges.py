"""The judges of Grad-CAM: right ones pass, wrong ones are named, nothing is left behind."""

from typing import Any

import pytest
import torch
from collection import known_end_to_end, known_maps
from collection.entries import ENTRIES, Entry
from torch import Tensor

from cbam_lite.explaining.gradcam import cam, logit
from cbam_lite.practice import maps, probe_network, words_maps, wrong_maps
from cbam_lite.practice.calling import Way, roles, ways
from cbam_lite.practice.judging import check
from cbam_lite.practice.trial import Refused
from cbam_lite.practice.wrong_maps import METHODS, as_maps, fit, grad_cam, name

OURS = [e for e in ENTRIES if e.name.startswith(("known_maps.", "known_end_to_end."))]
A, G = maps.random_pair(0, (3, 4, 5, 7))
x = probe_network.pictures(1)
c = (probe_network.predicted(x) + torch.tensor([2, 1, 3])) % probe_network.CLASSES


@pytest.mark.parametrize("entry", OURS, ids=lambda e: f"{e.like}-{e.name}")
def test_each_known_one(entry: Entry) -> None:
    answer = check(entry.thing, entry.like)
    assert (answer.passed, answer.key) == (not entry.key, entry.key), answer
    assert answer.convention or not answer.passed


def test_the_right_map_is_that_of_the_package() -> None:
    model = probe_network.probe()
    ours = cam(model, x, ["block2", "block3"], logit(c))
    for last, layer in ((2, "block2"), (3, "block3")):
        torch.testing.assert_close(probe_network.right_maps(x, c, last).float(), ours[layer], rtol=1e-4, atol=1e-6)


def test_each_mistake_gives_another_map_of_given_activations() -> None:
    """No mistake gives the right map, up to a factor; two mistakes of one key may give the same."""
    known = [(key, method(A, G)) for key, method in METHODS]
    assert not [key for key, L in known if fit(L, grad_cam(A, G), 1e-4)]
    twins = {(k1, k2) for k1, L1 in known for k2, L2 in known if k1 < k2 and fit(L1, L2, 1e-4, ("signed", "relu"))}
    assert twins == {("activations_only", "wrong_axes")}  # one weight for all channels of an image is a factor


def test_each_mistake_gives_another_map_end_to_end() -> None:
    right = probe_network.right_maps(x, c)
    known = probe_network.mistaken_maps(x, c, together=True)
    assert not [key for key, L in known if fit(L, right, 1e-3)]
    twins = {(k1, k2) for k1, L1 in known for k2, L2 in known if k1 < k2 and fit(L1, L2, 1e-3, ("signed", "relu"))}
    assert twins == {("log_softmax_score", "softmax_score")}  # they differ by the probability, a factor per image


def test_maps_of_the_network_have_both_signs() -> None:
    for seed in (1, 2):
        images = probe_network.pictures(seed)
        best = probe_network.predicted(images)
        assert len(set(best.tolist())) > 1
        for last in (2, 3):
            L = probe_network.right_maps(images, None, last)
            assert bool((L.amin((1, 2)) < -0.1 * L.abs().amax((1, 2))).all())
            assert bool((L.amax((1, 2)) > 0.1 * L.abs().amax((1, 2))).all())


def test_factor_and_range_are_free_per_image_and_nothing_else() -> None:
    L = grad_cam(A, G)
    factor = torch.tensor([0.1, 1.0, 7.0])[:, None, None]
    found = fit(factor * L, L, 1e-4)
    assert found is not None
    torch.testing.assert_close(found.factors, factor.flatten().double())
    assert (found.finish, found.ranged) == ("signed", False)
    scaled = fit(wrong_maps.ranged(L.relu()), L, 1e-4, ("relu",))
    assert scaled is not None
    assert scaled.ranged
    assert fit(L + 0.1, L, 1e-4) is None
    assert fit(L, L.mT, 1e-4) is None
    assert fit(torch.full_like(L, torch.nan), L, 1e-4) is None
    flipped = fit(-L, L, 1e-4)
    assert flipped is not None
    assert flipped.finish == "sign_flipped"


def test_one_range_for_the_batch_is_named() -> None:
    L = grad_cam(A, G)
    assert name((L - L.min()) / (L.max() - L.min()), L, [], 1e-4) == "one_scale_for_batch"
    assert name(L.abs(), L, [], 1e-4) == "absolute_value"
    assert name(torch.ones_like(L), L, [], 1e-4) == ""


@pytest.mark.parametrize(
    ("value", "B", "shape"),
    [
        (torch.zeros(3, 1, 5, 7), 3, (3, 5, 7)),
        (torch.zeros(5, 7), 1, (1, 5, 7)),
        (torch.zeros(5, 7), 3, (5, 7)),
        ((torch.zeros(3, 5, 7), 2), 3, (3, 5, 7)),
        ({"layer": torch.zeros(3, 5, 7)}, 3, (3, 5, 7)),
        ([torch.zeros(5, 7)] * 3, 3, (3, 5, 7)),
        (torch.zeros(3, 5, 7).numpy(), 3, (3, 5, 7)),
        (torch.zeros(3, 5, 7, 1), 3, (3, 5, 7)),
    ],
)
def test_what_counts_as_maps(value: Any, B: int, shape: tuple[int, ...]) -> None:
    assert as_maps(value, B).shape == shape


def test_what_is_no_map() -> None:
    with pytest.raises(Refused, match="None came back"):
        as_maps(None, 1)
    with pytest.raises(Refused, match="not a map"):
        as_maps("map", 1)


def test_parameters_are_found_by_name_then_by_order() -> None:
    def mixed(target_layer: Any, net: Any, foo: Any, class_idx: Any = None, *, eps: float = 1e-8) -> None: ...

    assert {role: p.name for role, p in roles(mixed).items()} == {
        "model": "net",
        "images": "foo",
        "layer": "target_layer",
        "classes": "class_idx",
    }

    def unknown(a: Any, b: Any, d: Any, e: Any) -> None: ...

    assert [p.name for p in roles(unknown).values()] == ["a", "b", "d", "e"]
    assert next(ways(roles(unknown))) == Way(True, False, "module", "a tensor")


def test_one_image_by_its_name() -> None:
    def single(model: Any, image: Any, layer: Any) -> None: ...

    assert {way.together for way in ways(roles(single))} == {False}
    assert {way.classes for way in ways(roles(single))} == {"nothing"}


def test_without_classes_the_predicted_ones_are_wanted() -> None:
    def of_all(model: Any, images: Any, layer: Any, classes: Any = None) -> Tensor:
        score = (lambda y: y.sum(1)) if classes is None else logit(classes)
        return cam(model, images, "block2" if layer is model.block2 else "block3", score)[
            "block2" if layer is model.block2 else "block3"
        ]

    answer = check(of_all, "Grad-CAM")
    assert answer.key == "no_class"
    assert "without classes" in answer.tried[-1]


def test_a_sum_for_a_mean_is_said() -> None:
    answer = check(known_maps.summed, "Grad-CAM map")
    assert "35 times the same map" in answer.convention


def test_the_collection_is_large_and_each_key_has_words() -> None:
    keys = {key for key, _ in METHODS} | {key for key, _ in probe_network.SCORES if key}
    assert keys <= set(words_maps.MISTAKES)
    for mistake in words_maps.MISTAKES.values():
        assert len(set(mistake.hints)) == 3
        assert not mistake.name.endswith(".")
        assert all(hint.endswith((".", "?")) for hint in mistake.hints)
    assert sum(not e.key for e in OURS) >= 12
    assert sum(bool(e.key) for e in OURS) >= 35


def test_the_same_answer_twice() -> None:
    assert check(known_end_to_end.softmaxed, "Grad-CAM") == check(known_end_to_end.softmaxed, "Grad-CAM")
