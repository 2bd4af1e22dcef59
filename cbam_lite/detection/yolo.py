"""YOLOv4-tiny: a backbone of three CSP stages, a neck, two heads, and attention at three places.

Bochkovskiy et al., "YOLOv4", arXiv:2004.10934v1, and Wang et al., "Scaled-YOLOv4", arXiv:2011.08036v2, for the tiny
network. Shapes are those of an image of 416 x 416 with all channels (width 1) and K classes::

    3x416x416 -> stem 64x104x104 -> CSP 128x52x52 -> CSP 256x26x26 -> CSP 512x13x13 -> last 512x13x13
                                                             feat1 256x26x26 of the third CSP stage |
    feat2 = attention(last)             512x13x13                                                   |
    P5    = conv1x1(feat2)              256x13x13 -> head_P5 -> 3(5+K) x 13 x 13, stride 32         |
    P5_upsample = attention(up(P5))     128x26x26                                                   v
    P4    = [P5_upsample, feat1]        384x26x26 -> head_P4 -> 3(5+K) x 26 x 26, stride 16
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.checks import choose, made, number, positive_int, tensor

AttentionMaker = Callable[[int], nn.Module]  # channels -> module
Anchors = tuple[tuple[tuple[float, float], ...], ...]  # for each level three widths and heights in pixels

STRIDES = (32, 16)  # pixels for each cell of the two levels, in the order of the outputs
PLACES = ("feat1", "feat2", "P5_upsample")  # where attention may stand

# For images of 416 x 416. The many ports give the fine level the anchors 0, 1, 2 of the list; the released cfg file
# gives it 1, 2, 3, so that (81, 82) stands on both levels and (10, 14) on none.
ANCHORS: Anchors = (((81, 82), (135, 169), (344, 319)), ((10, 14), (23, 27), (37, 58)))
RELEASED_ANCHORS: Anchors = (ANCHORS[0], ((23, 27), (37, 58), (81, 82)))


# ---- backbone -------------------------------------------------------------------------------------------------------


class ConvNormLeaky(nn.Sequential):
    """Convolution without bias, batch norm, leaky ReLU with slope 0.1: every layer but the two last ones."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.LeakyReLU(0.1)


class CSPStage(nn.Module):
    """A stage that is cross-stage partial: half of its channels go through two more convolutions, all go on.

    (B, C, H, W) -> (B, 2C, H/2, W/2), and `feat` (B, C, H, W), which the third stage gives to the neck. Wang et al.,
    "CSPNet", CVPRW 2020; the tiny network takes the second half of the channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        C = channels
        self.whole = ConvNormLeaky(C, C, 3)
        self.half1 = ConvNormLeaky(C // 2, C // 2, 3)
        self.half2 = ConvNormLeaky(C // 2, C // 2, 3)
        self.merge = ConvNormLeaky(C, C, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        route = self.whole(x)  # (B, C, H, W)
        route1 = self.half1(route.chunk(2, 1)[1])  # (B, C/2, H, W)
        feat = self.merge(torch.cat([self.half2(route1), route1], 1))  # (B, C, H, W)
        return self.pool(torch.cat([route, feat], 1)), feat  # (B, 2C, H/2, W/2)


class CSPDarknetTiny(nn.Module):
    """The backbone: (B, 3, H, W) -> feat1 (B, 8c, H/16, W/16) and the last map (B, 16c, H/32, W/32), c = 32 width."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.stem1 = ConvNormLeaky(3, c, 3, stride=2)
        self.stem2 = ConvNormLeaky(c, 2 * c, 3, stride=2)
        self.stage1, self.stage2, self.stage3 = CSPStage(2 * c), CSPStage(4 * c), CSPStage(8 * c)
        self.last = ConvNormLeaky(16 * c, 16 * c, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, _ = self.stage1(self.stem2(self.stem1(x)))  # (B, 4c, H/8, W/8)
        x, _ = self.stage2(x)  # (B, 8c, H/16, W/16)
        x, feat1 = self.stage3(x)  # (B, 16c, H/32, W/32), (B, 8c, H/16, W/16)
        return feat1, self.last(x)


# ---- the whole network ----------------------------------------------------------------------------------------------


class YoloTiny(nn.Module):
    """YOLOv4-tiny: (B, 3, H, W) -> raw numbers of two levels, (B, 3, 5 + K, H/32, W/32) and (B, 3, 5 + K, H/16, W/16).

    Of the 5 + K numbers of an anchor in a cell, t_x, t_y, t_w, t_h make the box, t_o says whether there is an object,
    and one for each class says which; `decode` turns them into boxes. With all defaults it has 6,056,606 parameters.

    Args:
        num_classes: K. "Nothing there" is no class.
        attention: called with the channels at each of the three places, `CBAM` for example; None puts nothing there.
            With ``functools.partial(CBAM, init="identity")`` the network computes what it computes without attention,
            until it is trained.
        width: the share of the channels, from 1/8 to 4; the first layer has 32 width of them, rounded to even.
        anchors: for each level three (width, height) in pixels, the coarse level first. `anchors_for` finds those of
            your own boxes.

    Raises:
        ValueError: a number is out of range, the anchors are not two levels of three, or an image's sides are no
            multiples of 32.
        TypeError: `attention` does not make a module.

    Example:
        >>> model = YoloTiny(num_classes=6, attention=CBAM, width=0.25)
        >>> [tuple(level.shape) for level in model(torch.rand(2, 3, 128, 128))]
        [(2, 3, 11, 4, 4), (2, 3, 11, 8, 8)]
    """

    feat1: nn.Module  # the three places
    feat2: nn.Module
    P5_upsample: nn.Module

    def __init__(
        self,
        num_classes: int = 80,
        attention: AttentionMaker | None = None,
        *,
        width: float = 1.0,
        anchors: Anchors = ANCHORS,
    ) -> None:
        super().__init__()
        c = 2 * round(16 * number("width", width, 1 / 8, 4))
        K = positive_int("num_classes", num_classes)
        self.num_classes, self.anchors = K, checked_anchors(anchors)
        self.backbone = CSPDarknetTiny(c)
        channels = dict(zip(PLACES, (8 * c, 16 * c, 4 * c), strict=True))
        for place in PLACES:
            self.add_module(place, nn.Identity() if attention is None else made(attention, channels[place]))
        self.reduce = ConvNormLeaky(16 * c, 8 * c, 1)
        self.head_P5 = head(8 * c, 16 * c, K)
        self.up = nn.Sequential(ConvNormLeaky(8 * c, 4 * c, 1), nn.Upsample(scale_factor=2, mode="nearest"))
        self.head_P4 = head(12 * c, 8 * c, K)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        B, C, H, W = tensor("images", x, "B, 3, H, W").shape
        if C != 3 or H % 32 or W % 32:
            raise ValueError(
                f"images are {tuple(x.shape)}: give (B, 3, H, W) with sides that are multiples of 32; letterbox brings "
                f"an image to {32 * max(1, round(H / 32))} or any other without changing its shape"
            )
        feat1, feat2 = self.backbone(x)
        feat1, feat2 = self.feat1(feat1), self.feat2(feat2)  # (B, 8c, H/16, W/16), (B, 16c, H/32, W/32)
        P5 = self.reduce(feat2)  # (B, 8c, H/32, W/32)
        P5_upsample = self.P5_upsample(self.up(P5))  # (B, 4c, H/16, W/16)
        P4 = torch.cat([P5_upsample, feat1], 1)  # (B, 12c, H/16, W/16)
        return self.head_P5(P5).unflatten(1, (3, -1)), self.head_P4(P4).unflatten(1, (3, -1))


def head(channels: int, hidden: int, K: int) -> nn.Sequential:
    """A 3x3 convolution, then the 1x1 that gives 3 (5 + K) numbers for each cell."""
    output = nn.Conv2d(hidden, 3 * (5 + K), 1)
    bias = torch.zeros(3, 5 + K)
    bias[:, 4] = -4.6  # sigmoid gives 0.01: an untrained network says "no object" nearly everywhere
    output.bias = nn.Parameter(bias.flatten())
    return nn.Sequential(ConvNormLeaky(channels, hidden, 3), output)


def checked_anchors(anchors: Anchors) -> Anchors:
    """Two levels of three (width, height) above 0, as tuples of numbers."""
    try:
        found = tuple(tuple((float(w), float(h)) for w, h in level) for level in anchors)
    except (TypeError, ValueError) as error:
        raise TypeError(f"anchors={anchors!r:.80} must be two levels of three (width, height) ({error})") from error
    if [len(level) for level in found] != [3, 3] or not all(0 < x < 1e5 for level in found for wh in level for x in wh):
        raise ValueError(f"anchors={anchors!r:.80} must be two levels of three (width, height) in pixels, above 0")
    return found


# ---- the switch of the article --------------------------------------------------------------------------------------


def article_se(channels: int, **options: object) -> SqueezeExcitation:
    return SqueezeExcitation(channels, 16, bias=False, **options)  # type: ignore[arg-type]


def article_cbam(channels: int, **options: object) -> CBAM:
    return CBAM(channels, 8, mlp_bias=False, bn=False, **options)  # type: ignore[arg-type]


def article_eca(channels: int, **options: object) -> EfficientChannelAttention:
    return EfficientChannelAttention(channels, 5, **options)  # type: ignore[arg-type]


PHI: dict[int, Callable[..., nn.Module] | None] = {0: None, 1: article_se, 2: article_cbam, 3: article_eca}


def yolo_tiny(
    phi: Literal[0, 1, 2, 3] = 0,
    num_classes: int = 80,
    *,
    init: Literal["default", "identity"] = "default",
    width: float = 1.0,
    anchors: Anchors = ANCHORS,
) -> YoloTiny:
    """YOLOv4-tiny with the article's switch: phi = 0 nothing, 1 SE (r = 16), 2 CBAM (r = 8), 3 ECA (k = 5).

    At width 1 with 80 classes these have 6,056,606, 6,099,614, 6,142,916 and 6,056,621 parameters.

    Args:
        phi: which attention stands at feat1, feat2 and P5_upsample.
        num_classes, width, anchors: see `YoloTiny`.
        init: "default" starts with fresh gates, which give a part of what they get; "identity" with gates of exactly 1.

    Example:
        >>> sum(p.numel() for p in yolo_tiny(phi=2).parameters())
        6142916
    """
    choose("phi", str(phi), map(str, PHI))
    choose("init", init, ("default", "identity"))
    attention = PHI[int(phi)]
    maker = None if attention is None else lambda channels: attention(channels, init=init)
    return YoloTiny(num_classes, maker, width=width, anchors=anchors)
