"""The papers' cost tables as data, and the networks they are about, so that every number can be computed again."""

import csv
import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

from torch import nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.networks.mobilenet import MobileNet
from cbam_lite.networks.resnet import (
    AttentionMaker,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50,
    resnext101,
    wide_resnet18,
)


@dataclass(frozen=True)
class Printed:
    """One row as printed. Parameters are in millions or in units of 2^20 (ECA), errors in percent."""

    source: str
    network: str
    attention: str
    parameters: str  # as text, because the number of digits matters
    unit: str
    gflops: str
    top1_error: float
    top5_error: float


def printed_tables(source: str = "") -> list[Printed]:
    """Rows of the tables whose name begins with `source`: "CBAM", "SE", "ECA", "CBAM, Table 5" ..., all by default.

    ImageNet, single crop of 224 pixels. Errors are printed in the papers on SE and CBAM; ECA prints accuracies, which
    are turned into errors here.

    Example:
        >>> row = printed_tables("CBAM")[0]
        >>> row.network, row.attention, row.parameters, row.top1_error
        ('ResNet-18', 'none', '11.69', 29.6)
    """
    if not isinstance(source, str):
        raise TypeError(f"source={source!r} must be text, the beginning of a table's name: use 'CBAM', 'SE' or 'ECA'")
    text = (files("cbam_lite.networks") / "papers.csv").read_text()
    rows = [
        Printed(
            **{key: value for key, value in row.items() if not key.startswith("top")},
            top1_error=float(row["top1_error"]),
            top5_error=float(row["top5_error"]),
        )
        for row in csv.DictReader(text.splitlines())
        if row["source"].startswith(source)
    ]
    if not rows:
        raise ValueError(f"source={source!r} is the beginning of no table: use 'CBAM', 'SE' or 'ECA'")
    return rows


# As the papers count them: bottlenecks of layout v1.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "ResNet-18": resnet18,
    "ResNet-34": resnet34,
    "ResNet-50": functools.partial(resnet50, layout="v1"),
    "ResNet-101": functools.partial(resnet101, layout="v1"),
    "ResNet-152": functools.partial(resnet152, layout="v1"),
    "WideResNet-18 x1.5": functools.partial(wide_resnet18, width=1.5),
    "WideResNet-18 x2.0": functools.partial(wide_resnet18, width=2.0),
    "ResNeXt-50": functools.partial(resnext50, layout="v1"),
    "ResNeXt-101": functools.partial(resnext101, layout="v1"),
    "MobileNet 0.7": functools.partial(MobileNet, width=0.7),
    "MobileNet": MobileNet,
}


def eca_of_resnet50(channels: int) -> EfficientChannelAttention:
    """The kernel sizes behind ECA-Net's 80 parameters: 3, 5, 5, 7 in the four stages of ResNet-50, set by hand."""
    return EfficientChannelAttention(channels, {256: 3, 512: 5, 1024: 5, 2048: 7}[channels])


def network_of(row: Printed) -> nn.Module:
    """The network that a row is about. ECA's table counts SE without biases, the others with them.

    Example:
        >>> row = printed_tables("CBAM")[7]
        >>> f"{cost(network_of(row)).parameters / 1e6:.2f} million, printed {row.parameters}"
        '28.09 million, printed 28.09'
    """
    if not isinstance(row, Printed):
        raise TypeError(f"row must be one of printed_tables(), got {row!r:.60} of type {type(row).__name__}")
    makers: dict[str, AttentionMaker | None] = {
        "none": None,
        "SE": SqueezeExcitation.paper if row.source.startswith("ECA") else SqueezeExcitation.official,
        "CBAM": CBAM.official,
        "ECA": eca_of_resnet50,
    }
    return NETWORKS[row.network](makers[row.attention])
