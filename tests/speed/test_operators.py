"""How a map is cut into tiles and programs: numbers of the docstrings, by hand, and no kernel run."""

import sys
from types import SimpleNamespace

import pytest
import torch

from cbam_lite import speed
from cbam_lite.speed import operators
from cbam_lite.speed.operators import axes, described, launch, memory_format, power_of_two, tile


def a_map(C: int, H: int, W: int, last: bool, B: int = 2) -> torch.Tensor:
    form = torch.channels_last if last else torch.contiguous_format
    return torch.empty(B, C, H, W).to(memory_format=form)


def test_powers_of_two() -> None:
    assert [power_of_two(n) for n in (1, 2, 3, 4, 5, 8, 9, 1023, 1024, 1025)] == [
        1,
        2,
        4,
        4,
        8,
        8,
        16,
        1024,
        1024,
        2048,
    ]


@pytest.mark.parametrize(
    ("C", "last", "along", "expected"),
    [
        (64, False, None, (8, 256)),  # 2,048 numbers, and 256 places in a row
        (64, False, "P", (2, 1024)),  # walks along neighbours
        (64, False, "C", (64, 32)),  # across them: 32 neighbours for each of 64 channels
        (512, True, None, (256, 8)),
        (512, True, "C", (512, 4)),  # there are no more channels
        (2048, True, "C", (1024, 2)),
        (512, True, "P", (32, 64)),
        (64, True, None, (64, 32)),
        (24, True, "P", (32, 64)),
    ],
)
def test_a_tile_holds_2048_numbers_of_a_large_map(
    C: int, last: bool, along: str | None, expected: tuple[int, int]
) -> None:
    assert tile(a_map(C, 56, 56, last), along) == expected


@pytest.mark.parametrize("along", [None, "C", "P"])
@pytest.mark.parametrize("last", [False, True])
def test_a_tile_of_a_small_map_is_as_small_as_powers_of_two_allow(along: str | None, last: bool) -> None:
    assert tile(a_map(3, 5, 2, last), along) == (4, 16)


def test_axes_are_channels_and_places_and_their_steps() -> None:
    assert axes(a_map(5, 3, 4, False)) == (5, 12, 12, 1)
    assert axes(a_map(5, 3, 4, True)) == (5, 12, 1, 5)
    assert memory_format(a_map(5, 3, 4, True)) == torch.channels_last
    assert memory_format(a_map(5, 3, 4, False)) == torch.contiguous_format


@pytest.mark.parametrize(("along", "programs"), [(None, 2 * 9 * 13), ("C", 2 * 13), ("P", 2 * 9)])
def test_there_is_a_program_for_each_tile_or_row_of_tiles(
    along: str | None, programs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Kernel:
        def __getitem__(self, grid):
            return lambda *arguments: started.append((grid, arguments))

    kernels = SimpleNamespace(refine=Kernel())  # in the place of those that need Triton
    monkeypatch.setitem(sys.modules, "cbam_lite.speed.kernels", kernels)
    monkeypatch.setattr(speed, "kernels", kernels, raising=False)
    monkeypatch.setattr(operators, "check_interpreted", lambda F: None)
    launch("refine", a_map(65, 56, 56, False), ("a", "b"), (8, 256), along)
    assert started == [((programs,), ("a", "b", 65, 3136, 3136, 1, 8, 256))]


def test_descriptors_come_in_the_order_that_the_module_asks_for() -> None:
    both = torch.arange(12.0).view(2, 2, 3)
    mean, top = both
    assert described(both, "avg+max", 0) is both
    assert torch.equal(described(both, "max+avg", 0), torch.stack([top, mean]))
    assert torch.equal(described(both, "max", 0), top[None])
    assert torch.equal(described(both, "avg", 1), both[:, :1])
    assert torch.equal(described(both, "max", 1), both[:, 1:])


def test_each_step_has_tiles_for_the_way_it_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, tuple[tuple[int, int], str | None]] = {}

    def noted(name: str, F: torch.Tensor, arguments: object, block: tuple[int, int], along: str | None = None) -> None:
        started[name] = (block, along)

    monkeypatch.setattr(operators, "launch", noted)
    F, M_c, M_s = a_map(64, 56, 56, False), torch.ones(2, 64), torch.ones(2, 56, 56)
    operators.channel_pools(F)
    operators.place_pools(F, M_c)
    operators.refine(F, M_c, M_s, None, False)
    operators.gate_gradients(F, F, M_c, M_s, F)
    operators.place_pools_gradient(F, M_c, M_s, M_s, M_s)
    operators.map_gradient(F, F, M_c, M_s, M_s, M_s, M_s, None, M_c, M_c)
    assert started == {
        "channel_pools": ((2, 1024), "P"),
        "place_pools": ((64, 32), "C"),
        "refine": ((8, 256), None),
        "gate_gradients": ((64, 32), "C"),
        "place_pools_gradient": ((2, 1024), "P"),
        "map_gradient": ((8, 256), None),
    }
