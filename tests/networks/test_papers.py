"""Each printed parameter and GFLOP that `printed_tables` holds, computed again."""

import functools
import math
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn

from cbam_lite import (
    EfficientChannelAttention,
    SqueezeExcitation,
    cost,
    network_of,
    printed_tables,
    resnet50,
    resnext50,
    resnext101,
)
from cbam_lite.networks.papers import Printed, eca_of
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
    "the ablations of the SE paper round up": {
        ("SE, ratios", "ResNet-50", "SE r=4", "35.7", "35.6"),
        ("SE, ratios", "ResNet-50", "SE r=8", "30.7", "30.6"),
        ("SE, ratios", "ResNet-50", "SE r=32", "26.9", "26.8"),
        ("SE, places", "ResNet-50", "SE after 3x3", "25.8", "25.7"),
    },
    "ECA also counts norms, ReLUs and pools, see as_thop": {
        ("ECA, Table 3", "ResNet-50", "none", "3.86", "3.81"),
        ("ECA, Table 3", "ResNet-50", "SE", "3.87", "3.81"),
        ("ECA, Table 3", "ResNet-50", "CBAM", "3.87", "3.81"),
        ("ECA, Table 3", "ResNet-50", "ECA", "3.86", "3.81"),
        ("ECA, README", "ResNet-101", "ECA", "7.35", "7.27"),
        ("ECA, README", "ResNet-152", "ECA", "10.83", "10.72"),
    },
    "unknown; 60,193,042 / 2^20 is 57.40": {
        ("ECA, README", "ResNet-152", "ECA", "57.41", "57.40"),
    },
}


@functools.cache
def ours(row: Printed) -> tuple[str, str]:
    with torch.device("meta"):
        counted = cost(network_of(row))
    millions = counted.parameters / (2**20 if row.unit == "2^20" else 1e6)
    billions = counted.multiply_adds / (2**30 if row.unit == "2^20" else 1e9)
    return tuple(
        f"{number:.{len(text.partition('.')[2])}f}" if text else ""
        for text, number in ((row.parameters, millions), (row.gflops, billions))
    )


@pytest.mark.parametrize("row", printed_tables(), ids=lambda row: f"{row.source}-{row.network}-{row.attention}")
def test_a_cell_agrees_or_is_listed_with_its_reason(row: Printed) -> None:
    cells = zip((row.parameters, row.gflops), ours(row), strict=True)
    wrong = {(row.source, row.network, row.attention, printed, mine) for printed, mine in cells if printed != mine}
    listed = {cell for cells in DIFFERENT.values() for cell in cells}
    assert wrong == {cell for cell in listed if cell[:3] == (row.source, row.network, row.attention)}


def test_tables_are_complete() -> None:
    sources = Counter(row.source for row in printed_tables())
    assert sources == {
        "CBAM, Table 4": 24,
        "CBAM, Table 5": 6,
        "SE, Table 2": 10,
        "SE, ratios": 5,
        "SE, places": 1,
        "ECA, Table 3": 4,
        "ECA, README": 2,
    }
    assert all(row.unit == ("2^20" if row.source.startswith("ECA") else row.unit) for row in printed_tables())


def test_ecas_eighty_parameters() -> None:
    with torch.device("meta"):
        counted = [cost(resnet50(attention)).parameters for attention in (None, functools.partial(eca_of, "ResNet-50"))]
    assert counted == [25_557_032, 25_557_112]
    assert counted[1] - counted[0] == 80


def test_the_ablations_of_se_agree_when_rounded_up() -> None:
    rows = [*printed_tables("SE, ratios"), *printed_tables("SE, places")]
    with torch.device("meta"):
        up = [f"{math.ceil(cost(network_of(row)).parameters / 1e5) / 10:.1f}" for row in rows]
    assert up == [row.parameters for row in rows]


def as_thop(network: nn.Module) -> int:
    """Operations as early hooks of the package thop count them, which ECA's counting script calls."""
    counts: dict[type, Callable[[nn.Module, int, int], int]] = {
        nn.BatchNorm2d: lambda m, x, y: 4 * x,
        nn.ReLU: lambda m, x, y: x,
        nn.MaxPool2d: lambda m, x, y: 9 * y,
        nn.AdaptiveAvgPool2d: lambda m, x, y: x + y,
        nn.Linear: lambda m, x, y: (m.in_features - 1) * y,
        SqueezeExcitation: lambda m, x, y: x + m.channels,
        EfficientChannelAttention: lambda m, x, y: x + m.channels,
    }
    total = [cost(network).multiply_adds]
    for module in network.eval().modules():
        if count := counts.get(type(module)):
            module.register_forward_hook(lambda m, x, y, f=count: total.append(f(m, x[0].numel(), y.numel())))
    network(torch.empty(1, 3, 224, 224, device="meta"))
    return sum(total)


def test_eca_counts_as_thop_did() -> None:
    """Four of six GFLOPs come out; which version of thop stands behind the others is not known."""
    rows = printed_tables("ECA")
    with torch.device("meta"):
        found = [f"{as_thop(network_of(row)) / 2**30:.2f}" for row in rows]
    assert found == ["3.86", "3.87", "3.87", "3.87", "7.35", "10.84"]
    assert [row.gflops for row in rows] == ["3.86", "3.87", "3.87", "3.86", "7.35", "10.83"]


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
