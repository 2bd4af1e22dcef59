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
from cbam_lite.networks.insertion import insert_attention
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
    """One row as printed; what it does not print is empty. Errors are in percent.

    Parameters and GFLOPs are in units of 10^6 and 10^9, where `unit` is "2^20" (ECA) in units of 2^20 and 2^30.
    """

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
    are turned into errors here. "SE, ratios" and "SE, places" are ablations of SE's journal version, "ECA, README" is
    the page of ECA's released code.

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


# As the papers on SE and CBAM count them: bottlenecks of layout v1.
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


ECA_KERNELS = {"ResNet-50": (3, 5, 5, 7), "ResNet-101": (3, 3, 5, 7), "ResNet-152": (3, 3, 5, 7)}  # for each stage


def eca_of(network: str, channels: int) -> EfficientChannelAttention:
    """ECA with the kernel sizes that its authors set by hand for the four stages of a network.

    In ResNet-50 they add up to ECA-Net's 80 parameters.
    """
    return EfficientChannelAttention(channels, ECA_KERNELS[network][(256, 512, 1024, 2048).index(channels)])


def attention_of(row: Printed) -> AttentionMaker | None:
    """What makes the attention of a row. ECA's table counts SE without biases, the others with them."""
    if row.attention.startswith("SE r="):
        return functools.partial(SqueezeExcitation.official, reduction=int(row.attention.removeprefix("SE r=")))
    makers: dict[str, AttentionMaker | None] = {
        "none": None,
        "SE": SqueezeExcitation.paper if row.source.startswith("ECA") else SqueezeExcitation.official,
        "CBAM": CBAM.official,
        "ECA": functools.partial(eca_of, row.network),
    }
    return makers[row.attention]


def network_of(row: Printed) -> nn.Module:
    """The network that a row is about.

    Bottlenecks are of layout v1, which the tables of SE and CBAM count, but those of ECA of v1.5, as its released code.

    Example:
        >>> row = printed_tables("CBAM")[7]
        >>> f"{cost(network_of(row)).parameters / 1e6:.2f} million, printed {row.parameters}"
        '28.09 million, printed 28.09'
    """
    if not isinstance(row, Printed):
        raise TypeError(f"row must be one of printed_tables(), got {row!r:.60} of type {type(row).__name__}")
    if row.attention == "SE after 3x3":
        return insert_attention(NETWORKS[row.network](), SqueezeExcitation.official, "layer*.bn2", report=None)
    options = {"layout": "v1.5"} if row.source.startswith("ECA") else {}
    return NETWORKS[row.network](attention_of(row), **options)
