"""Every printed parameter and GFLOP of the papers' tables, computed again."""

import functools

import pytest
import torch

from cbam_lite import cost, network_of, printed_tables, resnet50, resnext50, resnext101
from cbam_lite.networks.papers import Printed, eca_of_resnet50
from cbam_lite.networks.resnet import resnet101

# What does not round to the printed text: (source, network, attention, printed, ours), by reason.
DIFFERENT = {
    "unknown; hidden units rounded to the nearest number would give 2.71": {
        ("CBAM, Table 5", "MobileNet 0.7", "SE", "2.71", "2.70"),
    },
    "the SE paper counts something besides convolutions and linear layers, and does not say what": {
        ("SE, Table 2", "ResNet-50", "SE", "3.87", "3.86"),
        ("SE, Table 2", "ResNet-101", "none", "7.58", "7.57"),
        ("SE, Table 2", "ResNet-101", "SE", "7.60", "7.57"),
        ("SE, Table 2", "ResNet-152", "none", "11.30", "11.28"),
        ("SE, Table 2", "ResNet-152", "SE", "11.32", "11.29"),
    },
    "its ResNeXt seem to be of layout v1.5 (4.23 and 7.97)": {
        ("SE, Table 2", "ResNeXt-50", "none", "4.24", "3.77"),
        ("SE, Table 2", "ResNeXt-50", "SE", "4.25", "3.77"),
        ("SE, Table 2", "ResNeXt-101", "none", "7.99", "7.51"),
        ("SE, Table 2", "ResNeXt-101", "SE", "8.00", "7.51"),
    },
    "ECA prints 3.87, which stands in the SE paper": {
        ("ECA, Table 3", "ResNet-50", "SE", "3.87", "3.86"),
        ("ECA, Table 3", "ResNet-50", "CBAM", "3.87", "3.86"),
    },
}


@functools.cache
def ours(row: Printed) -> tuple[str, str]:
    with torch.device("meta"):
        counted = cost(network_of(row))
    millions = counted.parameters / (2**20 if row.unit == "2^20" else 1e6)
    digits = len(row.gflops.partition(".")[2])
    return f"{millions:.2f}" if row.parameters else "", f"{counted.multiply_adds / 1e9:.{digits}f}"


@pytest.mark.parametrize("row", printed_tables(), ids=lambda row: f"{row.source}-{row.network}-{row.attention}")
def test_a_cell_agrees_or_is_listed_with_its_reason(row: Printed) -> None:
    cells = zip((row.parameters, row.gflops), ours(row), strict=True)
    wrong = {(row.source, row.network, row.attention, printed, mine) for printed, mine in cells if printed != mine}
    listed = {cell for cells in DIFFERENT.values() for cell in cells}
    assert wrong == {cell for cell in listed if cell[:3] == (row.source, row.network, row.attention)}


def test_tables_are_complete() -> None:
    assert {source: len(printed_tables(source)) for source in ("CBAM, Table 4", "CBAM, Table 5", "SE", "ECA")} == {
        "CBAM, Table 4": 24,
        "CBAM, Table 5": 6,
        "SE": 10,
        "ECA": 4,
    }


def test_ecas_eighty_parameters() -> None:
    with torch.device("meta"):
        counted = [cost(resnet50(attention)).parameters for attention in (None, eca_of_resnet50)]
    assert counted == [25_557_032, 25_557_112]
    assert counted[1] - counted[0] == 80


@pytest.mark.parametrize(
    ("make", "v1", "v15"),
    [
        (resnet50, 3.858, 4.089),
        (resnet101, 7.570, 7.801),
        (resnext50, 3.768, 4.230),
        (resnext101, 7.508, 7.970),
    ],
)
def test_layouts(make, v1: float, v15: float) -> None:
    with torch.device("meta"):
        counted = [cost(make(layout=layout)).multiply_adds / 1e9 for layout in ("v1", "v1.5")]
    assert [round(value, 3) for value in counted] == [v1, v15]


def test_errors_are_as_printed() -> None:
    row = next(row for row in printed_tables("CBAM") if (row.network, row.attention) == ("ResNet-50", "CBAM"))
    assert (row.top1_error, row.top5_error) == (22.66, 6.31)


def test_hostile_arguments_are_named() -> None:
    with pytest.raises(TypeError, match=r"^source=None must be text, the beginning of a table's name: use 'CBAM', "):
        printed_tables(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^row must be one of printed_tables\(\), got 'ResNet-50' of type str$"):
        network_of("ResNet-50")  # type: ignore[arg-type]


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match="source='BAM' is the beginning of no table: use 'CBAM', 'SE' or 'ECA'"):
        printed_tables("BAM")
