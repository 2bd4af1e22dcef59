"""A class is made with other sizes, too; casts of the student's code are found."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cbam_lite import check
from cbam_lite.practice.casts import casts
from cbam_lite.practice.sizes import uses
from cbam_lite.practice.subject import Subject
from cbam_lite.practice.trial import Refused, Trial

VALUES = {"channels": 24, "reduction": 4}


class Gate(nn.Module):
    """SE with so many hidden units."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(channels, units), nn.Linear(units, channels)

    def forward(self, F: Tensor) -> Tensor:
        return F * self.second(self.first(F.mean((2, 3))).relu()).sigmoid()[:, :, None, None]


def only_four(channels: int, r: int) -> Gate:
    assert r == 4
    return Gate(channels, channels // r)


def noted(maker: Any, name: str = "reduction", others: tuple[int, ...] = (2, 8)) -> list[str]:
    s = Subject(Trial(), Gate(24, 6).double().eval(), 24)
    uses(s, maker, VALUES, name, others)
    return s.notes


@pytest.mark.parametrize(
    "maker",
    [
        lambda channels, r: Gate(channels, channels // r),
        lambda channels, r: Gate(channels, max(channels // r, 16)),
        lambda channels, ratio=0.25: Gate(channels, int(channels * ratio)),
        lambda *sizes: Gate(sizes[0], 6),
        lambda c, hidden: Gate(c, hidden),
        Gate(24, 6),
    ],
)
def test_a_maker_that_uses_r_or_has_none_by_name_passes(maker: Any) -> None:
    assert noted(maker) == []


def test_a_maker_without_the_parameter_gets_a_note() -> None:
    assert noted(lambda channels: Gate(channels, 6)) == ["its r cannot be chosen: the class has no parameter for it"]
    assert noted(lambda channels: 0, "kernel") == []  # k may follow from C, as in ECA's paper


@pytest.mark.parametrize(
    ("maker", "says"),
    [
        (lambda channels, r: Gate(channels, channels // 4), "for r = 4 and for r = 2"),
        (only_four, "with r = 4 it passes, with r = 2 it does not: AssertionError"),
    ],
)
def test_a_maker_that_ignores_r_or_breaks_is_refused(maker: Any, says: str) -> None:
    with pytest.raises(Refused, match=says) as found:
        noted(maker)
    assert found.value.key == "reduction_ignored"


def test_a_right_one_that_takes_another_value_only_passes() -> None:
    def three_or_seven(kernel_size: int = 7) -> nn.Module:
        assert kernel_size in (3, 7)
        return Where(kernel_size)

    assert check(three_or_seven, like="spatial attention").passed


class Where(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2)

    def forward(self, F: Tensor) -> Tensor:
        return F * self.conv(torch.stack([F.mean(1), F.amax(1)], 1)).sigmoid()


class Casting(nn.Module):
    def __init__(self, cast: Any) -> None:
        super().__init__()
        self.linear, self.cast = nn.Linear(4, 4).double(), cast

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.cast(x)) * (x > 0).float()


@pytest.mark.parametrize(
    "cast",
    [
        lambda x: x.float(),
        lambda x: x.half(),
        lambda x: x.to(torch.float32),
        lambda x: x.to(dtype=torch.float32),
        lambda x: x.type(torch.FloatTensor),
    ],
)
def test_casts_are_found(cast: Any) -> None:
    assert casts(Casting(cast), torch.ones(2, 4, dtype=torch.float64))


def test_other_errors_are_no_casts() -> None:
    F = torch.ones(2, 4, dtype=torch.float64)
    assert not casts(Casting(lambda x: x[:, :3]), F)
    assert not casts(nn.Linear(4, 4), F)  # weights that .double() did not reach
    assert Casting(lambda x: x if x.type() == "torch.DoubleTensor" else None)(F).shape == (2, 4)
