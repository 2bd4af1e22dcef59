"""Small networks for the defect chapters: untrained, or trained as they come with the package."""

from pathlib import Path
from typing import Any, Literal

from cbam_lite.attention.cbam import CBAM
from cbam_lite.attention.eca import EfficientChannelAttention
from cbam_lite.attention.squeeze_excitation import SqueezeExcitation
from cbam_lite.checks import choose, function, positive_int
from cbam_lite.networks.pretrained import replace_head
from cbam_lite.networks.resnet import AttentionMaker, BasicBlock, ResNet
from cbam_lite.training.checkpoints import load_checkpoint
from cbam_lite.training.defects import CLASSES

SHIPPED = Path(__file__).with_name("shipped")


def small_cbam(channels: int, **options: Any) -> CBAM:
    return CBAM(channels, hidden=max(4, channels // 8), **options)


def small_se(channels: int, **options: Any) -> SqueezeExcitation:
    return SqueezeExcitation(channels, hidden=max(4, channels // 8), **options)


ATTENTION: dict[str, AttentionMaker | None] = {
    "plain": None,
    "SE": small_se,
    "ECA": EfficientChannelAttention,
    "CBAM": small_cbam,
}


def defect_net(attention: AttentionMaker | str | None = None, *, num_classes: int = 8, planes: int = 8) -> ResNet:
    """A residual network of four blocks for images of 64 to 128 pixels: 78 thousand parameters, untrained.

    Args:
        attention: "plain", "SE", "ECA", "CBAM", or what `ResNet` takes. Hidden layers have C / 8 units, at least 4,
            because r = 16 would leave none of 8 channels.
        num_classes: 8 for `make_defects`.
        planes: channels of the first block; the last has 8 times as many.

    Example:
        >>> defect_net("CBAM")(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 8])
    """
    maker = ATTENTION[choose("attention", attention, ATTENTION)] if isinstance(attention, str) else attention
    if maker is not None:
        function("attention", maker, f"give one of channels, or a name, {', '.join(ATTENTION)}")
    return ResNet(BasicBlock, (1, 1, 1, 1), maker, num_classes=num_classes, stem="half", planes=planes)


def trained_defect_net(
    name: Literal["plain", "SE", "ECA", "CBAM"], *, num_classes: int | None = None
) -> tuple[ResNet, dict[str, Any]]:
    """One of the trained networks that come with the package, in eval mode, and its model card.

    Args:
        name: "plain", "SE", "ECA" or "CBAM". The network is ``defect_net(name)``.
        num_classes: outputs of a new, untrained last layer, for your own photographs. None keeps the eight classes of
            `make_defects`.

    Returns:
        The network, and its card with data and seeds, command, scores, date, and the hash of the weights.

    Raises:
        ValueError: there is none of that name, or its file is damaged.
        ImportError: safetensors is not installed.

    Example:
        >>> model, card = trained_defect_net("CBAM")
        >>> sorted(card)[:3]
        ['command', 'date', 'licence']
    """
    net = defect_net(choose("name", name, ATTENTION))
    tensors, card = load_checkpoint(SHIPPED, name)
    net.load_state_dict(tensors)
    if num_classes is None:
        net.classes = list(CLASSES)  # type: ignore[assignment]
    else:
        replace_head(net, positive_int("num_classes", num_classes))
    return net.eval(), card
