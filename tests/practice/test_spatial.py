"""The judge of the spatial gate: kernels measured from outside, and what is wrong with a kernel."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cbam_lite
from cbam_lite import check
from cbam_lite.practice import spatial, windows
from cbam_lite.practice.subject import Subject, maps
from cbam_lite.practice.trial import Refused, Trial
from cbam_lite.practice.windows import Kernel, Reading


def kernel(k: int, D: int = 2, bias: float = 0.3, seed: int = 0) -> Kernel:
    g = torch.Generator().manual_seed(seed)
    return Kernel(torch.randn(D, k, k, generator=g, dtype=torch.float64) / k, torch.tensor(bias, dtype=torch.float64))


def gates(reading: Reading, of: Kernel) -> windows.Pairs:
    given = maps(8, 0, batch=4), 5 * maps(8, 1, size=(6, 7)), 0.2 * maps(8, 2, size=(8, 9))
    return [(x, windows.predicted(reading, of, x)) for x in given]


RIGHT_ONES = list(windows.readings(right=True))
WRONG_ONES = list(windows.readings(right=False))


def test_logits_are_torchs_convolution() -> None:
    conv, x = nn.Conv2d(2, 1, 5, padding=2).double(), maps(8, 0)
    of = Kernel(conv.weight.detach()[0], conv.bias.detach())  # type: ignore[union-attr]
    torch.testing.assert_close(of.logits(x[:, :2]), conv(x[:, :2]).detach())
    circular = nn.Conv2d(2, 1, 5, padding=2, padding_mode="circular").double()
    circular.load_state_dict(conv.state_dict())
    torch.testing.assert_close(of.logits(x[:, :2], "circular"), circular(x[:, :2]).detach())


@pytest.mark.parametrize("k", [1, 3, 7, 9, 11])
def test_a_kernel_follows_from_maps_and_gates(k: int) -> None:
    pairs = gates(RIGHT_ONES[0], kernel(k))
    found = spatial.explained(pairs, right=True)
    assert found is not None
    reading, measured = found
    assert reading.key == ""
    torch.testing.assert_close(windows.cut(measured), kernel(k).weight, atol=1e-9, rtol=0)
    torch.testing.assert_close(measured.bias, kernel(k).bias)


@pytest.mark.parametrize("n", range(len(RIGHT_ONES)))
def test_each_right_variant_is_found_as_itself(n: int) -> None:
    found = windows.first_fit(windows.readings(right=True), gates(RIGHT_ONES[n], kernel(5)))
    assert found is not None
    assert found[0].key == RIGHT_ONES[n].key


@pytest.mark.parametrize("n", range(len(WRONG_ONES)), ids=lambda n: f"{n}-{WRONG_ONES[n].key}")
def test_each_wrong_variant_is_named_and_never_right(n: int) -> None:
    D = WRONG_ONES[n].descriptors(maps(8, 0)).shape[1]
    pairs = gates(WRONG_ONES[n], kernel(5, D))
    assert spatial.explained(pairs, right=True) is None
    found = spatial.explained(pairs, right=False)
    assert found is not None
    assert found[0].key == WRONG_ONES[n].key


def test_gates_of_nothing_are_not_explained() -> None:
    pairs = [
        (x, torch.rand(M.shape, generator=torch.Generator().manual_seed(0), dtype=M.dtype))
        for x, M in gates(RIGHT_ONES[0], kernel(3))
    ]
    assert spatial.explained(pairs, right=True) is None
    assert spatial.explained(pairs, right=False) is None


def test_one_wrong_gate_is_enough() -> None:
    pairs = gates(RIGHT_ONES[0], kernel(7))
    pairs[0][1][0, 0, 4, 5] += 1e-4
    assert spatial.explained(pairs, right=True) is None


def test_too_few_equations_explain_nothing() -> None:
    assert windows.solved(torch.randn(20, 18), torch.randn(20)) is None
    assert windows.solved(torch.zeros(0, 3), torch.zeros(0)) is None


def changed(rows: slice, columns: slice, which: slice = slice(None), k: int = 7) -> Kernel:
    """A kernel of ones there, zeros elsewhere."""
    weight = torch.zeros(2, k, k, dtype=torch.float64)
    weight[which, rows, columns] = 1 + torch.rand(weight[which, rows, columns].shape, dtype=torch.float64)
    return Kernel(weight, torch.tensor(0.0))


WHOLE = slice(None)


@pytest.mark.parametrize(
    ("of", "key"),
    [
        (changed(WHOLE, WHOLE), None),
        (changed(slice(2, 5), slice(2, 5)), None),
        (changed(slice(0, 0), WHOLE), "gate_constant"),
        (changed(slice(3, 4), slice(3, 4)), "kernel_of_size_1"),
        (changed(slice(3, 4), WHOLE), "kernel_not_square"),
        (changed(slice(1, 5), slice(1, 5)), "even_kernel_shift"),
        (changed(slice(2, 5), slice(2, 6)), "even_kernel_shift"),
        (changed(slice(1, 6, 2), slice(1, 6, 2)), "dilated_kernel"),
        (changed(WHOLE, WHOLE, slice(0, 1)), "average_only"),
        (changed(WHOLE, WHOLE, slice(1, 2)), "max_only"),
        (Kernel(torch.ones(2, 3, 3), torch.tensor(0.0)), "descriptors_added"),
        (Kernel(torch.stack([torch.ones(3, 3), -torch.ones(3, 3)]), torch.tensor(0.0)), "subtracted_descriptors"),
    ],
)
def test_what_is_wrong_with_a_kernel(of: Kernel, key: str | None) -> None:
    found = windows.shape_mistake(of)
    assert (found and found[0]) == key


def subject_of(module: nn.Module) -> Subject:
    return Subject(Trial(), module.double().eval(), 8)


@pytest.mark.parametrize(
    ("of_mean", "of_max", "key"),
    [(1, 1, None), (8, 1, "sum_over_channels"), (-1, -1, "gate_inverted"), (0.25, 0.25, "logits_scaled")],
)
def test_the_measured_kernel_is_compared_with_the_weights(of_mean: float, of_max: float, key: str | None) -> None:
    weight = kernel(5).weight
    measured = Kernel(torch.stack([of_mean * weight[0], of_max * weight[1]]), torch.tensor(0.0))
    s = subject_of(cbam_lite.SpatialAttention(8, bn=False))
    if key is None:
        spatial.compared(s, RIGHT_ONES[0], measured, [weight[None]])
        return
    with pytest.raises(Refused) as refused:
        spatial.compared(s, RIGHT_ONES[0], measured, [weight[None]])
    assert refused.value.key == key


def test_a_clipped_gate_is_a_hard_sigmoid_of_other_logits() -> None:
    weight = kernel(5).weight
    s = subject_of(cbam_lite.SpatialAttention(8, bn=False))
    with pytest.raises(Refused) as refused:
        spatial.compared(s, RIGHT_ONES[3], Kernel(6 * weight, torch.tensor(-3.0)), [weight])
    assert refused.value.key == "other_gate_function"


def test_the_order_of_the_two_maps_is_read_from_the_weights() -> None:
    weight = kernel(5).weight
    of = Kernel(weight, torch.tensor(0.0))
    for weights, expected in (
        ([weight[None]], (1, 1, "[mean; max]")),
        ([weight.flip(0)[None]], (1, 1, "[max; mean]")),
        ([weight[1], 2 * weight[0]], (0.5, 1, "one kernel for each map")),
    ):
        found = spatial.ratios(of, weights)
        assert found is not None
        assert found[:2] == pytest.approx(expected[:2])
        assert found[2] == expected[2]
    assert spatial.ratios(of, [kernel(5, seed=9).weight]) is None


class GateOnly(nn.Module):
    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)).sigmoid()


def test_the_convention_is_named() -> None:
    convention = check(GateOnly, like="spatial attention").convention
    assert convention == "k = 7; [max; mean]; a bias; it gives the gate: multiply F by it where you use it"
    assert check(GateOnly(3), like="spatial attention").convention.startswith("k = 3; ")
    ours = check(cbam_lite.SpatialAttention, like="spatial attention").convention
    assert ours == "k = 7; [mean; max]; a batch norm after the convolution"
    twice: Any = lambda kernel: cbam_lite.SpatialAttention(16, kernel, bn=False, init="identity")  # noqa: E731
    assert check(twice, like="spatial attention").convention.endswith(windows.TWICE)


def test_a_right_one_takes_ten_steps_that_a_reader_can_follow() -> None:
    answer = check(GateOnly, like="spatial attention")
    assert answer.passed
    assert len(answer.tried) == 10
    assert len(set(answer.tried)) == 10


def test_a_channel_gate_is_no_spatial_gate() -> None:
    answer = check(cbam_lite.SqueezeExcitation(16, 4), like="spatial attention")
    assert (answer.passed, answer.key) == (False, "pooled_over_places")
