"""Every assignment of weights to the paper's names, by shape."""

import pytest
import torch
from torch import Tensor

from cbam_lite.practice.formulas import MLP, mlp, se_gate
from cbam_lite.practice.weights import Formula, Pattern, assignments, fits, matching, views


def numbered(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [
        torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape) + n
        for n, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 16, 1, 1), {(4, 16, 1, 1), (4, 16, 1), (4, 16), (16, 4)}),
        ((1, 16), {(1, 16), (16,), (16, 1)}),
        ((1, 1, 3), {(1, 1, 3), (1, 3), (3,), (3, 1)}),
        ((1, 2, 7, 7), {(1, 2, 7, 7), (2, 7, 7)}),
        ((16,), {(16,)}),
    ],
)
def test_views(shape: tuple[int, ...], expected: set[tuple[int, ...]]) -> None:
    assert {tuple(view.shape) for view in views(torch.zeros(shape))} == expected


def test_views_share_the_numbers() -> None:
    (weight,) = numbered((4, 16, 1, 1))
    turned = next(view for view in views(weight) if view.shape == (16, 4))
    assert torch.equal(turned, weight[:, :, 0, 0].T)


@pytest.mark.parametrize(
    ("shape", "pattern", "expected"),
    [
        ((4, 16), ("h", "C"), {"C": 16, "h": 4}),
        ((4, 15), ("h", "C"), None),
        ((4, 16, 1), ("h", "C"), None),
        ((1, 2, 7, 7), (1, 2, "k", "k"), {"C": 16, "k": 7}),
        ((1, 2, 7, 5), (1, 2, "k", "k"), None),
        ((1, 3, 7, 7), (1, 2, "k", "k"), None),
    ],
)
def test_fits(shape: tuple[int, ...], pattern: tuple[int | str, ...], expected: dict[str, int] | None) -> None:
    assert fits(shape, pattern, {"C": 16}) == expected


@pytest.mark.parametrize(
    ("shapes", "number"),
    [
        ([(4, 16), (16, 4)], 2),  # each of the two may be W_0, the other is W_1
        ([(4, 16), (4, 16), (4,), (16,)], 2),
        ([(16, 16), (16, 16)], 8),  # two orders, four orientations
        ([(4, 16), (16, 5)], 0),  # no common number of hidden units
        ([(4, 16)], 0),
        ([(4, 16), (16, 4), (3,)], 0),  # one is left over
    ],
)
def test_assignments(shapes: list[tuple[int, ...]], number: int) -> None:
    ways = list(assignments(numbered(*shapes), MLP, C=16))
    assert len(ways) == number
    assert all(set(way) >= {"W_0", "W_1"} and len(way) == len(shapes) for way in ways)
    assert all(way["W_0"].shape[1] == way["W_1"].shape[0] == 16 for way in ways)


def test_the_right_assignment_is_found_whatever_the_order_and_the_orientation() -> None:
    g = torch.Generator().manual_seed(0)
    W_0, W_1, F = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((4, 16), (16, 4), (2, 16, 5, 6)))
    R = se_gate(F, {"W_0": W_0, "W_1": W_1})
    formula = Formula("right", MLP, se_gate)
    for parameters in ([W_0, W_1], [W_1, W_0], [W_0.T, W_1.T], [W_1.T[:, :, None, None], W_0]):
        found = matching([formula], parameters, [(F, R.expand_as(F))], C=16)
        assert found is not None
        assert torch.equal(found[1]["W_0"], W_0)
        assert torch.equal(found[1]["W_1"], W_1)
    assert matching([formula], [W_0, W_1 + 1e-3], [(F, R.expand_as(F))], C=16) is None


def test_gates_of_another_shape_do_not_agree() -> None:
    needs: Pattern = {"w": ("C",)}
    formula = Formula("flat", needs, lambda F, w: w["w"].expand(len(F), -1))
    F = torch.ones(2, 3, 4, 5, dtype=torch.float64)
    assert matching([formula], [torch.ones(3).double()], [(F, F)], C=3) is None


def test_the_mlp_of_the_formulas_is_that_of_torch() -> None:
    first, second = torch.nn.Linear(16, 4).double(), torch.nn.Linear(4, 16).double()
    w = {"W_0": first.weight, "b_0": first.bias, "W_1": second.weight, "b_1": second.bias}
    x = torch.randn(3, 16, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(mlp(x, w)[:, :, 0, 0], second(first(x[:, :, 0, 0]).relu()))
